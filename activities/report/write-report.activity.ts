import { z } from 'zod';
import { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import { EvaluationManifest } from '../../schemas/evaluation.js';
import { IterationTiming } from '../../schemas/metrics.js';
import { ReportContent, ReportManifest, StageName } from '../../schemas/report.js';
import { DroppedIteration } from '../../schemas/retention.js';
import { WriteReportInput, type WriteReportResult } from '../../schemas/steps.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { timingOf } from '../artifacts/commit-once.js';
import { keys, type ArtifactStore, type Committed } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { modelFileOf, openedRun, basePolicy } from '../run/run-context.js';
import { renderReport } from './render-report.js';
import { reportContent } from './report-data.js';
import type { EvaluationSource } from './report-sources.js';
import { reportKey } from './report-key.js';

export type WriteReportDependencies = Pick<CpuDependencies, 'artifacts' | 'codec' | 'modelsDir' | 'heartbeats'>;

/** Draws the run's report from its manifests: one HTML page and its JSON twin. */
export const createWriteReport = ({ artifacts, codec, modelsDir, heartbeats }: WriteReportDependencies) =>
  async function writeReport(input: unknown): Promise<WriteReportResult> {
    const { run, completedIterations } = WriteReportInput.parse(input);
    return heartbeats(async (report) => {
      report({ phase: 'read', done: 0, of: completedIterations });
      const opened = await openedRun(artifacts, run, { iteration: completedIterations });
      const warmStart = await artifacts.findManifest(keys.warmStart(run.runId), WarmStartManifest);
      const evaluations = await committedEvaluations(artifacts, run.runId, completedIterations);
      const checkpoints = await committedCheckpoints(artifacts, run.runId, completedIterations, (done) =>
        report({ phase: 'read', done, of: completedIterations }),
      );

      const key = reportKey(run.runId, completedIterations);
      const inputHash = inputHashOf({
        run: run.manifest.sha256,
        settings: run.settings.sha256,
        warmStart: warmStart?.ref.sha256 ?? null,
        evaluations: evaluations.map(({ ref }) => ref.sha256),
        checkpoints: checkpoints.map(({ ref }) => ref.sha256),
      });
      const finished = await artifacts.findManifest(key, ReportManifest);
      if (finished?.manifest.inputHash === inputHash) return refsOf(finished.manifest);

      const { decode } = await codec(modelFileOf(modelsDir, opened));
      const content = reportContent({
        run: opened,
        warmStart: warmStart?.manifest ?? null,
        evaluations: await Promise.all(evaluations.map((evaluation) => withTrajectories(artifacts, evaluation))),
        checkpoints: checkpoints.map((checkpoint) => checkpoint.manifest),
        timings: {
          warmStart: warmStart && (await timingOf(artifacts, warmStart.ref.key)),
          evaluations: await Promise.all(evaluations.map(({ ref }) => timingOf(artifacts, ref.key))),
          checkpoints: await Promise.all(
            checkpoints.map(({ manifest }) => timingOfIteration(artifacts, run.runId, manifest.iteration)),
          ),
        },
        decode,
      });
      report({ phase: 'write', done: completedIterations, of: completedIterations });
      const made: ReportManifest = {
        kind: 'report',
        inputHash,
        completedIterations,
        html: await artifacts.putBlob(new TextEncoder().encode(renderReport(content))),
        json: await artifacts.putJson(ReportContent.parse(content)),
      };
      const { manifest: held } = await artifacts.commitManifest(key, made, ReportManifest);
      // An evaluation that was asked for after the first report changes the inputs; a report is drawn
      // from manifests only, so the key keeps the first one and this caller gets the one he asked for.
      return refsOf(held.inputHash === inputHash ? held : made);
    });
  };

const refsOf = ({ html, json }: ReportManifest): WriteReportResult => ({ html, json });

const timingOfIteration = async (
  artifacts: ArtifactStore,
  runId: string,
  iteration: number,
): Promise<IterationTiming> =>
  (await artifacts.findManifest(keys.iterationTiming(runId, iteration), IterationTiming))?.manifest ?? {};

/** Those of the policies up to theta_K; of the ends that a run had before it was taken further, the last. */
async function committedEvaluations(
  artifacts: ArtifactStore,
  runId: string,
  completedIterations: number,
): Promise<Committed<EvaluationManifest>[]> {
  const found: Committed<EvaluationManifest>[] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}evaluations/`)) {
    const evaluation = await artifacts.findManifest(key, EvaluationManifest);
    if (!evaluation) continue;
    const { name, iterationsDone } = evaluation.manifest;
    if (name === 'end' ? iterationsDone === completedIterations : iterationsDone <= completedIterations)
      found.push(evaluation);
  }
  return found;
}

async function committedCheckpoints(
  artifacts: ArtifactStore,
  runId: string,
  count: number,
  onRead: (done: number) => void,
): Promise<Committed<CheckpointManifest>[]> {
  const found: Committed<CheckpointManifest>[] = [];
  for (let k = 0; k < count; k++) {
    const key = keys.checkpoint(runId, k);
    const checkpoint =
      (await artifacts.findManifest(key, CheckpointManifest)) ?? (await droppedCheckpoint(artifacts, runId, k));
    if (!checkpoint)
      throw new CheckpointCorrupt(`${key} is missing, though the run says that ${count} iteration(s) are committed`);
    found.push(checkpoint);
    onRead(k + 1);
  }
  return found;
}

/** The figures of an iteration that retention dropped. The last one, whose policy the report names, never is. */
async function droppedCheckpoint(
  artifacts: ArtifactStore,
  runId: string,
  iteration: number,
): Promise<Committed<CheckpointManifest> | null> {
  const dropped = await artifacts.findManifest(keys.droppedIteration(runId, iteration), DroppedIteration);
  return dropped && { ref: dropped.ref, manifest: { ...dropped.manifest.checkpoint, policy: basePolicy } };
}

/** Trajectories of the compared policies only: evaluations in between give their means. */
async function withTrajectories(
  artifacts: ArtifactStore,
  { manifest }: Committed<EvaluationManifest>,
): Promise<EvaluationSource> {
  if (!StageName.safeParse(manifest.name).success) return { manifest, trajectories: null };
  return { manifest, trajectories: await artifacts.getJson(manifest.trajectories, z.array(Trajectory)) };
}

class CheckpointCorrupt extends Error {
  override name = 'CheckpointCorrupt';
}
