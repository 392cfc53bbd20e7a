import { createS3Store } from '../../activities/artifacts/s3-store.js';
import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { RunManifest } from '../../schemas/run.js';
import { RunId } from '../../schemas/train-config.js';
import { readSettings } from '../../workers/dependencies.js';
import { startServices } from '../services.js';
import { setUpSilently, UsageError } from './command.js';

/** @throws {UsageError} if it cannot be a run's id */
export function runIdOf(given: string): string {
  const runId = RunId.safeParse(given);
  if (runId.success) return runId.data;
  throw new UsageError(`--run is "${given}": it ${runId.error.issues[0]!.message}`);
}

/** @throws {UsageError} if the store has no such run, naming those it has */
export async function requireRun(store: ArtifactStore, runId: string): Promise<RunManifest> {
  const run = await store.findManifest(keys.runManifest(runId), RunManifest);
  if (run) return run.manifest;
  throw new UsageError(`--run: there is no run "${runId}" in the store; known are ${(await runsOf(store)).join(', ') || 'none'}`);
}

async function runsOf(store: ArtifactStore): Promise<string[]> {
  const runs: string[] = [];
  for await (const key of store.list('runs/')) if (key.endsWith('/run.json')) runs.push(key.split('/')[1]!);
  return runs;
}

/** The store that the environment names, else this checkout's own server, started for as long as it is needed. */
export async function withStore(use: (store: ArtifactStore, modelsDir: string) => Promise<void>): Promise<void> {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const elsewhere = (process.env['SEEUPO_S3_BUCKET'] ?? '') !== '';
  if (!elsewhere) await setUpSilently(['s3']);
  const services = elsewhere ? null : await startServices({ only: ['s3'], log: (line) => console.error(line) });
  try {
    const variables: Record<string, string | undefined> = { ...process.env, ...services?.env() };
    Object.assign(process.env, services?.env()); // keys for the AWS SDK
    const settings = readSettings(variables);
    const store = createS3Store(settings.s3);
    try {
      await use(store, settings.modelsDir);
    } finally {
      store.close();
    }
  } finally {
    await services?.stop();
  }
}
