import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import type { IterationResult } from '../../schemas/steps.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import type { TrainProgress } from '../../workflows/messages.js';
import type { TrainResult } from '../../workflows/train.js';
import { differencesOf, readEvidence, type Evidence } from './evidence.js';
import { instant, named, type Blow } from './faults.js';
import { readHistories, type ActivityRecord, type ExecutionRecord } from './histories.js';
import { inflict, type Struck } from './inflict.js';
import { withStack, type Stack, type StackOptions } from './stack.js';

/** The same in every trial: each has servers and a bucket of its own. */
export const RUN_ID = 'chaos';

/** What one run left behind. */
interface Played {
  readonly result: TrainResult;
  readonly evidence: Evidence;
  readonly activities: readonly ActivityRecord[];
  readonly executions: readonly ExecutionRecord[];
  /** Seconds from the start to each commit of a manifest. */
  readonly commits: readonly number[];
  readonly seconds: number;
}

/** The undisturbed run: what every trial is measured by. */
export interface Measure extends Pick<Played, 'evidence' | 'commits' | 'seconds'> {
  /** How many were completed. */
  readonly activities: number;
  /** Of all its histories. */
  readonly events: number;
}

export interface Outcome {
  readonly trial: number;
  readonly blows: readonly Blow[];
  readonly passed: boolean;
  /** What does not hold; empty if it passed. */
  readonly problems: readonly string[];
  readonly seconds: number;
  /** Activities with more than one attempt, e.g. `updateTurn (2 attempts)`. */
  readonly repeated: readonly string[];
  /** For each kill of a GPU worker at work: seconds until its step was begun again. */
  readonly recoverySeconds: readonly number[];
}

export interface TrialOptions extends Omit<StackOptions, 'dataDir'> {
  readonly config: TrainConfigInput;
  /** Folder that each run makes its own folder in. */
  readonly root: string;
  /** The longest that a trial may take, in seconds. */
  readonly limitSeconds: number;
  readonly log: (line: string) => void;
}

/** Runs once with nothing going wrong: the measure of every trial. */
export async function playUndisturbed(options: TrialOptions): Promise<Measure> {
  const { evidence, commits, seconds, activities, executions } = await inStackOfItsOwn(
    'undisturbed',
    options,
    (stack) => playRun(stack, options, async () => undefined),
  );
  return {
    evidence,
    commits,
    seconds,
    activities: completedOf(activities),
    events: executions.reduce((sum, { events }) => sum + events, 0),
  };
}

/** Runs once under blows and compares. A failed trial keeps its folder, with logs, histories and objects. */
export async function playTrial(
  trial: number,
  blows: readonly Blow[],
  expected: Measure,
  options: TrialOptions,
): Promise<Outcome> {
  const began = Date.now();
  const struck: (Struck & { readonly blow: Blow })[] = [];
  const problems: string[] = [];
  let played: Played | null = null;
  await inStackOfItsOwn(`trial-${trial}`, options, async (stack) => {
    played = await playRun(stack, options, async (run, commits, signal) => {
      await Promise.all(
        blows.map(async (blow) => {
          const when = instant(expected.commits, blow.at);
          while (commits() < when.commits) await sleep(20, undefined, { signal });
          await sleep(when.seconds * 1000, undefined, { signal });
          options.log(`    ${named(blow.fault)}, after ${commits()} commits`);
          struck.push({ ...(await inflict(stack, run, blow.fault, options.log)), blow });
        }),
      );
      for (const { twin } of struck) if (twin) problems.push(...(await problemsOfTwin(twin, stack, signal)));
    });
    problems.push(...problemsOf(played, expected, struck));
    if (problems.length > 0) throw new TrialFailed();
  }).catch((error: unknown) => {
    if (!(error instanceof TrialFailed)) problems.push((error as Error).message);
  });
  const { activities = [] } = (played as Played | null) ?? {};
  return {
    trial,
    blows,
    passed: problems.length === 0,
    problems,
    seconds: (Date.now() - began) / 1000,
    repeated: repeatedOf(activities).map(
      ({ type, attempts, completed }) => `${type} (${completed ? attempts : attempts + 1} attempts)`,
    ),
    recoverySeconds: struck.flatMap(({ blow, at }) =>
      blow.fault.kind === 'kill' && blow.fault.service === 'gpu-worker' ? recoveryAfter(at, activities) : [],
    ),
  };
}

class TrialFailed extends Error {}

function problemsOf(played: Played, expected: Measure, struck: readonly Struck[]): string[] {
  const { evidence, activities, result } = played;
  const repeated = repeatedOf(activities);
  const { applied, planned } = evidence.optimizerSteps;
  return [
    ...differencesOf(evidence.fingerprint, expected.evidence.fingerprint),
    ...evidence.broken,
    ...(applied === planned && result.policy.optimizerSteps === planned
      ? []
      : [
          `${planned} optimiser steps were planned, the turn states count ${applied}, the last policy ${result.policy.optimizerSteps}`,
        ]),
    ...(repeated.length <= struck.length
      ? []
      : [
          `${repeated.length} activities were done again (${repeated.map(({ type }) => type).join(', ')}), at most one for each of ${struck.length} fault(s) may be`,
        ]),
    ...(completedOf(activities) === expected.activities
      ? []
      : [`${completedOf(activities)} activities were completed, ${expected.activities} without faults`]),
  ];
}

