import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { PolicyWeights, StoredTensors } from '../../../../activities/policy/policy.js';
import { TensorFlowPolicy } from '../../../../activities/policy/tf-policy.js';
import { readGgufHeader } from '../../../../activities/policy/weights/gguf-header.js';
import { openModel } from '../../../../activities/policy/weights/open-model.js';
import {
  readSafetensors,
  writeSafetensors,
  type NamedTensor,
} from '../../../../activities/policy/weights/safetensors.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from '../tiny-models.js';

/** What is refused, by which words, and that nothing of it stays; damaged safetensors of models are in tiny-models.test.ts. */
const policy = new TensorFlowPolicy();
const sequence = { prefixGroup: 'a', promptIds: tiny.prompt, responseIds: tiny.response };
const scoring = { temperature: 1, microBatchTokens: 1024 };
const scored = async (): Promise<number[]> =>
  (await policy.logProbs([sequence], { ...scoring, weights: 'current' }))[0]!;
const stored = (bytes: Uint8Array): StoredTensors => ({
  sha256: createHash('sha256').update(bytes).digest('hex'),
  read: async () => bytes,
});
const tensorCount = async (): Promise<number> => (await policy.device()).tensors;

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-bad-'));
});
after(() => rm(folder, { recursive: true }));
async function file(bytes: Uint8Array, name = 'damaged.gguf'): Promise<string> {
  await writeFile(path.join(folder, name), bytes);
  return path.join(folder, name);
}

test('a GGUF file cut short anywhere is refused by its name', async () => {
  const whole = await readFile(tinyModel('qwen3.gguf'));
  const { tensors } = await readGgufHeader(tinyModel('qwen3.gguf'));
  const first = Math.min(...[...tensors.values()].map(({ at }) => at));
  for (const length of [0, 3, 12, 40, first >> 1, first - 1, first, first + 100, whole.length - 1]) {
    await assert.rejects(
      openModel(await file(whole.subarray(0, length))),
      {
        name: 'ModelFileInvalid',
        message:
          /damaged\.gguf: (is not a readable GGUF file|has a header that ends at byte \d+, and ends itself at \d+: it is cut short|tensor \S+ ends at byte \d+, the file at \d+: it is cut short)/,
      },
      `${length} bytes`,
    );
  }
});

test('a bit that fell over in the header of a GGUF file is refused, or is in a text or number that the file may have', async () => {
  const whole = await readFile(tinyModel('llama.gguf'));
  const { tensors } = await readGgufHeader(tinyModel('llama.gguf'));
  const header = Math.min(...[...tensors.values()].map(({ at }) => at));
  let refused = 0;
  for (let at = 0; at < header; at += 97) {
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 4;
    const outcome = await openModel(await file(flipped)).then(
      async (reader) => (await reader.close(), 'opened'),
      (error: Error) => error.name,
    );
    assert.ok(outcome === 'opened' || outcome === 'ModelFileInvalid', `flip at ${at}: ${outcome}`);
    if (outcome !== 'opened') refused += 1;
  }
  assert.ok(refused > 3);
});

test('NaN in the weights of a GGUF file is named with its tensor, and nothing of the model stays', async () => {
  const bytes = Buffer.from(await readFile(tinyModel('qwen2.gguf')));
  const { tensors } = await readGgufHeader(tinyModel('qwen2.gguf'));
  bytes.writeUInt16LE(0x7e00, tensors.get('blk.1.ffn_down.weight')!.at + 10); // the sixth half
  const broken = await file(bytes, 'nan.gguf');
  await assert.rejects(async () => policy.use(await tinyWeights(broken)), {
    name: 'ModelFileInvalid',
    message: /nan\.gguf: tensor blk\.1\.ffn_down\.weight holds NaN at index 5/,
  });
  assert.equal(await tensorCount(), 0);
});

test('a GGUF file with a tensor that its architecture does not have is refused by its name', async () => {
  const bytes = Buffer.from(await readFile(tinyModel('qwen3.gguf')));
  const at = bytes.indexOf('blk.1.attn_q_norm.weight');
  bytes.write('blk.1.attn_q_xorm.weight', at);
  await assert.rejects(openModel(await file(bytes)), {
    name: 'ModelFileInvalid',
    message: /damaged\.gguf: (has tensor blk\.1\.attn_q_xorm\.weight|lacks tensor blk\.1\.attn_q_norm\.weight)/,
  });
});

