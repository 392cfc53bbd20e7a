import { readFile } from 'node:fs/promises';

/** The bytes are no UTF-8 text; the message says which encoding they seem to have, or where the first wrong byte is. */
export class NotUtf8 extends Error {
  override readonly name = 'NotUtf8';
}

/**
 * A text file that a person or another program wrote: UTF-8, a byte order mark at its start is left out.
 *
 * @throws {NotUtf8} naming the file, rather than a text with U+FFFD in it; or what reading the file throws
 */
export async function readTextFile(file: string): Promise<string> {
  return decodeText(await readFile(file), file);
}

/** @param where  for messages, e.g. the file's name */
export function decodeText(bytes: Uint8Array, where: string): string {
  const utf16 = utf16Of(bytes);
  if (utf16 !== null) throw new NotUtf8(`${where}: is ${utf16} text, expected UTF-8: save it as UTF-8`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const offset = firstOddByte(bytes);
    const before = new TextDecoder().decode(bytes.subarray(0, offset));
    const line = (before.match(LINE_END)?.length ?? 0) + 1;
    const byte = `0x${bytes[offset]!.toString(16).padStart(2, '0')}`;
    const excerpt = JSON.stringify(before.split(LINE_END).at(-1)!.slice(-20));
    throw new NotUtf8(
      `${where}: is no UTF-8: line ${line}, byte ${offset + 1} of the file, is ${byte}, after ${excerpt} ` +
        '(Latin-1 or Windows-1252?): save it as UTF-8',
    );
  }
}

/** Ends of lines as any system writes them, also the doubled carriage returns of a file that was converted twice. */
const LINE_END = /\r*\n|\r/g;

/** The lines of a text, without their ends. */
export const linesOf = (text: string): string[] => text.split(LINE_END);

/** By the mark at its start, or by the zero bytes that half of all its characters have. */
function utf16Of(bytes: Uint8Array): string | null {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return 'UTF-16 (little-endian)';
  if (first === 0xfe && second === 0xff) return 'UTF-16 (big-endian)';
  if (bytes.length >= 4 && first !== 0 && second === 0 && bytes[2] !== 0 && bytes[3] === 0) return 'UTF-16 (little-endian)';
  if (bytes.length >= 4 && first === 0 && second !== 0 && bytes[2] === 0 && bytes[3] !== 0) return 'UTF-16 (big-endian)';
  return null;
}

/** The longest start that is UTF-8 ends here, found by halving. */
function firstOddByte(bytes: Uint8Array): number {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isStart(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

/** Valid so far: it may end within a character. */
function isStart(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
