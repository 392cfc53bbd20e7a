import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_CALLS_PER_RESPONSE, parseCalls } from '../../../activities/rollout/tool-calls.js';

const parse = (text: string) => parseCalls(text, 'call-lines');
const argument = (literal: string): unknown => {
  const [call] = parse(`CALL f(${literal})`);
  return call && 'name' in call ? call.positional[0] : call;
};

describe('call lines', () => {
  test('lines starting with CALL are calls, all other text is not', () => {
    assert.deepEqual(parse("Sure.\nCALL cd('plans')\n\n CALL ls(True, depth=2) \r\nRECALL ls()\nCALLING\ndone"), [
      { name: 'cd', positional: ['plans'], keyword: {} },
      { name: 'ls', positional: [true], keyword: { depth: 2 } },
    ]);
    assert.deepEqual(parse(''), []);
  });

  test('Python literals', () => {
    for (const [literal, value] of [
      ['"it\'s"', "it's"],
      [String.raw`'a\'b\\c\nd\x41\u00e9\U0001F600\101\0'`, "a'b\\c\ndAé😀A\0"],
      [String.raw`'\d'`, '\\d'], // an escape Python does not know keeps its backslash
      ['True', true],
      ['False', false],
      ['None', null],
      ['-12', -12],
      ['+7', 7],
      ['1_000', 1000],
      ['2.5', 2.5],
      ['.5', 0.5],
      ['1e-3', 0.001],
      ["['a', [1], ]", ['a', [1]]],
      ["('a', 2)", ['a', 2]],
      ["('a',)", ['a']],
      ["('a')", 'a'],
      ['()', []],
      ["{'k': {'n': None}}", { k: { n: null } }],
      ['{}', {}],
    ] as const) {
      assert.deepEqual(argument(literal), value, literal);
    }
  });

  test('numbers that JSON would alter are written out', () => {
    for (const [literal, digits] of [
      ['5.0', '5.0'],
      ['5.', '5.'],
      ['1e3', '1e3'],
      ['-0', '-0'],
      ['9007199254740993', '9007199254740993'],
      ['1e999', '1e999'],
    ]) {
      assert.deepEqual(argument(literal!), { $number: digits }, literal);
    }
  });

  test('anything else is malformed, with line, column and an example', () => {
    assert.deepEqual(parse('ok\nCALL cd(plans)'), [
      { malformed: "line 2: plans is no value; quote a text (column 14), expected e.g. CALL cd('plans')" },
    ]);
    for (const text of [
      'CALL',
      'CALL ()',
      'CALL cd',
      "CALL cd('a'",
      "CALL cd('a",
      "CALL cd('a') now",
      "CALL cd('a' 'b')",
      'CALL a.b()',
      'CALL __import__("os").system("ls")',
      'CALL f(open("x"))',
      'CALL f(1+1)',
      'CALL f(x=1, x=2)',
      'CALL f(x=1, 2)',
      'CALL f(__proto__=1)',
      "CALL f({'__proto__': 1})",
      "CALL f({'$number': '1'})",
      'CALL f({1: 2})',
      'CALL f({1, 2})',
      "CALL f(r'a')",
      "CALL f('''a''')",
      String.raw`CALL f('\N{DASH}')`,
      String.raw`CALL f('\x4')`,
      String.raw`CALL f('\ud800')`,
      'CALL f(1j)',
      'CALL f(0x10)',
      'CALL f(007)',
      'CALL f(1__0)',
      'CALL f(nan)',
      'CALL f(true)',
      'CALL f(,)',
      'CALL f(1,,2)',
      `CALL f(${'9'.repeat(41)})`,
      `CALL f(${'['.repeat(10)}${']'.repeat(10)})`,
      `CALL f(${'['.repeat(4000)}`,
      `CALL f('${'x'.repeat(5000)}')`,
      'CALL f(a=)',
      'CALL f(*a)',
      'CALL f(**{})',
      'CALL é()',
    ]) {
      const calls = parse(text);
      assert.ok(
        calls.length === 1 && 'malformed' in calls[0]! && calls[0].malformed.startsWith('line 1: '),
        `${text.slice(0, 60)} -> ${JSON.stringify(calls)}`,
      );
    }
  });

  test('the number of calls is bounded', () => {
    const calls = parse('CALL f()\n'.repeat(1000));
    assert.equal(calls.length, MAX_CALLS_PER_RESPONSE + 1);
    assert.ok('malformed' in calls.at(-1)!);
  });
});

test('words of JSON are told as Python writes them, not to be quoted', () => {
  for (const [literal, told] of [
    ['true', 'true is written True'],
    ['false', 'false is written False'],
    ['null', 'null is written None'],
    ['“a”', '“ is no quote here'],
    ['yes', 'yes is no value; quote a text'],
  ]) {
    assert.match((parse(`CALL f(${literal})`)[0] as { malformed: string }).malformed, new RegExp(`^line 1: ${told}`));
  }
});

test('a name of an argument that is none in Python stands in quotes; a letter of any script needs none', () => {
  const keyword = (written: string): unknown => (parse(`CALL f(${written})`)[0] as { keyword?: unknown }).keyword;
  assert.deepEqual(
    keyword(`'$filter'="a eq 1", "max-results" = 3, 'filter[id]'=None, 'StartTime<'='2026', größe=3, 名=4`),
    {
      $filter: 'a eq 1',
      'max-results': 3,
      'filter[id]': null,
      'StartTime<': '2026',
      größe: 3,
      名: 4,
    },
  );
  for (const [written, told] of [
    ['$filter=1', "the argument name $filter needs quotes: '$filter'=..."],
    ['max-results=3', "max-results needs quotes: 'max-results'=..."],
    ['filter[id]=3', 'filter[id] needs quotes'],
    ['StartTime<=3', 'StartTime< needs quotes'],
    ["'a'=1, 'a'=2", 'argument a is given twice'],
    ["'$number'='1'", '$number is reserved'],
  ]) {
    const { malformed = '' } = parse(`CALL f(${written})`)[0] as { malformed?: string };
    assert.ok(malformed.includes(told!), `${written} -> ${malformed}`);
  }
});

test('a call that was only thought of is none, in any notation; thinking that was cut has none', () => {
  for (const format of ['call-lines', 'hermes', 'code-block'] as const) {
    const written = {
      'call-lines': "CALL cd('a')",
      hermes: '<tool_call>{"name": "cd", "arguments": {}}</tool_call>',
      'code-block': '```python\ncd()\n```',
    }[format];
    assert.deepEqual(parseCalls(`<think>\n${written}\n</think>\nNo.`, format), []);
    assert.deepEqual(parseCalls(`<think>\n${written}\n`, format), []);
    assert.equal(parseCalls(`<think>\n${written}\n</think>\n${written}`, format).length, 1);
  }
});
