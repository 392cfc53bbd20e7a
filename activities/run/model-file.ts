import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { IdentifiedModel } from '../../schemas/run.js';
import { modelFingerprint } from '../policy/model-files.js';
import { requireComputed } from '../policy/model-settings.js';

/** There is no usable model where the configuration says. */
export class ModelFileInvalid extends Error {
  override name = 'ModelFileInvalid';
}

/**
 * The absolute path of a model below the models directory; of a path that leaves it, nothing is read.
 * @throws {ModelFileInvalid}
 */
export function belowModels(modelsDir: string, relative: string): string {
  const root = path.resolve(modelsDir);
  const file = path.resolve(root, relative);
  if (!path.isAbsolute(relative) && file.startsWith(root + path.sep)) return file;
  throw new ModelFileInvalid(
    `model.path is "${relative}": must be a file or directory below the models directory (SEEUPO_MODELS_DIR), without ".."`,
  );
}

/**
 * A model file or directory below the models directory, hashed. A symbolic link that the operator put there may
 * lead out of it; a path in a configuration may not. Of a directory, config.json is read: what is not computed is refused before a run begins.
 *
 * @param accepted  settings of config.json that a person answers for
 * @throws {ModelFileInvalid}
 */
export async function identifyModelFile(
  modelsDir: string,
  relative: string,
  accepted: readonly string[] = [],
): Promise<IdentifiedModel> {
  const root = path.resolve(modelsDir);
  const file = belowModels(modelsDir, relative);
  const found = await stat(file).catch(() => null);
  if (!found?.isFile() && !found?.isDirectory()) {
    throw new ModelFileInvalid(
      `model.path is "${relative}": ${found ? 'it is neither file nor directory' : 'there is no such file or directory'} in ${root} (SEEUPO_MODELS_DIR) on this worker. ` +
        'Put it there (the set-up does so for the quickstart), or correct the path.',
    );
  }
  if (found.isDirectory() && !(await stat(path.join(file, 'config.json')).catch(() => null))?.isFile()) {
    throw new ModelFileInvalid(
      `model.path is "${relative}": the directory has no config.json. Put a model there as transformers saves it, or name a GGUF file.`,
    );
  }
  const fingerprint = await modelFingerprint(file).catch((cause: Error) => {
    const problem =
      cause.name === 'ModelFileInvalid'
        ? cause.message
        : `it cannot be read whole (${cause.message}). Download the model again.`;
    throw new ModelFileInvalid(`model.path is "${relative}": ${problem}`);
  });
  if (found.isDirectory()) {
    await requireComputed(file, accepted).catch((cause: Error) => {
      throw new ModelFileInvalid(`model.path is "${relative}": ${cause.message}`);
    });
  }
  return {
    path: path.relative(root, file).split(path.sep).join('/'),
    ...fingerprint,
    ...(accepted.length > 0 && { acceptSettings: [...accepted] }),
  };
}
