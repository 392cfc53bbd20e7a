import { open } from 'node:fs/promises';

/** A clone without `git lfs pull` holds a note of a few lines in place of a large file. */
export async function isLfsPointer(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(40), 0, 40, 0);
    return buffer.toString('latin1', 0, bytesRead).startsWith('version https://git-lfs.github.com/spec/');
  } finally {
    await handle.close();
  }
}
