import { sha256 } from '../artifacts/canonical-json.js';
import type { OnProgress, Policy, PolicyProgress, SampleRequest, StoredTensors, TokenSequence } from './policy.js';
import { packTrie, prefixGroupsOf } from './trie.js';

const nothing: OnProgress = () => undefined;

/**
 * One policy of several replicas with the same weights: rows are dealt over them by size, and every replica
 * takes the same optimiser step along the sum of all gradients, added in their order. The result depends on how
 * many replicas there are, by rounding, and on nothing else. For processors whose cores do more side by side, a replica
 * each, than together on one matrix.
 */
export function replicatedPolicy(replicas: readonly Policy[]): Policy {
  if (replicas.length === 1) return replicas[0]!;
  const everywhere = <R>(work: (replica: Policy) => Promise<R>): Promise<R[]> => allSettledOrThrow(replicas.map(work));
  const budget = (tokens: number): number => Math.ceil(tokens / replicas.length);

  /** Where the rows of the session under way were sampled: what their prompts hold is remembered there. */
  let assigned: { readonly session: string; readonly of: Map<string, number> } | null = null;

  /** Does the work on the replicas, each with its share of the items, by index; results come back in the items' order. */
  async function shared<R>(
    shares: readonly (readonly number[])[],
    work: (replica: Policy, share: readonly number[]) => Promise<readonly R[]>,
  ): Promise<R[]> {
    const results: R[] = [];
    await allSettledOrThrow(
      shares.map(async (share, r) => {
        const done = share.length === 0 ? [] : await work(replicas[r]!, share);
        done.forEach((result, n) => (results[share[n]!] = result));
      }),
    );
    return results;
  }

  return {
    async use(weights, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      await allSettledOrThrow(replicas.map((replica, r) => replica.use(weights, report(r))));
    },
    async useMoments(moments, stepsTaken) {
      await everywhere((replica) => replica.useMoments(moments, stepsTaken));
    },
    sample(requests, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const cost = (row: readonly SampleRequest[]) =>
        nodesOf(row.map(({ promptIds }) => ({ promptIds, responseIds: [0] }))) + row.length * options.maxResponseTokens;
      const { session } = options;
      if (session === undefined) assigned = null;
      else if (assigned?.session !== session) assigned = { session, of: new Map() };
      const replicaOfGroup = assigned?.of ?? new Map<string, number>();
      return shared(dealPrefixGroups(requests, replicas.length, cost, replicaOfGroup), (replica, share) => {
        const r = replicas.indexOf(replica);
        share.forEach((i) => replicaOfGroup.set(requests[i]!.prefixGroup, r));
        return replica.sample(
          share.map((i) => requests[i]!),
          options,
          report(r),
        );
      });
    },
    logProbs(sequences, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const own = { ...options, microBatchTokens: budget(options.microBatchTokens) };
      return shared(dealSequences(sequences, replicas.length), (replica, share) =>
        replica.logProbs(
          share.map((i) => sequences[i]!),
          own,
          report(replicas.indexOf(replica)),
        ),
      );
    },
    values(sequences, valueHead, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const own = { microBatchTokens: budget(options.microBatchTokens) };
      return shared(dealSequences(sequences, replicas.length), (replica, share) =>
        replica.values(
          share.map((i) => sequences[i]!),
          valueHead,
          own,
          report(replicas.indexOf(replica)),
        ),
      );
    },
    async step(sequences, gradient, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const logProbs: number[][] = [];
      const gradients: StoredTensors[] = [];
      const shares = dealSequences(sequences, replicas.length);
      const made = await allSettledOrThrow(
        shares.map((share, r) => {
          if (share.length === 0) return Promise.resolve(null);
          return replicas[r]!.gradient(
            share.map((i) => sequences[i]!),
            (indices, rows, measures) => {
              indices.forEach((n, k) => (logProbs[share[n]!] = [...rows[k]!]));
              return gradient(
                indices.map((n) => share[n]!),
                rows,
                measures,
              );
            },
            {
              temperature: options.temperature,
              microBatchTokens: budget(options.microBatchTokens),
              ...(options.valueHead && { valueHead: options.valueHead }),
            },
            report(r),
          );
        }),
      );
      let valueHeadGradient: number[] | null = null;
      for (const part of made) {
        if (!part) continue;
        gradients.push(inMemory(part.gradient));
        if (part.valueHeadGradient)
          valueHeadGradient = part.valueHeadGradient.map((g, i) => g + (valueHeadGradient?.[i] ?? 0));
      }
      const [first] = await everywhere((replica) => replica.applyGradient(gradients, options));
      return { ...first!, logProbs, valueHeadGradient };
    },
    async gradient(sequences, gradient, options, onProgress = nothing) {
      return replicas[0]!.gradient(sequences, gradient, options, onProgress);
    },
    async applyGradient(gradients, options) {
      return (await everywhere((replica) => replica.applyGradient(gradients, options)))[0]!;
    },
    // Each names its own state by what it hands out, so that the next `use` finds it held.
    async trained() {
      return agreed(await everywhere((replica) => replica.trained()), ({ adapter, moments }) => [adapter, moments]);
    },
    async trainedGroup(group) {
      return agreed(await everywhere((replica) => replica.trainedGroup(group)), ({ weights, moments }) => [
        weights,
        moments,
      ]);
    },
    async device() {
      const devices = await everywhere((replica) => replica.device());
      const sum = (of: (device: (typeof devices)[number]) => number): number =>
        devices.reduce((total, device) => total + of(device), 0);
      return {
        name: devices[0]!.name,
        library: devices[0]!.library,
        isProcessor: devices[0]!.isProcessor,
        tensors: sum(({ tensors }) => tensors),
        tensorBytes: sum(({ tensorBytes }) => tensorBytes),
        residentBytes: Math.max(...devices.map(({ residentBytes }) => residentBytes)), // of the process they share
        device: `${devices[0]!.device}, ${replicas.length} replicas`,
      };
    },
  };
}

