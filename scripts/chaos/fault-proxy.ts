import { EventEmitter, once } from 'node:events';
import { createServer, request as send, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreFault } from './faults.js';

/** How much later an answer of a slow store comes, in ms. */
const SLOW_MS = 1_500;
const REFUSALS = {
  '500': { status: 500, code: 'InternalError' },
  '503': { status: 503, code: 'SlowDown' },
  // What versitygw answers when its disk is full, seen on a tmpfs of 3 MB.
  full: { status: 507, code: 'InsufficientStorage' },
} as const;

interface FaultProxyEvents {
  /** A manifest was committed: a conditional put of this key has succeeded. */
  commit: [key: string];
}

/**
 * Stands between S3 clients and their server, passes everything on, and misbehaves when told to. The
 * Host header goes through as it is, because it is signed.
 */
export class FaultProxy extends EventEmitter<FaultProxyEvents> {
  private fault: StoreFault | null = null;

  private constructor(
    private readonly server: Server,
    private readonly target: () => Promise<number>,
  ) {
    super();
  }

  /** @param target  port of the S3 server on loopback; asked for with each request, as the server may start later */
  static async listen(target: () => Promise<number>): Promise<FaultProxy> {
    const server = createServer({ keepAliveTimeout: 30_000 });
    const proxy = new FaultProxy(server, target);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      proxy.answer(request, response).catch(() => response.destroy()); // the server is down, so is its proxy
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Misbehaves for so long. */
  async inflict(fault: StoreFault, seconds: number): Promise<void> {
    this.fault = fault;
    await sleep(seconds * 1000);
    this.fault = null;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { fault } = this;
    const writes = request.method === 'PUT' || request.method === 'POST';
    if (fault === '500' || fault === '503' || (fault === 'full' && writes))
      return refuse(request, response, REFUSALS[fault]);
    if (fault === 'slow') await sleep(SLOW_MS);
    await this.passOn(request, response, fault === 'cut');
  }

  private async passOn(request: IncomingMessage, response: ServerResponse, cut: boolean): Promise<void> {
    const { method, url, headers } = request;
    const onward = send({ host: '127.0.0.1', port: await this.target(), method, path: url, headers });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    onward.on('response', (reply) => {
      const { statusCode = 502 } = reply;
      if (statusCode === 200 && method === 'PUT' && headers['if-none-match'] === '*') this.emit('commit', keyOf(url));
      response.writeHead(statusCode, reply.headers);
      reply.on('error', () => response.destroy());
      if (cut && method === 'GET')
        half(reply, Number(reply.headers['content-length'] ?? 0), response, () => response.destroy());
      else reply.pipe(response);
    });
    if (cut && method === 'PUT')
      half(request, Number(headers['content-length'] ?? 0), onward, () => (onward.destroy(), response.destroy()));
    else request.pipe(onward);
  }
}

/** Passes the first half of a body on, then cuts. A body too short to halve, or of unknown length, is cut at once. */
function half(
  from: IncomingMessage,
  bytes: number,
  to: { write(chunk: Buffer, done?: () => void): unknown },
  cut: () => void,
): void {
  let left = Math.floor(bytes / 2);
  if (left === 0) cut();
  from.on('data', (chunk: Buffer) => {
    if (left === 0) return;
    const part = chunk.subarray(0, left);
    left -= part.length;
    to.write(part, left === 0 ? cut : undefined);
  });
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { status, code }: { status: number; code: string },
): void {
  request.resume().once('end', () => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(
      request.method === 'HEAD'
        ? undefined
        : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>made by the fault proxy</Message></Error>`,
    );
  });
}

/** The key in a path of the form /bucket/key?query. */
const keyOf = (url = ''): string => decodeURIComponent(url.split('?')[0]!.split('/').slice(2).join('/'));
