import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { FinishTurnInput, type UpdateTurnResult } from '../../schemas/steps.js';
import { SampleMeasurement, OptimizerStepManifest, RatiosManifest } from '../../schemas/turn-parts.js';
import { TurnStateManifest } from '../../schemas/turn-state.js';
import { algorithmOf } from '../algorithms/index.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { openedRun, stepOf } from '../run/run-context.js';
import { mean } from '../numerics/statistics.js';
import { readTurn } from './read-turn.js';
import { violationsOf } from './guard.js';
import { divergenceOf, measuredAtOne, suffixRatioOf, surrogateOf, turnMetrics } from './turn-metrics.js';
import { startsAtOne } from './update-pool.js';

/** Commits a turn that was spread over workers: theta after its last step with the M that the shards' ratios make (Eq. 8). Control queue. */
export const createFinishTurn = ({ artifacts }: Pick<CpuDependencies, 'artifacts'>) =>
  async function finishTurn(input: FinishTurnInput): Promise<UpdateTurnResult> {
    const { run, ...given } = FinishTurnInput.parse(input);
    const { iteration, turn, stepped, ...parts } = given;
    const opened = await openedRun(artifacts, run, { iteration, turn });
    const { ref, manifest } = await commitOnce(
      artifacts,
      keys.turnState(run.runId, iteration, turn),
      TurnStateManifest,
      stepOf(opened, given),
      async () => {
        const { products, options, poolOf } = await readTurn(artifacts, opened, given);
        const steps = await Promise.all(parts.steps.map((step) => artifacts.getJson(step, OptimizerStepManifest)));
        const shards = await Promise.all(parts.ratios.map((shard) => artifacts.getJson(shard, RatiosManifest)));
        const samplesOf = async (refs: readonly ArtifactRef[]) =>
          (await Promise.all(refs.map((ref) => artifacts.getJson(ref, z.array(SampleMeasurement))))).flat();
        const measured = await samplesOf(shards.map((shard) => shard.measured));
        const found = await samplesOf(shards.flatMap((shard) => shard.found ?? []));
        const ratios = new Map(measured.map((sample) => [sample.id, suffixRatioOf(sample)]));
        const { algorithm, guard } = options;
        const taken = steps.flatMap(({ made }) => made ?? []);
        const pool = poolOf(products);
        // Where the turn begins with ratios of 1 they need no pass; with one minibatch its first step saw the whole pool before it moved.
        const surrogateBefore = startsAtOne(options)
          ? surrogateOf(measuredAtOne(pool, options))
          : found.length > 0
            ? surrogateOf(found)
            : mean((taken[0]?.parts ?? []).map(({ surrogate }) => surrogate));
        const violations = violationsOf(
          { surrogateBefore, surrogateAfter: surrogateOf(measured), kl: divergenceOf(measured) },
          guard,
        );
        const made = {
          kind: 'turn-state' as const,
          iteration,
          turn,
          policy: stepped,
          suffixProducts: await artifacts.putJson(algorithmOf(algorithm).carried?.extend(products, ratios) ?? products),
          metrics: turnMetrics(
            measured,
            { surrogateBefore, steps: taken },
            { turn, algorithm, guard: { decision: 'kept', violations } },
          ),
        };
        return { manifest: made, tokens: 0 };
      },
    );
    return {
      manifest: ref,
      policy: manifest.policy,
      suffixProducts: manifest.suffixProducts,
      metrics: manifest.metrics,
    };
  };
