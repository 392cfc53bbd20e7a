import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '../setup/lock.js';
import type { ProcessIdentity } from '../setup/process-identity.js';
import { writeWhole } from '../setup/stamp.js';

/** What is known of one service: enough for another process, now or after a kill -9 of this one, to find it again. */
export interface ServiceRecord {
  process: ProcessIdentity | null;
  /** Kept after a stop: the next start takes the same ports where they are free. */
  ports: Record<string, number>;
  /** Hash of the command, its environment and its code: an orphan with another signature is replaced, not adopted. */
  signature: string;
  /** Who restarts it; null or dead: whoever uses it next takes over. */
  supervisor: ProcessIdentity | null;
  /** Who needs it, the supervisor included. The last to leave stops it. */
  users: ProcessIdentity[];
}

export interface ServicesFile {
  /** Root keys of the S3 server, made once per data folder; why the file is readable by its owner only. */
  keys: { accessKeyId: string; secretAccessKey: string };
  services: Record<string, ServiceRecord>;
}

export const emptyRecord = (): ServiceRecord => ({
  process: null,
  ports: {},
  signature: '',
  supervisor: null,
  users: [],
});

/** `services.json` of a data folder. */
export class Records {
  constructor(private readonly dataDir: string) {}

  async read(): Promise<ServicesFile> {
    const text = await readFile(this.path, 'utf8').catch(() => undefined);
    if (text !== undefined) {
      try {
        return JSON.parse(text) as ServicesFile;
      } catch {
        // It is written by rename, so only a damaged disk leaves it torn; new keys do for the same S3 data.
      }
    }
    return {
      keys: { accessKeyId: randomBytes(10).toString('hex'), secretAccessKey: randomBytes(20).toString('hex') },
      services: {},
    };
  }

  /** Changes the file while nobody else does. */
  async update<T>(change: (file: ServicesFile) => T | Promise<T>): Promise<T> {
    return withLock(join(this.dataDir, 'services.lock'), async () => {
      const file = await this.read();
      const result = await change(file);
      await writeWhole(this.path, `${JSON.stringify(file, null, 2)}\n`, 0o600);
      return result;
    });
  }

  async updateService<T>(name: string, change: (record: ServiceRecord) => T | Promise<T>): Promise<T> {
    return this.update((file) => change((file.services[name] ??= emptyRecord())));
  }

  async service(name: string): Promise<ServiceRecord> {
    return (await this.read()).services[name] ?? emptyRecord();
  }

  private get path(): string {
    return join(this.dataDir, 'services.json');
  }
}
