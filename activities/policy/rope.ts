import type { ModelShape, RopeScaling } from './model-config.js';

/**
 * Angle per position of each of the D/2 rotary planes, and what cosine and sine are multiplied by.
 * Formulas as in transformers/modeling_rope_utils.py.
 */
export function rotaryFrequencies({ headDimension: D, ropeBase, ropeScaling }: ModelShape): {
  frequencies: number[];
  magnitude: number;
} {
  const plain = Array.from({ length: D / 2 }, (_, i) => ropeBase ** ((-2 * i) / D));
  if (ropeScaling === null) return { frequencies: plain, magnitude: 1 };
  switch (ropeScaling.type) {
    case 'linear':
      return { frequencies: plain.map((frequency) => frequency / ropeScaling.factor), magnitude: 1 };
    case 'divisors':
      return { frequencies: plain.map((frequency, i) => frequency / ropeScaling.divisors[i]!), magnitude: 1 };
    case 'llama3':
      return { frequencies: plain.map((frequency) => llama3(frequency, ropeScaling)), magnitude: 1 };
    case 'yarn':
      return { frequencies: yarn(plain, ropeBase, ropeScaling), magnitude: ropeScaling.attentionFactor };
  }
}

/** Long waves are stretched by the factor, short ones kept, those between interpolated. */
function llama3(frequency: number, scaling: RopeScaling & { type: 'llama3' }): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = scaling;
  const turns = (originalContextLength * frequency) / (2 * Math.PI); // over the original context
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const smooth = (turns - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** YaRN (arXiv 2309.00071): a ramp over the planes from kept to stretched. */
function yarn(plain: readonly number[], base: number, scaling: RopeScaling & { type: 'yarn' }): number[] {
  const D = 2 * plain.length;
  const { factor, originalContextLength, betaFast, betaSlow, truncate } = scaling;
  /** The plane that turns so often over the original context. */
  const planeOf = (turns: number): number =>
    (D * Math.log(originalContextLength / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const [first, last] = [planeOf(betaFast), planeOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  let high = Math.min(truncate ? Math.ceil(last) : last, D - 1);
  if (low === high) high += 0.001; // as the reference does
  return plain.map((frequency, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / (high - low)));
    return (frequency / factor) * stretched + frequency * (1 - stretched);
  });
}
