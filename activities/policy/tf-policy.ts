import { cpus } from 'node:os';
import { sha256 } from '../artifacts/canonical-json.js';
import { isOnProcessor, tensorflowVersion, tf, type Tensor } from './backend.js';
import { DecodeGraphs } from './decode-graph.js';
import { foldAdapter, fusedWeights, withFolded, type DecodeWeights, type Theta } from './decode-weights.js';
import { adamWStep, type Moments } from './adamw.js';
import { flatWeights, viewsOf, weightLayout } from './full-weights.js';
import { headForward, logitsOf } from './head.js';
import { adapterLayout, zeroAdapter } from './lora.js';
import { moduleNames, type ModuleName } from './model-config.js';
import { modelFingerprint } from './model-files.js';
import type {
  AdamWOptions, DeviceReport, LossGradient, LossGradients, OnProgress, Policy, PolicyWeights, Precision, SampledResponse, SampleRequest, SamplingOptions,
  ScoringOptions, StepResult, StoredParts, StoredTensors, TokenSequence, TrainedGroup, TrainedTensors, ValueHeadWeights,
} from './policy.js';
import { sampleResponses, type OnSampled } from './sampling.js';
import { KeyValueStore } from './key-value-store.js';
import { batchesOf, checkIds, gradientOf, unflatten, withHidden } from './passes.js';
import type { Adapter, FrozenWeights, LayerAdapter } from './transformer.js';
import { flatten, keyOf, namedValues, partsOf, readStored, type ParameterLayout } from './stored-tensors.js';
import { valueHeadOf, valuesAt } from './value-head.js';
import { rowsOf } from './trie.js';
import { isOutOfMemory, withinMemory } from './within-memory.js';
import { loadWeights } from './weights/load-weights.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { openModel } from './weights/open-model.js';
import { writeSafetensors, type NamedTensor } from './weights/safetensors.js';
import { endOfTurnIdOf } from './text-codec.js';

const nothing: OnProgress = () => undefined;
/** Trie nodes that go through prefill at once. */
const PREFILL_TOKENS = 2048;

/** Keys and values that are kept from turn to turn; a play that has more reads its prompts anew each turn. */
const MOST_KEPT_BYTES = 2 * 2 ** 30;

/** `Policy` on TensorFlow: one model, one adapter, synchronous kernels. Lives in a thread of its own (policy-thread.ts). */
export class TensorFlowPolicy implements Policy {
  constructor(readonly precision: Precision = 'fp32') {}

  #held: { key: string; adapterKey: string; lora: PolicyWeights['lora']; full: boolean; endOfTurnId: number; contextLength: number } | null = null;
  #frozen: FrozenWeights | null = null;
  /** Folded adapters that stay beside bfloat16 weights, which would round their small changes away. */
  #folded: Adapter[] = [];
  #frozenDropped = false; // in full training without a reference: only its config is left
  #parameters: Tensor | null = null; // (P) flat, in the layout's order
  #moments: Moments | null = null;
  #stepsTaken = 0;
  #momentsKey: string | null = null;
  #decode: DecodeWeights | null = null;
  #graphs: DecodeGraphs | null = null;
  #play: { readonly session: string | null; readonly store: KeyValueStore } | null = null;
  #namedGroups: [weights: string, moments: string][] = []; // groups that were asked for since the first

