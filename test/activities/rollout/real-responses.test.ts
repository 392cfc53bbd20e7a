import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseCalls, type ActionFormat } from '../../../activities/rollout/tool-calls.js';
import { root } from '../../support/root.js';

interface Case {
  readonly notation: ActionFormat;
  readonly name: string;
  readonly text: string;
  readonly thinkingBegun?: boolean;
  /** A call, or a part of what is told. */
  readonly right: readonly (string | [name: string, positional: unknown[], keyword: object])[];
}

const { cases } = JSON.parse(readFileSync(path.join(root, 'test/activities/rollout/fixtures/calls.json'), 'utf8')) as {
  cases: Case[];
};

for (const { notation, name, text, thinkingBegun = false, right } of cases) {
  test(`${notation} ${name}`, () => {
    const calls = parseCalls(text, notation, { thinkingBegun });
    assert.equal(calls.length, right.length, JSON.stringify(calls));
    for (const [index, expected] of right.entries()) {
      const call = calls[index]!;
      if (typeof expected === 'string')
        assert.ok('malformed' in call && call.malformed.includes(expected), JSON.stringify(call));
      else assert.deepEqual(call, { name: expected[0], positional: expected[1], keyword: expected[2] });
    }
  });
}
