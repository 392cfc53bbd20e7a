import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import getPort from 'get-port';
import type { S3StoreOptions } from '../../activities/artifacts/s3-store.js';
import { binary } from './binaries.js';

export interface S3Server {
  readonly options: S3StoreOptions;
  /** Where the objects lie as files. */
  readonly folder: string;
  /** Ends the server, keeps its files; `start` brings it back on the same port. */
  stop(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

const credentials = { accessKeyId: 'test-key', secretAccessKey: 'test-secret' };

/** A real S3 server on a free port with one bucket. */
export async function startS3Server(): Promise<S3Server> {
  const root = await mkdtemp(path.join(tmpdir(), 'seeupo-s3-'));
  const folder = path.join(root, 'objects');
  await mkdir(path.join(folder, 'artifacts'), { recursive: true });
  const port = await getPort({ host: '127.0.0.1' });
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    server = spawn(
      binary('versitygw'),
      [
        '--port',
        `127.0.0.1:${port}`,
        '--access',
        credentials.accessKeyId,
        '--secret',
        credentials.secretAccessKey,
        'posix',
        folder,
      ],
      { stdio: ['ignore', 'ignore', 'inherit'], cwd: root },
    );
    for (let tries = 0; !(await listens(port)); tries++) {
      if (tries > 100 || server.exitCode !== null)
        throw new Error(`versitygw did not start on port ${port} (exit ${server.exitCode})`);
      await sleep(50);
    }
  }
  async function stop(): Promise<void> {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server!.once('exit', resolve));
    server.kill('SIGKILL');
    await ended;
  }
  await start();
  return {
    options: {
      bucket: 'artifacts',
      region: 'us-east-1',
      endpoint: `http://127.0.0.1:${port}`,
      forcePathStyle: true,
      credentials,
    },
    folder,
    start,
    stop,
    async remove() {
      await stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
