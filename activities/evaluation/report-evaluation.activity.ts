import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { EvaluationPlan, EvaluationShardManifest } from '../../schemas/evaluation-plan.js';
import { EvaluationContent, EvaluationReportManifest } from '../../schemas/evaluation-report.js';
import { ReportEvaluationInput, type ReportEvaluationResult } from '../../schemas/steps.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { commitOnce, unownedStep, timingOf } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { readableEpisode } from '../report/episode.js';
import { modelFileOf } from '../run/run-context.js';
import { evaluationContent } from './evaluation-content.js';
import { renderEvaluation } from './render-evaluation.js';

/** Characters of transcripts that the page shows; a browser opens it at once. */
const TRANSCRIPT_CHARACTERS = 6_000_000;

/** Draws the report of an evaluation from its shards: one HTML page and its JSON twin. Control queue. */
export const createReportEvaluation = ({
  artifacts,
  codec,
  modelsDir,
  heartbeats,
}: Pick<CpuDependencies, 'artifacts' | 'codec' | 'modelsDir' | 'heartbeats'>) =>
  async function reportEvaluation(input: z.input<typeof ReportEvaluationInput>): Promise<ReportEvaluationResult> {
    const parsed = ReportEvaluationInput.parse(input);
    const { evaluation } = parsed;
    const { manifest } = await commitOnce(
      artifacts,
      keys.evaluationReport(evaluation.evaluationId),
      EvaluationReportManifest,
      unownedStep(inputHashOf(parsed)),
      () =>
        heartbeats(async (report) => {
          const plan = await artifacts.getJson(evaluation.plan, EvaluationPlan);
          const readShard = (ref: ArtifactRef): Promise<EvaluationShardManifest> =>
            artifacts.getJson(ref, EvaluationShardManifest);
          const shards = await Promise.all(parsed.shards.map((refs) => Promise.all(refs.map(readShard))));

          const timings = await Promise.all(parsed.shards.flat().map(({ key }) => timingOf(artifacts, key)));
          const episodes: EvaluationContent['episodes'] = [];
          let [room, leftOut, read] = [TRANSCRIPT_CHARACTERS, 0, 0];
          const splits = new Map(plan.tasks.map(({ id, split }) => [id, split]));
          for (const { policy, trajectories, outcomes } of shards.flat()) {
            report({ phase: 'transcripts', done: read++, of: shards.flat().length });
            if (room <= 0) {
              leftOut += outcomes.length;
              continue;
            }
            const { decode } = await codec(modelFileOf(modelsDir, plan.policies[policy]!));
            for (const trajectory of await artifacts.getJson(trajectories, z.array(Trajectory))) {
              const shown = { policy, ...readableEpisode(trajectory, splits.get(trajectory.taskId)!, decode, 'first') };
              room -= JSON.stringify(shown).length;
              if (room > 0) episodes.push(shown);
              else leftOut++;
            }
          }
          const content = EvaluationContent.parse(
            evaluationContent({ plan, shards, timings, episodes, episodesLeftOut: leftOut }),
          );
          const made = {
            kind: 'evaluation-report' as const,
            html: await artifacts.putBlob(new TextEncoder().encode(renderEvaluation(content))),
            json: await artifacts.putJson(content),
            overall: content.overall,
            comparison: content.comparison,
          };
          return { manifest: made, tokens: 0 };
        }),
    );
    const { html, json, overall, comparison } = manifest;
    return { html, json, overall, comparison };
  };
