import type { Precision, OnProgress, PolicyWeights, StoredTensors } from './policy.js';
import { tf, type Tensor } from './backend.js';
import { mergeAdapter, concatenateAdapters, type Theta } from './decode-weights.js';
import { flatWeights, viewsOf, weightLayout } from './full-weights.js';
import { adapterLayout, zeroAdapter } from './lora.js';
import { moduleNames, type ModelShape, type ModuleName } from './model-config.js';
import { modelFingerprint } from './model-files.js';
import { flatten, readStored, type ParameterLayout } from './stored-tensors.js';
import { endIdsOf } from './text-codec.js';
import type { Adapter, FrozenWeights, LayerAdapter } from './transformer.js';
import { loadWeights } from './weights/load-weights.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { openModel } from './weights/open-model.js';

/** theta on the device: a model's weights, adapters merged into them or beside them, and what is trained. */
export class LoadedModel {
  /** What the parameters are stored as; empty while there are none. */
  name = '';
  #frozen: FrozenWeights;
  /** Merged adapters that stay beside bfloat16 weights, which would round their small changes away. */
  #adaptersBeside: Adapter[] = [];
  #frozenDropped = false; // in full training without a reference: only its config is left
  #parameters: Tensor | null = null; // (P) flat, in the layout's order

  private constructor(
    /** What of the weights cannot be exchanged without loading anew. */
    readonly key: string,
    readonly weights: Pick<PolicyWeights, 'lora' | 'full'>,
    readonly precision: Precision,
    private readonly ends: ReadonlySet<number> | ModelFileInvalid,
    frozen: FrozenWeights,
  ) {
    this.#frozen = frozen;
  }

  /**
   * Loads the model and merges its adapters in; the caller then sets the trainable parameters. A failure leaves nothing behind.
   * @param makeRoom  called once it is known that the model is the right one
   */
  static async load(
    weights: PolicyWeights,
    key: string,
    precision: Precision,
    makeRoom: () => void,
    onProgress: OnProgress,
  ): Promise<LoadedModel> {
    await verifyModel(weights.model.path, weights.model.sha256);
    const ends = await endIdsOf(weights.model.path).catch((error: unknown) => {
      if (error instanceof ModelFileInvalid) return error;
      throw error;
    });
    makeRoom();
    // Trainable weights are kept in fp32: a step moves them by less than bfloat16 can tell apart.
    const narrow = precision === 'bf16' && weights.full === undefined;
    const reader = await openModel(weights.model.path, weights.model.acceptSettings ?? []);
    let frozen: FrozenWeights;
    try {
      frozen = await loadWeights(reader, narrow, onProgress);
    } finally {
      await reader.close();
    }
    const held = new LoadedModel(key, weights, precision, ends, frozen);
    try {
      for (const adapter of weights.mergedAdapters) await held.#merge(adapter, narrow);
      return held;
    } catch (failure) {
      // Half of what was asked for must not be taken for it by the next attempt.
      held.dispose();
      throw failure;
    }
  }

  get config(): ModelShape {
    return this.#frozen.config;
  }

  get layout(): ParameterLayout {
    return this.weights.full ? weightLayout(this.config) : adapterLayout(this.config, this.weights.lora);
  }

  /**
   * Tokens that end a response.
   * @throws {ModelFileInvalid} if the model's files say it wrongly, or its text cannot be read; ids are scored and trained on all the same
   */
  get endIds(): ReadonlySet<number> {
    if (this.ends instanceof Error) throw this.ends;
    return this.ends;
  }

  /** The model file's own weights are gone: full training without a reference has others. */
  get isWithoutFrozen(): boolean {
    return this.#frozenDropped;
  }

  get parameters(): Tensor {
    return this.#parameters!;
  }

  /** Takes the tensor over. */
  setParameters(parameters: Tensor, name: string): void {
    this.#parameters?.dispose();
    this.#parameters = parameters;
    this.name = name;
  }

