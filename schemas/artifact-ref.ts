import { z } from 'zod';

/** Lower-case hexadecimal SHA-256 of the bytes it names. */
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');

/** Where bytes lie in the bucket and what they must hash to: the only way arrays travel between activities. */
export const ArtifactRef = z.strictObject({
  /** Key in the bucket, without the bucket's name: what a stranger passes as one cannot name another program's object. */
  key: z.string().regex(/^(runs|blobs)(\/(?!\.{1,2}(\/|$))[^/]+)+$/, 'must be a key below runs/ or blobs/, without "." and ".." as parts'),
  sha256: Sha256,
  /** Size in bytes. */
  bytes: z.int().nonnegative(),
});
export type ArtifactRef = z.infer<typeof ArtifactRef>;
