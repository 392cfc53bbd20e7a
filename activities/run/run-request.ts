import { z } from 'zod';
import { ForkRequest, ResumeRequest } from '../../schemas/run-request.js';
import { BadConfig, withoutSchemaReference } from './resolve-config.js';

/** What `train` was asked for. A configuration is checked by resolveConfig, which knows its settings by name. */
export type RunRequest =
  | { readonly kind: 'new'; readonly config: unknown }
  | ({ readonly kind: 'resume' } & ResumeRequest)
  | ({ readonly kind: 'fork' } & ForkRequest);

/** @throws {BadConfig} if it asks to resume or fork, and not as one can */
export function requestOf(given: unknown): RunRequest {
  const input = withoutSchemaReference(given);
  const has = (name: string) => typeof input === 'object' && input !== null && name in input;
  if (has('resumeFrom'))
    return {
      kind: 'resume',
      ...parsed(
        ResumeRequest,
        input,
        '{"resumeFrom":{"run":"my-run"}}, and nothing besides: the settings are the stored ones',
      ),
    };
  if (has('forkFrom')) {
    return {
      kind: 'fork',
      ...parsed(
        ForkRequest,
        input,
        '{"forkFrom":{"run":"my-run","iteration":3,"turn":null},"change":{"optimizer":{"learningRate":1e-4}}}',
      ),
    };
  }
  return { kind: 'new', config: input };
}

function parsed<T>(schema: z.ZodType<T>, input: unknown, form: string): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new BadConfig([
    ...result.error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'the input'}: ${message}`),
    `expected ${form}`,
  ]);
}
