import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupRelativeAdvantages } from '../../../activities/algorithms/advantages.js';
import { seeupoLoss } from '../../../activities/algorithms/objectives.js';
import {
  extendSuffixProducts,
  initialSuffixProducts,
  sequenceRatio,
} from '../../../activities/algorithms/suffix-ratios.js';

/** The climbing game, played in two turns; turn 2 sees turn 1. */
const PAYOFF = [
  [11, -30, 0],
  [-30, 7, 6],
  [0, 0, 5],
];
const off = { suffixRatioClip: null, suffixProductClip: null };
type Policy = { first: number[]; second: number[][] };
const softmax = (logits: number[]): number[] => {
  const z = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  return logits.map((logit) => Math.exp(logit) / z);
};
const of = (seed: number): Policy => {
  const row = (n: number): number[] => softmax([0, 1, 2].map((a) => Math.sin(seed * 7 + n * 3 + a)));
  return { first: row(0), second: [row(1), row(2), row(3)] };
};
const paths = [0, 1, 2].flatMap((a) => [0, 1, 2].map((b) => ({ id: `${a}${b}`, a, b })));
const returnOf = ({ first, second }: Policy): number =>
  paths.reduce((total, { a, b }) => total + first[a]! * second[a]![b]! * PAYOFF[a]![b]!, 0);

test('Eq. 6 to 8 with exact expectations and no clip: the surrogate of each turn is the rise of the exact return, to 1e-6', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const [old, next] = [of(seed), of(seed + 1000)];
    const trajectories = paths.map(({ id, a, b }) => ({
      id,
      taskId: 'climbing',
      reward: PAYOFF[a]![b]!,
      share: old.first[a]! * old.second[a]![b]!,
    }));
    const advantages = groupRelativeAdvantages(trajectories, { normalization: 'none', advantageClip: null });
    const products = initialSuffixProducts(paths.map(({ id }) => id));
    const wide = { clip: { low: 1 - 1e-12, high: 1e12 }, klCoefficient: 0 };
    const surrogate = (
      weights: Record<string, number>,
      logs: (path: (typeof paths)[number]) => [number, number],
    ): number =>
      paths.reduce((total, path, i) => {
        const [current, before] = logs(path);
        const sample = {
          current: [current],
          old: [before],
          reference: null,
          weight: weights[path.id]! * advantages.get(path.id)!,
        };
        return total + trajectories[i]!.share * seeupoLoss(sample, 1, wide).surrogate;
      }, 0);
    const second = ({ a, b }: (typeof paths)[number]): [number, number] => [
      Math.log(next.second[a]![b]!),
      Math.log(old.second[a]![b]!),
    ];
    const first = ({ a }: (typeof paths)[number]): [number, number] => [
      Math.log(next.first[a]!),
      Math.log(old.first[a]!),
    ];
    const afterTurn2 = returnOf({ first: old.first, second: next.second });
    assert.ok(Math.abs(surrogate(products, second) - (afterTurn2 - returnOf(old))) < 1e-6, `turn 2, seed ${seed}`);
    const carried = extendSuffixProducts(
      products,
      new Map(
        paths.map((path) => {
          const [now, before] = second(path);
          return [path.id, sequenceRatio([now], [before])];
        }),
      ),
      off,
    );
    assert.ok(Math.abs(surrogate(carried, first) - (returnOf(next) - returnOf(old))) < 1e-6, `turn 1, seed ${seed}`);
  }
});
