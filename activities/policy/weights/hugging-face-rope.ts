import type { ModelShape, RopeScaling } from '../model-config.js';
import { isNothing } from './config-keys.js';

type Json = Readonly<Record<string, unknown>>;

/** What is wrong, and what to do; never returns. */
export type Refuse = (problem: string, remedy?: string) => never;

/**
 * RoPE as config.json says it, in one of two spellings: `rope_theta` with `rope_scaling`, or since transformers 5 both in `rope_parameters`.
 * @returns  also the keys of that object that are not known, `rope_scaling.key` with their values
 */
export function ropeOf(
  json: Json,
  context: number,
  refuse: Refuse,
): Pick<ModelShape, 'ropeBase' | 'ropeScaling'> & { readonly unknown: Json } {
  const spelled = (['rope_parameters', 'rope_scaling'] as const).filter((key) => !isNothing(json[key] ?? null));
  if (spelled.length === 2 && JSON.stringify(json['rope_parameters']) !== JSON.stringify(json['rope_scaling']))
    refuse('has both rope_parameters and rope_scaling, which differ', 'Keep the one that the model was trained with');
  const place = spelled[0] ?? 'rope_scaling';
  const given = (spelled.length === 0 ? {} : json[place]) as Json;
  if (typeof given !== 'object' || Array.isArray(given))
    return refuse(`${place} is ${JSON.stringify(given)}, expected an object`);
  const unread = new Set(Object.keys(given));
  const field = (key: string): unknown => {
    unread.delete(key);
    return given[key] ?? undefined;
  };
  const number = (key: string, otherwise?: number): number => {
    const value = field(key) ?? otherwise;
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value))
      return refuse(`${place}.${key} is ${JSON.stringify(value)}, expected a positive number`);
    return value;
  };
  const type = field('rope_type') ?? field('type') ?? 'default';
  field('type');
  const theta = json['rope_theta'] ?? 10_000;
  const ropeBase = number('rope_theta', theta as number);
  const partial = field('partial_rotary_factor') ?? 1;
  if (partial !== 1) refuse(`${place}.partial_rotary_factor is ${JSON.stringify(partial)}, only 1 is computed`);

  /** transformers lets the one beside the object go before the one in it, others read only that. */
  const original = (otherwise?: number): number => {
    const beside = json['original_max_position_embeddings'] ?? undefined;
    const within = given['original_max_position_embeddings'] ?? undefined;
    if (beside !== undefined && within !== undefined && beside !== within) {
      refuse(
        `has original_max_position_embeddings ${JSON.stringify(beside)} and ${place}.original_max_position_embeddings ${JSON.stringify(within)}`,
        'Frameworks disagree on which counts: keep the right one',
      );
    }
    return number('original_max_position_embeddings', (beside ?? otherwise) as number | undefined);
  };
  const scaling = (): RopeScaling | null => {
    switch (type) {
      case 'default':
        return null;
      case 'linear':
        return { type: 'linear', factor: number('factor') };
      case 'llama3':
        return {
          type: 'llama3',
          factor: number('factor'),
          lowFrequencyFactor: number('low_freq_factor'),
          highFrequencyFactor: number('high_freq_factor'),
          originalContextLength: original(),
        };
      case 'yarn': {
        const factor = number('factor');
        const optional = (key: string): number | undefined =>
          isNothing(given[key] ?? null) || given[key] === 0 ? void field(key) : number(key);
        const [mscale, mscaleAll] = [optional('mscale'), optional('mscale_all_dim')];
        const growth = (by: number): number => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
        const truncate = field('truncate') ?? true;
        if (typeof truncate !== 'boolean')
          refuse(`${place}.truncate is ${JSON.stringify(truncate)}, expected true or false`);
        const twin = field('attn_factor') ?? 1;
        if (twin !== 1) {
          refuse(
            `${place}.attn_factor is ${JSON.stringify(twin)}, which is not read`,
            'Frameworks disagree on it: vLLM and llama.cpp multiply by it, transformers does not read it. Remove it, ' +
              'or write what the model was trained with as attention_factor, which is read here and by all of them',
          );
        }
        return {
          type: 'yarn',
          factor,
          originalContextLength: original(context),
          betaFast: number('beta_fast', 32),
          betaSlow: number('beta_slow', 1),
          truncate: truncate,
          attentionFactor: number(
            'attention_factor',
            mscale && mscaleAll ? growth(mscale) / growth(mscaleAll) : growth(1),
          ),
        };
      }
      default:
        return refuse(`${place}.rope_type is ${JSON.stringify(type)}, known are default, linear, llama3, yarn`);
    }
  };
  const ropeScaling = scaling();
  if (type === 'default') unread.delete('factor');
  // Recorded by some exporters next to variants that do not read it, and that a YaRN model was trained on after scaling.
  for (const key of ['original_max_position_embeddings', 'finetuned']) unread.delete(key);
  const unknown = Object.fromEntries(
    [...unread].filter((key) => !isNothing(given[key])).map((key) => [`${place}.${key}`, given[key]]),
  );
  return { ropeBase, ropeScaling, unknown };
}
