import { uniform } from '../numerics/random.js';
import { softmaxLastAxis, tf, type Tensor } from './backend.js';
import { fusedLinear, type DecodeWeights } from './decode-weights.js';
import { logitsOf } from './head.js';
import type { OnProgress, SampledResponse, SampleRequest, SamplingOptions } from './policy.js';
import { layerForward, packTries, rmsScale, rotaryTables, rotate, type FrozenWeights } from './transformer.js';
import { microBatches, packTrie, pathTo, type TokenTrie } from './trie.js';
import { drawTruncated, keptTokens, truncates, type Truncation } from './truncation.js';

/**
 * Batched decoding with a KV cache.
 *
 * Prefill: the prompts of a row form one trie, so that a prefix shared by the samples of a task is
 * computed once; each request then gathers its own path. Decode: all live requests step together,
 * the cache in two pieces, the fixed prompt and a growing tail, so that a step copies only the tail.
 *
 * B live requests, P longest prompt, t tokens decoded so far.
 */
interface LayerCache {
  promptKeys: Tensor; // (B K, P, D)
  promptValues: Tensor; // (B K, P, D)
  tailKeys: Tensor; // (B K, t, D)
  tailValues: Tensor; // (B K, t, D)
}

interface DecodeState {
  /** Index of each request of the batch in the caller's list. */
  members: number[];
  promptLengths: number[];
  promptMask: Tensor; // (B, 1, P) 0 where a prompt has a token, else very negative
  caches: LayerCache[];
}

/** Tells of each token as it is drawn: of which request, and which. */
export type OnSampled = (request: number, id: number) => void;

/**
 * Samples one response per request at the temperature.
 * @param rows  requests that share a trie, by index; every request is in exactly one
 */
export async function sampleResponses(
  weights: DecodeWeights,
  requests: readonly SampleRequest[],
  rows: readonly (readonly number[])[],
  options: SamplingOptions & { readonly endOfTurnId: number; readonly prefillTokens: number; readonly onSampled?: OnSampled },
  onProgress: OnProgress,
): Promise<SampledResponse[]> {
  const responses = requests.map(() => ({ ids: [] as number[], logProbs: [] as number[], end: 'token-limit' as SampledResponse['end'] }));
  const { state, hidden: first } = await prefill(weights, requests, rows, options.prefillTokens, onProgress);
  let hidden = first;
  try {
    for (let step = 0; ; step++) {
      const open = (request: number): boolean => responses[request]!.end !== 'end-of-turn';
      const uniforms = state.members.map((i) => uniform(`${requests[i]!.randomKey}/${step}`));
      const truncation = options.truncation ?? {};
      const drawn = truncates(truncation)
        ? drawFromLikeliest(hidden, weights.frozen, options.temperature, truncation, uniforms)
        : draw(hidden, weights.frozen, options.temperature, uniforms);
      state.members.forEach((request, b) => {
        if (!open(request)) return;
        responses[request]!.ids.push(drawn[b]!.id);
        responses[request]!.logProbs.push(drawn[b]!.logProb);
        options.onSampled?.(request, drawn[b]!.id);
        if (drawn[b]!.id === options.endOfTurnId) responses[request]!.end = 'end-of-turn';
      });
      await onProgress({ phase: 'decode', done: step + 1, of: options.maxResponseTokens });
      if (step === options.maxResponseTokens - 1) break;
      const going = state.members.map((_, b) => b).filter((b) => open(state.members[b]!));
      if (going.length === 0) break;
      let ids = drawn.map(({ id }) => id);
      // An ended request costs as much as a live one, but dropping it copies the cache: not at every end.
      if (going.length <= 0.75 * state.members.length) {
        keepOnly(state, going);
        ids = going.map((b) => ids[b]!);
      }
      hidden.dispose();
      hidden = decodeStep(weights, state, ids, step);
    }
  } finally {
    hidden.dispose();
    state.promptMask.dispose();
    tf.dispose(state.caches as never);
  }
  return responses;
}

const BLOCK = 256;

