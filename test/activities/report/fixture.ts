import type { ReportSources } from '../../../activities/report/report-sources.js';
import type { ArtifactRef } from '../../../schemas/artifact-ref.js';
import type { CheckpointManifest, WarmStartManifest } from '../../../schemas/checkpoint.js';
import type { EvaluationManifest } from '../../../schemas/evaluation.js';
import type { IterationTiming, RolloutMetrics, Timing, TurnUpdateMetrics } from '../../../schemas/metrics.js';
import { RunManifest } from '../../../schemas/run.js';
import type { Split } from '../../../schemas/task.js';
import type { TrainConfigInput } from '../../../schemas/train-config.js';
import type { Trajectory } from '../../../schemas/trajectory.js';

/** A small made-up run: 2 training tasks and 1 held-out task of 2 turns, figures chosen to be worked by hand. */

export const HASH = 'ab'.repeat(32);
export const ref = (key = 'blobs/x'): ArtifactRef => ({ key, sha256: HASH, bytes: 1 });

export const config: TrainConfigInput = {
  title: 'A made-up run',
  seed: 1,
  iterations: 2,
  model: { path: 'tiny.gguf' },
  environment: { name: 'bfcl-windows' },
  rollout: { groupSize: 2, maxResponseTokens: 32, maxTurns: 2 },
  algorithm: { name: 'seeupo' },
  optimizer: { learningRate: 3e-4 },
  evaluation: { samplesPerTask: 2 },
};

export const runManifest = (changes: Partial<RunManifest> = {}): RunManifest => ({
  ...RunManifest.parse({
    kind: 'run',
    runId: 'made-up',
    config,
    settings: ref('blobs/settings'),
    forkedFrom: null,
    model: { path: 'tiny.gguf', sha256: HASH, bytes: 1000 },
    trainTasks: [
      { id: 'a', split: 'train', turns: 2 },
      { id: 'b', split: 'train', turns: 2 },
    ],
    heldoutTasks: [{ id: 'c', split: 'heldout', turns: 2 }],
    code: { version: '0.1.0+abc' },
  }),
  ...changes,
});

export const metrics = (changes: Partial<RolloutMetrics> = {}): RolloutMetrics => ({
  trajectories: 4,
  meanReward: 0.25,
  successRate: 0,
  turnPassRate: [0.5, 0],
  meanResponseTokens: 12.5,
  sampledTokens: 100,
  truncatedRate: 0.125,
  malformedCallRate: 0.25,
  ...changes,
});

/** An episode of 2-turn tasks with a reward of passed turns / 2. */
export function trajectory(
  taskId: string,
  sample: number,
  passed: readonly boolean[],
  response = "CALL ls('a')",
): Trajectory {
  const reward = passed.filter(Boolean).length / 2;
  return {
    id: `${taskId}#${sample}`,
    taskId,
    sample,
    turns: passed.map((_, t) => ({
      turn: t + 1,
      promptIds: [1, 2, 3],
      responseIds: [4, 5],
      behaviorLogProbs: [-0.1, -0.2],
      responseEnd: 'end-of-turn',
      action: { content: response, calls: [{ name: 'ls', positional: ['a'], keyword: { deep: true } }] },
      observation: t === 0 ? [{ role: 'user', content: 'Result: {"files": []}\nNow the next.' }] : [],
      observationHash: HASH,
    })),
    taskTurns: 2,
    reward,
    success: reward === 1,
    turnsPassed: [...passed],
    end: reward === 1 ? 'completed' : 'failed-turn',
  };
}

/** An evaluation whose figures follow from its trajectories. */
export function evaluation(name: string, split: Split, trajectories: readonly Trajectory[], temperature = 0.9) {
  const n = trajectories.length;
  const share = (holds: (x: Trajectory) => boolean): number => trajectories.filter(holds).length / n;
  const mean = (some: readonly Trajectory[]): number =>
    some.reduce((total, { reward }) => total + reward, 0) / some.length;
  const ids = [...new Set(trajectories.map(({ taskId }) => taskId))];
  const manifest: EvaluationManifest = {
    kind: 'evaluation',
    inputHash: HASH,
    name,
    split,
    iterationsDone: name === 'end' ? 2 : Number(/iteration-(\d+)/.exec(name)?.[1] ?? 0),
    temperature,
    metrics: metrics({
      trajectories: n,
      meanReward: mean(trajectories),
      successRate: share(({ success }) => success),
      turnPassRate: [0, 1].map((t) => share(({ turnsPassed }) => turnsPassed[t] === true)),
    }),
    tasks: ids.map((taskId) => {
      const own = trajectories.filter((x) => x.taskId === taskId);
      return {
        taskId,
        split,
        samples: own.length,
        meanReward: mean(own),
        successRate: own.filter(({ success }) => success).length / own.length,
      };
    }),
    trajectories: ref(),
  };
  return { manifest, trajectories };
}

