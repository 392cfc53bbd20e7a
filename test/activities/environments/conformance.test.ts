import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import {
  checkEnvironment,
  type Finding,
  type Subject,
} from '../../../activities/environments/conformance/check-environment.js';
import { differenceOf } from '../../../activities/environments/conformance/difference.js';
import { movedWorld, DAY_MS } from '../../../activities/environments/conformance/moved-world.js';
import { mentionedIn, probeArguments } from '../../../activities/environments/conformance/probe-arguments.js';
import { ModuleEnvironment } from '../../../activities/environments/module-environment.js';
import { z } from '../../../activities/environments/api.js';

const QUICK = { leakEpisodes: 0, maxLeakMs: 0, tasks: 1, maxStepMs: 5_000 };
let folder: string;
before(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'seeupo-conformance-'))));

interface Written {
  /** Before the definition. */
  readonly state?: string;
  readonly start?: string;
  readonly run?: string;
  readonly next?: string;
  readonly verify?: string;
  readonly parameters?: string;
  readonly tasks?: string;
}
let modules = 0;

/** A module of one tool that adds to a total, with parts of its own; what the check says of it. */
async function findings(
  {
    state = '',
    start = '() => ({ total: 0 })',
    run = '({ n }, { state }) => (state.total += n)',
    verify = '({ task, state }) => state.total === task.goal',
    ...other
  }: Written,
  solve: boolean,
): Promise<readonly Finding[]> {
  const { next = "({ turns }) => (turns.length < 2 ? 'Go on.' : null)", parameters = '{ n: z.number() }' } = other;
  const name = `m${modules++}.ts`;
  await writeFile(
    path.join(folder, name),
    `import { defineEnvironment, ToolError, z } from 'seeupo/environment';
    ${state}
    export default defineEnvironment({
      name: 'written', task: z.object({ goal: z.number() }), tasks: ${other.tasks ?? "[{ id: 'a', split: 'train', goal: 3 }]"}, turns: 2,
      start: ${start}, prompt: ({ goal }) => \`Reach \${goal}.\`, tools: { add: { parameters: z.object(${parameters}), run: ${run} } },
      next: ${next}, verify: ${verify}, ${solve ? 'solve: ({ goal }) => [`CALL add(${goal})`],' : ''}
    });`,
  );
  const open = () => new ModuleEnvironment(`./${name}`, [folder]);
  let environment = open();
  const subject: Subject = {
    open: () => environment,
    crash: async () => void (environment = open()),
    reload: () => ({ environment: open(), end: async () => {} }),
  };
  return checkEnvironment(subject, QUICK);
}
const of = (found: readonly Finding[], check: string): Finding =>
  found.find((finding) => finding.check.startsWith(check))!;

test('an environment that keeps its promises holds in all, with and without solutions', async () => {
  assert.deepEqual(
    (await findings({}, true)).filter(({ holds }) => holds !== true).map(({ check }) => check),
    ['leaks: memory is flat over many episodes'],
  );
  const without = await findings({}, false);
  assert.deepEqual(
    without.filter(({ holds }) => holds === false),
    [],
  );
  assert.match(of(without, 'determinism').detail, /scripts, again a day later, \d+ accepted calls/);
  assert.match(of(without, 'tools').detail, /^add \d+ accepted, \d+ refused$/);
});

const IMPURE: readonly (readonly [string, Written, RegExp])[] = [
  ['draws in a tool', { run: '() => Math.random()' }, /after response 1: .*0\.0001.* and .*0\.9999/],
  ['draws seldom', { run: "() => (Math.random() < 0.01 ? 'lucky' : 'no')" }, /after response 1: .*lucky/],
  ['draws in start', { start: '() => ({ total: Math.floor(Math.random() * 1000) })' }, /after response 1/],
  ['draws in next', { next: '() => `Go on ${Math.random()}.`' }, /after response 1/],
  ['draws in verify', { verify: '() => Math.random()' }, /in the verdict: /],
  ['counts episodes', { state: 'let games = 0;', start: '() => ({ total: games++ })' }, /after response 1/],
  ['counts calls', { state: 'let calls = 0;', run: '() => calls++' }, /after response 1: .*Result: \d+/],
  ['shares its state', { state: 'const board = { total: 0 };', start: '() => board' }, /after response 1/],
  [
    'tells the day',
    { run: '() => new Date().toISOString().slice(0, 10)' },
    /after response 1: .*Result: \d{4}-\d\d-\d\d/,
  ],
  ['tells the time', { run: '() => Date.now()' }, /after response 1/],
  ['tells how long it runs', { run: '() => Math.floor(performance.now() / 3_600_000)' }, /after response 1/],
  [
    'took the day when it was loaded',
    { state: 'const today = new Date().toISOString().slice(0, 10);', run: '() => today' },
    /the second in a module loaded anew, a day later, differ after response 1/,
  ],
];
for (const [what, written, where] of IMPURE) {
  for (const solve of [true, false]) {
    test(`a module that ${what} fails determinism, which says where and what differs (${solve ? 'with' : 'without'} solve)`, async () => {
      const { holds, detail } = of(await findings(written, solve), 'determinism');
      assert.equal(holds, false, detail);
      assert.match(detail, where);
    });
  }
}

