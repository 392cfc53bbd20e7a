import { readFile, rename, stat, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { inRuntime, runtimeDir } from './paths.js';
import type { ComponentName } from './component.js';

export interface VerifiedFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** Proof that a component was installed whole: written last, after its files were verified and moved into place. */
export interface Stamp {
  /** Whatever decides that an older install must be replaced. */
  readonly version: string;
  /** Files that were hashed, by path relative to the runtime folder (or absolute, for a binary of the user's own). */
  readonly files: Readonly<Record<string, VerifiedFile>>;
}

const stampPath = (name: ComponentName) => inRuntime('stamps', `${name}.json`);
const located = (path: string) => (isAbsolute(path) ? path : join(runtimeDir, path));

export async function readStamp(name: ComponentName): Promise<Stamp | undefined> {
  try {
    const stamp = JSON.parse(await readFile(stampPath(name), 'utf8')) as Partial<Stamp> | null;
    if (typeof stamp?.version === 'string' && typeof stamp.files === 'object') return stamp as Stamp;
  } catch {
    // Missing or torn by a power cut: both mean "not installed".
  }
  return undefined;
}

/** Whether the stamp names this version and its files still have the size they were verified with. Not hashed again: 850 MB. */
export async function stampHolds(name: ComponentName, version: string): Promise<boolean> {
  const stamp = await readStamp(name);
  if (stamp?.version !== version) return false;
  const sizes = await Promise.all(
    Object.entries(stamp.files).map(async ([path, file]) => {
      const found = await stat(located(path)).catch(() => undefined);
      return found?.size === file.bytes;
    }),
  );
  return sizes.every(Boolean);
}

export async function writeStamp(name: ComponentName, stamp: Stamp): Promise<void> {
  await writeWhole(stampPath(name), `${JSON.stringify(stamp, null, 2)}\n`);
}

/** Writes a small file so that a reader sees the old text or the new, never a part. */
export async function writeWhole(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, path);
}

/** Puts a finished folder or file where it belongs, in place of an older one. */
export async function moveIntoPlace(finished: string, destination: string): Promise<void> {
  await mkdir(dirname(destination), { recursive: true });
  const old = `${destination}.old-${process.pid}`;
  // A rename cannot replace a folder that has files; processes that have the old one mapped keep it.
  await rename(destination, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(finished, destination);
  await rm(old, { recursive: true, force: true });
}
