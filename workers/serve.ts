import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTelemetryFilterString, NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { ArtifactStore } from '../activities/artifacts/store.js';
import { checkSearchAttributes } from './check-search-attributes.js';
import { readSettings, type WorkerSettings } from './dependencies.js';
import { createLog, outliveLostOutput, temporalLogger } from './logging.js';
import { keepReadyFile } from './ready-file.js';
import { temporalConnection } from './temporal-connection.js';
import { connectionFault } from './temporal-fault.js';

/** Time between two attempts to reach a server, each of which is logged. */
const WAIT_MS = 3_000;

/**
 * Runs a worker on its task queues until SIGTERM or SIGINT, then drains it: it takes no new task, and the current task
 * gets the grace time, after which it is cancelled and retried by another worker.
 *
 * @param queues  options per task queue; the first queue is the one in the log and in the ready file
 */
export async function serve(
  queues: readonly Omit<WorkerOptions, 'connection' | 'namespace'>[],
  settings: WorkerSettings,
  artifacts: ArtifactStore,
  log: Logger,
): Promise<void> {
  const { temporal, readyFile } = settings;
  if (readyFile) rmSync(readyFile, { force: true });
  // Warnings of the native core go to the same log: some reasons appear nowhere else.
  const logging = { forward: {}, filter: nativeFilter(settings.logLevel) };
  const runtime = Runtime.install({ logger: temporalLogger(log), telemetryOptions: { logging } });
  const startup = retryUntilReady(log);
  const options = temporalConnection(temporal);
  let connection: NativeConnection | undefined;
  try {
    await startup.until(
      `S3 bucket ${settings.s3.bucket}`,
      () => artifacts.checkAccess(),
      (error) => ['StoreUnavailable', 'StoreFull'].includes((error as Error).name),
    );
    await abandonUploads(artifacts, log);
    const connect = () =>
      NativeConnection.connect(options).catch((error: unknown) => {
        throw connectionFault(error, temporal);
      });
    const connected = (connection = await startup.until(
      `Temporal at ${temporal.address}`,
      connect,
      (error) => (error as Error).name !== 'TemporalMisconfigured',
    ));
    const check = () => checkSearchAttributes(connected, temporal, log);
    await startup.until(
      `namespace ${temporal.namespace} of Temporal at ${temporal.address}`,
      check,
      (error) => (error as Error).name !== 'BadSearchAttributes',
    );
    startup.end();
    const workers = await Promise.all(
      queues.map((queue) =>
        Worker.create({ ...queue, connection: connected, namespace: temporal.namespace, ...versioned(settings) }),
      ),
    );
    const running = runAll(workers);
    const [{ taskQueue }] = queues as [WorkerOptions];
    const removeReadyFile =
      readyFile && keepReadyFile(readyFile, `${JSON.stringify({ pid: process.pid, taskQueue })}\n`);
    log.info({ taskQueue, address: temporal.address }, 'takes tasks');
    await running.finally(() => removeReadyFile && removeReadyFile());
    log.info('drained');
  } catch (error) {
    if (!startup.stopped()) throw error;
    log.info('stopped while waiting');
  } finally {
    startup.end();
    if (readyFile) rmSync(readyFile, { force: true });
    await connection?.close();
    await runtime.shutdown(); // without a connection nothing else shuts it down, and it would keep the process alive
  }
}

/** No upload takes a day: an older unfinished one was left by a worker that was killed. */
const LONGEST_UPLOAD_MS = 24 * 3_600_000;

/** Aborts such uploads: they cost as much as objects and are not listed among them. A failure is only logged. */
async function abandonUploads(artifacts: ArtifactStore, log: Logger): Promise<void> {
  try {
    const uploads = await artifacts.abortUploads(Date.now() - LONGEST_UPLOAD_MS);
    if (uploads > 0) log.info({ uploads }, 'gave up uploads that killed workers had left unfinished');
  } catch (error) {
    log.warn(
      `uploads that killed workers left unfinished are not looked for; let a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) end them: ${(error as Error).message}`,
    );
  }
}

const nativeFilter = (level: string): string =>
  makeTelemetryFilterString({ core: ['debug', 'trace'].includes(level) ? 'DEBUG' : 'WARN', other: 'ERROR' });

/** Resolves when all workers have drained; if one fails, the others are drained first and its failure is thrown. */
async function runAll(workers: readonly Worker[]): Promise<void> {
  const drain = (error: unknown): never => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    throw error;
  };
  const ended = await Promise.allSettled(workers.map((worker) => worker.run().catch(drain)));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
}

/** By default a workflow moves to the current build; iterations declare themselves that they stay on theirs. */
const versioned = ({
  deployment,
}: Pick<WorkerSettings, 'deployment'>): Pick<WorkerOptions, 'workerDeploymentOptions'> =>
  deployment === null
    ? {}
    : {
        workerDeploymentOptions: {
          useWorkerVersioning: true,
          defaultVersioningBehavior: 'AUTO_UPGRADE',
          version: { deploymentName: deployment.name, buildId: deployment.buildId },
        },
      };

/**
 * Retries the steps of a worker's start, because its servers may be started after it. It handles SIGTERM and SIGINT
 * itself, since the SDK does so only while a worker runs.
 */
function retryUntilReady(log: Logger) {
  const stop = new AbortController();
  const onStop = () => stop.abort();
  process.on('SIGTERM', onStop).on('SIGINT', onStop);
  return {
    /** Retries until the attempt succeeds, its error is not a temporary one, or the process is asked to stop. */
    async until<R>(
      what: string,
      attempt: () => Promise<R>,
      isTemporary: (error: unknown) => boolean = () => true,
    ): Promise<R> {
      for (const began = Date.now(); ; ) {
        try {
          return await attempt();
        } catch (error) {
          if (!isTemporary(error)) throw error;
          log.warn(
            { waitedSeconds: Math.round((Date.now() - began) / 1000) },
            `waiting for ${what}: ${(error as Error).message}`,
          );
          await sleep(WAIT_MS, undefined, { signal: stop.signal });
        }
      }
    },
    stopped: () => stop.signal.aborted,
    end: () => void process.off('SIGTERM', onStop).off('SIGINT', onStop),
  };
}

/** Runs a worker's main function; an error is logged as one line, and the exit status is 1. */
export async function main(
  worker: string,
  run: (settings: WorkerSettings, log: Logger) => Promise<void>,
): Promise<void> {
  outliveLostOutput();
  let log = createLog(worker, 'info');
  try {
    const settings = readSettings();
    log = createLog(worker, settings.logLevel);
    await run(settings, log);
  } catch (error) {
    log.fatal({ err: error }, (error as Error).message);
    process.exitCode = 1;
  }
}