test('weights that changed since the run was opened are refused, bit for bit, before the held model goes', async () => {
  const target = path.join(folder, 'changed');
  await cp(tinyModel('llama-tied'), target, { recursive: true });
  const weights = await tinyWeights(target);
  await policy.use(weights);
  const before = await scored();
  const tensors = await tensorCount();
  const data = await readFile(path.join(target, 'model.safetensors'));
  data[data.length - 4]! ^= 1; // the lowest bit of a weight: still a number
  await writeFile(path.join(target, 'model.safetensors'), data);
  const other: PolicyWeights = { ...weights, lora: { rank: 2, alpha: 2 } }; // makes it load again
  await assert.rejects(policy.use(other), {
    name: 'ModelFileInvalid',
    message: /changed: has sha256 [0-9a-f]{64}, the run was opened with [0-9a-f]{64}/,
  });
  assert.equal(await tensorCount(), tensors);
  await policy.use(weights);
  assert.deepEqual(await scored(), before);
});

test('an adapter of another model, of another rank, cut short or with NaN is refused by blob and tensor; theta stays what it was', async () => {
  const config = await configOfModel(tinyModel('qwen3-tied'));
  const own = await tinyAdapter(config).read();
  const changed = (change: (tensor: NamedTensor) => NamedTensor) =>
    writeSafetensors([...readSafetensors(own).tensors.values()].map(change));
  const nan = changed((tensor) =>
    tensor.name.includes('layers.1.mlp.up_proj.lora_B')
      ? { ...tensor, values: tensor.values.map((value, i) => (i === 7 ? NaN : value)) }
      : tensor,
  );
  const foreign = await tinyAdapter(await configOfModel(tinyModel('qwen2-tied'))).read();
  const cases: [Uint8Array, RegExp][] = [
    [
      foreign,
      /blob [0-9a-f]{64}: tensor base_model\.model\.model\.layers\.0\.self_attn\.q_proj\.lora_B\.weight is \[32, 4\], expected \[64, 4\]/,
    ],
    [nan, /blob [0-9a-f]{64}: tensor \S+layers\.1\.mlp\.up_proj\.lora_B\.weight holds NaN at index 7/],
    [own.subarray(0, own.length - 8), /safetensors of \d+ bytes: tensor \S+ does not fit its shape/],
    [
      changed((tensor) => ({ ...tensor, name: tensor.name.replace('layers.1', 'layers.9') })),
      /tensor \S+layers\.1\.self_attn\.q_proj\.lora_A\.weight is missing, expected \[4, 32\]/,
    ],
  ];
  await policy.use(await tinyWeights(tinyModel('qwen3-tied'), stored(own)));
  const before = await scored();
  const tensors = await tensorCount();
  for (const [bytes, message] of cases) {
    await assert.rejects(async () => policy.use(await tinyWeights(tinyModel('qwen3-tied'), stored(bytes))), {
      message,
    });
    assert.equal(await tensorCount(), tensors);
    assert.deepEqual(await scored(), before);
  }
});

test('a merged adapter or a group of trained weights that does not fit leaves nothing half-loaded', async () => {
  const foreign = stored(await tinyAdapter(await configOfModel(tinyModel('qwen2-tied'))).read());
  const weights = await tinyWeights(tinyModel('qwen3-tied'));
  await assert.rejects(policy.use({ ...weights, mergedAdapters: [foreign] }), /expected \[64, 4\]/);
  assert.equal(await tensorCount(), 0);
  const groups = { parts: async () => [foreign, foreign, foreign] };
  await assert.rejects(
    policy.use({ ...weights, full: { weights: groups, reference: true } }),
    /has 3 groups of weights, expected 4/,
  );
  const loaded = await tensorCount();
  await assert.rejects(
    policy.use({
      ...weights,
      full: { weights: { parts: async () => [foreign, foreign, foreign, foreign] }, reference: true },
    }),
    /blob [0-9a-f]{64}: tensor model\.embed_tokens\.weight is missing, expected \[128, 32\]/,
  );
  assert.equal(await tensorCount(), loaded);
});

