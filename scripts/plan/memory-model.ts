import { adapterLayout } from '../../activities/policy/lora.js';
import {
  moduleNames,
  moduleShape,
  bf16Modules,
  type ModelShape,
  type ModuleName,
} from '../../activities/policy/model-config.js';
import type { Precision } from '../../activities/policy/policy.js';
import type { TrainConfig } from '../../schemas/train-config.js';

/** How long texts are, in tokens: what a configuration does not say. */
export interface Lengths {
  /** Before the first response; the same for all samples of a task. */
  readonly prompt: number;
  /** Between two responses: the environment's answer with the template around it. */
  readonly observation: number;
}

/** Bytes of what is alive at the same time, in one phase of an iteration. */
export interface Phase {
  readonly name: 'sampling' | 'update';
  readonly parts: Readonly<Record<string, number>>;
  readonly total: number;
}
export interface MemoryPlan {
  readonly parameters: number;
  readonly longestSequence: number;
  /** Trie nodes of the largest micro-batch. */
  readonly microBatchNodes: number;
  readonly phases: readonly Phase[];
  readonly peak: number;
}

const FLOAT = 4;
const BFLOAT = 2;
/**
 * Node and libtensorflow before any tensor, and working memory of kernels and allocator as a share of
 * activations: both measured on SmolLM2-135M on a CPU (test/scripts/memory-model.test.ts).
 */
const PROCESS_BYTES = 0.46 * 2 ** 30;
const WORKING_SHARE = 0.25;

/**
 * Memory of the policy engine as it is: frozen weights (with bf16 mostly half as large), a fused second copy for decoding,
 * adapter or trained weights, moments, KV cache while sampling, saved activations of one micro-batch while updating.
 * The decoding copy stays until the first optimiser step, so that both phases hold it.
 */
export function memoryPlan(
  model: ModelShape,
  config: TrainConfig,
  { prompt, observation }: Lengths,
  precision: Precision = 'fp32',
): MemoryPlan {
  const { hidden: H, feedForward: F, heads: Q, keyValueHeads: K, headDimension: D, layers, vocabulary: V } = model;
  const { groupSize: G, maxResponseTokens: L, maxTurns: T, tasksPerIteration, tasksPerShard } = config.rollout;
  const size = ([rows, columns]: readonly [number, number]): number => rows * columns;
  const sizeOf = (names: readonly ModuleName[]): number =>
    layers * names.reduce((sum, module) => sum + size(moduleShape(model, module)), 0);
  const modules = sizeOf(moduleNames);
  const embeddings = V * H * (model.tiedEmbeddings ? 1 : 2);
  const biases = model.biases.reduce((sum, module) => sum + moduleShape(model, module)[0], 0);
  const parameters = embeddings + modules + layers * (2 * H + biases + (model.queryKeyNorm ? 2 * D : 0)) + H;
  const full = config.training === 'full';
  const trained = full ? parameters : adapterLayout(model, config.lora).parameters;
  // Full training keeps the weights it began with only where the divergence from them is asked for.
  const frozen = full && config.algorithm.klCoefficient === 0 ? 0 : parameters;
  const bf16 = precision === 'bf16';
  // Of what is trained in full the products see a rounded copy; of frozen weights it is all there is.
  const narrow = bf16 ? sizeOf(bf16Modules) : 0;
  const frozenBytes = FLOAT * frozen - (full ? 0 : (FLOAT - BFLOAT) * narrow);
  // decode-weights.ts: queries, keys and values as one fp32 matrix, gate and up as one of their own type.
  const fusedBytes =
    FLOAT * sizeOf(['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']) +
    (bf16 ? BFLOAT : FLOAT) * sizeOf(['mlp.gate_proj', 'mlp.up_proj']);
  // An adapter is merged into a copy of fp32 weights; beside bf16 ones it stays as it is.
  const decodeBytes = fusedBytes + (full || bf16 ? 0 : FLOAT * modules);

  // The last turn's pool is the largest: samples of a task share the prompt and then go their ways.
  const lastPrompt = Math.min(
    prompt + (T - 1) * (L + observation),
    Math.max(prompt, config.rollout.maxPromptTokens ?? Infinity),
  );
  const own = lastPrompt - prompt + L - 1;
  const longest = prompt + own + 1;
  const row = prompt + G * own;
  const tasks = Math.ceil((tasksPerIteration ?? tasksPerShard) / config.algorithm.minibatches);
  // A task's samples go through together, even if they are more than microBatchTokens.
  const rows = Math.max(1, Math.min(tasks, Math.floor(config.microBatchTokens / row)));
  const nodes = rows * row;

  // transformer.ts, SavedLayer: what the backward pass needs.
  // Inputs of linear layers are kept as the products see them; attention's output rounded and not.
  const inputs = bf16 ? (BFLOAT / FLOAT) * (2 * H + Q * D + F) : 2 * H + F;
  const perNode =
    2 * H +
    2 +
    (2 * K + 2 * Q) * D +
    3 * F +
    inputs +
    (full ? 0 : moduleNames.length * config.lora.rank) +
    (model.queryKeyNorm ? (Q + K) * (D + 1) : 0);
  const probabilities = rows * Q * (prompt * prompt + G * own * (prompt + own));
  const responseNodes = rows * (G * (L - 1) + (T === 1 ? 1 : G));
  const activations = FLOAT * (layers * (nodes * perNode + probabilities) + responseNodes * V);

  const requests = G * tasksPerShard;
  // Every distinct prefix once in the store, and what decoding took of it: a task's first prompt once, the rest for each request; and the tails.
  const stored = tasksPerShard * (prompt + G * (own + 1));
  const taken = tasksPerShard * prompt + requests * (longest - L - prompt);
  const cache = FLOAT * 2 * K * D * layers * (stored + taken + requests * L);
  const standing = {
    process: PROCESS_BYTES,
    'frozen weights': frozenBytes,
    'weights for decoding': decodeBytes,
    ...(full && bf16 ? { 'rounded weights': BFLOAT * narrow } : {}),
    [full ? 'trained weights' : 'adapter']: FLOAT * trained,
  };
  const phases = [
    phase('sampling', {
      ...standing,
      'AdamW moments': FLOAT * 2 * trained,
      'KV cache': cache,
      logits: FLOAT * 3 * requests * V,
    }),
    phase('update', {
      ...standing,
      'AdamW moments': FLOAT * 2 * trained,
      gradients: FLOAT * 2 * trained,
      activations,
      'working memory': WORKING_SHARE * activations,
    }),
  ];
  return {
    parameters,
    longestSequence: longest,
    microBatchNodes: nodes,
    phases,
    peak: Math.max(...phases.map(({ total }) => total)),
  };
}

