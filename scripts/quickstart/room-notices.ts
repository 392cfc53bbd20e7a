import { existsSync } from 'node:fs';
import path from 'node:path';
import { loadTextCodec } from '../../activities/policy/text-codec.js';
import { roomProblems } from '../../activities/warm-start/room.js';
import type { Demonstration } from '../../schemas/environment-protocol.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { modelsDir } from '../setup/paths.js';

type Settings = Pick<TrainConfig, 'model' | 'rollout' | 'warmStart'>;

/** What of an environment's known answers has no room in a run's settings; null where the model is not here, whose tokens count. */
export async function roomNotices(
  demonstrations: readonly Demonstration[],
  { model, rollout, warmStart }: Settings,
): Promise<string[] | null> {
  const file = path.join(modelsDir, model.path);
  if (demonstrations.length === 0) return [];
  if (!existsSync(file)) return null;
  return roomProblems(await loadTextCodec(file), demonstrations, {
    maxResponseTokens: rollout.maxResponseTokens,
    maxTokens: warmStart?.maxTokens ?? null,
  });
}
