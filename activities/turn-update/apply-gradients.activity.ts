import { z } from 'zod';
import { ApplyGradientsInput, type ApplyGradientsResult } from '../../schemas/steps.js';
import { GradientManifest, OptimizerStepManifest, SamplePart } from '../../schemas/turn-parts.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { computeOnce } from '../run/arithmetic.js';
import { openedRun, policyWeightsOf, stepOf, storedTensors } from '../run/run-context.js';
import { learningRateAt } from './learning-rate.js';

/** One AdamW step along the sum of the shards' gradients, added in the shards' order. GPU queue. */
export const createApplyGradients = (dependencies: GpuDependencies) =>
  async function applyGradients(input: ApplyGradientsInput): Promise<ApplyGradientsResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, ...given } = ApplyGradientsInput.parse(input);
    const { iteration, turn, step, stepped, gradients } = given;
    const opened = await openedRun(artifacts, run, { iteration, turn });
    const key = keys.turnPart(run.runId, iteration, turn, `step-${step}/policy`);
    const { ref, manifest } = await computeOnce(
      dependencies,
      opened,
      key,
      OptimizerStepManifest,
      stepOf(opened, given),
      () =>
        heartbeats(async (report) => {
          const shards = await Promise.all(gradients.map((shard) => artifacts.getJson(shard, GradientManifest)));
          const parts = (
            await Promise.all(shards.map((shard) => artifacts.getJson(shard.parts, z.array(SamplePart))))
          ).flat();
          const summands = shards.flatMap(({ gradient }) =>
            gradient === null ? [] : [storedTensors(artifacts, gradient)],
          );
          if (summands.length === 0)
            return { manifest: { kind: 'optimizer-step' as const, policy: stepped, made: null }, tokens: 0 };
          await policy.use(policyWeightsOf(dependencies, opened, stepped), report);
          await policy.useMoments(stepped.moments && storedTensors(artifacts, stepped.moments), stepped.optimizerSteps);
          const { optimizer, iterations } = opened.config;
          const learningRate = learningRateAt(optimizer, { iteration, iterations, step: stepped.optimizerSteps });
          const { gradientNorm } = await policy.applyGradient(summands, { ...optimizer, learningRate });
          const trained = await policy.trained();
          const [adapter, moments] = await Promise.all([
            artifacts.putBlob(trained.adapter),
            artifacts.putBlob(trained.moments),
          ]);
          const manifest = {
            kind: 'optimizer-step' as const,
            policy: { folded: stepped.folded, adapter, moments, optimizerSteps: stepped.optimizerSteps + 1 },
            made: { gradientNorm, parts },
          };
          return { manifest, tokens: 0 };
        }),
    );
    return { manifest: ref, policy: manifest.policy };
  };
