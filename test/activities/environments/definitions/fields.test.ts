import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z as z3 } from 'zod/v3';
import { z } from '../../../../activities/environments/api.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { DEFINE, fieldsOf, KINDS, TOOL_FIELD_NAMES, VALID, WRONG, type Fields } from './slots.js';

/** Of the five, what is right in a field: what may be left out takes undefined. */
const RIGHT: Readonly<Record<string, readonly string[]>> = {
  turns: ['the number 5'],
  maxCalls: ['undefined', 'the number 5'],
  maxResultCharacters: ['undefined', 'the number 5'],
  stepTimeoutMs: ['undefined', 'the number 5'],
  startTimeoutMs: ['undefined', 'the number 5'],
  timeoutMs: ['undefined', 'the number 5'],
  params: ['undefined', 'an empty object'],
  next: ['undefined'],
  solve: ['undefined'],
  start: ['undefined'],
  format: ['undefined'],
  observe: ['undefined'],
  reset: ['undefined'],
  score: ['undefined'],
  sparse: ['undefined'],
  errorReplies: ['undefined'],
  onStepFailure: ['undefined'],
  describe: ['undefined', 'an empty object'],
  description: ['undefined'],
  'mcp.tools': ['undefined'],
  'openenv.observe': [],
};
/** Fields that say more exactly what is wrong with an object. */
const IN_OTHER_WORDS: Readonly<Record<string, RegExp>> = {
  splits: /splits\.train is missing, expected a text; splits\.heldout is missing, expected a text/,
  server: /server: has neither a command nor a url .*, expected \{ command, args \} or \{ url \}/,
};

const refused = (kind: keyof typeof DEFINE, spec: Fields): string => {
  try {
    DEFINE[kind](spec as never);
    return '';
  } catch (error) {
    assert.equal((error as Error).name, 'BadConfig', String(error));
    return (error as Error).message;
  }
};

for (const kind of KINDS) {
  test(`${kind}: a valid definition has a right value in every field of its schema`, () => {
    assert.deepEqual(Object.keys(VALID[kind]).sort(), fieldsOf(kind).sort());
    assert.equal(refused(kind, VALID[kind]), '');
  });

  for (const field of fieldsOf(kind)) {
    test(`${kind}: ${field} with each wrong value is one sentence that names field, value and expectation`, () => {
      const right = RIGHT[`${kind}.${field}`] ?? RIGHT[field] ?? [];
      for (const [word, value] of WRONG) {
        const said = refused(kind, { ...VALID[kind], [field]: value() });
        if (right.includes(word)) assert.equal(said, '', `${field}: ${word}`);
        else if (word === 'an empty object' && IN_OTHER_WORDS[field]) assert.match(said, IN_OTHER_WORDS[field]);
        else
          assert.match(
            said,
            new RegExp(`^environment (without a name|"slots"): ${field} is ${word}, expected \\S`),
            `${field}: ${word}`,
          );
      }
    });
  }
}

for (const field of TOOL_FIELD_NAMES) {
  test(`a tool's ${field} with each wrong value is one sentence`, () => {
    for (const [word, value] of WRONG) {
      const add = { ...(VALID.functions['tools'] as { add: Fields }).add, [field]: value() };
      const said = refused('functions', { ...VALID.functions, tools: { add } });
      if (RIGHT[field]?.includes(word)) assert.equal(said, '');
      else assert.match(said, new RegExp(`^environment "slots": tools\\.add\\.${field} is ${word}, expected \\S`));
    }
  });
}

test('all faults are told at once', () => {
  const said = refused('functions', {
    task: z.object({}),
    tasks: [],
    tools: { 'a b': 5 },
    maxTurns: 5,
    rewards: () => 1,
  });
  for (const part of [
    /^environment without a name: /,
    /name is missing, expected small letters/,
    /tasks is an empty array, expected/,
    /turns is missing/,
    /prompt is missing, expected a function that gives a text/,
    /verify is missing/,
    /tools\.a b is the number 5, expected \{ description, parameters, run \}/,
    /maxTurns is no field: did you mean turns\?/,
    /rewards is no field: did you mean verify\?/,
  ])
    assert.match(said, part);
});

const withTool = (tool: Fields) =>
  refused('functions', { ...VALID.functions, tools: { add: { description: '', run: () => 1, ...tool } } });

test('parameters written for other libraries are told what to write', () => {
  const JSON_SCHEMA = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] };
  assert.match(
    withTool({ parameters: { n: z.number() } }),
    /is a plain object of zod schemas, expected .*: write z\.object\(\{ n \}\)/,
  );
  assert.match(
    withTool({ parameters: JSON_SCHEMA }),
    /is a JSON Schema, expected .*: write z\.object\(\{ n: z\. \.\.\. \}\)/,
  );
  assert.match(
    withTool({ parameters: z.discriminatedUnion('k', [z.object({ k: z.literal('a') })]) }),
    /is a z\.union or z\.discriminatedUnion, expected z\.object/,
  );
  assert.match(
    withTool({ parameters: z.object({ n: 'number' } as never) }),
    /parameters has the field n, which is the text "number", expected a schema of zod 4/,
  );
  assert.match(
    withTool({ parameters: z.object({ n: z3.string() } as never) }),
    /parameters has the field n, which is a ZodString of zod 3, expected a schema of zod 4/,
  );
  assert.match(withTool({ parameters: z3.object({}) }), /parameters is a ZodObject of zod 3, expected z\.object/);
  assert.match(withTool({ parameters: z.array(z.number()) }), /is z\.array, expected z\.object/);
  const vercel = withTool({ inputSchema: z.object({}), execute: () => 1 });
  assert.match(
    vercel,
    /add\.parameters is missing.*add\.inputSchema is no field: did you mean parameters\?; tools\.add\.execute is no field: did you mean run\?/,
  );
});

