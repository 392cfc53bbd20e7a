import type { Action, Observation, Verdict } from '../../../schemas/environment-protocol.js';
import type { Task } from '../../../schemas/task.js';
import { shuffled } from '../../numerics/random.js';
import { parseCalls, renderCalls, type ActionFormat } from '../../rollout/tool-calls.js';
import type { RestorableEnvironment } from '../environment.js';
import type { World } from './moved-world.js';
import { malformedProbes, probesOf } from './probes.js';
import type { Checked } from './subject.js';

const MAX_STEPS = 64;
/** For environments that run a response as a program: output, state that the next step sees, an error, text that is long. */
const PROGRAMS = [
  "seen = ['a']\nprint('probe', seen)",
  "seen.append('b')\nprint(seen, {str(n) for n in range(20)})",
  'print(no_such_name)',
  "print('long ' * 1000)",
];

export interface Played {
  readonly actions: Action[];
  readonly observations: Observation[];
  readonly verdict: Verdict;
}

/** Plays scripted episodes for the kit, and keeps count of what they took. */
export class Player {
  /** Of each measured step, in milliseconds. */
  readonly times: number[] = [];
  /** Characters of the longest message. */
  longest = 0;
  private episodes = 0;
  private known: Task[] | undefined;
  private readonly scripted = new Map<string, Promise<Action[][]>>();

  /** @param tasks  at most so many of them are sampled */
  constructor(
    private readonly subject: { open(): Checked },
    private readonly tasks: number,
  ) {}

  /** Some tasks of both splits, the same in every run. */
  async sample(): Promise<Task[]> {
    if (this.known) return this.known;
    const environment = this.subject.open();
    const all = [...(await environment.listTasks('train')), ...(await environment.listTasks('heldout'))];
    return (this.known = shuffled(all, 'conformance').slice(0, this.tasks));
  }

  /** Scripted policies for a task: its solution where known; programs, or calls of the tools that its prompt names; silence. */
  scripts(task: Task): Promise<Action[][]> {
    const known = this.scripted.get(task.id) ?? this.writeScripts(task);
    this.scripted.set(task.id, known);
    return known;
  }

  private async writeScripts(task: Task): Promise<Action[][]> {
    const environment = this.subject.open();
    const episodeId = this.episodeId();
    const { messages } = await environment.reset({ episodeId, taskId: task.id, seed: 1 });
    await environment.close(episodeId);
    const format = environment.callFormat;
    const prompt = messages.map(({ content }) => content).join('\n');
    const asked = messages
      .filter(({ role }) => role !== 'system')
      .map(({ content }) => content)
      .join('\n');
    const solution = (await environment.solution?.(task.id)) ?? null;
    const programs = PROGRAMS.map((code) =>
      act(renderCalls([{ name: 'python', positional: [code], keyword: {} }], 'code-block'), 'code-block'),
    );
    const inspection = await environment.inspect?.();
    const probes = inspection ? await probesOf(inspection, task, asked, format ?? 'call-lines') : [];
    const malformed = malformedProbes(prompt, task.id);
    return [
      ...(solution && solution.length > 0 ? [solution.map((content) => act(content, format))] : []),
      ...probes,
      format === 'code-block' ? programs : malformed.length > 0 ? malformed : [act('hello', format)],
      Array.from({ length: 3 }, () => act('I do not know.', format)),
    ];
  }

  /** @param world  clock and dice, if they are not the real ones */
  async play(
    environment: RestorableEnvironment,
    task: Task,
    actions: readonly Action[],
    measured = true,
    world?: World,
  ): Promise<Played> {
    const episodeId = this.episodeId();
    world?.arm();
    const observations = [await environment.reset({ episodeId, taskId: task.id, seed: 1 })];
    const taken: Action[] = [];
    for (const action of actions.slice(0, MAX_STEPS)) {
      if (observations.at(-1)!.done) break;
      const began = performance.now();
      world?.arm();
      observations.push(await environment.step({ episodeId, stepIndex: taken.length + 1, action }));
      if (measured) this.times.push(performance.now() - began);
      taken.push(action);
    }
    for (const { messages } of observations) this.measure(messages);
    world?.arm();
    const verdict = await environment.evaluate(episodeId);
    await environment.close(episodeId);
    return { actions: taken, observations, verdict };
  }

  measure(messages: Observation['messages']): void {
    for (const { content } of messages) this.longest = Math.max(this.longest, content.length);
  }

  episodeId(): string {
    return `check/${process.pid}/${this.episodes++}`;
  }
}

export const act = (content: string, format: ActionFormat = 'call-lines'): Action => ({
  content,
  calls: parseCalls(content, format),
});
