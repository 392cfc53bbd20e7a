import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { Client, ProtocolError, StreamableHTTPClientTransport, type CallToolResult, type Tool } from '@modelcontextprotocol/client';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { EnvironmentUnavailable } from '../environment.js';
import type { HttpServer, McpAnswer, StdioServer } from './define-mcp-environment.js';
import { exactFetch, writingExactNumbers } from './exact-transport.js';

/** Of a server's error output, for messages. */
const KEPT_ERROR_OUTPUT = 400;

/** An empty folder below the system's temporary one. */
export const episodeFolder = (): Promise<string> => mkdtemp(path.join(tmpdir(), 'seeupo-mcp-'));
export const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true }).catch(() => {});

/** One session with one MCP server. A server that is away, or that does not answer in time, is an EnvironmentUnavailable. */
export class McpConnection {
  private readonly client = new Client({ name: 'seeupo', version: '0' });
  private errorOutput = '';

  private constructor(
    /** For messages. */
    private readonly where: string,
    private readonly transport: StdioClientTransport | StreamableHTTPClientTransport,
    private readonly timeoutMs: number,
  ) {}

  /**
   * @param cwd        of a server that is a process
   * @param timeoutMs  for a call
   */
  static async open(name: string, server: StdioServer | HttpServer, cwd: string, { startTimeoutMs, timeoutMs }: { startTimeoutMs: number; timeoutMs: number }): Promise<McpConnection> {
    const connection =
      'url' in server
        ? new McpConnection(`${name}: the MCP server at ${server.url}`, overHttp(server), timeoutMs)
        : new McpConnection(`${name}: the MCP server \`${[server.command, ...(server.args ?? [])].join(' ')}\``, overStdio(server, cwd), timeoutMs);
    connection.keepErrorOutput();
    try {
      await connection.client.connect(connection.transport, { timeout: startTimeoutMs });
      return connection;
    } catch (error) {
      await connection.close();
      throw connection.unavailable('could not be started', error);
    }
  }

  async tools(): Promise<Tool[]> {
    try {
      return (await this.client.listTools(undefined, { timeout: this.timeoutMs })).tools;
    } catch (error) {
      throw this.unavailable('did not list its tools', error);
    }
  }

  /** What a tool answers; an error that the server answers with is an answer too. */
  async call(tool: string, given: Readonly<Record<string, unknown>>): Promise<McpAnswer> {
    try {
      const answer = await this.client.callTool({ name: tool, arguments: { ...given } }, { timeout: this.timeoutMs });
      return { tool, text: textOf(answer), isError: answer.isError === true };
    } catch (error) {
      if (error instanceof ProtocolError) return { tool, text: error.message, isError: true };
      throw this.unavailable(`did not answer a call of ${tool}`, error);
    }
  }

  /** Ends the session, and the process that was started for it; never throws. */
  async close(): Promise<void> {
    if (this.transport instanceof StreamableHTTPClientTransport) await this.transport.terminateSession().catch(() => {});
    await this.client.close().catch(() => {});
  }

  private keepErrorOutput(): void {
    if (!(this.transport instanceof StdioClientTransport)) return;
    (this.transport.stderr as Readable | null)?.setEncoding('utf8').on('data', (text: string) => {
      this.errorOutput = (this.errorOutput + text).slice(-KEPT_ERROR_OUTPUT);
    });
  }

  private unavailable(what: string, error: unknown): EnvironmentUnavailable {
    const said = this.errorOutput.trim();
    const { cause, message } = error as Error;
    const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
    return new EnvironmentUnavailable(`environment ${this.where} ${what}: ${reason}${said === '' ? '' : `; it said: ${said}`}`, { cause: error });
  }
}

const overHttp = ({ url, headers = {} }: HttpServer) =>
  new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { ...headers } }, fetch: exactFetch });

const overStdio = ({ command, args = [], env = {} }: StdioServer, cwd: string) =>
  writingExactNumbers(new StdioClientTransport({ command, args: [...args], env: { ...getDefaultEnvironment(), ...env }, cwd, stderr: 'pipe' }));

function textOf({ content, structuredContent }: CallToolResult): string {
  const parts = content.map((part) => {
    if (part.type === 'text') return part.text;
    if (part.type === 'resource') return 'text' in part.resource ? part.resource.text : `[resource ${part.resource.uri}]`;
    if (part.type === 'resource_link') return `[resource ${part.uri}]`;
    return `[${part.type} ${part.mimeType}]`;
  });
  return parts.length === 0 && structuredContent !== undefined ? JSON.stringify(structuredContent) : parts.join('\n');
}