test('what format hermes cannot show to the model is refused with the name of the parameter', () => {
  const hermes = (when: z.ZodType) =>
    refused('functions', {
      ...VALID.functions,
      format: 'hermes',
      tools: { add: { parameters: z.object({ ok: z.string(), when }), run: () => 1 } },
    });
  for (const [schema, type] of [
    [z.coerce.date(), 'date'],
    [z.custom((x) => x !== 1), 'custom'],
    [z.bigint(), 'bigint'],
    [z.map(z.string(), z.string()), 'map'],
  ] as const) {
    assert.match(
      hermes(schema),
      new RegExp(
        `tools\\.add\\.parameters\\.when is z\\.${type}, which the JSON Schema of format "hermes" cannot express`,
      ),
    );
  }
  assert.equal(hermes(z.iso.date()), '');
});

test('functions that cannot be called, or that nobody would wait for, are told', () => {
  const prompt = (value: unknown) => refused('functions', { ...VALID.functions, prompt: value });
  assert.match(
    prompt(async () => ''),
    /prompt is asynchronous: it gives a Promise, .*expected a function that gives a text/,
  );
  assert.match(prompt(class Prompt {}), /prompt is a class, expected a function/);
  assert.match(
    prompt(function* () {
      yield '';
    }),
    /prompt is a generator function, expected a function/,
  );
  assert.match(
    prompt(new Proxy({}, { get: () => assert.fail('a trap') })),
    /^environment "slots": prompt cannot be read: it threw a trap$/,
  );
  for (const [kind, later] of [
    ['functions', ['verify']],
    ['mcp', ['verify', 'start']],
    ['openenv', []],
    ['agent-evolver', []],
  ] as const) {
    for (const [field, value] of Object.entries(VALID[kind]).filter((entry) => typeof entry[1] === 'function')) {
      const said = refused(kind, { ...VALID[kind], [field]: async () => value });
      if ((later as readonly string[]).includes(field)) assert.equal(said, '');
      else
        assert.match(
          said,
          new RegExp(
            `^environment "slots": ${field} is asynchronous: it gives a Promise, and nobody waits for it, expected`,
          ),
        );
    }
  }
  assert.equal(withTool({ parameters: z.object({}), run: async () => 1 }), '');
});

test('a definition that was spread into another is checked again when it is opened', () => {
  const spread = { ...DEFINE.functions(VALID.functions as never), turns: 0, nxet: () => null };
  assert.throws(() => openDefinition(spread, { folder: '.', file: (relative) => relative }), {
    name: 'BadConfig',
    message: /turns is the number 0, expected .*; nxet is no field: did you mean next\?/,
  });
});

test('a format that there is not is told with those that there are; functions have no code blocks', () => {
  for (const format of ['json', 'code-block']) {
    assert.match(
      refused('functions', { ...VALID.functions, format }),
      new RegExp(`format is the text "${format}", expected "call-lines" or "hermes"$`),
    );
  }
  assert.equal(refused('openenv', { ...VALID.openenv, format: 'code-block' }), '');
});

test('a tool without a description is its name and arguments in the prompt', async () => {
  const definition = DEFINE.functions({
    ...VALID.functions,
    tools: { add: { parameters: z.object({ n: z.number() }), run: () => 1 } },
  } as never);
  const { messages } = await openDefinition(definition, { folder: '.', file: (relative) => relative }).reset({
    episodeId: 'e',
    taskId: 'a',
    seed: 0,
  });
  assert.match(messages[0]!.content, /^Tools:\nadd\(n\)\n/);
});

test('tasks that are no array are told how to make one', () => {
  const tasks = (value: unknown) => refused('functions', { ...VALID.functions, tasks: value });
  assert.match(
    tasks(() => []),
    /tasks is a function, expected an array .*: call it here/,
  );
  assert.match(tasks(new Map()), /tasks is a Map, expected .*: write \[\.\.\.it\]/);
  assert.match(tasks([].values()), /tasks is an .*, expected .*: write \[\.\.\.it\]/);
  assert.match(tasks(Promise.resolve([])), /tasks is a Promise, expected .*: write `await`/);
  assert.match(tasks({ train: [] }), /tasks is an object with train, expected .*the splits in one array/);
});

test('a definition that is frozen, spread from another, or has getters is read; one of a class is refused', () => {
  assert.equal(
    refused(
      'functions',
      Object.freeze({ ...VALID.functions, tools: Object.freeze({ ...(VALID.functions['tools'] as Fields) }) }),
    ),
    '',
  );
  assert.equal(refused('functions', { ...DEFINE.functions(VALID.functions as never), name: 'another' }), '');
  const getter = Object.defineProperty({ ...VALID.functions }, 'prompt', {
    enumerable: true,
    get: () => {
      throw new Error('not yet');
    },
  });
  assert.match(refused('functions', getter), /^environment "slots": prompt cannot be read: it threw not yet$/);
  class Environment {
    name = 'slots';
  }
  assert.match(
    refused('functions', new Environment() as never),
    /^environment: the definition is an Environment, expected \{ name, task/,
  );
  assert.match(
    refused('functions', undefined as never),
    /^environment: the definition is undefined, expected \{ name, task/,
  );
});
