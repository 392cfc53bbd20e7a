import os from 'node:os';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { RunManifest } from '../../schemas/run.js';
import type { ForkRequest } from '../../schemas/run-request.js';
import type { Settings } from '../../schemas/settings.js';
import { OpenRunInput, type OpenRunResult } from '../../schemas/steps.js';
import { RunId, type TrainConfig } from '../../schemas/train-config.js';
import { ConflictingCommit } from '../artifacts/errors.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import type { TextCodec } from '../policy/policy.js';
import { ModelFileInvalid } from '../policy/weights/model-file-error.js';
import { forkOf, type Fork } from './fork-run.js';
import { inertSettings } from './inert-settings.js';
import { identifyModelFile, problemWithModel } from './model-file.js';
import { claimRun } from './ownership.js';
import { promptRoom } from './prompt-room.js';
import { BadConfig, differences, problemsWithTasks, resolveConfig } from './resolve-config.js';
import { configAt, latestSettings } from './run-context.js';
import { runProgress } from './run-progress.js';
import { runRefOf } from './run-ref.js';
import { requestOf } from './run-request.js';
import { problemsWithTemplate, templateDateOf } from './template-settings.js';

/**
 * Opens a new run, a fork of one, or one that is in the store already: checks the input as a whole, makes
 * this execution the one that writes the run, commits what the run is (every default spelled out, the
 * model's hash, the tasks), and says how far it has come. Control queue.
 *
 * @throws {BadConfig} naming every problem found, with the model and the environment, too
 * @throws {HubUnavailable} if the hub does not answer
 * @throws {ConflictingCommit} if the run id belongs to a run with another configuration or model
 * @throws {RunHeld} if another execution writes the run
 */
export const createOpenRun = (dependencies: CpuDependencies) =>
  async function openRun(input: OpenRunInput): Promise<OpenRunResult> {
    const { artifacts, executionState, temporalAddress } = dependencies;
    const { config: given, execution } = OpenRunInput.parse(input);
    const request = requestOf(given);
    const runId = request.kind === 'resume' ? request.resumeFrom.run : checkedId(execution.workflowId);
    const key = keys.runManifest(runId);
    const stored = await artifacts.findManifest(key, RunManifest);

    // All problems of the input are found before the run is claimed.
    let made: RunManifest | null = null;
    let fork: Fork | null = null;
    if (request.kind === 'resume') {
      if (!stored)
        throw new BadConfig([
          `resumeFrom.run: there is no run "${runId}" in this store. Is this the bucket that it was written to?`,
        ]);
    } else if (request.kind === 'fork') {
      if (stored) refuseOtherFork(key, stored.manifest, request);
      else fork = await checkedFork(dependencies, runId, request);
    } else {
      made = await described(dependencies, runId, resolveConfig(request.config), stored?.manifest ?? null);
      if (stored) refuseOther(key, stored.manifest, made);
    }
    const takeOver = request.kind === 'resume' ? request.resumeFrom.takeOver : undefined;
    const generation = await claimRun(artifacts, runId, {
      by: execution,
      takeOver,
      stateOf: executionState,
      host: os.hostname(),
      server: temporalAddress,
      now: () => new Date(),
    });
    if (fork) made = forked(dependencies, runId, fork, await fork.copy());
    const { ref, manifest } = stored ?? (await artifacts.commitManifest(key, made!, RunManifest));
    return openedState(artifacts, manifest, ref, generation);
  };

function checkedId(workflowId: string): string {
  const runId = RunId.safeParse(workflowId);
  if (runId.success) return runId.data;
  throw new BadConfig([
    `the workflow id, which becomes the run id, is "${workflowId}": it ${runId.error.issues[0]!.message}`,
  ]);
}

/** The manifest of a new run. @throws {BadConfig} */
async function described(
  { artifacts, environments, codec, fetchModel, modelsDir, codeVersion }: CpuDependencies,
  runId: string,
  given: TrainConfig,
  known: RunManifest | null,
): Promise<RunManifest> {
  const problems: string[] = [];
  let config = given;
  // A branch of a hub moves on; a run stays with the commit that it began with.
  const modelPath = known?.config.model.path === config.model.path ? known.model.path : config.model.path;
  const accepted = config.model.acceptSettings ?? [];
  const reportModel = (error: unknown): null => {
    if (!(error instanceof ModelFileInvalid)) throw error;
    problems.push(problemWithModel('model.path', config.model.path, error));
    return null;
  };
  const model = await fetchModel(modelPath, undefined, accepted)
    .then((file) => identifyModelFile(modelsDir, file, accepted))
    .catch(reportModel);
  const text = model && (await codec(`${modelsDir}/${model.path}`).catch(reportModel));
  if (text) {
    problems.push(...problemsWithText(text, config));
    config = withTemplateDate(
      config,
      templateDateOf(text, config.rollout.templateDate, known?.config.rollout.templateDate, new Date()),
    );
  }
  const { environment, trainTasks, heldoutTasks } = await tasksOf(environments, config).catch((error: unknown) => {
    // An environment that is down is worth a retry, but not of a configuration that is wrong anyway.
    if (problems.length === 0) throw error;
    throw new BadConfig([...problems, ...problemsIn(error)]);
  });
  problems.push(...problemsWithTasks(config, trainTasks, heldoutTasks));
  if (problems.length > 0 || !model || !text) throw new BadConfig(problems);
  // A run that is stored already needs only the parts by which it is compared.
  const room = known
    ? { problems: [], leftOut: [] }
    : await promptRoom(runId, environment, text, config, [trainTasks, heldoutTasks]);
  if (room.problems.length > 0) throw new BadConfig(room.problems);
  const settings: Settings = { kind: 'settings', from: { iteration: 0, keptTurns: null }, config, before: null };
  return {
    kind: 'run',
    runId,
    config,
    settings: await artifacts.putJson(settings),
    forkedFrom: null,
    model,
    inertSettings: [...inertSettings(config), ...room.leftOut],
    trainTasks,
    heldoutTasks,
    code: { version: codeVersion },
  };
}

