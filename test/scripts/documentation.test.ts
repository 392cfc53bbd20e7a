import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { AlgorithmConfig } from '../../schemas/algorithm-config.js';

const read = (file: string): string => readFileSync(file, 'utf8');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'AGENTS.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Without code blocks: what stands in them is neither link nor heading. */
const proseOf = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '');

/** The anchors that GitHub gives to headings: small letters, no punctuation, blanks as hyphens, a number for each repetition. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of proseOf(text).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const anchor = heading!
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Links of a page that lead to no file, or to no heading. */
function deadLinks(page: string, text: string): string[] {
  return [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : path.join(path.dirname(page), file);
      if (!existsSync(target)) return true;
      return anchor !== undefined && !anchorsOf(target === page ? text : read(target)).has(anchor);
    });
}

test('the README has at most 150 lines and 12 KB', () => {
  assert.ok(read('README.md').trimEnd().split('\n').length <= 150);
  assert.ok(statSync('README.md').size <= 12 * 1024);
});

test('dead links are found: no file, no heading, no heading of this page; headings in code are none', () => {
  const text = '# A page\n## What it is\n## What it is\n```\n# code\n```\n';
  const links =
    '[a](nowhere.md) [b](docs/README.md#none) [c](#code) [d](#what-it-is-1) [e](docs/README.md) [f](https://a.b/c)';
  assert.deepEqual(deadLinks('README.md', text + links), ['nowhere.md', 'docs/README.md#none', '#code']);
});

for (const page of pages) {
  test(`${page}: every relative link leads to a file, and to a heading of it`, () => {
    assert.deepEqual(deadLinks(page, read(page)), []);
  });

  test(`${page}: every npm command is one of package.json`, () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...read(page).matchAll(/\bnpm run (?:-s )?([a-z][a-z-]*)/g)].map(([, name]) => name!);
    assert.deepEqual(
      named.filter((name) => !Object.hasOwn(scripts, name)),
      [],
    );
  });

  test(`${page}: every filter of npm test matches a test`, () => {
    const tests = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.test.ts'),
    );
    const filters = [...read(page).matchAll(/`npm test -- ([^`]+)`/g)].flatMap(([, list]) => list!.split(' '));
    assert.deepEqual(
      filters.filter(
        (name) => !/^(pure|\[?FILTER.*)$/.test(name) && !tests.some((file) => `test/${file}`.includes(name)),
      ),
      [],
    );
  });
}

test('every runtime dependency has its reason in docs/development.md', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  const text = read('docs/development.md');
  const section = text.slice(text.indexOf('## Dependencies'));
  for (const name of Object.keys(dependencies)) {
    const told = name.startsWith('@temporalio/') ? '@temporalio/*' : name;
    assert.ok(section.includes(`\`${told}\``), name);
  }
});

test('every file that docs/algorithm.md leads to is there', () => {
  const paths = [...read('docs/algorithm.md').matchAll(/`((?:workflows|activities|schemas)\/[^`]+\.ts)`/g)].map(
    ([, file]) => file!,
  );
  assert.ok(paths.length > 10);
  for (const file of paths) assert.ok(existsSync(file), file);
});

test('every algorithm of the schema has its row in docs/algorithm.md and in the README', () => {
  const { oneOf = [] } = z.toJSONSchema(AlgorithmConfig, { io: 'input' });
  const names = oneOf.map(({ properties }) => (properties!['name'] as { const?: string }).const);
  assert.ok(names.includes('seeupo') && names.includes('ppo'));
  for (const page of ['docs/algorithm.md', 'README.md']) {
    for (const name of names) assert.ok(read(page).includes(`\n| \`${name}\` |`), `${page}: ${name}`);
  }
});
