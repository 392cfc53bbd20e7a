import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubRepository {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Branches and tags. */
  readonly revisions: Readonly<Record<string, string>>;
  /** Needs this token. */
  readonly token?: string;
}

/** What goes wrong the next times a file's content is asked for. */
export interface Mishap {
  readonly file: string;
  readonly kind: 'break-off' | 'damage' | 'status-503';
  /** After so many bytes of the answer. */
  readonly after?: number;
}

/** Larger files are in LFS, as the hub does it: sha256 in the listing, and a redirect to where they lie. */
const LFS_FROM = 1000;

/**
 * A hub of models on this machine: the parts of the Hugging Face hub's HTTP protocol that a download
 * uses - revisions, listings by pages, files by ranges, LFS redirects, tokens.
 */
export async function startHub(repositories: Readonly<Record<string, HubRepository>>) {
  const mishaps: Mishap[] = [];
  /** Of every file content asked for: which, and from which byte. */
  const asked: { file: string; from: number; token: string | null }[] = [];
  const server = createServer((request, response) => answer(repositories, mishaps, asked, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mishaps,
    asked,
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}

type Asked = { file: string; from: number; token: string | null }[];

function answer(
  repositories: Readonly<Record<string, HubRepository>>,
  mishaps: Mishap[],
  asked: Asked,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = new URL(request.url!, `http://${request.headers.host}`);
  const [, api, name, kind, revision, rest] =
    /^\/(api\/models\/)?([\w.-]+\/[\w.-]+)\/(revision|tree|resolve|lfs)\/([^/]+)(?:\/(.+))?$/.exec(
      decodeURIComponent(url.pathname),
    ) ?? [];
  const repository = name === undefined ? undefined : repositories[name];
  const json = (status: number, value: unknown, headers: Record<string, string> = {}) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  if (!repository) return void json(404, { error: 'Repository not found' });
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null;
  if (kind !== 'lfs' && repository.token !== undefined && token !== repository.token)
    return void json(token === null ? 401 : 403, { error: 'Access to this model is restricted' });
  const commit =
    repository.revisions[revision!] ?? (Object.values(repository.revisions).includes(revision!) ? revision : undefined);
  if (kind !== 'lfs' && commit === undefined) return void json(404, { error: `Invalid rev id: ${revision}` });
  if (api && kind === 'revision')
    return void json(200, {
      _id: '1',
      id: name,
      sha: commit,
      private: false,
      gated: false,
      downloads: 0,
      likes: 0,
      lastModified: new Date(0).toISOString(),
    });
  if (api && kind === 'tree') return listing(repository, url, json);
  const content = repository.files[rest!];
  if (!content) return void response.writeHead(404, { 'X-Error-Code': 'EntryNotFound' }).end();
  if (kind === 'resolve' && content.length >= LFS_FROM)
    return void response.writeHead(302, { location: `/${name}/lfs/${revision}/${rest}` }).end();
  fileContent(rest!, content, token, mishaps, asked, request, response);
}

/** Two entries a page. */
function listing(
  { files }: HubRepository,
  url: URL,
  json: (status: number, value: unknown, headers?: Record<string, string>) => unknown,
): void {
  const from = Number(url.searchParams.get('cursor') ?? 0);
  const names = Object.keys(files);
  const page = names.slice(from, from + 2).map((file) => {
    const content = files[file]!;
    const lfs =
      content.length >= LFS_FROM
        ? { lfs: { oid: createHash('sha256').update(content).digest('hex'), size: content.length, pointerSize: 130 } }
        : {};
    return {
      type: 'file',
      path: file,
      size: content.length,
      oid: createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex'),
      ...lfs,
    };
  });
  const next = new URL(url);
  next.searchParams.set('cursor', String(from + 2));
  json(200, page, from + 2 < names.length ? { link: `<${next.href}>; rel="next"` } : {});
}

function fileContent(
  file: string,
  content: Uint8Array,
  token: string | null,
  mishaps: Mishap[],
  asked: Asked,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const begin = Number(from ?? 0);
  const end = to ? Number(to) + 1 : content.length;
  const etag = `"${createHash('sha256').update(content).digest('hex')}"`;
  const probe = from === '0' && to === '0'; // how large is it?
  let body = Buffer.from(content.subarray(begin, end));
  const at = probe ? -1 : mishaps.findIndex((mishap) => mishap.file === file);
  const mishap = at < 0 ? undefined : mishaps.splice(at, 1)[0];
  if (!probe) asked.push({ file, from: begin, token });
  if (mishap?.kind === 'status-503') return void response.writeHead(503).end();
  if (mishap?.kind === 'damage') {
    body = Buffer.from(body);
    body[mishap.after ?? 0]! ^= 1;
  }
  const headers = { etag, 'content-length': body.length, 'accept-ranges': 'bytes' };
  if (from === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${begin}-${end - 1}/${content.length}` });
  if (mishap?.kind !== 'break-off') return void response.end(body);
  response.write(body.subarray(0, mishap.after ?? 0), () => setTimeout(() => response.destroy(), 50));
}
