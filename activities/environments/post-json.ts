import http from 'node:http';
import https from 'node:https';

export interface Reply {
  readonly status: number;
  readonly text: string;
}

/** The reply is longer than was allowed; the rest of it was not read. */
export class ReplyTooLong extends Error {
  override readonly name = 'ReplyTooLong';
}

/** Connections are kept and used again, the latest first; `fetch` would take several times the processor time per request. */
const AGENTS = { 'http:': new http.Agent({ keepAlive: true, scheduling: 'lifo' }), 'https:': new https.Agent({ keepAlive: true, scheduling: 'lifo' }) };

/**
 * Posts JSON and reads the whole reply; redirects are not followed.
 *
 * @throws {ReplyTooLong}, a TimeoutError after `timeoutMs` in all, or what the connection failed with
 */
export function postJson(url: URL, body: string, { timeoutMs, maxReplyBytes }: { readonly timeoutMs: number; readonly maxReplyBytes: number }): Promise<Reply> {
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      agent: AGENTS[secure ? 'https:' : 'http:'],
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    };
    const request = (secure ? https : http).request(url, options, (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > maxReplyBytes) request.destroy(new ReplyTooLong(`more than ${maxReplyBytes} bytes`));
        else pieces.push(piece);
      });
      response.on('end', () => finish(() => resolve({ status: response.statusCode!, text: Buffer.concat(pieces).toString('utf8') })));
      response.on('error', (error) => finish(() => reject(request.errored ?? error)));
      response.on('aborted', () => finish(() => reject(request.errored ?? new Error('the connection ended in the middle of the reply'))));
    });
    const timer = setTimeout(() => request.destroy(Object.assign(new Error('timed out'), { name: 'TimeoutError' })), timeoutMs);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
    };
    request.on('error', (error) => finish(() => reject(error)));
    request.end(body);
  });
}
