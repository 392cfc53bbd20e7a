import { cpus } from 'node:os';
import { sha256 } from '../artifacts/canonical-json.js';
import { applyAdamW, type MomentTensors } from './adamw.js';
import { isOnProcessor, tensorflowVersion, tf, type Tensor } from './backend.js';
import { deviceName } from './device-name.js';
import { weightLayout } from './full-weights.js';
import { headForward, logitsOf } from './head.js';
import { LoadedModel } from './loaded-model.js';
import { batchesOf, checkIds, gradientOf, unflatten, withHidden } from './forward-backward.js';
import type {
  AdamWOptions,
  DeviceReport,
  LossGradient,
  LossGradients,
  OnProgress,
  Policy,
  PolicyWeights,
  Precision,
  SampledResponse,
  SampleRequest,
  SamplingOptions,
  ScoringOptions,
  StepResult,
  StoredParts,
  StoredTensors,
  TokenSequence,
  TrainedGroup,
  TrainedTensors,
  ValueHeadWeights,
} from './policy.js';
import { Sampler } from './sampler.js';
import type { OnSampled } from './sampling.js';
import { flatten, keyOf, namedValues, partsOf, readStored } from './stored-tensors.js';
import { valueHeadOf, valuesAt } from './value-head.js';
import { writeSafetensors, type NamedTensor } from './weights/safetensors.js';
import { splitOnOom } from './split-on-oom.js';

const nothing: OnProgress = () => undefined;

/** `Policy` on TensorFlow: one model, one adapter, synchronous kernels. Lives in a thread of its own (policy-thread.ts). */
export class TensorFlowPolicy implements Policy {
  constructor(readonly precision: Precision = 'fp32') {}

  #held: LoadedModel | null = null;
  readonly #sampler = new Sampler();
  #moments: MomentTensors | null = null;
  #stepsTaken = 0;
  #momentsKey: string | null = null;
  #namedGroups: [weights: string, moments: string][] = []; // groups that were asked for since the first

