import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { EvaluateConfig } from '../../schemas/evaluate-config.js';
import { TrainConfig } from '../../schemas/train-config.js';

/** A JSON schema; only what a walk over its fields needs. */
interface Schema {
  readonly description?: string;
  readonly properties?: Record<string, Schema>;
  readonly [key: string]: unknown;
}

/** Every field of every block, alternatives and elements of lists included, with its description. */
function fieldsIn(schema: unknown, path: string): [path: string, description: string | undefined][] {
  if (typeof schema !== 'object' || schema === null) return [];
  const { properties, default: _, ...rest } = schema as Schema;
  return [
    ...Object.entries(properties ?? {}).flatMap(([name, inner]): [string, string | undefined][] => {
      const own = path === '' ? name : `${path}.${name}`;
      return [[own, inner.description], ...fieldsIn(inner, own)];
    }),
    ...Object.values(rest).flatMap((inner) => fieldsIn(inner, path)),
  ];
}

for (const [name, schema, least] of [
  ['TrainConfig', TrainConfig, 150],
  ['EvaluateConfig', EvaluateConfig, 25],
] as const) {
  test(`every field of ${name} has a description: sentences that begin with a capital and end with a full stop`, () => {
    const fields = fieldsIn(z.toJSONSchema(schema, { io: 'input' }), '');
    assert.ok(fields.length >= least, `${fields.length} fields`);
    // A symbol of the paper, as `B: ...`, or a value, may come first.
    const wrong = fields.filter(([, description]) => !/^[A-Za-z`][^\n]*\.$/.test(description ?? ''));
    assert.deepEqual(wrong, []);
  });
}
