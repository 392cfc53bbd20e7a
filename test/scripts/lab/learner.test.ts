import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupRelativeAdvantages } from '../../../activities/algorithms/advantages.js';
import type { Policy } from '../../../activities/policy/policy.js';
import type { PoolSample } from '../../../activities/turn-update/pool-sample.js';
import { updatePool } from '../../../activities/turn-update/update-pool.js';
import { extendSuffixProducts, initialSuffixProducts } from '../../../activities/algorithms/suffix-ratios.js';
import { SeeupoConfig, GuardConfig, OptimizerConfig } from '../../../schemas/train-config.js';
import { gameTree } from '../../../scripts/lab/game-tree.js';
import { gameOf } from '../../../scripts/lab/games.js';
import { Learner } from '../../../scripts/lab/learner.js';
import { rollOut } from '../../../scripts/lab/rollouts.js';
import { adamWStep, noMoments } from '../../../scripts/lab/step-rules.js';
import {
  parameterGradient,
  pathProbabilities,
  randomPolicy,
  tokenLogProbs,
  unshared,
  type TabularPolicy,
} from '../../../scripts/lab/tabular-policy.js';

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));
const seeupo = (given: object = {}) => SeeupoConfig.parse({ name: 'seeupo', klEstimator: 'none', ...given });

test('with small tables the natural step is the exact proximal update: pi <- pi exp(rate Q) / Z, last turn first', () => {
  const tree = gameTree(gameOf('climbing', ''));
  const policy = randomPolicy(tree, 'per-turn', 'start');
  const before = Array.from(tokenLogProbs(policy), Math.exp);
  new Learner(policy, {
    algorithm: seeupo({ normalization: 'none' }),
    step: { rule: 'natural', learningRate: 0.3 },
    rollouts: 'exact',
    seed: '',
  }).iterate(0);
  const PAYOFF = [
    [11, -30, 0],
    [-30, 7, 6],
    [0, 0, 5],
  ];
  const tilted = (pi: number[], q: number[]): number[] => {
    const weights = pi.map((p, a) => p * Math.exp(0.3 * q[a]!));
    return weights.map((w) => w / weights.reduce((x, y) => x + y));
  };
  // Logits 0..2 are turn 1's, then three for each row.
  const second = PAYOFF.map((q, row) => tilted(before.slice(3 + 3 * row, 6 + 3 * row), q));
  const first = tilted(
    before.slice(0, 3),
    second.map((pi, row) => pi.reduce((total, p, b) => total + p * PAYOFF[row]![b]!, 0)),
  );
  assert.ok(apart(Array.from(tokenLogProbs(policy), Math.exp), [...first, ...second.flat()]) < 1e-9);
});

test('with whole ratios Eq. 8 keeps exact account of the return, with length-normalised ones it does not, where responses have two tokens', () => {
  const missed = (given: object): number => {
    const tree = gameTree(gameOf('spelled climbing', 'density'));
    const policy = randomPolicy(tree, 'per-turn', 'density');
    const learner = new Learner(policy, {
      algorithm: seeupo({ epochs: 2, ...given }),
      step: { rule: 'gradient', learningRate: 0.5 },
      rollouts: 'exact',
      seed: '',
    });
    let [error, rises] = [0, 0];
    for (let k = 0; k < 5; k++) {
      const before = learner.return;
      const { predictedRise } = learner.iterate(k);
      const rise = learner.return - before;
      error += Math.abs(predictedRise! - rise);
      rises += Math.abs(rise);
    }
    return error / rises;
  };
  assert.ok(missed({ suffixRatio: 'density', suffixRatioClip: [1e-9, 1e9] }) < 1e-9);
  assert.ok(missed({}) > 0.05);
});

