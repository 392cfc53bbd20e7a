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
export class GrowingTrie {
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
  const trie = new GrowingTrie();
  const predictors = sequences.map(({ promptIds, responseIds }, i) => {
    if (promptIds.length === 0 || responseIds.length === 0) {
      throw new RangeError(`sequence ${i} has ${promptIds.length} prompt and ${responseIds.length} response tokens, needs at least 1 of each`);
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

/** A run of nodes each of which is the next one's parent: it attends to one chain of ancestors and, causally, to itself. */
export interface Segment {
  readonly start: number;
  readonly size: number;
  /** Nodes that some node of the segment attends to, in order of depth: the ancestors, then the segment. */
  readonly keys: Int32Array;
}

/** Half of the scores of a long chain are masked; in pieces of this size only half of a piece's are. */
const LONGEST_SEGMENT = 128;

/** What the shape of a trie is read from. */
type Links = { readonly [name in 'parents' | 'positions']: ArrayLike<number> };

/** The nodes from `first` to before `last` of a trie as chains: what attention is computed over, so that branches cost nothing to each other. */
export function segmentsOf(trie: Links, first = 0, last = trie.parents.length): Segment[] {
  const segments: Segment[] = [];
  for (let start = first; start < last; ) {
    let end = start + 1;
    while (end < last && end - start < LONGEST_SEGMENT && trie.parents[end] === end - 1) end++;
    segments.push({ start, size: end - start, keys: pathTo(trie, end - 1) });
    start = end;
  }
  return segments;
}

/** What is added to a segment's attention scores: 0 where a node may look, a large negative number after it. (size, keys) */
export function causalMask({ size, keys }: Segment): Float32Array {
  const width = keys.length;
  const mask = new Float32Array(size * width);
  for (let i = 0; i < size; i++) mask.fill(-1e9, i * width + (width - size) + i + 1, (i + 1) * width);
  return mask;
}

/** Nodes from the root to a node, in order. */
export function pathTo({ parents, positions }: Links, node: number): Int32Array {
  const path = new Int32Array(positions[node]! + 1);
  for (let at = node, i = path.length - 1; at >= 0; at = parents[at]!, i--) path[i] = at;
  return path;
}

/** Sequences in groups of the same row, in order of first appearance; elements are indices. */
export const rowsOf = (sequences: readonly { readonly row: string }[]): number[][] => [
  ...groupBy([...sequences.keys()], (i) => sequences[i]!.row).values(),
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
