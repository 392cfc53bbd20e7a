import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  Client,
  ProtocolError,
  SdkHttpError,
  StreamableHTTPClientTransport,
  type Tool,
} from '@modelcontextprotocol/client';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { z } from 'zod';
import { BadEnvironmentDefinition } from '../definition.js';
import { EnvironmentProtocolError, EnvironmentUnavailable, FailedAtWork } from '../environment.js';
import { jsonOrUndefined } from '../json-over-http.js';
import { tookLonger } from '../two-tries.js';
import type { HttpServer, McpAnswer, StdioServer } from './define-mcp-environment.js';
import { exactFetch, writingExactNumbers } from './exact-transport.js';
import { LenientAnswer, textOf } from './mcp-answer.js';
import { ServerWords } from './server-words.js';

/** JSON-RPC: the arguments are not what the tool takes. Every other error code is the server's own fault. */
const INVALID_PARAMS = -32602;
const RpcError = z.looseObject({ error: z.looseObject({ code: z.literal(INVALID_PARAMS), message: z.string() }) });
/** Of an address at which something else listens, or of a session that the server forgot. */
const NOT_FOUND = [404, 405];
const NO_CREDENTIALS = [401, 403];

/** An empty folder below the system's temporary one. */
export const episodeFolder = (): Promise<string> => mkdtemp(path.join(tmpdir(), 'seeupo-mcp-'));
export const removeFolder = (folder: string): Promise<void> =>
  rm(folder, { recursive: true, force: true }).catch(() => {});

/**
 * One session with one MCP server. A server that is away is an EnvironmentUnavailable; one that fails in a call is a
 * FailedAtWork.
 */
export class McpConnection {
  private readonly client = new Client({ name: 'seeupo', version: '0' });
  private readonly words = new ServerWords();

  private constructor(
    /** For messages. */
    private readonly where: string,
    private readonly transport: StdioClientTransport | StreamableHTTPClientTransport,
    private readonly timeoutMs: number,
  ) {
    this.client.onerror = (error) => this.words.complained(error.message);
  }

  /**
   * @param cwd        of a server that is a process
   * @param timeoutMs  for a call
   */
  static async open(
    name: string,
    server: StdioServer | HttpServer,
    cwd: string,
    { startTimeoutMs, timeoutMs }: { startTimeoutMs: number; timeoutMs: number },
  ): Promise<McpConnection> {
    const connection =
      'url' in server
        ? new McpConnection(`${name}: the MCP server at ${server.url}`, overHttp(server), timeoutMs)
        : new McpConnection(
            `${name}: the MCP server \`${[server.command, ...(server.args ?? [])].join(' ')}\``,
            overStdio(server, cwd),
            timeoutMs,
          );
    const { transport, words } = connection;
    if (transport instanceof StdioClientTransport) words.listenTo(transport);
    try {
      await connection.client.connect(transport, { timeout: startTimeoutMs });
      return connection;
    } catch (error) {
      await connection.close();
      throw connection.notStarted(error);
    }
  }

  /** @param again  the list may have changed */
  async tools(again = false): Promise<Tool[]> {
    try {
      return (
        await this.client.listTools(undefined, { timeout: this.timeoutMs, ...(again ? { cacheMode: 'refresh' } : {}) })
      ).tools;
    } catch (error) {
      const what = 'did not list its tools';
      if (codeOf(error) === 'INVALID_RESULT')
        throw new EnvironmentProtocolError('not_the_protocol', this.message(what, error), { cause: error });
      throw new EnvironmentUnavailable(this.message(what, error), { cause: error });
    }
  }

  /**
   * What a tool answers. A refusal of the arguments is an answer too; all else that goes wrong is the server's.
   *
   * @throws {FailedAtWork} if it takes too long, ends, answers an error of its own or nothing that can be read
   */
  async call(tool: string, given: Readonly<Record<string, unknown>>): Promise<McpAnswer> {
    let answer: LenientAnswer;
    try {
      answer = await this.client.request(
        { method: 'tools/call', params: { name: tool, arguments: { ...given } } },
        LenientAnswer,
        { timeout: this.timeoutMs },
      );
    } catch (error) {
      const refusal = refusedArguments(error);
      if (refusal === null) throw this.callFailed(tool, error);
      return { tool, text: refusal, isError: true };
    }
    const text = textOf(answer);
    if (text === null)
      throw new FailedAtWork(
        `environment ${this.where} answered a call of ${tool} without content${this.said()}`,
        'its answer could not be read',
      );
    return { tool, text, isError: answer.isError === true };
  }

