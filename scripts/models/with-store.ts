import { createS3Store } from '../../activities/artifacts/s3-store.js';
import type { ArtifactStore } from '../../activities/artifacts/store.js';
import { readSettings } from '../../workers/dependencies.js';
import { startServices } from '../services.js';
import { setUpSilently } from './command.js';

/**
 * The store that the environment names, else this checkout's own server, started for as long as it is needed.
 *
 * @param writes  the server is looked at first, as workers do: one that ignores conditions is refused before anything is written
 */
export async function withStore<R>(
  use: (store: ArtifactStore, modelsDir: string) => Promise<R>,
  { writes = false } = {},
): Promise<R> {
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
      if (writes) await store.checkAccess();
      return await use(store, settings.modelsDir);
    } finally {
      store.close();
    }
  } finally {
    await services?.stop();
  }
}
