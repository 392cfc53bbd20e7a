import { isOnProcessor, tf } from './backend.js';
import { DecodeGraphs } from './decode-graph.js';
import { fusedWeights, type DecodeWeights } from './decode-weights.js';
import type { LoadedModel } from './loaded-model.js';
import { KvCache } from './kv-cache.js';
import type { OnProgress, SampledResponse, SampleRequest, SamplingOptions } from './policy.js';
import { sampleResponses, type OnSampled } from './sampling.js';
import { prefixGroupsOf } from './trie.js';
import { isOutOfMemory } from './split-on-oom.js';

/** Trie nodes that go through prefill at once. */
const PREFILL_TOKENS = 2048;
/** Keys and values that are kept from turn to turn; a play that has more reads its prompts anew each turn. */
const MOST_KEPT_BYTES = 2 * 2 ** 30;

/** Samples from a held theta, and keeps what the next call with it can use: weights in the form of decoding, graphs, keys and values of a session. */
export class Sampler {
  #decode: DecodeWeights | null = null;
  #graphs: DecodeGraphs | null = null;
  #play: { readonly session: string | null; readonly store: KvCache } | null = null;

  async sample(
    held: LoadedModel,
    requests: readonly SampleRequest[],
    options: SamplingOptions & { onSampled?: OnSampled },
    onProgress: OnProgress,
  ): Promise<SampledResponse[]> {
    const { endIds } = held;
    this.#decode ??= fusedWeights(held.theta('current'));
    if (isOnProcessor) this.#graphs ??= new DecodeGraphs(held.config);
    const { session = null } = options;
    if (session === null || this.#play?.session !== session) this.#dropPlay();
    const { store } = (this.#play ??= { session, store: new KvCache() });
    let keep = false;
    try {
      const responses = await sampleResponses(
        this.#decode,
        store,
        requests,
        prefixGroupsOf(requests),
        { ...options, endIds, prefillTokens: PREFILL_TOKENS, keepResponses: session !== null, graphs: this.#graphs },
        onProgress,
      );
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
    const from = (first: number) =>
      onSampled ? { ...each, onSampled: (request: number, id: number) => onSampled(first + request, id) } : each;
    return [
      ...(await this.sample(held, requests.slice(0, half), from(0), onProgress)),
      ...(await this.sample(held, requests.slice(half), from(half), onProgress)),
    ];
  }

  /** theta has moved: only the graphs, which know nothing of weights, can still be used. */
  forget(): void {
    this.#dropPlay();
    if (this.#decode) tf.dispose(this.#decode.owned as never);
    this.#decode = null;
  }

  /** Another model follows. */
  dispose(): void {
    this.forget();
    this.#graphs?.dispose();
    this.#graphs = null;
  }

  #dropPlay(): void {
    this.#play?.store.dispose();
    this.#play = null;
  }
}
