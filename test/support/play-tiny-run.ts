// node play-tiny-run.js FOLDER: the tiny run through real servers and workers under this very Node; prints one JSON line.
import path from 'node:path';
import { readEvidence } from '../../scripts/chaos/evidence.js';
import { withStack } from '../../scripts/chaos/stack.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/** What the program prints. */
export interface PlayedRun {
  readonly node: string;
  /** sha256 of each manifest of the run, by its key. */
  readonly fingerprint: Readonly<Record<string, string>>;
  readonly broken: readonly string[];
}

const [folder] = process.argv.slice(2);
if (folder !== undefined) {
  const workerEnv = await tinyWorkerEnv(path.join(folder, 'models'));
  const options = { dataDir: path.join(folder, 'stack'), gpuWorkers: 1, sidecar: false, workerEnv };
  const { fingerprint, broken } = await withStack(options, async ({ client, artifacts }) => {
    const start = { taskQueue: 'seeupo-control', workflowId: 'tiny', args: [tinyRun] };
    await client.workflow.execute('train', start);
    return readEvidence(artifacts, 'tiny');
  });
  const played: PlayedRun = { node: process.version, fingerprint, broken };
  console.log(JSON.stringify(played));
}
