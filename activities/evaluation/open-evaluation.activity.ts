import { EvaluateConfig, type ResolvedEvaluation } from '../../schemas/evaluate-config.js';
import { EvaluationPlan, type EvaluationRef } from '../../schemas/evaluation-plan.js';
import { OpenEvaluationInput } from '../../schemas/steps.js';
import type { Task } from '../../schemas/task.js';
import { RunId } from '../../schemas/train-config.js';
import { ConflictingCommit } from '../artifacts/errors.js';
import { keys, type Committed } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import type { Environment } from '../environments/environment.js';
import { shardsOf } from '../rollout/select-tasks.js';
import { ModelFileInvalid } from '../policy/weights/model-file-error.js';
import { problemWithModel } from '../run/model-file.js';
import { BadConfig, checkedConfig, differences } from '../run/resolve-config.js';
import { modelFileOf } from '../run/run-context.js';
import { problemsWithTemplate, templateDateOf } from '../run/template-settings.js';
import { resolveEvaluation, definedFields } from './evaluation-settings.js';
import { findPolicy, NoSuchPolicy, type FoundPolicy } from './policy-source.js';

/** A workflow waits for all of its activities at once; the server refuses more than 2,000. */
const MAX_SHARDS = 1000;

/**
 * Checks the input of an evaluation as a whole and commits what it is: the weights by hash, the tasks, every setting.
 * Control queue.
 *
 * @throws {BadConfig} naming every problem found
 * @throws {ConflictingCommit} if the id belongs to another evaluation
 */
export const createOpenEvaluation = (dependencies: CpuDependencies) =>
  async function openEvaluation(input: OpenEvaluationInput): Promise<EvaluationRef> {
    const { artifacts } = dependencies;
    const id = RunId.safeParse(input.evaluationId);
    if (!id.success)
      throw new BadConfig([
        `the workflow id, which becomes the evaluation's, is "${input.evaluationId}": it ${id.error.issues[0]!.message}`,
      ]);
    const { evaluationId, config } = OpenEvaluationInput.parse(input);
    const given = checkedConfig(EvaluateConfig, config);
    const key = keys.evaluationPlan(evaluationId);

    const stored = await artifacts.findManifest(key, EvaluationPlan);
    if (stored) return continued(key, stored, given);
    const plan = await planOf(evaluationId, given, dependencies);
    return continued(key, await artifacts.commitManifest(key, plan, EvaluationPlan), given);
  };

/** The stored plan, if this input asks for the same evaluation: `end` stays what it was when the evaluation was opened. */
function continued(key: string, { ref, manifest }: Committed<EvaluationPlan>, given: EvaluateConfig): EvaluationRef {
  // What the input leaves out was settled from the run, which does not change.
  const asked = definedFields(given);
  const stored = Object.fromEntries(Object.entries(manifest.config).filter(([name]) => name in asked));
  const found = differences(stored, asked);
  if (found.length > 0) {
    throw new ConflictingCommit(
      `Evaluation id "${manifest.evaluationId}" belongs to another evaluation, stored at ${key}. It differs at ${found.length} place(s): ` +
        `${found.slice(0, 5).join('; ')}${found.length > 5 ? '; ...' : ''}. Choose another workflow id, or start with the stored settings.`,
    );
  }
  const { config, policies, tasks } = manifest;
  return {
    evaluationId: manifest.evaluationId,
    plan: ref,
    title:
      config.title ||
      `${policies.map(({ label }) => label).join(' against ')}, ${config.environment.name}/${config.environment.taskSet}`,
    labels: policies.map(({ label }) => label),
    tasks: tasks.length,
    samplesPerTask: config.samplesPerTask,
    shards: shardsOf(tasks, config.tasksPerShard).length,
    environment: `${config.environment.name}/${config.environment.taskSet}`,
    model: policies[0]!.model.path,
    runs: [...new Set(policies.flatMap(({ source }) => source.run ?? []))],
  };
}

async function planOf(
  evaluationId: string,
  given: EvaluateConfig,
  dependencies: CpuDependencies,
): Promise<EvaluationPlan> {
  const { environments, codec, modelsDir, codeVersion } = dependencies;
  const problems: string[] = [];
  const find = (field: 'policy' | 'against', source: EvaluateConfig['policy']) =>
    findPolicy(source, dependencies).catch((error: unknown): null => {
      if (error instanceof NoSuchPolicy) problems.push(`${field}.${error.message}`);
      else if (error instanceof ModelFileInvalid)
        problems.push(problemWithModel(`${field}.model`, source.model!, error));
      else throw error;
      return null;
    });
  const found: (FoundPolicy | null)[] = [await find('policy', given.policy)];
  if (given.against !== null) found.push(await find('against', given.against));
  const policies = found.filter((one) => one !== null);

  const config = resolveEvaluation(given, policies.find(({ run }) => run !== null)?.run?.config ?? null);
  if (Array.isArray(config)) problems.push(...(policies.length === found.length ? config : []));
  if (problems.length > 0 || Array.isArray(config)) throw new BadConfig(problems);

  const opened = new Date();
  for (const { policy } of policies) {
    const text = await codec(modelFileOf(modelsDir, policy));
    const { contextLength } = text;
    problems.push(...problemsWithTemplate(text, config).filter((problem) => !problems.includes(problem)));
    const templateDate = templateDateOf(text, config.templateDate, undefined, opened);
    if (templateDate !== undefined) config.templateDate = templateDate;
    if (config.maxResponseTokens >= contextLength) {
      problems.push(
        `maxResponseTokens is ${config.maxResponseTokens}, but ${policy.model.path} reads only ${contextLength} tokens, prompt included: lower it`,
      );
    }
  }
  const tasks = await tasksOf(environments(config.environment.name, { taskSet: config.environment.taskSet }), config);
  const set = `task set "${config.environment.taskSet}" of environment "${config.environment.name}"`;
  if (tasks.length === 0) problems.push(`split is "${config.split}", of which the ${set} has no task`);
  const shards = shardsOf(tasks, config.tasksPerShard).length * policies.length;
  if (shards > MAX_SHARDS)
    problems.push(
      `tasksPerShard is ${config.tasksPerShard}: ${tasks.length} tasks would take ${shards} activities, the limit is ${MAX_SHARDS}: raise it`,
    );
  if (problems.length > 0) throw new BadConfig(problems);
  return {
    kind: 'evaluation-plan',
    evaluationId,
    config,
    policies: policies.map(({ policy }) => policy),
    tasks,
    code: { version: codeVersion },
  };
}

async function tasksOf(environment: Environment, { split, maxTasks }: ResolvedEvaluation): Promise<Task[]> {
  const splits = split === 'both' ? (['train', 'heldout'] as const) : [split];
  const tasks = (await Promise.all(splits.map((side) => environment.listTasks(side)))).flat();
  return maxTasks === null ? tasks : tasks.slice(0, maxTasks);
}
