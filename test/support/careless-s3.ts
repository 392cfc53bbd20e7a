import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CarelessServer {
  readonly url: string;
  /** Keys that are there, sorted. */
  keys(): string[];
  close(): void;
}

/** What a server leaves out of the protocol. */
export interface Careless {
  /** Of the two conditions, those that are taken no notice of, as s3rver does of both. */
  readonly ignores?: readonly ('if-none-match' | 'if-match')[];
  /** Looks whether a key is free, and writes a moment later: of two at once both find it free. */
  readonly slowly?: boolean;
  /** Deletes as a bucket does that keeps versions: with a marker. */
  readonly versions?: boolean;
  /** Says no to requests of this method. */
  readonly refuses?: { readonly method: string; readonly status: number; readonly code: string };
}

/** A small S3 server over HTTP with one bucket of objects in memory, which does not do all that it should. */
export async function startCarelessS3({
  ignores = [],
  slowly = false,
  versions = false,
  refuses,
}: Careless): Promise<CarelessServer> {
  const objects = new Map<string, Buffer>();
  const etag = (bytes: Buffer): string => `"${createHash('md5').update(bytes).digest('hex')}"`;
  const refuse = (response: ServerResponse, method: string, status: number, code: string): void => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(
      method === 'HEAD'
        ? undefined
        : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code} it is</Message></Error>`,
    );
  };

  async function answer(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url!, 'http://server');
    const [, , ...parts] = pathname.split('/');
    const [method, key] = [request.method!, parts.join('/')];
    if (refuses?.method === method) return refuse(response, method, refuses.status, refuses.code);
    const found = objects.get(key);
    const condition = (name: 'if-none-match' | 'if-match') =>
      ignores.includes(name) ? undefined : request.headers[name];
    if (method === 'PUT') {
      const taken = condition('if-none-match') !== undefined && found !== undefined;
      const changed =
        condition('if-match') !== undefined && (found === undefined || condition('if-match') !== etag(found));
      if (taken || changed) return refuse(response, method, 412, 'PreconditionFailed');
      if (slowly) await new Promise((resolve) => setTimeout(resolve, 50));
      objects.set(key, body);
      response.writeHead(200, { etag: etag(body) }).end();
    } else if (method === 'DELETE') {
      objects.delete(key);
      response.writeHead(204, versions ? { 'x-amz-delete-marker': 'true', 'x-amz-version-id': 'v1' } : {}).end();
    } else if (key === '') {
      response.writeHead(200, { 'content-type': 'application/xml' });
      response.end('<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>');
    } else if (found === undefined) refuse(response, method, 404, 'NoSuchKey');
    else
      response
        .writeHead(200, { etag: etag(found), 'content-length': found.length })
        .end(method === 'HEAD' ? undefined : found);
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .once('end', () => void answer(request, Buffer.concat(chunks), response));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    keys: () => [...objects.keys()].sort(),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
