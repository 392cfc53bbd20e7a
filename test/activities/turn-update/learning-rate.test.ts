import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learningRateAt } from '../../../activities/turn-update/learning-rate.js';
import { ScheduledOptimizerConfig } from '../../../schemas/train-config.js';

const rates = (schedule: object, iterations: number, stepsPerIteration: number): number[] =>
  Array.from({ length: iterations }, (_, iteration) =>
    Array.from({ length: stepsPerIteration }, (_, s) =>
      learningRateAt(ScheduledOptimizerConfig.parse({ learningRate: 8, schedule }), {
        iteration,
        iterations,
        step: iteration * stepsPerIteration + s,
      }),
    ),
  )
    .flat()
    .map((rate) => Number(rate.toFixed(9)));

test('constant: every step has the rate; it is the default', () => {
  assert.deepEqual(rates({}, 3, 2), [8, 8, 8, 8, 8, 8]);
});

test('linear: from the whole rate in the first iteration on a line to finalRate of it in the last', () => {
  assert.deepEqual(rates({ shape: 'linear', finalRate: 0.25 }, 4, 1), [8, 6, 4, 2]); // 1, 3/4, 1/2, 1/4
  assert.deepEqual(rates({ shape: 'linear' }, 3, 2), [8, 8, 4, 4, 0, 0]);
});

test('cosine: (1 + cos(pi p)) / 2 of what is above finalRate', () => {
  // p = 0, 1/3, 2/3, 1: halves of 1 + 1, 1 + 1/2, 1 - 1/2, 1 - 1
  assert.deepEqual(rates({ shape: 'cosine' }, 4, 1), [8, 6, 2, 0]);
  assert.deepEqual(rates({ shape: 'cosine', finalRate: 0.5 }, 4, 1), [8, 7, 5, 4]);
});

test('warm-up: the share of steps taken, this one included, of what the shape says', () => {
  assert.deepEqual(rates({ warmUpSteps: 4 }, 3, 2), [2, 4, 6, 8, 8, 8]);
  assert.deepEqual(rates({ shape: 'linear', warmUpSteps: 4 }, 3, 2), [2, 4, 3, 4, 0, 0]); // 3/4 of 4, 4/4 of 4
});

test('a single iteration has the whole rate, and one beyond the last the last rate', () => {
  assert.deepEqual(rates({ shape: 'linear' }, 1, 2), [8, 8]);
  assert.equal(
    learningRateAt(ScheduledOptimizerConfig.parse({ learningRate: 8, schedule: { shape: 'linear', finalRate: 0.5 } }), {
      iteration: 7,
      iterations: 4,
      step: 9,
    }),
    4,
  );
});
