import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isBf16, loadGraph, tf, type Graph, type Tensor } from './backend.js';
import { decodeLayer, type CachePart, type DecodeFrame, type DecodeLayer, type LayerCache } from './decode-layer.js';
import { DT_BFLOAT16, DT_FLOAT, DT_INT32, GraphBuilder, type ElementType } from './graph-ops.js';
import type { ModelShape } from './model-config.js';

/** All that the layers of a decode step are computed from. */
export interface DecodeInputs<T> {
  readonly x: T; // (B, H)
  readonly layers: readonly DecodeLayer<T>[];
  readonly caches: readonly LayerCache<T>[];
  readonly frame: DecodeFrame<T>;
}

/**
 * The layers of a decode step as TensorFlow graphs, of which each run is one call: no operation goes through JavaScript. A graph
 * serves every batch and length of one kind of model; weights and caches are fed, which costs nothing where they lie in host
 * memory, and only there.
 */
export class DecodeGraphs {
  readonly #graphs = new Map<string, { graph: Graph; names: string; outputs: string }>();

  constructor(readonly config: ModelShape) {}

  run(inputs: DecodeInputs<Tensor>): { output: Tensor; tails: CachePart<Tensor>[] } {
    const leaves = leavesOf(inputs);
    const kind = leaves.map(({ place, type }) => `${place} ${type}`).join();
    let known = this.#graphs.get(kind);
    if (!known) this.#graphs.set(kind, (known = this.#build(inputs, leaves)));
    const passing: Tensor[] = [];
    const tensors = leaves.map(({ value }) => {
      if (!Array.isArray(value)) return value as Tensor;
      const sizes = tf.tensor1d(value as number[], 'int32');
      passing.push(sizes);
      return sizes;
    });
    try {
      const [output, ...tails] = known.graph.run(known.names, tensors, known.outputs);
      return {
        output: output!,
        tails: inputs.layers.map((_, l) => ({ keys: tails[2 * l]!, values: tails[2 * l + 1]! })),
      };
    } finally {
      tf.dispose(passing);
    }
  }

  dispose(): void {
    for (const { graph } of this.#graphs.values()) graph.close();
    this.#graphs.clear();
  }

  #build(inputs: DecodeInputs<Tensor>, leaves: readonly Leaf[]): { graph: Graph; names: string; outputs: string } {
    const builder = new GraphBuilder();
    let fed = 0;
    const { x, layers, caches, frame } = mapped(inputs, '', (_, type) =>
      builder.placeholder(nameOf(fed++), type),
    ) as DecodeInputs<string>;
    let output = x;
    const tails = layers.map((layer, l) => {
      const step = decodeLayer(builder, output, layer, caches[l]!, frame, this.config);
      output = step.output;
      return step.tail;
    });
    const folder = mkdtempSync(path.join(tmpdir(), 'seeupo-graph-'));
    try {
      writeFileSync(path.join(folder, 'saved_model.pb'), builder.serialized());
      const outputs = [output, ...tails.flatMap(({ keys, values }) => [keys, values])].join();
      return { graph: loadGraph(folder), names: leaves.map((_, i) => nameOf(i)).join(), outputs };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}

/** Short, because the binding takes room for all names together for each of them, every time. */
const nameOf = (fed: number): string => `i${fed}`;

interface Leaf {
  readonly place: string;
  readonly type: ElementType;
  readonly value: Tensor | readonly number[];
}

const isSizes = (node: unknown): node is readonly number[] =>
  Array.isArray(node) && node.every((element) => typeof element === 'number');
const isTensor = (node: unknown): node is Tensor => node instanceof tf.Tensor;
const typeOf = (node: Tensor | readonly number[]): ElementType =>
  !isTensor(node) || node.dtype === 'int32' ? DT_INT32 : isBf16(node) ? DT_BFLOAT16 : DT_FLOAT;

/** The same structure with something else for every tensor and list of sizes, in a fixed order, each given with its place. */
function mapped(
  node: unknown,
  place: string,
  of: (place: string, type: ElementType, value: Tensor | readonly number[]) => unknown,
): unknown {
  if (node === null) return null;
  if (isTensor(node) || isSizes(node)) return of(place, typeOf(node), node);
  const inner = (key: string | number, value: unknown): unknown => mapped(value, `${place}.${key}`, of);
  return Array.isArray(node)
    ? node.map((value, i) => inner(i, value))
    : Object.fromEntries(Object.entries(node as object).map(([key, value]) => [key, inner(key, value)]));
}

function leavesOf(inputs: DecodeInputs<Tensor>): Leaf[] {
  const leaves: Leaf[] = [];
  mapped(inputs, '', (place, type, value) => leaves.push({ place, type, value }));
  return leaves;
}
