import type { Tool } from '@modelcontextprotocol/client';
import { ANSWERS, type Answer } from '../answers.js';
import { ask, askLater, type Asked } from '../author-calls.js';
import { BadEnvironmentDefinition } from '../definition.js';
import type { ModuleSite } from '../task-list.js';
import { STEP_TIMEOUT_MS, type OpenedTools } from '../tool-episode.js';
import type { ToolSignature } from '../toolbox.js';
import { serverProblem, type CallTool, type HttpServer, type McpAnswer, type McpDefinition, type StdioServer } from './define-mcp-environment.js';
import { episodeFolder, McpConnection, removeFolder } from './mcp-connection.js';

const START_TIMEOUT_MS = 30_000;

/** A session of its own with the server, brought into the task's first state, for one episode. */
export async function openMcpTools(definition: McpDefinition, site: ModuleSite, fields: unknown, where: string): Promise<OpenedTools> {
  const asked = (slot: string, answer: Answer): Asked => ({ where, slot, answer, timeoutMs: definition.stepTimeoutMs ?? STEP_TIMEOUT_MS });
  const { name, startTimeoutMs = START_TIMEOUT_MS, stepTimeoutMs: timeoutMs = STEP_TIMEOUT_MS } = definition;
  const folder = await episodeFolder();
  let connection: McpConnection | undefined;
  const close = async () => {
    await connection?.close();
    await removeFolder(folder);
  };
  try {
    const { server: describe } = definition;
    const server = typeof describe === 'function' ? ask<StdioServer | HttpServer>(asked('server', ANSWERS.server), () => describe({ folder, task: fields as never })) : describe;
    const wrong = serverProblem(server);
    if (wrong !== null) throw new BadEnvironmentDefinition(`environment ${name}: ${wrong}`);
    const session = (connection = await McpConnection.open(name, server, site.folder, { startTimeoutMs, timeoutMs }));
    const tools = new Map(offered(definition, await session.tools()).map((tool) => [callableName(tool.name), tool]));
    const call: CallTool = async (tool, given = {}) => {
      const { text, isError } = await session.call(tool, given);
      if (isError) throw new Error(`the tool ${tool} refused: ${text}`);
      return text;
    };
    const state = await askLater(asked('start', ANSWERS.startServer), () => definition.start?.({ task: fields as never, folder, call }));
    const told = (answer: McpAnswer): string =>
      definition.observe ? ask(asked('observe', ANSWERS.observe), () => definition.observe!(answer, { folder })) : answer.text;
    return {
      state,
      extras: { call },
      toolbox: {
        signatures: [...tools].map(([callable, tool]) => signatureOf(callable, tool)),
        async run(callable, given) {
          const answer = await session.call(tools.get(callable)!.name, given);
          const text = told(answer);
          return { result: answer.isError && !text.startsWith('Error') ? `Error: ${text}` : text, accepted: !answer.isError };
        },
        close,
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The server's tools that the definition lets the model use, in the definition's order, else in the server's. */
function offered({ name, tools }: McpDefinition, served: readonly Tool[]): Tool[] {
  if (served.length === 0) throw new BadEnvironmentDefinition(`environment ${name}: its MCP server lists no tools`);
  const chosen = (tools ?? served.map((tool) => tool.name)).map((wanted) => {
    const tool = served.find((candidate) => candidate.name === wanted);
    if (!tool) throw new BadEnvironmentDefinition(`environment ${name}: tools: its MCP server has no ${JSON.stringify(wanted)}, it has ${served.map((candidate) => candidate.name).join(', ')}`);
    return tool;
  });
  const twice = chosen.find((tool, index) => chosen.findIndex((other) => callableName(other.name) === callableName(tool.name)) < index);
  if (twice) throw new BadEnvironmentDefinition(`environment ${name}: two tools are written ${callableName(twice.name)} in a call: choose one with \`tools\``);
  return chosen;
}

/** MCP names may hold `-` and `.`, which a call line cannot. */
const callableName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, '_').replace(/^(?=\d)/, '_');

function signatureOf(name: string, { description = '', inputSchema }: Tool): ToolSignature {
  const { additionalProperties } = inputSchema as { additionalProperties?: unknown };
  const required = new Set(inputSchema.required ?? []);
  return {
    name,
    description,
    parameters: Object.keys(inputSchema.properties ?? {}).map((key) => ({ name: key, optional: !required.has(key) })),
    takesOthers: additionalProperties !== undefined && additionalProperties !== false,
    schema() {
      const { $schema: _, ...schema } = inputSchema as Record<string, unknown>;
      return schema;
    },
  };
}