async function tasksOf(environments: CpuDependencies['environments'], { environment: { name, taskSet } }: TrainConfig) {
  const environment = environments(name, { taskSet });
  const [trainTasks, heldoutTasks] = await Promise.all([
    environment.listTasks('train'),
    environment.listTasks('heldout'),
  ]);
  return { environment, trainTasks, heldoutTasks };
}

/** What an environment's error says of the configuration; of one that is worth a retry, nothing. */
function problemsIn(error: unknown): readonly string[] {
  if (error instanceof BadConfig) return error.problems;
  return error instanceof Error && error.name === 'UnknownEnvironment' ? [error.message] : [];
}

/** Problems between a configuration and the model's tokenizer and chat template. */
function problemsWithText(
  text: Pick<TextCodec, 'contextLength' | 'templateReads'>,
  { rollout }: TrainConfig,
): string[] {
  const problems = problemsWithTemplate(text, rollout, 'rollout.');
  if (rollout.maxResponseTokens < text.contextLength) return problems;
  return [
    `rollout.maxResponseTokens is ${rollout.maxResponseTokens}, but the model reads only ${text.contextLength} tokens, prompt included: lower it`,
    ...problems,
  ];
}

/** Without a date the configuration keeps its bytes. */
const withTemplateDate = (config: TrainConfig, templateDate: string | undefined): TrainConfig =>
  templateDate === undefined ? config : { ...config, rollout: { ...config.rollout, templateDate } };

/** Checks a fork. @throws {BadConfig} naming every problem with it */
async function checkedFork(
  { artifacts, codec, modelsDir }: CpuDependencies,
  runId: string,
  request: ForkRequest,
): Promise<Fork> {
  const fork = await forkOf(artifacts, runId, request);
  const { source, config } = fork;
  const { model, trainTasks, heldoutTasks } = source;
  const problems = [
    ...fork.refused,
    ...problemsWithTasks(config, trainTasks, heldoutTasks),
    ...problemsWithText(await codec(`${modelsDir}/${model.path}`), config),
  ];
  if (problems.length > 0) throw new BadConfig(problems);
  return fork;
}

/** The manifest of a fork whose shared steps have been copied. */
function forked(
  { codeVersion }: CpuDependencies,
  runId: string,
  { source, config, forkedFrom }: Fork,
  settings: ArtifactRef,
): RunManifest {
  const { model, trainTasks, heldoutTasks } = source;
  return {
    kind: 'run',
    runId,
    config,
    settings,
    forkedFrom,
    model,
    inertSettings: inertSettings(config),
    trainTasks,
    heldoutTasks,
    code: { version: codeVersion },
  };
}

/** The run's settings for its next iteration and for later ones, and its progress. */
async function openedState(
  artifacts: ArtifactStore,
  manifest: RunManifest,
  ref: ArtifactRef,
  generation: number,
): Promise<OpenRunResult> {
  const progress = await runProgress(artifacts, manifest.runId);
  const { settings, revisions } = await latestSettings(artifacts, manifest);
  const at = (iteration: number) => configAt(artifacts, settings, { iteration });
  const [now, later] = [await at(progress.iteration), await at(Infinity)];
  const place = { manifest: ref, generation, settings };
  const run = { ...runRefOf(manifest, place, now), iterations: later.iterations };
  const next = now === later ? null : { from: progress.iteration + 1, run: runRefOf(manifest, place, later) };
  // Inert settings that were measured when the run was opened, besides those that follow from the settings alone.
  const measured = manifest.inertSettings.filter((setting) => !inertSettings(manifest.config).includes(setting));
  return { run, next, progress, revisions: revisions.length, inertSettings: [...inertSettings(now), ...measured] };
}

/** A stored run continues only with equal configuration, model and tasks; the code's version may differ. */
function refuseOther(key: string, stored: RunManifest, given: RunManifest): void {
  const of = ({ config, model, trainTasks, heldoutTasks }: RunManifest) => ({
    config,
    model,
    trainTasks,
    heldoutTasks,
  });
  const found = differences(of(stored), of(given)).map((difference) => difference.replace(/^config\./, ''));
  if (found.length === 0) return;
  throw new ConflictingCommit(
    `Run id "${stored.runId}" belongs to another run, stored at ${key}. It differs at ${found.length} place(s): ` +
      `${found.slice(0, 5).join('; ')}${found.length > 5 ? '; ...' : ''}. Choose another workflow id, or start with the stored settings.`,
  );
}

function refuseOtherFork(key: string, stored: RunManifest, { forkFrom }: ForkRequest): void {
  const found = differences(stored.forkedFrom, forkFrom, 'forkFrom');
  if (found.length === 0) return;
  throw new ConflictingCommit(
    `Run id "${stored.runId}" belongs to another run, stored at ${key}: ${found.join('; ')}. Choose another workflow id.`,
  );
}
