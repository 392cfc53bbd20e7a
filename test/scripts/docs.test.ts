import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { fieldRows, typeOf } from '../../scripts/docs/field-rows.js';
import { generatedFiles } from '../../scripts/docs/generated-files.js';

const json = (file: string): Record<string, unknown> => JSON.parse(readFileSync(file, 'utf8')) as never;

test('generated pages are up to date: `npm run docs` writes what stands there', () => {
  for (const [file, text] of generatedFiles()) {
    const now = existsSync(file) ? readFileSync(file, 'utf8') : 'nothing';
    assert.ok(now === text, `${file} is not what the code says now: run \`npm run docs\` and commit what it writes`);
  }
});

test('every shipped configuration names its JSON schema, which accepts it and refuses a wrong field', async (t) => {
  for (const name of readdirSync('scripts/runs').filter((file) => !file.endsWith('.schema.json'))) {
    await t.test(name, () => {
      const file = path.join('scripts/runs', name);
      const given = json(file);
      const schema = z.fromJSONSchema(json(path.join(path.dirname(file), String(given['$schema']))));
      assert.deepEqual(schema.safeParse(given).error?.issues ?? [], []);
      assert.equal(schema.safeParse({ ...given, sede: 1 }).success, false);
      assert.equal(schema.safeParse({ ...given, seed: 'one' }).success, false);
    });
  }
});

test('types, bounds and defaults are written as a person reads them', () => {
  const types: [z.ZodType, string][] = [
    [z.int().positive(), 'integer ≥ 1'],
    [z.number().min(0).lt(1), 'number ≥ 0 and < 1'],
    [z.number().gt(1).max(2).nullable(), 'number > 1 and ≤ 2 or `null`'],
    [z.enum(['a', 'b']), '`"a"` or `"b"`'],
    [z.array(z.string()), 'list of string'],
    [z.tuple([z.number(), z.int()]), '[number, integer]'],
  ];
  for (const [schema, expected] of types) {
    const made = z.toJSONSchema(schema, { io: 'input', target: 'draft-7' }) as never;
    assert.equal(typeOf(made).replace(' ≥ -9007199254740991', ''), expected);
  }
  const block = z.strictObject({
    rate: z.number().meta({ description: 'Rate.' }),
    clip: z.strictObject({ low: z.number().default(0.5) }).prefault({}),
    other: z.string().nullable().default(null),
    left: z.string().optional(),
  });
  assert.deepEqual(fieldRows(z.toJSONSchema(block, { io: 'input', target: 'draft-7' }) as never), [
    ['`rate`', 'number', 'required', 'Rate.'],
    ['`clip`', 'block', 'see its fields', ''],
    ['`clip.low`', 'number', '`0.5`', ''],
    ['`other`', 'string or `null`', '`null`', ''],
    ['`left`', 'string', 'left out', ''],
  ]);
});

test('every page of docs/ stands in its index, and every page there is one', () => {
  const linked = [...readFileSync('docs/README.md', 'utf8').matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, file]) => file!);
  const pages = readdirSync('docs').filter((file) => file.endsWith('.md') && file !== 'README.md');
  assert.deepEqual([...new Set(linked)].sort(), pages.sort());
});
