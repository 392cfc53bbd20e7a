import type { Action, Demonstration, Message, Observation, Verdict } from '../../../schemas/environment-protocol.js';
import type { Split, Task } from '../../../schemas/task.js';
import type { ActionFormat } from '../../rollout/tool-calls.js';
import { verdictOf } from '../definition.js';
import type { PlayableEnvironment, PlayableEpisode } from '../in-process-environment.js';
import { readTasks, tasksOf, type KnownTask, type ModuleSite } from '../task-list.js';
import { authorFault } from '../tool-episode.js';
import type { OpenEnvDefinition, OpenEnvResult } from './define-openenv-environment.js';
import { OpenEnvSession } from './openenv-session.js';

const TIMEOUT_MS = 30_000;

/** Client of an OpenEnv server: the author's tasks, one WebSocket session for each episode. */
export class OpenEnv implements PlayableEnvironment {
  readonly name: string;
  readonly callFormat: ActionFormat;
  private known: Promise<ReadonlyMap<string, KnownTask>> | undefined;

  constructor(
    private readonly definition: OpenEnvDefinition,
    private readonly site: ModuleSite,
  ) {
    this.name = definition.name;
    this.callFormat = definition.format ?? 'call-lines';
  }

  async listTasks(split: Split): Promise<Task[]> {
    return tasksOf(await this.tasks(), split);
  }

  async open(taskId: string, seed: number): Promise<PlayableEpisode | null> {
    const task = (await this.tasks()).get(taskId);
    if (!task) return null;
    const { url, reset, timeoutMs = TIMEOUT_MS } = this.definition;
    const session = await OpenEnvSession.open(this.name, url, timeoutMs);
    try {
      const first = await session.reset(reset ? reset(task.fields as never, seed) : { seed });
      return new OpenEnvEpisode(this.definition, task, session, first);
    } catch (error) {
      session.close();
      throw authorFault(`environment ${this.name}, task ${taskId}: reset`, error);
    }
  }

  async demonstrations(): Promise<Demonstration[]> {
    return [];
  }

  async solution(): Promise<null> {
    return null;
  }

  private tasks(): Promise<ReadonlyMap<string, KnownTask>> {
    return (this.known ??= readTasks(this.definition, this.site));
  }
}

class OpenEnvEpisode implements PlayableEpisode {
  private readonly rewards: (number | null)[] = [];

  constructor(
    private readonly definition: OpenEnvDefinition,
    private readonly task: KnownTask,
    private readonly session: OpenEnvSession,
    private readonly first: OpenEnvResult,
  ) {}

  start(): Pick<Observation, 'messages' | 'done'> {
    try {
      const said = this.definition.prompt(this.task.fields as never, this.first);
      const messages: Message[] = typeof said === 'string' ? [{ role: 'user', content: said }] : [...said];
      return { messages, done: this.first.done };
    } catch (error) {
      throw this.fault('prompt', error);
    }
  }

  async step(action: Action): Promise<Pick<Observation, 'messages' | 'done'>> {
    try {
      const result = await this.session.step(this.definition.action(action));
      this.rewards.push(result.reward);
      const content = this.definition.observe(result);
      return { messages: [{ role: 'user', content }], done: result.done || this.rewards.length >= this.task.turns };
    } catch (error) {
      if ((error as Error | null)?.name !== 'ToolError') throw this.fault('step', error);
      this.rewards.push(null);
      return { messages: [{ role: 'user', content: `Error: ${(error as Error).message}` }], done: this.rewards.length >= this.task.turns };
    }
  }

  async verdict(): Promise<Verdict> {
    const { rewards } = this;
    try {
      const { score } = this.definition;
      const judgement = score ? score({ task: this.task.fields as never, rewards, state: await this.session.state() }) : (rewards.findLast((reward) => reward !== null) ?? 0);
      return verdictOf(judgement, rewards.length);
    } catch (error) {
      throw this.fault('score', error);
    }
  }

  async close(): Promise<void> {
    this.session.close();
  }

  private fault(what: string, error: unknown): Error {
    return authorFault(`environment ${this.definition.name}, task ${this.task.id}, turn ${this.rewards.length + 1}: ${what}`, error);
  }
}
