import { createRequire } from 'node:module';
import type { Ops, Sizes } from './ops.js';

// TensorFlow's own messages as its Node package brings them; they have no type declarations.
const { NodeDef, AttrValue, Tensor, TensorShape, GraphDef, MetaGraphDef, SavedModel, VersionDef } = createRequire(
  import.meta.url,
)('@tensorflow/tfjs-node-gpu/dist/proto/api_pb.js') as Record<
  string,
  (new () => Message) & Record<string, new () => Message>
>;
/** Setters by field name, and `serializeBinary`. */
type Message = Record<string, (...values: unknown[]) => never>;

/** TensorFlow's numbers of element types. */
export const DT_FLOAT = 1;
export const DT_INT32 = 3;
export const DT_BFLOAT16 = 14;
export type ElementType = typeof DT_FLOAT | typeof DT_INT32 | typeof DT_BFLOAT16;

const made = (of: new () => Message, fields: Record<string, unknown>): Message => {
  const message = new of();
  for (const [field, value] of Object.entries(fields)) message[`set${field}`]!(value);
  return message;
};
const typeAttribute = (type: ElementType): Message => made(AttrValue!, { Type: type });
const boolAttribute = (value: boolean): Message => made(AttrValue!, { B: value });
const intAttribute = (value: number): Message => made(AttrValue!, { I: value });
const shapeOf = (sizes: readonly number[]): Message =>
  made(TensorShape!, { DimList: sizes.map((size) => made(TensorShape!['Dim']!, { Size: size })) });

/** The GraphDef version that the operations are written for: libraries of at least this version read them so. */
const PRODUCER = 1882;

/**
 * Builds a TensorFlow graph, operation by operation; a value is the name of the node's output that holds it. Floats are
 * fp32, except weights that were declared as bfloat16.
 */
export class GraphBuilder implements Ops<string> {
  readonly #nodes: Message[] = [];
  readonly #constants = new Map<string, string>();
  readonly #narrow = new Set<string>();

  /** What is fed with each run. */
  placeholder(name: string, type: ElementType): string {
    if (type === DT_BFLOAT16) this.#narrow.add(name);
    return this.#node(
      'Placeholder',
      [],
      { dtype: typeAttribute(type), shape: made(AttrValue!, { Shape: made(TensorShape!, { UnknownRank: true }) }) },
      name,
    );
  }

  add = (a: string, b: string | number): string => this.#float('AddV2', [a, this.#value(b)]);
  mul = (a: string, b: string | number): string => this.#float('Mul', [a, this.#value(b)]);
  neg = (x: string): string => this.#float('Neg', [x]);
  square = (x: string): string => this.#float('Square', [x]);
  rsqrt = (x: string): string => this.#float('Rsqrt', [x]);
  sigmoid = (x: string): string => this.#float('Sigmoid', [x]);
  softmax = (x: string): string => this.#float('Softmax', [x]);
  mean = (x: string): string =>
    this.#float('Mean', [x, this.#integers([-1])], { keep_dims: boolAttribute(true), Tidx: typeAttribute(DT_INT32) });

  linear = (x: string, weight: string): string => {
    const product = (of: string, type: ElementType): string =>
      this.#node('MatMul', [of, weight], {
        T: typeAttribute(type),
        transpose_a: boolAttribute(false),
        transpose_b: boolAttribute(true),
      });
    return this.#narrow.has(weight)
      ? this.#cast(product(this.#cast(x, DT_FLOAT, DT_BFLOAT16), DT_BFLOAT16), DT_BFLOAT16, DT_FLOAT)
      : product(x, DT_FLOAT);
  };

  matMul = (a: string, b: string, exchangeB: boolean): string =>
    this.#float('BatchMatMulV2', [a, b], { adj_x: boolAttribute(false), adj_y: boolAttribute(exchangeB) });

  gather = (x: string, indices: string, axis: number): string =>
    this.#node('GatherV2', [x, indices, this.#integer(axis)], {
      Tparams: typeAttribute(DT_FLOAT),
      Tindices: typeAttribute(DT_INT32),
      Taxis: typeAttribute(DT_INT32),
      batch_dims: intAttribute(0),
    });

  transpose = (x: string, permutation: readonly number[]): string =>
    this.#float('Transpose', [x, this.#integers(permutation)], { Tperm: typeAttribute(DT_INT32) });

  concat = (parts: readonly string[], axis: number): string =>
    this.#float('ConcatV2', [...parts, this.#integer(axis)], {
      N: intAttribute(parts.length),
      Tidx: typeAttribute(DT_INT32),
    });

  reshape = (x: string, shape: Sizes<string>): string =>
    this.#float('Reshape', [x, this.#sizes(shape)], { Tshape: typeAttribute(DT_INT32) });

  split = (x: string, sizes: Sizes<string>, axis: number, count: number): string[] => {
    const name = this.#float('SplitV', [x, this.#sizes(sizes), this.#integer(axis)], {
      num_split: intAttribute(count),
      Tlen: typeAttribute(DT_INT32),
    });
    return Array.from({ length: count }, (_, i) => `${name}:${i}`);
  };

  /** The file `saved_model.pb` of a SavedModel with the tag `serve`; it needs nothing beside it. */
  serialized(): Uint8Array {
    const graph = made(GraphDef!, { NodeList: this.#nodes, Versions: made(VersionDef!, { Producer: PRODUCER }) });
    const metaGraph = made(MetaGraphDef!, {
      GraphDef: graph,
      MetaInfoDef: made(MetaGraphDef!['MetaInfoDef']!, { TagsList: ['serve'] }),
    });
    return made(SavedModel!, { SavedModelSchemaVersion: 1, MetaGraphsList: [metaGraph] })['serializeBinary']!();
  }

  #node(
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Message>,
    name = `${op}_${this.#nodes.length}`,
  ): string {
    const node = made(NodeDef!, { Name: name, Op: op, InputList: [...inputs] });
    const map = node['getAttrMap']!() as unknown as Map<string, Message>;
    for (const [attribute, value] of Object.entries(attributes)) map.set(attribute, value);
    this.#nodes.push(node);
    return name;
  }

  #float(op: string, inputs: readonly string[], attributes: Record<string, Message> = {}): string {
    return this.#node(op, inputs, { T: typeAttribute(DT_FLOAT), ...attributes });
  }

  #cast(x: string, from: ElementType, to: ElementType): string {
    return this.#node('Cast', [x], {
      SrcT: typeAttribute(from),
      DstT: typeAttribute(to),
      Truncate: boolAttribute(false),
    });
  }

  #value(x: string | number): string {
    return typeof x === 'string' ? x : this.#constant(DT_FLOAT, [], { FloatValList: [x] });
  }

  #integer(value: number): string {
    return this.#constant(DT_INT32, [], { IntValList: [value] });
  }

  #integers(values: readonly number[]): string {
    return this.#constant(DT_INT32, [values.length], { IntValList: [...values] });
  }

  #sizes(sizes: Sizes<string>): string {
    return typeof sizes === 'string' ? sizes : this.#integers(sizes);
  }

  #constant(type: ElementType, sizes: readonly number[], values: Record<string, readonly number[]>): string {
    const key = JSON.stringify([type, sizes, values]);
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const tensor = made(Tensor!, { Dtype: type, TensorShape: shapeOf(sizes), ...values });
    const name = this.#node('Const', [], { dtype: typeAttribute(type), value: made(AttrValue!, { Tensor: tensor }) });
    this.#constants.set(key, name);
    return name;
  }
}
