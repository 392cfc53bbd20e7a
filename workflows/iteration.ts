import { setCurrentDetails, setHandler, upsertSearchAttributes } from '@temporalio/workflow';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import type { RunRef } from '../schemas/run.js';
import type { IterationResult, UpdateTurnResult } from '../schemas/steps.js';
import type { PolicyState } from '../schemas/turn-state.js';
import { cpu, gpu } from './activity-proxies.js';
import { asCancelled } from './failures.js';
import { iterationProgress, stopAfterTurn, type IterationProgress } from './messages.js';
import { runAttributes } from './search-attributes.js';
import { turnOrder } from './turn-order.js';
import { updateTurn } from './update-turn.js';

export interface IterationInput {
  readonly run: RunRef;
  /** k, counted from 0. */
  readonly iteration: number;
  /** theta_k. */
  readonly policy: PolicyState;
}

/**
 * One iteration of SeeUPO (arXiv 2602.06554, Algorithm 1): theta_k in, theta_{k+1} out.
 *
 * Every activity commits its result to the store before it returns, and finds it there if it is called again, so each
 * step happens exactly once even if workers or the server die on the way.
 *
 * @returns null if it was stopped between two turns; the turns that are done stay committed
 */
export async function iteration({ run, iteration, policy }: IterationInput): Promise<IterationResult | null> {
  let progress: IterationProgress = { iteration, phase: 'rollout', turn: null, turns: null };
  const now = (next: Partial<IterationProgress>) => {
    progress = { ...progress, ...next };
    setCurrentDetails(
      `**Iteration ${iteration + 1} of ${run.iterations}**: ${progress.phase}${progress.turn ? ` ${progress.turn} of ${progress.turns}` : ''}`,
    );
  };
  setHandler(iterationProgress, () => progress);
  let stopping = false;
  setHandler(stopAfterTurn, () => void (stopping = true));
  upsertSearchAttributes(runAttributes(run, { iteration }));

  return asCancelled(async () => {
    // Step 1: G trajectories for each task, in shards that any number of workers share.
    now({ phase: 'rollout' });
    const shards = await Promise.all(
      range(run.shards).map((shard) =>
        gpu(`rollout, shard ${shard + 1} of ${run.shards}`).collectRollouts({ run, iteration, shard, policy }),
      ),
    );
    const rollouts = shards.map(({ manifest }) => manifest);

    // Steps 2 and 3: turn pools D_1..D_T and group-relative advantages A, Eq. 9.
    now({ phase: 'group' });
    const groups = await cpu('turn pools and advantages').groupRollouts({ run, iteration, shards: rollouts });

    // Log-probabilities under theta_k and the frozen reference, which every turn's ratio and divergence need.
    now({ phase: 'score' });
    const scores = await gpu('log-probabilities of theta_k and the reference').scoreTrajectories({
      run,
      iteration,
      groups: groups.manifest,
      policy,
    });

    // Step 4: one turn after the other, each weighted by how far the turns before it in the order have moved, Eq. 6 to
    // 8.
    let theta: Pick<UpdateTurnResult, 'policy'> & { suffixProducts: ArtifactRef | null } = {
      policy,
      suffixProducts: null,
    }; // Eq. 7: M_{T+1} = A
    let stickyQueue: string | undefined; // task queue of the worker that holds theta
    const turnStates: ArtifactRef[] = [];
    const order = turnOrder(run.updateOrder, groups.turns, iteration);
    for (const [index, turn] of order.entries()) {
      if (stopping) return null;
      now({ phase: 'update turn', turn, turns: groups.turns });
      const input = {
        run,
        iteration,
        turn,
        groups: groups.manifest,
        scores: scores.manifest,
        updatedBefore: order.slice(0, index),
        ...theta,
      };
      const done = await updateTurn(input, groups.turns, stickyQueue);
      theta = { policy: done.policy, suffixProducts: done.suffixProducts };
      stickyQueue = done.warm;
      turnStates.push(done.manifest);
    }

    // Step 5: theta_{k+1} is theta after the last turn of the order.
    now({ phase: 'commit', turn: null });
    const done = await cpu('commit the checkpoint').commitCheckpoint({
      run,
      iteration,
      rollouts,
      groups: groups.manifest,
      scores: scores.manifest,
      turnStates,
    });
    if (run.retention) await cpu('drop what the retention rule does not keep').applyRetention({ run, iteration });
    return done;
  });
}

const range = (n: number): number[] => Array.from({ length: n }, (_, index) => index);