test('where rollouts are sampled, an iteration is the one of real runs: updatePool on the same samples', async () => {
  const tree = gameTree(gameOf('stopping', ''));
  const rollouts = { groupSize: 8, copies: 3 };
  const algorithm = seeupo({ epochs: 3 });
  const ours = randomPolicy(tree, 'shared', 'start');
  const theirs: TabularPolicy = { ...ours, parameters: ours.parameters.slice() };
  new Learner(ours, { algorithm, step: { rule: 'gradient', learningRate: 0.5 }, rollouts, seed: 'seed' }).iterate(4);

  const said = (): number[][] => {
    const logProbs = tokenLogProbs(theirs);
    return tree.responses.map(({ logits }) => logits.map((logit) => logProbs[logit]!));
  };
  // The prompt of a sequence is the number of its response: that says all that a table needs to know.
  const policy: Pick<Policy, 'logProbs' | 'step'> = {
    logProbs: async (sequences) => sequences.map(({ promptIds }) => said()[promptIds[0]!]!),
    step: async (sequences, gradient, { learningRate }) => {
      const logProbs = tokenLogProbs(theirs);
      const current = sequences.map(({ promptIds }) => said()[promptIds[0]!]!);
      const given = await gradient([...sequences.keys()], current, {
        entropies: current.map((row) => row.map(() => 0)),
        values: null,
      });
      const coefficients = Array.isArray(given) ? given : given.logProbs;
      const towards = new Float64Array(tree.logits);
      sequences.forEach(({ promptIds }, i) =>
        tree.responses[promptIds[0]!]!.logits.forEach((logit, l) => (towards[logit]! += coefficients[i]![l]!)),
      );
      const direction = parameterGradient(theirs, towards, logProbs);
      direction.forEach((g, i) => (theirs.parameters[i]! -= learningRate * g));
      return { gradientNorm: Math.hypot(...direction), logProbs: current, valueHeadGradient: null };
    },
  };
  const old = said();
  const seats = rollOut(tree, pathProbabilities(tree, tokenLogProbs(theirs)), rollouts, 'seed/rollout/4');
  const advantages = groupRelativeAdvantages(seats, algorithm);
  const none = { suffixRatioClip: null, suffixProductClip: null };
  let products = initialSuffixProducts(seats.map(({ id }) => id));
  for (const turn of [4, 3, 2, 1]) {
    const samples = seats
      .filter(({ turns }) => turns >= turn)
      .map(({ id, taskId, path }): PoolSample => {
        const response = tree.paths[path]!.responses[turn - 1]!;
        return {
          id,
          taskId,
          promptIds: [response],
          responseIds: tree.responses[response]!.logits,
          old: old[response]!,
          reference: null,
          advantage: advantages.get(id)!,
          suffixProduct: products[id]!,
        };
      });
    const options = {
      turn,
      algorithm,
      optimizer: OptimizerConfig.parse({ learningRate: 0.5 }),
      temperature: 1,
      microBatchTokens: 64,
      maxResponseTokens: 1,
      randomKey: 'k',
      guard: GuardConfig.parse({}),
      unmoved: turn === 4,
    };
    const { ratios } = await updatePool(policy as Policy, samples, options, () => undefined);
    products = extendSuffixProducts(products, ratios, none);
  }
  assert.ok(apart(ours.parameters, theirs.parameters) < 1e-12);
});

test('AdamW: equal gradients step by the rate; a gradient that turns about first goes on, by what is left of the first moment', () => {
  const parameters = new Float64Array([0, 5]);
  const moments = noMoments(2);
  const options = OptimizerConfig.parse({ learningRate: 0.1, maxGradientNorm: null });
  const block = { name: 0, indices: [0] };
  adamWStep(parameters, Float64Array.of(1, 9), moments, block, options);
  assert.ok(Math.abs(parameters[0]! + 0.1) < 1e-8); // 0.1 / 0.1 over sqrt(0.05 / 0.05)
  adamWStep(parameters, Float64Array.of(-1, 9), moments, block, options);
  // m = 0.9 * 0.1 - 0.1 = -0.01, over 1 - 0.81; v = 0.95 * 0.05 + 0.05 = 0.0975, over 1 - 0.9025
  assert.ok(Math.abs(parameters[0]! - (-0.1 + (0.1 * 0.01) / 0.19)) < 1e-8);
  assert.equal(parameters[1], 5); // not of the block
});

test('a shared policy taken apart is the same distribution', () => {
  const policy = randomPolicy(gameTree(gameOf('chain', '')), 'shared', 'start');
  policy.parameters.set([0.3, -1, 2], policy.tree.logits);
  assert.ok(apart(tokenLogProbs(policy), tokenLogProbs(unshared(policy))) < 1e-12);
});

test('the natural step of shared parameters is refused', () => {
  const policy = randomPolicy(gameTree(gameOf('lock', '')), 'shared', 'start');
  const learner = new Learner(policy, {
    algorithm: seeupo(),
    step: { rule: 'natural', learningRate: 1 },
    rollouts: 'exact',
    seed: '',
  });
  assert.throws(() => learner.iterate(0), /choose sharing per-turn/);
});
