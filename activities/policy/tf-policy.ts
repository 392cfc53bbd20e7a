import { cpus } from 'node:os';
import { createHash } from 'node:crypto';
import { tensorflowVersion, tf, type Tensor } from './backend.js';
import { adamWStep, type Moments } from './adamw.js';
import { disposeHead, headBackward, headForward, logitsOf, type Prediction } from './head.js';
import { adapterLayout, zeroAdapter } from './lora.js';
import { moduleNames, moduleShape, type ModuleName } from './model-config.js';
import { modelFingerprint } from './model-files.js';
import type {
  AdamWOptions, DeviceReport, LossGradient, OnProgress, Policy, PolicyWeights, SampledResponse, SampleRequest, SamplingOptions,
  ScoringOptions, StepResult, StoredTensors, TokenSequence, TrainedTensors,
} from './policy.js';
import { sampleResponses, type DecodeWeights, type OnSampled } from './sampling.js';
import {
  disposePackedTries, layerBackward, layerForward, packTries, savedTensors,
  type Adapter, type FrozenWeights, type LayerAdapter, type LayerOutput, type LayerWeights,
} from './transformer.js';
import { microBatches, packTrie, rowsOf } from './trie.js';
import { loadWeights } from './weights/load-weights.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { openModel } from './weights/open-model.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from './weights/safetensors.js';
import { endOfTurnIdOf } from './text-codec.js';

const nothing: OnProgress = () => undefined;
/** Trie nodes that go through prefill at once. */
const PREFILL_TOKENS = 2048;

/** `Policy` on TensorFlow: one model, one adapter, synchronous kernels. Lives in a thread of its own (policy-thread.ts). */
export class TensorFlowPolicy implements Policy {
  #held: { key: string; adapterKey: string; lora: PolicyWeights['lora']; endOfTurnId: number; contextLength: number } | null = null;
  #frozen: FrozenWeights | null = null;
  #parameters: Tensor | null = null; // (P) flat, in adapterLayout's order
  #moments: Moments | null = null;
  #stepsTaken = 0;
  #momentsKey: string | null = null;
  #decode: DecodeWeights | null = null;

