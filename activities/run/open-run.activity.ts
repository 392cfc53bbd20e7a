import { RunManifest, type OpenedRun, type RunRef } from '../../schemas/run.js';
import { OpenRunInput } from '../../schemas/steps.js';
import { RunId } from '../../schemas/train-config.js';
import { ConflictingCommit } from '../artifacts/errors.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { selectTasks, shardsOf } from '../rollout/select-tasks.js';
import { inertSettings } from './inert-settings.js';
import { identifyModelFile, ModelFileInvalid } from './model-file.js';
import { BadConfig, differences, problemsWithTasks, resolveConfig } from './resolve-config.js';

/**
 * Checks a configuration as a whole and commits what the run is: every default spelled out, the
 * model's hash, the tasks. CPU queue.
 *
 * @throws {BadConfig} naming every problem found
 * @throws {ModelFileInvalid} if a hub does not have the model, {HubUnavailable} if the hub does not answer
 * @throws {ConflictingCommit} if the run id belongs to a run with another configuration or model
 */
export const createOpenRun = ({ artifacts, environments, codec, fetchModel, modelsDir, codeVersion }: CpuDependencies) =>
  async function openRun(input: OpenRunInput): Promise<OpenedRun> {
    const { runId, config: given } = checkedInput(input);
    const config = resolveConfig(given);
    const key = keys.runManifest(runId);

    const problems: string[] = [];
    const model = await identifyModelFile(modelsDir, await fetchModel(config.model.path)).catch((error: unknown) => {
      if (!(error instanceof ModelFileInvalid)) throw error;
      problems.push(error.message);
      return null;
    });
    if (model) {
      const { contextLength } = await codec(`${modelsDir}/${model.path}`);
      if (config.rollout.maxResponseTokens >= contextLength) {
        problems.push(`rollout.maxResponseTokens is ${config.rollout.maxResponseTokens}, but the model reads only ${contextLength} tokens, prompt included: lower it`);
      }
    }
    const environment = environments(config.environment.name, { taskSet: config.environment.taskSet });
    const [trainTasks, heldoutTasks] = await Promise.all([environment.listTasks('train'), environment.listTasks('heldout')]).catch(
      (error: unknown) => {
        // An environment that is down is worth a retry, but not of a configuration that is wrong anyway.
        throw problems.length > 0 ? new BadConfig(problems) : error;
      },
    );
    problems.push(...problemsWithTasks(config, trainTasks, heldoutTasks));
    if (problems.length > 0 || !model) throw new BadConfig(problems);

    const manifest: RunManifest = {
      kind: 'run', runId, config, model, inertSettings: inertSettings(config), trainTasks, heldoutTasks, code: { version: codeVersion },
    };
    const committed = await artifacts.commitManifest(key, manifest, RunManifest);
    refuseOther(key, committed.manifest, manifest);
    return { ...runRefOf(committed.manifest, committed.ref), inertSettings: committed.manifest.inertSettings };
  };

function checkedInput(input: OpenRunInput): OpenRunInput {
  const runId = RunId.safeParse(input.runId);
  if (!runId.success) throw new BadConfig([`the workflow id, which becomes the run id, is "${input.runId}": it ${runId.error.issues[0]!.message}`]);
  return OpenRunInput.parse(input);
}

/** The stored run goes on only as what it was; the code's version may differ. */
function refuseOther(key: string, stored: RunManifest, given: RunManifest): void {
  const of = ({ config, model, trainTasks, heldoutTasks }: RunManifest) => ({ config, model, trainTasks, heldoutTasks });
  const found = differences(of(stored), of(given)).map((difference) => difference.replace(/^config\./, ''));
  if (found.length === 0) return;
  throw new ConflictingCommit(
    `Run id "${stored.runId}" belongs to another run, stored at ${key}. It differs at ${found.length} place(s): ` +
      `${found.slice(0, 5).join('; ')}${found.length > 5 ? '; ...' : ''}. Choose another workflow id, or start with the stored settings.`,
  );
}

/** What the iteration workflow walks through; the rivals have one pool with all turns, so any order does. */
function updateOrderOf({ algorithm, seed }: RunManifest['config']): RunRef['updateOrder'] {
  if (algorithm.name !== 'seeupo') return 'forward';
  return algorithm.updateOrder === 'random' ? { random: seed } : algorithm.updateOrder;
}

function runRefOf(manifest: RunManifest, ref: RunRef['manifest']): RunRef {
  const { config, runId, trainTasks } = manifest;
  return {
    runId,
    manifest: ref,
    title: config.title || `${config.algorithm.name} on ${config.environment.name}/${config.environment.taskSet}`,
    iterations: config.iterations,
    tasks: trainTasks.length,
    groupSize: config.rollout.groupSize,
    shards: shardsOf(selectTasks(config, trainTasks, 0), config.rollout.tasksPerShard).length,
    updateOrder: updateOrderOf(config),
    ...(config.update.shards > 1 && { spread: { shards: config.update.shards, steps: config.algorithm.epochs * config.algorithm.minibatches } }),
    warmStart: config.warmStart !== null,
    evaluateEvery: config.evaluation.everyIterations,
    algorithm: config.algorithm.name,
    environment: `${config.environment.name}/${config.environment.taskSet}`,
    model: config.model.path,
  };
}

