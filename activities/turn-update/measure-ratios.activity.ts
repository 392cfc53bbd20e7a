import { MeasureRatiosInput, type TurnPartResult } from '../../schemas/steps.js';
import { RatiosManifest } from '../../schemas/turn-parts.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';
import { readTurn } from './read-turn.js';
import { shardOf } from './shard-of.js';
import { measured, type MeasuredSample } from './turn-metrics.js';
import { denominatorsOf, scoredBy, tokensOf } from './update-pool.js';

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
        const pool = poolOf(products);
        const members = shardOf(pool, shard, shards);
        let standing: MeasuredSample[] = [];
        if (members.length > 0) {
          await policy.use(policyWeightsOf(dependencies, opened, theta), report);
          const denominators = await denominatorsOf(policy, members, options, report);
          await policy.use(policyWeightsOf(dependencies, opened, stepped), report);
          standing = measured(members, denominators, await scoredBy(policy, members, options, report), pool, options);
        }
        return { manifest: { kind: 'ratios', measured: await artifacts.putJson(standing) }, tokens: tokensOf(members) };
      }),
    );
    return { manifest: ref };
  };