  /** What the server said besides its answers, for a message. */
  said(): string {
    return this.words.said();
  }

  /** Ends the session, and the process that was started for it; never throws. */
  async close(): Promise<void> {
    if (this.transport instanceof StreamableHTTPClientTransport)
      await this.transport.terminateSession().catch(() => {});
    await this.client.close().catch(() => {});
  }

  private callFailed(tool: string, error: unknown): EnvironmentUnavailable {
    const message = this.message(`did not answer a call of ${tool}`, error);
    const told = toldOf(error, this.timeoutMs);
    return told === null
      ? new EnvironmentUnavailable(message, { cause: error })
      : new FailedAtWork(message, told, 0, { cause: error });
  }

  private notStarted(error: unknown): Error {
    const status = error instanceof SdkHttpError ? error.status : 0;
    if (NOT_FOUND.includes(status)) {
      return new BadEnvironmentDefinition(
        `environment ${this.where}: HTTP ${status}: this address speaks no streamable HTTP ` +
          '(an address of the older SSE transport is not supported): is the path right, e.g. /mcp?',
      );
    }
    if (NO_CREDENTIALS.includes(status))
      return new BadEnvironmentDefinition(
        `environment ${this.where}: HTTP ${status}: it wants credentials: give them as \`headers\` of the server`,
      );
    return new EnvironmentUnavailable(this.message('could not be started', error), { cause: error });
  }

  private message(what: string, error: unknown): string {
    const { cause, message } = error as Error;
    const status = error instanceof SdkHttpError ? `HTTP ${error.status}: ` : '';
    const reason = `${status}${message}${cause instanceof Error ? `: ${cause.message}` : ''}`;
    return `environment ${this.where} ${what}: ${reason.replaceAll(/\s+/g, ' ').slice(0, 500)}${this.words.said(message)}`;
  }
}

/** What the server says of arguments that are not the tool's, or null for a failure of another kind. */
function refusedArguments(error: unknown): string | null {
  if (error instanceof ProtocolError) return error.code === INVALID_PARAMS ? error.message : null;
  if (!(error instanceof SdkHttpError) || error.status !== 400) return null;
  // Some servers give the JSON-RPC error with HTTP's own code for it.
  const refusal = RpcError.safeParse(jsonOrUndefined(error.message.slice(error.message.indexOf('{'))));
  return refusal.success ? refusal.data.error.message : null;
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | null)?.code;

/** What a model may read of a call that failed, or null if the server is away: then nothing was executed. */
function toldOf(error: unknown, timeoutMs: number): string | null {
  if (error instanceof ProtocolError) return 'its server failed';
  // A gateway without its server; a session that is not known any more is had anew by the second try.
  if (error instanceof SdkHttpError) return error.status > 500 ? null : 'its server failed';
  const code = codeOf(error);
  if (code === 'REQUEST_TIMEOUT') return tookLonger(timeoutMs);
  if (code === 'CONNECTION_CLOSED' || code === 'NOT_CONNECTED' || code === 'EPIPE') return 'its server ended';
  if (code === 'INVALID_RESULT') return 'its answer could not be read';
  // undici: TypeError "fetch failed"
  const cause = codeOf((error as Error).cause);
  if (cause === 'ECONNRESET' || cause === 'UND_ERR_SOCKET') return 'its server ended';
  return cause === undefined ? 'its answer could not be read' : null;
}

const overHttp = ({ url, headers = {} }: HttpServer) =>
  new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { ...headers } }, fetch: exactFetch });

const overStdio = ({ command, args = [], env = {}, cwd }: StdioServer, folder: string) =>
  writingExactNumbers(
    new StdioClientTransport({
      command,
      args: [...args],
      env: { ...getDefaultEnvironment(), ...env },
      cwd: path.resolve(folder, cwd ?? '.'),
      stderr: 'pipe',
    }),
  );
