import { parseArgs } from 'node:util';
import { inputHashOf } from '../../activities/artifacts/canonical-json.js';
import { keys } from '../../activities/artifacts/store.js';
import { createCommitCheckpoint } from '../../activities/checkpoint/commit-checkpoint.activity.js';
import { createGroupRollouts } from '../../activities/grouping/group-rollouts.activity.js';
import { uniform } from '../../activities/numerics/random.js';
import type { LossGradient, Policy, TokenSequence } from '../../activities/policy/policy.js';
import { createOpenRun } from '../../activities/run/open-run.activity.js';
import { rolloutMetrics } from '../../activities/rollout/rollout-metrics.js';
import { createScoreTrajectories } from '../../activities/turn-update/score-trajectories.activity.js';
import { createUpdateTurn } from '../../activities/turn-update/update-turn.activity.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import type { Task } from '../../schemas/task.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import type { PolicyState } from '../../schemas/turn-state.js';
import { openInput, toyConfig, toyDependencies } from './run-on-paper.js';

/**
 * How long an iteration's algorithm takes without its model: the real steps from turn pools to checkpoint, on a store in memory, with a
 * policy whose passes take no time.
 *   node dist/test/support/measure-overhead.js [--tasks 32 --group 8 --turns 10 --prompt 512 --response 64 --algorithm seeupo]
 */
const { values: given } = parseArgs({
  options: {
    tasks: { type: 'string', default: '32' },
    group: { type: 'string', default: '8' },
    turns: { type: 'string', default: '10' },
    prompt: { type: 'string', default: '512' },
    response: { type: 'string', default: '64' },
    algorithm: { type: 'string', default: 'seeupo' },
  },
});
const [B, G, T, promptTokens, L] = [given.tasks, given.group, given.turns, given.prompt, given.response].map(
  Number,
) as [number, number, number, number, number];

const tasks: Task[] = Array.from({ length: B }, (_, b) => ({ id: `task-${b}`, split: 'train', turns: T }));
const config = {
  ...toyConfig,
  algorithm: { name: given.algorithm } as TrainConfigInput['algorithm'],
  rollout: { groupSize: G, maxResponseTokens: L, maxTurns: T, tasksPerShard: B },
};
const hash = inputHashOf('nothing');
const trajectory = (taskId: string, sample: number): Trajectory => {
  const reward = Math.round(4 * uniform(`${taskId}/${sample}`)) / 4;
  return {
    id: `${taskId}#${sample}`,
    taskId,
    sample,
    taskTurns: T,
    reward,
    success: reward === 1,
    turnsPassed: Array.from({ length: T }, () => true),
    end: 'completed',
    turns: Array.from({ length: T }, (_, t) => ({
      turn: t + 1,
      promptIds: Array.from({ length: promptTokens }, (_, i) => i),
      responseIds: Array.from({ length: L }, (_, l) => l),
      behaviorLogProbs: Array.from({ length: L }, () => -1),
      responseEnd: 'end-of-turn',
      action: { content: '', calls: [] },
      observation: [],
      observationHash: hash,
    })),
  };
};

/** Its passes are constants that differ by sequence; the losses on them are the real ones. */
const passes = (sequences: readonly TokenSequence[]): number[][] =>
  sequences.map(({ responseIds }, i) => responseIds.map((_, l) => -1 - 0.01 * Math.sin(i + l)));
const policy: Pick<Policy, 'use' | 'useMoments' | 'logProbs' | 'values' | 'step' | 'trained'> = {
  use: async () => undefined,
  useMoments: async () => undefined,
  logProbs: async (sequences) => passes(sequences),
  values: async (sequences) => passes(sequences),
  async step(sequences, gradient: LossGradient, { valueHead }) {
    const logProbs = passes(sequences);
    await gradient([...sequences.keys()], logProbs, { entropies: logProbs, values: valueHead ? logProbs : null });
    return { gradientNorm: 1, logProbs, valueHeadGradient: valueHead ? [0, 0] : null };
  },
  trained: async () => ({ adapter: new Uint8Array(1), moments: new Uint8Array(1) }),
};

const { dependencies, artifacts } = toyDependencies(tasks);
const everything = { ...dependencies, policy: { ...dependencies.policy, ...policy } };
const { run } = await createOpenRun(everything)(openInput('overhead', config));
const trajectories = tasks.flatMap(({ id }) => Array.from({ length: G }, (_, sample) => trajectory(id, sample)));
const { ref: shard } = await artifacts.commitManifest(
  keys.rolloutShard('overhead', 0, 0),
  {
    kind: 'rollout-shard',
    inputHash: hash,
    shard: 0,
    trajectories: await artifacts.putJson(trajectories),
    metrics: rolloutMetrics(trajectories),
  },
  RolloutShardManifest,
);

const seconds: Record<string, number> = {};
async function timed<R>(step: string, work: () => Promise<R>): Promise<R> {
  const began = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(began);
  seconds[step] = (seconds[step] ?? 0) + (user + system) / 1e6;
  return result;
}
const untouched: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
const iteration = 0;
const groups = await timed('turn pools and advantages', () =>
  createGroupRollouts(everything)({ run, iteration, shards: [shard] }),
);
const scores = await timed('scores', () =>
  createScoreTrajectories(everything)({ run, iteration, groups: groups.manifest, policy: untouched }),
);
let theta: { policy: PolicyState; suffixProducts: ArtifactRef | null } = { policy: untouched, suffixProducts: null };
const turnStates: ArtifactRef[] = [];
const order = Array.from({ length: groups.turns }, (_, t) => groups.turns - t);
for (const [index, turn] of order.entries()) {
  const updated = await timed('turn updates', () =>
    createUpdateTurn(everything)({
      run,
      iteration,
      turn,
      updatedBefore: order.slice(0, index),
      groups: groups.manifest,
      scores: scores.manifest,
      ...theta,
    }),
  );
  theta = { policy: updated.policy, suffixProducts: updated.suffixProducts };
  turnStates.push(updated.manifest);
}
await timed('checkpoint', () =>
  createCommitCheckpoint(everything)({
    run,
    iteration,
    rollouts: [shard],
    groups: groups.manifest,
    scores: scores.manifest,
    turnStates,
  }),
);

const total = Object.values(seconds).reduce((a, b) => a + b, 0);
/** Rows through the model without shared prefixes: log-probs of theta_k and of the reference, the step's pass, the pass after it. */
const tokens = 4 * B * G * T * (promptTokens + L);
process.stdout.write(
  `${JSON.stringify({ algorithm: given.algorithm, N: B * G, T, promptTokens, responseTokens: L, processorSeconds: seconds, total, tokens, tokensPerSecondAtWhichThisIsOnePercent: Math.round(tokens / (99 * total)) }, null, 2)}\n`,
);
