import { GrpoConfig, GspoConfig, OptimizerConfig, ReinforceConfig, SeeupoConfig } from '../../schemas/train-config.js';
import type { StepRule } from './step-rules.js';
import { labPpo, type LabAlgorithm } from './tabular-ppo.js';

/** One way to learn: a row of the tables. */
export interface Arm {
  readonly name: string;
  /** Update order; '–' for algorithms that update all turns at once. */
  readonly order: string;
  readonly normalization: string;
  readonly algorithm: LabAlgorithm;
}

const NORMALIZATIONS = ['batch', 'group', 'none'] as const;
const ORDERS = ['reverse', 'forward', 'random'] as const;
const OBJECTIVES = ['paper', 'authors', 'exact-suffix'] as const;

const SCHEMAS = { seeupo: SeeupoConfig, reinforce: ReinforceConfig, grpo: GrpoConfig, gspo: GspoConfig } as const;
type Given = { readonly name: keyof typeof SCHEMAS } & Readonly<Record<string, unknown>>;

/** Whatever is not given is the schema's vetted default, but for the divergence: its optimum is another one. */
function arm(given: Given, epochs: number): Arm {
  const algorithm = SCHEMAS[given.name].parse({ ...given, epochs, klEstimator: 'none' });
  const kind =
    algorithm.name === 'seeupo'
      ? ` ${algorithm.objective}`
      : algorithm.name === 'grpo' && algorithm.variant !== 'grpo'
        ? ` ${algorithm.variant}`
        : '';
  return {
    name: `${algorithm.name}${kind}`,
    order: algorithm.name === 'seeupo' ? String(algorithm.updateOrder) : '–',
    normalization: algorithm.normalization,
    algorithm,
  };
}

export const seeupo = (epochs: number, given: Readonly<Record<string, unknown>> = {}): Arm =>
  arm({ name: 'seeupo', ...given }, epochs);
export const gspo = (epochs: number, given: Readonly<Record<string, unknown>> = {}): Arm =>
  arm({ name: 'gspo', ...given }, epochs);

const ppo = (epochs: number): Arm => ({
  name: 'ppo (lab only)',
  order: '–',
  normalization: 'batch',
  algorithm: labPpo(epochs),
});

/** Every algorithm with its defaults. */
export const defaultArms = (epochs: number): Arm[] => [
  ...OBJECTIVES.map((objective) => seeupo(epochs, { objective })),
  arm({ name: 'reinforce' }, epochs),
  ...(['grpo', 'dr-grpo', 'dapo'] as const).map((variant) => arm({ name: 'grpo', variant }, epochs)),
  gspo(epochs),
  ppo(epochs),
];

/** Every algorithm; SeeUPO in every order, and everything under every normalisation, one departure from the defaults at a time. */
export function allArms(epochs: number): Arm[] {
  const arms = [
    ...OBJECTIVES.flatMap((objective) => [
      ...ORDERS.map((updateOrder) => seeupo(epochs, { objective, updateOrder })),
      ...NORMALIZATIONS.map((normalization) => seeupo(epochs, { objective, normalization })),
    ]),
    ...NORMALIZATIONS.map((normalization) => arm({ name: 'reinforce', normalization }, epochs)),
    ...NORMALIZATIONS.map((normalization) => arm({ name: 'grpo', normalization }, epochs)),
    ...(['dr-grpo', 'dapo'] as const).map((variant) => arm({ name: 'grpo', variant }, epochs)),
    ...NORMALIZATIONS.map((normalization) => gspo(epochs, { normalization })),
    ppo(epochs),
  ];
  const labels = arms.map(({ name, order, normalization }) => `${name}/${order}/${normalization}`);
  return arms.filter((_, i) => labels.indexOf(labels[i]!) === i);
}

export const adamW = (learningRate: number): StepRule => ({
  rule: 'adamw',
  ...OptimizerConfig.parse({ learningRate }),
});