  async use(weights: PolicyWeights, onProgress: OnProgress = nothing): Promise<void> {
    const key = JSON.stringify([weights.model.sha256, weights.folded.map(({ sha256 }) => sha256), weights.lora]);
    if (this.#held?.key !== key) await this.#load(weights, key, onProgress);
    const adapterKey = weights.adapter?.sha256 ?? 'zero';
    if (this.#held!.adapterKey === adapterKey) return;
    const { config } = this.#frozen!;
    const flat = weights.adapter === null ? zeroAdapter(config, weights.lora) : this.#flatten(await weights.adapter.read(), '');
    this.#setParameters(tf.tensor1d(flat));
    this.#held!.adapterKey = adapterKey;
  }

  async useMoments(moments: StoredTensors | null, stepsTaken: number): Promise<void> {
    const key = moments?.sha256 ?? 'zero';
    if (this.#momentsKey !== key) {
      const { parameters } = this.#layout();
      const bytes = moments === null ? null : await moments.read();
      const read = (prefix: string): Tensor => (bytes === null ? tf.zeros([parameters]) : tf.tensor1d(this.#flatten(bytes, prefix)));
      this.#setMoments({ first: read('first.'), second: read('second.') });
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
    this.#checkIds(requests.map(({ promptIds }) => promptIds));
    this.#decode ??= this.#foldForDecoding();
    return sampleResponses(this.#decode, requests, rowsOf(requests), { ...options, endOfTurnId, prefillTokens: PREFILL_TOKENS }, onProgress);
  }

  async logProbs(
    sequences: readonly TokenSequence[],
    options: ScoringOptions & { readonly weights: 'current' | 'reference' },
    onProgress: OnProgress = nothing,
  ): Promise<number[][]> {
    const adapter = options.weights === 'current' ? this.#adapter() : null;
    try {
      const batches = this.#microBatches(sequences, options.microBatchTokens);
      const result: number[][] = sequences.map(() => []);
      for (const [done, batch] of batches.entries()) {
        const { packed, predictions } = this.#pack(sequences, batch);
        const hidden = this.#lastHidden(packed, adapter);
        const head = headForward(hidden, predictions.flat(), this.#frozen!, options.temperature, false);
        hidden.dispose();
        disposePackedTries(packed);
        unflatten(head.logProbs, batch.sequences, predictions).forEach((logProbs, n) => (result[batch.sequences[n]!] = logProbs));
        await onProgress({ phase: 'score', done: done + 1, of: batches.length });
      }
      return result;
    } finally {
      if (adapter) tf.dispose(adapter.layers as never);
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
    const adapter = this.#adapter();
    try {
      const result: TokenScores[] = [];
      for (const batch of this.#microBatches(sequences, microBatchTokens)) {
        const { packed, predictions } = this.#pack(sequences, batch);
        const hidden = this.#lastHidden(packed, adapter);
        disposePackedTries(packed);
        const head = headForward(hidden, predictions.flat(), this.#frozen!, 1, false);
        const top = tf.tidy(() => {
          const ends = Int32Array.from(predictions, (row) => row.at(-1)!.node);
          const { values, indices } = tf.topk(tf.logSoftmax(logitsOf(hidden, ends, this.#frozen!, 1)), Math.min(likeliest, vocabulary));
          return { values: values.arraySync() as number[][], indices: indices.arraySync() as number[][] };
        });
        hidden.dispose();
        unflatten(head.logProbs, batch.sequences, predictions).forEach((logProbs, n) => {
          result[batch.sequences[n]!] = { logProbs: logProbs.slice(0, -1), top: top.indices[n]!.map((id, k) => [id, top.values[n]![k]!]) };
        });
      }
      return result;
    } finally {
      tf.dispose(adapter.layers as never);
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
    options: ScoringOptions & AdamWOptions,
    onProgress: OnProgress = nothing,
  ): Promise<StepResult> {
    const { flat, logProbs } = await this.#summedGradient(sequences, gradient, options, onProgress);
    try {
      return { gradientNorm: this.#stepAlong(flat, options), logProbs };
    } finally {
      flat.dispose();
    }
  }

  async gradient(sequences: readonly TokenSequence[], gradient: LossGradient, options: ScoringOptions, onProgress: OnProgress = nothing): Promise<Uint8Array> {
    const { flat } = await this.#summedGradient(sequences, gradient, options, onProgress);
    try {
      return writeSafetensors(this.#named(flat, ''));
    } finally {
      flat.dispose();
    }
  }

  async stepAlong(gradients: readonly StoredTensors[], options: AdamWOptions): Promise<{ gradientNorm: number }> {
    let sum: Tensor = tf.zeros([this.#layout().parameters]);
    try {
      for (const gradient of gradients) {
        const flat = tf.tensor1d(this.#flatten(await gradient.read(), ''));
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
    options: ScoringOptions,
    onProgress: OnProgress,
  ): Promise<{ flat: Tensor; logProbs: number[][] }> {
    const adapter = this.#adapter();
    const logProbs: number[][] = sequences.map(() => []);
    let sum: Tensor | null = null;
    try {
      const batches = this.#microBatches(sequences, options.microBatchTokens);
      for (const [done, batch] of batches.entries()) {
        const { flat, batchLogProbs } = await this.#gradientOf(sequences, batch, gradient, adapter, options.temperature);
        batch.sequences.forEach((i, n) => (logProbs[i] = batchLogProbs[n]!));
        const before: Tensor | null = sum;
        sum = before === null ? flat : tf.add(before, flat);
        if (before !== null) tf.dispose([before, flat]);
        await onProgress({ phase: 'gradient', done: done + 1, of: batches.length });
      }
      return { flat: sum!, logProbs };
    } catch (failure) {
      sum?.dispose();
      throw failure;
    } finally {
      tf.dispose(adapter.layers as never);
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
    const values = flat.dataSync() as Float32Array;
    return this.#layout().tensors.map(({ name, shape, offset }) => ({ name: prefix + name, shape, values: values.subarray(offset, offset + shape[0] * shape[1]) }));
  }

  async trained(): Promise<TrainedTensors> {
    const adapter = writeSafetensors(this.#named(this.#parameters!, ''), { format: 'pt' });
    const moments = writeSafetensors([...this.#named(this.#moments!.first, 'first.'), ...this.#named(this.#moments!.second, 'second.')]);
    // What was just named can be recognised by the next call.
    this.#held!.adapterKey = sha256Of(adapter);
    this.#momentsKey = sha256Of(moments);
    return { adapter, moments };
  }

  async device(): Promise<DeviceReport> {
    const { numTensors, numBytes } = tf.memory();
    return {
      tensors: numTensors,
      tensorBytes: numBytes,
      residentBytes: process.memoryUsage.rss(),
      device: `${cpus()[0]?.model ?? 'unknown processor'}, libtensorflow ${tensorflowVersion()}, ${cpus().length} threads`,
    };
  }

  // -- weights ------------------------------------------------------------------------------------

  async #load(weights: PolicyWeights, key: string, onProgress: OnProgress): Promise<void> {
    await verifyModel(weights.model.path, weights.model.sha256);
    const endOfTurnId = await endOfTurnIdOf(weights.model.path);
    this.#unload();
    const reader = await openModel(weights.model.path);
    try {
      this.#frozen = await loadWeights(reader, onProgress);
    } finally {
      await reader.close();
    }
    this.#held = { key, adapterKey: '', lora: weights.lora, endOfTurnId, contextLength: this.#frozen.config.contextLength };
    try {
      for (const folded of weights.folded) await this.#fold(folded);
    } catch (failure) {
      // Half of what was asked for must not be taken for it by the next attempt.
      this.#unload();
      throw failure;
    }
  }

  async #fold(folded: StoredTensors): Promise<void> {
    const adapter = this.#adapterOf(this.#flatten(await folded.read(), ''));
    const before: FrozenWeights = this.#frozen!;
    this.#frozen = { ...before, layers: foldAdapter(before.layers, adapter) };
    tf.dispose([before.layers.map((layer) => layer.modules), adapter.layers] as never);
  }

  #unload(): void {
    tf.dispose([this.#frozen?.embedding, this.#frozen?.head, this.#frozen?.finalNorm, this.#frozen?.layers, this.#parameters, this.#moments] as never);
    this.#dropDecodeWeights();
    this.#frozen = this.#parameters = this.#moments = this.#held = this.#momentsKey = null;
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

  #layout() {
    return adapterLayout(this.#frozen!.config, this.#held!.lora);
  }

  /** Values of an adapter file in the layout's order. */
  #flatten(bytes: Uint8Array, prefix: string): Float32Array {
    const { tensors, parameters } = this.#layout();
    const stored = readSafetensors(bytes).tensors;
    const flat = new Float32Array(parameters);
    for (const { name, shape, offset } of tensors) {
      const found = stored.get(prefix + name);
      if (!found || found.shape.join() !== shape.join()) {
        throw new ModelFileInvalid(
          'adapter',
          `tensor ${prefix + name} is ${found ? `[${found.shape.join(', ')}]` : 'missing'}, expected [${shape.join(', ')}]`,
          'The adapter belongs to another model or LoRA rank: use the run that made it',
        );
      }
      flat.set(found.values, offset);
    }
    return flat;
  }

  #adapterOf(flat: Float32Array): Adapter {
    const t = tf.tensor1d(flat);
    const adapter = this.#split(t);
    t.dispose();
    return adapter;
  }

  #adapter(): Adapter {
    return this.#split(this.#parameters!);
  }

  #split(flat: Tensor): Adapter {
    const { lora } = this.#held!;
    const layers: Record<ModuleName, { A?: Tensor; B?: Tensor }>[] = [];
    for (const { layer, module, which, shape, offset } of this.#layout().tensors) {
      layers[layer] ??= Object.fromEntries(moduleNames.map((name) => [name, {}])) as Record<ModuleName, { A?: Tensor; B?: Tensor }>;
      layers[layer][module][which] = tf.tidy(() => flat.slice([offset], [shape[0] * shape[1]]).reshape([...shape]));
    }
    return { scale: lora.alpha / lora.rank, layers: layers as LayerAdapter[] };
  }

  #foldForDecoding(): DecodeWeights {
    const adapter = this.#adapter();
    const layers = foldAdapter(this.#frozen!.layers, adapter);
    tf.dispose(adapter.layers as never);
    return {
      frozen: this.#frozen!,
      layers: layers.map((source) =>
        tf.tidy(() => {
          const { modules: m, queryNorm, keyNorm } = source;
          const { heads, keyValueHeads, headDimension } = this.#frozen!.config;
          const repeated = (gain: Tensor, times: number): Tensor => tf.tile(gain.reshape([1, headDimension]), [times, 1]);
          return {
            source,
            qkv: tf.concat([m['self_attn.q_proj'], m['self_attn.k_proj'], m['self_attn.v_proj']], 0),
            gateUp: tf.concat([m['mlp.gate_proj'], m['mlp.up_proj']], 0),
            qkvBias: this.#fusedBias(source, ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']),
            gateUpBias: this.#fusedBias(source, ['mlp.gate_proj', 'mlp.up_proj']),
            qkNorm: queryNorm && keyNorm ? tf.concat([repeated(queryNorm, heads), repeated(keyNorm, keyValueHeads)], 0) : null,
          } as never;
        }),
      ) as DecodeWeights['layers'],
    };
  }

  /** Biases of modules that decoding computes as one; zero where only some have one. */
  #fusedBias({ biases }: LayerWeights, modules: readonly ModuleName[]): Tensor | null {
    if (!modules.some((module) => biases[module])) return null;
    return tf.concat(modules.map((module) => biases[module] ?? tf.zeros([moduleShape(this.#frozen!.config, module)[0]])), 0);
  }

  #dropDecodeWeights(): void {
    // The norms and biases are the frozen ones; only what was folded or fused goes.
    if (this.#decode) tf.dispose(this.#decode.layers.map(({ source, ...fused }) => [source.modules, ...Object.values(fused)]) as never);
    this.#decode = null;
  }

  // -- passes through the model -------------------------------------------------------------------

  #checkIds(lists: readonly (readonly number[])[]): void {
    const { vocabulary } = this.#frozen!.config;
    for (const ids of lists) {
      const bad = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary));
      if (bad !== undefined) throw new RangeError(`token id ${bad} is outside the vocabulary of ${vocabulary}: were the ids made by this model's tokenizer?`);
    }
  }

  #microBatches(sequences: readonly TokenSequence[], budget: number): MicroBatch[] {
    this.#checkIds(sequences.flatMap(({ promptIds, responseIds }) => [promptIds, responseIds]));
    const rows = rowsOf(sequences);
    const tries = rows.map((row) => packTrie(row.map((i) => sequences[i]!)));
    return microBatches(tries.map((trie) => trie.tokens.length), budget).map((batch) => ({
      tries: batch.map((row) => tries[row]!),
      sequences: batch.flatMap((row) => rows[row]!),
    }));
  }

  #pack(sequences: readonly TokenSequence[], { tries, sequences: members }: MicroBatch) {
    const packed = packTries(this.#frozen!.config, tries);
    const predictors = tries.flatMap((trie, r) => trie.predictors.map((nodes) => ({ start: packed.starts[r]!, nodes })));
    const predictions: Prediction[][] = members.map((i, n) => {
      const { start, nodes } = predictors[n]!;
      return sequences[i]!.responseIds.map((token, l) => ({ node: start + nodes[l]!, token }));
    });
    return { packed, predictions };
  }

  #forward(x: Tensor, layer: number, adapter: Adapter | null, packed: ReturnType<typeof packTries>, save: boolean): LayerOutput {
    const { config, layers } = this.#frozen!;
    return layerForward(x, layers[layer]!, adapter && { scale: adapter.scale, layer: adapter.layers[layer]! }, packed, config, { save, cache: false });
  }

  /** Output of the last layer, (N, H), keeping nothing of those below. */
  #lastHidden(packed: ReturnType<typeof packTries>, adapter: Adapter | null): Tensor {
    return tf.tidy(() => {
      let x: Tensor = tf.gather(this.#frozen!.embedding, packed.tokens);
      for (let layer = 0; layer < this.#frozen!.config.layers; layer++) {
        const { output } = this.#forward(x, layer, adapter, packed, false);
        x.dispose();
        x = output;
      }
      return x;
    });
  }

  async #gradientOf(
    sequences: readonly TokenSequence[],
    batch: MicroBatch,
    gradient: LossGradient,
    adapter: Adapter,
    temperature: number,
  ): Promise<{ flat: Tensor; batchLogProbs: number[][] }> {
    const frozen = this.#frozen!;
    const { packed, predictions } = this.#pack(sequences, batch);
    const outputs: LayerOutput[] = [];
    let x: Tensor = tf.tidy(() => tf.gather(frozen.embedding, packed.tokens));
    const inputs = [x];
    for (let layer = 0; layer < frozen.config.layers; layer++) {
      const forward = this.#forward(x, layer, adapter, packed, true);
      outputs.push(forward);
      inputs.push((x = forward.output));
    }
    const head = headForward(x, predictions.flat(), frozen, temperature, true);
    let d: Tensor | null = null;
    try {
      const batchLogProbs = unflatten(head.logProbs, batch.sequences, predictions);
      const coefficients = await gradient(batch.sequences, batchLogProbs);
      d = headBackward(head, Float32Array.from(coefficients.flat()), frozen, temperature);
      disposeHead(head);
      const gradients: LayerAdapter[] = [];
      for (let layer = frozen.config.layers - 1; layer >= 0; layer--) {
        const saved = outputs[layer]!.saved!;
        const back = layerBackward(d, saved, frozen.layers[layer]!, { scale: adapter.scale, layer: adapter.layers[layer]! }, packed, frozen.config);
        tf.dispose([d, ...savedTensors(saved), inputs.pop()!]);
        outputs.pop();
        d = back.dInput;
        gradients[layer] = back.gradients;
      }
      const flat = tf.tidy(() => tf.concat(this.#layout().tensors.map(({ layer, module, which }) => gradients[layer]![module][which].flatten()), 0));
      tf.dispose(gradients as never);
      return { flat, batchLogProbs };
    } finally {
      d?.dispose();
      disposeHead(head);
      tf.dispose([...outputs.flatMap(({ saved }) => (saved ? savedTensors(saved) : [])), ...inputs]);
      disposePackedTries(packed);
    }
  }
}

export interface TokenScores {
  /** Nats, one per scored id. */
  readonly logProbs: number[];
  /** [id, log-prob] of the likeliest next tokens, likeliest first. */
  readonly top: [id: number, logProb: number][];
}

interface MicroBatch {
  readonly tries: readonly ReturnType<typeof packTrie>[];
  /** Indices of the sequences, in the order of the tries' predictors. */
  readonly sequences: readonly number[];
}

function unflatten(flat: Float32Array, members: readonly number[], predictions: readonly (readonly unknown[])[]): number[][] {
  let at = 0;
  return members.map((_, n) => {
    const length = predictions[n]!.length;
    const part = [...flat.subarray(at, at + length)];
    at += length;
    return part;
  });
}

/** W + scale B A for every module; the norms are shared with the layers given. */
function foldAdapter(layers: readonly LayerWeights[], adapter: Adapter): LayerWeights[] {
  return layers.map((layer, l) => ({
    ...layer,
    modules: Object.fromEntries(
      moduleNames.map((module) => {
        const { A, B } = adapter.layers[l]![module];
        return [module, tf.tidy(() => tf.add(layer.modules[module], tf.mul(tf.matMul(B as never, A as never), adapter.scale)))];
      }),
    ) as unknown as LayerWeights['modules'],
  }));
}

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** @throws {ModelFileInvalid} if the model is not the one that the run was opened with */
async function verifyModel(path: string, sha256: string): Promise<void> {
  const found = await modelFingerprint(path).catch((cause: unknown) => {
    throw new ModelFileInvalid(path, `cannot be read (${String(cause)})`, 'Put the model there on every GPU worker');
  });
  if (found.sha256 !== sha256) {
    throw new ModelFileInvalid(path, `has sha256 ${found.sha256}, the run was opened with ${sha256}`, 'Put the same model on every worker, or start a new run');
  }
}
