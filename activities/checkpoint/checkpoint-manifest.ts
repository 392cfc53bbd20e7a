import type { CheckpointManifest } from '../../schemas/checkpoint.js';
import type { GroupsManifest, ScoresManifest } from '../../schemas/turn-pool.js';
import type { TurnStateManifest } from '../../schemas/turn-state.js';

/** What one iteration left behind, read back from the store. */
export interface IterationParts {
  readonly iteration: number;
  readonly groups: GroupsManifest;
  readonly scores: ScoresManifest;
  /** In the order of the updates. */
  readonly turnStates: readonly TurnStateManifest[];
}

/** The iteration was put together from parts of another one. */
export class ForeignPart extends Error {
  override name = 'ShapeError';
}

/** theta_{k+1} is the last turn state; the rest says how it came about. */
export function checkpointManifest({
  iteration,
  groups,
  scores,
  turnStates,
}: IterationParts): Omit<CheckpointManifest, 'inputHash'> {
  const turns = turnStates.map(({ turn }) => turn);
  if (
    turnStates.some((state) => state.iteration !== iteration) ||
    new Set(turns).size !== groups.turns ||
    turns.length !== groups.turns
  ) {
    throw new ForeignPart(
      `iteration ${iteration}: turn states are of (iteration, turn) ${turnStates.map((state) => `(${state.iteration}, ${state.turn})`).join(' ')}, ` +
        `expected each of turns 1..${groups.turns} of iteration ${iteration} once`,
    );
  }
  return {
    kind: 'checkpoint',
    iteration,
    policy: turnStates.at(-1)!.policy,
    rollout: groups.metrics,
    groupsWithoutVariance: groups.groupsWithoutVariance,
    turns: turnStates.map(({ metrics }) => metrics),
    behaviorGap: scores.behaviorGap,
  };
}
