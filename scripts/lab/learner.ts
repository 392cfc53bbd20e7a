import { groupRelativeAdvantages } from '../../activities/algorithms/advantages.js';
import { trainedOn } from '../../activities/grouping/read-groups.js';
import { onePool, turnPools } from '../../activities/algorithms/turn-pools.js';
import { sum } from '../../activities/numerics/statistics.js';
import { generalizedAdvantages } from '../../activities/algorithms/generalized-advantages.js';
import { batchLoss } from '../../activities/algorithms/index.js';
import {
  densityRatio,
  extendSuffixProducts,
  initialSuffixProducts,
  sequenceRatio,
} from '../../activities/algorithms/suffix-ratios.js';
import type { SeeupoConfig } from '../../schemas/train-config.js';
import { turnOrder } from '../../workflows/turn-order.js';
import { exactReturn } from './game-tree.js';
import { rollOut, type Rollouts, type Seat } from './rollouts.js';
import { adamWStep, naturalStep, noMoments, type Moments, type StepRule } from './step-rules.js';
import {
  parameterGradient,
  parametersOf,
  pathProbabilities,
  tokenLogProbs,
  type TabularPolicy,
} from './tabular-policy.js';
import { fitCritic, ppoLoss, whitened, type LabAlgorithm, type LabPpo } from './tabular-ppo.js';

export interface LearnerSettings {
  readonly algorithm: LabAlgorithm;
  readonly step: StepRule;
  readonly rollouts: Rollouts;
  /** Every random number derives from it. */
  readonly seed: string;
}

/** Something that was said, whole response or single token, its weight in the loss and its share in the mean. */
interface Term {
  /** Index into the units. */
  readonly unit: number;
  /** M_{t+1,i}, or a rival's advantage. */
  readonly weight: number;
  readonly share: number;
}

/** What terms speak of: responses of the game, or its single tokens. */
type Units = readonly { readonly logits: readonly number[] }[];
type LogProbs = readonly (readonly number[])[];

/**
 * The real algorithms on a table: the functions that the activities call (advantages, pools, losses,
 * ratios, products, order) around a softmax table where they have a language model. The laboratory's
 * own are: means weighted by the shares of the trajectories where all are listed, no divergence term,
 * and PPO.
 */
export class Learner {
  private readonly moments: Moments;
  private readonly blocks = new Map<number | null, number[]>();
  private readonly tokens: Units;
  /** The critic of PPO, a value per place. */
  private readonly values: Float64Array;
  private readonly contextOf: number[];
  /** Of every token under theta. */
  private logProbs: Float64Array;
  /** Of every response under theta, until theta moves. */
  private said: LogProbs | null = null;

  /** @param policy  its parameters are changed in place */
  constructor(
    readonly policy: TabularPolicy,
    private readonly settings: LearnerSettings,
  ) {
    const { tree } = policy;
    this.moments = noMoments(policy.parameters.length);
    this.tokens = Array.from({ length: tree.logits }, (_, logit) => ({ logits: [logit] }));
    this.values = new Float64Array(tree.contexts.length);
    this.contextOf = tree.contexts.flatMap(({ tokens }, context) => tokens.map(() => context));
    this.logProbs = tokenLogProbs(policy);
  }

  /** J(theta), by enumeration. */
  get return(): number {
    return exactReturn(this.policy.tree, pathProbabilities(this.policy.tree, this.logProbs));
  }

  /**
   * One iteration: theta_k becomes theta_{k+1}.
   *
   * @returns the rise of J that SeeUPO's last products (Eq. 8) predict for it; null for algorithms that keep none, and
   *          where trajectories are sampled, whose predictions are noisy
   */
  iterate(iteration: number): { predictedRise: number | null } {
    const { algorithm, rollouts, seed } = this.settings;
    const seats = rollOut(
      this.policy.tree,
      pathProbabilities(this.policy.tree, this.logProbs),
      rollouts,
      `${seed}/rollout/${iteration}`,
    );
    if (algorithm.name === 'seeupo') {
      const products = this.iterateSeeupo(algorithm, seats, iteration);
      if (rollouts !== 'exact') return { predictedRise: null };
      const centre = sum(seats.map(({ reward, share }) => share! * reward));
      return { predictedRise: sum(seats.map(({ id, reward, share }) => share! * products[id]! * (reward - centre))) };
    }
    if (algorithm.name === 'ppo') this.iteratePpo(algorithm, seats);
    else this.iterateRival(algorithm, seats);
    return { predictedRise: null };
  }

