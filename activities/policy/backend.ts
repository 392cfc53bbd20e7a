/**
 * The only import of TensorFlow. The same code runs on a CPU or a GPU: only the libtensorflow that
 * scripts/setup put under @tensorflow/tfjs-node-gpu differs.
 */
import util from 'node:util';

// Without oneDNN, softmax and matmul on x86 are markedly slower; it must be set before the library loads.
process.env['TF_ENABLE_ONEDNN_OPTS'] ??= '1';
process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
// On NVIDIA cards TensorFlow multiplies fp32 in 10 bits of mantissa unless told otherwise.
process.env['NVIDIA_TF32_OVERRIDE'] ??= '0';
// There, sums over segments would add in whatever order their threads come: seen on an H100 with shared prefixes.
process.env['TF_DETERMINISTIC_OPS'] ??= '1';

// The package calls two functions that Node 23 removed from node:util and Node 22 warns of
// (tensorflow/tfjs#8609, open): both get a successor of the same meaning before it loads.
Object.assign(util, { isNullOrUndefined: (value: unknown) => value == null, isArray: Array.isArray });

const { default: tf } = await import('@tensorflow/tfjs-node-gpu');
tf.env().set('PROD', true);
await tf.ready();

export { tf };
export type Tensor = import('@tensorflow/tfjs-node-gpu').Tensor;

interface NativeAttribute {
  name: string;
  type: number;
  value: unknown;
}
interface NativeTensor {
  id: number;
  shape: number[];
  dtype: number;
}
interface NativeBackend {
  binding: {
    TF_ATTR_TYPE: number;
    TF_ATTR_STRING: number;
    TF_ATTR_BOOL: number;
    TF_FLOAT: number;
    TF_Version?: string;
    executeOp(name: string, attributes: NativeAttribute[], inputs: number[], outputs: number): NativeTensor[];
    deleteTensor(id: number): void;
    loadSavedModel(folder: string, tags: string): number;
    runSavedModel(session: number, inputs: number[], names: string, outputs: string): NativeTensor[];
    deleteSavedModel(session: number): void;
  };
  readonly isUsingGpuDevice: boolean;
  getInputTensorIds(tensors: Tensor[]): number[];
  createOutputTensor(native: NativeTensor): Tensor;
  /** Runs any TensorFlow operation; the result is tracked by the scope like every other tensor. */
  executeSingleOutput(name: string, attributes: NativeAttribute[], inputs: Tensor[]): Tensor;
}
const native = tf.backend() as unknown as NativeBackend;

/** Tensors lie in host memory, so that what is fed to a graph is not copied. */
export const isOnProcessor = !native.isUsingGpuDevice;

/**
 * Softmax over the last axis. On a CPU the oneDNN kernel, 1.6 to 3.5 times as fast as the one behind
 * `tf.softmax`; elsewhere `tf.softmax` itself.
 */
export const softmaxLastAxis: (x: Tensor) => Tensor = (() => {
  // A library for GPUs has the oneDNN kernel too, and would take every score to the processor and back.
  if (!isOnProcessor) return (x) => tf.softmax(x);
  const { TF_ATTR_TYPE, TF_ATTR_STRING, TF_FLOAT } = native.binding;
  const attributes = [
    { name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT },
    { name: '_kernel', type: TF_ATTR_STRING, value: 'MklNameChangeOp' },
  ];
  const fused = (x: Tensor): Tensor => native.executeSingleOutput('_MklSoftmax', attributes, [x]);
  try {
    tf.tidy(() => void fused(tf.tensor2d([[0, 1]])).dataSync());
    return fused;
  } catch {
    // No oneDNN kernel in this library (another processor): the plain op computes the same.
    return (x) => tf.softmax(x);
  }
})();

/** TensorFlow's number of bfloat16, which tfjs has no name for. */
const TF_BFLOAT16 = 14;
const rounded = new WeakSet<Tensor>();

const typeAttribute = (name: string, value: number): NativeAttribute => ({
  name,
  type: native.binding.TF_ATTR_TYPE,
  value,
});
const boolAttribute = (name: string, value: boolean): NativeAttribute => ({
  name,
  type: native.binding.TF_ATTR_BOOL,
  value,
});

const castAttributes = (from: number, to: number): NativeAttribute[] => [
  typeAttribute('SrcT', from),
  typeAttribute('DstT', to),
  boolAttribute('Truncate', false),
];
const matMulAttributes = (type: number, transposeA: boolean, transposeB: boolean): NativeAttribute[] => [
  typeAttribute('T', type),
  boolAttribute('transpose_a', transposeA),
  boolAttribute('transpose_b', transposeB),
];
const castOf = (id: number, from: number, to: number): NativeTensor =>
  native.binding.executeOp('Cast', castAttributes(from, to), [id], 1)[0]!;