test('tasks that hang on the dice or on the day are told', async () => {
  const { holds, detail } = of(
    await findings({ tasks: "[{ id: `a${Math.floor(Math.random() * 1e6)}`, split: 'train', goal: 3 }]" }, false),
    'tasks',
  );
  assert.equal(holds, false);
  assert.match(detail, /loaded again, a day later, it lists other tasks: .* and /);
});

test('where no call was accepted nothing holds: it says what it could not look at', async () => {
  const secret = {
    parameters: '{ n: z.number(), key: z.string() }',
    run: "({ key }) => { if (key !== 'sesame') throw new ToolError('wrong key'); return Math.random(); }",
  };
  const found = await findings(secret, false);
  for (const check of ['determinism', 'restore', 'isolation']) {
    assert.deepEqual(
      [of(found, check).holds, of(found, check).detail],
      [null, 'not looked at: no call was accepted (tools add): give `solve`'],
    );
  }
  assert.match(of(found, 'tools').detail, /^not looked at: no call of add \(Error: wrong key\) was accepted/);
});

test('a module that does not load, or whose tasks are wrong, is one line', async () => {
  const found = await findings({ start: 'async () => ({})' }, false);
  assert.deepEqual(
    found.map(({ check, holds }) => [check, holds]),
    [['loads, and lists its tasks', false]],
  );
  assert.match(found[0]!.detail, /start is asynchronous/);
  assert.match(
    (await findings({ tasks: "[{ id: 'a', split: 'test', goal: 3 }]" }, false))[0]!.detail,
    /tasks\[0\]: .*split/,
  );
});

test('clock and dice are moved for what asks them, and moved back', () => {
  const before = Date.now();
  const world = movedWorld({ clockMs: DAY_MS, draw: 0.25 });
  try {
    assert.ok(
      Date.now() - before >= DAY_MS &&
        new Date().getTime() - before >= DAY_MS &&
        Date.parse(Date()) - before >= DAY_MS - 1000,
    );
    assert.equal(new Date(2020, 1, 2).getFullYear(), 2020);
    assert.ok(new Date() instanceof Date && Object.getPrototypeOf(new Date(0)) === Date.prototype);
    assert.equal(Math.random(), 0.25);
    assert.notEqual(Math.random(), 0.25);
  } finally {
    world.end();
  }
  assert.ok(Math.abs(Date.now() - before) < 60_000 && performance.now() < DAY_MS);
});

test('probes fit the schema, and use what the prompt mentions', () => {
  const mentioned = mentionedIn('Move 3 boxes to "shelf B" before 17.');
  assert.deepEqual(mentioned.numbers, [3, 17]);
  assert.equal(mentioned.texts[0], 'shelf B');
  const probe = (schema: z.ZodObject, variant = 0) =>
    probeArguments(z.toJSONSchema(schema, { io: 'input' }), mentioned, variant);
  const schemas = [
    z.object({ a: z.enum(['x', 'y']), b: z.literal('k'), c: z.boolean(), d: z.string() }),
    z.object({ n: z.int().min(10).max(12) }),
    z.object({ list: z.array(z.object({ id: z.uuid(), n: z.number().gt(5) })).min(2) }),
    z.object({ at: z.iso.date(), code: z.string().regex(/^[A-Z]$/) }),
    z.object({ either: z.union([z.string(), z.number()]), more: z.string().min(30).optional() }),
    z.object({ n: z.number().multipleOf(0.5).max(2) }),
  ];
  for (const schema of schemas)
    for (const variant of [0, 1, 2, 3])
      assert.equal(
        schema.safeParse(probe(schema, variant)).error?.message,
        undefined,
        JSON.stringify(probe(schema, variant)),
      );
  assert.deepEqual(probe(z.object({ n: z.number(), t: z.string() })), { n: 3, t: 'shelf B' });
});

test('the first place where two episodes differ is told with both texts', () => {
  const observation = (content: string, done = false) => ({
    messages: [{ role: 'user' as const, content }],
    done,
    hash: '',
  });
  const verdict = { score: 1, success: true, turnsPassed: [] };
  const played = (...texts: string[]) => ({
    actions: [],
    observations: texts.map((text) => observation(text)),
    verdict,
  });
  assert.equal(differenceOf(played('a', 'b'), played('a', 'b')), null);
  assert.equal(
    differenceOf(played('a', 'draw 3'), played('a', 'draw 4')),
    'after response 1: "user: draw 3" and "user: draw 4"',
  );
  assert.equal(differenceOf(played('a'), played('a', 'b')), 'after response 1: one episode is over, the other goes on');
  assert.match(
    differenceOf(played('a'), { ...played('a'), verdict: { ...verdict, score: 0 } })!,
    /^in the verdict: .*1.* and .*0/,
  );
});
