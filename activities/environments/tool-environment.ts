import pLimit from 'p-limit';
import type { Demonstration } from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import { parseCalls, type CallFormat } from '../rollout/tool-calls.js';
import type { EpisodeView, Parameters, ToolUseSpec } from './definition.js';
import type { PlayableEnvironment } from './in-process-environment.js';
import { readTasks, tasksOf, type KnownTask, type ModuleSite } from './task-list.js';
import { authorFault, ToolEpisode, type OpenedTools } from './tool-episode.js';

/** Demonstrations played at once: each may hold a server. */
const DEMONSTRATIONS_AT_ONCE = 8;

/** A spec whose tools are given by `openTools`, wherever they run, as an environment. */
export class ToolEnvironment implements PlayableEnvironment {
  readonly name: string;
  readonly callFormat: CallFormat;
  private known: Promise<ReadonlyMap<string, KnownTask>> | undefined;

  /** @param openTools  tools and state of a new episode of a task, whose fields it may change */
  constructor(
    private readonly spec: ToolUseSpec<Parameters, EpisodeView<unknown, unknown>>,
    private readonly site: ModuleSite,
    private readonly openTools: (fields: unknown) => Promise<OpenedTools>,
  ) {
    this.name = spec.name;
    this.callFormat = spec.format ?? 'call-lines';
  }

  async listTasks(split: Split): Promise<Task[]> {
    return tasksOf(await this.tasks(), split);
  }

  async open(taskId: string, seed: number): Promise<ToolEpisode | null> {
    const task = (await this.tasks()).get(taskId);
    return task ? this.begin(task, seed) : null;
  }

  /** Conversations in which `solve` plays the tasks of the split `demonstration`. */
  async demonstrations(): Promise<Demonstration[]> {
    if (!this.spec.solve) return [];
    const chosen = [...(await this.tasks()).values()].filter(({ split }) => split === 'demonstration');
    return pLimit(DEMONSTRATIONS_AT_ONCE).map(chosen, (task) => this.demonstrate(task));
  }

  async solution(taskId: string): Promise<readonly string[] | null> {
    const task = (await this.tasks()).get(taskId);
    return (task && this.spec.solve?.(task.fields as never)) ?? null;
  }

  private async demonstrate(task: KnownTask): Promise<Demonstration> {
    const episode = await this.begin(task, 0);
    try {
      const messages = [...episode.start().messages];
      const firstTarget = messages.length;
      for (const content of this.spec.solve!(task.fields as never)) {
        messages.push({ role: 'assistant', content });
        const after = await episode.step({ content, calls: parseCalls(content, this.callFormat) });
        if (after.done) break;
        messages.push(...after.messages);
      }
      while (messages.at(-1)?.role !== 'assistant' && messages.length > firstTarget) messages.pop();
      return { taskId: task.id, messages, firstTarget };
    } finally {
      await episode.close();
    }
  }

  private async begin(task: KnownTask, seed: number): Promise<ToolEpisode> {
    const opened = await this.openTools(structuredClone(task.fields)).catch((error: unknown) => {
      throw authorFault(`environment ${this.name}, task ${task.id}: start`, error);
    });
    return new ToolEpisode(this.spec, task, seed, opened);
  }

  private tasks(): Promise<ReadonlyMap<string, KnownTask>> {
    return (this.known ??= readTasks(this.spec, this.site));
  }
}
