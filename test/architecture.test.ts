import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { AlgorithmConfig } from '../schemas/train-config.js';
import { bundleWorkflows } from './support/workflow-bundle.js';

interface Import {
  readonly file: string;
  /** A package's name, or a path from the root of the repository. */
  readonly of: string;
  readonly typeOnly: boolean;
}

const FOLDERS = ['workflows', 'activities', 'workers', 'schemas', 'scripts'];
const files = FOLDERS.flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => path.posix.join(folder, file)),
);
const imports: Import[] = files.flatMap((file) =>
  [
    ...readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)\s+(type\s+)?(?:[^'";]*?from\s+)?'([^']+)'|\bawait import\('([^']+)'\)/gm,
    ),
  ].map(([, type, from, dynamic]) => {
    const specifier = (from ?? dynamic)!;
    const of = specifier.startsWith('.')
      ? path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, '.ts')
      : specifier;
    return { file, of, typeOnly: type !== undefined };
  }),
);
const within = (folder: string) => (file: string) => file.startsWith(`${folder}/`);
const packageOf = (name: string) =>
  name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');

/** Asserts that no import breaks a rule, naming those that do. */
function none(broken: readonly Import[], rule: string): void {
  assert.deepEqual(
    broken.map(({ file, of }) => `${file} imports ${of}`),
    [],
    rule,
  );
}
const solely = (name: string, ...allowed: string[]) =>
  none(
    imports.filter(
      ({ file, of, typeOnly }) =>
        packageOf(of) === name && !typeOnly && !allowed.includes(file) && !within('scripts')(file),
    ),
    `only ${allowed.join(', ')} may import ${name}`,
  );

test('the sources were found', () => assert.ok(files.length > 40 && imports.length > 100));

test('workflows import the workflow API, each other, and types', () => {
  none(
    imports.filter(
      ({ file, of, typeOnly }) =>
        within('workflows')(file) &&
        !typeOnly &&
        !within('workflows')(of) &&
        !['@temporalio/workflow', '@temporalio/common'].includes(of),
    ),
    'workflows must be deterministic: what they do is in activities',
  );
});

test('schemas import zod and each other', () => {
  none(
    imports.filter(({ file, of }) => within('schemas')(file) && of !== 'zod' && !within('schemas')(of)),
    'schemas are the contract, and nothing else',
  );
});

test('nothing imports scripts, and only workers and scripts import workers', () => {
  none(
    imports.filter(({ file, of }) => within('scripts')(of) && !within('scripts')(file)),
    'scripts are for people',
  );
  none(
    imports.filter(({ file, of }) => within('workers')(of) && !within('workers')(file) && !within('scripts')(file)),
    'activities get their dependencies',
  );
});

test('nothing imports test but tests', () =>
  none(
    imports.filter(({ of }) => within('test')(of)),
    'what both need belongs to scripts',
  ));

test('activities know Temporal only in their shells', () => {
  const shells = (file: string) =>
    file.endsWith('.activity.ts') || ['activities/failures.ts', 'activities/heartbeats.ts'].includes(file);
  none(
    imports.filter(({ file, of }) => within('activities')(file) && of.startsWith('@temporalio/') && !shells(file)),
    'the core of a stage is plain code',
  );
  none(
    imports.filter(({ file, of }) => within('activities')(file) && within('workflows')(of)),
    'activities do not know who calls them',
  );
});

test('each outside service has one door (scripts, which set servers up, have their own)', () => {
  solely('@aws-sdk/client-s3', 'activities/artifacts/s3-store.ts');
  solely('@aws-sdk/lib-storage', 'activities/artifacts/s3-store.ts');
  solely('@modelcontextprotocol/client', 'activities/environments/mcp/mcp-connection.ts');
  solely('@tensorflow/tfjs-node-gpu', 'activities/policy/backend.ts');
  solely('@huggingface/hub', 'activities/policy/hub-models.ts');
});

test('the policy is reached through its interface: tensors stay in activities/policy', () => {
  const doors = [
    'activities/policy/policy.ts',
    'activities/policy/text-codec.ts',
    'activities/policy/policy-thread.ts',
    'activities/policy/model-files.ts',
    'activities/policy/model-settings.ts',
    'activities/policy/hub-models.ts',
    'activities/policy/weights/model-file-error.ts',
  ];
  const outside = (file: string) => !within('activities/policy')(file) && !within('scripts')(file);
  none(
    imports.filter(
      ({ file, of, typeOnly }) => within('activities/policy')(of) && outside(file) && !typeOnly && !doors.includes(of),
    ),
    'import policy.ts',
  );
});

test('the stages know no algorithm by its name: they ask the object of activities/algorithms', () => {
  const NAMED = new RegExp(
    `(?:[!=]==|case) '(?:${AlgorithmConfig.options.map((variant) => variant.in.shape.name.value).join('|')})'`,
  );
  const known = (file: string) => within('activities/algorithms')(file) || within('scripts')(file);
  assert.deepEqual(
    files.filter((file) => !known(file) && NAMED.test(readFileSync(file, 'utf8'))),
    [],
  );
});

test('environment variables are read in one file', () => {
  // backend.ts sets TensorFlow's own variables before it loads it; it reads none.
  const readers = files.filter(
    (file) =>
      !within('scripts')(file) && /process\.env(?!\['(?:TF|NVIDIA)_\w+'\] \?\?=)/.test(readFileSync(file, 'utf8')),
  );
  assert.deepEqual(readers, ['workers/dependencies.ts']);
});

test('no Math.random: every random number derives from the seed', () => {
  assert.deepEqual(
    files.filter((file) =>
      /Math\.random\(|randomUUID|getRandomValues/.test(
        readFileSync(file, 'utf8').replaceAll(/\/\/.*|\/\*[^]*?\*\//g, ''),
      ),
    ),
    [],
  );
});

test('the workflow that a reader opens first fits on a screen', () => {
  assert.ok(readFileSync('workflows/iteration.ts', 'utf8').split('\n').length <= 110);
});

test('there is one copy of protobufjs 8: with more, histories do not replay', () => {
  const copies = readdirSync('node_modules', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(path.join('protobufjs', 'package.json')))
    .filter((file) =>
      (JSON.parse(readFileSync(path.join('node_modules', file), 'utf8')) as { version: string }).version.startsWith(
        '8.',
      ),
    );
  assert.deepEqual(copies, [path.join('protobufjs', 'package.json')]);
});

test('every @temporalio package has the same version', () => {
  const versions = readdirSync('node_modules/@temporalio').map(
    (name) =>
      (JSON.parse(readFileSync(`node_modules/@temporalio/${name}/package.json`, 'utf8')) as { version: string })
        .version,
  );
  assert.equal(new Set(versions).size, 1, versions.join(' '));
});

test('the workflows bundle', async () => {
  assert.match((await bundleWorkflows()).code, /collectRollouts/);
});
