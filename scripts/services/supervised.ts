import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { isRunning, type ProcessIdentity } from '../setup/process-identity.js';
import { repositoryRoot } from '../setup/paths.js';
import type { ServiceDefinition, Surroundings } from './definition.js';
import { choosePort, fixedPort, isFree, listensOn } from './ports.js';
import { spawnLogged, tailOf, terminate } from './processes.js';
import type { Records } from './records.js';
import { ServiceError } from './service-error.js';

export interface Supervision {
  readonly surroundings: Surroundings;
  readonly records: Records;
  readonly me: ProcessIdentity;
  readonly isolated: boolean;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  readonly onRestart: (service: string, reason: string) => void;
  readonly onUnhealthy: (service: string) => void;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** A process that lived this long did not die of its start. */
const QUICK_DEATH_MS = 30_000;
const REPORT_EVERY_DEATHS = 5;
const DEATHS_BEFORE_GIVING_UP_A_START = 3;

/** One service: found or started, kept alive while this process supervises it, left or stopped at the end. */
export class Supervised {
  ports: Record<string, number> = {};
  private process: ProcessIdentity | null = null;
  private startedAtMs = 0;
  private mine = false;
  private ending = false;
  private ready = false;
  private everReady = false;
  private quickDeaths = 0;
  private pauseMs = FIRST_PAUSE_MS;
  private busy = false;
  private failedProbes = 0;
  private lastProbeMs = 0;

  constructor(
    readonly definition: ServiceDefinition,
    private readonly supervision: Supervision,
  ) {}

  private get name(): string {
    return this.definition.name;
  }
  get pid(): number | undefined {
    return this.process?.pid;
  }
  get logFile(): string {
    return join(this.supervision.surroundings.dataDir, 'logs', `${this.name}.log`);
  }

  /** Finds the service alive, or starts it. @throws {ServiceError} if it does not become ready */
  async obtain(): Promise<void> {
    const { records, me, log } = this.supervision;
    const record = await records.service(this.name);
    const alive = record.process !== null && (await isRunning(record.process));
    const supervised =
      record.supervisor !== null && record.supervisor.pid !== me.pid && (await isRunning(record.supervisor));
    this.ports = { ...record.ports };
    if (supervised) {
      const disagreement = this.disagreement();
      if (disagreement !== undefined) {
        throw new ServiceError(
          `${disagreement}: stop the running \`npm run up\` or quickstart (process ${record.supervisor?.pid}) first, or unset the variable`,
        );
      }
      this.process = record.process;
      if (record.signature !== (await this.signature())) {
        log(
          `${this.name} was started by process ${record.supervisor?.pid} with other code or settings and is used as it is; stop that process first to have it anew`,
        );
      }
      await this.use(false);
    } else if (alive && record.process !== null && (await this.canAdopt(record.process, record.signature))) {
      this.process = record.process;
      await this.use(true);
      log(`${this.name} was still running (process ${record.process.pid}), taken over`);
    } else {
      if (record.process !== null) await terminate(record.process, this.definition.graceMs);
      await this.choosePorts(record.ports);
      await this.use(true);
      await this.start();
    }
    await this.becomeReady();
  }

  /** Called every second: takes over from a dead supervisor, notices deaths of a process that is no child, probes. */
  async tick(): Promise<void> {
    if (this.ending || this.busy || !this.everReady) return;
    if (!this.mine) await this.takeOverIfOrphaned();
    if (this.mine && (this.process === null || !(await isRunning(this.process)))) return this.restart('is gone');
    if (this.ready && Date.now() - this.lastProbeMs > 5_000) await this.probe();
  }

  /** Leaves the service; stops it if it is ours and nobody else uses it. */
  async leave({ keep }: { keep: boolean }): Promise<void> {
    this.ending = true;
    while (this.busy) await sleep(20); // a restart in flight first finishes, so that its process is known
    const { records, me } = this.supervision;
    const toStop = await records.updateService(this.name, async (record) => {
      const others = record.users.filter((user) => user.pid !== me.pid);
      const living = await Promise.all(others.map(isRunning));
      record.users = others.filter((_, at) => living[at]);
      const { supervisor } = record;
      const orphaned = supervisor === null || supervisor.pid === me.pid || !(await isRunning(supervisor));
      if (!orphaned) return null;
      record.supervisor = null; // those who still use it take over within a second
      // Whoever leaves last stops it, also if the one before was its supervisor and left just now.
      return keep || record.users.length > 0 ? null : record.process;
    });
    if (toStop === null) return;
    await terminate(toStop, this.definition.graceMs);
    await records.updateService(this.name, (record) => {
      record.process = null;
    });
  }

  private async use(supervise: boolean): Promise<void> {
    const { records, me } = this.supervision;
    await records.updateService(this.name, (record) => {
      record.users = [...record.users.filter((user) => user.pid !== me.pid), me];
      if (supervise) record.supervisor = me;
    });
    this.mine = supervise;
  }

  /** The first port that a person fixed to another number than the service has. */
  private disagreement(): string | undefined {
    for (const need of this.supervision.isolated ? [] : this.definition.ports) {
      const fixed = fixedPort(need);
      if (fixed === undefined || fixed === this.ports[need.key]) continue;
      return `${need.variable} asks for port ${fixed}, but ${need.purpose} of this checkout runs on port ${this.ports[need.key]}`;
    }
    return undefined;
  }

  private async canAdopt(process: ProcessIdentity, signature: string): Promise<boolean> {
    if (this.disagreement() !== undefined || signature !== (await this.signature())) return false;
    this.process = process;
    for (let attempt = 0; attempt < 20 && (await isRunning(process)); attempt += 1) {
      if (await this.isHealthy()) return true;
      await sleep(250);
    }
    return false;
  }

