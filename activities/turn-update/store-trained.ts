import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import type { PolicyState } from '../../schemas/turn-state.js';
import type { ArtifactStore } from '../artifacts/store.js';
import type { Policy } from '../policy/policy.js';

/**
 * Stores what the policy has trained: adapter and moments as a blob each; all weights as a blob per
 * tensor group, one after the other, so that neither memory nor an upload grows with the model.
 */
export async function storeTrained(
  artifacts: Pick<ArtifactStore, 'putBlob' | 'putJson'>,
  policy: Pick<Policy, 'trained' | 'trainedGroup'>,
  training: TrainConfig['training'],
): Promise<Pick<PolicyState, 'adapter' | 'weights' | 'moments'>> {
  if (training === 'lora') {
    const trained = await policy.trained();
    const [adapter, moments] = await Promise.all([
      artifacts.putBlob(trained.adapter),
      artifacts.putBlob(trained.moments),
    ]);
    return { adapter, moments };
  }
  const weights: ArtifactRef[] = [];
  const moments: ArtifactRef[] = [];
  for (let group = 0, groups = 1; group < groups; group++) {
    const trained = await policy.trainedGroup(group);
    groups = trained.groups;
    weights.push(await artifacts.putBlob(trained.weights));
    moments.push(await artifacts.putBlob(trained.moments));
  }
  return { adapter: null, weights: await artifacts.putJson(weights), moments: await artifacts.putJson(moments) };
}
