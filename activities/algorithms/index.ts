import type { AlgorithmConfig } from '../../schemas/train-config.js';
import type { Algorithm, AlgorithmDefinition, SettingReader } from './algorithm.js';
import { gigpo } from './gigpo.js';
import { grpo } from './grpo.js';
import { gspo } from './gspo.js';
import type { ResponseSample, SampleLoss } from './objectives.js';
import { ppo } from './ppo.js';
import { reinforce } from './reinforce.js';
import { seeupo } from './seeupo.js';
import { turnPpo } from './turn-ppo.js';

type Name = AlgorithmConfig['name'];

/** Every algorithm by its name: what the schema's union (schemas/algorithm-config.ts) lists, and nothing else. */
const ALGORITHMS: { readonly [N in Name]: AlgorithmDefinition<Extract<AlgorithmConfig, { name: N }>> } = {
  seeupo,
  reinforce,
  grpo,
  gspo,
  ppo,
  gigpo,
  'turn-ppo': turnPpo,
};

/** An algorithm with its settings: what the stages of a run ask, so that they know none by name. */
export const algorithmOf = (config: AlgorithmConfig): Algorithm =>
  (ALGORITHMS[config.name] as AlgorithmDefinition<AlgorithmConfig>).of(config);

/** Whether there is such an algorithm: what an operator wrote may name none. */
export const isAlgorithm = (name: string): name is Name => Object.hasOwn(ALGORITHMS, name);

/** Which steps read the settings that not every algorithm has, by the setting's name. */
export function readersOfAlgorithms(): Record<string, readonly SettingReader[]> {
  const readers: Record<string, readonly SettingReader[]> = {};
  for (const { settings } of Object.values(ALGORITHMS)) {
    for (const [name, found] of Object.entries<readonly SettingReader[]>(settings)) {
      readers[name] = [...new Set([...(readers[name] ?? []), ...found])];
    }
  }
  return readers;
}

/**
 * The configured loss of one response of a minibatch.
 *
 * @param lengths            tokens of each response of the minibatch: its means are over them
 * @param maxResponseTokens  longest response that the rollout allows
 */
export const batchLoss = (
  config: AlgorithmConfig,
  lengths: readonly number[],
  maxResponseTokens: number,
): ((sample: ResponseSample) => SampleLoss) => algorithmOf(config).loss({ lengths, maxResponseTokens });
