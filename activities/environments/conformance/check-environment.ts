import { determinism, everyTool, leaks, leftOver, limits, solutions, tasks } from './content-checks.js';
import { isolation, malformed, repeats, restore } from './contract-checks.js';
import { Kit, type CheckOptions } from './kit.js';
import { DoesNotHold, NotLookedAt, type ProbeOutcome } from './outcome.js';
import type { Subject } from './subject.js';

export type { CheckOptions } from './kit.js';
export type { Subject } from './subject.js';

export interface Finding {
  readonly check: string;
  /** Null: it, or a part of it, could not be looked at; `detail` says what, and why. */
  readonly holds: boolean | null;
  readonly detail: string;
}

export const DEFAULT_CHECK_OPTIONS: CheckOptions = {
  leakEpisodes: 10_000,
  maxLeakMs: 300_000,
  tasks: 12,
  maxStepMs: 5_000,
};

/** Tries every promise of the `Environment` interface on one environment and says which hold. */
export async function checkEnvironment(
  subject: Subject,
  options: CheckOptions = DEFAULT_CHECK_OPTIONS,
): Promise<Finding[]> {
  const kit = new Kit(subject, options);
  const inspected = await kit
    .load()
    .catch(
      (error: unknown): Finding => ({ check: 'loads, and lists its tasks', holds: false, detail: reasonOf(error) }),
    );
  // An environment that does not load would fail every check with the same words.
  if (typeof inspected === 'object') return [inspected];
  const checks: readonly (readonly [string, () => ProbeOutcome])[] = [
    ['tasks: listed the same twice, unique, the splits apart', () => tasks(kit)],
    ['reference solutions score 1', () => solutions(kit)],
    ['determinism: the same actions give the same bytes', () => determinism(kit)],
    ['repeats: the same request gives the same reply, another is a conflict', () => repeats(kit)],
    ['restore: after a crash the same hashes, and the same end', () => restore(kit)],
    ['isolation: concurrent episodes of one task do not meet', () => isolation(kit)],
    ['malformed actions: an observation or a typed error, and it lives on', () => malformed(kit)],
    ['limits: time of a step, length of a message', () => limits(kit)],
    ['leaks: memory is flat over many episodes', () => leaks(kit)],
    ...(inspected
      ? ([
          ['tools: each was called, and accepted a call', () => everyTool(kit)],
          ['promises and timers: none fails when its episode is over', () => leftOver()],
        ] as const)
      : []),
  ];
  const findings: Finding[] = [];
  for (const [check, run] of checks) {
    options.onProgress?.(check);
    findings.push(
      await run().then(
        (outcome): Finding =>
          outcome instanceof NotLookedAt
            ? { check, holds: null, detail: `not looked at: ${outcome.reason}` }
            : { check, holds: true, detail: outcome },
        (error: unknown): Finding => ({ check, holds: false, detail: reasonOf(error) }),
      ),
    );
  }
  return findings;
}

const reasonOf = (error: unknown): string => {
  if (error instanceof DoesNotHold) return error.message;
  return `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`.slice(0, 900);
};
