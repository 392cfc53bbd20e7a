import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

/** Of a server's error output, and of what it prints between its messages, for messages of ours. */
const KEPT = 400;
/** Of a line enough to see whether it is a message of the protocol. */
const LINE_START = 200;

/** Of the official client's transport over stdio. */
interface Transport {
  readonly stderr: unknown;
  start(): Promise<void>;
}

/**
 * What a server says besides its answers, which is where it says why it does not work: its error output, what it
 * prints where only the protocol belongs, answers that nobody asked for, how its process ended.
 */
export class ServerWords {
  private errorOutput = '';
  private printed = '';
  /** Of a line whose end has not come. */
  private line = '';
  private complaint = '';
  private ended = '';

  /** The process is there once the transport has started; the client starts it in `connect`. */
  listenTo(transport: Transport): void {
    (transport.stderr as Readable | null)?.setEncoding('utf8').on('data', (text: string) => {
      this.errorOutput = (this.errorOutput + text).slice(-KEPT);
    });
    const start = transport.start.bind(transport);
    transport.start = async () => {
      await start();
      // The transport keeps its process to itself; without it there is no word of what was printed, and all else works.
      const { _process: child } = transport as unknown as { readonly _process?: ChildProcess };
      child?.stdout?.on('data', (chunk: Buffer) => this.read(chunk.toString('utf8')));
      child?.once('exit', (code, signal) => {
        this.ended = code === null ? `ended by ${signal}` : `exit status ${code}`;
      });
    };
  }

  /** The client's word on what it received. */
  complained(message: string): void {
    // A list of zod's issues, for a line of JSON that is no message.
    this.complaint = message.startsWith('[')
      ? 'something that is no message of the protocol'
      : message.slice(0, LINE_START);
  }

  /** @param told  what is said already */
  said(told = ''): string {
    const unfinished = this.line.startsWith('{') ? '' : this.line;
    const printed = `${this.printed}${unfinished}`.trim();
    return [
      this.ended === '' ? '' : `; ${this.ended}`,
      this.errorOutput.trim() === '' ? '' : `; it said: ${this.errorOutput.trim()}`,
      printed === ''
        ? ''
        : `; it said: ${printed} (on its output, where only messages of the protocol belong, one a line)`,
      this.complaint === '' || told.startsWith(this.complaint) ? '' : `; the client noticed: ${this.complaint}`,
    ].join('');
  }

  private read(text: string): void {
    const [first = '', ...others] = text.split('\n');
    this.line = (this.line + first).slice(0, LINE_START);
    for (const next of others) {
      if (!isMessage(this.line)) this.printed = `${this.printed}${this.line}\n`.slice(-KEPT);
      this.line = next.slice(0, LINE_START);
    }
  }
}

const isMessage = (line: string): boolean =>
  /^\s*(\{.*"jsonrpc"|$)/.test(line) || (line.length >= LINE_START && line.startsWith('{'));
