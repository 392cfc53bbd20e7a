import { sha256 } from '../artifacts/canonical-json.js';
import type { OnProgress, Policy, PolicyProgress, SampleRequest, StoredTensors, TokenSequence } from './policy.js';
import { packTrie, rowsOf } from './trie.js';

const nothing: OnProgress = () => undefined;

/**
 * One policy of several replicas with the same weights: rows are dealt over them by size, and every replica
 * takes the same optimiser step along the sum of all gradients, added in their order. The result depends on how
 * many replicas there are, by rounding, and on nothing else. For processors whose cores do more side by side, a replica
 * each, than together on one matrix.
 */
export function replicatedPolicy(replicas: readonly Policy[]): Policy {
  if (replicas.length === 1) return replicas[0]!;
  const everywhere = <R>(work: (replica: Policy) => Promise<R>): Promise<R[]> => settled(replicas.map(work));
  const budget = (tokens: number): number => Math.ceil(tokens / replicas.length);

  /** Where the rows of the session under way were sampled: what their prompts hold is remembered there. */
  let seats: { readonly session: string; readonly of: Map<string, number> } | null = null;

  /** Does the work of the items' rows on the replicas, each with its share; results come back in the items' order. */
  async function shared<T extends { readonly row: string }, R>(
    items: readonly T[],
    sizeOf: (row: readonly T[]) => number,
    work: (replica: Policy, share: readonly number[]) => Promise<readonly R[]>,
    seated: ReadonlyMap<string, number> = new Map(),
  ): Promise<R[]> {
    const shares = dealRows(items, replicas.length, sizeOf, seated);
    const results: R[] = [];
    await settled(
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
      await settled(replicas.map((replica, r) => replica.use(weights, report(r))));
    },
    async useMoments(moments, stepsTaken) {
      await everywhere((replica) => replica.useMoments(moments, stepsTaken));
    },
    sample(requests, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const cost = (row: readonly SampleRequest[]) => nodesOf(row.map(({ promptIds }) => ({ promptIds, responseIds: [0] }))) + row.length * options.maxResponseTokens;
      const { session } = options;
      if (session === undefined) seats = null;
      else if (seats?.session !== session) seats = { session, of: new Map() };
      const seated = seats?.of ?? new Map<string, number>();
      return shared(
        requests,
        cost,
        (replica, share) => {
          const r = replicas.indexOf(replica);
          share.forEach((i) => seated.set(requests[i]!.row, r));
          return replica.sample(share.map((i) => requests[i]!), options, report(r));
        },
        seated,
      );
    },
    logProbs(sequences, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const own = { ...options, microBatchTokens: budget(options.microBatchTokens) };
      return shared(sequences, nodesOf, (replica, share) => replica.logProbs(share.map((i) => sequences[i]!), own, report(replicas.indexOf(replica))));
    },
    values(sequences, valueHead, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const own = { microBatchTokens: budget(options.microBatchTokens) };
      return shared(sequences, nodesOf, (replica, share) => replica.values(share.map((i) => sequences[i]!), valueHead, own, report(replicas.indexOf(replica))));
    },
    async step(sequences, gradient, options, onProgress = nothing) {
      const report = together(onProgress, replicas.length);
      const logProbs: number[][] = [];
      const gradients: StoredTensors[] = [];
      const shares = dealRows(sequences, replicas.length, nodesOf);
      const made = await settled(
        shares.map((share, r) => {
          if (share.length === 0) return Promise.resolve(null);
          return replicas[r]!.gradient(
            share.map((i) => sequences[i]!),
            (indices, rows, measures) => {
              indices.forEach((n, k) => (logProbs[share[n]!] = [...rows[k]!]));
              return gradient(indices.map((n) => share[n]!), rows, measures);
            },
            { temperature: options.temperature, microBatchTokens: budget(options.microBatchTokens), ...(options.valueHead && { valueHead: options.valueHead }) },
            report(r),
          );
        }),
      );
      let valueHeadGradient: number[] | null = null;
      for (const part of made) {
        if (!part) continue;
        gradients.push(inMemory(part.gradient));
        if (part.valueHeadGradient) valueHeadGradient = part.valueHeadGradient.map((g, i) => g + (valueHeadGradient?.[i] ?? 0));
      }
      const [first] = await everywhere((replica) => replica.stepAlong(gradients, options));
      return { ...first!, logProbs, valueHeadGradient };
    },
    async gradient(sequences, gradient, options, onProgress = nothing) {
      return replicas[0]!.gradient(sequences, gradient, options, onProgress);
    },
    async stepAlong(gradients, options) {
      return (await everywhere((replica) => replica.stepAlong(gradients, options)))[0]!;
    },
    // Each names its own state by what it hands out, so that the next `use` finds it held.
    async trained() {
      return agreed(await everywhere((replica) => replica.trained()), ({ adapter, moments }) => [adapter, moments]);
    },
    async trainedGroup(group) {
      return agreed(await everywhere((replica) => replica.trainedGroup(group)), ({ weights, moments }) => [weights, moments]);
    },
    async device() {
      const devices = await everywhere((replica) => replica.device());
      const sum = (of: (device: (typeof devices)[number]) => number): number => devices.reduce((total, device) => total + of(device), 0);
      return {
        tensors: sum(({ tensors }) => tensors),
        tensorBytes: sum(({ tensorBytes }) => tensorBytes),
        residentBytes: Math.max(...devices.map(({ residentBytes }) => residentBytes)), // of the process they share
        device: `${devices[0]!.device}, ${replicas.length} replicas`,
      };
    },
  };
}

