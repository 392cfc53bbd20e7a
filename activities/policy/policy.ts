import type { LoraConfig } from '../../schemas/train-config.js';
import type { Truncation } from './truncation.js';

export const PRECISIONS = ['fp32', 'bf16'] as const;
/**
 * Arithmetic of the large matrix products. Activations, sums, norms, softmax, queries, keys, the head, adapters and the
 * optimiser are fp32 in both. With bf16 the other weights are held in bfloat16 while they are frozen, half the
 * memory, and products with them round their factors and result to its 8 bits: about twice as fast where the device
 * has such units, slower where it has not.
 */
export type Precision = (typeof PRECISIONS)[number];

/** What identifies theta without its optimiser: enough to know whether a warm model already is it. */
export interface PolicyWeights {
  /** Model file, absolute on this worker, the hash it must have, and settings of its config.json that a person answers for. */
  readonly model: {
    readonly path: string;
    readonly sha256: string;
    readonly acceptSettings?: readonly string[] | undefined;
  };
  readonly lora: LoraConfig;
  /** Safetensors of adapters merged into the frozen weights, in order. */
  readonly mergedAdapters: readonly StoredTensors[];
  /** Safetensors of the trainable adapter; null is the zero adapter. */
  readonly adapter: StoredTensors | null;
  /** All weights are trained, and there is no adapter; left out, it is LoRA. */
  readonly full?: {
    /** theta itself; null is the model file with the merged adapters. */
    readonly weights: StoredParts | null;
    /** Keep the frozen weights too, which log-probs of the reference need: a second copy. */
    readonly reference: boolean;
  };
}

/** Tensors of a whole model, a safetensors file per tensor group, in the model's order: no group is in memory with another. */
export interface StoredParts {
  parts(): Promise<readonly StoredTensors[]>;
}

/** Tensors by hash; `read` is called only if the policy does not hold them yet. */
export interface StoredTensors {
  readonly sha256: string;
  read(): Promise<Uint8Array>;
}

/** One response to sample. */
export interface SampleRequest {
  /** Requests of the same group share the prefixes of their prompts, which are computed once: e.g. the task id. */
  readonly prefixGroup: string;
  readonly promptIds: readonly number[];
  /**
   * Uniform random numbers of this response are a function of this key and the position only,
   * e.g. `seed/iteration/task/sample/turn`.
   */
  readonly randomKey: string;
}

export interface SamplingOptions {
  readonly temperature: number;
  /** Longest response, the token that ends it included. */
  readonly maxResponseTokens: number;
  /** Left out: every token may be drawn, as training needs, whose log-probs are of the whole distribution. */
  readonly truncation?: Truncation;
  /**
   * Name of a play of episodes, never used for another one: what one call of it reads, the next does not read again, as long as
   * theta is the same. Results depend on the calls of the session so far; left out, on this call alone.
   */
  readonly session?: string;
}

export interface SampledResponse {
  /** Sampled ids, the token that ended the response included: the last one says which it was. */
  readonly ids: number[];
  /** log pi at the sampling temperature, nats, one per id. */
  readonly logProbs: number[];
  readonly end: 'end-of-turn' | 'token-limit';
}

/** A prompt with its response: the unit that log-probabilities and gradients are taken of. */
export interface TokenSequence {
  /** Sequences of the same group share prefixes and go through the model together, e.g. the task id. */
  readonly prefixGroup: string;
  readonly promptIds: readonly number[];
  readonly responseIds: readonly number[];
}

export interface ScoringOptions {
  readonly temperature: number;
  /** Token rows of the trie at once; bounds memory, does not change results beyond rounding. */
  readonly microBatchTokens: number;
}

/** A linear value head on the last hidden state: its weights, then its bias; no element is the zero head. */
export type ValueHeadWeights = readonly number[];

/** Of every response token: element [n][l]. */
export interface TokenMeasures {
  /** Entropy of the distribution that the token was drawn from, nats, at the temperature. */
  readonly entropies: readonly (readonly number[])[];
  /** V before the token; null without a value head. */
  readonly values: readonly (readonly number[])[] | null;
}

/** dLoss by what the policy computed for each response token; what is left out is 0. */
export interface TokenGradients {
  readonly logProbs: number[][];
  readonly entropies?: number[][];
  readonly values?: number[][];
}

/**
 * dLoss/dlogProb of every response token of the sequences at `indices`, given their log-probs:
 * element [n][l] for token l of sequence indices[n]; with the gradient by entropies and values if the loss has such terms. Called
 * per micro-batch, so the loss must be a sum over sequences; of a micro-batch that memory did not suffice for, again in halves. The policy knows nothing of objectives; this is where they enter.
 */
export type LossGradient = (
  indices: readonly number[],
  logProbs: readonly (readonly number[])[],
  measures: TokenMeasures,
) => number[][] | TokenGradients | Promise<number[][] | TokenGradients>;

export interface AdamWOptions {
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly maxGradientNorm: number | null;
}

export interface StepResult {
  /** L2 norm over all parameters before clipping. */
  readonly gradientNorm: number;
  /** Log-probs before the step, nats, shaped like the sequences' responses. */
  readonly logProbs: number[][];
  /** dLoss by the weights of the value head and its bias; null without one. */
  readonly valueHeadGradient: number[] | null;
}

/** A gradient that is not applied yet. */
export interface LossGradients extends Pick<StepResult, 'valueHeadGradient'> {
  /** Safetensors in the adapter's layout. */
  readonly gradient: Uint8Array;
}

export interface TrainedTensors {
  /** Safetensors, fp32: the trainable adapter. */
  readonly adapter: Uint8Array;
  /** Safetensors, fp32: AdamW's moments. */
  readonly moments: Uint8Array;
}

