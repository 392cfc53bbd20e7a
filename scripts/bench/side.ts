import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { SampledResponse } from '../../activities/policy/policy.js';

/** What a side says of one call; only the work itself is inside `seconds`. */
export interface Reply {
  readonly seconds: number;
  /** What the rate is counted in. */
  readonly tokens: number;
  /** A number that both sides must agree on if they did the same work: a mean log-prob or a gradient norm. */
  readonly check: number | null;
  /** Largest resident set so far, bytes. */
  readonly peakBytes: number;
  /** Of a `sample` call. */
  readonly responses?: readonly SampledResponse[];
  /** Of a `hello` call. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** The program on the other end of a pipe died or refused. */
export class SideFailed extends Error {
  override readonly name = 'SideFailed';
}

/** One of the two programs that are compared: a line of JSON in, a line of JSON out, one at a time. */
export class Side {
  #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | null = null;
  #ended = false;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly logFile: string,
  ) {
    createInterface({ input: child.stdout }).on('line', (line) => this.#take(line));
    child.once('error', (error) => this.#end(error.message));
    child.once('exit', (code, signal) => this.#end(`it ended with ${signal ?? `exit code ${code}`}`));
    child.stdin.on('error', () => undefined); // the exit tells more
  }

  static async start(
    name: string,
    file: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    logFile: string,
  ): Promise<Side> {
    await mkdir(path.dirname(logFile), { recursive: true });
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    child.stderr.pipe(createWriteStream(logFile));
    return new Side(name, child, logFile);
  }

  /** @throws {SideFailed} with where to read why */
  call(request: Readonly<Record<string, unknown>>): Promise<Reply> {
    if (this.#ended) return Promise.reject(this.#failure('it has ended'));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.child.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL'); // it holds nothing that must be kept
    await gone;
  }

  #take(line: string): void {
    if (!line.startsWith('{')) return; // a library that prints to standard output
    const waiting = this.#waiting;
    this.#waiting = null;
    const reply = JSON.parse(line) as Reply & { error?: string };
    if (reply.error === undefined) waiting?.resolve(reply);
    else waiting?.reject(this.#failure(reply.error));
  }

  #end(reason: string): void {
    this.#ended = true;
    this.#waiting?.reject(this.#failure(reason));
    this.#waiting = null;
  }

  #failure(reason: string): SideFailed {
    return new SideFailed(
      `bench: the side "${this.name}" failed: ${reason}; its messages are in ${this.logFile}. With too little memory, run fewer works at once (--only)`,
    );
  }
}