/**
 * Whole rows over so many shares: those that have a seat to it, then the largest first, each to the share that is smallest then;
 * elements are indices, in order.
 */
export function dealRows<T extends { readonly row: string }>(items: readonly T[], shares: number, sizeOf: (row: readonly T[]) => number, seats: ReadonlyMap<string, number> = new Map()): number[][] {
  const rows = rowsOf(items).map((members) => ({ members, size: sizeOf(members.map((i) => items[i]!)) }));
  const dealt = Array.from({ length: shares }, () => ({ members: [] as number[], size: 0 }));
  const seatOf = ({ members }: (typeof rows)[number]) => seats.get(items[members[0]!]!.row);
  const bySize = [...rows].sort((a, b) => b.size - a.size || a.members[0]! - b.members[0]!);
  for (const row of [...bySize.filter((row) => seatOf(row) !== undefined), ...bySize.filter((row) => seatOf(row) === undefined)]) {
    const seat = seatOf(row);
    const share = seat === undefined ? dealt.reduce((a, b) => (b.size < a.size ? b : a)) : dealt[seat]!;
    share.members.push(...row.members);
    share.size += row.size;
  }
  return dealt.map(({ members }) => members.sort((a, b) => a - b));
}

const nodesOf = (row: readonly Pick<TokenSequence, 'promptIds' | 'responseIds'>[]): number => packTrie(row).tokens.length;

/** All results, once none is under way any more: a replica must not be asked for two things at once. */
async function settled<R>(calls: readonly Promise<R>[]): Promise<R[]> {
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
    return onProgress({ phase: progress.phase, done: known.reduce((sum, { done }) => sum + done, 0), of: known.reduce((sum, { of }) => sum + of, 0) });
  };
}

const inMemory = (bytes: Uint8Array): StoredTensors => ({ sha256: sha256(bytes), read: async () => bytes });

/** The state that all replicas hold. @throws if they do not hold the same */
function agreed<S>(states: readonly S[], tensorsOf: (state: S) => readonly Uint8Array[]): S {
  const hashes = new Set(states.map((state) => tensorsOf(state).map((bytes) => sha256(bytes)).join()));
  if (hashes.size > 1) throw new Error(`${states.length} replicas of the policy took the same step and hold ${hashes.size} different states: is a processor or memory module faulty?`);
  return states[0]!;
}