/** A tensor group of full training: the embedding, a layer, or the final norm with the head. */
export interface TrainedGroup {
  /** Safetensors, fp32, by their names in a file of transformers. */
  readonly weights: Uint8Array;
  /** Safetensors, fp32: AdamW's moments of the same tensors. */
  readonly moments: Uint8Array;
  /** How many groups there are. */
  readonly groups: number;
}

/** Progress of a long call; throwing from it aborts the call between two tensor operations. */
export type OnProgress = (progress: PolicyProgress) => void | Promise<void>;
export interface PolicyProgress {
  readonly phase: 'download' | 'load' | 'prefill' | 'decode' | 'score' | 'gradient' | 'step';
  readonly done: number;
  readonly of: number;
}

export interface DeviceReport {
  /** Of the processor or the accelerator, and of the library: what results depend on, by rounding. */
  readonly name: string;
  readonly library: string;
  readonly isProcessor: boolean;
  /** Live tensors; flat between activities. */
  readonly tensors: number;
  /** Bytes they hold. */
  readonly tensorBytes: number;
  readonly residentBytes: number;
  /** Processor or GPU and library, e.g. `cpu AMD EPYC, libtensorflow 2.21.0, oneDNN on, 2 threads`. */
  readonly device: string;
}

/**
 * A language model on a device. Warm weights are a cache addressed by hash: every call names the
 * weights it wants and gets them, whatever was there before.
 */
export interface Policy {
  /** Makes theta these weights; milliseconds if they are held already. */
  use(weights: PolicyWeights, onProgress?: OnProgress): Promise<void>;
  /** Makes AdamW's moments these, after `stepsTaken` steps; null is zero. */
  useMoments(moments: StoredTensors | StoredParts | null, stepsTaken: number): Promise<void>;
  /** Samples one response per request from theta. */
  sample(
    requests: readonly SampleRequest[],
    options: SamplingOptions,
    onProgress?: OnProgress,
  ): Promise<SampledResponse[]>;
  /** Log-probs of every response token under theta, or under the frozen weights alone. Nats, at the temperature. */
  logProbs(
    sequences: readonly TokenSequence[],
    options: ScoringOptions & { readonly weights: 'current' | 'reference' },
    onProgress?: OnProgress,
  ): Promise<number[][]>;
  /** V before every response token, by a value head on the last hidden state of theta. */
  values(
    sequences: readonly TokenSequence[],
    valueHead: ValueHeadWeights,
    options: Pick<ScoringOptions, 'microBatchTokens'>,
    onProgress?: OnProgress,
  ): Promise<number[][]>;
  /**
   * One AdamW step on the loss whose gradient with respect to the log-probs is given. The value head, if there is one,
   * is the caller's to step: its gradient is returned.
   */
  step(
    sequences: readonly TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & AdamWOptions & { readonly valueHead?: ValueHeadWeights },
    onProgress?: OnProgress,
  ): Promise<StepResult>;
  /** The gradient of that loss by the trainable parameters, and by the value head, without a step. */
  gradient(
    sequences: readonly TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & { readonly valueHead?: ValueHeadWeights },
    onProgress?: OnProgress,
  ): Promise<LossGradients>;
  /** One AdamW step along the sum of such gradients, added in the order given. */
  applyGradient(gradients: readonly StoredTensors[], options: AdamWOptions): Promise<Pick<StepResult, 'gradientNorm'>>;
  /** The state after the steps so far, to be stored. @throws if all weights are trained */
  trained(): Promise<TrainedTensors>;
  /** The same of full training, one group after the other from 0. */
  trainedGroup(group: number): Promise<TrainedGroup>;
  device(): Promise<DeviceReport>;
}

/** What a chat template is given besides the messages. */
export interface RenderOptions {
  /** Whether the text ends with the beginning of an answer. */
  readonly generationPrompt: boolean;
  /** Variables of the chat template besides the messages, as `enable_thinking` or `tools`; whole numbers are ints. */
  readonly templateArguments?: Readonly<Record<string, unknown>> | undefined;
  /** What strftime_now shows: a wall clock without its zone, `2026-11-28T15:30:00`; this machine's if left out. */
  readonly now?: string | undefined;
}

/** Text to ids and back by the model's own files; cheap, needs no device. */
export interface TextCodec {
  /** Ids of a text; tokens that it spells out, as `<|im_end|>`, are those tokens unless the spelling is quoted. */
  encode(text: string): number[];
  /**
   * The same text for `encode`, which then reads spellings of tokens in it as plain text: of control tokens, or of all
   * added tokens (`<tool_call>` and the like too). Templates may be rendered with quoted texts.
   */
  quote(text: string, tokens: 'control' | 'added'): string;
  decode(ids: readonly number[]): string;
  /** The token that turns are closed with, e.g. `<|im_end|>`. */
  readonly endOfTurn: { readonly id: number; readonly text: string };
  /** All tokens that end a response, id to text: that one, and e.g. `<|endoftext|>`. */
  readonly ends: ReadonlyMap<number, string>;
  /** What was concluded about ends that no file of the model says, for a person; null if nothing was. */
  readonly endRemark: string | null;
  /**
   * Renders a conversation by the model's chat template.
   * @throws {ModelFileInvalid} if the template raises, or the model has none
   */
  render(messages: readonly { role: string; content: string }[], options: RenderOptions): string;
  /** Names that the chat template asks for, `strftime_now` among them where it writes the date. */
  readonly templateReads?: ReadonlySet<string>;
  readonly contextLength: number;
  readonly vocabularySize: number;
}
