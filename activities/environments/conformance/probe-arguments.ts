/** What a prompt mentions: arguments that tools may accept. */
export interface Mentioned {
  readonly numbers: readonly number[];
  readonly texts: readonly string[];
}

type Schema = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 5;
/** Of texts whose form the schema names. */
const FORMATS: Readonly<Record<string, string>> = {
  date: '2024-01-02',
  'date-time': '2024-01-02T03:04:05Z',
  time: '03:04:05',
  email: 'a@example.org',
  uri: 'https://example.org/a',
  uuid: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff',
  ipv4: '127.0.0.1',
  ipv6: '::1',
  duration: 'P1D',
  hostname: 'example.org',
};

/** Texts in quotation marks first, then names and the like, then words; numbers as they come. */
export function mentionedIn(prompt: string): Mentioned {
  const quoted = [...prompt.matchAll(/"([^"\n]{1,80})"|'([^'\n]{1,80})'|`([^`\n]{1,80})`/g)].map(
    ([, a, b, c]) => (a ?? b ?? c)!,
  );
  const words = [...prompt.matchAll(/[\p{L}\p{N}_/.@-]*[\p{L}\p{N}_/]/gu)]
    .map(([word]) => word)
    .filter((word) => !/^\d+(\.\d+)?$/.test(word));
  const names = words.filter((word, index) => index > 0 && /[\p{Lu}\d_/@.]/u.test(word));
  const numbers = [...prompt.matchAll(/-?\d+(?:\.\d+)?/g)]
    .map(([number]) => Number(number))
    .filter((number) => Number.isFinite(number));
  return { numbers: [...new Set(numbers)], texts: [...new Set([...quoted, ...names, ...words])] };
}

/** Arguments that fit a tool's JSON Schema; another `variant` gives others. What a schema cannot say, the tool may still refuse. */
export function probeArguments(schema: object, mentioned: Mentioned, variant: number): Record<string, unknown> {
  const value = new Prober(schema as Schema, mentioned, variant).value(schema, 0);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

class Prober {
  constructor(
    private readonly root: Schema,
    private readonly mentioned: Mentioned,
    private readonly variant: number,
  ) {}

  value(given: unknown, depth: number): unknown {
    if (typeof given !== 'object' || given === null || depth > MAX_DEPTH) return 'x';
    const schema = this.resolved(given as Schema);
    if ('const' in schema) return schema['const'];
    const choices = schema['enum'] ?? schema['anyOf'] ?? schema['oneOf'];
    if (Array.isArray(choices) && choices.length > 0) {
      const choice: unknown = choices[this.variant % choices.length];
      return 'enum' in schema
        ? choice
        : this.value({ ...without(schema, 'anyOf', 'oneOf'), ...(choice as Schema) }, depth + 1);
    }
    switch (typeOf(schema)) {
      case 'object':
        return this.object(schema, depth);
      case 'array':
        return Array.from({ length: Math.max(1, numberOr(schema['minItems'], 1)) }, () =>
          this.value(itemOf(schema), depth + 1),
        );
      case 'integer':
      case 'number':
        return this.number(schema);
      case 'boolean':
        return this.variant % 2 === 0;
      case 'null':
        return null;
      default:
        return this.text(schema);
    }
  }

  /** What it needs; every second variant has what may be left out too. */
  private object(schema: Schema, depth: number): Record<string, unknown> {
    const required = Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : [];
    const wanted = Object.entries((schema['properties'] ?? {}) as Schema).filter(
      ([key]) => required.includes(key) || (this.variant % 2 === 1 && depth === 0),
    );
    return Object.fromEntries(wanted.map(([key, property]) => [key, this.value(property, depth + 1)]));
  }

  private number(schema: Schema): number {
    const exclusive = (key: string, step: number) => (typeof schema[key] === 'number' ? schema[key] + step : undefined);
    const step = typeof schema['multipleOf'] === 'number' ? schema['multipleOf'] : 1;
    const from = numberOr(schema['minimum'] ?? exclusive('exclusiveMinimum', step), -Infinity);
    const to = numberOr(schema['maximum'] ?? exclusive('exclusiveMaximum', -step), Infinity);
    const whole = typeOf(schema) === 'integer';
    const fits = (number: number) =>
      number >= from &&
      number <= to &&
      (!whole || Number.isSafeInteger(number)) &&
      Number.isInteger(Number((number / step).toFixed(9)));
    const least = Number.isFinite(from)
      ? Math.ceil(from / step) * step
      : Number.isFinite(to)
        ? Math.floor(to / step) * step
        : step;
    const candidates = [
      ...this.mentioned.numbers.filter(
        (number) => fits(number) || (step === 1 && !whole && number >= from && number <= to),
      ),
      ...[least, least + step, least + 2 * step].filter(fits),
    ];
    return candidates[this.variant % Math.max(1, candidates.length)] ?? least;
  }

  private text(schema: Schema): string {
    const format = schema['format'];
    if (typeof format === 'string' && FORMATS[format] !== undefined) return FORMATS[format];
    const [least, most] = [numberOr(schema['minLength'], 0), numberOr(schema['maxLength'], Infinity)];
    const pattern = patternOf(schema['pattern']);
    const candidates = [...this.mentioned.texts, 'x', 'a', 'A', '1', 'a1']
      .map((text) => text.slice(0, most).padEnd(least, 'x'))
      .filter((text) => pattern?.test(text) ?? true);
    return candidates[this.variant % Math.max(1, candidates.length)] ?? 'x';
  }

  private resolved(schema: Schema): Schema {
    const { $ref } = schema;
    if (typeof $ref !== 'string' || !$ref.startsWith('#/'))
      return Array.isArray(schema['allOf']) ? merged(schema, schema['allOf'] as Schema[]) : schema;
    const target = $ref
      .slice(2)
      .split('/')
      .reduce<unknown>((at, key) => (at as Schema | undefined)?.[key], this.root);
    return typeof target === 'object' && target !== null ? (target as Schema) : {};
  }
}

const without = (schema: Schema, ...keys: string[]): Schema =>
  Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)));
const numberOr = (value: unknown, otherwise: number): number => (typeof value === 'number' ? value : otherwise);

function typeOf(schema: Schema): unknown {
  const { type } = schema;
  if (Array.isArray(type)) return type.find((one) => one !== 'null') ?? 'null';
  return type ?? ('properties' in schema ? 'object' : 'items' in schema ? 'array' : 'string');
}

const itemOf = (schema: Schema): unknown =>
  Array.isArray(schema['prefixItems']) ? schema['prefixItems'][0] : (schema['items'] ?? {});

/** As far as it can be said of objects: all their properties, all that they require. */
const merged = (schema: Schema, parts: readonly Schema[]): Schema =>
  [without(schema, 'allOf'), ...parts].reduce((all, part) => ({
    ...all,
    ...part,
    properties: { ...(all['properties'] as Schema | undefined), ...(part['properties'] as Schema | undefined) },
    required: [
      ...((all['required'] as unknown[] | undefined) ?? []),
      ...((part['required'] as unknown[] | undefined) ?? []),
    ],
  }));

function patternOf(pattern: unknown): RegExp | null {
  try {
    return typeof pattern === 'string' ? new RegExp(pattern, 'u') : null;
  } catch {
    return null;
  }
}
