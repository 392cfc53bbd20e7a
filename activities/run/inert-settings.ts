import type { TrainConfig } from '../../schemas/train-config.js';
import { algorithmOf } from '../algorithms/index.js';

/** Settings that cannot act in this combination, each as a sentence that says why; none is an empty list. */
export function inertSettings({
  algorithm,
  rollout,
  guard,
}: Pick<TrainConfig, 'algorithm' | 'rollout' | 'guard'>): string[] {
  const found: string[] = [];
  const { pooling, ratioReference, inert } = algorithmOf(algorithm);
  const isOneStep = algorithm.epochs === 1 && algorithm.minibatches === 1;
  // With shared parameters and ratios against theta_k, turns updated before have moved this turn already; the first of the order has ratio 1.
  const ratioIsOne = isOneStep && (!pooling.isSequential || ratioReference === 'turn' || rollout.maxTurns === 1);
  if ('clip' in algorithm && ratioIsOne) {
    found.push(
      'algorithm.clip never acts: with one epoch of one minibatch every ratio is 1 at the gradient. Raise epochs or minibatches',
    );
    if ('valueClip' in algorithm && algorithm.valueClip !== null)
      found.push('algorithm.valueClip never acts: with one step every value is the one that it is clipped around');
    if (algorithm.dualClip !== null) found.push('algorithm.dualClip never acts, as every ratio is 1 at the gradient');
  }
  if (algorithm.klCoefficient === 0 && algorithm.klEstimator !== 'none')
    found.push(`algorithm.klEstimator "${algorithm.klEstimator}" never acts: klCoefficient is 0`);
  if (algorithm.klImportanceWeighted && algorithm.klCoefficient === 0)
    found.push('algorithm.klImportanceWeighted never acts: klCoefficient is 0');
  if (algorithm.klEstimator === 'k1' && !algorithm.klImportanceWeighted && algorithm.klCoefficient > 0) {
    found.push(
      'algorithm.klEstimator "k1" only adds noise: its gradient, that of log pi, is 0 in expectation on-policy. Choose k3',
    );
  }
  found.push(...inert({ maxTurns: rollout.maxTurns, isOneStep }));
  if ('deviation' in algorithm && algorithm.deviation !== undefined && algorithm.normalization === 'none')
    found.push('algorithm.deviation never acts: normalization is "none"');
  if (guard.onViolation === 'stop-epochs' && algorithm.epochs === 1) {
    found.push(
      'guard.onViolation "stop-epochs" acts only on a loss that is no number: there is one epoch. Raise algorithm.epochs, or choose reject',
    );
  }
  if (guard.maxKl === null && guard.surrogateTolerance === null && guard.onViolation === 'warn') {
    found.push('guard.onViolation "warn" has nothing to warn of: maxKl and surrogateTolerance are null');
  }
  return found;
}
