import type { LoraConfig } from '../../../schemas/train-config.js';
import { ModelFileInvalid } from './model-file-error.js';

type Settings = Readonly<Record<string, unknown>>;

/**
 * Fields of PEFT 0.21.2's LoraConfig that do not change what W + (alpha / r) B A computes: which modules have an adapter is told by its
 * tensors; how they began, were regularised and where they were trained does not matter afterwards. fan_in_fan_out is for
 * other layers than linear ones, where PEFT sets it to false.
 */
const harmless = new Set([
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'target_parameters',
  'ensure_weight_tying',
  'lora_dropout',
  'loftq_config',
  'eva_config',
  'corda_config',
  'lora_ga_config',
  'fan_in_fan_out',
  'qalora_group_size',
  'megatron_core',
  'runtime_config',
  'base_model_name_or_path',
  'revision',
  'task_type',
  'inference_mode',
  'auto_mapping',
  'peft_version',
]);
/** Fields that are read, or checked, below. */
const read = new Set(['peft_type', 'bias', 'r', 'lora_alpha', 'init_lora_weights', 'rank_pattern', 'alpha_pattern']);

/** Ways to begin that leave the base model as it is. PEFT takes the first two in any case. */
const beginnings: readonly unknown[] = ['gaussian', 'mica', true, false, null, undefined, 'orthogonal', 'eva'];
/** Those that move the base, and whose adapters PEFT can save as one of the model that was moved. */
const convertible = /^(pissa|olora|corda|lora_ga)/i;

const PLAIN = 'Use a plain LoRA adapter of linear layers, as `npm run export` writes it';
const MERGE =
  'merge it with PEFT (merge_and_unload, then save_pretrained) in the process that trained it, and use the merged model without an adapter';

/**
 * Rank and alpha of adapter_config.json, once it is sure that the adapter is W + (alpha / r) B A on the base model's own W. Any field
 * that is not known, or would change that, must be unset: false, null or empty.
 *
 * @throws {ModelFileInvalid} naming the field, and what to do
 */
export function loraOfPeftSettings(file: string, settings: Settings): LoraConfig {
  const refuse = (problem: string, remedy = PLAIN): never => {
    throw new ModelFileInvalid(file, problem, remedy);
  };
  const says = (key: string): string => {
    const value = JSON.stringify(settings[key]);
    // Patterns may list every module of the model.
    return `has ${key} = ${value.length > 200 ? `${value.slice(0, 200)}...` : value}`;
  };
  const { peft_type: type, bias, r: rank, lora_alpha: alpha } = settings;
  if ((type ?? 'LORA') !== 'LORA') refuse(`${says('peft_type')}, which is not computed`);
  if ((bias ?? 'none') !== 'none') refuse(`${says('bias')}, which is not computed`);
  refuseMovedBase(file, settings);
  const strange = Object.keys(settings).find((key) => !harmless.has(key) && !read.has(key) && !isUnset(settings[key]));
  if (strange !== undefined) refuse(`${says(strange)}, which is not computed`);
  if (typeof rank !== 'number' || !Number.isInteger(rank) || rank < 1 || typeof alpha !== 'number' || !(alpha > 0)) {
    return refuse(
      `has r = ${JSON.stringify(rank)} and lora_alpha = ${JSON.stringify(alpha)}, expected positive numbers`,
    );
  }
  for (const [key, whole] of [
    ['rank_pattern', rank],
    ['alpha_pattern', alpha],
  ] as const) {
    // EVA lists every module, with the rank that all have unless it redistributed them.
    const given = settings[key];
    const values = isUnset(given) ? [] : typeof given === 'object' ? Object.values(given as object) : [given];
    if (values.some((value) => value !== whole))
      refuse(`${says(key)}, which is not computed; one of ${whole} for all is`);
  }
  return { rank, alpha };
}

const isUnset = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === '' ||
  (typeof value === 'object' && Object.keys(value).length === 0);

/** PiSSA and its kind take B A out of the base before training: added to the base as it was, the adapter is another model. */
function refuseMovedBase(file: string, { init_lora_weights: began }: Settings): void {
  const isKnown =
    beginnings.includes(began) || (typeof began === 'string' && beginnings.slice(0, 2).includes(began.toLowerCase()));
  if (isKnown) return;
  const problem = `has init_lora_weights = ${JSON.stringify(began)}`;
  if (typeof began === 'string' && convertible.test(began)) {
    throw new ModelFileInvalid(
      file,
      `${problem}, which moved the weights of the base model before training: added to the model as it was, the adapter is another model`,
      `Save it as a plain LoRA with PEFT (save_pretrained with path_initial_model_for_weight_conversion = the adapter as it was before training), or ${MERGE}`,
    );
  }
  if (typeof began === 'string' && /^loftq/i.test(began)) {
    throw new ModelFileInvalid(
      file,
      `${problem}, which trains beside base weights that LoftQ quantised, not the model's own`,
      MERGE[0]!.toUpperCase() + MERGE.slice(1),
    );
  }
  const why = 'which is not known here and may have moved the weights of the base model';
  throw new ModelFileInvalid(file, `${problem}, ${why}`, `If it did, ${MERGE}; if it did not, set it to true`);
}
