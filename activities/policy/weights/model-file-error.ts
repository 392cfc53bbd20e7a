/** A model file that cannot be used: names the file, the place in it, what was found and what to do. */
export class ModelFileInvalid extends Error {
  override readonly name = 'ModelFileInvalid';
  constructor(file: string, problem: string, remedy: string) {
    super(`model file ${file}: ${problem}. ${remedy}`);
  }
}
