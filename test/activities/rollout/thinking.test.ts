import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PlayConfig } from '../../../schemas/play-config.js';
import type { TextCodec } from '../../../activities/policy/policy.js';
import { playEpisodes } from '../../../activities/rollout/play-episodes.js';
import { beginsThinking, promptAfter, withoutThinking } from '../../../activities/rollout/prompt.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import { toyCodec } from '../../support/toy-codec.js';
import { toyEnvironment } from '../../support/toy-game.js';

const FORMATS = ['call-lines', 'hermes', 'bfcl-fc', 'code-block'] as const;
type Format = (typeof FORMATS)[number];
const written = (format: Format, text: string): string =>
  format === 'call-lines'
    ? `CALL f('${text}')`
    : format === 'code-block'
      ? `\`\`\`python\nf('${text}')\n\`\`\``
      : `<tool_call>\n{"name": "f", "arguments": {"x": "${text}"}}\n</tool_call>`;
const values = (response: string, format: Format, thinkingBegun = false): unknown[] =>
  parseCalls(response, format, { thinkingBegun }).map((call) =>
    'malformed' in call ? call.malformed : [...call.positional, ...Object.values(call.keyword)][0],
  );
const meant = (format: Format, text: string): string => (format === 'code-block' ? `f('${text}')` : text);

for (const format of FORMATS) {
  const call = (text: string): string => written(format, text);

  test(`${format}: tags of thinking and of calls inside a call are its text`, () => {
    for (const text of [
      'a </think> b',
      '</think>',
      '<think>',
      'a <think> b </think> c',
      'use </tool_call> to close',
      'begin with <tool_call>',
      '<tool_call></tool_call>',
    ]) {
      assert.deepEqual(values(call(text), format), [meant(format, text)], text);
      assert.deepEqual(values(`<think>hm</think>\n${call(text)}`, format), [meant(format, text)], text);
      assert.deepEqual(values(`hm\n</think>\n\n${call(text)}`, format, true), [meant(format, text)], text);
      if (format !== 'code-block') assert.deepEqual(values(`${call('x')}\n${call(text)}`, format), ['x', text], text);
    }
  });

  test(`${format}: what is thought is no call: from the start, after some text, and where the prompt began it`, () => {
    for (const thought of [
      `<think>\n${call('x')}\n</think>\nNo.`,
      `<think>\n${call('x')}\n`,
      `Sure.\n<think>\n${call('x')}\n`,
      `<think>a</think>ok <think>\n${call('x')}`,
    ]) {
      assert.deepEqual(values(thought, format), [], thought);
    }
    assert.deepEqual(values(`I could\n${call('x')}\nbut first`, format, true), []);
    assert.deepEqual(values(`I could\n${call('x')}\n</think>\nNo.`, format, true), []);
    assert.deepEqual(values(`I could\n${call('x')}\n</think>\n${call('y')}`, format, true), [meant(format, 'y')]);
    assert.deepEqual(values(`<think>\n${call('x')}\n</think>\n${call('y')}`, format), [meant(format, 'y')]);
    assert.deepEqual(values(`Hm.\n<think>\n${call('x')}\n</think>\n${call('y')}`, format), [meant(format, 'y')]);
  });
}

const codec = toyCodec();

test('a response that begins with no thinking keeps its ids, whatever it quotes', () => {
  for (const text of [
    "CALL write('a </think> b')",
    'Sure.\n<think>\nhm',
    'a</think>b',
    '</think>',
    "print('<think>')",
    '',
  ]) {
    for (const ids of [codec.encode(text), [...codec.encode(text), codec.endOfTurn.id]])
      assert.deepEqual(withoutThinking(codec, ids), ids, text);
  }
});

test('property: whatever does not begin with thinking keeps its ids', () => {
  const piece = fc.constantFrom('<think>', '</think>', '\n', 'a', ' ', "CALL f('", "')", '<end>', 'think>', '</');
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
      (text) => {
        fc.pre(!/^\s*<think>/.test(text));
        assert.deepEqual(withoutThinking(codec, codec.encode(text)), codec.encode(text));
      },
    ),
  );
});

