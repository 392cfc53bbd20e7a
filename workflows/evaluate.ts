import { setCurrentDetails, setHandler, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import type { EvaluateConfigInput } from '../schemas/evaluate-config.js';
import type { EvaluationRef } from '../schemas/evaluation-plan.js';
import type { EvaluateShardResult, ReportEvaluationResult } from '../schemas/steps.js';
import { cpu, gpu } from './activity-proxies.js';
import { asCancelled } from './failures.js';
import { descriptions, evaluationProgress, type EvaluationProgress } from './messages.js';
import { pairs } from './search-attributes.js';
import { refuseUnknownMessages } from './unknown-messages.js';

export interface EvaluateResult extends ReportEvaluationResult {
  readonly evaluationId: string;
  /** One label per policy, in the order of `overall`. */
  readonly policies: readonly string[];
}

/**
 * One or two policies on the tasks of an environment, started on its own: any checkpoint of a run, or a model.
 *
 * The workflow id is the evaluation's id: started again under it, the evaluation continues after the shards that are
 * committed.
 */
export async function evaluate(config: EvaluateConfigInput): Promise<EvaluateResult> {
  const evaluationId = workflowInfo().workflowId;
  let progress: EvaluationProgress = {
    phase: 'open',
    title: '',
    shardsDone: 0,
    shards: null,
    episodes: 0,
    meanReward: [],
  };
  const now = (next: Partial<EvaluationProgress>) => {
    progress = { ...progress, ...next };
    setCurrentDetails(evaluationDetails(progress));
  };
  setHandler(evaluationProgress, () => progress, { description: descriptions.progress });
  refuseUnknownMessages({ signals: [], updates: [] });

  return asCancelled(async () => {
    const evaluation = await cpu('check the input, open the evaluation').openEvaluation({
      evaluationId,
      config: config ?? null,
    });
    const { title, labels, shards, runs, environment, model } = evaluation;
    upsertMemo({ title, model, environment });
    upsertSearchAttributes(pairs({ runId: runs[0] ?? evaluationId, phase: 'evaluate', environment, model }));
    now({ phase: 'evaluate', title, shards: shards * labels.length });

    const played: EvaluateShardResult[][] = labels.map(() => []);
    const addShard = (policy: number, shard: EvaluateShardResult) => {
      played[policy]!.push(shard);
      now({
        shardsDone: progress.shardsDone + 1,
        episodes: progress.episodes + shard.episodes,
        meanReward: labels.map((label, p) => ({ label, value: weightedMean(played[p]!) })),
      });
    };
    // One policy after the other, so that a worker loads each policy once and does not switch between shards.
    const results: ArtifactRef[][] = [];
    for (const [policy, label] of labels.entries())
      results.push(await evaluateShards(evaluation, label, policy, (shard) => addShard(policy, shard)));

    now({ phase: 'report' });
    const report = await cpu('report').reportEvaluation({ evaluation, shards: results });
    upsertSearchAttributes(pairs({ phase: 'done', evaluation: report.overall[0]!.averageReward.value }));
    now({ phase: 'done' });
    return { evaluationId, policies: labels, ...report };
  });
}

/** Any number of workers share the shards; each is committed once. */
const evaluateShards = (
  evaluation: EvaluationRef,
  label: string,
  policy: number,
  onShard: (shard: EvaluateShardResult) => void,
) =>
  Promise.all(
    Array.from({ length: evaluation.shards }, async (_, shard) => {
      const result = await gpu(`${label}, shard ${shard + 1} of ${evaluation.shards}`).evaluateShard({
        evaluation,
        policy,
        shard,
      });
      onShard(result);
      return result.manifest;
    }),
  );

/** Null before the first shard. */
function weightedMean(shards: readonly EvaluateShardResult[]): number | null {
  const episodes = shards.reduce((total, shard) => total + shard.episodes, 0);
  return episodes === 0
    ? null
    : shards.reduce((total, shard) => total + shard.meanReward * shard.episodes, 0) / episodes;
}

/** The evaluation's details for the Web UI, in Markdown. */
function evaluationDetails({ title, phase, shardsDone, shards, episodes, meanReward }: EvaluationProgress): string {
  const lines = meanReward.flatMap(({ label, value }) =>
    value === null ? [] : [`| ${label} | ${value.toFixed(3)} |`],
  );
  const table = lines.length === 0 ? [] : ['', '| policy | mean reward so far |', '| --- | --- |', ...lines];
  return [
    `### ${title}`,
    `**${phase}**`,
    '',
    shards === null ? '' : `${shardsDone} of ${shards} shards, ${episodes} episodes`,
    ...table,
  ].join('\n');
}
