import type { Writable } from 'node:stream';
import type { FetchLike } from '@modelcontextprotocol/client';
import type { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { withExactNumbers } from '../exact-numbers.js';

/** The transport, made to write marked numbers (`{ "$number": "1.0" }`) as the numbers that they are. */
export function writingExactNumbers(transport: StdioClientTransport): StdioClientTransport {
  const send = transport.send.bind(transport);
  transport.send = async (message) => {
    const json = JSON.stringify(message);
    const exact = withExactNumbers(json);
    // The package has no place between a message and its text; what it writes to is its own field.
    const { stdin } = (Reflect.get(transport, '_process') ?? {}) as { stdin?: Writable };
    if (exact === json || !stdin) return send(message);
    if (!stdin.write(`${exact}\n`)) await new Promise((resolve) => stdin.once('drain', resolve));
  };
  return transport;
}

/** The same over HTTP. */
export const exactFetch: FetchLike = (url, init) =>
  fetch(url, typeof init?.body === 'string' ? { ...init, body: withExactNumbers(init.body) } : init);