/**
 * Whole rows over so many shares: those that a replica already holds to that replica, then the largest first, each to the share that is smallest then;
 * elements are indices, in order.
 */
export function dealPrefixGroups<T extends { readonly prefixGroup: string }>(
  items: readonly T[],
  shares: number,
  sizeOf: (row: readonly T[]) => number,
  assigned: ReadonlyMap<string, number> = new Map(),
): number[][] {
  const rows = prefixGroupsOf(items).map((members) => ({ members, size: sizeOf(members.map((i) => items[i]!)) }));
  const dealt = Array.from({ length: shares }, () => ({ members: [] as number[], size: 0 }));
  const replicaOf = ({ members }: (typeof rows)[number]) => assigned.get(items[members[0]!]!.prefixGroup);
  const bySize = [...rows].sort((a, b) => b.size - a.size || a.members[0]! - b.members[0]!);
  for (const row of [
    ...bySize.filter((row) => replicaOf(row) !== undefined),
    ...bySize.filter((row) => replicaOf(row) === undefined),
  ]) {
    const replica = replicaOf(row);
    const share = replica === undefined ? dealt.reduce((a, b) => (b.size < a.size ? b : a)) : dealt[replica]!;
    share.members.push(...row.members);
    share.size += row.size;
  }
  return dealt.map(({ members }) => members.sort((a, b) => a - b));
}

/**
 * The same for sequences that go through the model, levelled: of the largest share, part of one row goes over to the smallest, its
 * shared prefixes then being computed twice, if that makes the larger of the two smaller by more than a tenth.
 */
export function dealSequences(sequences: readonly TokenSequence[], shares: number): number[][] {
  const dealt = dealPrefixGroups(sequences, shares, nodesOf);
  const sizeOf = (members: readonly number[]): number => nodesOf(members.map((i) => sequences[i]!));
  const rowsOfShares = dealt.map((share) =>
    prefixGroupsOf(share.map((i) => sequences[i]!)).map((row) => row.map((n) => share[n]!)),
  );
  const sizes = rowsOfShares.map((rows) => rows.reduce((sum, row) => sum + sizeOf(row), 0));
  const from = sizes.indexOf(Math.max(...sizes));
  const to = sizes.indexOf(Math.min(...sizes));
  let best = { largest: 0.9 * sizes[from]!, moved: [] as number[] };
  for (const row of rowsOfShares[from]!) {
    const others = sizes[from]! - sizeOf(row);
    for (let kept = 1; kept < row.length; kept++) {
      const moved = row.slice(kept);
      const largest = Math.max(others + sizeOf(row.slice(0, kept)), sizes[to]! + sizeOf(moved));
      if (largest < best.largest) best = { largest, moved };
    }
  }
  return dealt.map((share, r) => {
    if (r === from) return share.filter((i) => !best.moved.includes(i));
    return r === to ? [...share, ...best.moved].sort((a, b) => a - b) : share;
  });
}

const nodesOf = (row: readonly Pick<TokenSequence, 'promptIds' | 'responseIds'>[]): number =>
  packTrie(row).tokens.length;

/** All results, once none is under way any more: a replica must not be asked for two things at once. */
async function allSettledOrThrow<R>(calls: readonly Promise<R>[]): Promise<R[]> {
  const outcomes = await Promise.allSettled(calls);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
  return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<R>).value);
}

/** Progress of all replicas as one. */
function together(onProgress: OnProgress, count: number): (replica: number) => OnProgress {
  const standing: (PolicyProgress | null)[] = Array.from({ length: count }, () => null);
  return (replica) => (progress) => {
    standing[replica] = progress;
    const known = standing.flatMap((one) => one ?? []);
    return onProgress({
      phase: progress.phase,
      done: known.reduce((sum, { done }) => sum + done, 0),
      of: known.reduce((sum, { of }) => sum + of, 0),
    });
  };
}

const inMemory = (bytes: Uint8Array): StoredTensors => ({ sha256: sha256(bytes), read: async () => bytes });

/** The state that all replicas hold. @throws if they do not hold the same */
function agreed<S>(states: readonly S[], tensorsOf: (state: S) => readonly Uint8Array[]): S {
  const hashes = new Set(
    states.map((state) =>
      tensorsOf(state)
        .map((bytes) => sha256(bytes))
        .join(),
    ),
  );
  if (hashes.size > 1)
    throw new Error(
      `${states.length} replicas of the policy took the same step and hold ${hashes.size} different states: is a processor or memory module faulty?`,
    );
  return states[0]!;
}
