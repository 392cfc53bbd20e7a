import { sizeOf } from './full-weights.js';
import type { StoredParts, StoredTensors } from './policy.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { readSafetensors, type NamedTensor } from './weights/safetensors.js';

/** Where each trainable tensor stands in a flat vector. */
export interface ParameterLayout {
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[]; readonly offset: number }[];
  readonly parameters: number;
}

/** Values of a stored file as the section of a flat vector that begins at `offset`. */
export function flatten(
  { tensors, parameters, offset: start = 0 }: ParameterLayout & { readonly offset?: number },
  { stored, file }: { readonly stored: ReadonlyMap<string, NamedTensor>; readonly file: string },
  prefix: string,
): Float32Array {
  const flat = new Float32Array(parameters);
  for (const { name, shape, offset } of tensors) {
    const found = stored.get(prefix + name);
    if (!found || found.shape.join() !== shape.join()) {
      throw new ModelFileInvalid(
        file,
        `tensor ${prefix + name} is ${found ? `[${found.shape.join(', ')}]` : 'missing'}, expected [${shape.join(', ')}]`,
        'It belongs to another model or LoRA rank: use the run that made it',
      );
    }
    const bad = found.values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new ModelFileInvalid(
        file,
        `tensor ${prefix + name} holds ${found.values[bad]} at index ${bad}`,
        'Go on from an earlier checkpoint of the run',
      );
    flat.set(found.values, offset - start);
  }
  return flat;
}

/** A stored file, read and named for messages. */
export const readStored = async ({
  sha256,
  read,
}: StoredTensors): Promise<{ stored: ReadonlyMap<string, NamedTensor>; file: string }> => ({
  stored: readSafetensors(await read()).tensors,
  file: `blob ${sha256}`,
});

/** Tensors of a section of a flat vector by name. */
export const namedValues = (
  tensors: ParameterLayout['tensors'],
  values: Float32Array,
  start: number,
  prefix: string,
): NamedTensor[] =>
  tensors.map(({ name, shape, offset }) => ({
    name: prefix + name,
    shape,
    values: values.subarray(offset - start, offset - start + sizeOf(shape)),
  }));

/** The files of a state: one of an adapter, one per tensor group of full training; null is the state before any step. */
export const partsOf = async (stored: StoredTensors | StoredParts | null): Promise<readonly StoredTensors[] | null> =>
  stored === null ? null : 'parts' in stored ? stored.parts() : [stored];
/** What tells states apart. */
export const keyOf = (stored: readonly StoredTensors[] | null): string =>
  stored?.map(({ sha256 }) => sha256).join() ?? 'zero';
