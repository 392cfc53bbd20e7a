import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { PoolSample } from '../../../activities/turn-update/pool-sample.js';
import { AlgorithmConfig } from '../../../schemas/train-config.js';
import { root } from '../../support/root.js';
import { tiny } from './tiny-models.js';

/** Made by fixtures/make_objectives.py: [n][l] for token l of response n. */
export interface TorchModel {
  readonly logProbs: number[][];
  readonly entropies: number[][];
  readonly values: number[][];
  readonly valueHead: number[];
  readonly old: number[][];
  readonly reference: number[][];
  readonly oldValues: number[][];
  readonly returns: number[][];
  readonly tokenAdvantages: number[][];
  readonly algorithms: {
    readonly config: { readonly name: string };
    readonly loss: number;
    readonly byLogProbs: number[][];
    readonly byEntropies: number[][];
    readonly byValues: number[][];
    readonly norm: number;
    /** Of the gradient with sin(0.01 i). */
    readonly dot: number;
    readonly valueHeadGradient: number[];
  }[];
}
export const torch = JSON.parse(
  readFileSync(path.join(root, 'test/activities/policy/fixtures/objectives.json'), 'utf8'),
) as {
  spans: [number, number][];
  longest: number;
  weights: number[];
  models: Record<string, TorchModel>;
};

export const algorithmOf = (config: object): AlgorithmConfig => AlgorithmConfig.parse(config);

/** The pool that the losses are taken of: three responses of one task. */
export const poolOf = (model: TorchModel, { name }: { readonly name: string }): PoolSample[] =>
  torch.spans.map(([a, b], i) => ({
    id: `a#${i}`,
    taskId: 'a',
    promptIds: tiny.ids.slice(0, a),
    responseIds: tiny.ids.slice(a, b),
    old: model.old[i]!,
    reference: model.reference[i]!,
    advantage: torch.weights[i]!,
    suffixProduct: 1,
    ...(name === 'ppo' && {
      critic: { advantages: model.tokenAdvantages[i]!, returns: model.returns[i]!, values: model.oldValues[i]! },
    }),
  }));
