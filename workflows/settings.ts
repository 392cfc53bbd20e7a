import type { SettingsChange } from './messages.js';

/**
 * Settings that may change during a run, as paths of the configuration, each with its check. All others need a fork.
 */
export const CHANGEABLE: Readonly<Record<string, (value: unknown) => string | null>> = {
  'optimizer.learningRate': positive,
  'algorithm.klCoefficient': (value) => (isNumber(value) && value >= 0 ? null : 'must be a number, at least 0'),
  'algorithm.clip.low': (value) =>
    isNumber(value) && value > 0 && value < 1 ? null : 'must be a number between 0 and 1',
  'algorithm.clip.high': positive,
  'rollout.tasksPerIteration': (value) => (value === null ? null : whole(value, 1)),
  'rollout.groupSize': (value) => whole(value, 2),
  arithmetic: (value) => (value === 'one' || value === 'any' ? null : 'must be "one" or "any"'),
  'evaluation.everyIterations': (value) => (value === null ? null : whole(value, 1)),
};

/**
 * Problems that can be seen without the rest of the configuration; reviseSettings checks the whole. Empty if there are
 * none.
 */
export function problemsWithChange(change: unknown): string[] {
  if (!isObject(change))
    return [
      `the change is ${JSON.stringify(change)}, must be a part of the configuration, e.g. {"optimizer":{"learningRate":1e-4}}`,
    ];
  const leaves = leafSettings(change, '');
  if (leaves.length === 0) return ['the change is empty: name at least one setting'];
  return leaves.flatMap(([path, value]) => {
    const check = CHANGEABLE[path];
    if (!check)
      return [
        `${path} cannot change during a run, only ${Object.keys(CHANGEABLE).join(', ')} can: start a run with forkFrom to change others`,
      ];
    const problem = check(value);
    return problem === null ? [] : [`${path} is ${JSON.stringify(value)}: ${problem}`];
  });
}

/** E.g. `optimizer.learningRate 0.0001, rollout.groupSize 8`. */
export const formatChange = (change: SettingsChange): string =>
  leafSettings(change, '')
    .map(([path, value]) => `${path} ${JSON.stringify(value)}`)
    .join(', ');

function leafSettings(value: Readonly<Record<string, unknown>>, prefix: string): [path: string, value: unknown][] {
  return Object.entries(value).flatMap(([key, inner]): [string, unknown][] =>
    isObject(inner) ? leafSettings(inner, `${prefix}${key}.`) : [[prefix + key, inner]],
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
function positive(value: unknown): string | null {
  return isNumber(value) && value > 0 ? null : 'must be a positive number';
}
function whole(value: unknown, least: number): string | null {
  return Number.isInteger(value) && (value as number) >= least ? null : `must be a whole number, at least ${least}`;
}
