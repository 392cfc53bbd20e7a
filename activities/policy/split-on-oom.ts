import type { TokenSequence } from './policy.js';
import type { MicroBatch } from './forward-backward.js';
import { packTrie } from './trie.js';

/** What libtensorflow says when an allocation failed. */
export const isOutOfMemory = (failure: unknown): boolean =>
  failure instanceof Error &&
  /\bOOM when allocating|RESOURCE_EXHAUSTED|ResourceExhausted|failed to allocate memory/i.test(failure.message);

/**
 * Works on micro-batches one after another. One that memory does not suffice for is tried again in two halves, and so on down to
 * single sequences; later ones as large are halved at once. What failed must have left nothing behind.
 *
 * @throws the failure of a single sequence, saying what to change
 */
export async function splitOnOom(
  sequences: readonly TokenSequence[],
  batches: readonly MicroBatch[],
  work: (batch: MicroBatch, progress: { readonly done: number; readonly of: number }) => Promise<void>,
): Promise<void> {
  const waiting = [...batches];
  let tooLarge = Infinity; // nodes
  for (let done = 0; waiting.length > 0; ) {
    const batch = waiting.shift()!;
    if (batch.sequences.length > 1 && nodesOf(batch) >= tooLarge) {
      waiting.unshift(...halvesOf(sequences, batch));
      continue;
    }
    try {
      await work(batch, { done: done + 1, of: done + 1 + waiting.length });
      done += 1;
    } catch (failure) {
      if (!isOutOfMemory(failure)) throw failure;
      if (batch.sequences.length === 1) {
        const { prefixGroup, promptIds, responseIds } = sequences[batch.sequences[0]!]!;
        throw new Error(
          `memory does not suffice for one sequence of ${promptIds.length + responseIds.length} tokens (prefix group ${prefixGroup}): ${(failure as Error).message}. ` +
            'Lower rollout.maxPromptTokens or rollout.maxResponseTokens, use SEEUPO_PRECISION=bf16 or SEEUPO_REPLICAS=1, or take a device with more memory (`npm run plan` says how much)',
          { cause: failure },
        );
      }
      tooLarge = Math.min(tooLarge, nodesOf(batch));
      waiting.unshift(batch);
    }
  }
}

const nodesOf = ({ tries }: MicroBatch): number => tries.reduce((sum, { tokens }) => sum + tokens.length, 0);

/** Whole rows to each half where there are several; one row's sequences otherwise, which then share less. */
function halvesOf(
  sequences: readonly TokenSequence[],
  { tries, sequences: members }: MicroBatch,
): [MicroBatch, MicroBatch] {
  const packed = (of: readonly number[]): MicroBatch => ({
    tries: [packTrie(of.map((i) => sequences[i]!))],
    sequences: of,
  });
  if (tries.length === 1)
    return [packed(members.slice(0, members.length >> 1)), packed(members.slice(members.length >> 1))];
  const cut = tries.length >> 1;
  const first = tries.slice(0, cut).reduce((sum, { predictors }) => sum + predictors.length, 0);
  return [
    { tries: tries.slice(0, cut), sequences: members.slice(0, first) },
    { tries: tries.slice(cut), sequences: members.slice(first) },
  ];
}
