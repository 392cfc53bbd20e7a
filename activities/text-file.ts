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
export async function readTextFile(
  file: string,
  { keepMark = false }: { readonly keepMark?: boolean } = {},
): Promise<string> {
  return decodeText(await readFile(file), file, keepMark);
}

/** The lines of a stream of bytes, each as soon as it is whole. @throws {NotUtf8} naming the line */
export async function* decodedLines(stream: AsyncIterable<Buffer>, where: string): AsyncGenerator<string> {
  let rest = Buffer.alloc(0);
  let number = 0;
  const decoded = (line: Buffer) => linesOf(decodeText(line, `${where}, line ${number}`).replace(/\r+$/, ''));
  for await (const piece of stream) {
    rest = Buffer.concat([rest, piece]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      number++;
      yield* decoded(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
  }
  number++;
  if (rest.length > 0) yield* decoded(rest);
}

const NEWLINE = 0x0a;

/**
 * @param where     for messages, e.g. the file's name
 * @param keepMark  a byte order mark stays in the text: where another program would read it as a part of it
 */
export function decodeText(bytes: Uint8Array, where: string, keepMark = false): string {
  const utf16 = utf16Of(bytes);
  if (utf16 !== null) throw new NotUtf8(`${where}: is ${utf16} text, expected UTF-8: save it as UTF-8`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: keepMark }).decode(bytes);
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
  if (bytes.length >= 4 && first !== 0 && second === 0 && bytes[2] !== 0 && bytes[3] === 0)
    return 'UTF-16 (little-endian)';
  if (bytes.length >= 4 && first === 0 && second !== 0 && bytes[2] === 0 && bytes[3] !== 0)
    return 'UTF-16 (big-endian)';
  return null;
}

/** The longest start that is UTF-8 ends here, found by halving. */
function firstOddByte(bytes: Uint8Array): number {
  let [good, bad] = [0, bytes.length + 1];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isStart(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  // The character that has no end began up to three bytes before.
  const begun = [1, 2, 3].find(
    (back) => good >= back && bytes[good - back]! >= 0xc0 && !isWhole(bytes.subarray(good - back, good)),
  );
  return good - (begun ?? 0);
}

/** Valid so far: it may end within a character. */
const isStart = (bytes: Uint8Array): boolean => decodes(bytes, true);
const isWhole = (bytes: Uint8Array): boolean => decodes(bytes, false);

function decodes(bytes: Uint8Array, stream: boolean): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream });
    return true;
  } catch {
    return false;
  }
}
