import { WarmStartManifest } from '../../schemas/checkpoint.js';
import { WarmStartInput, type WarmStartResult } from '../../schemas/steps.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { mean } from '../numerics/statistics.js';
import { shuffled } from '../numerics/random.js';
import { withTemplate } from '../rollout/prompt.js';
import { computeOnce } from '../run/arithmetic.js';
import { modelFileOf, openedRun, policyWeightsOf, stepOf, basePolicy } from '../run/run-context.js';
import { demonstratedTurns, imitationGradient, rateAt } from './demonstrations.js';

/** A run whose configuration asks for what its environment or its tokens cannot give. */
export class NoDemonstrations extends Error {
  override readonly name = 'BadConfig';
}

/**
 * Supervised fine-tuning on other tasks' ground truth, before RL and apart from it. Its adapter is
 * folded into the frozen weights: the reference of the KL term, and where RL's own adapter starts
 * from zero. GPU queue.
 *
 * @throws {NoDemonstrations} if the environment has none, or none fits warmStart.maxTokens
 */
export const createWarmStart = (dependencies: GpuDependencies) =>
  async function warmStart(input: WarmStartInput): Promise<WarmStartResult> {
    const { artifacts, policy, heartbeats, environments, codec, modelsDir } = dependencies;
    const { run } = WarmStartInput.parse(input);
    // Before the first iteration: a fork at that one shares the warm start, whatever else changes there.
    const opened = await openedRun(artifacts, run, { iteration: -1 });
    const { ref, manifest } = await computeOnce(
      dependencies,
      opened,
      keys.warmStart(run.runId),
      WarmStartManifest,
      stepOf(opened, {}),
      () =>
        heartbeats(async (report) => {
          const { warmStart: config, environment, rollout, seed, microBatchTokens } = opened.config;
          if (config === null) throw new NoDemonstrations('warmStart is null, but the workflow asked for a warm start');
          const source = environments(environment.name, { taskSet: environment.taskSet });
          const text = withTemplate(await codec(modelFileOf(modelsDir, opened)), rollout);
          const conversations = ((await source.demonstrations?.()) ?? [])
            .map((demonstration) => demonstratedTurns(text, demonstration, config.maxTokens))
            .filter((turns) => turns.length > 0);
          if (conversations.length === 0) {
            throw new NoDemonstrations(
              `environment ${environment.name} has no demonstrations of at most ${config.maxTokens} tokens: raise warmStart.maxTokens, or set warmStart to null`,
            );
          }
          // An adapter in full training too: what RL starts from is the folded weights either way.
          const { full: _, ...weights } = policyWeightsOf(dependencies, opened, basePolicy);
          await policy.use(weights, report);
          await policy.useMoments(null, 0);
          const stepsPerEpoch = Math.ceil(conversations.length / config.batchSize);
          const steps = stepsPerEpoch * config.epochs;
          const epochLosses: number[] = [];
          let tokens = 0;
          for (let epoch = 0, step = 0; epoch < config.epochs; epoch++) {
            const order = shuffled(conversations, `${seed}/warm-start/${epoch}`);
            const losses: number[] = [];
            for (; step < (epoch + 1) * stepsPerEpoch; step++) {
              const at = (step - epoch * stepsPerEpoch) * config.batchSize;
              // The row is the conversation, not the task: a task may have several.
              const turns = order
                .slice(at, at + config.batchSize)
                .flatMap((conversation, c) => conversation.map((turn) => ({ ...turn, prefixGroup: String(c) })));
              const { logProbs } = await policy.step(
                turns,
                (_, rows) => imitationGradient(rows, turns.length),
                {
                  ...config.optimizer,
                  learningRate:
                    config.optimizer.learningRate * rateAt(step, steps, config.warmUpSteps, config.finalRate),
                  temperature: 1,
                  microBatchTokens,
                },
                () => report({ phase: 'gradient', done: step, of: steps }),
              );
              losses.push(...logProbs.map((row) => -mean(row)));
              tokens += order.slice(at, at + config.batchSize).reduce((total, conversation) => {
                const last = conversation.at(-1)!;
                return total + last.promptIds.length + last.responseIds.length;
              }, 0);
            }
            epochLosses.push(mean(losses));
          }
          const adapter = await artifacts.putBlob((await policy.trained()).adapter);
          return {
            manifest: { kind: 'warm-start', adapter, sequences: conversations.length, tokens, steps, epochLosses },
            tokens,
          };
        }),
    );
    return {
      manifest: ref,
      policy: { ...basePolicy, folded: [manifest.adapter] },
      steps: manifest.steps,
      finalLoss: manifest.epochLosses.at(-1)!,
    };
  };
