import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { downloadFile, HubApiError, listFiles, modelInfo, type ListFileEntry } from '@huggingface/hub';
import { SETTINGS, shardFilesOf, WEIGHTS_FILE, WEIGHTS_INDEX } from './model-files.js';
import type { OnProgress } from './policy.js';
import { readJson } from './weights/hugging-face.js';
import { configOf, type AcceptedSettings } from './weights/hugging-face-config.js';
import { ModelFileInvalid } from './weights/model-file-error.js';

/** Where models come from; a token is needed only for private and gated ones. */
export interface Hub {
  /** E.g. `https://huggingface.co`. */
  readonly endpoint: string;
  readonly token: string | null;
  /** Left out: Node's own. */
  readonly fetch?: typeof fetch | undefined;
}

/** The hub does not answer, or not whole: a retry continues where this ended. */
export class HubUnavailable extends Error {
  override readonly name = 'HubUnavailable';
}

interface HubReference {
  /** `owner/name` */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

const REFERENCE = /^hf:\/\/([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/;
const COMMIT = /^[0-9a-f]{40}$/;
const FOLDER = 'hub';
/** The holder of a lock touches it so often; one that is older belongs to a process that is gone. */
const TOUCH_MS = 2_000;
const STALE_MS = 30_000;

export const isHubReference = (model: string): boolean => model.startsWith('hf://');

/**
 * Models of a hub as directories below the models directory, `hub/<owner>/<name>/<commit>`: each is
 * downloaded once, whole or not at all, every file checked against the hub's own checksum. What was
 * interrupted continues where it ended.
 */
export class HubModels {
  constructor(
    private readonly modelsDir: string,
    private readonly hub: Hub,
  ) {}

  /**
   * @param model  `hf://owner/name@revision` (`main` if left out), or the path that this returned before, on whatever machine
   * @param accepted  settings of config.json that a person answers for; it is checked before the weights are asked for
   * @returns      the directory below the models directory; a path that is of no hub as it was given
   * @throws {ModelFileInvalid} if there is no such model, it may not be read, it has no safetensors, or its config.json is refused
   * @throws {HubUnavailable} if the hub does not answer or the download broke off
   */
  async fetch(
    model: string,
    onProgress: OnProgress = () => undefined,
    accepted: AcceptedSettings = [],
  ): Promise<string> {
    const reference = referenceOf(model);
    if (reference === null) return model;
    const { repo } = reference;
    const commit = COMMIT.test(reference.revision)
      ? reference.revision
      : await this.#asking(
          model,
          async () =>
            (await modelInfo({ ...this.#access, name: repo, revision: reference.revision, additionalFields: ['sha'] }))
              .sha,
        );
    const relative = path.posix.join(FOLDER, repo, commit);
    const folder = path.join(this.modelsDir, relative);
    if (existsSync(folder)) return relative;
    await mkdir(path.dirname(folder), { recursive: true });
    const release = await claim(`${folder}.lock`, () => existsSync(folder));
    if (release === null) return relative; // another process of this machine has just fetched it
    try {
      const partial = `${folder}.partial`;
      await mkdir(partial, { recursive: true });
      await this.#download(model, repo, commit, partial, onProgress, accepted);
      await rename(partial, folder);
      return relative;
    } finally {
      await release();
    }
  }

  get #access() {
    const { endpoint, token, fetch } = this.hub;
    return {
      hubUrl: endpoint.replace(/\/+$/, ''),
      ...(token === null ? {} : { accessToken: token }),
      ...(fetch && { fetch }),
    };
  }

  async #download(
    model: string,
    repo: string,
    commit: string,
    partial: string,
    onProgress: OnProgress,
    accepted: AcceptedSettings,
  ): Promise<void> {
    const present = new Map<string, ListFileEntry>();
    await this.#asking(model, async () => {
      for await (const entry of listFiles({ ...this.#access, repo, revision: commit }))
        if (entry.type === 'file') present.set(entry.path, entry);
    });
    if (!present.has('config.json')) {
      const gguf = [...present.keys()].find((name) => name.endsWith('.gguf'));
      const remedy =
        gguf === undefined
          ? 'Name a repository with a model as transformers saves it'
          : `Download the GGUF file that you want, e.g. ${gguf}, into the models directory, and name it by its path`;
      throw new ModelFileInvalid(model, 'has no config.json', remedy);
    }
    const noWeights = new ModelFileInvalid(
      model,
      `has neither ${WEIGHTS_FILE} nor ${WEIGHTS_INDEX}`,
      'Name a repository with safetensors; pickled weights are not read',
    );
    if (!present.has(WEIGHTS_FILE) && !present.has(WEIGHTS_INDEX)) throw noWeights;
    const settings = [...SETTINGS, WEIGHTS_INDEX].filter(
      (name) => present.has(name) && !(name === WEIGHTS_INDEX && present.has(WEIGHTS_FILE)),
    );
    for (const name of settings) await this.#file(model, repo, commit, present.get(name)!, partial, () => undefined);
    await this.#requireComputed(model, partial, accepted);
    const weights = present.has(WEIGHTS_FILE)
      ? [WEIGHTS_FILE]
      : settings.includes(WEIGHTS_INDEX)
        ? await shardFilesOf(partial)
        : [];
    if (weights.length === 0) throw noWeights;
    const missing = weights.find((name) => !present.has(name));
    if (missing !== undefined)
      throw new ModelFileInvalid(
        model,
        `lacks the shard ${missing} that its index names`,
        'Name another revision of the model',
      );
    const total = weights.reduce((sum, name) => sum + present.get(name)!.size, 0);
    let before = 0;
    for (const name of weights) {
      await this.#file(model, repo, commit, present.get(name)!, partial, (bytes) =>
        onProgress({ phase: 'download', done: before + bytes, of: total }),
      );
      before += present.get(name)!.size;
    }
  }

  /** Gigabytes of weights are not fetched for a model that is refused by its config.json. */
  async #requireComputed(model: string, partial: string, accepted: AcceptedSettings): Promise<void> {
    const name = 'config.json';
    const json = await readJson(path.join(partial, name), 'Name another revision of the model');
    try {
      configOf(`${model}, ${name}`, json, accepted);
    } catch (error) {
      await rm(partial, { recursive: true });
      throw error;
    }
  }

  /** One file, from where an earlier attempt ended. */
  async #file(
    model: string,
    repo: string,
    commit: string,
    entry: ListFileEntry,
    folder: string,
    onBytes: (bytes: number) => void | Promise<void>,
  ): Promise<void> {
    const file = path.join(folder, entry.path);
    if (existsSync(file)) return onBytes(entry.size);
    const part = `${file}.part`;
    const { hash, expected } = checksumOf(entry);
    let bytes = (await stat(part).catch(() => null))?.size ?? 0;
    if (bytes > entry.size) {
      await rm(part);
      bytes = 0;
    }
    if (bytes > 0) await pipeline(createReadStream(part), hash, { end: false });
    if (bytes < entry.size) {
      await this.#asking(`${model}, ${entry.path}`, async () => {
        const blob = await downloadFile({ ...this.#access, repo, path: entry.path, revision: commit });
        if (blob === null)
          throw new ModelFileInvalid(
            model,
            `lists ${entry.path}, but does not give it out`,
            'Name another revision of the model',
          );
        const body = Readable.fromWeb((bytes === 0 ? blob : blob.slice(bytes)).stream() as never);
        await pipeline(
          body,
          async function* (chunks: AsyncIterable<Uint8Array>) {
            for await (const chunk of chunks) {
              hash.update(chunk);
              bytes += chunk.length;
              await onBytes(Math.min(bytes, entry.size));
              yield chunk;
            }
          },
          createWriteStream(part, { flags: 'a' }),
        );
      });
    }
    if (bytes < entry.size)
      throw new HubUnavailable(
        `${model}: ${entry.path} broke off after ${bytes} of ${entry.size} bytes: run it again, it goes on from there`,
      );
    const found = hash.digest('hex');
    if (bytes > entry.size || found !== expected) {
      await rm(part);
      throw new HubUnavailable(
        `${model}: ${entry.path} arrived with checksum ${found} and ${bytes} bytes, the hub says ${expected} and ${entry.size}: it was dropped, run it again`,
      );
    }
    if (entry.size === 0) await pipeline(Readable.from([]), createWriteStream(part));
    await rename(part, file);
  }

  /** Errors of the hub in our words. The token is in none of them: it goes out in a header only. */
  async #asking<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const { endpoint, token } = this.hub;
    try {
      return await ask();
    } catch (error) {
      if (error instanceof ModelFileInvalid) throw error;
      if (error instanceof TypeError && error.message.includes("start with 'hf_'"))
        throw new ModelFileInvalid(
          what,
          'cannot be asked for: HF_TOKEN does not begin with hf_',
          'Use a token of the hub, or none',
        );
      const status = error instanceof HubApiError ? error.statusCode : null;
      if (status === 401 || status === 403) {
        throw new ModelFileInvalid(
          what,
          `may not be read at ${endpoint} ${token === null ? 'without a token' : 'with this HF_TOKEN'} (status ${status})`,
          'Set HF_TOKEN to a token of an account that may, and that has accepted the licence of a gated model',
        );
      }
      if (status === 404)
        throw new ModelFileInvalid(
          what,
          `does not exist at ${endpoint} (status 404)`,
          'Correct the name or the revision: hf://owner/name@revision. HF_ENDPOINT names another hub',
        );
      // A stream of the library fails with a text; an address in it may be signed for whoever holds it.
      const reason =
        typeof error === 'string'
          ? error.replace(/\. URL: \S+/, '')
          : ((error as { cause?: { message?: string } }).cause?.message ?? (error as Error).message);
      throw new HubUnavailable(
        `${what}: ${endpoint} ${status === null ? `cannot be read (${reason})` : `answered with status ${status}`}: try again, what has arrived is kept`,
      );
    }
  }
}