export const turnUpdate = (turn: number, changes: Partial<TurnUpdateMetrics> = {}): TurnUpdateMetrics => ({
  turn,
  active: 4,
  optimizerSteps: 2,
  loss: -0.01,
  surrogateBefore: 0,
  surrogateAfter: 0.02,
  klReference: 0.05,
  klIteration: 0.01,
  clipFraction: 0.25,
  ratioMean: 1.02,
  ratio: { min: 0.8, p05: 0.81, p50: 1, p95: 1.29, max: 1.3 },
  weight: { min: -1.7, p05: -1.6, p50: 0.1, p95: 1.5, max: 1.6 },
  effectiveSampleSize: 0.875,
  groupsWithoutVariance: 0.5,
  entropy: 0.75,
  gradientNorm: 1.5,
  critic: null,
  guard: { decision: 'kept', violations: [] },
  ...changes,
});

export const checkpoint = (iteration: number, changes: Partial<CheckpointManifest> = {}): CheckpointManifest => ({
  kind: 'checkpoint',
  inputHash: HASH,
  iteration,
  policy: { folded: [], adapter: ref('blobs/adapter'), moments: ref('blobs/moments'), optimizerSteps: 4 },
  rollout: metrics(),
  groupsWithoutVariance: 1,
  turns: [turnUpdate(2), turnUpdate(1)],
  behaviorGap: { max: 1e-5, mean: 1e-6 },
  ...changes,
});
export const iterationTiming: IterationTiming = {
  rollout: { seconds: 10, tokens: 2000, storageSeconds: 1 },
  group: { seconds: 1, tokens: 0, storageSeconds: 1 },
  score: { seconds: 4, tokens: 500, storageSeconds: 0 },
  update: { seconds: 6, tokens: 600, storageSeconds: 1 },
};
const evaluationTiming: Timing = { seconds: 10, tokens: 1000, storageSeconds: 1 };

export const warmStart = (): WarmStartManifest => ({
  kind: 'warm-start',
  inputHash: HASH,
  adapter: ref(),
  sequences: 72,
  tokens: 25_700,
  steps: 18,
  epochLosses: [0.65],
});

/** Untouched 0, after the warm start 0.25, after SeeUPO 0.75 on the training tasks; held-out 0 throughout. */
export const sources = (changes: Partial<ReportSources> = {}): ReportSources => ({
  run: runManifest(),
  warmStart: warmStart(),
  evaluations: [
    evaluation(
      'untouched',
      'train',
      ['a', 'b'].flatMap((id) => [0, 1].map((g) => trajectory(id, g, [false]))),
    ),
    evaluation('start', 'train', [
      trajectory('a', 0, [true, false]),
      trajectory('a', 1, [true, false]),
      trajectory('b', 0, [false]),
      trajectory('b', 1, [false]),
    ]),
    evaluation('end', 'train', [
      trajectory('a', 0, [true, false]),
      trajectory('a', 1, [true, false]),
      trajectory('b', 0, [true, true]),
      trajectory('b', 1, [true, true]),
    ]),
    ...['untouched', 'start', 'end'].map((name) =>
      evaluation(name, 'heldout', [trajectory('c', 0, [false]), trajectory('c', 1, [false])]),
    ),
  ],
  checkpoints: [
    checkpoint(0),
    checkpoint(1, { rollout: metrics({ meanReward: 0.5, turnPassRate: [0.75, 0.25], successRate: 0.25 }) }),
  ],
  timings: {
    warmStart: { seconds: 60, tokens: 25_700, storageSeconds: 2 },
    evaluations: Array.from({ length: 6 }, () => evaluationTiming),
    checkpoints: [iterationTiming, iterationTiming],
  },
  decode: (ids) => `text of ${ids.join(' ')}`,
  ...changes,
});
