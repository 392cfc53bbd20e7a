import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

/** There is no usable model where the configuration says. */
export class ModelFileInvalid extends Error {
  override name = 'ModelFileInvalid';
}

/**
 * A model file below the models directory, hashed. A symbolic link that the operator put there may
 * lead out of it; a path in a configuration may not.
 *
 * @throws {ModelFileInvalid}
 */
export async function identifyModelFile(modelsDir: string, relative: string): Promise<{ path: string; sha256: string; bytes: number }> {
  const root = path.resolve(modelsDir);
  const file = path.resolve(root, relative);
  if (path.isAbsolute(relative) || !file.startsWith(root + path.sep)) {
    throw new ModelFileInvalid(`model.path is "${relative}": must be a file below the models directory (SEEUPO_MODELS_DIR), without ".."`);
  }
  const found = await stat(file).catch(() => null);
  if (!found?.isFile()) {
    throw new ModelFileInvalid(
      `model.path is "${relative}": ${found ? 'it is no file' : 'there is no such file'} in ${root} (SEEUPO_MODELS_DIR) on this worker. ` +
        'Put it there (the set-up does so for the quickstart), or correct the path.',
    );
  }
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { path: path.relative(root, file).split(path.sep).join('/'), sha256: hash.digest('hex'), bytes: found.size };
}
