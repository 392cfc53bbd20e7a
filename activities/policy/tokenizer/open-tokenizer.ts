import { Tokenizer } from '@huggingface/tokenizers';
import { reproducibleTokenizer } from './reproducible.js';
import { propertyClass } from './unicode.js';

/**
 * A tokenizer that gives the ids that Hugging Face's tokenizers (Rust, 0.23) gives, and decodes them to the same text.
 * Characters that are younger than its tables (Unicode 16 for expressions, 9 for normal forms) are unknown here too.
 *
 * @param json  a tokenizer.json
 * @param file  for messages
 * @throws {ModelFileInvalid} naming a part that is not reproduced
 */
export function openTokenizer(json: Readonly<Record<string, unknown>>, file: string): Tokenizer {
  // Settings of tokenizer_config.json are left out: those that the library heeds belong to other kinds of models.
  const tokenizer = new Tokenizer(reproducibleTokenizer(json, file), { clean_up_tokenization_spaces: false });
  for (const part of partsOf(tokenizer.normalizer)) {
    const { form } = part;
    if (form !== undefined) part.normalize = (text: string) => normalForm(text, form);
  }
  for (const part of partsOf(tokenizer.decoder)) {
    if (part.config?.type === 'ByteFallback') part.decode_chain = bytesToText;
  }
  return tokenizer;
}

type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';
/** A normalizer or decoder of the library, as far as it is replaced here. */
interface LibraryPart {
  readonly config?: { readonly type?: string };
  readonly form?: NormalForm;
  readonly normalizers?: unknown[];
  readonly decoders?: unknown[];
  normalize?: (text: string) => string;
  decode_chain?: (tokens: string[]) => string[];
}
function partsOf(part: unknown): LibraryPart[] {
  if (part === null || part === undefined) return [];
  const { normalizers, decoders } = part as LibraryPart;
  const inner = normalizers ?? decoders;
  return inner ? inner.flatMap(partsOf) : [part];
}

let young: RegExp | undefined;
/** A normal form by tables that do not know some characters: those stand for themselves, and nothing joins across them. */
function normalForm(text: string, form: NormalForm): string {
  young ??= new RegExp(`([${propertyClass('young')!.replaceAll('\\x{', '\\u{')}])`, 'u');
  if (!young.test(text)) return text.normalize(form);
  return text
    .split(young)
    .map((piece, i) => (i % 2 === 1 ? piece : piece.normalize(form)))
    .join('');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Runs of tokens for bytes as the text that they are; a run that is no UTF-8 has one U+FFFD a byte. */
function bytesToText(tokens: readonly string[]): string[] {
  const result: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      result.push(utf8.decode(Uint8Array.from(bytes)));
    } catch {
      result.push(...bytes.map(() => '\ufffd'));
    }
    bytes = [];
  };
  for (const token of tokens) {
    if (/^<0x[\da-fA-F]{2}>$/.test(token)) bytes.push(Number.parseInt(token.slice(3, 5), 16));
    else {
      flush();
      result.push(token);
    }
  }
  flush();
  return result;
}