  private iterateSeeupo(algorithm: SeeupoConfig, seats: readonly Seat[], iteration: number): Record<string, number> {
    const byId = new Map(seats.map((seat) => [seat.id, seat]));
    const old = this.responses();
    const pools = turnPools(trainedOn(seats, algorithm)).map((ids) => ids.map((id) => byId.get(id)!));
    const atIteration = groupRelativeAdvantages(seats, algorithm);
    const ids = seats.map(({ id }) => id);
    let products = initialSuffixProducts(ids);
    const order = turnOrder(
      algorithm.updateOrder === 'random' ? { random: numberOf(this.settings.seed) } : algorithm.updateOrder,
      pools.length,
      iteration,
    );
    for (const [index, turn] of order.entries()) {
      const pool = pools[turn - 1]!;
      const before = this.responses();
      if (algorithm.suffixRatio === 'exact') {
        products = initialSuffixProducts(ids);
        for (const earlier of order.slice(0, index)) {
          products = extendSuffixProducts(products, this.ratios(pools[earlier - 1]!, earlier, before, old), algorithm);
        }
      }
      const advantages =
        algorithm.advantageStatistics === 'turn-pool'
          ? groupRelativeAdvantages(seats, algorithm, new Set(pool.map(({ id }) => id)))
          : atIteration;
      const denominators = algorithm.ratioReference === 'turn' ? before : old;
      const terms = pool.map((seat) => ({
        unit: this.response(seat, turn),
        weight: products[seat.id]! * advantages.get(seat.id)!,
        share: seat.share ?? 1,
      }));
      this.update(terms, this.policy.tree.responses, denominators, turn);
      products = extendSuffixProducts(products, this.ratios(pool, turn, this.responses(), denominators), algorithm);
    }
    return products;
  }

  /** One pool with every turn of every trajectory. */
  private iterateRival(algorithm: Exclude<LabAlgorithm, SeeupoConfig | LabPpo>, seats: readonly Seat[]): void {
    const advantages = groupRelativeAdvantages(seats, algorithm);
    const byId = new Map(seats.map((seat) => [seat.id, seat]));
    const taken = new Map<string, number>();
    const terms = onePool(trainedOn(seats, algorithm))
      .flat()
      .map((id) => {
        const turn = (taken.get(id) ?? 0) + 1;
        taken.set(id, turn);
        const seat = byId.get(id)!;
        return { unit: this.response(seat, turn), weight: advantages.get(id)!, share: seat.share ?? 1 };
      });
    this.update(terms, this.policy.tree.responses, this.responses(), null);
  }

  private iteratePpo(algorithm: LabPpo, seats: readonly Seat[]): void {
    const { tree } = this.policy;
    const played = seats.map(({ path }) =>
      tree.paths[path]!.responses.flatMap((response) => tree.responses[response]!.logits),
    );
    const visits = seats.flatMap(({ share = 1 }, i) =>
      played[i]!.map((logit) => ({ context: this.contextOf[logit]!, share })),
    );
    const advantages = seats.flatMap(
      ({ reward }, i) =>
        generalizedAdvantages(
          reward,
          played[i]!.map((logit) => this.values[this.contextOf[logit]!]!),
          { gamma: 1, lambda: algorithm.lambda },
        ).advantages,
    );
    const weights = whitened(advantages, visits);
    const terms = played.flat().map((logit, n) => ({ unit: logit, weight: weights[n]!, share: visits[n]!.share }));
    this.update(terms, this.tokens, this.spoken(this.tokens), null);
    fitCritic(this.values, visits, advantages, algorithm.criticRate);
  }

