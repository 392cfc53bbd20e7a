import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  parseCalls,
  renderCalls,
  type ActionFormat,
  type ArgumentValue,
  type WellFormedCall,
} from '../../../activities/rollout/tool-calls.js';

/** What a text can hold that a reader may take for its own: tags, quotes, brackets, fences, line ends, control characters. */
const PIECES = [
  '<tool_call>',
  '</tool_call>',
  '<tool_call>\n',
  '\n</tool_call>',
  '<think>',
  '</think>',
  '<tool_response>',
  '<|im_end|>',
  'CALL ',
  'CALL f()',
  '\nCALL g()\n',
  '"',
  "'",
  '\\',
  '\\"',
  "\\'",
  '{',
  '}',
  '[',
  ']',
  '(',
  ')',
  ',',
  ':',
  '=',
  '```',
  '````',
  '```python\n',
  '\n```',
  '\n~~~\n',
  '`',
  '\n',
  '\r',
  '\r\n',
  '\t',
  '\0',
  '\x1b',
  '\x7f',
  '\x85',
  '\u2028',
  '\ufeff',
  '\ufdd0',
  '$number',
  '{"$number": "1"}',
  'True',
  'null',
  '5.0',
  '-',
  ' ',
  'é',
  '😀',
  'a',
];
const text = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 6 }).map((pieces) => pieces.join('')),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
);
const number: fc.Arbitrary<ArgumentValue> = fc.oneof(
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((x) => !Number.isInteger(x)),
  fc
    .constantFrom(
      '5.0',
      '-0',
      '-0.0',
      '1e3',
      '1E+2',
      '-2.5e-400',
      '1e400',
      '9007199254740993',
      '-12345678901234567890',
      '0.0',
      '1e21',
    )
    .map((digits) => ({ $number: digits })),
);
const key = text.filter((name) => name !== '__proto__' && name !== '$number');
const value: fc.Arbitrary<ArgumentValue> = fc.letrec<{ value: ArgumentValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 5 },
    text,
    number,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;
const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,12}$/);
/** As servers name their arguments. */
const argument = fc
  .oneof(name, fc.constantFrom('$filter', 'StartTime<', 'filter[id]', 'max-results', 'größe', 'a b', 'x=', "it's"), key)
  .filter((one) => one !== '__proto__' && one !== '$number');
const keyword = fc.dictionary(argument, value, { maxKeys: 3, noNullPrototype: true });
const call = (positional: fc.Arbitrary<ArgumentValue[]>): fc.Arbitrary<WellFormedCall> =>
  fc.record({ name, positional, keyword }, { noNullPrototype: true });
const CALLS: Readonly<Record<ActionFormat, fc.Arbitrary<WellFormedCall[]>>> = {
  'call-lines': fc.array(call(fc.array(value, { maxLength: 3 })), { maxLength: 4 }),
  hermes: fc.array(call(fc.constant([])), { maxLength: 4 }),
  'bfcl-fc': fc.array(call(fc.constant([])), { maxLength: 4 }),
  'code-block': text
    .filter((code) => code.trim() !== '')
    .map((code) => [{ name: 'python', positional: [code], keyword: {} }]),
};

for (const [format, calls] of Object.entries(CALLS) as [ActionFormat, fc.Arbitrary<WellFormedCall[]>][]) {
  describe(format, () => {
    test('property: what is rendered is read back as it was, also after thinking', () => {
      fc.assert(
        fc.property(calls, (made) => {
          const rendered = renderCalls(made, format);
          assert.deepEqual(parseCalls(rendered, format), made);
          assert.deepEqual(
            parseCalls(`<think>${rendered.replaceAll('</think>', '')}</think>\n\n${rendered}`, format),
            made,
          );
          assert.deepEqual(
            parseCalls(`${rendered.replaceAll('</think>', '')}</think>\n${rendered}`, format, { thinkingBegun: true }),
            made,
          );
          assert.deepEqual(parseCalls(rendered.replaceAll('</think>', ''), format, { thinkingBegun: true }), []);
        }),
        { numRuns: 400 },
      );
    });

    test('property: no text makes it throw, and each piece is a call or told', () => {
      const noise = fc
        .array(
          fc.oneof(
            fc.constantFrom(...PIECES, '\ud800', '<tool_call>{"name": "f", "arguments": {', 'CALL f('),
            fc.string({ unit: 'binary', maxLength: 5 }),
          ),
        )
        .map((pieces) => pieces.join(''));
      fc.assert(
        fc.property(noise, (response) =>
          parseCalls(response, format).every((each) => 'name' in each || 'malformed' in each),
        ),
        { numRuns: 1000 },
      );
    });
  });
}

test('half a surrogate pair is read back where the notation can escape it, and refused where it cannot', () => {
  const calls = [{ name: 'f', positional: [], keyword: { x: 'a\ud83d' } }];
  for (const format of ['hermes', 'bfcl-fc'] as const)
    assert.deepEqual(parseCalls(renderCalls(calls, format), format), calls);
  assert.throws(() => renderCalls(calls, 'call-lines'), {
    name: 'TypeError',
    message: /call-lines cannot say .*half of a surrogate pair/,
  });
});

test('what a notation cannot say is refused when it is rendered', () => {
  const of = (
    positional: ArgumentValue[],
    keyword: Record<string, ArgumentValue> = {},
    named = 'f',
  ): WellFormedCall => ({ name: named, positional, keyword });
  for (const bad of [
    of([], {}, "f('x') or g"),
    of([], {}, ''),
    of(['x'.repeat(5000)]),
    of([{ $number: '1, 2' }]),
    of([[[[[[[[[[1]]]]]]]]]]),
    of([], JSON.parse('{"__proto__": 1}') as Record<string, ArgumentValue>),
  ]) {
    assert.throws(() => renderCalls([bad], 'call-lines'), TypeError, JSON.stringify(bad).slice(0, 80));
  }
  assert.throws(() => renderCalls([of([], { x: { $number: '1}, "y": {' } })], 'hermes'), TypeError);
  for (const code of ['', ' \n', 'x'.repeat(70_000)])
    assert.throws(() => renderCalls([of([code], {}, 'python')], 'code-block'), TypeError);
});
