import { EventEmitter } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { withLock } from './setup/lock.js';
import { modelsDir, runtimeDir } from './setup/paths.js';
import { isRunning, thisProcess } from './setup/process-identity.js';
import { appworld } from './services/appworld.js';
import { bfcl, bfclFull } from './services/bfcl.js';
import type { ServiceDefinition, Surroundings } from './services/definition.js';
import { terminate } from './services/processes.js';
import { Records } from './services/records.js';
import { BUCKET, REGION, s3 } from './services/s3.js';
import { ServiceError } from './services/service-error.js';
import { Supervised, type Supervision } from './services/supervised.js';
import { temporal } from './services/temporal.js';
import { cpuWorker, gpuWorkers } from './services/workers.js';

export { ServiceError };
export type { ServiceDefinition } from './services/definition.js';

export type BackingService = 'temporal' | 's3' | 'bfcl';

export interface ServicesOptions {
  /** Also the control worker and the GPU workers (one, or the given number). Default false. */
  readonly workers?: boolean | { readonly gpu: number };
  /** Which of the servers to start. Default all. */
  readonly only?: readonly BackingService[];
  /** Where data, logs and records are kept. Default the runtime folder; another one is an instance isolated from it. */
  readonly dataDir?: string;
  /** Variables for the workers besides those of `env()`. */
  readonly workerEnv?: Readonly<Record<string, string>>;
  /** One line per event worth telling. Default: none are told. */
  readonly log?: (line: string) => void;
  /** Stops a start that is under way; what was started is stopped again. */
  readonly signal?: AbortSignal;
  /** Services of the caller's own, supervised like the others; for tests. */
  readonly extra?: readonly ServiceDefinition[];
}

export interface Addresses {
  /** host:port of gRPC. */
  readonly temporal: string;
  readonly webUi: string;
  readonly s3: string;
  readonly bfcl: string;
}

interface ServicesEvents {
  /** A process has ended without being asked to, and is started again. */
  restart: [service: string, reason: string];
  /** A process runs and does not answer, three times in a row. */
  unhealthy: [service: string];
}

/**
 * Starts the services of a run, or finds them alive from before, and keeps them alive until `stop`.
 *
 * A second process in the same checkout uses the services of the first; whoever leaves last stops them. After a
 * kill -9 of the first, the next one (or the second, within a second) takes over what still runs.
 *
 * @throws {ServiceError} if one does not become ready, or a fixed port is taken; nothing is left running then
 */
export async function startServices(options: ServicesOptions = {}): Promise<Services> {
  const dataDir = resolve(options.dataDir ?? runtimeDir);
  await mkdir(dataDir, { recursive: true });
  const records = new Records(dataDir);
  const keys = await records.update((file) => file.keys);
  const services = new Services(options, dataDir, records, keys, await thisProcess());
  const log = options.log ?? (() => undefined);
  await withLock(
    join(dataDir, 'services-start.lock'),
    () => services.start(),
    (holder) => log(`process ${holder} is starting or stopping the services here, waiting for it`),
  );
  return services;
}

/** Stops every service recorded in a data folder, whoever started it: the counterpart of `--keep`. */
export async function stopRecordedServices(dataDir: string = runtimeDir, graceMs = 60_000): Promise<string[]> {
  const records = new Records(dataDir);
  return withLock(join(dataDir, 'services-start.lock'), async () => {
    const entries = Object.entries((await records.read()).services);
    const stopped: string[] = [];
    for (const [name, record] of entries.toReversed()) {
      // A living supervisor would start it again.
      if (record.supervisor !== null && (await isRunning(record.supervisor))) {
        throw new ServiceError(
          `${name} is supervised by process ${record.supervisor.pid}: press Ctrl-C there, or end that process with SIGTERM`,
        );
      }
      if (record.process !== null && (await isRunning(record.process))) {
        await terminate(record.process, graceMs);
        stopped.push(name);
      }
      await records.updateService(name, (now) => {
        now.process = null;
      });
    }
    return stopped;
  });
}

export class Services extends EventEmitter<ServicesEvents> {
  private readonly supervised: readonly Supervised[];
  private readonly stopping = new AbortController();
  private readonly surroundings: Surroundings;
  private timer: NodeJS.Timeout | undefined;
  private ended: Promise<void> | undefined;

  /** Use `startServices`. */
  constructor(
    options: ServicesOptions,
    readonly dataDir: string,
    records: Records,
    readonly keys: Surroundings['keys'],
    me: Supervision['me'],
  ) {
    super();
    this.surroundings = { dataDir, keys, env: () => this.env(), port: (service, key) => this.port(service, key) };
    const supervision: Supervision = {
      surroundings: this.surroundings,
      records,
      me,
      isolated: dataDir !== runtimeDir,
      log: options.log ?? (() => undefined),
      signal:
        options.signal === undefined ? this.stopping.signal : AbortSignal.any([this.stopping.signal, options.signal]),
      onRestart: (service, reason) => this.emit('restart', service, reason),
      onUnhealthy: (service) => this.emit('unhealthy', service),
    };
    const servers = [temporal, s3, bfcl].filter(
      ({ name }) => options.only === undefined || options.only.some((wanted) => wanted === name),
    );
    const gpus = typeof options.workers === 'object' ? options.workers.gpu : 1;
    const workers = options.workers
      ? [cpuWorker({ ...options.workerEnv }), ...gpuWorkers(gpus, { ...options.workerEnv })]
      : [];
    this.supervised = [...servers, ...workers, ...(options.extra ?? [])].map(
      (definition) => new Supervised(definition, supervision),
    );
  }

