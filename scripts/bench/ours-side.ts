// Our side of the bench: the policy engine in a process of its own, as bench/side.ts asks it.
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { mean } from '../../activities/numerics/statistics.js';
import { modelFingerprint } from '../../activities/policy/model-files.js';
import { startPolicy } from '../../activities/policy/policy-thread.js';
import type { PolicyWeights, Precision, SampleRequest } from '../../activities/policy/policy.js';
import type { PoolSample } from '../../activities/turn-update/pool-sample.js';
import { updatePool, type UpdatePoolOptions } from '../../activities/turn-update/update-pool.js';
import { openPolicy } from '../models/command.js';
import type { Reply } from './side.js';
import { BENCH_LORA } from './works.js';

type Request =
  | { readonly call: 'hello'; readonly adapterFile: string }
  | { readonly call: 'logProbs'; readonly rows: number[][] }
  | { readonly call: 'step'; readonly rows: number[][]; readonly training: 'lora' | 'full' }
  | { readonly call: 'decode'; readonly prompts: number[][]; readonly tokens: number; readonly temperature: number }
  | {
      readonly call: 'sample';
      readonly requests: SampleRequest[];
      readonly temperature: number;
      readonly maxResponseTokens: number;
    }
  | {
      readonly call: 'turnUpdate';
      readonly samples: Omit<PoolSample, 'old' | 'reference'>[];
      readonly options: UpdatePoolOptions;
    };
type Answer = Omit<Reply, 'peakBytes'>;

const { values } = parseArgs({
  options: { model: { type: 'string' }, precision: { type: 'string' }, replicas: { type: 'string' } },
});
const model = values.model!;
// Alone it is the engine as the commands open it, which tells of each token; replicas are what a GPU worker holds.
const alone = values.replicas === '1' ? await openPolicy(model, { precision: values.precision }) : null;
const policy = alone ?? (await startPolicy(values.precision as Precision, Number(values.replicas)));
const weights: PolicyWeights = {
  model: { path: model, sha256: (await modelFingerprint(model)).sha256 },
  lora: BENCH_LORA,
  mergedAdapters: [],
  adapter: null,
};

/** theta as it was before any step, outside of what is timed. */
async function afresh(training: 'lora' | 'full' = 'lora'): Promise<void> {
  await policy.use(training === 'lora' ? weights : { ...weights, full: { weights: null, reference: false } });
  await policy.useMoments(null, 0);
}
async function timed<T>(work: () => Promise<T>): Promise<{ seconds: number; result: T }> {
  const started = performance.now();
  const result = await work();
  return { seconds: (performance.now() - started) / 1000, result };
}
/** Every token of a row but the first is predicted; rows share nothing. */
const sequencesOf = (rows: readonly (readonly number[])[]) =>
  rows.map((ids, i) => ({ prefixGroup: String(i), promptIds: ids.slice(0, 1), responseIds: ids.slice(1) }));
const tokensOf = (rows: readonly (readonly number[])[]): number => rows.reduce((sum, { length }) => sum + length, 0);

async function answer(request: Request): Promise<Answer> {
  switch (request.call) {
    case 'hello': {
      await afresh();
      await writeFile(request.adapterFile, (await policy.trained()).adapter);
      return { seconds: 0, tokens: 0, check: null, versions: { engine: (await policy.device()).device } };
    }
    case 'logProbs': {
      const { rows } = request;
      await afresh();
      const options = { temperature: 1, microBatchTokens: tokensOf(rows), weights: 'reference' } as const;
      const { seconds, result } = await timed(() => policy.logProbs(sequencesOf(rows), options));
      return { seconds, tokens: tokensOf(rows), check: mean(result.flat()) };
    }
    case 'step': {
      const { rows, training } = request;
      await afresh(training);
      const count = tokensOf(rows) - rows.length;
      const { seconds, result } = await timed(() =>
        policy.step(sequencesOf(rows), (_, logProbs) => logProbs.map((row) => row.map(() => -1 / count)), {
          temperature: 1,
          microBatchTokens: tokensOf(rows),
          learningRate: 1e-4,
          betas: [0.9, 0.95],
          epsilon: 1e-8,
          weightDecay: 0,
          maxGradientNorm: 1,
        }),
      );
      return { seconds, tokens: tokensOf(rows), check: result.gradientNorm };
    }
    case 'decode': {
      const { prompts, tokens, temperature } = request;
      await afresh();
      let firstAt = 0;
      const requests = prompts.map((promptIds, i) => ({ prefixGroup: String(i), promptIds, randomKey: `bench/${i}` }));
      const onSampled = (): void => void (firstAt ||= performance.now());
      if (!alone) throw new Error('decoding by itself is measured with one replica');
      const responses = await alone.sample(requests, { temperature, maxResponseTokens: tokens, onSampled });
      // The first token of each comes out of the prompt's own pass.
      return {
        seconds: (performance.now() - firstAt) / 1000,
        tokens: responses.reduce((sum, { ids }) => sum + ids.length - 1, 0),
        check: null,
      };
    }
    case 'sample': {
      const { requests, ...options } = request;
      const { seconds, result } = await timed(() => policy.sample(requests, options));
      return { seconds, tokens: tokensOf(result.map(({ ids }) => ids)), check: null, responses: result };
    }
    case 'turnUpdate': {
      const { samples, options } = request;
      await afresh();
      const sequences = samples.map(({ taskId, promptIds, responseIds }) => ({
        prefixGroup: taskId,
        promptIds,
        responseIds,
      }));
      const { seconds, result } = await timed(async () => {
        const old = await policy.logProbs(sequences, { ...options, weights: 'current' });
        const reference = await policy.logProbs(sequences, { ...options, weights: 'reference' });
        return updatePool(
          policy,
          samples.map((sample, i) => ({ ...sample, old: old[i]!, reference: reference[i]! })),
          options,
          () => undefined,
        );
      });
      return {
        seconds,
        tokens: tokensOf(sequences.flatMap(({ promptIds, responseIds }) => [promptIds, responseIds])),
        check: result.metrics.gradientNorm,
      };
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const reply = await answer(JSON.parse(line) as Request).then(
    (done): Reply => ({ ...done, peakBytes: 1024 * process.resourceUsage().maxRSS }),
    (error: Error) => ({ error: error.message }),
  );
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
