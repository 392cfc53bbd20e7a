import { tf, type Tensor } from './backend.js';
import type { DecodeWeights } from './decode-weights.js';
import type { OnProgress } from './policy.js';
import type { KeysAndValues } from './attention.js';
import { disposePackedTries, packNodes } from './packed-tries.js';
import { layerForward } from './transformer.js';
import { PrefixTrie, pathTo } from './trie.js';

/**
 * Keys and values of all tokens read so far, every distinct prefix once: what prompts of one play of episodes have in
 * common, over samples and over turns, goes through the model once. After a failure it can only be disposed of.
 */
export class KvCache {
  readonly #trie = new PrefixTrie();
  /** Of the nodes in the trie's order, a layer each; (N, K, D). */
  #layers: KeysAndValues[] = [];
  /** Nodes that have keys and values. */
  #filled = 0;

  layer(l: number): KeysAndValues {
    return this.#layers[l]!;
  }

  get nodes(): number {
    return this.#filled;
  }

  /** Bytes on the device. */
  get bytes(): number {
    return this.#layers.reduce((sum, { k, v }) => sum + 4 * (k.size + v.size), 0);
  }

  /**
   * Reads prompts, and keeps the keys and values of what is new in them.
   * @param budget  nodes that go through the model at once; longer prompts go in pieces
   * @returns the nodes of each prompt in order, and the last layer's hidden states at their ends, (prompts, H)
   */
  async read(
    weights: DecodeWeights,
    prompts: readonly (readonly number[])[],
    budget: number,
    onProgress: OnProgress,
  ): Promise<{ paths: Int32Array[]; hidden: Tensor }> {
    const before = this.#filled;
    const ends = this.#place(prompts);
    const added = this.#trie.tokens.length - before;
    const wanted = [...new Set(ends)].sort((a, b) => a - b);
    const hidden: Tensor[] = [];
    try {
      for (let done = 0; done < added; ) {
        const first = before + done;
        const last = Math.min(first + budget, before + added);
        const x = this.#forward(weights, first, last);
        const here = wanted.filter((node) => node >= first && node < last).map((node) => node - first);
        hidden.push(tf.tidy(() => tf.gather(x, tf.tensor1d(here, 'int32'))));
        x.dispose();
        done = last - before;
        await onProgress({ phase: 'prefill', done, of: added });
      }
      const row = new Map(wanted.map((node, i) => [node, i]));
      return {
        paths: ends.map((end) => pathTo(this.#trie, end)),
        hidden: tf.tidy(() =>
          tf.gather(
            tf.concat(hidden, 0),
            tf.tensor1d(
              ends.map((end) => row.get(end)!),
              'int32',
            ),
          ),
        ),
      };
    } finally {
      tf.dispose(hidden);
    }
  }

  /**
   * Keeps the keys and values of responses, whose first tokens follow the nodes given.
   * @param of  their keys and values, layer by layer, (responses t, K, D): token l of response r at row r t + l
   */
  keep(
    responses: readonly { readonly after: number; readonly ids: readonly number[] }[],
    t: number,
    of: (layer: number) => KeysAndValues,
  ): void {
    const rows: number[] = [];
    responses.forEach(({ after, ids }, r) => {
      let node = after;
      ids.slice(0, t).forEach((id, l) => {
        if (this.#trie.find(node, id) === null) rows.push(r * t + l);
        node = this.#trie.step(node, id);
      });
    });
    if (rows.length === 0) return;
    this.#filled += rows.length;
    const index = tf.tensor1d(rows, 'int32');
    this.#layers = this.#layers.map((held, l) => {
      const joined = tf.tidy(() => {
        const { k, v } = of(l);
        return {
          k: tf.concat([held.k, tf.gather(k, index)], 0),
          v: tf.concat([held.v, tf.gather(v, index)], 0),
        } as never;
      }) as KeysAndValues;
      tf.dispose([held.k, held.v]);
      return joined;
    });
    index.dispose();
  }

  dispose(): void {
    tf.dispose(this.#layers as never);
    this.#layers = [];
  }

  /** The last node of each prompt, which is always a new one: its hidden state is asked for. */
  #place(prompts: readonly (readonly number[])[]): number[] {
    const again = new Map<number, number>(); // nodes that had been read before, and their new double
    return prompts.map((ids) => {
      let node = -1;
      for (const id of ids.slice(0, -1)) node = this.#trie.step(node, id);
      const end = this.#trie.step(node, ids.at(-1)!);
      if (end >= this.#filled) return end;
      const double = again.get(end) ?? this.#trie.append(node, ids.at(-1)!);
      again.set(end, double);
      return double;
    });
  }

  /** Hidden states of new nodes, whose keys and values join those held. */
  #forward({ frozen, adapter }: DecodeWeights, first: number, last: number): Tensor {
    const packed = packNodes(frozen.config, this.#trie, first, last);
    let x: Tensor = tf.tidy(() => tf.gather(frozen.embedding, packed.tokens));
    try {
      frozen.layers.forEach((source, l) => {
        const past = this.#layers[l] ?? null;
        const { output, cache } = layerForward(
          x,
          source,
          adapter && { scale: adapter.scale, layer: adapter.layers[l]! },
          packed,
          frozen.config,
          { save: false, past },
        );
        tf.dispose([x, ...(past ? [past.k, past.v] : [])]);
        x = output;
        this.#layers[l] = cache!;
      });
    } catch (failure) {
      x.dispose();
      throw failure;
    } finally {
      disposePackedTries(packed);
    }
    this.#filled = last;
    return x;
  }
}
