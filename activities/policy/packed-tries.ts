import { isOnProcessor, tf, type Tensor } from './backend.js';
import type { ModelShape } from './model-config.js';
import { rotaryFrequencies } from './rope.js';
import {
  causalMask,
  segmentsOf,
  type PrefixTrie,
  type Links,
  type Segment,
  type SegmentCosts,
  type TokenTrie,
} from './trie.js';

/** Chosen from what an operation costs on a core of a Zen 4, and on an H100: 40 microseconds before it computes anything. */
const COSTS: SegmentCosts = isOnProcessor ? { longest: 128, scores: 4096 } : { longest: 1024, scores: 1_000_000 };

export interface PackedSegment {
  readonly start: number;
  readonly size: number;
  /** Nodes that are attended to; after them, to fill the width up, one of them again, which the mask hides. */
  readonly keys: Tensor; // (width) int32
  readonly width: number;
  readonly mask: Tensor; // (size, width)
}

/** Tries of a micro-batch on the device, one after another. */
export interface PackedTries {
  readonly tokens: Tensor; // (N) int32
  readonly cos: Tensor; // (N, 1, D)
  readonly sin: Tensor; // (N, 1, D)
  /** First node of each trie. */
  readonly starts: readonly number[];
  /** One after another: together they are all nodes. */
  readonly segments: readonly PackedSegment[];
  /** The keys of all segments in a row: where gradients of keys and values are summed to. */
  readonly allKeys: Tensor; // int32
}

/** Rotary tables for positions: cos and sin of position x frequency (plain: base^(-2i/D)), the D/2 angles repeated for both halves. (N, 1, D) each */
export function rotaryTables(
  config: ModelShape,
  positions: readonly number[] | Int32Array,
): { cos: Tensor; sin: Tensor } {
  const D = config.headDimension;
  const cos = new Float32Array(positions.length * D);
  const sin = new Float32Array(positions.length * D);
  const { frequencies, magnitude } = rotaryFrequencies(config);
  frequencies.forEach((frequency, i) => {
    for (let n = 0; n < positions.length; n++) {
      const angle = positions[n]! * frequency;
      cos[n * D + i] = cos[n * D + D / 2 + i] = magnitude * Math.cos(angle);
      sin[n * D + i] = sin[n * D + D / 2 + i] = magnitude * Math.sin(angle);
    }
  });
  const shape: [number, number, number] = [positions.length, 1, D];
  return { cos: tf.tensor3d(cos, shape), sin: tf.tensor3d(sin, shape) };
}

/** The nodes of a growing trie from `first` to before `last`, whose segments' keys are any nodes of it. For a forward pass alone. */
export function packNodes(config: ModelShape, trie: PrefixTrie, first: number, last: number): PackedTries {
  const segments = segmentsOf(trie, COSTS, first, last).map((segment) => ({
    ...packSegment(trie, segment),
    start: segment.start - first,
  }));
  return {
    tokens: tf.tensor1d(trie.tokens.slice(first, last), 'int32'),
    ...rotaryTables(config, trie.positions.slice(first, last)),
    starts: [0],
    segments,
    allKeys: tf.tensor1d([], 'int32'),
  };
}

/**
 * Products run over widths that are multiples of this: oneDNN keeps kernels of every shape of a product that it has met, 0.4 MB each
 * and a thousand in each thread, and is at its best where a width fills its registers.
 */
const WIDTH_STEP = 16;
export const filledWidth = (nodes: number): number => WIDTH_STEP * Math.ceil(nodes / WIDTH_STEP);

function packSegment(trie: Links, segment: Segment): PackedSegment {
  const { start, size, keys } = segment;
  const width = filledWidth(keys.length);
  const filled = new Int32Array(width).fill(keys[0]!);
  filled.set(keys);
  return {
    start,
    size,
    keys: tf.tensor1d(filled, 'int32'),
    width,
    mask: tf.tensor2d(causalMask(trie, segment, width), [size, width]),
  };
}

export function packTries(config: ModelShape, tries: readonly TokenTrie[]): PackedTries {
  const starts: number[] = [];
  const tokens: number[] = [];
  const positions: number[] = [];
  const parents: number[] = [];
  for (const trie of tries) {
    const start = tokens.length;
    starts.push(start);
    trie.tokens.forEach((token, n) => {
      const parent = trie.parents[n]!;
      tokens.push(token);
      positions.push(trie.positions[n]!);
      parents.push(parent < 0 ? parent : start + parent);
    });
  }
  const forest = { parents, positions };
  const segments = segmentsOf(forest, COSTS).map((segment) => packSegment(forest, segment));
  return {
    tokens: tf.tensor1d(tokens, 'int32'),
    ...rotaryTables(config, positions),
    starts,
    segments,
    allKeys: tf.concat(segments.map(({ keys }) => keys)),
  };
}

export function disposePackedTries({ tokens, cos, sin, segments, allKeys }: PackedTries): void {
  tf.dispose([tokens, cos, sin, allKeys, ...segments.flatMap(({ keys, mask }) => [keys, mask])]);
}
