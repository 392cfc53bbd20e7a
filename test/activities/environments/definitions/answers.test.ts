import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { WebSocketServer, type WebSocket } from 'ws';
import { ToolError, z } from '../../../../activities/environments/api.js';
import type { Kind } from '../../../../activities/environments/definition-schema.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';
import { DEFINE, KINDS, VALID, WRONG, type Fields } from './slots.js';

const HERE = { folder: '.', file: (relative: string) => relative };
const MEMORY = path.resolve('node_modules/@modelcontextprotocol/server-memory/dist/index.js');
const act = (content: string) => ({ content, calls: parseCalls(content, 'call-lines') });

/** A server of OpenEnv's protocol and one of env_service's, each as small as can be. */
const openenv = new WebSocketServer({ port: 0, host: '127.0.0.1' });
const evolver = createServer((request, response) => {
  const data =
    request.url === '/get_env_profile' ? ['a'] : { state: [{ role: 'user', content: 'x' }], is_terminated: false };
  request.resume().on('end', () => response.end(JSON.stringify({ success: true, data })));
});
before(async () => {
  openenv.on('connection', (socket: WebSocket) =>
    socket.on('message', (message) => {
      const { type } = JSON.parse(String(message)) as { type: string };
      const reply =
        type === 'state'
          ? { type, data: {} }
          : { type: 'observation', data: { observation: {}, reward: 1, done: false } };
      if (type !== 'close') socket.send(JSON.stringify(reply));
      else socket.close();
    }),
  );
  evolver.listen(0, '127.0.0.1');
  await once(evolver, 'listening');
  if (openenv.address() === null) await once(openenv, 'listening');
});
after(() => {
  openenv.close();
  evolver.close().closeAllConnections();
});
const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

/** A definition that can be played. */
function playable(kind: Kind): Fields {
  const server = ({ folder }: { folder: string }) => ({
    command: process.execPath,
    args: [MEMORY],
    env: { MEMORY_FILE_PATH: `${folder}/m.jsonl` },
  });
  const { functions, mcp } = VALID;
  return {
    functions,
    mcp: { ...mcp, tools: ['read_graph'], server, startTimeoutMs: 20_000, stepTimeoutMs: 10_000 },
    openenv: { ...VALID.openenv, url: `ws://127.0.0.1:${portOf(openenv)}` },
    'agent-evolver': { ...VALID['agent-evolver'], url: `http://127.0.0.1:${portOf(evolver)}` },
  }[kind];
}

/** Everything that a run asks of an environment. */
async function play(kind: Kind, spec: Fields): Promise<string> {
  const environment = openDefinition(DEFINE[kind](spec as never), HERE);
  try {
    await environment.listTasks('train');
    await environment.solution('a');
    await environment.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
    const { messages } = await environment.step({
      episodeId: 'e',
      stepIndex: 1,
      action: act(kind === 'mcp' ? 'CALL read_graph()' : 'CALL add(3)'),
    });
    await environment.evaluate('e');
    return messages.map(({ content }) => content).join('\n');
  } finally {
    await environment.end();
  }
}

const faultOf = (kind: Kind, spec: Fields): Promise<string> =>
  play(kind, spec).then(
    () => '',
    (error: Error) => {
      assert.ok(['BadConfig', 'EnvironmentProtocolError'].includes(error.name), String(error.stack));
      return error.message;
    },
  );

/** Of the five, what a function may give. */
const RIGHT: Readonly<Record<string, readonly string[]>> = {
  next: ['null'],
  turns: ['the number 5'],
  reset: ['an empty object'],
  action: ['an empty object'],
  'functions.start': ['null', 'the number 5', 'an empty object'],
  'mcp.start': ['a Promise', 'undefined', 'null', 'the number 5', 'an empty object'],
};
/** Functions whose promises are waited for, so that what comes of them is what is told. */
const WAITED_FOR = ['verify'];
const IN_OTHER_WORDS: Readonly<Record<string, RegExp>> = {
  server: /server: has neither a command nor a url .*, expected \{ command, args \} or \{ url \}/,
  verify: /verify gave an object whose score is undefined, expected true, false, a score/,
  score: /score gave an object whose score is undefined, expected true, false, a score/,
};

for (const kind of KINDS) {
  const functions = Object.entries(VALID[kind])
    .filter(([, value]) => typeof value === 'function')
    .map(([field]) => field);
  for (const field of functions) {
    test(`${kind}: what ${field} gives is checked, and a wrong value is one sentence that names function, value and expectation`, async () => {
      for (const [word, value] of WRONG) {
        const said = await faultOf(kind, { ...playable(kind), [field]: () => value() });
        const right = RIGHT[`${kind}.${field}`] ?? RIGHT[field] ?? [];
        const told = word === 'a Promise' && WAITED_FOR.includes(field) ? 'the text "x"' : word;
        if (right.includes(word)) assert.equal(said, '', `${field}: ${word}`);
        else if (word === 'an empty object' && IN_OTHER_WORDS[field] && kind !== 'agent-evolver')
          assert.match(said, IN_OTHER_WORDS[field]);
        else
          assert.match(
            said,
            new RegExp(`^environment slots.*: ${field} gave ${told}, expected \\S`),
            `${field}: ${word}`,
          );
      }
    });
  }
}

const withRun = (run: (...input: never[]) => unknown): Fields => ({
  ...VALID.functions,
  tools: { add: { parameters: z.object({ n: z.number() }), run } },
});

