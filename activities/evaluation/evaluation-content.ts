import type { EvaluationPlan, EvaluationShardManifest } from '../../schemas/evaluation-plan.js';
import type { EvaluationContent, Figures } from '../../schemas/evaluation-report.js';
import type { Timing } from '../../schemas/metrics.js';
import type { Task } from '../../schemas/task.js';
import { canonicalJson } from '../artifacts/canonical-json.js';
import { groupBy } from '../numerics/group-by.js';
import { sum } from '../numerics/statistics.js';
import { fixed, percent, signed } from '../report/format.js';
import { isDifference, type IntervalOptions } from './intervals.js';
import { categoryOf, comparisonOf, figuresOf, playedTasks, taskOutcomes } from './figures.js';

export interface EvaluationSources {
  readonly plan: EvaluationPlan;
  /** By policy, then shard. */
  readonly shards: readonly (readonly EvaluationShardManifest[])[];
  /** How long each shard took. */
  readonly timings: readonly Timing[];
  readonly episodes: EvaluationContent['episodes'];
  readonly episodesLeftOut: number;
}

/** The shards of an evaluation as the plain figures and rows of its report. */
export function evaluationContent({
  plan,
  shards,
  timings,
  episodes,
  episodesLeftOut,
}: EvaluationSources): EvaluationContent {
  const { config, tasks, policies } = plan;
  const options: IntervalOptions = {
    key: `${config.seed}/bootstrap`,
    resamples: config.resamples,
    confidence: config.confidence,
  };
  const outcomes = shards.map((ofPolicy) => ofPolicy.flatMap((shard) => shard.outcomes));
  const played = outcomes.map((ofPolicy) => playedTasks(tasks, ofPolicy));
  const slicesBy = (nameOf: (task: Task) => string): EvaluationContent['byCategory'] =>
    [...groupBy(tasks, nameOf).keys()].map((name) => ({
      name,
      figures: played.map((ofPolicy) =>
        figuresOf(
          ofPolicy.filter(({ task }) => nameOf(task) === name),
          options,
        ),
      ),
    }));
  const overall = played.map((ofPolicy) => figuresOf(ofPolicy, options));
  const comparison = played.length === 2 ? comparisonOf(played[0]!, played[1]!, options) : null;
  const arithmetics = [
    ...new Map(
      shards.flat().flatMap(({ arithmetic }) => (arithmetic ? [[canonicalJson(arithmetic), arithmetic] as const] : [])),
    ).values(),
  ];
  return {
    format: 1,
    evaluationId: plan.evaluationId,
    title: config.title,
    verdict: verdictLine(plan, overall, comparison) + mixed(arithmetics),
    codeVersion: plan.code.version,
    config,
    policies,
    overall,
    byCategory: slicesBy(categoryOf),
    byTurns: slicesBy(({ turns }) => String(turns)).sort((a, b) => Number(a.name) - Number(b.name)),
    ends: outcomes.map((ofPolicy) =>
      Object.fromEntries([...groupBy(ofPolicy, ({ end }) => end)].map(([end, those]) => [end, those.length])),
    ),
    responses: outcomes.map((ofPolicy) => {
      const total = (valueOf: (one: (typeof ofPolicy)[number]) => number): number => sum(ofPolicy.map(valueOf));
      const responses = total((one) => one.responses);
      return {
        perEpisode: responses / ofPolicy.length,
        tokens: total((one) => one.sampledTokens) / responses,
        truncatedRate: total((one) => one.truncated) / responses,
      };
    }),
    comparison,
    tasks: taskOutcomes(tasks, played),
    episodes,
    episodesLeftOut,
    trajectories: shards.map((ofPolicy) => ofPolicy.map(({ trajectories }) => trajectories)),
    seconds: sum(timings.map(({ seconds }) => seconds)),
    tokens: sum(timings.map(({ tokens }) => tokens)),
    arithmetics,
  };
}

/** Numbers of two arithmetics differ by rounding, and so may the tokens that are drawn. */
const mixed = (arithmetics: readonly unknown[]): string =>
  arithmetics.length > 1
    ? ` Its shards were computed in ${arithmetics.length} arithmetics, which differ by rounding: see below.`
    : '';

/** One sentence: what was measured, and whether the policies differ by more than the choice of tasks. */
function verdictLine(
  { config, policies, tasks }: EvaluationPlan,
  overall: readonly Figures[],
  comparison: EvaluationContent['comparison'],
): string {
  const [first] = overall;
  const n = config.samplesPerTask;
  const measured = `${policies[0]!.label}: avg@${n} ${fixed(first!.averageReward.value)}, solved ${percent(first!.taskGoalCompletion.value)} of ${tasks.length} task${tasks.length === 1 ? '' : 's'}`;
  if (!comparison) return `${measured}.`;
  const { value, interval, pValue } = comparison.averageReward;
  const beyond = isDifference(comparison.averageReward, config.confidence);
  const excludes = interval !== null && (interval[0] > 0 || interval[1] < 0);
  const doubt =
    interval === null
      ? 'one task says nothing of others'
      : beyond
        ? 'the interval excludes 0'
        : excludes
          ? `p = ${fixed(pValue!, 3)} with so few tasks, so no difference is claimed`
          : 'the interval includes 0, so no difference is claimed';
  const range = interval === null ? '' : ` [${signed(interval[0])}, ${signed(interval[1])}]`;
  return `${measured}. Against ${policies[1]!.label}: ${signed(value)}${range}, ${doubt}.`;
}