  /** Epochs of steps on one pool: Eq. 6, or a rival's loss. `turn` null steps all turns at once. */
  private update(members: readonly Term[], units: Units, denominators: LogProbs, turn: number | null): void {
    const { algorithm } = this.settings;
    const { tree } = this.policy;
    const terms = merged(members);
    const total = sum(terms.map(({ share }) => share));
    if (total === 0) return;
    const count = terms.length;
    // A mean over `count` terms gives each 1/count; by its share it is to have share/total.
    const emphasis = terms.map(({ share }) => (share * count) / total);
    const lossOf =
      algorithm.name === 'ppo'
        ? ppoLoss(algorithm, count)
        : batchLoss(
            algorithm,
            terms.map(({ unit }, i) => units[unit]!.logits.length * emphasis[i]!),
            tree.maxResponseTokens,
          );
    for (let epoch = 0; epoch < algorithm.epochs; epoch++) {
      const towards = new Float64Array(tree.logits); // dLoss/dlog pi
      const visits = new Float64Array(tree.logits); // share of the pool that chose this token
      for (let i = 0; i < count; i++) {
        const { unit, weight } = terms[i]!;
        const { logits } = units[unit]!;
        const { gradient } = lossOf({
          current: logits.map((logit) => this.logProbs[logit]!),
          old: denominators[unit]!,
          reference: null,
          weight,
        });
        for (let l = 0; l < logits.length; l++) {
          towards[logits[l]!]! += emphasis[i]! * gradient[l]!;
          visits[logits[l]!]! += emphasis[i]! / count;
        }
      }
      this.move(towards, visits, turn);
      this.logProbs = tokenLogProbs(this.policy);
      this.said = null;
    }
  }

  private move(towards: Float64Array, visits: Float64Array, turn: number | null): void {
    const { policy, logProbs } = this;
    const { step } = this.settings;
    if (step.rule === 'natural') return naturalStep(policy, towards, visits, logProbs, step.learningRate);
    const indices = this.blocks.get(turn) ?? parametersOf(policy, turn);
    this.blocks.set(turn, indices);
    const gradient = parameterGradient(policy, towards, logProbs);
    // Agents that share parameters share the optimiser; agents that do not have one each.
    if (step.rule === 'adamw')
      adamWStep(
        policy.parameters,
        gradient,
        this.moments,
        { name: policy.sharing === 'shared' ? 0 : (turn ?? 0), indices },
        step,
      );
    else for (const i of indices) policy.parameters[i]! -= step.learningRate * gradient[i]!;
  }

  private response = ({ path }: Seat, turn: number): number => this.policy.tree.paths[path]!.responses[turn - 1]!;
  private spoken = (units: Units): number[][] =>
    units.map(({ logits }) => logits.map((logit) => this.logProbs[logit]!));
  private responses = (): LogProbs => (this.said ??= this.spoken(this.policy.tree.responses));

  /** rho_it of a pool's seats. */
  private ratios(pool: readonly Seat[], turn: number, current: LogProbs, denominators: LogProbs): Map<string, number> {
    const { algorithm } = this.settings;
    const ratioOf = algorithm.name === 'seeupo' && algorithm.suffixRatio === 'density' ? densityRatio : sequenceRatio;
    return new Map(
      pool.map((seat) => [
        seat.id,
        ratioOf(current[this.response(seat, turn)]!, denominators[this.response(seat, turn)]!),
      ]),
    );
  }
}

/** Terms that say the same with the same weight, as one with the sum of their shares: the loss is linear in them. */
function merged(terms: readonly Term[]): Term[] {
  const found = new Map<number, Map<number, number>>();
  for (const { unit, weight, share } of terms) {
    const byWeight = found.get(unit) ?? new Map<number, number>();
    found.set(unit, byWeight);
    byWeight.set(weight, (byWeight.get(weight) ?? 0) + share);
  }
  return [...found].flatMap(([unit, byWeight]) => Array.from(byWeight, ([weight, share]) => ({ unit, weight, share })));
}

/** `turnOrder` draws by a number. */
const numberOf = (seed: string): number =>
  [...seed].reduce((hash, character) => (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0, 0);
