import { hostname } from 'node:os';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type ListMultipartUploadsCommandOutput,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { sha256 } from './canonical-json.js';
import { downloadInParts, type Stretch } from './download.js';
import { checkConditionalPuts } from './conditional-puts.js';
import {
  StoreBucketMissing,
  StoreFull,
  StorePermissionDenied,
  StoreRefused,
  StoreUnavailable,
  type ObjectPlace,
} from './errors.js';
import { answerOf, meaningOf } from './s3-answers.js';
import { createObjectStore, type Objects } from './object-store.js';
import type { ArtifactStore } from './store.js';

export interface S3StoreOptions {
  readonly bucket: string;
  readonly region: string;
  /** Null is AWS itself. */
  readonly endpoint: string | null;
  readonly forcePathStyle: boolean;
  /** How long an operation is repeated while the server is away or full, in ms; 0 if left out. */
  readonly patienceMs?: number;
  /** Server-side encryption that every object is written with; null or left out is the bucket's own default. */
  readonly encryption?: {
    readonly algorithm: 'AES256' | 'aws:kms' | 'aws:kms:dsse';
    readonly kmsKeyId: string | null;
  } | null;
  /** HTTP proxy that connects to the server, e.g. `http://user:password@proxy:3128`; null or left out: none. */
  readonly proxy?: string | null;
  /** For tests; by default the SDK's own chain (environment, profile, role). */
  readonly credentials?: NonNullable<S3ClientConfig['credentials']>;
}

/** Larger blobs go up and come down in parts of this size, a few at a time. */
const PART_BYTES = 16 * 1024 * 1024;
const PARTS_AT_ONCE = 4;
/** Answers lost on the way are asked for again by the SDK before the activity sees them. */
const ATTEMPTS = 4;

/** Pauses between the repeats of a patient store. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/** What may pass within seconds, such as credentials that are being renewed, is given so long. */
const BRIEF_MS = 10_000;
/** Below it lie the objects of `checkAccess`, each for as long as it is looked at. */
const ACCESS_CHECKS = 'access-checks/';
/** Only blobs go up in parts. */
const UPLOADS = 'blobs/';

