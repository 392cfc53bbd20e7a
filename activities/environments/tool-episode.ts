import { setTimeout as sleep } from 'node:timers/promises';
import type { Action, Message, Observation, ToolCall, Verdict } from '../../schemas/environment-protocol.js';
import { uniform } from '../numerics/random.js';
import { renderCalls, type WellFormedCall } from '../rollout/tool-calls.js';
import { ANSWERS } from './answers.js';
import { ask, askLater, authorFault, type Asked } from './author-calls.js';
import {
  verdictOf,
  type EpisodeView,
  type Judgement,
  type Parameters,
  type PlayedCall,
  type PlayedTurn,
  type ToolUseSpec,
} from './definition.js';
import { FailedAtWork } from './environment.js';
import { alteredNumber, plainNumbers } from './exact-numbers.js';
import type { PlayableEpisode } from './in-process-environment.js';
import { onBehalfOf, strayOf, type Culprit } from './stray-errors.js';
import type { KnownTask } from './task-list.js';
import type { Toolbox, ToolSignature } from './toolbox.js';
import { toolsPrompt } from './tools-prompt.js';
import { tookLonger, type Refusal } from './two-tries.js';

export const MAX_CALLS = 8;
const MAX_RESULT_CHARACTERS = 2_000;
export const STEP_TIMEOUT_MS = 10_000;
/** What tokenizers have tokens of their own for, besides control tokens. */
const SPELLS_A_TAG = /<\/?(?:tool_response|tool_call|think)>|<\|/;
/** Characters of a call in messages. */
const SHOWN_CALL = 200;

/** What a new episode was given. */
export interface OpenedTools {
  readonly toolbox: Toolbox;
  readonly state: unknown;
  /** What the author's functions see besides the episode. */
  readonly extras?: object;
}

/** One episode with tools: the state, and what the model said and did. */
export class ToolEpisode implements PlayableEpisode {
  private readonly turns: PlayedTurn[] = [];
  private draws = 0;
  private readonly view: EpisodeView<unknown, unknown>;
  private readonly toolbox: Toolbox;
  private readonly culprit: Culprit;

  constructor(
    private readonly spec: ToolUseSpec<Parameters, EpisodeView<unknown, unknown>>,
    private readonly task: KnownTask,
    seed: number,
    { toolbox, state, extras }: OpenedTools,
    culprit: Culprit,
  ) {
    this.culprit = culprit;
    this.toolbox = toolbox;
    this.view = {
      ...extras,
      task: structuredClone(task.fields),
      state,
      turns: this.turns,
      random: () => uniform(`${spec.name}/${task.id}/${seed}/${this.draws++}`),
    };
  }

  start(): Pick<Observation, 'messages' | 'done'> {
    const { format = 'call-lines' } = this.spec;
    const said = onBehalfOf(this.culprit, () =>
      ask<string | readonly Message[]>(this.asked('prompt'), () =>
        this.spec.prompt(structuredClone(this.task.fields) as never),
      ),
    );
    const asked: readonly Message[] = typeof said === 'string' ? [{ role: 'user', content: said }] : said;
    const own = asked[0]?.role === 'system' ? asked[0].content : null;
    const system = [...(own === null ? [] : [own]), toolsPrompt(this.toolbox.signatures, format)].join('\n\n');
    return { messages: [{ role: 'system', content: system }, ...(own === null ? asked : asked.slice(1))], done: false };
  }