  /** Called once by `startServices`. */
  async start(): Promise<void> {
    this.timer = setInterval(() => {
      for (const service of this.supervised) void service.tick().catch(() => undefined); // a full disk; the next tick tries again
    }, 1_000);
    try {
      for (const stage of this.stages()) await allSettledOrThrow(stage.map((service) => service.obtain()));
    } catch (error) {
      await this.leave({ keep: false });
      throw error;
    }
  }

  get addresses(): Addresses {
    const local = (service: string, key?: string) => `127.0.0.1:${this.port(service, key)}`;
    return {
      temporal: this.has('temporal') ? local('temporal', 'grpc') : '',
      webUi: this.has('temporal') ? `http://${local('temporal', 'ui')}` : '',
      s3: this.has('s3') ? `http://${local('s3')}` : '',
      bfcl: this.has('bfcl') ? `http://${local('bfcl')}` : '',
    };
  }

  /** The variables that lead a worker, a client or a test to these services. */
  env(): Record<string, string> {
    const { temporal: address, s3: endpoint, bfcl: url } = this.addresses;
    return {
      ...(this.has('temporal') ? { SEEUPO_TEMPORAL_ADDRESS: address, SEEUPO_TEMPORAL_NAMESPACE: 'default' } : {}),
      ...(this.has('s3')
        ? {
            SEEUPO_S3_ENDPOINT: endpoint,
            SEEUPO_S3_BUCKET: BUCKET,
            SEEUPO_S3_REGION: REGION,
            SEEUPO_S3_FORCE_PATH_STYLE: 'true',
            AWS_ACCESS_KEY_ID: this.keys.accessKeyId,
            AWS_SECRET_ACCESS_KEY: this.keys.secretAccessKey,
          }
        : {}),
      ...(this.has('bfcl') ? { SEEUPO_BFCL_URL: url } : {}),
      ...(this.has(bfclFull.name) ? { SEEUPO_BFCL_FULL_URL: `http://127.0.0.1:${this.port(bfclFull.name)}` } : {}),
      ...(this.has(appworld.name) ? { SEEUPO_APPWORLD_URL: `http://127.0.0.1:${this.port(appworld.name)}` } : {}),
      SEEUPO_RUNTIME_DIR: runtimeDir,
      SEEUPO_MODELS_DIR: modelsDir,
      TF_CPP_MIN_LOG_LEVEL: process.env.TF_CPP_MIN_LOG_LEVEL ?? '2',
      TF_ENABLE_ONEDNN_OPTS: process.env.TF_ENABLE_ONEDNN_OPTS ?? '1',
    };
  }

  /** Process id of each service, for tests that kill them. */
  pids(): Record<string, number | undefined> {
    return Object.fromEntries(this.supervised.map((service) => [service.definition.name, service.pid]));
  }

  logFile(service: string): string {
    return join(this.dataDir, 'logs', `${service}.log`);
  }

  /** Stops, in reverse order, what no other process uses. Safe to call twice. */
  stop(): Promise<void> {
    return (this.ended ??= withLock(join(this.dataDir, 'services-start.lock'), () => this.leave({ keep: false })));
  }

  /** Leaves everything running; the next start finds it, `stopRecordedServices` ends it. */
  release(): Promise<void> {
    return (this.ended ??= withLock(join(this.dataDir, 'services-start.lock'), () => this.leave({ keep: true })));
  }

  private async leave(how: { keep: boolean }): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort();
    for (const stage of this.stages().toReversed()) await allSettledOrThrow(stage.map((service) => service.leave(how)));
  }

  private stages(): Supervised[][] {
    const stages = new Map<number, Supervised[]>();
    for (const service of this.supervised) {
      stages.set(service.definition.stage, [...(stages.get(service.definition.stage) ?? []), service]);
    }
    return [...stages].sort(([a], [b]) => a - b).map(([, services]) => services);
  }

  private has(name: string): boolean {
    return this.supervised.some(({ definition }) => definition.name === name);
  }

  private port(service: string, key = 'http'): number {
    const port = this.supervised.find(({ definition }) => definition.name === service)?.ports[key];
    if (port === undefined)
      throw new Error(`service ${service} has no port ${key} yet: it is not among those that were started before`);
    return port;
  }
}

/** Waits for all, so that nothing still starts while the rest is being stopped; then throws the first failure. */
async function allSettledOrThrow(promises: readonly Promise<void>[]): Promise<void> {
  const failure = (await Promise.allSettled(promises)).find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
