import { ArtifactRef } from '../../schemas/artifact-ref.js';

/** Every artifact that a manifest names, however deep; the other objects of a run are named by none. */
export function namedArtifacts(value: unknown): ArtifactRef[] {
  const ref = ArtifactRef.safeParse(value);
  if (ref.success) return [ref.data];
  if (Array.isArray(value)) return value.flatMap(namedArtifacts);
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(namedArtifacts);
  return [];
}
