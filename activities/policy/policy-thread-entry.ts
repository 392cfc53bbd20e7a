import { parentPort, workerData } from 'node:worker_threads';
import * as Comlink from 'comlink';
import { threadEndpoint } from './thread-endpoint.js';
import type {
  AdamWOptions,
  DeviceReport,
  LossGradient,
  LossGradients,
  OnProgress,
  PolicyWeights,
  Precision,
  SampledResponse,
  SampleRequest,
  SamplingOptions,
  ScoringOptions,
  StepResult,
  TokenSequence,
  TrainedGroup,
  TrainedTensors,
  ValueHeadWeights,
} from './policy.js';
import { TensorFlowPolicy } from './tf-policy.js';

/** `PolicyWeights` without functions, so that it can cross the thread boundary. */
export interface NamedWeights {
  readonly model: PolicyWeights['model'];
  readonly lora: PolicyWeights['lora'];
  readonly mergedAdapters: readonly string[];
  readonly adapter: string | null;
  readonly full: { readonly weights: readonly string[] | null; readonly reference: boolean } | null;
}
type Read = (sha256: string) => Promise<Uint8Array>;
/** Functions of the other side arrive as proxies, which hold a message port until they are released. */
type Released = { [Comlink.releaseProxy]?: () => void };

const { precision } = workerData as { readonly precision: Precision };
const policy = new TensorFlowPolicy(precision);

async function releasing<T>(proxies: readonly unknown[], call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } finally {
    for (const proxy of proxies) (proxy as Released)[Comlink.releaseProxy]?.();
  }
}
const stored = (read: Read) => (sha256: string) => ({ sha256, read: () => read(sha256) });
const parts = (read: Read) => (hashes: readonly string[]) => ({ parts: async () => hashes.map(stored(read)) });

const thread = {
  ready: async (): Promise<void> => undefined,
  use: (weights: NamedWeights, read: Read, onProgress: OnProgress): Promise<void> =>
    releasing([read, onProgress], () =>
      policy.use(
        {
          model: weights.model,
          lora: weights.lora,
          mergedAdapters: weights.mergedAdapters.map(stored(read)),
          adapter: weights.adapter === null ? null : stored(read)(weights.adapter),
          ...(weights.full && {
            full: {
              reference: weights.full.reference,
              weights: weights.full.weights && parts(read)(weights.full.weights),
            },
          }),
        },
        onProgress,
      ),
    ),
  useMoments: (moments: readonly string[] | null, stepsTaken: number, read: Read): Promise<void> =>
    releasing([read], () => policy.useMoments(moments === null ? null : parts(read)(moments), stepsTaken)),
  sample: (requests: SampleRequest[], options: SamplingOptions, onProgress: OnProgress): Promise<SampledResponse[]> =>
    releasing([onProgress], () => policy.sample(requests, options, onProgress)),
  logProbs: (
    sequences: TokenSequence[],
    options: ScoringOptions & { weights: 'current' | 'reference' },
    onProgress: OnProgress,
  ): Promise<number[][]> => releasing([onProgress], () => policy.logProbs(sequences, options, onProgress)),
  values: (
    sequences: TokenSequence[],
    valueHead: ValueHeadWeights,
    options: Pick<ScoringOptions, 'microBatchTokens'>,
    onProgress: OnProgress,
  ): Promise<number[][]> => releasing([onProgress], () => policy.values(sequences, valueHead, options, onProgress)),
  step: (
    sequences: TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & AdamWOptions & { valueHead?: ValueHeadWeights },
    onProgress: OnProgress,
  ): Promise<StepResult> =>
    releasing([gradient, onProgress], () => policy.step(sequences, gradient, options, onProgress)),
  gradient: (
    sequences: TokenSequence[],
    gradient: LossGradient,
    options: ScoringOptions & { valueHead?: ValueHeadWeights },
    onProgress: OnProgress,
  ): Promise<LossGradients> =>
    releasing([gradient, onProgress], () => policy.gradient(sequences, gradient, options, onProgress)),
  applyGradient: (gradients: string[], options: AdamWOptions, read: Read): Promise<{ gradientNorm: number }> =>
    releasing([read], () => policy.applyGradient(gradients.map(stored(read)), options)),
  trained: (): Promise<TrainedTensors> => policy.trained(),
  trainedGroup: (group: number): Promise<TrainedGroup> => policy.trainedGroup(group),
  device: (): Promise<DeviceReport> => policy.device(),
};
export type PolicyThread = typeof thread;

Comlink.expose(thread, threadEndpoint(parentPort));
