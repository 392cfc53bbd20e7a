import { parentPort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import { threadEndpoint } from './thread-endpoint.js';
import type {
  AdamWOptions, DeviceReport, LossGradient, OnProgress, PolicyWeights, SampledResponse, SampleRequest, SamplingOptions, ScoringOptions,
  StepResult, TokenSequence, TrainedTensors,
} from './policy.js';
import { TensorFlowPolicy } from './tf-policy.js';

/** `PolicyWeights` without functions, so that it can cross the thread boundary. */
export interface NamedWeights {
  readonly model: PolicyWeights['model'];
  readonly lora: PolicyWeights['lora'];
  readonly folded: readonly string[];
  readonly adapter: string | null;
}
type Read = (sha256: string) => Promise<Uint8Array>;
/** Functions of the other side arrive as proxies, which hold a message port until they are released. */
type Released = { [Comlink.releaseProxy]?: () => void };

const policy = new TensorFlowPolicy();

async function releasing<T>(proxies: readonly unknown[], call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } finally {
    for (const proxy of proxies) (proxy as Released)[Comlink.releaseProxy]?.();
  }
}
const stored = (read: Read) => (sha256: string) => ({ sha256, read: () => read(sha256) });

const thread = {
  ready: async (): Promise<void> => undefined,
  use: (weights: NamedWeights, read: Read, onProgress: OnProgress): Promise<void> =>
    releasing([read, onProgress], () =>
      policy.use(
        { ...weights, folded: weights.folded.map(stored(read)), adapter: weights.adapter === null ? null : stored(read)(weights.adapter) },
        onProgress,
      ),
    ),
  useMoments: (moments: string | null, stepsTaken: number, read: Read): Promise<void> =>
    releasing([read], () => policy.useMoments(moments === null ? null : stored(read)(moments), stepsTaken)),
  sample: (requests: SampleRequest[], options: SamplingOptions, onProgress: OnProgress): Promise<SampledResponse[]> =>
    releasing([onProgress], () => policy.sample(requests, options, onProgress)),
  logProbs: (
    sequences: TokenSequence[],
    options: ScoringOptions & { weights: 'current' | 'reference' },
    onProgress: OnProgress,
  ): Promise<number[][]> => releasing([onProgress], () => policy.logProbs(sequences, options, onProgress)),
  step: (sequences: TokenSequence[], gradient: LossGradient, options: ScoringOptions & AdamWOptions, onProgress: OnProgress): Promise<StepResult> =>
    releasing([gradient, onProgress], () => policy.step(sequences, gradient, options, onProgress)),
  gradient: (sequences: TokenSequence[], gradient: LossGradient, options: ScoringOptions, onProgress: OnProgress): Promise<Uint8Array> =>
    releasing([gradient, onProgress], () => policy.gradient(sequences, gradient, options, onProgress)),
  stepAlong: (gradients: string[], options: AdamWOptions, read: Read): Promise<{ gradientNorm: number }> =>
    releasing([read], () => policy.stepAlong(gradients.map(stored(read)), options)),
  trained: (): Promise<TrainedTensors> => policy.trained(),
  device: (): Promise<DeviceReport> => policy.device(),
};
export type PolicyThread = typeof thread;

Comlink.expose(thread, threadEndpoint(parentPort));
