import path from 'node:path';
import type { Demonstration } from '../../schemas/environment-protocol.js';
import { callersPath } from '../cli.js';
import { ModuleEnvironment } from '../../activities/environments/module-environment.js';

/** An environment of the user's own, and what a run on it differs in. */
export interface OwnEnvironment {
  /** Variables of the workers, which load the module themselves: its folder is the only one they load modules from. */
  readonly workerEnv: Readonly<Record<string, string>>;
  /** The file's settings that make way: the environment, the turns its tasks need, a warm start that it has no answers for. */
  settings(given: object): Record<string, unknown>;
  /** Conversations with the right answers in them. */
  readonly demonstrations: readonly Demonstration[];
  /** What its author should know before the run; null if there is nothing. */
  readonly notice: string | null;
}

/** @throws {EnvironmentModuleInvalid} naming what is wrong, before anything is set up */
export async function ownEnvironment(given: string): Promise<OwnEnvironment> {
  const file = callersPath(given);
  const name = `./${path.basename(file)}`;
  const folder = path.dirname(file);
  const environment = new ModuleEnvironment(name, [folder]);
  const tasks = [...(await environment.listTasks('train')), ...(await environment.listTasks('heldout'))];
  const demonstrations = await environment.demonstrations();
  return {
    demonstrations,
    notice:
      demonstrations.length === 0
        ? `${name.slice(2)} has no demonstrations (tasks of split "demonstration", with \`solve\`): there is no warm start, and a model of this size may never earn a reward to learn from`
        : null,
    workerEnv: { SEEUPO_ENVIRONMENTS_DIR: folder },
    settings: (settings) => {
      const { rollout } = settings as { rollout?: object };
      return {
        title: `${name.slice(2)} learned by SeeUPO`,
        environment: { name },
        rollout: { ...rollout, maxTurns: Math.max(1, ...tasks.map(({ turns }) => turns)) },
        ...(demonstrations.length === 0 ? { warmStart: null } : {}),
      };
    },
  };
}