/** @throws {ModelFileInvalid} if it begins with hf:// and is no reference */
function referenceOf(model: string): HubReference | null {
  const [, owner, name, commit] = new RegExp(`^${FOLDER}/([\\w.-]+)/([\\w.-]+)/([0-9a-f]{40})$`).exec(model) ?? [];
  if (commit !== undefined) return { repo: `${owner}/${name}`, revision: commit };
  if (!isHubReference(model)) return null;
  const [, repo, revision = 'main'] = REFERENCE.exec(model) ?? [];
  if (repo === undefined || repo.split('/').some((part) => /^\.+$/.test(part)))
    throw new ModelFileInvalid(
      model,
      'is no reference to a hub',
      'Write hf://owner/name@revision, e.g. hf://Qwen/Qwen3-0.6B@main',
    );
  return { repo, revision };
}

/** Large files have their sha256, all others what git calls them. */
function checksumOf({ lfs, oid, size }: ListFileEntry): { hash: Hash; expected: string } {
  if (lfs) return { hash: createHash('sha256'), expected: lfs.oid };
  return { hash: createHash('sha1').update(`blob ${size}\0`), expected: oid ?? '' };
}

/**
 * Waits for the lock; null once `done` holds. Its age tells whether its holder lives, and not a process id as in
 * scripts/setup/lock.ts: a models directory may be shared by machines or containers, which know other processes.
 */
async function claim(lock: string, done: () => boolean): Promise<(() => Promise<void>) | null> {
  for (;;) {
    if (done()) return null;
    const mine = await mkdir(lock).then(
      () => true,
      () => false,
    );
    if (mine) break;
    const age = Date.now() - ((await stat(lock).catch(() => null))?.mtimeMs ?? Date.now());
    if (age > STALE_MS) await rm(lock, { recursive: true, force: true });
    else await sleep(200);
  }
  const timer = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), TOUCH_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await rm(lock, { recursive: true, force: true });
  };
}
