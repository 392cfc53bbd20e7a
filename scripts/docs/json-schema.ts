import { z } from 'zod';
import { EvaluateConfig } from '../../schemas/evaluate-config.js';
import { TrainConfig } from '../../schemas/train-config.js';

/** A JSON schema, as far as the generated pages read one. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  /** Draft 7 writes the elements of a tuple as a list. */
  readonly items?: JsonSchema | readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

/** Of what a person writes, before defaults; draft 7, which every editor knows. */
export const jsonSchemaOf = (schema: z.ZodType): JsonSchema =>
  z.toJSONSchema(schema, { io: 'input', target: 'draft-7' }) as JsonSchema;

const REFERENCE = { type: 'string', description: 'The JSON schema of this file, for editors. It is ignored.' };

/** With the key by which a file names its schema, which the configuration reader ignores. */
function forEditors(schema: z.ZodType, title: string): JsonSchema {
  const made = jsonSchemaOf(schema);
  return { ...made, title, properties: { $schema: REFERENCE, ...made.properties } } as JsonSchema;
}

export const trainConfigSchema = (): JsonSchema => forEditors(TrainConfig, 'Configuration of a run: input of train');

export const evaluateConfigSchema = (): JsonSchema =>
  forEditors(EvaluateConfig, 'Configuration of an evaluation: input of evaluate');
