import { types } from 'node:util';
import { z } from 'zod';
import { ANSWERS, type Answer } from './answers.js';
import type { EnvironmentDefinition } from './define-environment.js';
import { isAddress, type TaskSpec, type ToolUseSpec } from './definition.js';
import { described, isClass, isGenerator, isPlainObject, isThenable, zod3Type, zodType } from './described.js';
import type { McpDefinition } from './mcp/define-mcp-environment.js';
import { parametersProblem } from './parameters.js';
import type { AgentEvolverSpec } from './remote/define-agent-evolver-environment.js';
import type { OpenEnvDefinition } from './remote/define-openenv-environment.js';

/** A schema for every field of a spec: a field that the type has and the schema has not does not compile. */
type Fields<Spec> = { readonly [Field in keyof Required<Spec>]: z.ZodType };

/** Right if `fits`; else `is X, expected Y`, which the field's name is put before. */
const field = (expected: string, fits: (value: unknown) => boolean) =>
  z.custom((value) => fits(value), { error: ({ input }) => `is ${described(input)}, expected ${expected}` });

/** A function whose value is checked wherever it is called, see `answers.ts`. */
const giving = ({ expected, later }: Answer) =>
  z.custom((value) => functionProblem(value, later === true) === null, {
    error: ({ input }) => `${functionProblem(input, later === true)}, expected a function that gives ${expected}`,
  });

/** What is wrong with a value that should be a function, or null. */
function functionProblem(value: unknown, mayWait: boolean): string | null {
  if (typeof value !== 'function') return `is ${described(value)}`;
  if (isClass(value) || isGenerator(value)) return `is ${described(value)}`;
  return types.isAsyncFunction(value) && !mayWait
    ? 'is asynchronous: it gives a Promise, and nobody waits for it'
    : null;
}

/** What `problem` says is wrong, in its own words. */
const told = (problem: (value: unknown) => string | null) =>
  z.custom((value) => problem(value) === null, { error: ({ input }) => problem(input)! });

const wholeFrom1 = field('a whole number from 1', (value) => Number.isSafeInteger(value) && (value as number) >= 1);
/** Node's timers fire at once beyond it. */
const MAX_MS = 2 ** 31 - 1;
const isDelay = (value: unknown): boolean => typeof value === 'number' && value > 0 && value <= MAX_MS;
const milliseconds = field(`a number of milliseconds, above 0 and up to ${MAX_MS}`, isDelay);
const text = (expected: string) => field(expected, (value) => typeof value === 'string' && value !== '');
const oneOf = (...words: readonly string[]) =>
  field(words.map((word) => JSON.stringify(word)).join(' or '), (value) => words.includes(value as string));
const plain = (expected: string) => field(expected, isPlainObject);
const address = (protocol: RegExp, example: string) =>
  field(
    `an address such as ${JSON.stringify(example)}`,
    (value) => typeof value === 'string' && isAddress(value, protocol),
  );
/** Its fields are looked at only if it is an object of fields at all. */
const object = <Shape extends z.ZodRawShape>(expected: string, shape: Shape) =>
  plain(expected).pipe(z.strictObject(shape) as never);

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const name = field(
  'small letters, digits and -, e.g. "unit-prices"',
  (value) => typeof value === 'string' && NAME.test(value),
);

const task = {
  name,
  task: told((value) => parametersProblem(value, 'the fields of a task besides id and split')),
  tasks: told(tasksProblem),
  turns: told((value) => {
    if (typeof value !== 'function') {
      const wrong = ANSWERS.turns.wrong(value, 0);
      return wrong === null
        ? null
        : `is ${wrong}, expected a whole number from 1, or a function of the task that gives one`;
    }
    const problem = functionProblem(value, false);
    return problem === null ? null : `${problem}, expected a function that gives ${ANSWERS.turns.expected}`;
  }),
} satisfies Fields<TaskSpec<z.ZodObject>>;

const onStepFailure = oneOf('fault', 'refuse').optional();

const toolUse = {
  ...task,
  prompt: giving(ANSWERS.prompt),
  next: giving(ANSWERS.next).optional(),
  verify: giving(ANSWERS.verify),
  solve: giving(ANSWERS.solve).optional(),
  format: oneOf('call-lines', 'hermes').optional(),
  maxCalls: wholeFrom1.optional(),
  maxResultCharacters: wholeFrom1.optional(),
  stepTimeoutMs: milliseconds.optional(),
  onStepFailure,
} satisfies Fields<ToolUseSpec<z.ZodObject, never>>;

const actionFormat = oneOf('call-lines', 'hermes', 'code-block');

