import type { OptimizerConfig } from '../../schemas/train-config.js';
import type { TabularPolicy } from './tabular-policy.js';

/**
 * How a gradient becomes a step.
 * gradient: plain gradient descent.
 * natural:  the natural gradient of a softmax table. At on-policy ratios its step is pi <- pi exp(rate x A) / Z at every
 *           place: the exact solution of the surrogate with a KL penalty, the proximal update that the theorems speak of.
 * adamw:    as in real runs.
 */
export type StepRule =
  | { readonly rule: 'gradient' | 'natural'; readonly learningRate: number }
  | ({ readonly rule: 'adamw' } & OptimizerConfig);

/** AdamW's moments of every parameter, and the steps that each block of parameters has taken. */
export interface Moments {
  readonly first: Float64Array;
  readonly second: Float64Array;
  readonly steps: Map<number, number>;
}

export const noMoments = (parameters: number): Moments => ({
  first: new Float64Array(parameters),
  second: new Float64Array(parameters),
  steps: new Map(),
});

/**
 * One AdamW step (Loshchilov and Hutter, 2019, as torch.optim.AdamW computes it) on a block of the
 * parameters, in place, after scaling the block's gradient down to `maxGradientNorm`.
 *
 * @param block  what counts its own steps
 */
export function adamWStep(
  parameters: Float64Array,
  gradient: Float64Array,
  moments: Moments,
  block: { readonly name: number; readonly indices: readonly number[] },
  { learningRate, betas: [beta1, beta2], epsilon, weightDecay, maxGradientNorm }: OptimizerConfig,
): void {
  let squares = 0;
  for (const i of block.indices) squares += gradient[i]! ** 2;
  const norm = Math.sqrt(squares);
  const scale = maxGradientNorm !== null && norm > maxGradientNorm ? maxGradientNorm / (norm + 1e-6) : 1;
  const step = (moments.steps.get(block.name) ?? 0) + 1;
  moments.steps.set(block.name, step);
  const [correction1, correction2] = [1 - beta1 ** step, Math.sqrt(1 - beta2 ** step)];
  for (const i of block.indices) {
    const g = gradient[i]! * scale;
    const first = (moments.first[i] = beta1 * moments.first[i]! + (1 - beta1) * g);
    const second = (moments.second[i] = beta2 * moments.second[i]! + (1 - beta2) * g * g);
    parameters[i] =
      parameters[i]! * (1 - learningRate * weightDecay) -
      (learningRate / correction1) * (first / (Math.sqrt(second) / correction2 + epsilon));
  }
}

/**
 * One natural-gradient step of a table, in place: dLoss/dlogit divided by (share of the pool that came
 * here) x pi, the table's Fisher information. Where all ratios are 1 that multiplies pi by exp(rate x A) / Z.
 *
 * @param towards  dLoss/dlog pi of every token
 * @param visits   share of the pool that chose it
 * @throws {RangeError} if the parameters are shared, whose Fisher information is another
 */
export function naturalStep(
  { tree, sharing, parameters }: TabularPolicy,
  towards: Float64Array,
  visits: Float64Array,
  logProbs: Float64Array,
  learningRate: number,
): void {
  if (sharing === 'shared')
    throw new RangeError('the natural gradient here is that of a table: choose sharing per-turn');
  for (const { first, tokens } of tree.contexts) {
    let [here, centre] = [0, 0];
    for (let i = first; i < first + tokens.length; i++) {
      here += visits[i]!;
      centre += towards[i]!;
    }
    for (let i = first; i < first + tokens.length; i++) {
      const chosen = here * Math.exp(logProbs[i]!);
      // Beyond the smallest number nothing is known of a place or a token, and nothing is changed.
      if (chosen > 0) parameters[i]! -= learningRate * (towards[i]! / chosen - centre / here);
    }
  }
}
