import type { OnStepFailure } from './definition.js';
import { EnvironmentProtocolError, FailedAtWork } from './environment.js';

/** The call of a response that is not made again, and what the model reads instead. */
export interface Refusal {
  /** Of the response's calls, from 0; those before it are made, those after it are left out. */
  readonly call: number;
  readonly told: string;
}

/** E.g. `took longer than 1.5 s`. */
export const tookLonger = (timeoutMs: number): string => `took longer than ${timeoutMs / 1000} s`;

/** So many steps are refused one after the other, none answered between them: it is not the steps. */
const MAX_REFUSED_IN_A_ROW = 20;

/**
 * The steps of an environment that failed at work twice, by task, seed and actions so far. One that was refused is never
 * executed again: neither in a restored episode nor in another that comes to the same point.
 */
export class RefusedSteps {
  private readonly refusals = new Map<string, Refusal>();
  private inARow = 0;

  constructor(private readonly choice: OnStepFailure) {}

  /** @param step  names the step; asked for only if any was refused */
  find(step: () => string): Refusal | undefined {
    return this.refusals.size === 0 ? undefined : this.refusals.get(step());
  }

  answered(): void {
    this.inARow = 0;
  }

  /**
   * Decides on a step that failed twice.
   *
   * @throws {EnvironmentProtocolError} with the reason of the first failure, unless the definition wants it refused
   */
  decide(step: string, first: FailedAtWork, second: FailedAtWork): Refusal {
    if (this.choice === 'fault') {
      const refuse =
        'set onStepFailure: "refuse" in the definition: ' +
        `the model then reads an error that says "${second.told}", and the episode goes on`;
      throw faultOf(first, `correct it, allow more time for it, or ${refuse}`);
    }
    if (++this.inARow > MAX_REFUSED_IN_A_ROW) {
      throw faultOf(
        first,
        `so did the ${MAX_REFUSED_IN_A_ROW} steps before it, and none was answered between them: it is not the model's doing`,
      );
    }
    process.emitWarning(`refused to the model after two tries: ${first.message}`, 'StepRefused');
    const refusal = { call: second.call, told: second.told };
    this.refusals.set(step, refusal);
    return refusal;
  }
}

/** The fault of an environment that failed at work on the same thing twice. */
export const faultOf = (first: FailedAtWork, remedy: string): EnvironmentProtocolError =>
  new EnvironmentProtocolError(
    'environment_fault',
    `${first.message}. A second try, in a fresh environment, failed as well: ${remedy}`,
    { cause: first },
  );

/** Work in a fresh environment that fails at work is done once more; then it is a fault. */
export async function twice<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (first) {
    if (!(first instanceof FailedAtWork)) throw first;
    return work().catch((second: unknown) => {
      throw second instanceof FailedAtWork ? faultOf(first, 'correct it, or allow more time for it') : second;
    });
  }
}
