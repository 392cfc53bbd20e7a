import { uniforms } from '../../activities/numerics/random.js';
import type { GameTree } from './game-tree.js';

/**
 * per-turn: a logit of its own for every token at every place (history, tokens so far), so what one turn
 * learns moves no other turn: the independence that the paper's theorems assume.
 *
 * shared: that logit plus one for the token that all places have in common. Every policy can still be
 * expressed, but each update of a turn moves all turns, as in a language model.
 */
export type Sharing = 'per-turn' | 'shared';

export interface TabularPolicy {
  readonly tree: GameTree;
  readonly sharing: Sharing;
  /** Own logits by place and token, then (`shared`) one per token of the vocabulary. */
  readonly parameters: Float64Array;
}

/** Own logits standard normal by the key, common ones 0: both kinds of sharing start at the same distribution. */
export function randomPolicy(tree: GameTree, sharing: Sharing, key: string): TabularPolicy {
  const parameters = new Float64Array(tree.logits + (sharing === 'shared' ? tree.vocabulary : 0));
  const draws = uniforms(`${key}/logits`, 2 * tree.logits);
  // Box-Muller
  for (let i = 0; i < tree.logits; i++)
    parameters[i] =
      Math.sqrt(-2 * Math.log(1 - Math.min(draws[2 * i]!, 1 - 2 ** -24))) * Math.cos(2 * Math.PI * draws[2 * i + 1]!);
  return { tree, sharing, parameters };
}

/** The same distribution as a table per turn. */
export function unshared({ tree, sharing, parameters }: TabularPolicy): TabularPolicy {
  const own = parameters.slice(0, tree.logits);
  if (sharing === 'shared')
    for (const { first, tokens } of tree.contexts)
      tokens.forEach((token, v) => (own[first + v]! += parameters[tree.logits + token]!));
  return { tree, sharing: 'per-turn', parameters: own };
}

/** log pi of every token at every place, nats, in the order of the own logits. */
export function tokenLogProbs({ tree, sharing, parameters }: TabularPolicy): Float64Array {
  const result = new Float64Array(tree.logits);
  for (const { first, tokens } of tree.contexts) {
    let largest = -Infinity;
    for (let v = 0; v < tokens.length; v++) {
      const logit = parameters[first + v]! + (sharing === 'shared' ? parameters[tree.logits + tokens[v]!]! : 0);
      result[first + v] = logit;
      largest = Math.max(largest, logit);
    }
    let z = 0;
    for (let v = 0; v < tokens.length; v++) z += Math.exp(result[first + v]! - largest);
    const logZ = largest + Math.log(z);
    for (let v = 0; v < tokens.length; v++) result[first + v]! -= logZ;
  }
  return result;
}

/** Probability of each path. */
export function pathProbabilities({ paths, responses }: GameTree, logProbs: Float64Array): number[] {
  const ofResponses = responses.map(({ logits }) => logits.reduce((total, logit) => total + logProbs[logit]!, 0));
  return paths.map((path) => Math.exp(path.responses.reduce((total, response) => total + ofResponses[response]!, 0)));
}

/**
 * dLoss/dparameter from dLoss/dlog pi of every token: for a softmax, dLoss/dlogit_v = g_v - pi_v sum_u g_u.
 *
 * @param towards  dLoss/dlog pi, in the order of the own logits
 */
export function parameterGradient(
  { tree, sharing, parameters }: TabularPolicy,
  towards: Float64Array,
  logProbs: Float64Array,
): Float64Array {
  const gradient = new Float64Array(parameters.length);
  for (const { first, tokens } of tree.contexts) {
    let total = 0;
    for (let v = 0; v < tokens.length; v++) total += towards[first + v]!;
    for (let v = 0; v < tokens.length; v++) {
      const g = towards[first + v]! - Math.exp(logProbs[first + v]!) * total;
      gradient[first + v] = g;
      if (sharing === 'shared') gradient[tree.logits + tokens[v]!]! += g;
    }
  }
  return gradient;
}

/** Indices of the parameters that an update of `turn` steps: the turn's own, or all if they are shared; null is all turns. */
export function parametersOf({ tree, sharing, parameters }: TabularPolicy, turn: number | null): number[] {
  if (sharing === 'shared' || turn === null) return [...parameters.keys()];
  return tree.contexts
    .filter((context) => context.turn === turn)
    .flatMap(({ first, tokens }) => tokens.map((_, v) => first + v));
}
