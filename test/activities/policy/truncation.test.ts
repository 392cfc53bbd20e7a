import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { drawTruncated, keptTokens, truncates } from '../../../activities/policy/truncation.js';
import { root } from '../../support/root.js';
import { tiny, tinyModel, tinyWeights } from './tiny-models.js';

const likeliest = [0.5, 0.25, 0.125, 0.0625, 0.0625];

test('top-k keeps k tokens, top-p the fewest with that share, min-p those near the likeliest; together the fewest of all', () => {
  assert.equal(keptTokens(likeliest, { topK: 2 }, true), 2);
  assert.equal(keptTokens(likeliest, { topP: 0.75 }, true), 2); // 0.5 + 0.25 reach it
  assert.equal(keptTokens(likeliest, { topP: 0.76 }, true), 3);
  assert.equal(keptTokens(likeliest, { topP: 0.1 }, true), 1); // never none
  assert.equal(keptTokens(likeliest, { minP: 0.25 }, true), 3); // 0.125 / 0.5
  assert.equal(keptTokens(likeliest, { topK: 4, topP: 0.9, minP: 0.4 }, true), 2);
  assert.equal(keptTokens(likeliest, { topP: 1 }, true), 5);
});

test('where the cut lies beyond what was looked at, there is no answer yet', () => {
  assert.equal(keptTokens(likeliest.slice(0, 2), { topP: 0.8 }, false), null);
  assert.equal(keptTokens(likeliest.slice(0, 2), { minP: 0.1 }, false), null);
  assert.equal(keptTokens(likeliest.slice(0, 3), { topK: 2 }, false), 2);
  assert.equal(keptTokens(likeliest.slice(0, 2), { topK: 2 }, false), null); // the third may be as likely as the second
  assert.equal(keptTokens(likeliest.slice(0, 2), { topP: 0.75 }, false), 2);
});

test('top-p is a share of what top-k left: of 0.5 and 0.25, the first holds two thirds', () => {
  assert.equal(keptTokens(likeliest, { topK: 2, topP: 0.66 }, true), 1);
  assert.equal(keptTokens(likeliest, { topK: 2, topP: 0.67 }, true), 2);
  assert.equal(keptTokens(likeliest, { topK: 100, topP: 0.75 }, true), 2); // k beyond the vocabulary cuts nothing
  // How much the third and fourth hold is not known yet.
  assert.equal(keptTokens(likeliest.slice(0, 2), { topK: 4, topP: 0.5 }, false), null);
});

/** Oracle: transformers' own warpers, in its order (fixtures/make_truncation.py). */
const cases = JSON.parse(readFileSync(path.join(root, 'test/activities/policy/fixtures/truncation.json'), 'utf8')) as {
  logits: number[];
  temperature: number;
  options: { topK?: number; topP?: number; minP?: number };
  kept: number[] | number;
  logProbs: number[];
}[];

test('120 random cases, 30 with ties: temperature, top-k, top-p and min-p together leave the tokens that transformers leaves, with its log-probs', () => {
  for (const { logits, temperature, options, kept, logProbs } of cases) {
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit / temperature), 0);
    const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]!);
    const sorted = order.map((id) => Math.exp(logits[id]! / temperature) / total);
    const ours = keptTokens(sorted, options, true)!;
    const what = JSON.stringify({ options, temperature, logits: logits.slice(0, 25) });
    // Of tokens that are equally likely, which are left is the sort's accident.
    if (typeof kept === 'number') assert.equal(ours, kept, what);
    else assert.deepEqual(order.slice(0, ours), kept, what);
    // As the sampler asks: of the likeliest few first.
    for (const seen of [1, 2, 5, 256]) {
      const early = keptTokens(sorted.slice(0, seen), options, seen >= sorted.length);
      assert.ok(early === null || early === ours, `${early} of the first ${seen}, ${ours} of all: ${what}`);
    }
    let before = 0;
    logProbs.forEach((wanted, place) => {
      const drawn = drawTruncated(sorted, ours, before + 1e-12);
      assert.equal(drawn.place, place);
      assert.ok(Math.abs(drawn.logProb - wanted) < 2e-6, `${drawn.logProb}, transformers ${wanted}: ${what}`);
      before += Math.exp(drawn.logProb);
    });
  }
});

test('a uniform number falls on a token in proportion to what is kept: of 0.5 and 0.25, two thirds on the first', () => {
  assert.deepEqual(drawTruncated(likeliest, 2, 0.66), { place: 0, logProb: Math.log(0.5 / 0.75) });
  assert.deepEqual(drawTruncated(likeliest, 2, 0.67), { place: 1, logProb: Math.log(0.25 / 0.75) });
});

test('property: probabilities of what can be drawn add up to 1', () => {
  const weights = fc.array(fc.double({ min: 1e-3, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 12 }), (values, k) => {
      const total = values.reduce((a, b) => a + b, 0);
      const sorted = values.map((value) => value / total).sort((a, b) => b - a);
      const kept = keptTokens(sorted, { topK: k }, true)!;
      const starts = sorted
        .slice(0, kept)
        .map(
          (_, i) => sorted.slice(0, i).reduce((a, b) => a + b, 0) / sorted.slice(0, kept).reduce((a, b) => a + b, 0),
        );
      const drawn = starts.map(
        (start, i) => drawTruncated(sorted, kept, Math.min(start + 1e-9, 1 - 1e-12)).place === i,
      );
      assert.ok(drawn.every(Boolean));
      const sum = starts.reduce(
        (s, start) => s + Math.exp(drawTruncated(sorted, kept, Math.min(start + 1e-9, 1 - 1e-12)).logProb),
        0,
      );
      assert.ok(Math.abs(sum - 1) < 1e-9);
    }),
  );
});

test('nothing is truncated by what cuts nothing', () => {
  assert.deepEqual([{}, { topP: 1 }, { minP: 0 }, { topK: 1 }].map(truncates), [false, false, false, true]);
});

test('a model sampled with top-k 1 is greedy; with top-p 1 and a min-p of 0 it draws as without', async () => {
  const policy = new TensorFlowPolicy();
  await policy.use(await tinyWeights(tinyModel('qwen3-tied')));
  const request = [{ prefixGroup: 'a', promptIds: tiny.prompt, randomKey: 'x' }];
  const drawn = async (truncation: object) =>
    (await policy.sample(request, { temperature: 1.3, maxResponseTokens: 12, truncation }))[0]!;
  const greedy = (await policy.sample(request, { temperature: 1e-4, maxResponseTokens: 12 }))[0]!;
  const first = await drawn({ topK: 1 });
  assert.deepEqual(first.ids, greedy.ids);
  assert.ok(first.logProbs.every((logProb) => logProb === 0));
  assert.deepEqual(await drawn({ topP: 1, minP: 0 }), await drawn({}));
});
