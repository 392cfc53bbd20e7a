import { AlgorithmConfig } from '../../schemas/algorithm-config.js';
import { Variables } from '../../workers/environment-variables.js';
import { fieldRows, solid, type FieldRow } from './field-rows.js';
import { evaluateConfigSchema, jsonSchemaOf, trainConfigSchema, type JsonSchema } from './json-schema.js';
import { generatedFrom, table } from './markdown.js';

const HEAD = ['field', 'type', 'default', 'meaning'];

/** docs/configuration.md: every field of a run and of an evaluation, and the environment variables. */
export function configurationPage(): string {
  return `${[
    generatedFrom('the schemas in `schemas/` and `workers/environment-variables.ts`'),
    '# Configuration',
    'A run and an evaluation are each one JSON document, as those in `scripts/runs/`. Every field is checked before ' +
      'anything else happens: all problems come in one message, and an unknown field is one of them. A file that names ' +
      'its schema, as `"$schema": "./train-config.schema.json"` does, is completed and checked by editors; the run ' +
      'ignores this line.',
    'The run stores its configuration with every default written out. A field whose default is "left out" has no value ' +
      'unless one is given. A `block` is a JSON object with the fields of its section, or of the rows below it.',
    '## Configuration of a run',
    'Input of the workflow `train`; `npm run quickstart -- --config FILE` takes it, too.',
    ...blocks(trainConfigSchema()),
    '## Configuration of an evaluation',
    'Input of the workflow `evaluate`.',
    ...blocks(evaluateConfigSchema()),
    '## Environment variables',
    'Read by the workers and commands. `npm run quickstart` and `npm run up` need none: they set them for the workers ' +
      'that they start. A variable that is empty counts as not set.',
    table(['variable', 'values', 'default', 'meaning'], variableRows()),
  ].join('\n\n')}\n`;
}

/** Variables are texts without quotation marks. */
const variableRows = (): string[][] =>
  fieldRows(jsonSchemaOf(Variables)).map((row) => row.map((cell) => cell.replaceAll(/`"([^"`]*)"`/g, '`$1`')));

/** The top level, then a section for every block; blocks with the same fields share one. */
function blocks(schema: JsonSchema): string[] {
  const top = Object.entries(schema.properties ?? {}).filter(([name]) => name !== '$schema');
  const isBlock = (inner: JsonSchema) => inner.oneOf !== undefined || solid(inner)?.properties !== undefined;
  const sections = new Map<string, { names: string[]; block: JsonSchema; text: string }>();
  for (const [name, inner] of top.filter(([, one]) => isBlock(one))) {
    const block = inner.oneOf ? inner : solid(inner)!;
    const fields = JSON.stringify(block.oneOf ?? block.properties);
    const known = sections.get(fields);
    if (known) known.names.push(name);
    else sections.set(fields, { names: [name], block, text: inner.description ?? '' });
  }
  return [
    table(HEAD, shallowRows(schema)),
    ...[...sections.values()].flatMap(({ names, block, text }) => [
      `### ${names.map((name) => `\`${name}\``).join(', ')}`,
      text,
      ...(block.oneOf ? algorithms(block.oneOf) : [table(HEAD, fieldRows(block))]),
    ]),
  ];
}

/** The fields of the top level; a block is named, its fields come in a section. */
function shallowRows(schema: JsonSchema): FieldRow[] {
  const shallow = Object.entries(schema.properties ?? {}).flatMap(([name, inner]): [string, JsonSchema][] => {
    if (name === '$schema') return [];
    if (inner.oneOf) return [[name, { type: 'block', description: inner.description ?? '' }]];
    const block = solid(inner);
    if (block?.properties === undefined) return [[name, inner]];
    const { description = '', default: fallback } = inner;
    const form = inner.anyOf ? { anyOf: [{ type: 'block' }, { type: 'null' }] } : { type: 'block' };
    return [[name, { ...form, description, ...(fallback !== undefined && { default: fallback }) }]];
  });
  return fieldRows({ properties: Object.fromEntries(shallow), required: schema.required ?? [] });
}

/** What all algorithms have in common, then each one's own fields, and what its named sets stand for. */
function algorithms(variants: readonly JsonSchema[]): string[] {
  const nameOf = ({ properties }: JsonSchema) => String(properties?.['name']?.const);
  const valuesOf = (variant: JsonSchema, options: object = {}): Record<string, unknown> =>
    AlgorithmConfig.parse({ name: nameOf(variant), ...options });
  const rowsOf = (variant: JsonSchema) => fieldRows(variant, (field) => valuesOf(variant)[field]);
  const all = variants.map(rowsOf);
  const isShared = (row: FieldRow) => all.every((rows) => rows.some((one) => one.join() === row.join()));
  return [
    '#### Fields of every algorithm',
    table(HEAD, all[0]!.filter(isShared)),
    ...variants.flatMap((variant, index) => [
      `#### \`"name": ${JSON.stringify(nameOf(variant))}\``,
      ...(variant.description === undefined ? [] : [variant.description]),
      table(
        HEAD,
        all[index]!.filter((row) => !isShared(row)),
      ),
      ...namedSets(variant, (options) => valuesOf(variant, options)),
    ]),
  ];
}

/** Of a field that names a set of options: what each of its values sets, where they differ. */
function namedSets(variant: JsonSchema, valuesOf: (options: object) => Record<string, unknown>): string[] {
  const field = ['objective', 'variant'].find((name) => variant.properties?.[name]?.enum !== undefined);
  if (field === undefined) return [];
  const sets = variant.properties![field]!.enum!.map((name) => ({ name, values: valuesOf({ [field]: name }) }));
  const options = [...new Set(sets.flatMap(({ values }) => Object.keys(values)))].filter((option) => option !== field);
  const written = (value: unknown) => (value === undefined ? 'left out' : `\`${JSON.stringify(value)}\``);
  const rows = options
    .map((option) => [option, ...sets.map(({ values }) => written(values[option]))])
    .filter(([, ...values]) => new Set(values).size > 1);
  return [
    `What \`${field}\` sets, where the sets differ; a field that is given itself wins:`,
    table(
      ['field', ...sets.map(({ name }) => `\`${JSON.stringify(name)}\``)],
      rows.map(([option, ...values]) => [`\`${option}\``, ...values]),
    ),
  ];
}
