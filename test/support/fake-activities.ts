import type { CpuActivities, GpuActivities } from '../../activities/index.js';
import { sha256 } from '../../activities/artifacts/canonical-json.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { Figures } from '../../schemas/evaluation-report.js';
import type { RolloutMetrics, TurnUpdateMetrics } from '../../schemas/metrics.js';
import type { PolicyState } from '../../schemas/turn-state.js';

export const ref = (key: string): ArtifactRef => ({ key, sha256: sha256(key), bytes: key.length });
/** A policy state that is told by its adapter's key. */
export const policyState = (adapter: string): PolicyState => ({
  folded: [],
  adapter: ref(adapter),
  moments: null,
  optimizerSteps: 1,
});

const metrics: RolloutMetrics = {
  trajectories: 4,
  meanReward: 0.5,
  successRate: 0.25,
  turnPassRate: [0.75, 0.25],
  meanResponseTokens: 5,
  sampledTokens: 20,
  truncatedRate: 0,
  malformedCallRate: 0,
};
const estimate = { value: 0.5, interval: null };
const figures: Figures = {
  tasks: 2,
  episodes: 4,
  averageReward: estimate,
  taskGoalCompletion: estimate,
  passAtK: [],
  scenarioGoalCompletion: null,
};
const ones = { min: 1, p05: 1, p50: 1, p95: 1, max: 1 };
const turnMetrics = (turn: number): TurnUpdateMetrics => ({
  turn,
  active: 4,
  optimizerSteps: 1,
  loss: 0,
  surrogateBefore: 0,
  surrogateAfter: 0.1,
  klReference: 0.01,
  klIteration: 0,
  clipFraction: 0,
  ratioMean: 1,
  ratio: ones,
  weight: ones,
  effectiveSampleSize: 1,
  groupsWithoutVariance: 0,
  entropy: 1,
  gradientNorm: 1,
  critic: null,
  guard: { decision: 'kept', violations: [] },
});

/** What a run of the fakes is made of; goes where the configuration goes. */
export interface FakeRun {
  iterations: number;
  shards: number;
  turns: number;
  updateOrder: 'reverse' | 'forward';
  warmStart: boolean;
  evaluateEvery: number | null;
  /** Left out: a turn is one activity. */
  spread?: { shards: number; steps: number };
  inertSettings: string[];
}
export const fakeRun: FakeRun = {
  iterations: 1,
  shards: 2,
  turns: 2,
  updateOrder: 'reverse',
  warmStart: false,
  evaluateEvery: null,
  inertSettings: [],
};

export interface Call {
  readonly name: string;
  readonly input: Record<string, unknown>;
}

