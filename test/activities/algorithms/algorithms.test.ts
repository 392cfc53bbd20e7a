import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithmOf, isAlgorithm } from '../../../activities/algorithms/index.js';
import { AlgorithmConfig } from '../../../schemas/train-config.js';

const NAMES = AlgorithmConfig.options.map((variant) => variant.in.shape.name.value);
const of = (config: object) => algorithmOf(AlgorithmConfig.parse(config));

test('every algorithm of the schema is one of the table, with its settings, and no other name is', () => {
  assert.ok(NAMES.length >= 5 && NAMES.every(isAlgorithm));
  for (const name of NAMES) assert.equal(typeof of({ name }).loss({ lengths: [1], maxResponseTokens: 1 }), 'function');
  assert.deepEqual(['', 'toString', 'seeupo2'].filter(isAlgorithm), []);
});

test('a value head is asked for values, a divergence for the reference, and nothing else is', () => {
  for (const name of NAMES) {
    assert.equal(of({ name }).scores.values, of({ name }).critic !== null, name);
    assert.equal(of({ name, klCoefficient: 0.1 }).scores.reference, true, name);
    assert.equal(of({ name, klCoefficient: 0 }).scores.reference, false, name);
  }
});

test('where the turns are one pool, nothing is handed on from turn to turn and any order does', () => {
  for (const name of NAMES) {
    const { pooling, carried, updateOrder } = of({ name });
    if (pooling.isSequential) continue;
    assert.deepEqual([carried, updateOrder], [null, 'forward'], name);
    assert.deepEqual(pooling.turnsIn(1, 3), [1, 2, 3], name);
  }
  const { pooling } = of({ name: 'seeupo' });
  assert.deepEqual([pooling.turnsIn(2, 3), pooling.turnsIn(2, 1)], [[2], []]);
});
