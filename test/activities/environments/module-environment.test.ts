import assert from 'node:assert/strict';
import { mkdtemp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import { checkEnvironment, type Subject } from '../../../activities/environments/conformance/check-environment.js';
import { defineEnvironment, z } from '../../../activities/environments/api.js';
import { ModuleEnvironment } from '../../../activities/environments/module-environment.js';
import { openDefinition } from '../../../activities/environments/open-definition.js';
import { createEnvironments } from '../../../activities/environments/registry.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import type { Action } from '../../../schemas/environment-protocol.js';

const act = (content: string): Action => ({ content, calls: parseCalls(content, 'call-lines') });
const HERE = { folder: '.', file: (relative: string) => relative };
const QUICK = { leakEpisodes: 200, maxLeakMs: 60_000, tasks: 3, maxStepMs: 5_000 };

for (const example of ['unit-prices', 'meeting-room']) {
  test(`the example ${example} keeps every promise of the interface`, async () => {
    const open = () => new ModuleEnvironment(`./${example}.ts`, ['examples']);
    let environment = open();
    const subject: Subject = { open: () => environment, crash: async () => void (environment = open()) };
    const findings = await checkEnvironment(subject, QUICK);
    assert.deepEqual(
      findings.filter(({ holds }) => holds !== true),
      [],
    );
  });
}

let drawn = 0;
const counting = (impure: boolean) =>
  defineEnvironment({
    name: 'counting',
    task: z.object({ goal: z.number() }),
    tasks: [{ id: 'a', split: 'train', goal: 3 }],
    turns: 2,
    start: () => ({ total: 0 }),
    prompt: ({ goal }) => `Reach ${goal}.`,
    tools: {
      add: {
        description: '',
        parameters: z.object({ n: z.number(), times: z.int().default(1) }),
        run({ n, times }, { state }) {
          state.total += n * times;
          return impure ? `draw ${drawn++}` : String(state.total);
        },
      },
      fail: {
        description: '',
        parameters: z.object({}),
        run: () => {
          throw new Error('a bug');
        },
      },
    },
    verify: ({ task, state }) => state.total === task.goal,
  });

test('the conformance kit finds an environment that is not deterministic', async () => {
  const environment = openDefinition(counting(true), HERE);
  const scripted = {
    open: () => Object.assign(environment, { solution: async () => ['CALL add(3)'] }),
    crash: async () => {},
  };
  const findings = await checkEnvironment(scripted, { ...QUICK, leakEpisodes: 0 });
  const failed = findings.filter(({ holds }) => holds === false).map(({ check }) => check.split(':')[0]);
  assert.ok(failed.includes('determinism') && failed.includes('restore'), failed.join(', '));
});

test('the conformance kit counts demonstrations, and says what their want costs', async () => {
  const environment = openDefinition(counting(false), HERE);
  const findings = await checkEnvironment(
    { open: () => environment, crash: async () => undefined },
    { ...QUICK, leakEpisodes: 0 },
  );
  assert.match(findings[0]!.detail, /1 training, 0 held-out, 0 demonstrations: a run has no warm start/);
});

test('a field whose name is misspelt is told with the fields that there are', () => {
  const { turns, ...spec } = {
    name: 'x',
    task: z.object({}),
    tasks: [],
    turns: 1,
    prompt: () => '',
    tools: { add: { description: '', parameters: z.object({}), run: () => 1 } },
    verify: () => true,
  };
  assert.throws(() => defineEnvironment({ ...spec, turn: turns } as never), {
    name: 'BadConfig',
    message:
      /^environment "x": tasks is an empty array, .*; turns is missing, expected a whole number from 1.*; turn is no field: did you mean turns\?$/,
  });
});

test('tools take positional and named arguments; what does not fit is told to the model', async () => {
  const environment = openDefinition(counting(false), HERE);
  const says = async (episodeId: string, content: string) => {
    await environment.reset({ episodeId, taskId: 'a', seed: 0 });
    return (await environment.step({ episodeId, stepIndex: 1, action: act(content) })).messages[0]?.content;
  };
  assert.equal(await says('e1', 'CALL add(1, 2)\nCALL add(n=1.0)'), 'Result: 2\nResult: 3');
  assert.equal((await environment.evaluate('e1')).score, 1);
  assert.match((await says('e2', "CALL add('x')"))!, /^Result: Error: add: n: Invalid input: expected number/);
  assert.equal(await says('e3', 'CALL add(m=1)'), 'Result: Error: add: has no argument "m", it has n, times');
  assert.equal(await says('e4', 'CALL add(1, 2, 3)'), 'Result: Error: add: takes 2 argument(s), 3 were given');
  assert.equal(await says('e5', 'CALL toString()'), 'Result: Error: "toString" is not a tool, the tools are add, fail');
  // A bug of the environment is never an observation.
  await assert.rejects(says('e6', 'CALL fail()'), {
    name: 'EnvironmentProtocolError',
    code: 'environment_fault',
    message: /tool fail threw Error: a bug/,
  });
});

test('a prompt names the tools as signatures, optional parameters marked', async () => {
  const { messages } = await openDefinition(counting(false), HERE).reset({ episodeId: 'p', taskId: 'a', seed: 0 });
  assert.deepEqual(
    messages.map(({ content }) => content),
    ['Tools:\nadd(n, times?)\nfail()\nAnswer with CALL lines only.', 'Reach 3.'],
  );
});

let root: string;
before(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-roots-'));
  root = path.join(folder, 'root');
  await mkdir(root);
  await writeFile(path.join(folder, 'outside.ts'), 'export default 1');
  await symlink(path.join(folder, 'outside.ts'), path.join(root, 'link.ts'));
  await writeFile(path.join(root, 'other.ts'), 'export default { name: "x" }');
  await writeFile(
    path.join(root, 'leak.ts'),
    `
    import { defineEnvironment, z } from 'seeupo/environment';
    export default defineEnvironment({ name: 'leak', task: z.object({}), tasks: '../outside.ts', turns: 1, prompt: () => '',
      tools: { t: { description: '', parameters: z.object({}), run: () => '' } }, verify: () => 0 });`,
  );
});

test('a configuration cannot make a worker read a file outside the configured roots', async () => {
  const listed = (name: string, roots = [root]) =>
    createEnvironments({ environmentRoots: roots })(name).listTasks('train');
  for (const name of [
    '../outside.ts',
    path.join(root, '..', 'outside.ts'),
    './link.ts',
    '/etc/passwd.ts',
    './missing.ts',
  ]) {
    await assert.rejects(listed(name), { name: 'BadConfig', message: /there is no such file below/ }, name);
  }
  await assert.rejects(listed('./leak.ts'), { name: 'BadConfig', message: /^tasks: .*there is no such file below/ });
  await assert.rejects(listed('./other.ts'), {
    name: 'BadConfig',
    message: /has no environment as its default export/,
  });
  await assert.rejects(async () => listed('./other.ts', []), {
    name: 'UnknownEnvironment',
    message: /SEEUPO_ENVIRONMENTS_DIR/,
  });
});
