import { ComputeGradientInput, type TurnPartResult } from '../../schemas/steps.js';
import { GradientManifest } from '../../schemas/turn-parts.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { computeOnce } from '../run/arithmetic.js';
import { openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';
import type { LossParts } from '../algorithms/objectives.js';
import { readTurn } from './read-turn.js';
import { shardOf } from './shard-of.js';
import { denominatorsOf, epochsOf, lossGradient, scoringOf, sequenceOf, startsAtOne, tokensOf } from './update-pool.js';

/** One shard's part of one optimiser step's gradient (Eq. 6): a sum over its samples of a loss that is a mean over the whole minibatch. GPU queue. */
export const createComputeGradient = (dependencies: GpuDependencies) =>
  async function computeGradient(input: ComputeGradientInput): Promise<TurnPartResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, ...given } = ComputeGradientInput.parse(input);
    const { iteration, turn, step, shard, shards, policy: theta, stepped } = given;
    const opened = await openedRun(artifacts, run, { iteration, turn });
    const key = keys.turnPart(run.runId, iteration, turn, `step-${step}/gradient-${shard}`);
    const { ref } = await computeOnce(dependencies, opened, key, GradientManifest, stepOf(opened, given), () =>
      heartbeats(async (report) => {
        const { products, options, poolOf } = await readTurn(artifacts, opened, given);
        const minibatch = epochsOf(poolOf(products), options).flat()[step] ?? [];
        const members = shardOf(minibatch, shard, shards);
        const parts: LossParts[] = [];
        let gradient = null;
        if (members.length > 0) {
          await policy.use(policyWeightsOf(dependencies, opened, theta), report);
          const denominators = await denominatorsOf(policy, members, options, report);
          await policy.use(policyWeightsOf(dependencies, opened, stepped), report);
          const loss = lossGradient(
            minibatch,
            members,
            denominators,
            { ...options, isAtOne: step === 0 && startsAtOne(options) },
            parts,
          );
          gradient = await artifacts.putBlob(
            (await policy.gradient(members.map(sequenceOf), loss, scoringOf(options), report)).gradient,
          );
        }
        return {
          manifest: { kind: 'gradient', gradient, parts: await artifacts.putJson(parts) },
          tokens: tokensOf(members),
        };
      }),
    );
    return { manifest: ref };
  };
