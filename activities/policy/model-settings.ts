import { readHuggingFaceConfig } from './weights/hugging-face.js';

/**
 * Says whether the numbers of a Hugging Face directory are computed here, by its config.json alone.
 * @param accepted  settings of it that are not known here and that a person answers for
 * @throws {ModelFileInvalid} naming all settings that are refused
 */
export async function requireComputed(directory: string, accepted: readonly string[]): Promise<void> {
  await readHuggingFaceConfig(directory, accepted);
}
