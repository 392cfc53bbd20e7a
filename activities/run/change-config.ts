import type { TrainConfig } from '../../schemas/train-config.js';
import { resolveConfig } from './resolve-config.js';

/** Names a set of an algorithm's options: with another name, the options of the old set must not stay. */
const NAMES_A_SET = ['name', 'objective', 'variant'];

/**
 * A configuration with some of its settings changed.
 *
 * @param change  a part of TrainConfig; objects are merged, all else replaced. An `algorithm` with a name,
 *                objective or variant replaces the whole block.
 * @throws {BadConfig} naming each problem of the result
 */
export function withChange(config: TrainConfig, change: Readonly<Record<string, unknown>>): TrainConfig {
  const { algorithm } = change;
  const base =
    isObject(algorithm) && NAMES_A_SET.some((name) => name in algorithm)
      ? { ...config, algorithm: { name: config.algorithm.name } }
      : config;
  return resolveConfig(merged(base, change));
}

/**
 * The same without validation and without the options of other variants: shows which settings an invalid change would
 * touch.
 */
export const mergedChange = (config: TrainConfig, change: Readonly<Record<string, unknown>>): TrainConfig =>
  merged(config, change) as TrainConfig;

function merged(base: unknown, change: unknown): unknown {
  if (!isObject(base) || !isObject(change)) return change;
  return {
    ...base,
    ...Object.fromEntries(Object.entries(change).map(([key, value]) => [key, merged(base[key], value)])),
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
