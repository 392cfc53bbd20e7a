import { availableParallelism } from 'node:os';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import * as Comlink from 'comlink';
import { threadEndpoint } from './thread-endpoint.js';
import type { LossGradient, OnProgress, Policy, PolicyWeights, Precision, StoredTensors } from './policy.js';
import type { PolicyThread } from './policy-thread-entry.js';
import { replicatedPolicy } from './replicated-policy.js';

/** `died` rejects when a thread has ended that was not closed. */
export type RunningPolicy = Policy & { close(): Promise<void>; readonly died: Promise<never> };

const nothing: OnProgress = () => undefined;

/** A `PolicyThreadDied` is retryable: the worker process ends and its supervisor starts another. */
export class PolicyThreadDied extends Error {
  override readonly name = 'PolicyThreadDied';
}

/**
 * Starts the policy in threads of its own, a replica in each. Tensor operations block the thread they run in for
 * seconds; the main thread's event loop must keep turning, or Temporal hears no heartbeat.
 */
export async function startPolicy(precision: Precision, replicas: number): Promise<RunningPolicy> {
  // Each replica takes its share of the cores; read when the library loads.
  if (replicas > 1)
    process.env['TF_NUM_INTRAOP_THREADS'] ??= String(Math.max(1, Math.floor(availableParallelism() / replicas)));
  const threads = await Promise.all(Array.from({ length: replicas }, () => startPolicyThread(precision)));
  return {
    ...replicatedPolicy(threads),
    died: Promise.race(threads.map(({ died }) => died)),
    close: async () => void (await Promise.all(threads.map((thread) => thread.close()))),
  };
}

async function startPolicyThread(precision: Precision): Promise<RunningPolicy> {
  const worker = new Worker(new URL('./policy-thread-entry.js', import.meta.url), {
    workerData: { precision },
    env: SHARE_ENV, // what backend.ts sets must reach native code, which a copy would not
  });
  let closing = false;
  const died = new Promise<never>((_, reject) => {
    worker.once('error', (cause) =>
      reject(new PolicyThreadDied(`the thread that holds the model failed: ${String(cause)}`)),
    );
    worker.once('exit', (code) => {
      if (!closing)
        reject(new PolicyThreadDied(`the thread that holds the model exited with code ${code}; is memory short?`));
    });
  });
  const thread = Comlink.wrap<PolicyThread>(threadEndpoint(worker));
  const alive = untilDeath(died);
  const progress = (report: OnProgress) => Comlink.proxy(report);
  await alive(thread.ready());
  return {
    use: async (weights: PolicyWeights, onProgress = nothing) => {
      const own = await weights.full?.weights?.parts();
      const sources = [...weights.mergedAdapters, ...(weights.adapter ? [weights.adapter] : []), ...(own ?? [])];
      const named = ({ sha256 }: StoredTensors) => sha256;
      return alive(
        thread.use(
          {
            model: weights.model,
            lora: weights.lora,
            mergedAdapters: weights.mergedAdapters.map(named),
            adapter: weights.adapter && named(weights.adapter),
            full: weights.full ? { reference: weights.full.reference, weights: own?.map(named) ?? null } : null,
          },
          Comlink.proxy(reader(sources)),
          progress(onProgress),
        ),
      );
    },
    useMoments: async (moments, stepsTaken) => {
      const parts = moments === null ? null : 'parts' in moments ? await moments.parts() : [moments];
      return alive(
        thread.useMoments(parts && parts.map(({ sha256 }) => sha256), stepsTaken, Comlink.proxy(reader(parts ?? []))),
      );
    },
    sample: (requests, options, onProgress = nothing) =>
      alive(thread.sample([...requests], options, progress(onProgress))),
    logProbs: (sequences, options, onProgress = nothing) =>
      alive(thread.logProbs([...sequences], options, progress(onProgress))),
    values: (sequences, valueHead, options, onProgress = nothing) =>
      alive(thread.values([...sequences], [...valueHead], options, progress(onProgress))),
    step: (sequences, gradient: LossGradient, options, onProgress = nothing) =>
      alive(thread.step([...sequences], Comlink.proxy(gradient), options, progress(onProgress))),
    gradient: (sequences, gradient: LossGradient, options, onProgress = nothing) =>
      alive(thread.gradient([...sequences], Comlink.proxy(gradient), options, progress(onProgress))),
    applyGradient: (gradients, options) =>
      alive(
        thread.applyGradient(
          gradients.map(({ sha256 }) => sha256),
          options,
          Comlink.proxy(reader(gradients)),
        ),
      ),
    trained: () => alive(thread.trained()),
    trainedGroup: (group) => alive(thread.trainedGroup(group)),
    device: () => alive(thread.device()),
    died,
    async close() {
      closing = true;
      await worker.terminate();
    },
  };
}

/**
 * Ends calls when what they wait for has died. Not `Promise.race` with `died`: as long as that does not settle,
 * it holds the result of every call that was raced with it.
 */
export function untilDeath(died: Promise<never>): <T>(call: Promise<T>) => Promise<T> {
  const waiting = new Set<(death: unknown) => void>();
  let dead: { readonly cause: unknown } | null = null;
  died.catch((cause: unknown) => {
    dead = { cause };
    waiting.forEach((reject) => reject(cause));
  });
  return (call) =>
    new Promise((resolve, reject) => {
      if (dead) return reject(dead.cause);
      waiting.add(reject);
      const ended = () => waiting.delete(reject);
      call.then(resolve, reject).finally(ended);
    });
}

const reader =
  (sources: readonly StoredTensors[]) =>
  (sha256: string): Promise<Uint8Array> =>
    sources.find((source) => source.sha256 === sha256)!.read();