/**
 * One token per row by inverting the cumulative distribution at a uniform number, in two stages so
 * that only V / 256 + 256 probabilities per row leave the device.
 */
function draw(hidden: Tensor, weights: FrozenWeights, temperature: number, uniforms: readonly number[]): { id: number; logProb: number }[] {
  const B = uniforms.length;
  const blocks = Math.ceil(weights.config.vocabulary / BLOCK);
  const probabilities = tf.tidy(() => {
    const p = softmaxLastAxis(logitsOf(hidden, null, weights, temperature)) as import('@tensorflow/tfjs-node-gpu').Tensor2D;
    const surplus = blocks * BLOCK - weights.config.vocabulary;
    return (surplus === 0 ? p : tf.pad(p, [[0, 0], [0, surplus]])).reshape([B, blocks, BLOCK]);
  });
  const sums = tf.tidy(() => tf.sum(probabilities, 2).dataSync()) as Float32Array;
  const chosen = uniforms.map((u, b) => invert(sums, b * blocks, blocks, u));
  const within = tf.tidy(() =>
    tf.gatherND(probabilities, tf.tensor2d(chosen.flatMap(({ index }, b) => [b, index]), [B, 2], 'int32')).dataSync(),
  ) as Float32Array;
  probabilities.dispose();
  return chosen.map(({ index: block, rest }, b) => {
    const { index } = invert(within, b * BLOCK, BLOCK, rest);
    return { id: block * BLOCK + index, logProb: Math.log(within[b * BLOCK + index]!) };
  });
}

/** Tokens of each row that are looked at before all are. */
const LIKELIEST = 256;

/** One token per row of the truncated distribution; log-probs are of that distribution. */
function drawFromLikeliest(hidden: Tensor, weights: FrozenWeights, temperature: number, truncation: Truncation, uniforms: readonly number[]): { id: number; logProb: number }[] {
  const { vocabulary } = weights.config;
  const probabilities = tf.tidy(() => softmaxLastAxis(logitsOf(hidden, null, weights, temperature)));
  const likeliestOf = (k: number): { values: Float32Array; indices: Int32Array; k: number } =>
    tf.tidy(() => {
      const { values, indices } = tf.topk(probabilities, k, true);
      return { values: values.dataSync(), indices: indices.dataSync(), k } as never;
    });
  try {
    const some = likeliestOf(Math.min(LIKELIEST, vocabulary));
    let all: typeof some | null = null;
    return uniforms.map((u, b) => {
      const row = ({ values, k }: typeof some) => values.subarray(b * k, (b + 1) * k);
      let from = some;
      let kept = keptTokens(row(some), truncation, some.k === vocabulary);
      if (kept === null) {
        from = all ??= likeliestOf(vocabulary);
        kept = keptTokens(row(from), truncation, true)!;
      }
      const { place, logProb } = drawTruncated(row(from), kept, u);
      return { id: from.indices[b * from.k + place]!, logProb };
    });
  } finally {
    probabilities.dispose();
  }
}

/** Index at which the running sum of weights passes share `u` of their total, and where in that weight it did, in [0, 1). */
function invert(weights: Float32Array, start: number, count: number, u: number): { index: number; rest: number } {
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[start + i]!;
  let left = u * total;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[start + i]!;
    if (weight === 0) continue;
    if (left < weight) return { index: i, rest: left / weight };
    left -= weight;
    last = i;
  }
  // Rounding left a crumb after the last weight: it belongs to it.
  return { index: last, rest: 1 - Number.EPSILON };
}

