import { MeasureRatiosInput, type TurnPartResult } from '../../schemas/steps.js';
import { RatiosManifest } from '../../schemas/turn-parts.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { computeOnce } from '../run/arithmetic.js';
import { openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';
import { readTurn } from './read-turn.js';
import { shardOf } from './shard-of.js';
import { measured, type MeasuredSample } from './turn-metrics.js';
import { denominatorsOf, scoredBy, startsAtOne, tokensOf } from './update-pool.js';

/** rho of one shard's samples after the turn's steps, and where they stood before them if the steps do not tell. GPU queue. */
export const createMeasureRatios = (dependencies: GpuDependencies) =>
  async function measureRatios(input: MeasureRatiosInput): Promise<TurnPartResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, ...given } = MeasureRatiosInput.parse(input);
    const { iteration, turn, shard, shards, policy: theta, stepped } = given;
    const opened = await openedRun(artifacts, run, { iteration, turn });
    const key = keys.turnPart(run.runId, iteration, turn, `ratios-${shard}`);
    const { ref } = await computeOnce(dependencies, opened, key, RatiosManifest, stepOf(opened, given), () =>
      heartbeats(async (report) => {
        const { products, options, poolOf } = await readTurn(artifacts, opened, given);
        const pool = poolOf(products);
        const members = shardOf(pool, shard, shards);
        // With several minibatches no step has seen the whole pool under theta as the turn found it.
        const isFoundMeasured = !startsAtOne(options) && options.algorithm.minibatches > 1;
        let standing: MeasuredSample[] = [];
        let found: MeasuredSample[] = [];
        if (members.length > 0) {
          await policy.use(policyWeightsOf(dependencies, opened, theta), report);
          const denominators = await denominatorsOf(policy, members, options, report);
          if (isFoundMeasured)
            found = measured(members, denominators, await scoredBy(policy, members, options, report), pool, options);
          await policy.use(policyWeightsOf(dependencies, opened, stepped), report);
          standing = measured(members, denominators, await scoredBy(policy, members, options, report), pool, options);
        }
        const [ofStanding, ofFound] = [
          await artifacts.putJson(standing),
          isFoundMeasured ? await artifacts.putJson(found) : null,
        ];
        return {
          manifest: { kind: 'ratios', measured: ofStanding, ...(ofFound && { found: ofFound }) },
          tokens: tokensOf(members),
        };
      }),
    );
    return { manifest: ref };
  };
