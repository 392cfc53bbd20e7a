// Valid definitions of every kind, and the wrong values that each of their fields is tried with.
import {
  defineAgentEvolverEnvironment,
  defineEnvironment,
  defineMcpEnvironment,
  defineOpenEnvEnvironment,
  z,
} from '../../../../activities/environments/api.js';
import type { DefinedEnvironment } from '../../../../activities/environments/definition.js';
import { FIELDS, TOOL_FIELDS, type Kind } from '../../../../activities/environments/definition-schema.js';

export type Fields = Record<string, unknown>;

/** What is put into every slot, and how a message names it. */
export const WRONG: readonly (readonly [string, () => unknown])[] = [
  ['a Promise', () => Promise.resolve('x')],
  ['undefined', () => undefined],
  ['null', () => null],
  ['the number 5', () => 5],
  ['an empty object', () => ({})],
];

const tools = {
  add: { description: 'adds', parameters: z.object({ n: z.number() }), run: ({ n }: { n: number }) => n },
};
const task = { name: 'slots', task: z.object({ goal: z.number() }), tasks: [{ id: 'a', split: 'train', goal: 3 }] };
const toolUse = {
  ...task,
  turns: () => 2,
  prompt: () => 'Reach 3.',
  next: () => 'Go on.',
  verify: () => 1,
  solve: () => ['CALL add(3)'],
  format: 'call-lines',
  maxCalls: 8,
  maxResultCharacters: 100,
  stepTimeoutMs: 1000,
  onStepFailure: 'fault',
};

/** A right value in every field that a kind has. */
export const VALID: Readonly<Record<Kind, Fields>> = {
  functions: { ...toolUse, start: () => ({}), tools },
  mcp: {
    ...toolUse,
    server: () => ({ command: 'node' }),
    tools: ['add'],
    describe: () => 'adds',
    start: () => ({}),
    observe: () => 'seen',
    startTimeoutMs: 1000,
  },
  openenv: {
    ...task,
    turns: () => 2,
    url: 'http://127.0.0.1:8000',
    reset: () => ({}),
    prompt: () => 'Hello.',
    action: () => ({}),
    observe: () => 'seen',
    score: () => 1,
    format: 'call-lines',
    timeoutMs: 1000,
    onStepFailure: 'fault',
  },
  'agent-evolver': {
    name: 'slots',
    url: 'http://127.0.0.1:8080',
    envType: 'bfcl',
    splits: { train: 'train', heldout: 'val' },
    turns: 2,
    params: {},
    sparse: true,
    score: () => 1,
    errorReplies: 'fault',
    format: 'hermes',
    timeoutMs: 1000,
    onStepFailure: 'refuse',
  },
};

export const DEFINE: Readonly<Record<Kind, (spec: never) => DefinedEnvironment>> = {
  functions: defineEnvironment,
  mcp: defineMcpEnvironment,
  openenv: defineOpenEnvEnvironment,
  'agent-evolver': defineAgentEvolverEnvironment,
};

export const KINDS = Object.keys(FIELDS) as Kind[];

/** Fields of a kind by the schema itself: a new one is tried without being named here. */
export const fieldsOf = (kind: Kind): string[] => Object.keys(FIELDS[kind]);
export const TOOL_FIELD_NAMES = Object.keys(TOOL_FIELDS);
