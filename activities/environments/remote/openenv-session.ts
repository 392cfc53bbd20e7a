import { once } from 'node:events';
import { prettifyError, z } from 'zod';
import { WebSocket } from 'ws';
import { ToolError } from '../definition.js';
import { EnvironmentProtocolError, EnvironmentUnavailable, FailedAtWork } from '../environment.js';
import { withExactNumbers } from '../exact-numbers.js';
import { jsonOrUndefined } from '../json-over-http.js';
import { tookLonger } from '../two-tries.js';
import type { OpenEnvResult } from './define-openenv-environment.js';

const Result = z.object({
  observation: z.record(z.string(), z.unknown()),
  reward: z.union([z.number(), z.boolean().transform(Number)]).nullable(),
  done: z.boolean(),
});
const Reply = z.discriminatedUnion('type', [
  z.object({ type: z.literal('observation'), data: Result }),
  z.object({ type: z.literal('state'), data: z.record(z.string(), z.unknown()) }),
  z.object({
    type: z.literal('error'),
    data: z.object({ message: z.string(), code: z.string(), errors: z.unknown().optional() }),
  }),
]);
type Reply = z.output<typeof Reply>;

const MAX_REPLY_BYTES = 64 * 1024 * 1024;
const HANG_UP_WITHIN_MS = 2_000;

/** One WebSocket session: one environment instance at the server, one request at a time. */
export class OpenEnvSession {
  /** Of the request under way. */
  private waiting: { resolve(reply: Reply): void; reject(error: Error): void } | undefined;
  private broken: Error | undefined;

  private constructor(
    private readonly where: string,
    private readonly socket: WebSocket,
    private readonly timeoutMs: number,
  ) {
    socket.on('message', (data) => this.answered(String(data)));
    socket.on('close', (code) => this.fail(this.ended(`closed the session (code ${code})`)));
    socket.on('error', (error) =>
      this.fail(new EnvironmentUnavailable(`${where}: ${error.message}`, { cause: error })),
    );
  }

  static async open(name: string, url: string, timeoutMs: number): Promise<OpenEnvSession> {
    const address = new URL('ws', url.endsWith('/') ? url : `${url}/`);
    address.protocol = address.protocol.replace(/^http/, 'ws');
    const where = `environment ${name} at ${address.href}`;
    const socket = new WebSocket(address, { handshakeTimeout: timeoutMs, maxPayload: MAX_REPLY_BYTES });
    await once(socket, 'open').catch((error: Error & { code?: string }) => {
      throw new EnvironmentUnavailable(
        `${where} cannot be reached (${error.message || error.code}): is the OpenEnv server running?`,
        { cause: error },
      );
    });
    return new OpenEnvSession(where, socket, timeoutMs);
  }

  async reset(given: Readonly<Record<string, unknown>>): Promise<OpenEnvResult> {
    const reply = await this.ask({ type: 'reset', data: given });
    if (reply.type === 'error' && reply.data.code === 'VALIDATION_ERROR')
      throw this.fault('reset', `refused the arguments: ${refusal(reply.data)}: correct \`reset\``);
    return this.result('reset', reply);
  }

  /** @throws {ToolError} for an action that is not of the server's form: it was not executed */
  async step(action: Readonly<Record<string, unknown>>): Promise<OpenEnvResult> {
    const reply = await this.ask({ type: 'step', data: action });
    if (reply.type === 'error' && reply.data.code === 'VALIDATION_ERROR') throw new ToolError(refusal(reply.data));
    if (reply.type === 'error' && reply.data.code === 'EXECUTION_ERROR')
      throw new FailedAtWork(`${this.where}, step: ${reply.data.code}: ${reply.data.message}`, 'failed');
    return this.result('step', reply);
  }

  async state(): Promise<Readonly<Record<string, unknown>>> {
    const reply = await this.ask({ type: 'state' });
    if (reply.type === 'state') return reply.data;
    throw this.unexpected('state', reply);
  }

  /** Never throws, does not wait. The server hangs up: it logs an error for each session whose client did so first. */
  close(): void {
    if (this.socket.readyState !== WebSocket.OPEN) return this.socket.terminate();
    this.socket.send(JSON.stringify({ type: 'close' }));
    setTimeout(() => this.socket.terminate(), HANG_UP_WITHIN_MS).unref();
  }

  private ask(request: object): Promise<Reply> {
    if (this.broken) throw this.broken;
    return new Promise<Reply>((resolve, reject) => {
      const late = setTimeout(() => {
        this.fail(
          new FailedAtWork(`${this.where} did not answer within ${this.timeoutMs} ms`, tookLonger(this.timeoutMs)),
        );
        this.socket.terminate();
      }, this.timeoutMs);
      this.waiting = {
        resolve: (reply) => (clearTimeout(late), resolve(reply)),
        reject: (error) => (clearTimeout(late), reject(error)),
      };
      this.socket.send(withExactNumbers(JSON.stringify(request)));
    });
  }

  private answered(text: string): void {
    const reply = Reply.safeParse(jsonOrUndefined(text));
    if (!reply.success) {
      return this.fail(
        new EnvironmentProtocolError(
          'not_the_protocol',
          `${this.where} answered in another form than expected: ${prettifyError(reply.error).replaceAll('\n', ' ').slice(0, 500)}: is this an OpenEnv server?`,
        ),
      );
    }
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting) waiting.resolve(reply.data);
    // Said before anything was asked: the session could not be had.
    else if (reply.data.type === 'error') this.broken = this.unexpected('a session', reply.data);
  }

  /** Between two requests it is away; during one it may be what was asked for that ended it. */
  private ended(how: string): EnvironmentUnavailable {
    return this.waiting
      ? new FailedAtWork(`${this.where} ${how}`, 'ended the session')
      : new EnvironmentUnavailable(`${this.where} ${how}`);
  }

  private fail(error: Error): void {
    this.broken ??= error;
    this.waiting?.reject(this.broken);
    this.waiting = undefined;
  }

  private result(what: string, reply: Reply): OpenEnvResult {
    if (reply.type === 'observation') return reply.data;
    throw this.unexpected(what, reply);
  }

  private unexpected(what: string, reply: Reply): Error {
    if (reply.type !== 'error')
      return new EnvironmentProtocolError(
        'not_the_protocol',
        `${this.where} answered ${what} with ${reply.type}: is this an OpenEnv server?`,
      );
    const { code, message } = reply.data;
    if (code === 'CAPACITY_REACHED') {
      return new EnvironmentUnavailable(
        `${this.where} has no room for another session (${message}): start it with max_concurrent_envs of at least rollout.tasksPerShard x rollout.groupSize`,
      );
    }
    if (code === 'FACTORY_ERROR' || code === 'SESSION_ERROR')
      return new EnvironmentUnavailable(`${this.where} could not give ${what}: ${code}: ${message}`);
    return this.fault(what, `${code}: ${message}`);
  }

  private fault(what: string, said: string): EnvironmentProtocolError {
    return new EnvironmentProtocolError('environment_fault', `${this.where}, ${what}: ${said}`);
  }
}

/** What pydantic says of each field. */
function refusal({ message, errors }: { readonly message: string; readonly errors?: unknown }): string {
  const listed = z
    .array(z.object({ loc: z.array(z.union([z.string(), z.number()])), msg: z.string() }))
    .safeParse(errors);
  return listed.success ? listed.data.map(({ loc, msg }) => `${loc.join('.')}: ${msg}`).join('; ') : message;
}
