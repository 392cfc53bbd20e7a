import { existsSync } from 'node:fs';
import path from 'node:path';

const remedies = { temporal: 'the Temporal CLI', versitygw: 'the S3 server versitygw' } as const;

/** A server's executable: what set-up built, or what is on PATH. @throws if neither is there */
export function binary(name: keyof typeof remedies): string {
  const folders = [path.resolve('.runtime/bin'), ...(process.env.PATH ?? '').split(path.delimiter)];
  const found = folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
  if (found) return found;
  throw new Error(
    `this test needs ${remedies[name]}: "${name}" is neither in .runtime/bin nor on PATH. Run: npm run setup`,
  );
}