const completedOf = (activities: readonly ActivityRecord[]): number =>
  activities.filter(({ completed }) => completed).length;

/** Tried more than once on one queue, or given up on its worker's own and done on the shared one. */
export const repeatedOf = (activities: readonly ActivityRecord[]): ActivityRecord[] =>
  activities.filter(({ attempts, completed }) => attempts > 1 || !completed);

/** Until the first step that was under way at that moment was begun again. */
export function recoveryAfter(killedAt: number, activities: readonly ActivityRecord[]): number[] {
  const again = repeatedOf(activities).flatMap((given) => {
    if (given.completed) return given.scheduledAt < killedAt ? [given.startedAt] : [];
    if (given.startedAt > killedAt) return [];
    return activities
      .filter(
        ({ workflowId, type, scheduledAt }) =>
          workflowId === given.workflowId && type === given.type && scheduledAt > killedAt,
      )
      .map(({ startedAt }) => startedAt);
  });
  const begun = again.filter((startedAt) => startedAt > killedAt).map((startedAt) => (startedAt - killedAt) / 1000);
  return begun.length === 0 ? [] : [Math.min(...begun)];
}

/** The twin did every step as well, or found it done: its result is that of the iteration which it doubles. */
async function problemsOfTwin(twin: WorkflowHandle, { client }: Stack, over: AbortSignal): Promise<string[]> {
  const double = (await resultOf(twin, over)) as IterationResult;
  const original = (await resultOf(
    client.workflow.getHandle(twin.workflowId.replace(/-twin$/, '')),
    over,
  )) as IterationResult;
  const same = double.checkpoint.sha256 === original.checkpoint.sha256;
  return same
    ? []
    : [
        `two runs of ${twin.workflowId} at once gave the checkpoints ${double.checkpoint.sha256} and ${original.checkpoint.sha256}`,
      ];
}

async function inStackOfItsOwn<R>(name: string, options: TrialOptions, work: (stack: Stack) => Promise<R>): Promise<R> {
  const dataDir = `${options.root}/${name}`;
  const result = await withStack({ ...options, dataDir }, work);
  await rm(dataDir, { recursive: true, force: true });
  return result;
}

type Disturb = (run: WorkflowHandle, commits: () => number, over: AbortSignal) => Promise<void>;

/** @param disturb  told the run, how many manifests it has committed, and when nothing more is to happen; awaited besides the run */
async function playRun(
  stack: Stack,
  { config, limitSeconds, signal }: TrialOptions,
  disturb: Disturb,
): Promise<Played> {
  const commits: number[] = [];
  const began = performance.now();
  stack.proxy.on('commit', (key) => {
    if (!key.includes('/timings/')) commits.push((performance.now() - began) / 1000);
  });
  const run = await stack.client.workflow.start('train', {
    taskQueue: 'seeupo-control',
    workflowId: RUN_ID,
    args: [config],
  });
  const ended = new AbortController();
  const over = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
  const disturbed = disturb(run, () => commits.length, over);
  try {
    const result = (await Promise.race([
      resultOf(run, over),
      stuck(run, limitSeconds, over),
      disturbed.then(() => new Promise<never>(() => undefined)),
    ])) as TrainResult;
    const seconds = (performance.now() - began) / 1000;
    await Promise.race([disturbed, stuck(run, limitSeconds, over, false)]);
    const evidence = await readEvidence(stack.artifacts, RUN_ID);
    return { result, evidence, ...(await readHistories(stack.client, RUN_ID)), commits, seconds };
  } finally {
    ended.abort();
  }
}

/** Rejects once the run waits for a person, or takes too long. */
async function stuck(run: WorkflowHandle, limitSeconds: number, over: AbortSignal, running = true): Promise<never> {
  for (
    const deadline = Date.now() + limitSeconds * 1000;
    Date.now() < deadline;
    await sleep(1_000, undefined, { signal: over })
  ) {
    if (!running) continue;
    const progress = await run.query<TrainProgress>('progress').catch(() => null);
    if (progress?.paused) throw new Error(`the run did not go on by itself: paused, ${progress.paused}`);
  }
  throw new Error(
    running
      ? `the run did not complete within ${limitSeconds} s`
      : `the run completed, but its faults did not all fall within ${limitSeconds} s`,
  );
}

/** A workflow's result, over losses of the server. */
async function resultOf(run: WorkflowHandle, over: AbortSignal): Promise<unknown> {
  for (;;) {
    try {
      return await run.result();
    } catch (error) {
      if (error instanceof WorkflowFailedError)
        throw new Error(`${run.workflowId} ${error.message}: ${error.cause?.message}`, { cause: error });
      await sleep(500, undefined, { signal: over });
    }
  }
}
