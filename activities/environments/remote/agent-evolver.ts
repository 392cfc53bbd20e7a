import { hostname } from 'node:os';
import { prettifyError, z } from 'zod';
import {
  Message,
  type Action,
  type Demonstration,
  type Observation,
  type Verdict,
} from '../../../schemas/environment-protocol.js';
import type { Split, Task } from '../../../schemas/task.js';
import type { ActionFormat } from '../../rollout/tool-calls.js';
import { ANSWERS } from '../answers.js';
import { ask } from '../author-calls.js';
import { verdictOf, type OnStepFailure } from '../definition.js';
import { EnvironmentProtocolError, EnvironmentUnavailable, EpisodeLost, FailedAtWork } from '../environment.js';
import type { PlayableEnvironment, PlayableEpisode } from '../in-process-environment.js';
import { jsonOrUndefined, NoAnswer, postJson } from '../json-over-http.js';
import type { Refusal } from '../two-tries.js';
import type { AgentEvolverSpec } from './define-agent-evolver-environment.js';

const TIMEOUT_MS = 200_000;
const RELEASE_TIMEOUT_MS = 5_000;
/** Requests that do what the model asked for, or judge it: if one fails twice, a third try would as well. */
const AT_WORK: ReadonlySet<string> = new Set(['/step', '/evaluate']);

const Reply = z.object({ success: z.boolean(), data: z.unknown().optional() });
const Detail = z.object({ detail: z.string() });
/** Fields besides role and content, such as an empty `tool_calls`, say nothing more. */
const State = z.array(z.object({ role: Message.shape.role, content: z.string().nullable() }));
const Created = z.object({ state: State });
const Stepped = z.object({ state: State, is_terminated: z.boolean() });

/** An id that no other worker and no earlier attempt has used: /create with a live id would replace that instance. */
let created = 0;
const instanceId = (): string =>
  `seeupo-${hostname()}-${process.pid}-${Math.round(performance.timeOrigin)}-${created++}`;

/** Client of AgentEvolver's env_service: every request once, every reply checked, never a made-up one. */
export class AgentEvolver implements PlayableEnvironment {
  readonly name: string;
  readonly callFormat: ActionFormat;
  readonly onStepFailure: OnStepFailure;

  constructor(private readonly spec: AgentEvolverSpec) {
    this.name = spec.name;
    this.callFormat = spec.format ?? 'hermes';
    this.onStepFailure = spec.onStepFailure ?? 'fault';
  }

  async listTasks(split: Split): Promise<Task[]> {
    const named = this.spec.splits[split];
    const ids = await this.ask('/get_env_profile', { params: { split: named } }, z.array(z.string().min(1).max(200)));
    return ids.map((id) => ({ id, split, turns: this.spec.turns }));
  }

  async open(taskId: string): Promise<PlayableEpisode> {
    const id = instanceId();
    const { state } = await this.ask(
      '/create',
      { task_id: taskId, instance_id: id, params: this.spec.params ?? {} },
      Created,
    ).catch(async (error: unknown) => {
      await this.release(id); // an instance whose creation was answered too late would live for an hour
      throw error;
    });
    return new Instance(this, this.spec, id, messagesOf(state));
  }

  async demonstrations(): Promise<Demonstration[]> {
    return [];
  }

  async solution(): Promise<null> {
    return null;
  }

  /** @throws {EpisodeLost} for an instance that the service does not know (any more) */
  async ask<T>(path: string, fields: object, data: z.ZodType<T>): Promise<T> {
    const { url, envType, timeoutMs = TIMEOUT_MS } = this.spec;
    const request = {
      url: new URL(path, url),
      body: { env_type: envType, ...fields },
      timeoutMs,
      where: this.where(path),
      advice: 'is the service running?',
    };
    const { status, text } = await postJson(request).catch((error: unknown) => {
      throw error instanceof NoAnswer && AT_WORK.has(path)
        ? new FailedAtWork(error.message, error.told, 0, { cause: error })
        : error;
    });
    if (status !== 200) throw this.failure(path, status, text);
    const reply = Reply.safeParse(jsonOrUndefined(text));
    if (!reply.success)
      throw new EnvironmentProtocolError(
        'not_the_protocol',
        `${this.where(path)} answered ${JSON.stringify(text.slice(0, 200))}, expected {"success", "data"}: is this AgentEvolver's env_service?`,
      );
    if (!reply.data.success)
      throw new EnvironmentProtocolError(
        'environment_fault',
        `${this.where(path)} reported a failure: ${text.slice(0, 500)}`,
      );
    const parsed = data.safeParse(reply.data.data);
    if (parsed.success) return parsed.data;
    throw new EnvironmentProtocolError(
      'not_the_protocol',
      `${this.where(path)} answered data of another form: ${prettifyError(parsed.error).replaceAll('\n', ' ').slice(0, 500)}`,
    );
  }

