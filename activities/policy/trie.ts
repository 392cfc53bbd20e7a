import { groupBy } from '../numerics/group-by.js';
import type { TokenSequence } from './policy.js';

/**
 * Sequences of one row as a token trie: every distinct prefix once. A node is a token in its
 * context; it attends to its ancestors and itself, so each sequence sees exactly what it would see
 * alone, and its position is its depth.
 */
export interface TokenTrie {
  readonly tokens: Int32Array; // (N)
  /** Index of the node before it, -1 at a root. Parents come before children. */
  readonly parents: Int32Array; // (N)
  readonly positions: Int32Array; // (N)
  /** For each sequence, the nodes that predict its response tokens: the node before each. */
  readonly predictors: readonly Int32Array[];
}

/** A token trie that grows: nodes are numbered in the order in which they came. */
export class PrefixTrie {
  readonly tokens: number[] = [];
  readonly parents: number[] = [];
  readonly positions: number[] = [];
  readonly #children: Map<number, number>[] = [];
  readonly #roots = new Map<number, number>();

  /** The node of a token after another node, -1 for none before it; null if it is not there. */
  find(from: number, token: number): number | null {
    return this.#after(from).get(token) ?? null;
  }

  /** The same node, made if it is not there. */
  step(from: number, token: number): number {
    const known = this.find(from, token);
    if (known !== null) return known;
    const node = this.append(from, token);
    this.#after(from).set(token, node);
    return node;
  }

  /** A node that no later step finds. */
  append(from: number, token: number): number {
    const node = this.tokens.length;
    this.tokens.push(token);
    this.parents.push(from);
    this.positions.push(from < 0 ? 0 : this.positions[from]! + 1);
    this.#children.push(new Map());
    return node;
  }

  #after(node: number): Map<number, number> {
    return node < 0 ? this.#roots : this.#children[node]!;
  }
}

/**
 * Packs sequences into a trie. The last token of a response predicts nothing and is left out.
 * @throws {RangeError} on an empty prompt or response
 */
export function packTrie(sequences: readonly Pick<TokenSequence, 'promptIds' | 'responseIds'>[]): TokenTrie {
  const trie = new PrefixTrie();
  const predictors = sequences.map(({ promptIds, responseIds }, i) => {
    if (promptIds.length === 0 || responseIds.length === 0) {
      throw new RangeError(
        `sequence ${i} has ${promptIds.length} prompt and ${responseIds.length} response tokens, needs at least 1 of each`,
      );
    }
    let node = -1;
    for (const token of promptIds) node = trie.step(node, token);
    const nodes = new Int32Array(responseIds.length);
    responseIds.forEach((token, l) => {
      nodes[l] = node;
      if (l < responseIds.length - 1) node = trie.step(node, token);
    });
    return nodes;
  });
  return {
    tokens: Int32Array.from(trie.tokens),
    parents: Int32Array.from(trie.parents),
    positions: Int32Array.from(trie.positions),
    predictors,
  };
}

/** Nodes that follow one another, and every node that one of them attends to. */
export interface Segment {
  readonly start: number;
  readonly size: number;
  /** The segment's nodes and their ancestors, ascending. */
  readonly keys: Int32Array;
}

/** What a segment costs on a device. */
export interface SegmentCosts {
  /** Most nodes: half of the scores of a long chain are masked; in pieces of this size only half of a piece's are. */
  readonly longest: number;
  /** Scores of one head that are computed in the time that a segment's operations take whatever their size. */
  readonly scores: number;
}

/** What the shape of a trie is read from. */
export type Links = { readonly [name in 'parents' | 'positions']: ArrayLike<number> };

/**
 * The nodes from `first` to before `last` of a trie in segments: what attention is computed over. A long chain is cut; branches, which
 * could be apart and cost nothing to each other, stand in one where the scores between them, masked away, cost less than one
 * more segment.
 */
export function segmentsOf(trie: Links, costs: SegmentCosts, first = 0, last = trie.parents.length): Segment[] {
  const segments: Segment[] = [];
  for (let start = first; start < last; ) {
    let end = start + 1;
    while (end < last && end - start < costs.longest && trie.parents[end] === end - 1) end++;
    const chain = { start, size: end - start, keys: pathTo(trie, end - 1) };
    const joined = segments.length === 0 ? null : joinedWith(segments.at(-1)!, chain, costs);
    if (joined) segments[segments.length - 1] = joined;
    else segments.push(chain);
    start = end;
  }
  return segments;
}

const scoresOf = ({ size, keys }: Segment): number => size * keys.length;

/** Two neighbours as one, if that is cheaper. */
function joinedWith(before: Segment, chain: Segment, costs: SegmentCosts): Segment | null {
  const size = before.size + chain.size;
  if (size > costs.longest) return null;
  const joined = { start: before.start, size, keys: Int32Array.from(new Set([...before.keys, ...chain.keys])).sort() };
  return scoresOf(joined) <= scoresOf(before) + scoresOf(chain) + costs.scores ? joined : null;
}

/**
 * What is added to a segment's attention scores: 0 where a node may look, at its ancestors and itself, a large negative number elsewhere.
 *
 * @returns (size, width); the first columns are the segment's keys
 */
export function causalMask({ parents }: Links, { start, size, keys }: Segment, width: number): Float32Array {
  const columns = new Map(Array.from(keys, (node, column) => [node, column]));
  const mask = new Float32Array(size * width).fill(-1e9);
  for (let row = 0; row < size; row++) {
    const parent = parents[start + row]!;
    if (parent >= start) mask.copyWithin(row * width, (parent - start) * width, (parent - start + 1) * width);
    else for (let at = parent; at >= 0; at = parents[at]!) mask[row * width + columns.get(at)!] = 0;
    mask[row * width + columns.get(start + row)!] = 0;
  }
  return mask;
}

/** Nodes from the root to a node, in order. */
export function pathTo({ parents, positions }: Links, node: number): Int32Array {
  const path = new Int32Array(positions[node]! + 1);
  for (let at = node, i = path.length - 1; at >= 0; at = parents[at]!, i--) path[i] = at;
  return path;
}

/** Sequences in groups of the same row, in order of first appearance; elements are indices. */
export const prefixGroupsOf = (sequences: readonly { readonly prefixGroup: string }[]): number[][] => [
  ...groupBy([...sequences.keys()], (i) => sequences[i]!.prefixGroup).values(),
];

/**
 * Rows gathered into micro-batches of at most `budget` trie nodes, in order; a row larger than the
 * budget is a micro-batch of its own.
 */
export function microBatches(rowSizes: readonly number[], budget: number): number[][] {
  const batches: number[][] = [];
  let room = 0;
  rowSizes.forEach((size, row) => {
    if (batches.length === 0 || size > room) {
      batches.push([]);
      room = budget;
    }
    batches[batches.length - 1]!.push(row);
    room -= size;
  });
  return batches;
}