async function prefill(
  weights: DecodeWeights,
  requests: readonly SampleRequest[],
  rows: readonly (readonly number[])[],
  budget: number,
  onProgress: OnProgress,
): Promise<{ state: DecodeState; hidden: Tensor }> {
  const { config } = weights.frozen;
  const P = Math.max(...requests.map(({ promptIds }) => promptIds.length));
  // A response of one token makes its predictor the prompt's last node, which is all that prefill needs.
  const tries = rows.map((row) => packTrie(row.map((i) => ({ promptIds: requests[i]!.promptIds, responseIds: [0] }))));
  const pieces: { caches: { k: Tensor; v: Tensor }[]; hidden: Tensor }[] = [];
  const order: number[] = [];
  const batches = microBatches(tries.map((trie) => trie.tokens.length), budget);
  for (const [done, batch] of batches.entries()) {
    const members = batch.flatMap((row) => rows[row]!);
    order.push(...members);
    pieces.push(prefillBatch(weights, batch.map((row) => tries[row]!), P));
    await onProgress({ phase: 'prefill', done: done + 1, of: batches.length });
  }
  const joined = tf.tidy(() => {
    const { keyValueHeads: K, headDimension: D } = config;
    const B = requests.length;
    const empty = (): Tensor => tf.zeros([B * K, 0, D]);
    const caches = weights.layers.map((_, layer) => ({
      promptKeys: tf.concat(pieces.map((piece) => piece.caches[layer]!.k), 0),
      promptValues: tf.concat(pieces.map((piece) => piece.caches[layer]!.v), 0),
      tailKeys: empty(),
      tailValues: empty(),
    }));
    const lengths = order.map((i) => requests[i]!.promptIds.length);
    const mask = tf.buffer([B, 1, P]);
    lengths.forEach((length, b) => {
      for (let p = length; p < P; p++) mask.set(-1e9, b, 0, p);
    });
    return { hidden: tf.concat(pieces.map((piece) => piece.hidden), 0), caches, promptMask: mask.toTensor() } as never;
  }) as { hidden: Tensor; caches: LayerCache[]; promptMask: Tensor };
  tf.dispose(pieces as never);
  return {
    hidden: joined.hidden,
    state: {
      members: order,
      promptLengths: order.map((i) => requests[i]!.promptIds.length),
      promptMask: joined.promptMask,
      caches: joined.caches,
    },
  };
}

function prefillBatch(weights: DecodeWeights, tries: readonly TokenTrie[], P: number): { caches: { k: Tensor; v: Tensor }[]; hidden: Tensor } {
  const { frozen, adapter } = weights;
  const { keyValueHeads: K, headDimension: D } = frozen.config;
  return tf.tidy(() => {
    const batch = packTries(frozen.config, tries);
    const paths = tries.flatMap((trie, r) => trie.predictors.map((nodes) => ({ start: batch.starts[r]!, path: pathTo(trie, nodes[0]!) })));
    const B = paths.length;
    const index = new Int32Array(B * P); // the padding points at node 0 and is masked
    paths.forEach(({ start, path }, b) => path.forEach((node, p) => (index[b * P + p] = start + node)));
    const gatherIndex = tf.tensor1d(index, 'int32');
    const perRequest = (x: Tensor): Tensor => tf.gather(x, gatherIndex).reshape([B, P, K, D]).transpose([0, 2, 1, 3]).reshape([B * K, P, D]);
    let x: Tensor = tf.gather(frozen.embedding, batch.tokens);
    const caches = frozen.layers.map((source, l) =>
      tf.tidy(() => {
        const { output, cache } = layerForward(x, source, adapter && { scale: adapter.scale, layer: adapter.layers[l]! }, batch, frozen.config, { save: false, cache: true });
        x.dispose();
        x = tf.keep(output);
        return { k: perRequest(cache!.k), v: perRequest(cache!.v) } as never;
      }) as { k: Tensor; v: Tensor },
    );
    const last = tf.tensor1d(Int32Array.from(paths.map(({ start, path }) => start + path[path.length - 1]!)), 'int32');
    const hidden = tf.gather(x, last);
    x.dispose();
    return { caches, hidden } as never;
  });
}

