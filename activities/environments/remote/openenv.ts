import type { Action, Demonstration, Message, Observation, Verdict } from '../../../schemas/environment-protocol.js';
import type { Split, Task } from '../../../schemas/task.js';
import type { ActionFormat } from '../../rollout/tool-calls.js';
import { ANSWERS } from '../answers.js';
import { ask, authorFault, refusalIn, type Asked } from '../author-calls.js';
import { verdictOf, type Judgement, type OnStepFailure } from '../definition.js';
import { FailedAtWork } from '../environment.js';
import type { PlayableEnvironment, PlayableEpisode } from '../in-process-environment.js';
import { readTasks, tasksOf, type KnownTask, type ModuleSite } from '../task-list.js';
import type { Refusal } from '../two-tries.js';
import type { OpenEnvDefinition, OpenEnvResult } from './define-openenv-environment.js';
import { OpenEnvSession } from './openenv-session.js';

const TIMEOUT_MS = 30_000;

/** Client of an OpenEnv server: the author's tasks, one WebSocket session for each episode. */
export class OpenEnv implements PlayableEnvironment {
  readonly name: string;
  readonly callFormat: ActionFormat;
  readonly onStepFailure: OnStepFailure;
  private known: Promise<ReadonlyMap<string, KnownTask>> | undefined;

  constructor(
    private readonly definition: OpenEnvDefinition,
    private readonly site: ModuleSite,
  ) {
    this.name = definition.name;
    this.callFormat = definition.format ?? 'call-lines';
    this.onStepFailure = definition.onStepFailure ?? 'fault';
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
      const asked = askedOf(this.definition, `environment ${this.name}, task ${taskId}`);
      const given = reset
        ? ask<object>(asked('reset'), () => reset(structuredClone(task.fields) as never, seed))
        : { seed };
      const first = await session.reset(given as Readonly<Record<string, unknown>>);
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
      const said = ask<string | readonly Message[]>(this.asked('prompt'), () =>
        this.definition.prompt(this.fields(), this.first),
      );
      const messages: Message[] = typeof said === 'string' ? [{ role: 'user', content: said }] : [...said];
      return { messages, done: this.first.done };
    } catch (error) {
      throw this.fault('prompt', error);
    }
  }

  async step(action: Action, refusal?: Refusal): Promise<Pick<Observation, 'messages' | 'done'>> {
    if (refusal) return this.refused(refusal.told);
    try {
      const given = ask<Readonly<Record<string, unknown>>>(this.asked('action'), () => this.definition.action(action));
      const result = await this.session.step(given);
      this.rewards.push(result.reward);
      const content = ask<string>(this.asked('observe'), () => this.definition.observe(result));
      return { messages: [{ role: 'user', content }], done: result.done || this.rewards.length >= this.task.turns };
    } catch (error) {
      if (error instanceof FailedAtWork)
        throw new FailedAtWork(
          `${error.message} (task ${this.task.id}, turn ${this.rewards.length + 1})`,
          error.told,
          0,
          { cause: error },
        );
      const refused = refusalIn(error);
      if (!refused) throw this.fault('step', error);
      return this.refused(refused.message);
    }
  }

  private refused(said: string): Pick<Observation, 'messages' | 'done'> {
    this.rewards.push(null);
    return { messages: [{ role: 'user', content: `Error: ${said}` }], done: this.rewards.length >= this.task.turns };
  }

  async verdict(): Promise<Verdict> {
    const { rewards } = this;
    try {
      const { score } = this.definition;
      const state = score ? await this.session.state() : {};
      const judgement = ask<Judgement>(this.asked('score'), () =>
        score ? score({ task: this.fields(), rewards, state }) : (rewards.findLast((reward) => reward !== null) ?? 0),
      );
      return verdictOf(judgement, rewards.length);
    } catch (error) {
      throw this.fault('score', error);
    }
  }

  async close(): Promise<void> {
    this.session.close();
  }

  /** A copy: what the author's functions do to it stays theirs. */
  private fields(): never {
    return structuredClone(this.task.fields) as never;
  }

  private asked(slot: keyof typeof ANSWERS): Asked {
    return { ...askedOf(this.definition, this.where())(slot), turns: this.rewards.length };
  }

  private fault(what: string, error: unknown): Error {
    return authorFault(`${this.where()}: ${what}`, error);
  }

  private where(): string {
    return `environment ${this.definition.name}, task ${this.task.id}, turn ${this.rewards.length + 1}`;
  }
}

const askedOf =
  ({ timeoutMs = TIMEOUT_MS }: OpenEnvDefinition, where: string) =>
  (slot: keyof typeof ANSWERS): Asked => ({ where, slot, answer: ANSWERS[slot], timeoutMs });
