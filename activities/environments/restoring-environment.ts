import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Action,
  Demonstration,
  Observation,
  ResetRequest,
  StepRequest,
  Verdict,
} from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import type { ActionFormat } from '../rollout/tool-calls.js';
import {
  EnvironmentProtocolError,
  EnvironmentUnavailable,
  EpisodeLost,
  FailedAtWork,
  type Environment,
  type RestorableEnvironment,
} from './environment.js';
import { faultOf } from './two-tries.js';

export interface WaitOptions {
  /** Called before each wait for an environment that does not answer: time to heartbeat, or to throw. */
  readonly onWait?: (wait: { readonly reason: string; readonly waitedMs: number }) => void;
  /** How long one call may wait in all before EnvironmentUnavailable is thrown, in milliseconds. */
  readonly maxWaitMs?: number;
  /** Ends waits early. */
  readonly signal?: AbortSignal;
}

const DEFAULT_MAX_WAIT_MS = 60_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2_000;
/** A sidecar that is killed again between the restore and the repeated call loses the episode again. */
const MAX_RESTORES_PER_CALL = 10;

/** What an episode has seen so far: enough to play it again and to notice if it comes out differently. */
interface EpisodeRecord {
  readonly start: ResetRequest;
  readonly actions: Action[];
  /** At reset, then after each action. */
  readonly observationHashes: string[];
}

/**
 * An environment whose process may die at any moment without costing an episode: calls wait for it to
 * come back, and an episode that it lost is replayed and compared, hash by hash, before the call is
 * repeated. One instance per activity attempt: it remembers the episodes it started.
 */
export class RestoringEnvironment implements Environment {
  readonly name: string;
  private readonly records = new Map<string, EpisodeRecord>();

  constructor(
    private readonly inner: RestorableEnvironment,
    private readonly wait: WaitOptions = {},
  ) {
    this.name = inner.name;
  }

  get callFormat(): ActionFormat {
    return this.inner.callFormat ?? 'call-lines';
  }

  callFormatOf(taskId: string): ActionFormat {
    return this.inner.callFormatOf?.(taskId) ?? this.callFormat;
  }

  listTasks(split: Split): Promise<Task[]> {
    return this.patiently(() => this.inner.listTasks(split));
  }

  async demonstrations(): Promise<Demonstration[]> {
    return this.patiently(async () => (await this.inner.demonstrations?.()) ?? []);
  }

  /** Begins anew: an earlier attempt of the activity may have left an episode of this id half-played. */
  async reset(request: ResetRequest): Promise<Observation> {
    const observation = await this.patiently(async () => {
      await this.inner.close(request.episodeId);
      return this.inner.reset(request);
    });
    this.records.set(request.episodeId, { start: request, actions: [], observationHashes: [observation.hash] });
    return observation;
  }

  async step(request: StepRequest): Promise<Observation> {
    const observation = await this.restoring(request.episodeId, () => this.inner.step(request));
    const record = this.records.get(request.episodeId);
    if (record && request.stepIndex === record.actions.length + 1) {
      record.actions.push(request.action);
      record.observationHashes.push(observation.hash);
    }
    return observation;
  }

  evaluate(episodeId: string): Promise<Verdict> {
    return this.restoring(episodeId, () => this.inner.evaluate(episodeId));
  }

  /** Does not wait: an environment that is down has no episode left to forget. */
  async close(episodeId: string): Promise<void> {
    this.records.delete(episodeId);
    await this.inner.close(episodeId);
  }

  /** @throws {EpisodeLost} for an episode that was not started here: only its whole activity can be tried again */
  private async restoring<T>(episodeId: string, call: () => Promise<T>): Promise<T> {
    const record = this.records.get(episodeId);
    let failed: FailedAtWork | undefined;
    let reason = '';
    for (let restores = 0; ; restores++) {
      try {
        return await this.patiently(call, (unavailable) => (reason = unavailable));
      } catch (error) {
        if (failed && error instanceof FailedAtWork) throw faultOf(failed, 'see its log');
        // What made it lose the episode is worth more than that it is lost.
        if (error instanceof EpisodeLost && restores >= MAX_RESTORES_PER_CALL && reason !== '') {
          throw new EnvironmentUnavailable(`${reason} (and so it did in each of ${restores} restored episodes)`, {
            cause: error,
          });
        }
        if (!record || !mendedByRestore(error, restores)) throw error;
        if (error instanceof FailedAtWork) failed = error;
        const { start, actions, observationHashes } = record;
        await this.patiently(() => this.inner.restore({ ...start, actions, observationHashes }));
      }
    }
  }

  /** Repeats a call while the environment is unavailable, with growing pauses. */
  private async patiently<T>(call: () => Promise<T>, onUnavailable?: (reason: string) => void): Promise<T> {
    const { onWait, maxWaitMs = DEFAULT_MAX_WAIT_MS, signal } = this.wait;
    const began = performance.now();
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(2 * delayMs, MAX_DELAY_MS)) {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof EnvironmentUnavailable) || error instanceof FailedAtWork) throw error;
        onUnavailable?.(error.message);
        const waitedMs = Math.round(performance.now() - began);
        if (waitedMs + delayMs > maxWaitMs) {
          throw new EnvironmentUnavailable(`${error.message} (gave up after ${(waitedMs / 1000).toFixed(1)} s)`, {
            cause: error,
          });
        }
        onWait?.({ reason: error.message, waitedMs });
        await sleep(delayMs, undefined, signal ? { signal } : {});
      }
    }
  }
}

/** A lost episode; or, once, one that another attempt of this activity played on under the same id, or a step that failed at work. */
function mendedByRestore(error: unknown, restores: number): boolean {
  if (error instanceof FailedAtWork) return true;
  if (error instanceof EpisodeLost) return restores < MAX_RESTORES_PER_CALL;
  return error instanceof EnvironmentProtocolError && error.code === 'step_conflict' && restores === 0;
}