  async use(weights: PolicyWeights, onProgress: OnProgress = nothing): Promise<void> {
    const { full } = weights;
    const key = JSON.stringify([
      weights.model.sha256,
      weights.mergedAdapters.map(({ sha256 }) => sha256),
      full ? { reference: full.reference } : weights.lora,
    ]);
    const stored = full ? await partsOf(full.weights) : await partsOf(weights.adapter);
    const name = keyOf(stored);
    // The model file's own weights are asked for again, and are gone.
    const gone = this.#held !== null && this.#held.isWithoutFrozen && stored === null && this.#held.name !== name;
    if (this.#held?.key !== key || gone)
      this.#held = await LoadedModel.load(weights, key, this.precision, () => this.#unload(), onProgress);
    if (this.#held.name === name) return;
    this.#sampler.forget();
    await this.#held.takeStored(stored, name);
  }

  async useMoments(moments: StoredTensors | StoredParts | null, stepsTaken: number): Promise<void> {
    const stored = await partsOf(moments);
    const key = keyOf(stored);
    if (this.#momentsKey !== key) {
      const { parameters } = this.#held!.layout;
      const [first, second] =
        stored === null
          ? [tf.zeros([parameters]), tf.zeros([parameters])]
          : await this.#held!.read(stored, ['first.', 'second.']);
      this.#setMoments({ first: first!, second: second! });
      this.#momentsKey = key;
    }
    this.#stepsTaken = stepsTaken;
  }

  async sample(
    requests: readonly SampleRequest[],
    options: SamplingOptions & { onSampled?: OnSampled },
    onProgress: OnProgress = nothing,
  ): Promise<SampledResponse[]> {
    const { contextLength } = this.#held!.config;
    for (const { promptIds, randomKey } of requests) {
      if (promptIds.length + options.maxResponseTokens > contextLength) {
        throw new RangeError(
          `request ${randomKey}: prompt of ${promptIds.length} tokens and response of up to ${options.maxResponseTokens} exceed the model's context of ${contextLength}: ` +
            'shorten the prompt or lower rollout.maxResponseTokens',
        );
      }
    }
    if (requests.length === 0) return [];
    checkIds(
      requests.map(({ promptIds }) => promptIds),
      this.#held!.config,
    );
    return this.#sampler.sample(this.#held!, requests, options, onProgress);
  }

  async logProbs(
    sequences: readonly TokenSequence[],
    options: ScoringOptions & { readonly weights: 'current' | 'reference' },
    onProgress: OnProgress = nothing,
  ): Promise<number[][]> {
    const theta = this.#held!.theta(options.weights);
    try {
      const batches = batchesOf(sequences, this.#held!.config, options.microBatchTokens);
      const result: number[][] = sequences.map(() => []);
      await splitOnOom(sequences, batches, async (batch, progress) => {
        await withHidden(sequences, batch, theta, (hidden, predictions) => {
          const head = headForward(hidden, predictions.flat(), theta.weights, options.temperature, false);
          unflatten(head.logProbs, batch.sequences, predictions).forEach(
            (logProbs, n) => (result[batch.sequences[n]!] = logProbs),
          );
        });
        await onProgress({ phase: 'score', ...progress });
      });
      return result;
    } finally {
      tf.dispose(theta.views as never);
    }
  }

  async values(
    sequences: readonly TokenSequence[],
    valueHead: ValueHeadWeights,
    { microBatchTokens }: Pick<ScoringOptions, 'microBatchTokens'>,
    onProgress: OnProgress = nothing,
  ): Promise<number[][]> {
    const theta = this.#held!.theta('current');
    const head = valueHeadOf(valueHead, theta.weights);
    try {
      const batches = batchesOf(sequences, this.#held!.config, microBatchTokens);
      const result: number[][] = sequences.map(() => []);
      await splitOnOom(sequences, batches, async (batch, progress) => {
        await withHidden(sequences, batch, theta, (hidden, predictions) => {
          const values = valuesAt(hidden, predictions.flat(), head, theta.weights);
          unflatten(values, batch.sequences, predictions).forEach((row, n) => (result[batch.sequences[n]!] = row));
        });
        await onProgress({ phase: 'score', ...progress });
      });
      return result;
    } finally {
      tf.dispose([head.weights, theta.views] as never);
    }
  }

  /**
   * Log-probs of ids[from..] of each list given what stands before them, and the likeliest tokens
   * after its end; under theta, at temperature 1.
   */
  async score(
    lists: readonly { readonly ids: readonly number[]; readonly from: number }[],
    likeliest: number,
    microBatchTokens: number,
  ): Promise<TokenScores[]> {
    const { vocabulary } = this.#held!.config;
    // A last token that is not there: its log-prob is not asked for, but the distribution that it would be drawn from is.
    const sequences = lists.map(({ ids, from }, i) => ({
      prefixGroup: String(i),
      promptIds: ids.slice(0, from),
      responseIds: [...ids.slice(from), 0],
    }));
    const theta = this.#held!.theta('current');
    try {
      const result: TokenScores[] = [];
      await splitOnOom(sequences, batchesOf(sequences, this.#held!.config, microBatchTokens), (batch) =>
        withHidden(sequences, batch, theta, (hidden, predictions) => {
          const head = headForward(hidden, predictions.flat(), theta.weights, 1, false);
          const top = tf.tidy(() => {
            const ends = Int32Array.from(predictions, (row) => row.at(-1)!.node);
            const { values, indices } = tf.topk(
              tf.logSoftmax(logitsOf(hidden, ends, theta.weights, 1)),
              Math.min(likeliest, vocabulary),
            );
            return { values: values.arraySync() as number[][], indices: indices.arraySync() as number[][] };
          });
          unflatten(head.logProbs, batch.sequences, predictions).forEach((logProbs, n) => {
            result[batch.sequences[n]!] = {
              logProbs: logProbs.slice(0, -1),
              top: top.indices[n]!.map((id, k) => [id, top.values[n]![k]!]),
            };
          });
        }),
      );
      return result;
    } finally {
      tf.dispose(theta.views as never);
    }
  }

  /** What the held model can read and knows. */
  get limits(): { readonly contextLength: number; readonly vocabulary: number } {
    const { contextLength, vocabulary } = this.#held!.config;
    return { contextLength, vocabulary };
  }

  async step(
    sequences: readonly TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & AdamWOptions & { readonly valueHead?: ValueHeadWeights },
    onProgress: OnProgress = nothing,
  ): Promise<StepResult> {
    const { flat, logProbs, valueHeadGradient } = await this.#summedGradient(sequences, gradient, options, onProgress);
    try {
      return { gradientNorm: this.#applyGradient(flat, options), logProbs, valueHeadGradient };
    } finally {
      flat.dispose();
    }
  }

  async gradient(
    sequences: readonly TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & { readonly valueHead?: ValueHeadWeights },
    onProgress: OnProgress = nothing,
  ): Promise<LossGradients> {
    const { flat, valueHeadGradient } = await this.#summedGradient(sequences, gradient, options, onProgress);
    try {
      return { gradient: writeSafetensors(this.#named(flat, '')), valueHeadGradient };
    } finally {
      flat.dispose();
    }
  }

  async applyGradient(gradients: readonly StoredTensors[], options: AdamWOptions): Promise<{ gradientNorm: number }> {
    let sum: Tensor = tf.zeros([this.#held!.layout.parameters]);
    try {
      for (const gradient of gradients) {
        const flat = tf.tensor1d(flatten(this.#held!.layout, await readStored(gradient), ''));
        const before = sum;
        sum = tf.add(before, flat);
        tf.dispose([before, flat]);
      }
      return { gradientNorm: this.#applyGradient(sum, options) };
    } finally {
      sum.dispose();
    }
  }

  async #summedGradient(
    sequences: readonly TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & { readonly valueHead?: ValueHeadWeights },
    onProgress: OnProgress,
  ): Promise<{ flat: Tensor; logProbs: number[][]; valueHeadGradient: number[] | null }> {
    const theta = this.#held!.theta('current');
    const valueHead = options.valueHead ? valueHeadOf(options.valueHead, theta.weights) : null;
    let headGradient: number[] | null = null;
    const logProbs: number[][] = sequences.map(() => []);
    const sum: { so?: Tensor } = {};
    try {
      const batches = batchesOf(sequences, this.#held!.config, options.microBatchTokens);
      await splitOnOom(sequences, batches, async (batch, progress) => {
        const { flat, batchLogProbs, byValueHead } = await gradientOf(
          sequences,
          batch,
          gradient,
          { theta, valueHead },
          options.temperature,
          (gradients) => this.#held!.flattened(gradients),
        );
        if (byValueHead) headGradient = byValueHead.map((g, i) => g + (headGradient?.[i] ?? 0));
        batch.sequences.forEach((i, n) => (logProbs[i] = batchLogProbs[n]!));
        const { so } = sum;
        sum.so = so ? tf.add(so, flat) : flat;
        if (so) tf.dispose([so, flat]);
        await onProgress({ phase: 'gradient', ...progress });
      });
      return { flat: sum.so!, logProbs, valueHeadGradient: headGradient };
    } catch (failure) {
      sum.so?.dispose();
      throw failure;
    } finally {
      tf.dispose([theta.views, valueHead?.weights] as never);
    }
  }

  /** @returns the gradient's norm */
  #applyGradient(gradient: Tensor, options: AdamWOptions): number {
    const { parameters, moments, gradientNorm } = applyAdamW(
      this.#held!.parameters,
      gradient,
      this.#moments!,
      this.#stepsTaken + 1,
      options,
    );
    // These weights have no stored name yet: the next `use` or `useMoments` must not take them for others.
    const name = `stepped from ${this.#held!.name}`;
    this.#sampler.forget();
    this.#held!.setParameters(parameters, name);
    this.#setMoments(moments);
    this.#momentsKey = name;
    this.#stepsTaken += 1;
    return gradientNorm;
  }

  #named(flat: Tensor, prefix: string): NamedTensor[] {
    return namedValues(this.#held!.layout.tensors, flat.dataSync() as Float32Array, 0, prefix);
  }

  async trained(): Promise<TrainedTensors> {
    if (this.#held!.weights.full)
      throw new Error('all weights are trained: they are asked for group by group, by trainedGroup()');
    const adapter = writeSafetensors(this.#named(this.#held!.parameters, ''), { format: 'pt' });
    const moments = writeSafetensors([
      ...this.#named(this.#moments!.first, 'first.'),
      ...this.#named(this.#moments!.second, 'second.'),
    ]);
    // What was just named can be recognised by the next call.
    this.#held!.name = sha256(adapter);
    this.#momentsKey = sha256(moments);
    return { adapter, moments };
  }

  async trainedGroup(group: number): Promise<TrainedGroup> {
    const { groups } = weightLayout(this.#held!.config);
    const { tensors, offset, parameters } = groups[group]!;
    const values = (flat: Tensor): Float32Array =>
      tf.tidy(() => flat.slice([offset], [parameters]).dataSync() as Float32Array);
    const weights = writeSafetensors(namedValues(tensors, values(this.#held!.parameters), offset, ''), {
      format: 'pt',
    });
    const { first, second } = this.#moments!;
    const moments = writeSafetensors([
      ...namedValues(tensors, values(first), offset, 'first.'),
      ...namedValues(tensors, values(second), offset, 'second.'),
    ]);
    // What was just named can be recognised by the next call, once it is whole.
    if (group === 0) this.#namedGroups = [];
    this.#namedGroups.push([sha256(weights), sha256(moments)]);
    if (this.#namedGroups.length === groups.length) {
      this.#held!.name = this.#namedGroups.map(([key]) => key).join();
      this.#momentsKey = this.#namedGroups.map(([, key]) => key).join();
    }
    return { weights, moments, groups: groups.length };
  }

  async device(): Promise<DeviceReport> {
    const { numTensors, numBytes } = tf.memory();
    const [name, library] = [deviceName(isOnProcessor), `libtensorflow ${tensorflowVersion()}`];
    return {
      name,
      library,
      isProcessor: isOnProcessor,
      tensors: numTensors,
      tensorBytes: numBytes,
      residentBytes: process.memoryUsage.rss(),
      device: `${name}, ${library}, ${this.precision}, ${cpus().length} threads`,
    };
  }

  #unload(): void {
    this.#sampler.dispose();
    this.#held?.dispose();
    tf.dispose(this.#moments as never);
    this.#held = this.#moments = this.#momentsKey = null;
  }

  #setMoments(moments: MomentTensors): void {
    if (this.#moments) tf.dispose([this.#moments.first, this.#moments.second]);
    this.#moments = moments;
  }
}

export interface TokenScores {
  /** Nats, one per scored id. */
  readonly logProbs: number[];
  /** [id, log-prob] of the likeliest next tokens, likeliest first. */
  readonly top: [id: number, logProb: number][];
}
