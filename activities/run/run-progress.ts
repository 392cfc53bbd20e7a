import { CheckpointManifest } from '../../schemas/checkpoint.js';
import { EvaluationManifest } from '../../schemas/evaluation.js';
import { IterationTiming } from '../../schemas/metrics.js';
import type { RunProgress } from '../../schemas/steps.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import { iterationResult } from '../checkpoint/iteration-result.js';

/** As many as a workflow keeps; all of them are in the store. */
const POINTS = 50;

/** Progress of a run according to its committed steps; null if no iteration is committed. */
export async function runProgress(artifacts: ArtifactStore, runId: string): Promise<RunProgress> {
  const committed: number[] = [];
  let latestStep = -1;
  for await (const key of artifacts.list(`${keys.run(runId)}iterations/`)) {
    const [, iteration, step] = /iterations\/(\d+)\/(.+)\.json$/.exec(key) ?? [];
    if (iteration === undefined) continue;
    latestStep = Math.max(latestStep, Number(iteration));
    if (step === 'checkpoint') committed.push(Number(iteration));
  }
  committed.sort((a, b) => a - b);
  const points: RunProgress['points'] = [];
  let last: Pick<RunProgress, 'policy' | 'checkpoint'> = { policy: null, checkpoint: null };
  for (const k of committed.slice(-POINTS)) {
    const checkpoint = await artifacts.findManifest(keys.checkpoint(runId, k), CheckpointManifest);
    if (!checkpoint) continue;
    const timing = await artifacts.findManifest(keys.iterationTiming(runId, k), IterationTiming);
    const {
      policy,
      checkpoint: ref,
      ...point
    } = iterationResult(checkpoint.manifest, checkpoint.ref, timing?.manifest ?? {});
    points.push(point);
    last = { policy, checkpoint: ref };
  }
  const iteration = (committed.at(-1) ?? -1) + 1;
  return {
    iteration,
    begun: latestStep >= iteration,
    ...last,
    points,
    evaluations: await evaluationsOf(artifacts, runId),
  };
}

async function evaluationsOf(artifacts: ArtifactStore, runId: string): Promise<RunProgress['evaluations']> {
  const found: RunProgress['evaluations'] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}evaluations/`)) {
    const evaluation = await artifacts.findManifest(key, EvaluationManifest);
    if (!evaluation) continue;
    const { name, split, metrics } = evaluation.manifest;
    const { meanReward, successRate, turnPassRate } = metrics;
    // If the run continues, the evaluation at its former end does not count as its end.
    if (name !== 'end') found.push({ name, split, meanReward, successRate, turnPassRate });
  }
  const order = ['train', 'heldout'];
  found.sort((a, b) => rank(a.name) - rank(b.name) || order.indexOf(a.split) - order.indexOf(b.split));
  return [...found.slice(0, 4), ...found.slice(4).slice(-POINTS)];
}

/** In the order in which a run makes them. */
const rank = (name: string): number =>
  name === 'untouched' ? -2 : name === 'start' ? -1 : Number(/\d+/.exec(name)?.[0] ?? 0);
