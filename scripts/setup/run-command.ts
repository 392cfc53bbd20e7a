import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { logDir } from './paths.js';
import { SetUpError } from './set-up-error.js';

export interface CommandOptions {
  /** What it is for, as a sentence would name it: "building the S3 server". */
  readonly purpose: string;
  /** Name of the log file below `.runtime/logs/`, without extension. */
  readonly log: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with each line of output. */
  readonly onLine?: (line: string) => void;
  /** What the person can do, added to the error. */
  readonly remedy?: string;
}

const TAIL_LINES = 15;

/**
 * Runs a command of set-up with all its output in a log file.
 *
 * @throws {SetUpError} if it cannot start or fails, with the tail of its output and the path of the log
 */
export async function runCommand(file: string, args: readonly string[], options: CommandOptions): Promise<string> {
  await mkdir(logDir, { recursive: true });
  const logFile = join(logDir, `set-up-${options.log}.log`);
  const log = createWriteStream(logFile, { flags: 'a' });
  log.on('error', () => undefined); // a log that cannot be written is lost; what the command says is kept for the error
  log.write(`\n$ ${file} ${args.join(' ')}\n`);

  const child = execa(file, args, {
    all: true,
    reject: false,
    stdin: 'ignore',
    maxBuffer: 64 * 1024 * 1024,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...options.env },
  });
  let lastLines: string[] = [];
  let unfinished = '';
  child.all.on('data', (chunk: Buffer) => {
    log.write(chunk);
    const lines = (unfinished + chunk.toString()).split(/\r?\n/);
    unfinished = lines.pop() ?? '';
    for (const line of lines) options.onLine?.(line);
    lastLines = [...lastLines, ...lines.filter((line) => line.trim() !== '')].slice(-TAIL_LINES);
  });
  const result = await child;
  await new Promise<void>((done) => log.end(() => done()));
  if (!result.failed) return result.all;

  const how =
    result.exitCode === undefined
      ? (result.signal ?? result.shortMessage ?? 'could not be started')
      : `exit code ${result.exitCode}`;
  throw new SetUpError(
    [
      `${options.purpose} failed: ${[basename(file), ...args].slice(0, 3).join(' ').slice(0, 80)}: ${how}`,
      ...[...lastLines, unfinished].filter((line) => line !== '').map((line) => `    ${line}`),
      `  full log: ${logFile}`,
      `  ${options.remedy ?? 'Set-up goes on from here when the command is run again.'}`,
    ].join('\n'),
  );
}
