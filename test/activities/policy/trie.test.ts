import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { causalMask, microBatches, packTrie, pathTo, rowsOf, segmentsOf } from '../../../activities/policy/trie.js';

/*
 * Two responses to one prompt:   1 2 ─┬─ 3 4        nodes 0 1 │ 2        (4 predicts nothing)
 *                                     └─ 3 5 6            0 1 │ 2 ─ 3
 */
const two = [{ promptIds: [1, 2], responseIds: [3, 4] }, { promptIds: [1, 2], responseIds: [3, 5, 6] }];

test('a shared prefix stands once; the last token of a response is no node unless another goes on from it', () => {
  const trie = packTrie(two);
  assert.deepEqual([...trie.tokens], [1, 2, 3, 5]);
  assert.deepEqual([...trie.parents], [-1, 0, 1, 2]);
  assert.deepEqual([...trie.positions], [0, 1, 2, 3]);
  assert.deepEqual(trie.predictors.map((nodes) => [...nodes]), [[1, 2], [1, 2, 3]]);
});

test('a branch is a segment that sees its ancestors and, causally, itself', () => {
  const trie = packTrie([{ promptIds: [1, 2], responseIds: [3, 4, 9] }, { promptIds: [1, 2], responseIds: [7, 8, 9] }]);
  // nodes: 1 2 3 4 | 7 8
  assert.deepEqual(segmentsOf(trie).map(({ start, size, keys }) => [start, size, [...keys]]), [[0, 4, [0, 1, 2, 3]], [4, 2, [0, 1, 4, 5]]]);
  const mask = causalMask(segmentsOf(trie)[1]!);
  assert.deepEqual([...mask].map((value) => (value === 0 ? 1 : 0)), [1, 1, 1, 0, 1, 1, 1, 1]);
});

test('an empty prompt or response is refused', () => {
  assert.throws(() => packTrie([{ promptIds: [], responseIds: [1] }]), /sequence 0 has 0 prompt/);
});

const ids = fc.array(fc.nat(3), { minLength: 1, maxLength: 8 });
test('property: the path to each predictor spells exactly what the sequence had before that token', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ promptIds: ids, responseIds: ids }), { minLength: 1, maxLength: 8 }), (sequences) => {
      const trie = packTrie(sequences);
      sequences.forEach(({ promptIds, responseIds }, i) => {
        const whole = [...promptIds, ...responseIds];
        trie.predictors[i]!.forEach((node, l) => {
          assert.deepEqual([...pathTo(trie, node)].map((n) => trie.tokens[n]), whole.slice(0, promptIds.length + l));
        });
      });
      // Segments cover every node once, and their keys are their last node's path.
      const covered = segmentsOf(trie).flatMap(({ start, size }) => Array.from({ length: size }, (_, n) => start + n));
      assert.deepEqual(covered, [...trie.tokens.keys()]);
    }),
  );
});

test('rows keep the order of first appearance; micro-batches fill up to the budget and never split a row', () => {
  assert.deepEqual(rowsOf([{ row: 'b' }, { row: 'a' }, { row: 'b' }]), [[0, 2], [1]]);
  assert.deepEqual(microBatches([5, 5, 5, 20, 1], 10), [[0, 1], [2], [3], [4]]);
});
