import type { z } from 'zod';
import { ArithmeticManifest, type Arithmetic } from '../../schemas/arithmetic.js';
import { Settings } from '../../schemas/settings.js';
import { commitOnce, type StepOutput, type CommitGuard } from '../artifacts/commit-once.js';
import { keys, type Committed } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { differences } from './resolve-config.js';
import { latestSettings, type OpenedRun } from './run-context.js';

/** The arithmetic of this worker differs from that of the run's steps. */
export class ArithmeticMixed extends Error {
  override name = 'ArithmeticMixed';
}

type Computing = Pick<GpuDependencies, 'artifacts' | 'arithmetic'>;

/**
 * `commitOnce` for a step that computes with the model: its manifest records in which arithmetic (precision, replicas,
 * device). A committed step is found by its key whatever the arithmetic of this worker; but a new step that would
 * differ by rounding from the others of the run is rejected.
 *
 * @throws {ArithmeticMixed} unless the run's setting `arithmetic` is "any"
 */
export const computeOnce = <T extends { inputHash: string; arithmetic?: Arithmetic | undefined }>(
  { artifacts, arithmetic }: Computing,
  run: OpenedRun,
  key: string,
  schema: z.ZodType<T>,
  step: CommitGuard,
  compute: () => Promise<StepOutput<T>>,
): Promise<Committed<T>> =>
  commitOnce(artifacts, key, schema, step, async () => {
    await requireOneArithmetic({ artifacts, arithmetic }, run);
    const { manifest, tokens } = await compute();
    return { manifest: { ...manifest, arithmetic }, tokens };
  });

/** The first step of a run fixes its arithmetic. */
async function requireOneArithmetic({ artifacts, arithmetic }: Computing, run: OpenedRun): Promise<void> {
  const key = keys.arithmetic(run.runId);
  const mine: ArithmeticManifest = { kind: 'arithmetic', arithmetic };
  const { manifest } =
    (await artifacts.findManifest(key, ArithmeticManifest)) ??
    (await artifacts.commitManifest(key, mine, ArithmeticManifest));
  const found = differences(manifest.arithmetic, arithmetic);
  if (found.length === 0 || run.config.arithmetic === 'any') return;
  // An operator may have allowed a mix after this iteration began.
  const latest = await artifacts.getJson((await latestSettings(artifacts, run)).settings, Settings);
  if (latest.config.arithmetic === 'any') return;
  const { precision, replicas } = manifest.arithmetic;
  throw new ArithmeticMixed(
    `run "${run.runId}" is computed in another arithmetic than this worker's: ${found.join('; ')}. ` +
      'Rollouts, scores and updates would differ by rounding, and the same seed would not give the same bytes. ' +
      `Run the step on a worker like those before (SEEUPO_PRECISION=${precision} SEEUPO_REPLICAS=${replicas}, on such a ` +
      'device), then resume; or allow the mix, which every step then records: update changeSettings with ' +
      '{"arithmetic":"any"}, then resume.',
  );
}
