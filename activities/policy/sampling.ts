import { uniform } from '../numerics/random.js';
import { tf, type Tensor } from './backend.js';
import type { DecodeGraphs, DecodeInputs } from './decode-graph.js';
import { decodeLayer, type CachePart } from './decode-layer.js';
import { DecodeState } from './decode-state.js';
import type { DecodeWeights } from './decode-weights.js';
import { sampleTokens, sampleTruncated, type SampledToken } from './token-sampling.js';
import type { KvCache } from './kv-cache.js';
import type { ModelShape } from './model-config.js';
import { eager } from './ops.js';
import type { OnProgress, SampledResponse, SampleRequest, SamplingOptions } from './policy.js';
import { truncates } from './truncation.js';

/** Tells of each token as it is drawn: of which request, and which. */
export type OnSampled = (request: number, id: number) => void;

/**
 * Batched decoding: the prompts are read into the store, where every prefix that they share, or that was read before, is computed
 * once; then all live requests step together.
 *
 * @param store   holds the prompts afterwards, and the responses too if `keepResponses`
 * @param groups  requests that share the beginning of their prompts, by index; every request is in exactly one
 * @param options.graphs  run a step as a graph; null: operation by operation
 */
export async function sampleResponses(
  weights: DecodeWeights,
  store: KvCache,
  requests: readonly SampleRequest[],
  groups: readonly (readonly number[])[],
  options: SamplingOptions & {
    readonly endIds: ReadonlySet<number>;
    readonly prefillTokens: number;
    readonly keepResponses: boolean;
    readonly graphs: DecodeGraphs | null;
    readonly onSampled?: OnSampled;
  },
  onProgress: OnProgress,
): Promise<SampledResponse[]> {
  const responses = requests.map(() => ({
    ids: [] as number[],
    logProbs: [] as number[],
    end: 'token-limit' as SampledResponse['end'],
  }));
  const { paths, hidden: ends } = await store.read(
    weights,
    requests.map(({ promptIds }) => promptIds),
    options.prefillTokens,
    onProgress,
  );
  let hidden: Tensor = tf.tidy(() => tf.gather(ends, tf.tensor1d(groups.flat(), 'int32')));
  ends.dispose();
  let state: DecodeState;
  try {
    state = new DecodeState(weights.frozen.config, store, groups, paths);
  } catch (failure) {
    hidden.dispose();
    throw failure;
  }
  const keep = (places: readonly number[]): void => {
    if (!options.keepResponses || state.step === 0) return;
    const kept = places
      .map((b) => state.members[b]!)
      .map((i) => ({ after: paths[i]!.at(-1)!, ids: responses[i]!.ids }));
    store.keep(kept, state.step, (layer) => state.tailsOf(places, layer));
  };
  try {
    for (let step = 0; ; step++) {
      const open = (request: number): boolean => responses[request]!.end !== 'end-of-turn';
      const drawn = drawOf(
        hidden,
        weights,
        options,
        state.members.map((i) => uniform(`${requests[i]!.randomKey}/${step}`)),
      );
      state.members.forEach((request, b) => {
        if (!open(request)) return;
        responses[request]!.ids.push(drawn[b]!.id);
        responses[request]!.logProbs.push(drawn[b]!.logProb);
        options.onSampled?.(request, drawn[b]!.id);
        if (options.endIds.has(drawn[b]!.id)) responses[request]!.end = 'end-of-turn';
      });
      await onProgress({ phase: 'decode', done: step + 1, of: options.maxResponseTokens });
      const going = state.members.map((_, b) => b).filter((b) => open(state.members[b]!));
      if (step === options.maxResponseTokens - 1 || going.length === 0) break;
      let ids = drawn.map(({ id }) => id);
      // An ended request costs as much as a live one, but dropping it copies the cache: not at every end.
      if (going.length <= 0.75 * state.members.length) {
        keep(state.members.map((_, b) => b).filter((b) => !going.includes(b)));
        state.retain(going);
        ids = going.map((b) => ids[b]!);
      }
      hidden.dispose();
      hidden = decodeStep(weights, options.graphs, state, ids);
    }
    keep(state.members.map((_, b) => b));
  } finally {
    hidden.dispose();
    state.dispose();
  }
  return responses;
}

function drawOf(
  hidden: Tensor,
  { frozen }: DecodeWeights,
  { temperature, truncation = {} }: SamplingOptions,
  uniforms: readonly number[],
): SampledToken[] {
  return truncates(truncation)
    ? sampleTruncated(hidden, frozen, temperature, truncation, uniforms)
    : sampleTokens(hidden, frozen, temperature, uniforms);
}

/** Feeds each member's newest token and returns the last layer's hidden states, (B, H). */
function decodeStep(
  { frozen, layers }: DecodeWeights,
  graphs: DecodeGraphs | null,
  state: DecodeState,
  ids: readonly number[],
): Tensor {
  const frame = state.frame();
  const x: Tensor = tf.tidy(() => tf.gather(frozen.embedding, tf.tensor1d([...ids], 'int32')));
  const inputs = { x, layers, caches: state.caches, frame };
  const { output, tails } = graphs ? graphs.run(inputs) : stepEagerly(inputs, frozen.config);
  tf.dispose([x, frame.cos, frame.sin]);
  state.advance(tails);
  return output;
}

function stepEagerly(
  { x, layers, caches, frame }: DecodeInputs<Tensor>,
  config: ModelShape,
): { output: Tensor; tails: CachePart<Tensor>[] } {
  let output = x;
  const tails = layers.map((layer, l) => {
    const step = tf.tidy(() => decodeLayer(eager, output, layer, caches[l]!, frame, config) as never) as {
      output: Tensor;
      tail: CachePart<Tensor>;
    };
    if (l > 0) output.dispose();
    output = step.output;
    return step.tail;
  });
  return { output, tails };
}
