import pLimit from 'p-limit';
import type { Demonstration } from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import { parseCalls, type CallFormat } from '../rollout/tool-calls.js';
import { ANSWERS } from './answers.js';
import { ask, authorFault } from './author-calls.js';
import type { EpisodeView, OnStepFailure, Parameters, ToolUseSpec } from './definition.js';
import type { PlayableEnvironment } from './in-process-environment.js';
import { counted, type CallCount, type Inspection } from './inspection.js';
import { onBehalfOf, type Culprit } from './stray-errors.js';
import { readTasks, tasksOf, type KnownTask, type ModuleSite } from './task-list.js';
import { MAX_CALLS, STEP_TIMEOUT_MS, ToolEpisode, type OpenedTools } from './tool-episode.js';
import { twice } from './two-tries.js';

/** Demonstrations played at once: each may hold a server. */
const DEMONSTRATIONS_AT_ONCE = 8;

/** A spec whose tools are given by `openTools`, wherever they run, as an environment. */
export class ToolEnvironment implements PlayableEnvironment {
  readonly name: string;
  readonly callFormat: CallFormat;
  readonly onStepFailure: OnStepFailure;
  private readonly calls = new Map<string, CallCount>();
  private known: Promise<ReadonlyMap<string, KnownTask>> | undefined;

  /** @param openTools  tools and state of a new episode of a task, whose fields it may change */
  constructor(
    private readonly spec: ToolUseSpec<Parameters, EpisodeView<unknown, unknown>>,
    private readonly site: ModuleSite,
    private readonly openTools: (fields: unknown, where: string) => Promise<OpenedTools>,
    private readonly toolsElsewhere = false,
  ) {
    this.name = spec.name;
    this.callFormat = spec.format ?? 'call-lines';
    this.onStepFailure = spec.onStepFailure ?? 'fault';
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
    return pLimit(DEMONSTRATIONS_AT_ONCE).map(chosen, (task) => twice(() => this.demonstrate(task)));
  }

  async solution(taskId: string): Promise<readonly string[] | null> {
    const task = (await this.tasks()).get(taskId);
    return task && this.spec.solve ? this.solve(task) : null;
  }

  inspect(): Inspection {
    const {
      calls,
      toolsElsewhere,
      spec: { maxCalls = MAX_CALLS },
    } = this;
    const tools = async (taskId: string) => {
      const { toolbox } = await this.openTools(
        structuredClone((await this.tasks()).get(taskId)?.fields),
        `environment ${this.name}, task ${taskId}`,
      );
      await toolbox.close();
      return toolbox.signatures;
    };
    return { calls, maxCalls, toolsElsewhere, tools };
  }

  private async demonstrate(task: KnownTask): Promise<Demonstration> {
    const episode = await this.begin(task, 0);
    try {
      const messages = [...episode.start().messages];
      const firstTarget = messages.length;
      for (const content of this.solve(task)) {
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

  /** Right responses to a task, from the author's `solve`. */
  private solve({ id, fields }: KnownTask): readonly string[] {
    const { stepTimeoutMs: timeoutMs = STEP_TIMEOUT_MS } = this.spec;
    const asked = { where: `environment ${this.name}, task ${id}`, slot: 'solve', answer: ANSWERS.solve, timeoutMs };
    return ask(asked, () => this.spec.solve!(structuredClone(fields) as never));
  }

  private async begin(task: KnownTask, seed: number): Promise<ToolEpisode> {
    const where = `environment ${this.name}, task ${task.id}`;
    const culprit: Culprit = { name: where, stray: null, over: false };
    const opened = await onBehalfOf(culprit, () => this.openTools(structuredClone(task.fields), where)).catch(
      (error: unknown) => {
        throw authorFault(`${where}: start`, error);
      },
    );
    return new ToolEpisode(this.spec, task, seed, { ...opened, toolbox: counted(opened.toolbox, this.calls) }, culprit);
  }

  private tasks(): Promise<ReadonlyMap<string, KnownTask>> {
    return (this.known ??= readTasks(this.spec, this.site));
  }
}