  async use(weights: PolicyWeights, onProgress: OnProgress = nothing): Promise<void> {
    const { full } = weights;
    const key = JSON.stringify([weights.model.sha256, weights.folded.map(({ sha256 }) => sha256), full ? { reference: full.reference } : weights.lora]);
    const stored = full ? await partsOf(full.weights) : await partsOf(weights.adapter);
    const adapterKey = keyOf(stored);
    // The model file's own weights are gone once full training without a reference has others.
    const gone = this.#frozenDropped && stored === null && this.#held?.adapterKey !== adapterKey;
    if (this.#held?.key !== key || gone) await this.#load(weights, key, onProgress);
    if (this.#held!.adapterKey === adapterKey) return;
    const { config } = this.#frozen!;
    if (stored !== null) this.#setParameters((await this.#read(stored, ['']))[0]!);
    else this.#setParameters(full ? flatWeights(this.#frozen!) : tf.tensor1d(zeroAdapter(config, weights.lora)));
    this.#held!.adapterKey = adapterKey;
    if (full && !full.reference) this.#dropFrozen();
  }

  async useMoments(moments: StoredTensors | StoredParts | null, stepsTaken: number): Promise<void> {
    const stored = await partsOf(moments);
    const key = keyOf(stored);
    if (this.#momentsKey !== key) {
      const { parameters } = this.#layout();
      const [first, second] = stored === null ? [tf.zeros([parameters]), tf.zeros([parameters])] : await this.#read(stored, ['first.', 'second.']);
      this.#setMoments({ first: first!, second: second! });
      this.#momentsKey = key;
    }
    this.#stepsTaken = stepsTaken;
  }

  async sample(requests: readonly SampleRequest[], options: SamplingOptions & { onSampled?: OnSampled }, onProgress: OnProgress = nothing): Promise<SampledResponse[]> {
    const { endOfTurnId, contextLength } = this.#held!;
    for (const { promptIds, randomKey } of requests) {
      if (promptIds.length + options.maxResponseTokens > contextLength) {
        throw new RangeError(
          `request ${randomKey}: prompt of ${promptIds.length} tokens and response of up to ${options.maxResponseTokens} exceed the model's context of ${contextLength}: ` +
            'shorten the prompt or lower rollout.maxResponseTokens',
        );
      }
    }
    if (requests.length === 0) return [];
    checkIds(requests.map(({ promptIds }) => promptIds), this.#frozen!.config);
    this.#decode ??= fusedWeights(this.#theta('current'));
    if (isOnProcessor) this.#graphs ??= new DecodeGraphs(this.#frozen!.config);
    const { session = null } = options;
    if (session === null || this.#play?.session !== session) this.#dropPlay();
    const { store } = (this.#play ??= { session, store: new KeyValueStore() });
    let keep = false;
    try {
      const responses = await sampleResponses(this.#decode, store, requests, rowsOf(requests), { ...options, endOfTurnId, prefillTokens: PREFILL_TOKENS, keepResponses: session !== null, graphs: this.#graphs }, onProgress);
      keep = session !== null && store.bytes <= MOST_KEPT_BYTES;
      return responses;
    } catch (failure) {
      if (requests.length === 1 || !isOutOfMemory(failure)) throw failure;
    } finally {
      if (!keep) this.#dropPlay();
    }
    // Fewer at once, each half reading its prompts anew; what is drawn does not depend on the others.
    const { session: _, onSampled, ...each } = options;
    const half = requests.length >> 1;
    const from = (first: number) => (onSampled ? { ...each, onSampled: (request: number, id: number) => onSampled(first + request, id) } : each);
    return [...(await this.sample(requests.slice(0, half), from(0), onProgress)), ...(await this.sample(requests.slice(half), from(half), onProgress))];
  }

  async logProbs(
    sequences: readonly TokenSequence[],
    options: ScoringOptions & { readonly weights: 'current' | 'reference' },
    onProgress: OnProgress = nothing,
  ): Promise<number[][]> {
    const theta = this.#theta(options.weights);
    try {
      const batches = batchesOf(sequences, this.#frozen!.config, options.microBatchTokens);
      const result: number[][] = sequences.map(() => []);
      await withinMemory(sequences, batches, async (batch, progress) => {
        await withHidden(sequences, batch, theta, (hidden, predictions) => {
          const head = headForward(hidden, predictions.flat(), theta.weights, options.temperature, false);
          unflatten(head.logProbs, batch.sequences, predictions).forEach((logProbs, n) => (result[batch.sequences[n]!] = logProbs));
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
    const theta = this.#theta('current');
    const head = valueHeadOf(valueHead, theta.weights);
    try {
      const batches = batchesOf(sequences, this.#frozen!.config, microBatchTokens);
      const result: number[][] = sequences.map(() => []);
      await withinMemory(sequences, batches, async (batch, progress) => {
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
  async score(lists: readonly { readonly ids: readonly number[]; readonly from: number }[], likeliest: number, microBatchTokens: number): Promise<TokenScores[]> {
    const { vocabulary } = this.#frozen!.config;
    // A last token that is not there: its log-prob is not asked for, but the distribution that it would be drawn from is.
    const sequences = lists.map(({ ids, from }, i) => ({ row: String(i), promptIds: ids.slice(0, from), responseIds: [...ids.slice(from), 0] }));
    const theta = this.#theta('current');
    try {
      const result: TokenScores[] = [];
      await withinMemory(sequences, batchesOf(sequences, this.#frozen!.config, microBatchTokens), (batch) =>
        withHidden(sequences, batch, theta, (hidden, predictions) => {
          const head = headForward(hidden, predictions.flat(), theta.weights, 1, false);
          const top = tf.tidy(() => {
            const ends = Int32Array.from(predictions, (row) => row.at(-1)!.node);
            const { values, indices } = tf.topk(tf.logSoftmax(logitsOf(hidden, ends, theta.weights, 1)), Math.min(likeliest, vocabulary));
            return { values: values.arraySync() as number[][], indices: indices.arraySync() as number[][] };
          });
          unflatten(head.logProbs, batch.sequences, predictions).forEach((logProbs, n) => {
            result[batch.sequences[n]!] = { logProbs: logProbs.slice(0, -1), top: top.indices[n]!.map((id, k) => [id, top.values[n]![k]!]) };
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
    const { contextLength, vocabulary } = this.#frozen!.config;
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
      return { gradientNorm: this.#stepAlong(flat, options), logProbs, valueHeadGradient };
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

  async stepAlong(gradients: readonly StoredTensors[], options: AdamWOptions): Promise<{ gradientNorm: number }> {
    let sum: Tensor = tf.zeros([this.#layout().parameters]);
    try {
      for (const gradient of gradients) {
        const flat = tf.tensor1d(flatten(this.#layout(), await readStored(gradient), ''));
        const before = sum;
        sum = tf.add(before, flat);
        tf.dispose([before, flat]);
      }
      return { gradientNorm: this.#stepAlong(sum, options) };
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
    const theta = this.#theta('current');
    const valueHead = options.valueHead ? valueHeadOf(options.valueHead, theta.weights) : null;
    let headGradient: number[] | null = null;
    const logProbs: number[][] = sequences.map(() => []);
    const sum: { so?: Tensor } = {};
    try {
      const batches = batchesOf(sequences, this.#frozen!.config, options.microBatchTokens);
      await withinMemory(sequences, batches, async (batch, progress) => {
        const { flat, batchLogProbs, byValueHead } = await gradientOf(sequences, batch, gradient, { theta, valueHead }, options.temperature, (gradients) => this.#trainedPart(gradients));
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
  #stepAlong(gradient: Tensor, options: AdamWOptions): number {
    const { parameters, moments, gradientNorm } = adamWStep(this.#parameters!, gradient, this.#moments!, this.#stepsTaken + 1, options);
    this.#setParameters(parameters);
    this.#setMoments(moments);
    this.#stepsTaken += 1;
    // These weights have no stored name yet: the next `use` or `useMoments` must not take them for others.
    this.#held!.adapterKey = this.#momentsKey = `stepped from ${this.#held!.adapterKey}`;
    return gradientNorm;
  }

  #named(flat: Tensor, prefix: string): NamedTensor[] {
    return namedValues(this.#layout().tensors, flat.dataSync() as Float32Array, 0, prefix);
  }

  async trained(): Promise<TrainedTensors> {
    if (this.#held!.full) throw new Error('all weights are trained: they are asked for group by group, by trainedGroup()');
    const adapter = writeSafetensors(this.#named(this.#parameters!, ''), { format: 'pt' });
    const moments = writeSafetensors([...this.#named(this.#moments!.first, 'first.'), ...this.#named(this.#moments!.second, 'second.')]);
    // What was just named can be recognised by the next call.
    this.#held!.adapterKey = sha256(adapter);
    this.#momentsKey = sha256(moments);
    return { adapter, moments };
  }

  async trainedGroup(group: number): Promise<TrainedGroup> {
    const { groups } = weightLayout(this.#frozen!.config);
    const { tensors, offset, parameters } = groups[group]!;
    const values = (flat: Tensor): Float32Array => tf.tidy(() => flat.slice([offset], [parameters]).dataSync() as Float32Array);
    const weights = writeSafetensors(namedValues(tensors, values(this.#parameters!), offset, ''), { format: 'pt' });
    const { first, second } = this.#moments!;
    const moments = writeSafetensors([
      ...namedValues(tensors, values(first), offset, 'first.'),
      ...namedValues(tensors, values(second), offset, 'second.'),
    ]);
    // What was just named can be recognised by the next call, once it is whole.
    if (group === 0) this.#namedGroups = [];
    this.#namedGroups.push([sha256(weights), sha256(moments)]);
    if (this.#namedGroups.length === groups.length) {
      this.#held!.adapterKey = this.#namedGroups.map(([key]) => key).join();
      this.#momentsKey = this.#namedGroups.map(([, key]) => key).join();
    }
    return { weights, moments, groups: groups.length };
  }

  async device(): Promise<DeviceReport> {
    const { numTensors, numBytes } = tf.memory();
    return {
      tensors: numTensors,
      tensorBytes: numBytes,
      residentBytes: process.memoryUsage.rss(),
      device: `${cpus()[0]?.model ?? 'unknown processor'}, libtensorflow ${tensorflowVersion()}, ${this.precision}, ${cpus().length} threads`,
    };
  }

  // -- weights ------------------------------------------------------------------------------------

  async #load(weights: PolicyWeights, key: string, onProgress: OnProgress): Promise<void> {
    await verifyModel(weights.model.path, weights.model.sha256);
    const endOfTurnId = await endOfTurnIdOf(weights.model.path);
    this.#unload();
    // Trainable weights are kept in fp32: a step moves them by less than bfloat16 can tell apart.
    const narrow = this.precision === 'bf16' && weights.full === undefined;
    const reader = await openModel(weights.model.path);
    try {
      this.#frozen = await loadWeights(reader, narrow, onProgress);
    } finally {
      await reader.close();
    }
    this.#held = { key, adapterKey: '', lora: weights.lora, full: weights.full !== undefined, endOfTurnId, contextLength: this.#frozen.config.contextLength };
    try {
      for (const folded of weights.folded) await this.#fold(folded, narrow);
    } catch (failure) {
      // Half of what was asked for must not be taken for it by the next attempt.
      this.#unload();
      throw failure;
    }
  }

  async #fold(folded: StoredTensors, narrow: boolean): Promise<void> {
    const layout = adapterLayout(this.#frozen!.config, this.#held!.lora);
    const adapter = this.#adapterOf(flatten(layout, await readStored(folded), ''));
    if (narrow) {
      this.#folded.push(adapter);
      return;
    }
    const before: FrozenWeights = this.#frozen!;
    this.#frozen = { ...before, layers: foldAdapter(before.layers, adapter) };
    tf.dispose([before.layers.map((layer) => layer.modules), adapter.layers] as never);
  }

  #unload(): void {
    this.#dropFrozen();
    tf.dispose([this.#parameters, this.#moments] as never);
    this.#dropDecodeWeights();
    this.#graphs?.dispose();
    this.#graphs = null;
    this.#frozen = this.#parameters = this.#moments = this.#held = this.#momentsKey = null;
    this.#frozenDropped = false;
  }

  #dropFrozen(): void {
    tf.dispose([this.#folded.map(({ layers }) => layers), this.#frozen?.embedding, this.#frozen?.head, this.#frozen?.finalNorm, this.#frozen?.layers] as never);
    this.#folded = [];
    this.#frozenDropped = true;
  }

  #setParameters(parameters: Tensor): void {
    this.#parameters?.dispose();
    this.#parameters = parameters;
    this.#dropDecodeWeights();
  }

  #setMoments(moments: Moments): void {
    if (this.#moments) tf.dispose([this.#moments.first, this.#moments.second]);
    this.#moments = moments;
  }

  #layout(): ParameterLayout {
    const { config } = this.#frozen!;
    return this.#held!.full ? weightLayout(config) : adapterLayout(config, this.#held!.lora);
  }

  /** Flat vectors of the stored tensors whose names begin with each prefix; stored in one part, or group by group in the layout's order. */
  async #read(parts: readonly StoredTensors[], prefixes: readonly string[]): Promise<Tensor[]> {
    const layout = this.#layout();
    const sections = parts.length === 1 ? [{ ...layout, offset: 0 }] : weightLayout(this.#frozen!.config).groups;
    if (parts.length !== sections.length) throw new ModelFileInvalid('checkpoint', `has ${parts.length} groups of weights, expected ${sections.length}`, 'It belongs to another model: use the run that made it');
    const read: Tensor[][] = prefixes.map(() => []);
    try {
      for (const [part, section] of sections.entries()) {
        const stored = await readStored(parts[part]!);
        prefixes.forEach((prefix, p) => read[p]!.push(tf.tensor1d(flatten(section, stored, prefix))));
      }
      return read.map((found) => (found.length === 1 ? found[0]!.clone() : (tf.concat(found as never[], 0) as Tensor)));
    } finally {
      tf.dispose(read as never);
    }
  }

  /** The flat gradient of the trainable adapter, which comes last where folded ones stand before it. */
  #trainedPart(gradients: readonly LayerAdapter[]): Tensor {
    const { lora } = this.#held!;
    return tf.tidy(() =>
      tf.concat(
        adapterLayout(this.#frozen!.config, lora).tensors.map(({ layer, module, which, shape }) => {
          const gradient = gradients[layer]![module][which];
          return (this.#folded.length === 0 ? gradient : gradient.slice(gradient.shape.map((n, axis) => n - shape[axis]!), [...shape])).flatten();
        }),
        0,
      ),
    );
  }

  #adapterOf(flat: Float32Array): Adapter {
    const t = tf.tensor1d(flat);
    const adapter = this.#split(t);
    t.dispose();
    return adapter;
  }

  #theta(which: 'current' | 'reference'): Theta {
    if (which === 'reference' && this.#frozenDropped) throw new Error('full training without a divergence term keeps no frozen reference: set algorithm.klCoefficient above 0');
    const folded = this.#folded;
    if (which === 'reference') return { weights: this.#frozen!, ...(folded.length === 0 ? { adapter: null, views: [] } : withFolded(folded, null)) };
    if (this.#held!.full) return { adapter: null, ...viewsOf(this.#parameters!, this.#frozen!.config, this.precision === 'bf16') };
    const adapter = this.#split(this.#parameters!);
    if (folded.length === 0) return { weights: this.#frozen!, adapter, views: adapter.layers };
    const joined = withFolded(folded, adapter);
    tf.dispose(adapter.layers as never);
    return { weights: this.#frozen!, ...joined };
  }

  #split(flat: Tensor): Adapter {
    const { lora } = this.#held!;
    const layers: Record<ModuleName, { A?: Tensor; B?: Tensor }>[] = [];
    for (const { layer, module, which, shape, offset } of adapterLayout(this.#frozen!.config, lora).tensors) {
      layers[layer] ??= Object.fromEntries(moduleNames.map((name) => [name, {}])) as Record<ModuleName, { A?: Tensor; B?: Tensor }>;
      layers[layer][module][which] = tf.tidy(() => flat.slice([offset], [shape[0] * shape[1]]).reshape([...shape]));
    }
    return { scale: lora.alpha / lora.rank, layers: layers as LayerAdapter[] };
  }

  #dropPlay(): void {
    this.#play?.store.dispose();
    this.#play = null;
  }

  #dropDecodeWeights(): void {
    this.#dropPlay();
    if (this.#decode) tf.dispose(this.#decode.owned as never);
    this.#decode = null;
  }
}

export interface TokenScores {
  /** Nats, one per scored id. */
  readonly logProbs: number[];
  /** [id, log-prob] of the likeliest next tokens, likeliest first. */
  readonly top: [id: number, logProb: number][];
}

/** @throws {ModelFileInvalid} if the model is not the one that the run was opened with */
async function verifyModel(path: string, sha256: string): Promise<void> {
  const found = await modelFingerprint(path).catch((cause: unknown) => {
    throw new ModelFileInvalid(path, `cannot be read (${String(cause)})`, 'Put the model there on every GPU worker');
  });
  if (found.sha256 !== sha256) {
    throw new ModelFileInvalid(path, `has sha256 ${found.sha256}, the run was opened with ${sha256}`, 'Put the same model on every worker, or start a new run');
  }
}