  private async choosePorts(before: Readonly<Record<string, number>>): Promise<void> {
    const ports: Record<string, number> = {};
    for (const need of this.definition.ports)
      ports[need.key] = await choosePort(need, before[need.key], this.supervision.isolated);
    this.ports = ports;
  }

  private async signature(): Promise<string> {
    const command = await this.definition.command(this.supervision.surroundings);
    return createHash('sha256')
      .update(JSON.stringify([command, await this.definition.codeVersion?.()]))
      .digest('hex');
  }

  private async start(): Promise<void> {
    const { records, surroundings } = this.supervision;
    const signature = await this.signature();
    this.ready = false;
    this.startedAtMs = Date.now();
    await this.definition.beforeStart?.(surroundings);
    const { child, identity } = await spawnLogged(
      await this.definition.command(surroundings),
      repositoryRoot,
      this.logFile,
    );
    this.process = identity;
    child.unref();
    child.once('exit', (code, signal) => {
      // Only if it is still the one: `leave` and a take-over by another process end it on purpose.
      if (this.process === identity)
        void this.restart(signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`);
    });
    await records.updateService(this.name, (record) =>
      Object.assign(record, { process: identity, ports: this.ports, signature }),
    );
  }

  private async restart(reason: string): Promise<void> {
    if (this.ending || this.busy) return;
    this.busy = true;
    try {
      const { log, onRestart, signal } = this.supervision;
      const quick = Date.now() - this.startedAtMs < QUICK_DEATH_MS;
      this.quickDeaths = quick ? this.quickDeaths + 1 : 1;
      this.pauseMs = quick && this.quickDeaths > 1 ? Math.min(LONGEST_PAUSE_MS, this.pauseMs * 2) : FIRST_PAUSE_MS;
      log(`${this.name} ${reason}; starting it again in ${this.pauseMs / 1000} s`);
      if (this.quickDeaths % REPORT_EVERY_DEATHS === 0) {
        log(
          `${this.name} died ${this.quickDeaths} times in a row, still trying; the end of ${this.logFile}:\n${await tailOf(this.logFile)}`,
        );
      }
      onRestart(this.name, reason);
      await sleep(this.pauseMs, undefined, { signal }).catch(() => undefined);
      // The lease is looked at again: meanwhile someone may have stopped the service, or taken it over.
      const record = await this.supervision.records.service(this.name);
      if (this.ending || record.supervisor?.pid !== this.supervision.me.pid) return;
      // Before it was ever ready nobody knows its port yet, so a port that was snatched away can be exchanged.
      if (!this.everReady && !(await this.portsAreFree())) await this.choosePorts({});
      await this.start();
      if (this.everReady) void this.becomeReady().catch((error: Error) => log(error.message));
    } catch (error) {
      this.supervision.log(`${this.name} could not be started again: ${(error as Error).message}`);
    } finally {
      this.busy = false;
    }
  }

  private async portsAreFree(): Promise<boolean> {
    return (await Promise.all(Object.values(this.ports).map(isFree))).every(Boolean);
  }

  private async becomeReady(): Promise<void> {
    const { definition, supervision } = this;
    const waited = this.process;
    for (const deadline = Date.now() + definition.readyWithinMs; ; await sleep(60)) {
      if (supervision.signal.aborted || this.ending) throw new ServiceError(`stopped while ${this.name} was starting`);
      if (await this.isHealthy()) break;
      if (this.everReady && this.process !== waited) return; // it died again; its next start waits for itself
      if (!this.everReady && this.quickDeaths >= DEATHS_BEFORE_GIVING_UP_A_START) {
        throw new ServiceError(
          `${this.name} does not start: it ended ${this.quickDeaths} times. The end of ${this.logFile}:\n${await tailOf(this.logFile)}`,
        );
      }
      if (Date.now() > deadline) {
        throw new ServiceError(
          `${this.name} is not ready after ${definition.readyWithinMs / 1000} s. The end of ${this.logFile}:\n${await tailOf(this.logFile)}`,
        );
      }
    }
    if (this.mine) await definition.prepare?.(supervision.surroundings);
    if (this.everReady && this.mine) supervision.log(`${this.name} is back`);
    this.ready = this.everReady = true;
    this.lastProbeMs = Date.now();
  }

  private async isHealthy(): Promise<boolean> {
    const answers = await this.definition.isHealthy(this.supervision.surroundings).catch(() => false);
    return answers && this.listensItself();
  }

  /** Not a stranger that took the port between our choice and our start: two checkouts may start in the same instant. */
  private async listensItself(): Promise<boolean> {
    const leader = this.process?.pid;
    const ports = Object.values(this.ports);
    return leader === undefined
      ? ports.length === 0
      : (await Promise.all(ports.map((port) => listensOn(leader, port)))).every(Boolean);
  }

  private async probe(): Promise<void> {
    this.lastProbeMs = Date.now();
    this.failedProbes = (await this.isHealthy()) ? 0 : this.failedProbes + 1;
    // Told, not killed: on a machine whose cores all compute, slow is not dead.
    if (this.failedProbes === 3) this.supervision.onUnhealthy(this.name);
  }

  private async takeOverIfOrphaned(): Promise<void> {
    const { records, me, log } = this.supervision;
    const record = await records.service(this.name);
    this.process = record.process; // its supervisor may have started it anew
    if (record.supervisor !== null && (await isRunning(record.supervisor))) return;
    this.mine = await records.updateService(this.name, async (now) => {
      if (now.supervisor !== null && (await isRunning(now.supervisor))) return false;
      now.supervisor = me;
      this.process = now.process;
      return true;
    });
    if (this.mine) log(`${this.name} lost its supervisor, taken over`);
  }
}
