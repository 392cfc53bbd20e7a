import pLimit from 'p-limit';

/** A stretch of an object as it arrives, and how many bytes the whole object has. */
export interface Stretch {
  readonly total: number;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Download {
  /** Opens the bytes [from, to) of the object; null if there is no such object. */
  readonly open: (from: number, to: number) => Promise<Stretch | null>;
  /** Of the whole object. */
  readonly bytes: number;
  readonly partBytes: number;
  readonly partsAtOnce: number;
  /** Fetches the missing bytes of a part. It may be called again: the bytes that have arrived are kept. */
  readonly attempt: <R>(part: () => Promise<R>) => Promise<R>;
}

/** A part that brings nothing new so many times in a row is given up. */
const FRUITLESS_ATTEMPTS = 2;

/**
 * An object in parts, a few at a time, straight into their places: the memory of the object and of what is on the wire,
 * no more. A part whose body breaks off goes on from the byte that it has reached.
 *
 * Nothing is verified here: the caller knows the hash of the whole.
 *
 * @returns null if there is no such object, or it has another length, now or by the time it is read
 */
export async function downloadInParts({
  open,
  bytes,
  partBytes,
  partsAtOnce,
  attempt,
}: Download): Promise<Uint8Array | null> {
  const whole = Buffer.allocUnsafeSlow(bytes);
  const limit = pLimit(partsAtOnce);
  /** False if the object does not have the expected content. */
  async function part(from: number): Promise<boolean> {
    const to = Math.min(bytes, from + partBytes);
    let at = from;
    return attempt(async () => {
      for (let fruitless = 0; at < to; ) {
        const before = at;
        try {
          const stretch = await open(at, to);
          if (stretch?.total !== bytes) return false;
          for await (const chunk of stretch.body) {
            whole.set(chunk, at);
            at += chunk.length;
          }
          if (at === before) throw new Error(`no byte came from ${at} on`);
        } catch (error) {
          fruitless = at > before ? 0 : fruitless + 1;
          if (fruitless === FRUITLESS_ATTEMPTS) throw error;
        }
      }
      return true;
    });
  }
  const parts = Array.from({ length: Math.ceil(bytes / partBytes) }, (_, n) => limit(() => part(n * partBytes)));
  try {
    return (await Promise.all(parts)).every(Boolean) ? whole : null;
  } finally {
    limit.clearQueue();
  }
}