  /** Best effort: the service drops idle instances after an hour. */
  async release(id: string): Promise<void> {
    await postJson({
      url: new URL('/release', this.spec.url),
      body: { instance_id: id },
      timeoutMs: RELEASE_TIMEOUT_MS,
      where: '',
      advice: '',
    }).catch(() => {});
  }

  where(path: string): string {
    return `environment ${this.name} at ${new URL(path, this.spec.url).href}`;
  }

  private failure(path: string, status: number, text: string): Error {
    const detail = Detail.safeParse(jsonOrUndefined(text)).data?.detail ?? text;
    // A 500 carries a whole traceback, whose last line says what happened.
    const said = `${this.where(path)} answered ${status}: ${detail.trim().split('\n').at(-1)!.slice(0, 300)}`;
    if (status === 500 && AT_WORK.has(path)) return new FailedAtWork(said, 'failed');
    if (status >= 500) return new EnvironmentUnavailable(said);
    if (/^Instance .* not found/.test(detail)) return new EpisodeLost(said);
    return new EnvironmentProtocolError('bad_request', said);
  }
}

class Instance implements PlayableEpisode {
  private taken = 0;

  constructor(
    private readonly service: AgentEvolver,
    private readonly spec: AgentEvolverSpec,
    private readonly id: string,
    private readonly conversation: Message[],
  ) {}

  start(): Pick<Observation, 'messages' | 'done'> {
    return { messages: this.conversation, done: false };
  }

  async step({ content }: Action, refusal?: Refusal): Promise<Pick<Observation, 'messages' | 'done'>> {
    if (refusal) {
      this.taken++;
      return { messages: [{ role: 'user', content: `Error: ${refusal.told}` }], done: false };
    }
    const { state, is_terminated: done } = await this.service.ask(
      '/step',
      { instance_id: this.id, messages: { role: 'assistant', content }, params: {} },
      Stepped,
    );
    const messages = messagesOf(state);
    const fault = messages.find((message) => message.content.startsWith('[ERROR]'));
    if (fault && this.spec.errorReplies !== 'observation') {
      throw new EnvironmentProtocolError(
        'environment_fault',
        `${this.service.where('/step')}: step ${this.taken + 1} of instance ${this.id} was answered with ${JSON.stringify(fault.content.slice(0, 300))}: mend the service, or set errorReplies to "observation"`,
      );
    }
    this.taken++;
    return { messages, done };
  }

  async verdict(): Promise<Verdict> {
    const { sparse = true, score } = this.spec;
    const evaluated = await this.service.ask('/evaluate', { instance_id: this.id, params: { sparse } }, z.unknown());
    const asked = {
      where: this.service.where('/evaluate'),
      slot: 'score',
      answer: ANSWERS.scoreOf,
      timeoutMs: this.spec.timeoutMs ?? TIMEOUT_MS,
    };
    const value = score ? ask<number>(asked, () => score(evaluated)) : evaluated;
    if (typeof value === 'number' && value >= 0 && value <= 1) return verdictOf(value, this.taken);
    throw new EnvironmentProtocolError(
      'environment_fault',
      `${this.service.where('/evaluate')} gave ${JSON.stringify(value)?.slice(0, 200)}, expected a score from 0 to 1: translate it with \`score\``,
    );
  }

  close(): Promise<void> {
    return this.service.release(this.id);
  }
}

const messagesOf = (state: z.output<typeof State>): Message[] =>
  state.map(({ role, content }) => ({ role, content: content ?? '' }));
