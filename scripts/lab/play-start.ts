import { seeupo } from './arms.js';
import { gameTree } from './game-tree.js';
import { gameOf } from './games.js';
import { Learner, type LearnerSettings } from './learner.js';
import { randomPolicy, unshared, type Sharing, type TabularPolicy } from './tabular-policy.js';

/** One learner on one game. */
export interface Cell extends Omit<LearnerSettings, 'seed'> {
  readonly game: string;
  readonly sharing: Sharing;
  /** K: iterations of every algorithm. */
  readonly iterations: number;
  /** Where a start did not arrive: whether small steps of the theorems' own kind arrive from there. If so it was a plateau, not a local optimum. */
  readonly rescue: boolean;
}

/** What one random start came to. */
export interface Outcome {
  /** Within 1 % of the optimum after K iterations, the same environment steps for all. */
  readonly reached: boolean;
  /** The same after as many optimiser steps as SeeUPO takes in K iterations: T K iterations of a rival. */
  readonly reachedAtEqualSteps: boolean;
  /** The same after K iterations, in each of which a rival passes T times as often over its pool: as many rollouts and optimiser steps as SeeUPO, and T times its gradient tokens. */
  readonly reachedAtEqualBoth: boolean;
  /** First iteration whose policy is within 1 % of the optimum; Infinity: none of K. */
  readonly iterationsTo99: number;
  /** Iterations, of the first K, in which J fell by more than 1e-9. */
  readonly falls: number;
  /** As a share of the optimum. */
  readonly largestFall: number;
  /** sum over the first K iterations of |rise predicted by Eq. 8's products - rise| and of |rise|; null without them. */
  readonly ledger: { readonly error: number; readonly rise: number } | null;
  /** With `rescue` and not reached: whether that arrived; else null. */
  readonly rescued: boolean | null;
  /** J / optimum at the iterations of `curveIterations`. */
  readonly curve: readonly number[];
}

/** Of the optimum. */
const WITHIN = 0.01;
/** A start is followed until its return is this close to the optimum: what is left to learn cannot change the outcome. */
const SETTLED = 0.001;
const FALL = 1e-9;
const CURVE_INTERVALS = 20;

/** Iterations at which curves are drawn, evenly from 0 to K. */
export const curveIterations = (iterations: number): number[] =>
  Array.from({ length: CURVE_INTERVALS + 1 }, (_, i) => Math.round((i * iterations) / CURVE_INTERVALS));

/** Start `start` of a cell: the same policy, game and draws for every algorithm under the same seed. */
export function playStart(cell: Cell, seed: number, start: number): Outcome {
  const key = `${seed}/${start}`;
  const tree = gameTree(gameOf(cell.game, key));
  const learner = new Learner(randomPolicy(tree, cell.sharing, key), { ...cell, seed: key });
  /** As a share of the optimum; taken anew after each iteration. */
  let behind = 1 - learner.return / tree.optimum;
  const K = cell.iterations;
  const drawnAt = curveIterations(K);
  const curve: number[] = [];
  let [iterationsTo99, falls, largestFall, error, rises] = [Infinity, 0, 0, 0, 0];
  let ledger = false;
  const observe = (k: number): void => {
    if (behind <= WITHIN) iterationsTo99 = Math.min(iterationsTo99, k);
    while (drawnAt[curve.length] === k) curve.push(1 - behind);
  };

  let k = 0;
  for (observe(0); k < K && behind > SETTLED; observe(k)) {
    const before = behind;
    const { predictedRise } = learner.iterate(k++);
    behind = 1 - learner.return / tree.optimum;
    const rise = (before - behind) * tree.optimum;
    if (rise < -FALL) falls += 1;
    largestFall = Math.max(largestFall, -rise / tree.optimum);
    if (predictedRise === null) continue;
    ledger = true;
    error += Math.abs(predictedRise - rise);
    rises += Math.abs(rise);
  }
  while (curve.length < drawnAt.length) curve.push(1 - behind);
  const reached = behind <= WITHIN;

  const rescued = cell.rescue && !reached ? arrivesNaturally(unshared(learner.policy)) : null;
  let reachedAtEqualSteps = reached;
  if (cell.algorithm.name !== 'seeupo') {
    for (const last = K * tree.turns; k < last && behind > SETTLED; k++) {
      learner.iterate(k);
      behind = 1 - learner.return / tree.optimum;
    }
    reachedAtEqualSteps = behind <= WITHIN;
  }
  const reachedAtEqualBoth =
    cell.algorithm.name === 'seeupo'
      ? reached
      : arrives({ ...cell, algorithm: { ...cell.algorithm, epochs: cell.algorithm.epochs * tree.turns } }, key);
  return {
    reached,
    reachedAtEqualSteps,
    reachedAtEqualBoth,
    iterationsTo99,
    falls,
    largestFall,
    ledger: ledger ? { error, rise: rises } : null,
    rescued,
    curve,
  };
}

/** Whether a start of a cell is within 1 % of the optimum after K iterations. */
function arrives(cell: Cell, key: string): boolean {
  const tree = gameTree(gameOf(cell.game, key));
  const learner = new Learner(randomPolicy(tree, cell.sharing, key), { ...cell, seed: key });
  const behind = (): number => 1 - learner.return / tree.optimum;
  for (let k = 0; k < cell.iterations && behind() > SETTLED; k++) learner.iterate(k);
  return behind() <= WITHIN;
}

const RESCUE_ITERATIONS = 200;

/** Whether SeeUPO with exact expectations and small natural steps comes within 1 % of the optimum from this policy. */
function arrivesNaturally(policy: TabularPolicy): boolean {
  const learner = new Learner(policy, {
    algorithm: seeupo(1).algorithm,
    step: { rule: 'natural', learningRate: 0.1 },
    rollouts: 'exact',
    seed: '',
  });
  for (let k = 0; k < RESCUE_ITERATIONS; k++) {
    if (1 - learner.return / policy.tree.optimum <= WITHIN) return true;
    learner.iterate(k);
  }
  return false;
}
