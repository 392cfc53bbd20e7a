import { ModelFileInvalid } from '../weights/model-file-error.js';
import { propertyClass } from './unicode.js';

type Part = Readonly<Record<string, unknown>>;

/** GPT-2's expression, which ByteLevel splits by: as tokenizers has it (oniguruma). */
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const NORMAL_FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'];
const DECODERS = ['ByteLevel', 'Replace', 'ByteFallback', 'Fuse', 'Strip'];

/**
 * The parts of a tokenizer.json in the form in which @huggingface/tokenizers reads them as the original (Rust) does, for
 * the two differ: Digits are ASCII there and Unicode here, `\s` has other members, Unicode's tables are of other versions.
 * What it cannot read as the original does is refused.
 *
 * @param file  for messages
 * @throws {ModelFileInvalid} naming the part
 */
export function reproducibleTokenizer(json: Readonly<Record<string, unknown>>, file: string): Record<string, unknown> {
  const refuse = (what: string): never => {
    throw new ModelFileInvalid(
      file,
      `has ${what}, which is not reproduced exactly here`,
      'Only ids of such a model can be scored; use a model with another tokenizer for text',
    );
  };
  modelOf(json['model'] as Part | undefined, refuse);
  for (const token of (json['added_tokens'] ?? []) as Part[]) {
    if (token['single_word'] === true) refuse(`the added token ${JSON.stringify(token['content'])} with single_word`);
  }
  decoderOf(json['decoder'] as Part | null, refuse);
  return {
    ...json,
    normalizer: normalizerOf((json['normalizer'] ?? null) as Part | null, refuse),
    pre_tokenizer: preTokenizerOf((json['pre_tokenizer'] ?? null) as Part | null, refuse),
    // Adds tokens at the ends of a text, which nobody asks for here: templates write them.
    post_processor: null,
  };
}

type Refuse = (what: string) => never;

function modelOf(model: Part | undefined, refuse: Refuse): void {
  const type = model?.['type'] ?? (model?.['merges'] ? 'BPE' : 'no type');
  if (type !== 'BPE') return refuse(`a tokenizer model of type ${String(type)} (expected BPE)`);
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout']) {
    if (model![key]) refuse(`model.${key} = ${JSON.stringify(model![key])}`);
  }
}

function normalizerOf(part: Part | null, refuse: Refuse): Part | null {
  if (part === null) return null;
  const type = String(part['type']);
  if (type === 'Sequence')
    return { ...part, normalizers: (part['normalizers'] as Part[]).map((one) => normalizerOf(one, refuse)) };
  if (type === 'Prepend' || NORMAL_FORMS.includes(type)) return part;
  if (type === 'Replace') return { ...part, pattern: patternOf(part['pattern'], refuse) };
  return refuse(`a normalizer of type ${type}`);
}

function preTokenizerOf(part: Part | null, refuse: Refuse): Part | null {
  if (part === null) return null;
  const type = String(part['type']);
  switch (type) {
    case 'Sequence':
      return { ...part, pretokenizers: (part['pretokenizers'] as Part[]).map((one) => preTokenizerOf(one, refuse)) };
    case 'Digits':
      return isolated(`[${propertyClass('numeric')!}]${part['individual_digits'] === true ? '' : '+'}`);
    case 'ByteLevel': {
      if (part['use_regex'] === false) return part;
      if (part['add_prefix_space'] === true)
        return refuse('a pre-tokenizer ByteLevel with add_prefix_space and use_regex');
      return { type: 'Sequence', pretokenizers: [isolated(tabled(GPT2, refuse)), { ...part, use_regex: false }] };
    }
    case 'Split':
      return splitOf(part, refuse);
    case 'Metaspace':
      // Where it splits, words would be cut at each blank; the library does not.
      if (part['split'] === false && typeof part['prepend_scheme'] === 'string') return part;
      return refuse('a pre-tokenizer Metaspace that splits');
    default:
      return refuse(`a pre-tokenizer of type ${type}`);
  }
}

const isolated = (regex: string): Part => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});

function splitOf(part: Part, refuse: Refuse): Part {
  const behaviour = String(part['behavior']).toLowerCase();
  const pattern = patternOf(part['pattern'], refuse);
  // Isolated keeps what matches and what is between, whichever of both is called a match.
  if (behaviour === 'isolated') return { ...part, pattern, invert: false };
  if (behaviour === 'removed' && part['invert'] === true) return { ...part, pattern };
  return refuse(
    `a pre-tokenizer Split with behavior ${String(part['behavior'])}${part['invert'] === true ? ', inverted' : ''}`,
  );
}

function patternOf(pattern: unknown, refuse: Refuse): unknown {
  const { Regex: regex } = (pattern ?? {}) as { Regex?: unknown };
  return typeof regex === 'string' ? { Regex: tabled(regex, refuse) } : pattern;
}

/** A regular expression with Unicode's properties written out. */
function tabled(regex: string, refuse: Refuse): string {
  const unknown = /\\[wWbBhHX]|\[\[:|\(\?(?![:=!><]|i:)|&&|\(\?i:[^()]*\(/.exec(regex)?.[0];
  if (unknown !== undefined) refuse(`${unknown} in a regular expression`);
  let inClass = false;
  const written = regex.replaceAll(
    /\\([pP])\{(\^?)([^}]*)\}|\\([\s\S])|[[\]]/g,
    (whole, kind: string | undefined, caret: string, name: string, escaped: string | undefined) => {
      if (whole === '[' && inClass) return refuse('a character class within another in a regular expression');
      if (whole === '[' || whole === ']') {
        inClass = whole === '[';
        return whole;
      }
      const [property, negated] =
        escaped === 'd' || escaped === 'D' ? ['Nd', escaped === 'D'] : [name, (kind === 'P') !== (caret === '^')];
      if (kind === undefined && escaped !== 'd' && escaped !== 'D') return whole;
      const members = propertyClass(property, negated);
      if (members === undefined) return refuse(`the Unicode property ${whole} in a regular expression`);
      return inClass ? members : `[${members}]`;
    },
  );
  // oniguruma folds the long s to an s; the library folds ASCII only.
  return written.replaceAll(
    /\(\?i:([^()]*)\)/g,
    (_, inner: string) =>
      `(?i:${inner.replaceAll(/(?<!\\)[sS]/g, '[sS\\x{17f}]').replaceAll(/(?<!\\)[kK]/g, '[kK\\x{212a}]')})`,
  );
}

function decoderOf(part: Part | null | undefined, refuse: Refuse): void {
  if (part === null || part === undefined) return refuse('no decoder');
  const type = String(part['type']);
  if (type === 'Sequence') return (part['decoders'] as Part[]).forEach((one) => decoderOf(one, refuse));
  if (!DECODERS.includes(type)) refuse(`a decoder of type ${type}`);
}