  /** Makes the parameters what is stored; null is what training begins with. */
  async takeStored(stored: readonly StoredTensors[] | null, name: string): Promise<void> {
    const { full, lora } = this.weights;
    if (stored !== null) this.setParameters((await this.read(stored, ['']))[0]!, name);
    else this.setParameters(full ? flatWeights(this.#frozen) : tf.tensor1d(zeroAdapter(this.config, lora)), name);
    if (full && !full.reference) this.#dropFrozen();
  }

  dispose(): void {
    this.#dropFrozen();
    this.#parameters?.dispose();
    this.#parameters = null;
  }

  /** Flat vectors of the stored tensors whose names begin with each prefix; stored in one part, or group by group in the layout's order. */
  async read(parts: readonly StoredTensors[], prefixes: readonly string[]): Promise<Tensor[]> {
    const layout = this.layout;
    const sections = parts.length === 1 ? [{ ...layout, offset: 0 }] : weightLayout(this.config).groups;
    if (parts.length !== sections.length)
      throw new ModelFileInvalid(
        'checkpoint',
        `has ${parts.length} groups of weights, expected ${sections.length}`,
        'It belongs to another model: use the run that made it',
      );
    const read: Tensor[][] = prefixes.map(() => []);
    try {
      for (const [part, section] of sections.entries()) {
        const stored = await readStored(parts[part]!);
        prefixes.forEach((prefix, p) => read[p]!.push(tf.tensor1d(flatten(section, stored, prefix))));
      }
      return read.map((found) => (found.length === 1 ? found[0]!.clone() : (tf.concat(found as never[], 0) as Tensor)));
    } finally {
      tf.dispose(read);
    }
  }

  /** The flat gradient of the trainable adapter, in the layout's order. */
  flattened(gradients: readonly LayerAdapter[]): Tensor {
    return tf.tidy(() =>
      tf.concat(
        adapterLayout(this.config, this.weights.lora).tensors.map(({ layer, module, which }) =>
          gradients[layer]![module][which].flatten(),
        ),
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

  /** What the passes take; the caller disposes of its views. */
  theta(which: 'current' | 'reference'): Theta {
    if (which === 'reference' && this.#frozenDropped)
      throw new Error(
        'full training without a divergence term keeps no frozen reference: set algorithm.klCoefficient above 0',
      );
    const beside = this.#adaptersBeside;
    if (which === 'reference')
      return {
        weights: this.#frozen,
        ...(beside.length === 0 ? { adapter: null, views: [] } : concatenateAdapters(beside, null)),
      };
    if (this.weights.full)
      return { adapter: null, ...viewsOf(this.#parameters!, this.config, this.precision === 'bf16') };
    const adapter = this.#split(this.#parameters!);
    if (beside.length === 0) return { weights: this.#frozen, adapter, views: adapter.layers };
    const joined = concatenateAdapters(beside, adapter);
    tf.dispose(adapter.layers as never);
    return { weights: this.#frozen, ...joined };
  }

  #split(flat: Tensor): Adapter {
    const { lora } = this.weights;
    const layers: Record<ModuleName, { A?: Tensor; B?: Tensor }>[] = [];
    for (const { layer, module, which, shape, offset } of adapterLayout(this.config, lora).tensors) {
      layers[layer] ??= Object.fromEntries(moduleNames.map((name) => [name, {}])) as Record<
        ModuleName,
        { A?: Tensor; B?: Tensor }
      >;
      layers[layer][module][which] = tf.tidy(() => flat.slice([offset], [shape[0] * shape[1]]).reshape([...shape]));
    }
    return { scale: lora.alpha / lora.rank, rank: lora.rank, layers: layers as LayerAdapter[] };
  }

  async #merge(stored: StoredTensors, narrow: boolean): Promise<void> {
    const layout = adapterLayout(this.config, this.weights.lora);
    const adapter = this.#adapterOf(flatten(layout, await readStored(stored), ''));
    if (narrow) {
      this.#adaptersBeside.push(adapter);
      return;
    }
    const before: FrozenWeights = this.#frozen;
    this.#frozen = { ...before, layers: mergeAdapter(before.layers, adapter) };
    tf.dispose([before.layers.map((layer) => layer.modules), adapter.layers] as never);
  }

  #dropFrozen(): void {
    const { embedding, head, finalNorm, layers } = this.#frozen;
    tf.dispose([this.#adaptersBeside.map(({ layers: of }) => of), embedding, head, finalNorm, layers] as never);
    this.#adaptersBeside = [];
    this.#frozenDropped = true;
  }
}

/** @throws {ModelFileInvalid} if the model is not the one that the run was opened with */
async function verifyModel(path: string, sha256: string): Promise<void> {
  const found = await modelFingerprint(path).catch((cause: unknown) => {
    if (cause instanceof ModelFileInvalid) throw cause;
    throw new ModelFileInvalid(path, `cannot be read (${String(cause)})`, 'Put the model there on every GPU worker');
  });
  if (found.sha256 !== sha256) {
    throw new ModelFileInvalid(
      path,
      `has sha256 ${found.sha256}, the run was opened with ${sha256}`,
      'Put the same model on every worker, or start a new run',
    );
  }
}
