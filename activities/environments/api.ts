// What a module that defines an environment imports as 'seeupo/environment'.
export { z } from 'zod';
export { ToolError, type EpisodeView, type Judgement, type PlayedCall, type PlayedTurn } from './definition.js';
export { defineEnvironment } from './define-environment.js';
export { defineMcpEnvironment } from './mcp/define-mcp-environment.js';
export { defineAgentEvolverEnvironment } from './remote/define-agent-evolver-environment.js';
export { defineOpenEnvEnvironment } from './remote/define-openenv-environment.js';
