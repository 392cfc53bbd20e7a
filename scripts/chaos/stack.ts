import { mkdir } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';
import { createS3Store } from '../../activities/artifacts/s3-store.js';
import type { ArtifactStore } from '../../activities/artifacts/store.js';
import { startServices, type BackingService, type Services } from '../services.js';
import { Records } from '../services/records.js';
import { FaultProxy } from './fault-proxy.js';

/** Servers and workers of their own in a folder, with a fault proxy between the workers and S3. */
export interface Stack {
  readonly services: Services;
  readonly client: Client;
  /** Past the proxy: what is looked at is the server's. */
  readonly artifacts: ArtifactStore;
  readonly proxy: FaultProxy;
  stop(): Promise<void>;
}

export interface StackOptions {
  readonly dataDir: string;
  readonly gpuWorkers: number;
  readonly sidecar: boolean;
  readonly workerEnv?: Readonly<Record<string, string>>;
  /** Stops a start that is under way. */
  readonly signal?: AbortSignal;
}

export async function startStack({
  dataDir,
  gpuWorkers,
  sidecar,
  workerEnv = {},
  signal,
}: StackOptions): Promise<Stack> {
  await mkdir(dataDir, { recursive: true });
  const records = new Records(dataDir);
  const proxy = await FaultProxy.listen(
    async () =>
      (await records.service('s3')).ports['http'] ?? Promise.reject(new Error('the S3 server has no port yet')),
  );
  const only: BackingService[] = ['temporal', 's3', ...(sidecar ? (['bfcl'] as const) : [])];
  const workers = { workers: { gpu: gpuWorkers }, workerEnv: { ...workerEnv, SEEUPO_S3_ENDPOINT: proxy.url } };
  const services = await startServices({ dataDir, only, ...workers, ...(signal && { signal }) }).catch(
    async (error: unknown) => {
      await proxy.close();
      throw error;
    },
  );
  const connection = await Connection.connect({ address: services.addresses.temporal });
  const env = services.env();
  const store = createS3Store({
    endpoint: env['SEEUPO_S3_ENDPOINT']!,
    bucket: env['SEEUPO_S3_BUCKET']!,
    region: env['SEEUPO_S3_REGION']!,
    forcePathStyle: true,
    credentials: services.keys,
  });
  return {
    services,
    client: new Client({ connection }),
    artifacts: store,
    proxy,
    async stop() {
      store.close();
      await connection.close();
      await services.stop();
      await proxy.close();
    },
  };
}

/** Works on a stack until it is done, or told to stop, and stops the stack. The folder stays. */
export async function withStack<R>(options: StackOptions, work: (stack: Stack) => Promise<R>): Promise<R> {
  const stack = await startStack(options);
  const stopped = new Promise<never>((_, reject) =>
    options.signal?.addEventListener('abort', () => reject(new Error('stopped')), { once: true }),
  );
  return Promise.race([work(stack), stopped]).finally(() => stack.stop());
}