test('thinking ends at its first closing tag: a later one is text of the answer', () => {
  const ids = (text: string): number[] => [...codec.encode(text), codec.endOfTurn.id];
  assert.deepEqual(
    withoutThinking(codec, ids("<think>hm</think>\n\nCALL write('a </think> b')")),
    ids("CALL write('a </think> b')"),
  );
  assert.deepEqual(
    withoutThinking(codec, ids("hm</think>\n\nCALL write('a </think> b')"), true),
    ids("CALL write('a </think> b')"),
  );
  assert.deepEqual(withoutThinking(codec, ids('hm'), true), [codec.endOfTurn.id]);
});

test('a prompt that ends inside <think> is known by its end only', () => {
  for (const [text, begins] of [
    ['<user>go<end>\n<assistant><think>\n', true],
    ['<user>go<end>\n<assistant><think>', true],
    ['<user>go<end>\n<assistant>', false],
    ['<user>say <think><end>\n<assistant>', false],
    ['<user>go<end>\n<assistant><think>\n\n</think>\n\n', false],
    ['', false],
  ] as const) {
    assert.equal(beginsThinking(codec, codec.encode(text)), begins, text);
  }
});

test('where thinking is stripped, the tag that the prompt began it with goes too, and stays in the prompt that is answered', () => {
  const prompt = codec.encode('<user>go<end>\n<assistant><think>\n');
  const exchange = (said: string) => ({
    responseIds: [...codec.encode(said), codec.endOfTurn.id],
    appendedIds: codec.encode('\n<user>more<end>\n<assistant><think>\n'),
  });
  const next = promptAfter(codec, prompt, [exchange('hm</think>\n\nyes'), exchange('cut')], 'thinking-stripped');
  assert.equal(
    codec.decode(next),
    '<user>go<end>\n<assistant>yes<end>\n<user>more<end>\n<assistant><end>\n<user>more<end>\n<assistant><think>\n',
  );
  assert.equal(
    codec.decode(promptAfter(codec, prompt, [exchange('hm</think>\n\nyes')], 'full')),
    '<user>go<end>\n<assistant><think>\nhm</think>\n\nyes<end>\n<user>more<end>\n<assistant><think>\n',
  );
});

test('in a rollout the prompt says whether a response begins with thinking', async () => {
  const said = [
    "I could CALL say('a')\nCALL say('a')",
    "hm</think>\nCALL say('a')",
    "hm</think>\nCALL say('</think>')",
  ];
  const played = async (opening: string): Promise<unknown[]> => {
    const { environment } = toyEnvironment([{ id: 'a', split: 'train', turns: 1 }]);
    const opened: TextCodec = {
      ...codec,
      render: (messages, given) => `${codec.render(messages, given)}${given.generationPrompt ? opening : ''}`,
    };
    const sample = async (requests: readonly unknown[]) =>
      requests.map((_, n) => ({
        ids: codec.encode(said[n]!),
        logProbs: codec.encode(said[n]!).map(() => -1),
        end: 'token-limit' as const,
      }));
    const seats = said.map((_, n) => ({
      task: { id: 'a', split: 'train' as const, turns: 1 },
      sample: n,
      episodeId: `e${n}`,
      randomKey: `${n}`,
    }));
    const options = { ...PlayConfig.parse({ maxResponseTokens: 64, maxTurns: 1 }), temperature: 1, seed: 0 };
    const trajectories = await playEpisodes(seats, { policy: { sample }, codec: opened, environment }, options);
    return trajectories.map(({ turns }) =>
      turns[0]!.action.calls.map((call) => ('name' in call ? call.positional[0] : call.malformed)),
    );
  };
  assert.deepEqual(await played('<think>\n'), [[], ['a'], ['</think>']]);
  assert.deepEqual(await played('<think>\n\n</think>\n\n'), [['a'], ['a'], ['</think>']]);
});
