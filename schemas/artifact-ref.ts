import { z } from 'zod';

/** Lower-case hexadecimal SHA-256 of the bytes it names. */
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');

/** Where bytes lie in the bucket and what they must hash to: the only way arrays travel between activities. */
export const ArtifactRef = z.strictObject({
  /** Key in the bucket, without the bucket's name; no step up or in place, which some servers would take for a path. */
  key: z
    .string()
    .regex(
      /^(?!\.{1,2}(\/|$))[^/]+(\/(?!\.{1,2}(\/|$))[^/]+)*$/,
      'must be a key of parts between slashes, none of them empty, "." or ".."',
    ),
  sha256: Sha256,
  /** Size in bytes. */
  bytes: z.int().nonnegative(),
});
export type ArtifactRef = z.infer<typeof ArtifactRef>;