/** Of one tool of `tools`. */
export const TOOL_FIELDS = {
  description: field('a text', (value) => typeof value === 'string').optional(),
  parameters: told((value) => parametersProblem(value, "the tool's arguments")),
  run: giving(ANSWERS.run),
} satisfies Fields<EnvironmentDefinition['tools'][string]>;

const TOOLS = 'an object of tools, { add: { description, parameters, run } }';
const TOOL_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

const tools = plain(TOOLS).pipe(
  z.record(z.string(), object('{ description, parameters, run }', TOOL_FIELDS)).superRefine((given, context) => {
    const names = Object.keys(given);
    if (names.length === 0)
      context.addIssue({
        code: 'custom',
        message: `is an empty object, expected ${TOOLS}: a turn consists of tool calls`,
      });
    for (const odd of names.filter((one) => !TOOL_NAME.test(one))) {
      context.addIssue({
        code: 'custom',
        message: `has the tool ${JSON.stringify(odd)}, expected names of up to 64 letters, digits and _`,
      });
    }
  }) as never,
);

/** The whole of what an author writes, by kind of environment. */
export const FIELDS = {
  functions: { ...toolUse, start: giving(ANSWERS.start).optional(), tools } satisfies Fields<EnvironmentDefinition>,
  mcp: {
    ...toolUse,
    server: told((value) => {
      const problem =
        typeof value === 'function'
          ? functionProblem(value, false)
          : isPlainObject(value)
            ? null
            : `is ${described(value)}`;
      return problem === null
        ? null
        : `${problem}, expected { command, args } or { url }, or a function that gives one`;
    }),
    tools: field('an array of tool names, at least one (leave it out for all of the server’s)', isNames).optional(),
    describe: told(describeProblem).optional(),
    start: giving(ANSWERS.startServer).optional(),
    observe: giving(ANSWERS.observe).optional(),
    startTimeoutMs: milliseconds.optional(),
  } satisfies Fields<McpDefinition>,
  openenv: {
    ...task,
    url: address(/^(https?|wss?)$/, 'http://127.0.0.1:8000'),
    reset: giving(ANSWERS.reset).optional(),
    prompt: giving(ANSWERS.prompt),
    action: giving(ANSWERS.action),
    observe: giving(ANSWERS.observe),
    score: giving(ANSWERS.score).optional(),
    format: actionFormat.optional(),
    timeoutMs: milliseconds.optional(),
    onStepFailure,
  } satisfies Fields<OpenEnvDefinition>,
  'agent-evolver': {
    name,
    url: address(/^https?$/, 'http://127.0.0.1:8080'),
    envType: text('the env_type of the service, e.g. "bfcl"'),
    splits: object('{ train, heldout }, what the service calls them', {
      train: text('a text'),
      heldout: text('a text'),
    }),
    turns: wholeFrom1,
    params: plain('an object, the params of /create').optional(),
    sparse: field('true or false', (value) => typeof value === 'boolean').optional(),
    score: giving(ANSWERS.scoreOf).optional(),
    errorReplies: oneOf('fault', 'observation').optional(),
    format: actionFormat.optional(),
    timeoutMs: milliseconds.optional(),
    onStepFailure,
  } satisfies Fields<AgentEvolverSpec>,
} as const;

/** Kinds of environments that a module can define. */
export type Kind = keyof typeof FIELDS;

function isNames(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string' && one !== '');
}

/** Words for a server's tools, by name or by a function. */
function describeProblem(value: unknown): string | null {
  const { expected, wrong } = ANSWERS.describe;
  if (!isPlainObject(value)) {
    const problem = functionProblem(value, false);
    return problem === null ? null : `${problem}, expected { tool: ${expected} }, or a function that gives one`;
  }
  const odd = Object.keys(value).find((tool) => wrong(value[tool], 0) !== null);
  return odd === undefined ? null : `has for ${JSON.stringify(odd)} ${described(value[odd])}, expected ${expected}`;
}

/** An array, or the name of a file; how else a hurried author may have meant one. */
function tasksProblem(value: unknown): string | null {
  if (typeof value === 'string' ? value !== '' : Array.isArray(value) && value.length > 0) return null;
  const expected = `is ${described(value)}, expected an array of tasks, or the name of a JSONL file beside the module`;
  if (typeof value === 'function') return `${expected}: call it here`;
  if (isThenable(value)) return `${expected}: write \`await\` before it`;
  const iterable = typeof value === 'object' && value !== null && Symbol.iterator in value && !Array.isArray(value);
  if (iterable) return `${expected}: write [...it] with { id, split, ... } objects in it`;
  if (isPlainObject(value)) return `${expected}: { id, split: 'train', ... } each, the splits in one array`;
  return (zodType(value) ?? zod3Type(value)) ? `${expected}: its schema belongs in \`task\`` : expected;
}