  async step(action: Action, refusal?: Refusal): Promise<Pick<Observation, 'messages' | 'done'>> {
    const { stepTimeoutMs = STEP_TIMEOUT_MS } = this.spec;
    const tooLate = new AbortController();
    const underWay = { call: 0 };
    const calls = await Promise.race([
      onBehalfOf(this.culprit, () => this.execute(action.calls, refusal, underWay)),
      sleep(stepTimeoutMs, undefined, { signal: tooLate.signal, ref: false }).then(() => {
        const told = tookLonger(stepTimeoutMs);
        throw this.failed(
          action.calls,
          underWay.call,
          new FailedAtWork(`${told} (stepTimeoutMs)${this.toolbox.said?.() ?? ''}`, told),
        );
      }),
    ]).finally(() => tooLate.abort());
    await this.noStray();
    this.turns.push({ content: action.content, calls });
    const last = this.turns.length >= this.task.turns;
    const said = this.said(calls.length > 0);
    const message = this.answer(
      calls.map(({ result }) => result),
      said,
    );
    const done = last || said === null;
    if (message.content !== '') return { messages: [message], done };
    return { messages: done ? [] : [{ role: 'user', content: '(no call)' }], done };
  }

  async verdict(): Promise<Verdict> {
    const judgement = await onBehalfOf(this.culprit, () =>
      askLater<Judgement>(this.asked('verify'), () => this.spec.verify(this.view)),
    );
    await this.noStray();
    return verdictOf(judgement, this.turns.length);
  }

  close(): Promise<void> {
    this.culprit.over = true;
    return this.toolbox.close();
  }

  /** The user's message with the results and what the user says; a result that spells a tag is text, not the tag's token. */
  private answer(results: readonly string[], said: string | null): Message {
    const [before, after] =
      this.spec.format === 'hermes' ? ['<tool_response>\n', '\n</tool_response>'] : ['Result: ', ''];
    const verbatim: [number, number][] = [];
    let content = '';
    for (const [index, result] of results.entries()) {
      content += `${index > 0 ? '\n' : ''}${before}`;
      if (SPELLS_A_TAG.test(result)) verbatim.push([content.length, content.length + result.length]);
      content += `${result}${after}`;
    }
    content = [...(results.length > 0 ? [content] : []), ...(said ? [said] : [])].join('\n');
    return { role: 'user', content, ...(verbatim.length > 0 ? { verbatim } : {}) };
  }

  /** @param underWay  is told the index of the call that is being made */
  private async execute(
    written: readonly ToolCall[],
    refusal: Refusal | undefined,
    underWay: { call: number },
  ): Promise<PlayedCall[]> {
    const { maxCalls = MAX_CALLS } = this.spec;
    const played: PlayedCall[] = [];
    for (const [index, call] of written.slice(0, maxCalls).entries()) {
      underWay.call = index;
      const entry =
        refusal && index >= refusal.call
          ? notMade(call, index === refusal.call ? refusal.told : null)
          : await this.made(written, index);
      played.push({ ...entry, result: this.cut(entry.result) });
    }
    if (written.length > maxCalls)
      played.push(
        refused('', `Error: ${written.length} calls in one response, only the first ${maxCalls} were executed`),
      );
    return played;
  }

  private async made(written: readonly ToolCall[], index: number): Promise<PlayedCall> {
    const call = written[index]!;
    if ('malformed' in call) return refused('', `Error: ${call.malformed}`);
    try {
      return await this.call(call);
    } catch (error) {
      throw error instanceof FailedAtWork ? this.failed(written, index, error) : error;
    }
  }

  /** The failure of a call, with the call. */
  private failed(written: readonly ToolCall[], index: number, { message, told, cause }: FailedAtWork): FailedAtWork {
    const call = written[index];
    const shown = call && !('malformed' in call) ? renderCalls([call], 'call-lines').slice(0, SHOWN_CALL) : 'a step';
    return new FailedAtWork(
      `environment ${this.spec.name}, task ${this.task.id}, turn ${this.turns.length + 1}: ${shown} ${message}`,
      told,
      index,
      { cause },
    );
  }

