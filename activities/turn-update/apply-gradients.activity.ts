import { z } from 'zod';
import { ApplyGradientsInput, type ApplyGradientsResult } from '../../schemas/steps.js';
import { GradientManifest, OptimizerStepManifest, SamplePart } from '../../schemas/turn-parts.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { openedRun, policyWeightsOf, storedTensors } from '../run/run-context.js';
import { learningRateAt } from './learning-rate.js';

/** One AdamW step along the sum of the shards' gradients, added in the shards' order. GPU queue. */
export const createApplyGradients = (dependencies: GpuDependencies) =>
  async function applyGradients(input: ApplyGradientsInput): Promise<ApplyGradientsResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, iteration, turn, step, stepped, gradients } = ApplyGradientsInput.parse(input);
    const key = keys.turnPart(run.runId, iteration, turn, `step-${step}/policy`);
    const { ref, manifest } = await commitOnce(artifacts, key, OptimizerStepManifest, inputHashOf(input), () =>
      heartbeats(async (report) => {
        const started = performance.now();
        artifacts.takeSeconds();
        const timing = () => ({ seconds: (performance.now() - started) / 1000, tokens: 0, storageSeconds: artifacts.takeSeconds() });
        const opened = await openedRun(artifacts, run);
        const shards = await Promise.all(gradients.map((shard) => artifacts.getJson(shard, GradientManifest)));
        const parts = (await Promise.all(shards.map((shard) => artifacts.getJson(shard.parts, z.array(SamplePart))))).flat();
        const summands = shards.flatMap(({ gradient }) => (gradient === null ? [] : [storedTensors(artifacts, gradient)]));
        if (summands.length === 0) return { kind: 'optimizer-step' as const, policy: stepped, made: null, timing: timing() };
        await policy.use(policyWeightsOf(dependencies, opened, stepped), report);
        await policy.useMoments(stepped.moments && storedTensors(artifacts, stepped.moments), stepped.optimizerSteps);
        const { optimizer, iterations } = opened.config;
        const learningRate = learningRateAt(optimizer, { iteration, iterations, step: stepped.optimizerSteps });
        const { gradientNorm } = await policy.stepAlong(summands, { ...optimizer, learningRate });
        const trained = await policy.trained();
        const [adapter, moments] = await Promise.all([artifacts.putBlob(trained.adapter), artifacts.putBlob(trained.moments)]);
        return {
          kind: 'optimizer-step' as const,
          policy: { folded: stepped.folded, adapter, moments, optimizerSteps: stepped.optimizerSteps + 1 },
          made: { gradientNorm, parts },
          timing: timing(),
        };
      }),
    );
    return { manifest: ref, policy: manifest.policy };
  };
