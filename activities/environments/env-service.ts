import pLimit from 'p-limit';
import { prettifyError, z } from 'zod';
import {
  DemonstrationsResponse,
  EnvironmentErrorBody,
  ListTasksResponse,
  Observation,
  Verdict,
  type Demonstration,
  type ResetRequest,
  type RestoreRequest,
  type StepRequest,
} from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import type { ActionFormat } from '../rollout/tool-calls.js';
import {
  EnvironmentProtocolError,
  EnvironmentUnavailable,
  EpisodeLost,
  FailedAtWork,
  type RestorableEnvironment,
} from './environment.js';
import { jsonOrUndefined, postJson } from './json-over-http.js';

export interface EnvServiceOptions {
  readonly name: string;
  /** Where the sidecar listens, e.g. `http://127.0.0.1:8700`. */
  readonly url: string;
  /** Named set of tasks that `listTasks` gives; the environment's own default if absent. */
  readonly taskSet?: string;
  /** How this environment's prompts ask for calls; `call-lines` if absent. */
  readonly callFormat?: ActionFormat;
  /** Of one task, where its options decide it. */
  readonly callFormatOf?: (taskId: string) => ActionFormat;
  /** For one request, in milliseconds. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** The sidecar reads no more (protocol.py), and would end the connection in the middle of the request. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** The sidecar answers one request after the other; more connections would only wait there. */
const REQUESTS_AT_ONCE = 16;

/**
 * Client of the sidecar's protocol (schemas/environment-protocol.ts): one request per call, every reply
 * checked, failures typed. It neither retries nor restores; `RestoringEnvironment` does both.
 */
export class EnvService implements RestorableEnvironment {
  readonly name: string;
  readonly callFormat: ActionFormat;
  private readonly limit = pLimit(REQUESTS_AT_ONCE);

  constructor(private readonly options: EnvServiceOptions) {
    this.name = options.name;
    this.callFormat = options.callFormat ?? 'call-lines';
  }

  callFormatOf(taskId: string): ActionFormat {
    return this.options.callFormatOf?.(taskId) ?? this.callFormat;
  }

  async listTasks(split: Split): Promise<Task[]> {
    const { taskSet } = this.options;
    return (await this.post('/list-tasks', { split, ...(taskSet === undefined ? {} : { taskSet }) }, ListTasksResponse))
      .tasks;
  }

  reset(request: ResetRequest): Promise<Observation> {
    return this.post('/reset', request, Observation);
  }

  step(request: StepRequest): Promise<Observation> {
    return this.post('/step', request, Observation);
  }

  evaluate(episodeId: string): Promise<Verdict> {
    return this.post('/evaluate', { episodeId }, Verdict);
  }

  async close(episodeId: string): Promise<void> {
    await this.post('/close', { episodeId }, z.strictObject({}));
  }

  restore(request: RestoreRequest): Promise<Observation> {
    return this.post('/restore', request, Observation);
  }

  async demonstrations(): Promise<Demonstration[]> {
    return (await this.post('/demonstrations', {}, DemonstrationsResponse)).demonstrations;
  }

  private post<T>(path: string, request: object, reply: z.ZodType<T>): Promise<T> {
    return this.limit(async () => {
      const { url, timeoutMs = DEFAULT_TIMEOUT_MS } = this.options;
      const { status, text } = await postJson({
        url: new URL(path, url),
        body: request,
        timeoutMs,
        maxRequestBytes: MAX_REQUEST_BYTES,
        where: this.where(path),
        advice: 'is the sidecar running? See its log',
      });
      if (status !== 200) throw this.failure(path, status, text);
      const parsed = reply.safeParse(jsonOrUndefined(text));
      if (parsed.success) return parsed.data;
      throw new EnvironmentProtocolError(
        'not_the_protocol',
        `${this.where(path)} answered in another form than expected: ${prettifyError(parsed.error).replaceAll('\n', ' ').slice(0, 500)}: ` +
          'is this the sidecar of this version?',
      );
    });
  }

  private failure(path: string, status: number, text: string): Error {
    const body = EnvironmentErrorBody.safeParse(jsonOrUndefined(text));
    const said = `${this.where(path)} answered ${status}: ${body.success ? body.data.message : text.slice(0, 200)}`;
    // Its own word that it cannot do this step; another 5xx is a gateway's.
    if (path === '/step' && body.success && body.data.code === 'internal') return new FailedAtWork(said, 'failed');
    if (status >= 500) return new EnvironmentUnavailable(said);
    if (!body.success) return new EnvironmentProtocolError('not_the_protocol', `${said}: is this the sidecar?`);
    if (body.data.code === 'episode_lost') return new EpisodeLost(said);
    if (body.data.code === 'too_many_episodes') return new EnvironmentUnavailable(said);
    return new EnvironmentProtocolError(body.data.code, said);
  }

  private where(path: string): string {
    return `environment ${this.name} at ${new URL(path, this.options.url).href}`;
  }
}