const phase = (name: Phase['name'], parts: Record<string, number>): Phase => ({
  name,
  parts,
  total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0),
});

/** What to change, most effective first, each with the peak that it would give; only what helps. */
export function remedies(
  model: ModelShape,
  config: TrainConfig,
  lengths: Lengths,
  capacity: number,
  precision: Precision = 'fp32',
): { change: string; peak: number }[] {
  const { rollout } = config;
  const half = (n: number): number => Math.max(1, Math.ceil(n / 2));
  const withRollout = (change: Partial<TrainConfig['rollout']>): TrainConfig => ({
    ...config,
    rollout: { ...rollout, ...change },
  });
  const variants: [string, TrainConfig, Lengths][] = [
    [
      `microBatchTokens ${config.microBatchTokens} -> ${half(config.microBatchTokens)}`,
      { ...config, microBatchTokens: half(config.microBatchTokens) },
      lengths,
    ],
    [
      `rollout.tasksPerShard ${rollout.tasksPerShard} -> ${half(rollout.tasksPerShard)}`,
      withRollout({ tasksPerShard: half(rollout.tasksPerShard) }),
      lengths,
    ],
    [
      `rollout.groupSize ${rollout.groupSize} -> ${Math.max(2, half(rollout.groupSize))}`,
      withRollout({ groupSize: Math.max(2, half(rollout.groupSize)) }),
      lengths,
    ],
    [
      `rollout.maxResponseTokens ${rollout.maxResponseTokens} -> ${half(rollout.maxResponseTokens)}`,
      withRollout({ maxResponseTokens: half(rollout.maxResponseTokens) }),
      lengths,
    ],
    [
      `rollout.maxTurns ${rollout.maxTurns} -> ${half(rollout.maxTurns)}`,
      withRollout({ maxTurns: half(rollout.maxTurns) }),
      lengths,
    ],
    [
      `a prompt of ${lengths.prompt} -> ${half(lengths.prompt)} tokens`,
      config,
      { ...lengths, prompt: half(lengths.prompt) },
    ],
  ];
  const before = memoryPlan(model, config, lengths, precision).peak;
  if (before <= capacity) return [];
  return [
    ...variants.map(([change, changed, given]) => ({
      change,
      peak: memoryPlan(model, changed, given, precision).peak,
    })),
    ...(precision === 'fp32'
      ? [{ change: 'SEEUPO_PRECISION fp32 -> bf16', peak: memoryPlan(model, config, lengths, 'bf16').peak }]
      : []),
  ]
    .filter(({ peak }) => peak < 0.99 * before)
    .sort((a, b) => a.peak - b.peak);
}
