import { z } from 'zod';
import { ArtifactRef } from '../../schemas/artifact-ref.js';
import { Settings } from '../../schemas/settings.js';
import { TensorGroups } from '../../schemas/turn-state.js';
import type { ArtifactStore } from './store.js';

/** Every artifact that a manifest names, however deep; the other objects of a run are named by none. */
export function namedArtifacts(value: unknown): ArtifactRef[] {
  const ref = ArtifactRef.safeParse(value);
  if (ref.success) return [ref.data];
  if (Array.isArray(value)) return value.flatMap(namedArtifacts);
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(namedArtifacts);
  return [];
}

/**
 * Artifacts that hold the names of others: the tensor groups of full training, and settings, which name those before
 * them.
 */
const Naming = z.union([TensorGroups, Settings]);

/** The artifacts that those named by a manifest name in turn. */
export async function artifactsNamedIn(artifacts: ArtifactStore, manifest: unknown): Promise<ArtifactRef[]> {
  const found: ArtifactRef[] = [];
  let next = namingArtifacts(manifest);
  while (next.length > 0) {
    const named = (
      await Promise.all(
        next.map(async (ref) =>
          namedArtifacts(
            await artifacts.getJson(ref, Naming).then((value) => ('before' in value ? value.before : value)),
          ),
        ),
      )
    ).flat();
    found.push(...named);
    // Only settings refer to further artifacts to follow: tensor groups refer to tensors.
    next = 'settings' in (manifest as object) ? named : [];
  }
  return found;
}

function namingArtifacts(manifest: unknown): ArtifactRef[] {
  const { settings, policy } = z
    .looseObject({
      settings: ArtifactRef.optional(),
      policy: z.looseObject({ weights: ArtifactRef.nullish(), moments: ArtifactRef.nullish() }).optional(),
    })
    .catch({})
    .parse(manifest);
  const groups = policy?.weights ? [policy.weights, ...(policy.moments ? [policy.moments] : [])] : [];
  return [...(settings ? [settings] : []), ...groups];
}
