import http from 'node:http';
import https from 'node:https';
import { EnvironmentProtocolError, EnvironmentUnavailable } from './environment.js';
import { tookLonger } from './two-tries.js';

const MAX_REPLY_BYTES = 64 * 1024 * 1024;

export interface JsonRequest {
  readonly url: URL;
  readonly body: object;
  readonly timeoutMs: number;
  /** A longer request is refused before it is sent: a server would end the connection in the middle of it. */
  readonly maxRequestBytes?: number;
  /** Who is asked, for messages. */
  readonly where: string;
  /** What to look at if nobody answers. */
  readonly advice: string;
}

/** It could be reached and gave no answer: none in time, or the connection ended. It may be what was asked for that did this. */
export class NoAnswer extends EnvironmentUnavailable {
  /** @param told  what it did, without figures that differ from time to time */
  constructor(
    message: string,
    readonly told: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Connections are kept and used again, the latest first. `fetch` would take three times the processor time per request. */
const AGENTS = {
  'http:': new http.Agent({ keepAlive: true, scheduling: 'lifo' }),
  'https:': new https.Agent({ keepAlive: true, scheduling: 'lifo' }),
};

/**
 * One POST of JSON, never repeated, redirects not followed.
 *
 * @throws {EnvironmentUnavailable} if nobody is there
 * @throws {NoAnswer} if the one that is there does not answer in time: whether the request was executed is then unknown
 * @throws {EnvironmentProtocolError} if the request or the reply is too long
 */
export async function postJson({
  url,
  body,
  timeoutMs,
  maxRequestBytes = Infinity,
  where,
  advice,
}: JsonRequest): Promise<{ status: number; text: string }> {
  const written = Buffer.from(JSON.stringify(body));
  if (written.length > maxRequestBytes)
    throw new EnvironmentProtocolError(
      'bad_request',
      `${where}: a request of ${written.length} bytes, the limit is ${maxRequestBytes}`,
    );
  try {
    return await exchange(url, written, timeoutMs);
  } catch (error) {
    if (error instanceof ReplyTooLong)
      throw new EnvironmentProtocolError(
        'not_the_protocol',
        `${where} answered with more than ${MAX_REPLY_BYTES} bytes`,
      );
    const message = `${where} ${reasonOf(error, timeoutMs)}: ${advice}`;
    if (error instanceof TimedOut) throw new NoAnswer(message, tookLonger(timeoutMs), { cause: error });
    if ((error as { code?: string }).code === 'ECONNRESET') throw new NoAnswer(message, 'ended', { cause: error });
    throw new EnvironmentUnavailable(message, { cause: error });
  }
}

export function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

class ReplyTooLong extends Error {}
class TimedOut extends Error {}

function exchange(url: URL, body: Buffer, timeoutMs: number): Promise<{ status: number; text: string }> {
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      agent: AGENTS[secure ? 'https:' : 'http:'],
      headers: { 'content-type': 'application/json', 'content-length': body.length },
    };
    const request = (secure ? https : http).request(url, options, (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > MAX_REPLY_BYTES) request.destroy(new ReplyTooLong());
        else pieces.push(piece);
      });
      response.on('end', () =>
        settle(() => resolve({ status: response.statusCode!, text: Buffer.concat(pieces).toString('utf8') })),
      );
      response.on('error', (error) => settle(() => reject(request.errored ?? error)));
    });
    const timer = setTimeout(() => request.destroy(new TimedOut()), timeoutMs);
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      how();
    };
    request.on('error', (error) => settle(() => reject(error)));
    request.end(body);
  });
}

/** E.g. `cannot be reached (ECONNREFUSED)`. */
function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof TimedOut) return `did not answer within ${timeoutMs} ms`;
  const { code, message } = error as Error & { code?: string };
  return `cannot be reached (${code ?? message})`;
}
