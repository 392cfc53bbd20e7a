import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { canonicalJson, sha256 } from '../../activities/artifacts/canonical-json.js';
import { writeMergedModel } from '../../activities/policy/weights/merged-model.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import { policyAt, requireRun, thetaOf } from '../models/runs.js';
import { inRuntime, modelsDir } from '../setup/paths.js';
import { moveIntoPlace } from '../setup/stamp.js';
import { withStack, type Stack } from './stack.js';
import type { TrialOptions } from './trial.js';

/** A run that starts from a model which has had its warm start. */
export interface Taught {
  readonly config: TrainConfigInput;
  /** Where the workers find its model. */
  readonly modelsDir: string;
}

export type TeachOptions = Pick<TrialOptions, 'root' | 'sidecar' | 'signal' | 'log'>;

/**
 * Takes the warm start out of a run: it is played once, with nothing going wrong, and folded into the model that the run and
 * all its trials then start from. Kept in `.runtime/chaos/models` by the settings' sha256.
 *
 * A small model that has not been shown the tools never earns a reward, so all its advantages are 0; to teach it anew in every
 * trial would take several times as long as the run that is to be disturbed.
 */
export async function taught(config: TrainConfigInput, { root, log, ...options }: TeachOptions): Promise<Taught> {
  const { warmStart, ...rest } = config;
  if (!warmStart) return { config, modelsDir };
  const directory = inRuntime('chaos', 'models');
  const teaching: TrainConfigInput = { ...rest, iterations: 0, warmStart };
  const name = sha256(canonicalJson(teaching)).slice(0, 16);
  const finished = path.join(directory, name);
  if (!existsSync(finished)) {
    log('warm start: played once, its model is what every trial starts from');
    const dataDir = path.join(root, 'warm-start');
    const model = path.join(root, 'warm-start-model');
    await withStack({ ...options, dataDir, gpuWorkers: 1 }, (stack) => teach(stack, teaching, model)).finally(() =>
      rm(dataDir, { recursive: true, force: true }),
    );
    await moveIntoPlace(model, finished);
  }
  return { config: { ...rest, model: { ...rest.model, path: name } }, modelsDir: directory };
}

/** Plays the warm start and writes the model that it left. */
async function teach({ client, artifacts }: Stack, config: TrainConfigInput, directory: string): Promise<void> {
  const runId = 'warm-start';
  await client.workflow.execute('train', { taskQueue: 'seeupo-control', workflowId: runId, args: [config] });
  const run = await requireRun(artifacts, runId);
  const modelFile = path.join(modelsDir, run.model.path);
  const { whole } = await thetaOf(artifacts, run, await policyAt(artifacts, run, null), modelFile);
  await writeMergedModel(modelFile, whole, directory);
}