test('what a tool gives is read as it is, or is the tool’s fault: never {} for a Map, or null for NaN', async () => {
  const circle: Fields = {};
  circle['self'] = circle;
  class Row {
    constructor(readonly n: number) {}
  }
  const right: readonly (readonly [unknown, string])[] = [
    ['as it is', 'as it is'],
    [undefined, 'done'],
    [null, 'null'],
    [5, '5'],
    [{ a: undefined, b: [1, 'x'] }, '{"b":[1,"x"]}'],
    [true, 'true'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [new Row(2), '{"n":2}'],
    [Promise.resolve(3), '3'],
    [[null], '[null]'],
  ];
  for (const [value, reads] of right)
    assert.equal(
      await play(
        'functions',
        withRun(() => value),
      ),
      `Result: ${reads}\nGo on.`,
    );
  const wrong: readonly (readonly [unknown, string])[] = [
    [new Map([['a', 1]]), 'a Map'],
    [new Set(), 'a Set'],
    [NaN, 'NaN'],
    [-Infinity, '-Infinity'],
    [1n, 'the BigInt 1n'],
    [Symbol('x'), 'a Symbol'],
    [() => 1, 'a function'],
    [circle, 'an object whose self is itself again, in a circle'],
    [{ rows: [{ n: NaN }] }, 'an object whose rows[0].n is NaN'],
    [[1, undefined], 'an array whose [1] is undefined'],
    [{ later: Promise.resolve(1) }, 'an object whose later is a Promise'],
    [new Error('x'), 'an Error'],
    [/x/, 'a RegExp'],
    [new Uint8Array(2), 'an Uint8Array'],
    [new Date(NaN), 'a Date that JSON writes as null'],
  ];
  for (const [value, word] of wrong) {
    const said = await faultOf(
      'functions',
      withRun(() => value),
    );
    assert.equal(
      said,
      `environment slots, task a, turn 1: tool add gave ${word}, expected a text or a JSON value (finite numbers, arrays, plain objects)`,
    );
  }
});

test('prompts and verdicts of another form are told by what is wrong in them', async () => {
  const gave = async (field: string, value: unknown) =>
    (await faultOf('functions', { ...VALID.functions, [field]: () => value })).replace(/, expected.*/, '');
  for (const [value, word] of [
    [[], 'an empty array'],
    [[{ role: 'human', content: 'hi' }], 'an array whose [0].role is the text "human"'],
    [[{ role: 'user', content: [{ type: 'text', text: 'hi' }] }], 'an array whose [0].content is an array of 1'],
    [[{ role: 'user', content: 'hi', tool_calls: [] }], 'an array whose [0] has the unknown field tool_calls'],
    [['hi'], 'an array whose [0] is the text "hi"'],
    ['a \ud800', 'a text with half a surrogate pair in it'],
  ] as const)
    assert.match(await gave('prompt', value), new RegExp(`prompt gave ${word.replaceAll(/[[\]().]/g, '\\$&')}$`));
  for (const [value, word] of [
    ['1', 'the text "1"'],
    [NaN, 'NaN'],
    [1.5, 'the number 1.5'],
    [{ score: true }, 'an object whose score is true'],
    [{ score: '1' }, 'an object whose score is the text "1"'],
    [{ score: 1, turnsPassed: [true, true, true, true, true] }, 'an object with 5 turnsPassed for 1 turn(s) played'],
    [{ score: 1, turnsPassed: [1] }, 'an object whose turnsPassed[0] is the number 1'],
    [{ score: 1, sucess: true }, 'an object with the unknown field sucess'],
    [[1, 0], 'an array of 2'],
  ] as const)
    assert.match(
      await gave('verify', value),
      new RegExp(`turn 2: verify gave ${word.replaceAll(/[[\]().]/g, '\\$&')}$`),
    );
});

test('a function that throws anything is named, with what it threw', async () => {
  for (const [thrown, word] of [
    [new Error('x'), 'Error: x'],
    ['x', 'the text "x"'],
    [null, 'null'],
    [Object.create(null), 'an empty object'],
    [Symbol('x'), 'a Symbol'],
  ] as const) {
    const throws = (): never => {
      throw thrown;
    };
    assert.match(
      await faultOf('functions', { ...VALID.functions, next: throws }),
      new RegExp(`turn 2: next threw ${word}: correct it`),
    );
    assert.match(await faultOf('functions', withRun(throws)), new RegExp(`turn 1: tool add threw ${word}: correct it`));
  }
  const refuses = withRun(async () => {
    throw new ToolError('too large');
  });
  assert.equal(await play('functions', refuses), 'Result: Error: too large\nGo on.');
});

test('a function that never gives the thread back is ended, and named', async () => {
  const forever = (): never => {
    for (;;);
  };
  for (const field of ['prompt', 'next', 'verify', 'solve', 'start']) {
    const said = await faultOf('functions', { ...VALID.functions, stepTimeoutMs: 50, [field]: forever });
    assert.match(
      said,
      new RegExp(
        `^environment slots, task a.*: ${field} did not give the thread back within 50 ms: is there a loop without an end\\?$`,
      ),
    );
  }
  assert.match(
    await faultOf('functions', { ...withRun(forever), stepTimeoutMs: 50 }),
    /turn 1: CALL add.* did not give the thread back within 50 ms/,
  );
});
