import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  causalMask,
  microBatches,
  packTrie,
  pathTo,
  prefixGroupsOf,
  segmentsOf,
} from '../../../activities/policy/trie.js';

/*
 * Two responses to one prompt:   1 2 ─┬─ 3 4        nodes 0 1 │ 2        (4 predicts nothing)
 *                                     └─ 3 5 6            0 1 │ 2 ─ 3
 */
const two = [
  { promptIds: [1, 2], responseIds: [3, 4] },
  { promptIds: [1, 2], responseIds: [3, 5, 6] },
];

const costs = { longest: 128, scores: 4096 };

test('a shared prefix stands once; the last token of a response is no node unless another goes on from it', () => {
  const trie = packTrie(two);
  assert.deepEqual([...trie.tokens], [1, 2, 3, 5]);
  assert.deepEqual([...trie.parents], [-1, 0, 1, 2]);
  assert.deepEqual([...trie.positions], [0, 1, 2, 3]);
  assert.deepEqual(
    trie.predictors.map((nodes) => [...nodes]),
    [
      [1, 2],
      [1, 2, 3],
    ],
  );
});

test('small branches are one segment, in which a node sees its ancestors and itself', () => {
  const trie = packTrie([
    { promptIds: [1, 2], responseIds: [3, 4, 9] },
    { promptIds: [1, 2], responseIds: [7, 8, 9] },
  ]);
  // nodes: 1 2 3 4 | 7 8
  const [segment, ...others] = segmentsOf(trie, costs);
  assert.deepEqual(others, []);
  assert.deepEqual([segment!.start, segment!.size, [...segment!.keys]], [0, 6, [0, 1, 2, 3, 4, 5]]);
  const seen = [...causalMask(trie, segment!, segment!.keys.length)].map((value) => (value === 0 ? 1 : 0));
  assert.deepEqual(
    Array.from({ length: 6 }, (_, row) => seen.slice(row * 6, (row + 1) * 6).join('')),
    ['100000', '110000', '111000', '111100', '110010', '110011'],
  );
});

test('a wider mask hides what stands after the keys', () => {
  const trie = packTrie([{ promptIds: [1, 2], responseIds: [3] }]);
  const [segment] = segmentsOf(trie, costs);
  const seen = [...causalMask(trie, segment!, 4)].map((value) => (value === 0 ? 1 : 0)).join('');
  assert.equal(seen, '10001100');
});

test('branches that would compute more for each other than a segment costs stay apart', () => {
  const [first, second] = [Array<number>(300).fill(1), Array<number>(300).fill(2)];
  const trie = packTrie([
    { promptIds: [0], responseIds: first },
    { promptIds: [0], responseIds: second },
  ]);
  for (const { start, size, keys } of segmentsOf(trie, costs)) {
    assert.ok(size <= 128);
    assert.equal(keys.length, trie.positions[start + size - 1]! + 1);
  }
  // The second branch's pieces see the root and their own, nothing of the first branch.
  const last = segmentsOf(trie, costs).at(-1)!;
  assert.deepEqual([...last.keys], [...pathTo(trie, trie.tokens.length - 1)]);
});

test('an empty prompt or response is refused', () => {
  assert.throws(() => packTrie([{ promptIds: [], responseIds: [1] }]), /sequence 0 has 0 prompt/);
});

const ids = fc.array(fc.nat(3), { minLength: 1, maxLength: 8 });
test('property: the path to each predictor spells exactly what the sequence had before that token', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ promptIds: ids, responseIds: ids }), { minLength: 1, maxLength: 8 }),
      (sequences) => {
        const trie = packTrie(sequences);
        sequences.forEach(({ promptIds, responseIds }, i) => {
          const whole = [...promptIds, ...responseIds];
          trie.predictors[i]!.forEach((node, l) => {
            assert.deepEqual(
              [...pathTo(trie, node)].map((n) => trie.tokens[n]),
              whole.slice(0, promptIds.length + l),
            );
          });
        });
        // Segments cover every node once; a node may look exactly where its path goes.
        const looksAt = segmentsOf(trie, costs).flatMap((segment) => {
          const mask = causalMask(trie, segment, segment.keys.length);
          const width = segment.keys.length;
          return Array.from({ length: segment.size }, (_, row) => [
            segment.start + row,
            [...segment.keys].filter((_, column) => mask[row * width + column] === 0),
          ]);
        });
        assert.deepEqual(
          looksAt,
          [...trie.tokens.keys()].map((node) => [node, [...pathTo(trie, node)]]),
        );
      },
    ),
  );
});

test('rows keep the order of first appearance; micro-batches fill up to the budget and never split a row', () => {
  assert.deepEqual(prefixGroupsOf([{ prefixGroup: 'b' }, { prefixGroup: 'a' }, { prefixGroup: 'b' }]), [[0, 2], [1]]);
  assert.deepEqual(microBatches([5, 5, 5, 20, 1], 10), [[0, 1], [2], [3], [4]]);
});
