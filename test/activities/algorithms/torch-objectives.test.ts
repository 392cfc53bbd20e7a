import assert from 'node:assert/strict';
import { test } from 'node:test';
import { valueLoss } from '../../../activities/algorithms/critic.js';
import { batchLoss } from '../../../activities/algorithms/index.js';
import { entropyGradient, tokenScale, totalLoss } from '../../../activities/algorithms/objectives.js';
import { responseOf } from '../../../activities/turn-update/pool-sample.js';
import { algorithmOf, poolOf, torch } from '../policy/torch-objectives.js';

/** Oracle: PyTorch's autograd in fp64 on losses written from the papers (test/activities/policy/fixtures/make_objectives.py). */
const near = (ours: readonly number[], theirs: readonly number[], what: string): void => {
  const scale = Math.max(...theirs.map(Math.abs), 1e-12);
  ours.forEach((value, i) =>
    assert.ok(Math.abs(value - theirs[i]!) <= 1e-5 * scale, `${what} ${i}: ${value}, PyTorch ${theirs[i]}`),
  );
};

for (const [name, model] of Object.entries(torch.models)) {
  for (const { config, loss, byLogProbs, byEntropies, byValues } of model.algorithms) {
    test(`${name}: loss and gradients by log-probs, entropies and values are PyTorch's: ${JSON.stringify(config)}`, () => {
      const algorithm = algorithmOf(config);
      const pool = poolOf(model, algorithm);
      const lengths = pool.map(({ responseIds }) => responseIds.length);
      const lossOf = batchLoss(algorithm, lengths, torch.longest);
      const parts = pool.map((sample, i) => {
        const part = lossOf({ ...responseOf(sample), old: sample.old, current: model.logProbs[i]! });
        const ofValue =
          algorithm.name === 'ppo'
            ? valueLoss(
                { current: model.values[i]!, old: sample.critic!.values, returns: sample.critic!.returns },
                { count: 3, scale: tokenScale(algorithm, lengths, torch.longest)(lengths[i]!) },
                algorithm.valueClip,
              )
            : { value: 0, gradient: lengths.slice(0, 0) };
        const entropy = model.entropies[i]!.reduce((a, b) => a + b) / lengths[i]!;
        near(part.gradient, byLogProbs[i]!, `response ${i}, by log-prob`);
        near(
          entropyGradient(lengths[i]!, 3, algorithm.entropyCoefficient),
          byEntropies[i]!,
          `response ${i}, by entropy`,
        );
        if (algorithm.name === 'ppo')
          near(
            ofValue.gradient.map((g) => algorithm.valueCoefficient * g),
            byValues[i]!,
            `response ${i}, by value`,
          );
        return { surrogate: part.surrogate, kl: part.kl, entropy, valueLoss: ofValue.value };
      });
      near([totalLoss(parts, algorithm)], [loss], 'loss');
    });
  }
}

test('among the cases are clipped and unclipped samples, tokens and values', () => {
  const { algorithms } = torch.models['llama-tied']!;
  const zeros = (rows: number[][]): number => rows.flat().filter((g) => g === 0).length;
  const ppo = algorithms.find(({ config }) => config.name === 'ppo')!;
  assert.ok(zeros(ppo.byValues) > 0 && zeros(ppo.byValues) < 14);
  assert.ok(
    algorithms.some(
      ({ byLogProbs }, i) => JSON.stringify(byLogProbs) !== JSON.stringify(algorithms[0]!.byLogProbs) && i > 0,
    ),
  );
});