/** Artifacts in an S3 bucket: AWS, or any server with conditional puts (`If-None-Match: *`, `If-Match`). */
export function createS3Store(options: S3StoreOptions): ArtifactStore & { close(): void } {
  const { bucket: Bucket, patienceMs = 0 } = options;
  const client = new S3Client({
    region: options.region,
    forcePathStyle: options.forcePathStyle,
    maxAttempts: ATTEMPTS,
    // Readers verify the hash that the reference names, which the server cannot know.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: 5_000,
      socketTimeout: 60_000,
      ...(options.proxy && throughProxy(options.proxy)),
    },
    ...(options.endpoint !== null && { endpoint: options.endpoint }),
    ...(options.credentials && { credentials: options.credentials }),
  });
  const encrypted = options.encryption && {
    ServerSideEncryption: options.encryption.algorithm,
    ...(options.encryption.kmsKeyId !== null && { SSEKMSKeyId: options.encryption.kmsKeyId }),
  };
  /** Converts an error of the SDK to one of ours. */
  function classify(error: unknown, doing: string, at: ObjectPlace): Error {
    const meaning = meaningOf(answerOf(error), options);
    switch (meaning.kind) {
      case 'no bucket':
        return new StoreBucketMissing(at, error);
      case 'full':
        return new StoreFull(at, error, meaning.remedy);
      case 'denied':
        return new StorePermissionDenied(at, doing, error, meaning);
      case 'refused':
        return new StoreRefused(at, doing, error, meaning);
      case 'unavailable':
        return new StoreUnavailable(at, doing, error, meaning.remedy);
    }
  }
  /** The server checks what arrives, unless it is one that must not be sent checksums (the SDK's own setting). */
  const checksum = async (hash: string): Promise<{ ChecksumSHA256?: string }> =>
    (await client.config.requestChecksumCalculation()) === 'WHEN_REQUIRED' ? {} : { ChecksumSHA256: base64(hash) };
  const place = (key: string): ObjectPlace => ({
    bucket: Bucket,
    key,
    endpoint: options.endpoint ?? `AWS ${options.region}`,
  });

  /** Waits while the server does not answer for some seconds, so that an activity does not lose its computed result. */
  async function patiently<R>(work: () => Promise<R>): Promise<R> {
    const began = performance.now();
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await work();
      } catch (error) {
        const brief = (error instanceof StorePermissionDenied || error instanceof StoreRefused) && error.brief;
        const passes = error instanceof StoreUnavailable || error instanceof StoreFull;
        if (performance.now() - began + pauseMs > (passes ? patienceMs : brief ? Math.min(patienceMs, BRIEF_MS) : 0))
          throw error;
        await sleep(pauseMs);
        // Credentials of a file or a role may have been renewed: the SDK would keep those that it has read.
        if (error instanceof StorePermissionDenied)
          await client.config.credentials({ forceRefresh: true }).catch(() => undefined);
      }
    }
  }

  async function get(key: string): Promise<Uint8Array | null> {
    for (let attempt = 1; ; attempt++) {
      try {
        const reply = await client.send(new GetObjectCommand({ Bucket, Key: key }));
        return await reply.Body!.transformToByteArray();
      } catch (error) {
        if (isAbsent(error)) return null;
        const failure = classify(error, 'reading', place(key));
        // The SDK repeats requests, but not bodies that were cut off.
        if (!(failure instanceof StoreUnavailable) || attempt >= 2) throw failure;
      }
    }
  }

  /** A blob of known length; a large one in parts. */
  async function getSized(key: string, bytes: number): Promise<Uint8Array | null> {
    const open = async (from: number, to: number): Promise<Stretch | null> => {
      try {
        const { Body, ContentRange } = await client.send(
          new GetObjectCommand({ Bucket, Key: key, Range: `bytes=${from}-${to - 1}` }),
        );
        const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(ContentRange ?? '') ?? [];
        // Of another length, or not of a server that knows ranges.
        return Number(first) === from ? { total: Number(total), body: Body as Readable } : null;
      } catch (error) {
        if (isAbsent(error) || statusOf(error) === 416) return null;
        throw error;
      }
    };
    const attempt = <R>(part: () => Promise<R>): Promise<R> =>
      patiently(() =>
        part().catch((error: unknown) => {
          throw classify(error, 'reading', place(key));
        }),
      );
    const parts =
      bytes <= PART_BYTES
        ? null
        : await downloadInParts({ open, bytes, partBytes: PART_BYTES, partsAtOnce: PARTS_AT_ONCE, attempt });
    // Small objects are read whole; so are those of an unexpected length, so that the caller sees their content.
    return parts ?? (await patiently(() => get(key)));
  }

  async function stat(key: string): Promise<{ bytes: number; modified: number } | null> {
    try {
      const { ContentLength, LastModified } = await client.send(new HeadObjectCommand({ Bucket, Key: key }));
      return { bytes: ContentLength ?? 0, modified: LastModified?.getTime() ?? 0 };
    } catch (error) {
      if (isAbsent(error)) return null;
      throw classify(await worded(error, key), 'looking up', place(key));
    }
  }

  /** An answer to HEAD has no body, so no code: what the same question as a GET is answered says why. */
  async function worded(error: unknown, key: string): Promise<unknown> {
    const status = statusOf(error);
    if (status === undefined || (status >= 500 && status !== 501)) return error;
    return client.send(new GetObjectCommand({ Bucket, Key: key, Range: 'bytes=0-0' })).then(
      () => error,
      (better: unknown) => (statusOf(better) === 404 ? error : better),
    );
  }

  async function remove(key: string): Promise<{ versionStays: boolean }> {
    try {
      const { DeleteMarker } = await client.send(new DeleteObjectCommand({ Bucket, Key: key }));
      return { versionStays: DeleteMarker === true };
    } catch (error) {
      if (!isAbsent(error)) throw classify(error, 'deleting', place(key));
      return { versionStays: false };
    }
  }

  /**
   * Parts that a process left which was killed while a large blob went up: they cost like objects, and no list shows
   * them.
   */
  async function abortUploads(olderThan: number): Promise<number> {
    let aborted = 0;
    for (let at: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}; at; ) {
      try {
        const page: ListMultipartUploadsCommandOutput = await client.send(
          new ListMultipartUploadsCommand({ Bucket, Prefix: UPLOADS, ...at }),
        );
        for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
          if (Key === undefined || UploadId === undefined || (Initiated?.getTime() ?? olderThan) >= olderThan) continue;
          await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch((error: unknown) => {
            // Somebody else aborted it just now.
            if (!isAbsent(error)) throw error;
          });
          aborted += 1;
        }
        const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
        at =
          IsTruncated && NextKeyMarker
            ? { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker && { UploadIdMarker: NextUploadIdMarker }) }
            : undefined;
      } catch (error) {
        throw classify(error, 'aborting unfinished uploads below', place(UPLOADS));
      }
    }
    return aborted;
  }

  async function put(key: string, bytes: Uint8Array, hash: string): Promise<void> {
    try {
      if (bytes.length <= PART_BYTES) {
        await client.send(
          new PutObjectCommand({ Bucket, Key: key, Body: bytes, ...(await checksum(hash)), ...encrypted }),
        );
      } else {
        await new Upload({
          client,
          params: { Bucket, Key: key, Body: bytes, ...encrypted },
          partSize: PART_BYTES,
          queueSize: PARTS_AT_ONCE,
        }).done();
      }
    } catch (error) {
      throw classify(error, 'writing', place(key));
    }
  }

  async function getVersion(key: string): Promise<{ bytes: Uint8Array; version: string } | null> {
    try {
      const reply = await client.send(new GetObjectCommand({ Bucket, Key: key }));
      return { bytes: await reply.Body!.transformToByteArray(), version: reply.ETag! };
    } catch (error) {
      if (isAbsent(error)) return null;
      throw classify(error, 'reading', place(key));
    }
  }

  /** False if the condition does not hold. */
  async function putIf(
    key: string,
    bytes: Uint8Array,
    hash: string,
    condition: { IfNoneMatch: '*' } | { IfMatch: string },
  ): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        const object = { Bucket, Key: key, Body: bytes, ContentType: 'application/json', ...(await checksum(hash)) };
        await client.send(new PutObjectCommand({ ...object, ...encrypted, ...condition }));
        return true;
      } catch (error) {
        const status = statusOf(error);
        // 404: the object to replace was deleted.
        if (status === 412 || ('IfMatch' in condition && isAbsent(error))) return false;
        // 409: another conditional put of this key was under way; S3 asks to try again.
        if (status !== 409 || attempt >= ATTEMPTS) throw classify(error, 'writing', place(key));
      }
    }
  }

  const objects: Objects = {
    place,
    get: (key) => patiently(() => get(key)),
    getSized,
    stat: (key) => patiently(() => stat(key)),
    remove: (key) => patiently(() => remove(key)),
    abortUploads: (olderThan) => patiently(() => abortUploads(olderThan)),
    put: (key, bytes, hash) => patiently(() => put(key, bytes, hash)),
    putIfAbsent: (key, bytes, hash) => patiently(() => putIf(key, bytes, hash, { IfNoneMatch: '*' })),
    putIfVersion: (key, bytes, hash, version) => patiently(() => putIf(key, bytes, hash, { IfMatch: version })),
    getVersion: (key) => patiently(() => getVersion(key)),
    async *list(prefix) {
      let token: string | undefined;
      do {
        const page = await client
          .send(new ListObjectsV2Command({ Bucket, Prefix: prefix, ...(token && { ContinuationToken: token }) }))
          .catch((error: unknown) => {
            throw classify(error, 'listing', place(prefix));
          });
        for (const { Key, Size, LastModified } of page.Contents ?? [])
          if (Key !== undefined) yield { key: Key, bytes: Size ?? 0, modified: LastModified?.getTime() ?? 0 };
        token = page.NextContinuationToken;
      } while (token !== undefined);
    },
    async checkAccess() {
      // A list and no HEAD, which says no more than a status.
      const { Name, KeyCount, MaxKeys, $metadata } = await client
        .send(new ListObjectsV2Command({ Bucket, Prefix: ACCESS_CHECKS, MaxKeys: 1 }))
        .catch((error: unknown) => {
          throw classify(error, 'looking up', place(''));
        });
      // A page of HTML passes for an empty list.
      const empty = Object.assign(new Error('the answer is no list of objects'), { $metadata });
      if ([Name, KeyCount, MaxKeys].every((field) => field === undefined))
        throw classify(empty, 'looking up', place(''));
      const conditional: Parameters<typeof checkConditionalPuts>[0] = {
        place,
        getVersion,
        remove,
        putIfAbsent: (key, bytes, hash) => putIf(key, bytes, hash, { IfNoneMatch: '*' }),
        putIfVersion: (key, bytes, hash, version) => putIf(key, bytes, hash, { IfMatch: version }),
      };
      // Of this process and this moment alone.
      await checkConditionalPuts(
        conditional,
        `${ACCESS_CHECKS}${sha256(`${hostname()} ${process.pid} ${performance.timeOrigin} ${performance.now()}`)}`,
      );
    },
  };
  return { ...createObjectStore(objects), close: () => client.destroy() };
}

/** One tunnel per connection, as many connections as without. */
function throughProxy(proxy: string): { httpAgent: HttpsProxyAgent<string>; httpsAgent: HttpsProxyAgent<string> } {
  const agent = new HttpsProxyAgent(proxy, { keepAlive: true, maxSockets: 50 });
  return { httpAgent: agent, httpsAgent: agent };
}

const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64');

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;

const isAbsent = (error: unknown): boolean => statusOf(error) === 404 && (error as Error).name !== 'NoSuchBucket';
