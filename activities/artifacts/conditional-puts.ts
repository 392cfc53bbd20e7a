import { sha256 } from './canonical-json.js';
import { StoreUnfit } from './errors.js';
import type { Objects } from './object-store.js';

/** So many ask for one key at once; of a server that looks first and writes then, several would get it. */
const AT_ONCE = 8;
/** The form of an ETag that S3 gives, of no object. */
const NO_VERSION = '"00000000000000000000000000000000"';

/**
 * Puts an object under conditions that hold and that do not hold, and deletes it: a server that takes no notice of
 * conditions answers as if it had honoured them; only reading the object back shows that it did not.
 *
 * @param key  of nobody else's: probes at the same time must not meet
 * @throws {StoreUnfit} if a put took place that must not have
 */
export async function checkConditionalPuts(
  {
    place,
    putIfAbsent,
    putIfVersion,
    getVersion,
    remove,
  }: Pick<Objects, 'place' | 'putIfAbsent' | 'putIfVersion' | 'getVersion' | 'remove'>,
  key: string,
): Promise<void> {
  const unfit = (found: string): StoreUnfit => new StoreUnfit(place(key), found);
  const probe = (n: number): [Uint8Array, string] => {
    const bytes = new TextEncoder().encode(`seeupo looks whether conditional puts are honoured: ${n}\n`);
    return [bytes, sha256(bytes)];
  };
  try {
    const first = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => putIfAbsent(key, ...probe(n))));
    const took = first.filter(Boolean).length;
    // None is possible: the answer to the one that won was lost, and its repeat was refused.
    if (took > 1)
      throw unfit(`of ${AT_ONCE} puts of one key with If-None-Match: * it accepted ${took}, where one at most may be`);
    if (await putIfAbsent(key, ...probe(AT_ONCE)))
      throw unfit('it accepted a put with If-None-Match: * of a key that exists');
    const before = await getVersion(key);
    if (before === null) throw unfit('an object that was put with If-None-Match: * is not there');
    if (await putIfVersion(key, ...probe(AT_ONCE + 1), NO_VERSION))
      throw unfit('it accepted a put with If-Match of a version that the object does not have');
    const [bytes, hash] = probe(AT_ONCE + 2);
    if (!(await putIfVersion(key, bytes, hash, before.version))) {
      // As above, the refused one may be a repeat of our own.
      const now = await getVersion(key);
      if (now === null || sha256(now.bytes) !== hash)
        throw unfit('it refused a put with If-Match of the version that the object has');
    }
  } finally {
    // Credentials that may not delete do without: it is some bytes.
    await remove(key).catch(() => undefined);
  }
}
