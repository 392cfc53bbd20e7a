import type { LoraConfig } from '../../schemas/train-config.js';

/** The work of one row of the table, the same for both sides. */
export type Work =
  | { readonly kind: 'logProbs'; readonly rows: number; readonly tokens: number }
  | { readonly kind: 'step'; readonly rows: number; readonly tokens: number; readonly training: 'lora' | 'full' }
  | { readonly kind: 'decode'; readonly rows: number; readonly promptTokens: number; readonly tokens: number }
  | { readonly kind: 'turnUpdate' }
  | { readonly kind: 'rolloutShard' };

export interface WorkRow {
  readonly name: string;
  readonly title: string;
  readonly precision: 'fp32' | 'bf16';
  readonly work: Work;
  readonly against: string;
  /** How the other side holds its frozen weights: what its users do, and what is fastest for it. */
  readonly torchWeights: 'fp32' | 'bf16';
  /** Ratios to PyTorch: what must hold, and what we are after. */
  readonly accept: number;
  readonly goal: number;
  /** Untimed calls before the first round; the long works are their own warm-up. */
  readonly warmUps: number;
}

/** Of every LoRA row: all seven linear layers. */
export const BENCH_LORA: LoraConfig = { rank: 16, alpha: 32 };
export const TEMPERATURE = 0.9;
/** Sequences of a padded batch on the other side. */
export const PADDED_BATCH = 8;

const autocast = 'torch bf16 autocast';
const decode = (rows: number, accept: number, goal: number): WorkRow => ({
  name: `decode-${rows}`,
  title: `decode, batch ${rows}`,
  precision: 'bf16',
  work: { kind: 'decode', rows, promptTokens: 128, tokens: 64 },
  against: 'transformers generate, bf16 weights',
  torchWeights: 'bf16',
  accept,
  goal,
  warmUps: 1,
});

export const workRows: readonly WorkRow[] = [
  {
    name: 'logprobs-fp32',
    title: 'log-probs 8 x 512, fp32',
    precision: 'fp32',
    work: { kind: 'logProbs', rows: 8, tokens: 512 },
    against: 'torch fp32 eager',
    torchWeights: 'fp32',
    accept: 0.75,
    goal: 1,
    warmUps: 1,
  },
  {
    name: 'logprobs-bf16',
    title: 'log-probs 8 x 512, bf16',
    precision: 'bf16',
    work: { kind: 'logProbs', rows: 8, tokens: 512 },
    against: autocast,
    torchWeights: 'fp32',
    accept: 0.6,
    goal: 0.9,
    warmUps: 1,
  },
  {
    name: 'lora-step',
    title: 'LoRA step 8 x 512, bf16',
    precision: 'bf16',
    work: { kind: 'step', rows: 8, tokens: 512, training: 'lora' },
    against: `${autocast}, LoRA as in peft`,
    torchWeights: 'fp32',
    accept: 0.7,
    goal: 1,
    warmUps: 1,
  },
  {
    name: 'full-step',
    title: 'full fine-tune step 8 x 512, bf16',
    precision: 'bf16',
    work: { kind: 'step', rows: 8, tokens: 512, training: 'full' },
    against: autocast,
    torchWeights: 'fp32',
    accept: 0.8,
    goal: 1,
    warmUps: 1,
  },
  decode(1, 0.5, 1),
  decode(16, 0.8, 1.3),
  decode(64, 1, 1.6),
  {
    name: 'turn-update',
    title: 'one SeeUPO turn update',
    precision: 'bf16',
    work: { kind: 'turnUpdate' },
    against: `${autocast}, bf16 base, padded batches`,
    torchWeights: 'bf16',
    accept: 3,
    goal: 10,
    warmUps: 0,
  },
  {
    name: 'rollout-shard',
    title: 'one rollout shard, sidecar included',
    precision: 'bf16',
    work: { kind: 'rolloutShard' },
    against: 'transformers generate, padded batches, history anew each turn',
    torchWeights: 'bf16',
    accept: 1.5,
    goal: 3,
    warmUps: 0,
  },
];
