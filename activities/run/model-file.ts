import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { IdentifiedModel } from '../../schemas/run.js';
import { modelFingerprint } from '../policy/model-files.js';
import { requireComputed } from '../policy/model-settings.js';
import { ModelFileInvalid } from '../policy/weights/model-file-error.js';

/**
 * The absolute path of a model below the models directory; of a path that leaves it, nothing is read.
 * @throws {ModelFileInvalid}
 */
export function belowModels(modelsDir: string, relative: string): string {
  const root = path.resolve(modelsDir);
  const file = path.resolve(root, relative);
  if (!path.isAbsolute(relative) && file.startsWith(root + path.sep)) return file;
  throw new ModelFileInvalid(
    relative,
    'must be a file or directory below the models directory (SEEUPO_MODELS_DIR), without ".."',
    'Put the model there, or correct the path.',
  );
}

/**
 * A model file or directory below the models directory, hashed. A symbolic link that the operator put there may
 * lead out of it; a path in a configuration may not. Of a directory, config.json is read: what is not computed is
 * refused before a run begins.
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
    const what = found ? 'it is neither file nor directory' : 'there is no such file or directory';
    throw new ModelFileInvalid(
      relative,
      `${what} in ${root} (SEEUPO_MODELS_DIR) on this worker`,
      'Put it there (the set-up does so for the quickstart), or correct the path.',
    );
  }
  if (found.isDirectory() && !(await stat(path.join(file, 'config.json')).catch(() => null))?.isFile()) {
    throw new ModelFileInvalid(
      relative,
      'the directory has no config.json',
      'Put a model there as transformers saves it, or name a GGUF file.',
    );
  }
  const fingerprint = await modelFingerprint(file).catch((cause: Error) => {
    if (cause instanceof ModelFileInvalid) throw cause;
    throw new ModelFileInvalid(relative, `it cannot be read whole (${cause.message})`, 'Download the model again.');
  });
  if (found.isDirectory()) {
    await requireComputed(file, accepted).catch((cause: Error) => {
      if (cause instanceof ModelFileInvalid) throw cause;
      throw new ModelFileInvalid(relative, `its settings cannot be read (${cause.message})`, 'Download it again.');
    });
  }
  return {
    path: path.relative(root, file).split(path.sep).join('/'),
    ...fingerprint,
    ...(accepted.length > 0 && { acceptSettings: [...accepted] }),
  };
}

/**
 * What is wrong with a model that a configuration names, as one of the configuration's problems.
 *
 * @param field  path of the field that names it
 */
export function problemWithModel(field: string, named: string, error: ModelFileInvalid): string {
  // A file within the model, or of the hub's copy, is named besides.
  const what = error.file === named ? `${error.problem}. ${error.remedy}` : error.message;
  return `${field} is "${named}": ${what}`;
}
