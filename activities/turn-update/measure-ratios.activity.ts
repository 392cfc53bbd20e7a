import { MeasureRatiosInput, type TurnPartResult } from '../../schemas/steps.js';
import { RatiosManifest } from '../../schemas/turn-parts.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';
import { readTurn } from './read-turn.js';
import { shardOf } from './shard-of.js';
import { denominatorsOf, measure, tokensOf, type MeasuredSample } from './update-pool.js';

/** rho of one shard's samples after the turn's steps. GPU queue. */
export const createMeasureRatios = (dependencies: GpuDependencies) =>
  async function measureRatios(input: MeasureRatiosInput): Promise<TurnPartResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, ...given } = MeasureRatiosInput.parse(input);
    const { iteration, turn, shard, shards, policy: theta, stepped } = given;
    const opened = await openedRun(artifacts, run, { iteration, turn });
    const key = keys.turnPart(run.runId, iteration, turn, `ratios-${shard}`);
    const { ref } = await commitOnce(artifacts, key, RatiosManifest, stepOf(opened, given), () =>
      heartbeats(async (report) => {
        const { products, options, poolOf } = await readTurn(artifacts, opened, given);
        const members = shardOf(poolOf(products), shard, shards);
        let measured: MeasuredSample[] = [];
        if (members.length > 0) {
          await policy.use(policyWeightsOf(dependencies, opened, theta), report);
          const denominators = await denominatorsOf(policy, members, options, report);
          await policy.use(policyWeightsOf(dependencies, opened, stepped), report);
          measured = await measure(policy, members, denominators, options, report);
        }
        return { manifest: { kind: 'ratios', measured: await artifacts.putJson(measured) }, tokens: tokensOf(members) };
      }),
    );
    return { manifest: ref };
  };