/** Feeds each member's newest token and returns the last layer's hidden states, (B, H). Grows the caches' tails. */
function decodeStep({ frozen, layers }: DecodeWeights, state: DecodeState, ids: readonly number[], step: number): Tensor {
  const { heads: Q, keyValueHeads: K, headDimension: D, feedForward: F, normEpsilon } = frozen.config;
  const R = Q / K;
  const B = ids.length;
  const { cos, sin } = rotaryTables(frozen.config, state.promptLengths.map((length) => length + step));
  let x: Tensor = tf.tidy(() => tf.gather(frozen.embedding, tf.tensor1d([...ids], 'int32')));
  layers.forEach(({ qkv, output: outputProjection, gateUp, down, qkNorm }, layer) => {
    const source = frozen.layers[layer]!;
    const cache = state.caches[layer]!;
    const next = tf.tidy(() => {
      const normed = tf.mul(tf.mul(x, rmsScale(x, normEpsilon)), source.attentionNorm);
      const [qk, v] = tf.split(fusedLinear(normed, qkv), [(Q + K) * D, K * D], 1) as [Tensor, Tensor];
      const heads = qk.reshape([B, Q + K, D]);
      const headsNormed = qkNorm ? tf.mul(tf.mul(heads, rmsScale(heads, normEpsilon)), qkNorm) as Tensor : heads;
      const [q, k] = tf.split(rotate(headsNormed, cos, sin, 1), [Q, K], 1) as [Tensor, Tensor];
      const queries = tf.mul(q, D ** -0.5).reshape([B * K, R, D]);
      const tailKeys = tf.concat([cache.tailKeys, k.reshape([B * K, 1, D])], 1);
      const tailValues = tf.concat([cache.tailValues, v.reshape([B * K, 1, D])], 1);
      const P = cache.promptKeys.shape[1]!;
      const promptScores = tf.add((tf.matMul(queries as never, cache.promptKeys as never, false, true) as Tensor).reshape([B, Q, P]), state.promptMask);
      const tailScores = (tf.matMul(queries as never, tailKeys as never, false, true) as Tensor).reshape([B, Q, step + 1]);
      const probabilities = softmaxLastAxis(tf.concat([promptScores, tailScores], 2)).reshape([B * K, R, P + step + 1]);
      const [onPrompt, onTail] = tf.split(probabilities, [P, step + 1], 2) as [Tensor, Tensor];
      const attended = tf.add(tf.matMul(onPrompt as never, cache.promptValues as never), tf.matMul(onTail as never, tailValues as never)).reshape([B, Q * D]);
      const middle = tf.add(x, fusedLinear(attended, outputProjection)) as Tensor;
      const middleNormed = tf.mul(tf.mul(middle, rmsScale(middle, normEpsilon)), source.mlpNorm);
      const [gate, up] = tf.split(fusedLinear(middleNormed, gateUp), [F, F], 1) as [Tensor, Tensor];
      const activated = tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
      const output = tf.add(middle, fusedLinear(activated, down));
      return { output, tailKeys, tailValues } as never;
    }) as { output: Tensor; tailKeys: Tensor; tailValues: Tensor };
    tf.dispose([x, cache.tailKeys, cache.tailValues]);
    x = next.output;
    cache.tailKeys = next.tailKeys;
    cache.tailValues = next.tailValues;
  });
  tf.dispose([cos, sin]);
  return x;
}

/** Drops the members that are not in `going` (indices into the batch). */
function keepOnly(state: DecodeState, going: readonly number[]): void {
  const B = state.members.length;
  const index = tf.tensor1d([...going], 'int32');
  const kept = (x: Tensor): Tensor => {
    const [rows, ...rest] = x.shape as [number, ...number[]];
    const result = tf.tidy(() => tf.gather(x.reshape([B, rows / B, ...rest]), index).reshape([(going.length * rows) / B, ...rest]));
    x.dispose();
    return result;
  };
  for (const cache of state.caches) {
    cache.promptKeys = kept(cache.promptKeys);
    cache.promptValues = kept(cache.promptValues);
    cache.tailKeys = kept(cache.tailKeys);
    cache.tailValues = kept(cache.tailValues);
  }
  state.promptMask = kept(state.promptMask);
  state.members = going.map((b) => state.members[b]!);
  state.promptLengths = going.map((b) => state.promptLengths[b]!);
  index.dispose();
}
