import { tf, type Tensor } from './backend.js';
import type { CachePart, DecodeFrame, LayerCache } from './decode-layer.js';
import type { KvCache } from './kv-cache.js';
import type { ModelShape } from './model-config.js';
import { filledWidth, rotaryTables } from './packed-tries.js';

/** The live requests of a batch with their caches, in the shapes of decode-layer.ts. */
export class DecodeState {
  /** Index of each live request in the caller's list. */
  members: number[];
  caches: LayerCache<Tensor>[] = [];
  /** Tokens that the tails hold. */
  step = 0;
  #groupOf: number[];
  #groups: number;
  #mask: Tensor;
  #places: { requestAt: Tensor; placeOf: Tensor; most: number };
  readonly #shared: number;
  readonly #own: number;

  /**
   * @param groups   requests that share the beginning of their prompts, by index; every request is in exactly one
   * @param paths    nodes of each request's prompt in the store
   */
  constructor(
    readonly config: ModelShape,
    store: KvCache,
    groups: readonly (readonly number[])[],
    readonly paths: readonly Int32Array[],
  ) {
    this.members = groups.flat();
    this.#groupOf = groups.flatMap((group, g) => group.map(() => g));
    this.#groups = groups.length;
    const beginnings = groups.map((group) => commonBeginning(group.map((i) => paths[i]!)));
    const rests = this.members.map((i, b) => paths[i]!.subarray(beginnings[this.#groupOf[b]!]!.length));
    this.#shared = filledWidth(Math.max(...beginnings.map(({ length }) => length)));
    this.#own = filledWidth(Math.max(...rests.map(({ length }) => length)));
    const [S, P] = [this.#shared, this.#own];
    const mask = new Float32Array(rests.length * (S + P));
    rests.forEach(({ length }, b) => {
      mask.fill(-1e9, b * (S + P) + beginnings[this.#groupOf[b]!]!.length, b * (S + P) + S);
      mask.fill(-1e9, b * (S + P) + S + length, (b + 1) * (S + P));
    });
    this.#mask = tf.tensor4d(mask, [1, rests.length, 1, S + P]);
    this.#places = placesOf(this.#groupOf, this.#groups);
    try {
      this.caches = tf.tidy(() => this.#gathered(store, padded(beginnings, S), padded(rests, P)) as never);
    } catch (failure) {
      this.dispose();
      throw failure;
    }
  }

  /** @param sharedNodes, ownNodes  (G S), (B P) of what is shared by groups, and of the rests of prompts */
  #gathered(store: KvCache, sharedNodes: Tensor, ownNodes: Tensor): LayerCache<Tensor>[] {
    const { layers, keyValueHeads: K, headDimension: D } = this.config;
    const part = (layer: number, nodes: Tensor, width: number): CachePart<Tensor> => {
      const { k, v } = store.layer(layer);
      const gathered = (x: Tensor): Tensor =>
        tf.transpose(tf.gather(x, nodes as never).reshape([-1, width, K, D]), [2, 0, 1, 3]);
      return { keys: gathered(k), values: gathered(v) };
    };
    const none = (): Tensor => tf.zeros([K, this.members.length, 0, D]);
    return Array.from({ length: layers }, (_, layer) => ({
      shared: part(layer, sharedNodes, this.#shared),
      own: this.#own === 0 ? null : part(layer, ownNodes, this.#own),
      tail: { keys: none(), values: none() },
    }));
  }

  /** What the next step's layers have in common. The caller disposes of cos and sin. */
  frame(): DecodeFrame<Tensor> {
    const { heads: Q, keyValueHeads: K, headDimension: D } = this.config;
    const R = Q / K;
    const { requestAt, placeOf, most } = this.#places;
    const [G, S, P] = [this.#groups, this.#shared, this.#own];
    return {
      ...rotaryTables(
        this.config,
        this.members.map((i) => this.paths[i]!.length + this.step),
      ),
      mask: this.#mask,
      requestAt,
      placeOf,
      queriesByGroup: [K, G, most * R, D],
      scoresByPlace: [K, G * most, R, S],
      scoresByGroup: [K, G, most * R, S],
      widths: P === 0 ? [S, this.step + 1] : [S, P, this.step + 1],
    };
  }

  /** Takes the tails of the next step, disposing of those before. */
  advance(tails: readonly CachePart<Tensor>[]): void {
    this.caches = this.caches.map((cache, layer) => {
      tf.dispose([cache.tail.keys, cache.tail.values]);
      return { ...cache, tail: tails[layer]! };
    });
    this.step += 1;
  }

  /** Drops the members that are not in `going`, places in the batch. */
  retain(going: readonly number[]): void {
    const groups = [...new Set(going.map((b) => this.#groupOf[b]!))].sort((a, b) => a - b);
    const requestIndex = tf.tensor1d([...going], 'int32');
    const groupIndex = tf.tensor1d(groups, 'int32');
    const kept = (x: Tensor, index: Tensor): Tensor => {
      const result = tf.gather(x, index, 1);
      x.dispose();
      return result;
    };
    const part = ({ keys, values }: CachePart<Tensor>, index: Tensor): CachePart<Tensor> => ({
      keys: kept(keys, index),
      values: kept(values, index),
    });
    this.caches = this.caches.map(({ shared, own, tail }) => ({
      shared: groups.length === this.#groups ? shared : part(shared, groupIndex),
      own: own && part(own, requestIndex),
      tail: part(tail, requestIndex),
    }));
    this.#mask = kept(this.#mask, requestIndex);
    this.members = going.map((b) => this.members[b]!);
    this.#groupOf = going.map((b) => groups.indexOf(this.#groupOf[b]!));
    this.#groups = groups.length;
    tf.dispose([this.#places.requestAt, this.#places.placeOf, requestIndex, groupIndex]);
    this.#places = placesOf(this.#groupOf, this.#groups);
  }

  /** Keys and values of some members' tails, (members t, K, D), runs inside a tidy. */
  tailsOf(places: readonly number[], layer: number): { k: Tensor; v: Tensor } {
    const { keyValueHeads: K, headDimension: D } = this.config;
    const { keys, values } = this.caches[layer]!.tail;
    const index = tf.tensor1d([...places], 'int32');
    const rows = (x: Tensor): Tensor => tf.transpose(tf.gather(x, index, 1), [1, 2, 0, 3]).reshape([-1, K, D]);
    return { k: rows(keys), v: rows(values) };
  }

  dispose(): void {
    tf.dispose([this.#mask, this.#places.requestAt, this.#places.placeOf, this.caches] as never);
  }
}

/** Nodes that all paths begin with. */
function commonBeginning(paths: readonly Int32Array[]): Int32Array {
  const [first] = paths as [Int32Array];
  // Equal nodes have equal nodes before them.
  let length = Math.min(...paths.map((path) => path.length));
  while (length > 0 && paths.some((path) => path[length - 1] !== first[length - 1])) length--;
  return first.subarray(0, length);
}

/** Lists one after another, each filled up with node 0 to the width. */
function padded(lists: readonly Int32Array[], width: number): Tensor {
  const all = new Int32Array(lists.length * width);
  lists.forEach((list, i) => all.set(list, i * width));
  return tf.tensor1d(all, 'int32');
}

/** Groups side by side, each with as many places as the largest has members. */
function placesOf(groupOf: readonly number[], groups: number): { requestAt: Tensor; placeOf: Tensor; most: number } {
  const members = Array.from({ length: groups }, (_, g) => groupOf.flatMap((of, b) => (of === g ? [b] : [])));
  const most = Math.max(...members.map(({ length }) => length));
  const placeOf = new Int32Array(groupOf.length);
  const requestAt = new Int32Array(groups * most);
  members.forEach((group, g) =>
    group.forEach((b, m) => {
      placeOf[b] = g * most + m;
      requestAt[g * most + m] = b;
    }),
  );
  return { requestAt: tf.tensor1d(requestAt, 'int32'), placeOf: tf.tensor1d(placeOf, 'int32'), most };
}
