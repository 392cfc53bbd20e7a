import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { sidecarEnvironment } from '../../../activities/environments/registry.js';
import { parseCalls, type ArgumentValue } from '../../../activities/rollout/tool-calls.js';
import { root } from '../../support/root.js';

/** Numbers by type and digits, objects as lists of pairs, as the fixture has them. */
type Typed = null | boolean | string | { int: string } | { float: string } | { object: [string, Typed][] } | Typed[];
interface Case {
  readonly case: string;
  readonly text: string;
  /** Of each call that Python would execute: name and arguments; absent where the harness gives the turn up. */
  readonly calls?: [Typed, Typed][];
  readonly raises?: string;
}

/** Oracle: bfcl_eval's own handler (fixtures/make_bfcl_reader.py). */
const { cases } = JSON.parse(
  readFileSync(path.join(root, 'test/activities/rollout/fixtures/bfcl-reader.json'), 'utf8'),
) as { cases: Case[] };
const read = (text: string): ToolCall[] => parseCalls(text, 'bfcl-fc');

function typed(value: ArgumentValue): Typed {
  if (Array.isArray(value)) return value.map(typed);
  if (typeof value === 'number') return typedNumber(String(value));
  if (typeof value !== 'object' || value === null) return value;
  if (typeof value['$number'] === 'string') return typedNumber(value['$number']);
  return { object: Object.entries(value).map(([key, item]) => [key, typed(item)]) };
}

/** Floats of both languages by JavaScript's shortest spelling. */
const typedNumber = (text: string): Typed => (/^-?\d+$/.test(text) ? { int: text } : { float: String(Number(text)) });

const respelled = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (key, item) => (key === 'float' ? String(Number(item)) : (item as unknown)));

const executed = (calls: readonly ToolCall[]): unknown =>
  calls.flatMap((call) => ('malformed' in call ? [] : [[call.name, typed(call.keyword)]]));
const isDeparture = ({ case: name }: Case): boolean => name.startsWith('departure: ');

test('the table is large enough, and most of it is no departure', () => {
  assert.ok(cases.length >= 80 && cases.filter((one) => !isDeparture(one)).length >= 70);
});

for (const one of cases.filter((candidate) => !isDeparture(candidate))) {
  test(`bfcl-fc executes what the official reader executes: ${one.case}`, () => {
    assert.deepEqual(executed(read(one.text)), respelled(one.calls ?? []));
  });
}

test('what the official reader gives up, or passes over, is told', () => {
  for (const one of cases.filter((candidate) => !isDeparture(candidate) && !candidate.case.includes('thinking'))) {
    const told = read(one.text).filter((call) => 'malformed' in call).length;
    if (one.raises !== undefined) assert.ok(told > 0, one.case);
    if (told === 0) assert.ok(one.text.split('<tool_call>').length - 1 >= one.calls!.length, one.case);
    if (one.calls?.length === 0 && one.text.includes('<tool_call>')) assert.ok(told > 0, one.case);
  }
});

/** Ours for each departure: names of the calls that are executed, and what is told. */
const DEPARTURES: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  'thinking that is not closed': [],
  'text, then thinking that is not closed': [],
  'calls on both sides of later thinking': ['ls', 'ls'],
  'closing thinking tag in an argument': ['f'],
  'a call before a closing thinking tag in an argument': ['ls', 'f'],
  'a closing thinking tag that nothing opened': ['ls'],
  NaN: [/^tool call 1: NaN is no JSON value/],
  Infinity: [/^tool call 1: Infinity is no JSON value/],
  'nine levels': [/nested more than 8 deep/],
  'key $number': [/key \$number is reserved/],
  'key __proto__': [/key __proto__ is reserved/],
  'a number as the name': [/"name" is no text/],
  'an empty name': [/"name" is no text/],
  '33 calls': [...Array.from({ length: 32 }, () => 'ls'), /more than 32 calls/],
};

test('each departure from the official reader is pinned, and is one', () => {
  const departures = cases.filter(isDeparture);
  assert.deepEqual(
    departures.map((one) => one.case.slice('departure: '.length)).sort(),
    Object.keys(DEPARTURES).sort(),
  );
  for (const one of departures) {
    const ours = read(one.text);
    const expected = DEPARTURES[one.case.slice('departure: '.length)]!;
    assert.equal(ours.length, expected.length, `${one.case}: ${JSON.stringify(ours)}`);
    for (const [index, wanted] of expected.entries()) {
      const call = ours[index]!;
      if (typeof wanted === 'string') assert.equal('name' in call && call.name, wanted, one.case);
      else assert.match('malformed' in call ? call.malformed : '', wanted, one.case);
    }
    assert.notDeepEqual(executed(ours), respelled(one.calls), one.case);
  }
});

test('tasks under the official prompt are read so, those under the authors’ prompt and those of other environments are not', () => {
  const bfcl = sidecarEnvironment('bfcl', 'http://127.0.0.1:1');
  assert.equal(bfcl.callFormatOf('multi_turn_base_0'), 'bfcl-fc');
  assert.equal(bfcl.callFormatOf('multi_turn_base_0?prompt=official-fc&docs=compact'), 'bfcl-fc');
  assert.equal(bfcl.callFormatOf('multi_turn_base_0?docs=compact&prompt=authors'), 'hermes');
  assert.equal(sidecarEnvironment('bfcl-windows', 'http://127.0.0.1:1').callFormatOf('17:0'), 'call-lines');
});
