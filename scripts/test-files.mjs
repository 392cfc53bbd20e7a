// Which test files a command runs, and what of set-up they need. Plain JavaScript, because bootstrap.mjs uses it.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';

/** `npm test -- pure`: the tests that need nothing but the npm packages, and start no servers. */
export const PURE = 'pure';

/**
 * A compiled file -> the components of set-up that whoever imports it needs. What a test starts as another program is in
 * no import: such a test says it in a line of its own, `// Needs of set-up: model, tensorflow-binding`.
 */
const NEEDS = {
  'activities/policy/backend.js': ['tensorflow-binding'],
  'scripts/services.js': ['temporal', 's3', 'bfcl', 'tensorflow-binding', 'model'], // its workers are programs of their own
  'test/activities/environments/sidecar-process.js': ['bfcl'],
  'test/activities/policy/smollm2.js': ['model'],
  'test/support/s3-server.js': ['s3'],
  'test/support/temporal.js': ['temporal'],
};
/** A test that needs no set-up, but starts reference servers and takes its time, says why it is not in that tier. */
const NOT_PURE = /^\/\/ Not in the pure tier: .+$/m;
const STATED = /^\/\/ Needs of set-up: (.+)$/m;
const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^'"\n;]*?['"](\.[^'"]+\.js)['"]|import\(\s*['"](\.[^'"]+\.js)['"]/g;

/** @returns {string[]} all compiled tests, in order */
export function allTests(dist) {
  const tests = join(dist, 'test');
  if (!existsSync(tests)) return [];
  return readdirSync(tests, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(tests, name))
    .sort();
}

/**
 * The tests whose path contains one of the filters; `pure` stands for those that need no set-up, and no filter for all but
 * the slow proofs below test/durability, which are asked for by name.
 */
export function testsFor(dist, filters) {
  const wanted = filters.map((filter) =>
    filter
      .replace(/^(\.\/)?(dist\/)?/, '')
      .replace(/\.(ts|js)$/, '')
      .split('/')
      .join(sep),
  );
  const isSlow = (path) => relative(dist, path).startsWith(join('test', 'durability'));
  const isPure = (path) =>
    !isSlow(path) && !NOT_PURE.test(readFileSync(path, 'utf8')) && needsOf(dist, [path]).length === 0;
  const matches = (path, filter) => (filter === PURE ? isPure(path) : relative(dist, path).includes(filter));
  return allTests(dist).filter((path) =>
    wanted.length === 0 ? !isSlow(path) : wanted.some((filter) => matches(path, filter)),
  );
}

/** The components of set-up that test files need, each once, found by following their imports. */
export function needsOf(dist, tests) {
  const seen = new Set();
  const needs = new Set();
  const todo = tests.map((path) => resolve(path));
  while (todo.length > 0) {
    const path = todo.pop();
    if (seen.has(path) || !existsSync(path)) continue;
    seen.add(path);
    const text = readFileSync(path, 'utf8');
    const stated =
      STATED.exec(text)?.[1]
        .split(',')
        .map((name) => name.trim()) ?? [];
    for (const name of [...stated, ...(NEEDS[relative(dist, path).split(sep).join('/')] ?? [])]) needs.add(name);
    for (const [, from, dynamic] of text.matchAll(IMPORT)) todo.push(resolve(dirname(path), from ?? dynamic));
  }
  return [...needs].sort();
}