test('ids outside the vocabulary and sequences over the context are refused with the numbers, and nothing stays', async () => {
  await policy.use(await tinyWeights(tinyModel('llama-tied')));
  await policy.useMoments(null, 0);
  const tensors = await tensorCount();
  const long = Array.from({ length: 300 }, () => 5);
  const step = (responseIds: number[]) =>
    policy.step([{ ...sequence, responseIds }], (_, rows) => rows.map((row) => row.map(() => 0)), {
      ...scoring,
      learningRate: 1,
      betas: [0, 0],
      epsilon: 1,
      weightDecay: 0,
      maxGradientNorm: null,
    });
  const cases: [() => Promise<unknown>, RegExp][] = [
    [
      () => policy.logProbs([{ ...sequence, promptIds: [5, 128] }], { ...scoring, weights: 'current' }),
      /token id 128 is outside the vocabulary of 128/,
    ],
    [
      () => policy.logProbs([{ ...sequence, promptIds: [-1] }], { ...scoring, weights: 'current' }),
      /token id -1 is outside/,
    ],
    [
      () =>
        policy.sample([{ prefixGroup: 'a', promptIds: [3, 1.5], randomKey: 'k' }], {
          temperature: 1,
          maxResponseTokens: 2,
        }),
      /token id 1\.5 is outside/,
    ],
    [() => step([128]), /token id 128 is outside/],
    [
      () =>
        policy.sample([{ prefixGroup: 'a', promptIds: long, randomKey: '7/0/t' }], {
          temperature: 1,
          maxResponseTokens: 2,
        }),
      /request 7\/0\/t: prompt of 300 tokens and response of up to 2 exceed the model's context of 256/,
    ],
    [
      () => policy.logProbs([sequence, { ...sequence, promptIds: long }], { ...scoring, weights: 'current' }),
      /sequence 1 of prefix group a: a prompt of 300 and a response of 16 tokens exceed the model's context of 256/,
    ],
    [() => step(long), /a prompt of 70 and a response of 300 tokens exceed/],
  ];
  for (const [call, message] of cases) await assert.rejects(call(), { name: 'RangeError', message });
  assert.equal(await tensorCount(), tensors);
});

test('tensors of types that are not read, pickled weights, pointers of Git LFS, adapters in place of models: each with what to do', async () => {
  const typed = (name: string, dtype: string, bytes: number): Uint8Array => {
    const header = Buffer.from(JSON.stringify({ [name]: { dtype, shape: [bytes], data_offsets: [0, bytes] } }));
    const lead = Buffer.alloc(8);
    lead.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([lead, header, Buffer.alloc(bytes)]);
  };
  const directory = async (
    files: Record<string, Uint8Array | string | null>,
    source = 'llama-tied',
  ): Promise<string> => {
    const target = await mkdtemp(path.join(folder, 'model-'));
    await cp(tinyModel(source), target, { recursive: true });
    for (const [name, content] of Object.entries(files))
      await (content === null ? rm(path.join(target, name)) : writeFile(path.join(target, name), content));
    return target;
  };
  const weights = (bytes: Uint8Array | string) => directory({ 'model.safetensors': bytes });
  const q = 'model.layers.0.self_attn.q_proj';
  const cases: [string, RegExp][] = [
    [
      await weights(typed(`${q}.weight`, 'F8_E4M3', 8)),
      /q_proj\.weight is F8_E4M3, known are F32, F16, BF16\. The model is quantised to FP8: use the same model in bf16/,
    ],
    [await weights(typed(`${q}.qweight`, 'I32', 8)), /qweight is I32.*whole numbers \(I32; GPTQ, AWQ, bitsandbytes/],
    [await weights(typed(`${q}.weight`, 'U8', 8)), /weight is U8.*whole numbers/],
    [await weights(typed(`${q}.weight`, 'F64', 8)), /is F64.*transformers in float32, and call save_pretrained/],
    [
      await weights('version https://git-lfs.github.com/spec/v1\noid sha256:0\n'),
      /model\.safetensors: is a pointer of Git LFS.*git lfs pull/,
    ],
    [
      await directory({ 'model.safetensors': null, 'pytorch_model.bin': 'x' }),
      /has neither model\.safetensors nor model\.safetensors\.index\.json.*pickled weights are not read/,
    ],
    [
      await directory({ 'config.json': null, 'adapter_config.json': '{}' }),
      /is a PEFT adapter, not a model\. Name the model.*--adapter/,
    ],
    [await directory({ 'config.json': '{"rms_norm_eps": NaN}' }), /config\.json: is no JSON \(.*NaN/],
    [await directory({ 'config.json': '[]' }), /config\.json: is no JSON object/],
    [
      await directory({ 'model-00003-of-00003.safetensors': null }, 'qwen3-untied'),
      /model-00003-of-00003\.safetensors: does not exist/,
    ],
  ];
  for (const [model, message] of cases) await assert.rejects(openModel(model), { name: 'ModelFileInvalid', message });
});
