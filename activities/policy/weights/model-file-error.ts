/** A model that cannot be used: names the file, the place in it, what was found and what to do. */
export class ModelFileInvalid extends Error {
  override readonly name = 'ModelFileInvalid';
  constructor(
    /** A path, or a model of a hub as hf://owner/name@revision. */
    readonly file: string,
    readonly problem: string,
    readonly remedy: string,
  ) {
    super(`model file ${file}: ${problem}. ${remedy}`);
  }
}
