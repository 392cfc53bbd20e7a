import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A file to which every fake server adds a letter when it starts, and how many have. */
export async function startedOf(name: string): Promise<{ readonly file: string; count(): Promise<number> }> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'seeupo-started-')), name);
  await writeFile(file, '');
  return { file, count: async () => (await readFile(file, 'utf8')).length };
}