  private async call({ name, positional, keyword }: WellFormedCall): Promise<PlayedCall> {
    const tool = await this.toolNamed(name);
    if (!tool) {
      return refused(
        name,
        `Error: ${JSON.stringify(name.slice(0, 40))} is not a tool, the tools are ${this.toolbox.signatures.map((signature) => signature.name).join(', ')}`,
      );
    }
    const given = argumentsOf(tool, positional, keyword);
    if (typeof given === 'string') return refused(name, `Error: ${name}: ${given}`);
    const altered = alteredNumber(given);
    if (altered !== null) return refused(name, `Error: ${name}: ${altered}`);
    try {
      const { result, accepted } = await this.toolbox.run(
        name,
        given,
        { ...this.view, turns: [...this.turns] },
        this.asked('run', `tool ${name}`),
      );
      const read = plainNumbers(given);
      return { tool: name, arguments: read, result: wellFormed(result), accepted };
    } catch (error) {
      throw authorFault(`${this.where()}: tool ${name}`, error);
    }
  }

  private async toolNamed(name: string): Promise<ToolSignature | undefined> {
    const named = () => this.toolbox.signatures.find((signature) => signature.name === name);
    if (named() || !this.toolbox.listAgain) return named();
    await this.toolbox.listAgain();
    return named();
  }

  private cut(result: string): string {
    const { maxResultCharacters: limit = MAX_RESULT_CHARACTERS } = this.spec;
    return result.length <= limit
      ? result
      : wellFormed(`${result.slice(0, limit)} [cut: ${result.length - limit} more characters]`);
  }

  /** What the user says after a response; null ends the episode. */
  private said(called: boolean): string | null {
    if (!this.spec.next) return called ? '' : null;
    return onBehalfOf(this.culprit, () => ask<string | null>(this.asked('next'), () => this.spec.next!(this.view)));
  }

  /** @throws if a promise that the author's code forgot has failed: what it should have done is not done */
  private async noStray(): Promise<void> {
    const stray = await strayOf(this.culprit);
    if (stray)
      throw authorFault(
        `${this.where()}: a promise or a timer that nobody waits for (is an \`await\` missing?)`,
        stray.error,
      );
  }

  private asked(answer: 'prompt' | 'next' | 'verify' | 'run', slot: string = answer): Asked {
    const { stepTimeoutMs: timeoutMs = STEP_TIMEOUT_MS } = this.spec;
    return { where: this.where(), slot, answer: ANSWERS[answer], timeoutMs, turns: this.turns.length };
  }

  private where(): string {
    return `environment ${this.spec.name}, task ${this.task.id}, turn ${this.turns.length + 1}`;
  }
}

/** @param told  why the call is not made again; null for one that came after such a call */
function notMade(call: ToolCall, told: string | null): PlayedCall {
  const name = 'malformed' in call ? '' : call.name;
  return refused(name, told === null ? 'Error: not executed: the call before it failed' : `Error: ${name}: ${told}`);
}

const refused = (tool: string, result: string): PlayedCall => ({
  tool,
  arguments: {},
  result: wellFormed(result),
  accepted: false,
});

/** Arguments by name, or what is wrong with them. */
function argumentsOf(
  { parameters, takesOthers }: ToolSignature,
  positional: WellFormedCall['positional'],
  keyword: WellFormedCall['keyword'],
): Record<string, unknown> | string {
  const names = parameters.map(({ name }) => name);
  if (positional.length > names.length) return `takes ${names.length} argument(s), ${positional.length} were given`;
  const given = new Map<string, unknown>(positional.map((value, index) => [names[index]!, value]));
  for (const [key, value] of Object.entries(keyword)) {
    if (!takesOthers && !names.includes(key))
      return `has no argument ${JSON.stringify(key.slice(0, 40))}, it has ${names.join(', ') || 'none'}`;
    if (given.has(key)) return `argument ${key} is given twice`;
    given.set(key, value);
  }
  return Object.fromEntries(given);
}

/** Half a surrogate pair can be sampled, but no JSON file holds it. */
const wellFormed = (text: string): string => text.replaceAll(/\p{Surrogate}/gu, '\ufffd');