const idOf = (x: Tensor): number => native.getInputTensorIds([x])[0]!;

/**
 * A copy of a matrix in bfloat16, half the bytes. To tfjs it looks like an fp32 tensor, so that scopes and
 * disposal know it (and tf.memory() counts it double); only `product` and `widened` can read it: TensorFlow
 * itself refuses every other operation on it.
 */
export function castToBf16(x: Tensor): Tensor {
  const { TF_FLOAT } = native.binding;
  const tensor = native.createOutputTensor({ ...castOf(idOf(x), TF_FLOAT, TF_BFLOAT16), dtype: TF_FLOAT });
  rounded.add(tensor);
  return tensor;
}
export const isBf16 = (x: Tensor): boolean => rounded.has(x);
/** A matrix of either kind in bfloat16; the same tensor if it is. */
export const toBf16 = (x: Tensor): Tensor => (isBf16(x) ? x : castToBf16(x));

/** The fp32 values of a matrix of either kind; a new tensor for bf16, the same one otherwise. */
export function toFp32(x: Tensor): Tensor {
  return isBf16(x) ? native.createOutputTensor(castOf(idOf(x), TF_BFLOAT16, native.binding.TF_FLOAT)) : x;
}

/**
 * Product of two fp32 matrices. `tf.matMul` would run it as a batch of one, for which oneDNN keeps a kernel of each shape, up to a
 * thousand in each thread: 330 MB.
 */
export function matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return native.executeSingleOutput('MatMul', matMulAttributes(native.binding.TF_FLOAT, transposeA, transposeB), [
    a,
    b,
  ]);
}

/**
 * oneDNN's batched product keeps a kernel of every shape that it has met, 0.4 MB each and up to a thousand in each thread, and costs
 * its look-up; Eigen's keeps nothing, and multiplies large matrices at two thirds of the speed. Multiplications below which it is used.
 */
const SMALL_PRODUCT = 1_500_000;

/** Products of matrices in pairs, the last two axes, fp32: (batch, m, k), (batch, k, n) -> (batch, m, n), before transposing. */
export function batchMatMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const { TF_FLOAT } = native.binding;
  const exchanged = [boolAttribute('adj_x', transposeA), boolAttribute('adj_y', transposeB)];
  const multiplications = a.size * b.shape.at(transposeB ? -2 : -1)!;
  // The third version of the operation is the same and has only the one kernel.
  return isOnProcessor && multiplications < SMALL_PRODUCT
    ? native.executeSingleOutput(
        'BatchMatMulV3',
        [...['Ta', 'Tb', 'Tout'].map((name) => typeAttribute(name, TF_FLOAT)), ...exchanged],
        [a, b],
      )
    : native.executeSingleOutput('BatchMatMulV2', [typeAttribute('T', TF_FLOAT), ...exchanged], [a, b]);
}

/**
 * Matrix product with a weight, fp32 in and out. If the weight is bfloat16, the other factor and the result
 * are rounded to it, and the sums within the product are the kernel's, in fp32, as PyTorch's autocast does.
 */
export function matMulMixed(a: Tensor, weight: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  if (!isBf16(weight)) return matMul(a, weight, transposeA, transposeB);
  const { TF_FLOAT } = native.binding;
  const passing: number[] = [];
  const passed = (id: number): number => {
    passing.push(id);
    return id;
  };
  try {
    const left = isBf16(a) ? idOf(a) : passed(castOf(idOf(a), TF_FLOAT, TF_BFLOAT16).id);
    const result = passed(
      native.binding.executeOp(
        'MatMul',
        matMulAttributes(TF_BFLOAT16, transposeA, transposeB),
        [left, idOf(weight)],
        1,
      )[0]!.id,
    );
    return native.createOutputTensor(castOf(result, TF_BFLOAT16, TF_FLOAT));
  } finally {
    passing.forEach((id) => native.binding.deleteTensor(id));
  }
}

export interface Graph {
  /** @param names, outputs  of nodes, with commas between them; tensors are fed in the order of the names */
  run(names: string, tensors: readonly Tensor[], outputs: string): Tensor[];
  close(): void;
}

/** Loads the SavedModel in a folder, which may be deleted afterwards. @throws {Error} TensorFlow's, if it refuses the graph */
export function loadGraph(folder: string): Graph {
  const session = native.binding.loadSavedModel(folder, 'serve');
  return {
    run: (names, tensors, outputs) =>
      native.binding
        .runSavedModel(session, native.getInputTensorIds([...tensors]), names, outputs)
        .map((tensor) => native.createOutputTensor(tensor)),
    close: () => native.binding.deleteSavedModel(session),
  };
}

export const tensorflowVersion = (): string => native.binding.TF_Version ?? 'unknown version';