/** Activities that compute nothing: results name their inputs. `before` sees each call first and may throw or wait. */
export function fakeActivities(before: (call: Call) => Promise<void> | void = () => {}) {
  const calls: Call[] = [];
  const noted = <A extends Record<string, (input: never) => Promise<unknown>>>(activities: A): A =>
    Object.fromEntries(
      Object.entries(activities).map(([name, activity]) => [
        name,
        async (input: never) => {
          const call = { name, input: input as Record<string, unknown> };
          calls.push(call);
          await before(call);
          return activity(input);
        },
      ]),
    ) as A;
  let turns = 2;

  const cpu: CpuActivities = noted<CpuActivities>({
    async openRun({ execution, config }) {
      const runId = execution.workflowId;
      const fake = config as FakeRun;
      turns = fake.turns;
      const run = {
        runId,
        manifest: ref(`${runId}/run`),
        generation: 1,
        settings: ref(`${runId}/settings`),
        title: `fake run ${runId}`,
        iterations: fake.iterations,
        tasks: 2,
        groupSize: 2,
        shards: fake.shards,
        updateOrder: fake.updateOrder,
        warmStart: fake.warmStart,
        evaluateEvery: fake.evaluateEvery,
        algorithm: 'seeupo',
        environment: 'fake',
        model: 'fake.gguf',
        ...(fake.spread && { spread: fake.spread }),
      };
      return {
        run,
        next: null,
        revisions: 0,
        inertSettings: fake.inertSettings,
        progress: { iteration: 0, begun: false, policy: null, checkpoint: null, points: [], evaluations: [] },
      };
    },
    reviseSettings: async ({ run, revision, change }) => ({
      ...run,
      settings: ref(`settings-${revision}`),
      iterations: (change.iterations as number | undefined) ?? run.iterations,
    }),
    groupRollouts: async ({ iteration }) => ({
      manifest: ref(`${iteration}/groups`),
      turns,
      active: Array.from({ length: turns }, () => 4),
      groupsWithoutVariance: 0,
      metrics,
    }),
    finishTurn: async ({ iteration, turn, stepped }) => ({
      manifest: ref(`${iteration}/turn-${turn}`),
      policy: stepped,
      suffixProducts: ref(`${iteration}/suffix-${turn}`),
      metrics: turnMetrics(turn),
    }),
    commitCheckpoint: async ({ iteration, turnStates }) => ({
      iteration,
      checkpoint: ref(`${iteration}/checkpoint`),
      policy: policyState(turnStates.at(-1)!.key),
      meanReward: 0.5,
      successRate: 0.25,
      turnPassRate: [0.75, 0.25],
      groupsWithoutVariance: 0,
      klReference: 0.01,
      violations: 0,
      rejections: 0,
      seconds: 5,
      tokens: 50,
    }),
    applyRetention: async () => ({ kept: [], dropped: [] }),
    writeReport: async () => ({ html: ref('report.html'), json: ref('report.json') }),
    releaseRun: async () => {},
    openEvaluation: async ({ evaluationId }) => ({
      evaluationId,
      plan: ref(`${evaluationId}/plan`),
      title: 'fake evaluation',
      labels: ['first', 'second'],
      tasks: 2,
      samplesPerTask: 2,
      shards: 2,
      environment: 'fake',
      model: 'fake.gguf',
      runs: [],
    }),
    reportEvaluation: async () => ({
      html: ref('evaluation.html'),
      json: ref('evaluation.json'),
      overall: [figures, figures],
      comparison: null,
    }),
  });
  const gpu: GpuActivities = noted<GpuActivities>({
    warmStart: async () => ({ manifest: ref('warm-start'), policy: policyState('warm'), steps: 1, finalLoss: 0.3 }),
    evaluatePolicy: async ({ name, split }) => ({
      manifest: ref(`evaluation/${name}-${split}`),
      name,
      split,
      meanReward: 0.25,
      successRate: 0,
      turnPassRate: [0.5, 0],
    }),
    collectRollouts: async ({ iteration, shard }) => ({ manifest: ref(`${iteration}/rollout-${shard}`), metrics }),
    scoreTrajectories: async ({ iteration }) => ({
      manifest: ref(`${iteration}/scores`),
      behaviorGap: { max: 0, mean: 0 },
    }),
    updateTurn: async ({ iteration, turn }) => ({
      manifest: ref(`${iteration}/turn-${turn}`),
      policy: policyState(`${iteration}/theta-${turn}`),
      suffixProducts: ref(`${iteration}/suffix-${turn}`),
      metrics: turnMetrics(turn),
    }),
    computeGradient: async ({ iteration, turn, step, shard }) => ({
      manifest: ref(`${iteration}/gradient-${turn}-${step}-${shard}`),
    }),
    applyGradients: async ({ iteration, turn, step, gradients }) => ({
      manifest: ref(`${iteration}/step-${turn}-${step}`),
      policy: policyState(
        `${iteration}/theta-${turn}-${step} of ${gradients.map(({ key }) => key.split('/')[1]).join('+')}`,
      ),
    }),
    measureRatios: async ({ iteration, turn, shard }) => ({ manifest: ref(`${iteration}/ratios-${turn}-${shard}`) }),
    evaluateShard: async ({ policy, shard }) => ({
      manifest: ref(`policy-${policy}-shard-${shard}`),
      episodes: 2,
      meanReward: 0.5,
    }),
  });
  return { cpu, gpu, calls };
}

/** A call on one line: what was asked for, and with which theta. */
export function spelled({ name, input }: Call): string {
  const { iteration, shard, turn, split, policy, suffixProducts, completedIterations } = input as Record<string, never>;
  const parts = [
    iteration !== undefined && `k=${iteration}`,
    shard !== undefined && `shard=${shard}`,
    turn !== undefined && `t=${turn}`,
    name === 'evaluatePolicy' && `${(input as { name: string }).name}/${split}`,
    policy !== undefined && `theta=${(policy as PolicyState).adapter?.key ?? 'untouched'}`,
    suffixProducts !== undefined && `M=${(suffixProducts as ArtifactRef | null)?.key ?? 'A'}`,
    completedIterations !== undefined && `K=${completedIterations}`,
  ].filter(Boolean);
  return [name, ...parts].join(' ');
}
