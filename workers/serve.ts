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

/** How often a worker that waits for a server says so. */
const WAIT_MS = 3_000;

/**
 * Runs a worker on its task queues, the first of which gives it its name, until SIGTERM or SIGINT, then drains it: no new task, the one under way gets the
 * grace time, then is told to stop and is done again elsewhere.
 */
export async function serve(
  queues: readonly Omit<WorkerOptions, 'connection' | 'namespace'>[],
  settings: WorkerSettings,
  artifacts: ArtifactStore,
  log: Logger,
): Promise<void> {
  const { temporal, readyFile } = settings;
  if (readyFile) rmSync(readyFile, { force: true });
  // The native core's own warnings, at times the only place where a reason is told, come through the same log.
  const logging = { forward: {}, filter: nativeFilter(settings.logLevel) };
  const runtime = Runtime.install({ logger: temporalLogger(log), telemetryOptions: { logging } });
  const waiting = waitingRoom(log);
  const reached = temporalConnection(temporal);
  let connection: NativeConnection | undefined;
  try {
    await waiting.until(
      `S3 bucket ${settings.s3.bucket}`,
      () => artifacts.checkAccess(),
      (error) => ['StoreUnavailable', 'StoreFull'].includes((error as Error).name),
    );
    await abandonUploads(artifacts, log);
    const connect = () =>
      NativeConnection.connect(reached).catch((error: unknown) => {
        throw connectionFault(error, temporal);
      });
    const connected = (connection = await waiting.until(
      `Temporal at ${temporal.address}`,
      connect,
      (error) => (error as Error).name !== 'TemporalMisconfigured',
    ));
    const check = () => checkSearchAttributes(connected, temporal, log);
    await waiting.until(
      `namespace ${temporal.namespace} of Temporal at ${temporal.address}`,
      check,
      (error) => (error as Error).name !== 'BadSearchAttributes',
    );
    waiting.leave();
    const workers = await Promise.all(
      queues.map((options) =>
        Worker.create({ ...options, connection: connected, namespace: temporal.namespace, ...versioned(settings) }),
      ),
    );
    const running = runAll(workers);
    const [{ taskQueue }] = queues as [WorkerOptions];
    const taken = readyFile && keepReadyFile(readyFile, `${JSON.stringify({ pid: process.pid, taskQueue })}\n`);
    log.info({ taskQueue, address: temporal.address }, 'takes tasks');
    await running.finally(() => taken && taken());
    log.info('drained');
  } catch (error) {
    if (!waiting.toldToStop()) throw error;
    log.info('stopped while waiting');
  } finally {
    waiting.leave();
    if (readyFile) rmSync(readyFile, { force: true });
    await connection?.close();
    await runtime.shutdown(); // without a connection nothing else ends it, and it would keep the process alive
  }
}

/** No blob takes a day to go up: what is unfinished and older was left by a worker that was killed. */
const UPLOAD_MS = 24 * 3_600_000;

/** Gives such uploads up, which cost like objects and are in no list of them. A server that will not is no reason to stop. */
async function abandonUploads(artifacts: ArtifactStore, log: Logger): Promise<void> {
  try {
    const uploads = await artifacts.abortUploads(Date.now() - UPLOAD_MS);
    if (uploads > 0) log.info({ uploads }, 'gave up uploads that killed workers had left unfinished');
  } catch (error) {
    log.warn(
      `uploads that killed workers left unfinished are not looked for; let a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) end them: ${(error as Error).message}`,
    );
  }
}

const nativeFilter = (level: string): string =>
  makeTelemetryFilterString({ core: ['debug', 'trace'].includes(level) ? 'DEBUG' : 'WARN', other: 'ERROR' });

/** Until all have drained; if one fails, the others drain and its failure is thrown. */
async function runAll(workers: readonly Worker[]): Promise<void> {
  const drain = (error: unknown): never => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    throw error;
  };
  const ended = await Promise.allSettled(workers.map((worker) => worker.run().catch(drain)));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
}

/** Each workflow says itself whether it stays on its build: an iteration does, a run goes on with the current one. */
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

/** Where a worker waits for its servers, which may be started after it. The SDK heeds signals only once a worker runs. */
function waitingRoom(log: Logger) {
  const stop = new AbortController();
  const told = () => stop.abort();
  process.on('SIGTERM', told).on('SIGINT', told);
  return {
    /** Tries until it succeeds, the error is none that passes, or the process is told to stop. */
    async until<R>(
      what: string,
      attempt: () => Promise<R>,
      passes: (error: unknown) => boolean = () => true,
    ): Promise<R> {
      for (const began = Date.now(); ; ) {
        try {
          return await attempt();
        } catch (error) {
          if (!passes(error)) throw error;
          log.warn(
            { waitedSeconds: Math.round((Date.now() - began) / 1000) },
            `waiting for ${what}: ${(error as Error).message}`,
          );
          await sleep(WAIT_MS, undefined, { signal: stop.signal });
        }
      }
    },
    toldToStop: () => stop.signal.aborted,
    leave: () => void process.off('SIGTERM', told).off('SIGINT', told),
  };
}

/** Runs a worker's main function; what stops it is one clear line and exit status 1. */
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
