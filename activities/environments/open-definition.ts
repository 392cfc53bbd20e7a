import { ANSWERS } from './answers.js';
import { ask } from './author-calls.js';
import { checked } from './check-definition.js';
import type { Kind } from './definition-schema.js';
import type { EnvironmentDefinition } from './define-environment.js';
import { BadEnvironmentDefinition, environmentKind, type DefinedEnvironment } from './definition.js';
import { InProcessEnvironment, type PlayableEnvironment } from './in-process-environment.js';
import type { McpDefinition } from './mcp/define-mcp-environment.js';
import { openMcpTools } from './mcp/mcp-tools.js';
import { AgentEvolver } from './remote/agent-evolver.js';
import type { AgentEvolverSpec } from './remote/define-agent-evolver-environment.js';
import type { OpenEnvDefinition } from './remote/define-openenv-environment.js';
import { OpenEnv } from './remote/openenv.js';
import type { ModuleSite } from './task-list.js';
import { ToolEnvironment } from './tool-environment.js';
import { STEP_TIMEOUT_MS } from './tool-episode.js';
import { functionTools } from './toolbox.js';

type Open = (definition: never, site: ModuleSite) => PlayableEnvironment;

/** What a module may export, by kind. */
const KINDS: Readonly<Record<string, Open>> = {
  functions: (definition: EnvironmentDefinition, site) =>
    new ToolEnvironment(definition, site, async (fields, where) => ({
      toolbox: functionTools(definition.tools),
      state: started(definition, fields, where),
    })),
  mcp: (definition: McpDefinition, site) =>
    new ToolEnvironment(definition, site, (fields, where) => openMcpTools(definition, site, fields, where), true),
  'agent-evolver': (definition: AgentEvolverSpec) => new AgentEvolver(definition),
  openenv: (definition: OpenEnvDefinition, site) => new OpenEnv(definition, site),
};

/** The state that the author's `start` gives; none without it. */
function started(definition: EnvironmentDefinition, fields: unknown, where: string): unknown {
  if (!definition.start) return undefined;
  const asked = { where, slot: 'start', answer: ANSWERS.start, timeoutMs: definition.stepTimeoutMs ?? STEP_TIMEOUT_MS };
  return ask(asked, () => definition.start!(fields as never));
}

/** What a module exports, as an environment that keeps the contract of `Environment`. */
export function openDefinition(definition: DefinedEnvironment, site: ModuleSite): InProcessEnvironment {
  const kind = environmentKind(definition) ?? '';
  const open = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (!open)
    throw new BadEnvironmentDefinition(
      `environment ${definition.name}: is of kind ${JSON.stringify(kind)}, expected one of ${Object.keys(KINDS).join(', ')}: are module and worker of one version?`,
    );
  // Checked again: an author may have spread a checked definition into another.
  return new InProcessEnvironment(open(checked(kind as Kind, definition) as never, site));
}
