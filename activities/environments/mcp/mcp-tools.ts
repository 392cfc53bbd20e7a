import type { Tool } from '@modelcontextprotocol/client';
import { closest } from 'fastest-levenshtein';
import { ANSWERS, type Answer } from '../answers.js';
import { ask, askLater, type Asked } from '../author-calls.js';
import { BadEnvironmentDefinition } from '../definition.js';
import type { ModuleSite } from '../task-list.js';
import { STEP_TIMEOUT_MS, type OpenedTools } from '../tool-episode.js';
import type { ToolSignature } from '../toolbox.js';
import type {
  CallTool,
  HttpServer,
  McpAnswer,
  McpDefinition,
  Reworded,
  ShownTool,
  StdioServer,
} from './define-mcp-environment.js';
import { episodeFolder, McpConnection, removeFolder } from './mcp-connection.js';
import { serverProblem } from './server-description.js';
import { callableName, signatureOf } from './tool-signature.js';

const START_TIMEOUT_MS = 30_000;

interface OfferedTool {
  /** At the server. */
  readonly name: string;
  readonly signature: ToolSignature;
}

/** A session of its own with the server, brought into the task's first state, for one episode. */
export async function openMcpTools(
  definition: McpDefinition,
  site: ModuleSite,
  fields: unknown,
  where: string,
): Promise<OpenedTools> {
  const asked = (slot: string, answer: Answer): Asked => ({
    where,
    slot,
    answer,
    timeoutMs: definition.stepTimeoutMs ?? STEP_TIMEOUT_MS,
  });
  const { name, startTimeoutMs = START_TIMEOUT_MS, stepTimeoutMs: timeoutMs = STEP_TIMEOUT_MS } = definition;
  const folder = await episodeFolder();
  let connection: McpConnection | undefined;
  const close = async () => {
    await connection?.close();
    await removeFolder(folder);
  };
  try {
    const { server: describe } = definition;
    const server =
      typeof describe === 'function'
        ? ask<StdioServer | HttpServer>(asked('server', ANSWERS.server), () =>
            describe({ folder, task: fields as never }),
          )
        : describe;
    const wrong = serverProblem(server);
    if (wrong !== null) throw new BadEnvironmentDefinition(`environment ${name}: ${wrong}`);
    const session = (connection = await McpConnection.open(name, server, site.folder, { startTimeoutMs, timeoutMs }));
    let tools = offered(definition, await session.tools(), asked('describe', ANSWERS.describe));
    const call: CallTool = async (tool, given = {}) => {
      const { text, isError } = await session.call(tool, given);
      if (isError) throw new Error(`the tool ${tool} refused ${JSON.stringify(given).slice(0, 200)}: ${text}`);
      return text;
    };
    const state = await askLater(asked('start', ANSWERS.startServer), () =>
      definition.start?.({ task: fields as never, folder, call }),
    );
    const told = (answer: McpAnswer): string =>
      definition.observe
        ? ask(asked('observe', ANSWERS.observe), () => definition.observe!(answer, { folder }))
        : answer.text;
    return {
      state,
      extras: { call },
      toolbox: {
        get signatures() {
          return tools.map(({ signature }) => signature);
        },
        async listAgain() {
          // What the prompt names stays callable: of a tool that is gone the server says so.
          const now = definition.tools
            ? []
            : offered(definition, await session.tools(true), asked('describe', ANSWERS.describe));
          const known = new Set(tools.map(({ signature }) => signature.name));
          tools = [...tools, ...now.filter(({ signature }) => !known.has(signature.name))];
        },
        async run(callable, given) {
          const { name: served } = tools.find(({ signature }) => signature.name === callable)!;
          const answer = await session.call(served, given);
          const text = told(answer);
          return {
            result: answer.isError && !text.startsWith('Error') ? `Error: ${text}` : text,
            accepted: !answer.isError,
          };
        },
        said: () => session.said(),
        close,
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The server's tools that the definition lets the model use, in the definition's order, else in the server's. */
function offered(definition: McpDefinition, served: readonly Tool[], asked: Asked): OfferedTool[] {
  const { name, tools } = definition;
  const wrong = (what: string) => new BadEnvironmentDefinition(`environment ${name}: ${what}`);
  if (served.length === 0) throw wrong('its MCP server lists no tools');
  const names = served.map((tool) => tool.name);
  const chosen = (tools ?? names).map((wanted) => {
    const tool = served.find((candidate) => candidate.name === wanted);
    if (!tool) throw wrong(`tools: its MCP server has no ${JSON.stringify(wanted)}, it has ${names.join(', ')}`);
    return tool;
  });
  const twice = chosen.find(
    (tool, index) => chosen.findIndex((other) => callableName(other.name) === callableName(tool.name)) < index,
  );
  if (twice) throw wrong(`two tools are written ${callableName(twice.name)} in a call: choose one with \`tools\``);
  const described = typeof definition.describe === 'object' ? Object.keys(definition.describe) : [];
  const stranger = described.find((key) => !names.includes(key));
  if (stranger !== undefined)
    throw wrong(
      `describe: its MCP server has no ${JSON.stringify(stranger)}, did you mean ${closest(stranger, names)}?`,
    );
  return chosen.map((tool) => ({
    name: tool.name,
    signature: signatureOf(
      callableName(tool.name),
      tool.inputSchema as Record<string, unknown>,
      shownAs(definition, tool, asked),
    ),
  }));
}

/** A tool in its server's words, or in the definition's. */
function shownAs({ describe }: McpDefinition, { name, description = '', inputSchema }: Tool, asked: Asked): ShownTool {
  const own: ShownTool = { description, inputSchema: inputSchema as Record<string, unknown> };
  if (typeof describe !== 'function')
    return reworded(own, describe && Object.hasOwn(describe, name) ? describe[name]! : {});
  return reworded(
    own,
    ask<Reworded>(asked, () => describe({ name, ...own })),
  );
}

const reworded = (own: ShownTool, words: Reworded): ShownTool => ({
  ...own,
  ...(typeof words === 'string' ? { description: words } : words),
});
