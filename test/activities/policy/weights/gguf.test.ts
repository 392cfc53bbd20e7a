import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { modelFingerprint } from '../../../../activities/policy/model-files.js';
import { loadTextCodec } from '../../../../activities/policy/text-codec.js';
import { TensorFlowPolicy } from '../../../../activities/policy/tf-policy.js';
import { configOf } from '../../../../activities/policy/weights/gguf-config.js';
import { readGgufHeader } from '../../../../activities/policy/weights/gguf-header.js';
import { writeMergedModel } from '../../../../activities/policy/weights/merged-model.js';
import { openModel } from '../../../../activities/policy/weights/open-model.js';
import { identifyModelFile } from '../../../../activities/run/model-file.js';
import type { Message } from '../../../../schemas/environment-protocol.js';
import { root } from '../../../support/root.js';
import { tiny, tinyModel, tinyWeights } from '../tiny-models.js';

/** Files of llama.cpp's tools; oracle: the gguf package's weights in transformers (fixtures/make_gguf_cases.py). */
const cases = path.join(root, 'test/activities/policy/fixtures/gguf');
const { 'bos-template.gguf': rendered, ...right } = JSON.parse(
  readFileSync(path.join(cases, 'right.json'), 'utf8'),
) as Record<string, unknown>;
const bos = rendered as { messages: Message[]; text: string; ids: number[] };
const [PART_1, PART_2] = ['model-00001-of-00002.gguf', 'model-00002-of-00002.gguf'];

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-gguf-'));
});
after(() => rm(folder, { recursive: true }));

for (const [name, logProbs] of Object.entries(right as Record<string, number[]>)) {
  test(`${name}: log-probs are those of transformers on the weights that the gguf package reads`, async () => {
    const policy = new TensorFlowPolicy();
    await policy.use(await tinyWeights(path.join(cases, name)));
    const sequence = { prefixGroup: 'a', promptIds: tiny.ids.slice(0, 1), responseIds: tiny.ids.slice(1) };
    const [ours] = await policy.logProbs([sequence], { temperature: 1, microBatchTokens: 1024, weights: 'reference' });
    logProbs.forEach((value, i) =>
      assert.ok(Math.abs(value - ours![i]!) < 1e-4, `token ${i}: ${ours![i]}, transformers ${value}`),
    );
  });
}

test('a template that begins with bos_token begins with the token that the file names, as transformers renders it', async () => {
  const codec = await loadTextCodec(path.join(cases, 'bos-template.gguf'));
  const text = codec.render(bos.messages, { generationPrompt: true });
  assert.equal(text, bos.text);
  assert.deepEqual(codec.encode(text), bos.ids);
  const merged = path.join(folder, 'merged');
  await writeMergedModel(path.join(cases, 'bos-template.gguf'), { lora: { rank: 1, alpha: 1 }, tensors: [] }, merged);
  assert.equal((await loadTextCodec(merged)).render(bos.messages, { generationPrompt: true }), bos.text);
});

test('text for a file with a tokenizer that is not known is refused with its name and what to do', async () => {
  const named = (pre: string) =>
    damaged(
      (bytes) => void bytes.write(pre, bytes.indexOf('llama-bpe')),
      path.join(cases, 'llama3-bpe-tokenizer.gguf'),
    );
  await assert.rejects(loadTextCodec(await named('falcon-h1')), {
    name: 'ModelFileInvalid',
    message:
      /has tokenizer gpt2\/falcon-h1, known are gpt2\/smollm, gpt2\/qwen2, gpt2\/llama-bpe.*Only ids of such a file are scored.*tokenizer\.json/,
  });
  await assert.rejects(loadTextCodec(await damaged((bytes) => void bytes.write('llam', bytes.indexOf('gpt2')))), {
    message: /has tokenizer llam\/qwen2/,
  });
});

// -- parts ----------------------------------------------------------------------------------------

/** A copy of the split model; a change of each part's bytes, or null for a part that is missing. */
async function split(change: (part: 1 | 2, bytes: Buffer) => Buffer | null, names = [PART_1, PART_2]): Promise<string> {
  const target = await mkdtemp(path.join(folder, 'split-'));
  for (const part of [1, 2] as const) {
    const bytes = change(part, await readFile(path.join(cases, [PART_1, PART_2][part - 1]!)));
    if (bytes) await writeFile(path.join(target, names[part - 1]!), bytes);
  }
  return path.join(target, names[0]!);
}
/** Another value of a key: its bytes lie after the key's name and the number of its type. */
const withValue = (bytes: Buffer, key: string, write: (bytes: Buffer, at: number) => void): Buffer => {
  const copy = Buffer.from(bytes);
  write(copy, copy.indexOf(key) + key.length + 4);
  return copy;
};

test('the fingerprint of a split model covers all its parts, and is the same wherever they lie', async () => {
  const whole = await modelFingerprint(path.join(cases, PART_1));
  assert.deepEqual(await modelFingerprint(await split((_, bytes) => bytes)), whole);
  assert.equal(whole.bytes, 73_664 + 40_608);
  const moved = await split((part, bytes) =>
    part === 2 ? withValue(bytes, 'general.architecture', (b) => void (b[b.length - 1]! ^= 1)) : bytes,
  );
  assert.notEqual((await modelFingerprint(moved)).sha256, whole.sha256);
});

test('a part that is missing, a later part, parts that do not fit together and a part under another name are refused by name', async () => {
  const changed = (key: string, value: number) =>
    split((part, bytes) => (part === 2 ? withValue(bytes, key, (b, at) => b.writeUInt16LE(value, at)) : bytes));
  const other = await readFile(tinyModel('llama.gguf'));
  const refused: [string, RegExp][] = [
    [
      await split((part, bytes) => (part === 1 ? bytes : null)),
      /model-00002-of-00002\.gguf: does not exist: it is part 2 of 2 of the model\. Put all parts/,
    ],
    [
      path.join(cases, PART_2),
      /model-00002-of-00002\.gguf: is part 2 of 2 of a split model\. Name its first part, model-00001-of-00002\.gguf/,
    ],
    [
      await split((_, bytes) => bytes, ['a.gguf', 'b.gguf']),
      /a\.gguf: is part 1 of 2 of a split model \(split\.count\), but its name does not say so\. .*NAME-00001-of-00002\.gguf/,
    ],
    [
      await split((_, bytes) => bytes, ['m-00001-of-00003.gguf', 'm-00002-of-00003.gguf']),
      /m-00003-of-00003\.gguf: does not exist: it is part 3 of 3/,
    ],
    [
      await changed('split.no', 0),
      /00002-of-00002\.gguf: says that it is part 1 of 2 \(split\.no, split\.count\), its name says 2 of 2/,
    ],
    [await changed('split.count', 3), /00002-of-00002\.gguf: says that it is part 2 of 3/],
    [
      await changed('qwen2.block_count', 5),
      /00002-of-00002\.gguf: has qwen2\.block_count = 5, the first part 2: they are of different models/,
    ],
    [await split((part, bytes) => (part === 2 ? other : bytes)), /00002-of-00002\.gguf: says that it is part 1 of 1/],
    [
      await split((part, bytes) => (part === 2 ? bytes.subarray(0, bytes.length - 40) : bytes)),
      /00002-of-00002\.gguf: tensor \S+ ends at byte \d+, the file at \d+: it is cut short/,
    ],
    [
      await split((_, bytes) => withValue(bytes, 'split.tensors.count', (b, at) => b.writeInt32LE(28, at))),
      /says that the parts have 28 tensors \(split\.tensors\.count\), they have 27/,
    ],
  ];
  for (const [file, message] of refused) await assert.rejects(openModel(file), { name: 'ModelFileInvalid', message });
  const lone = await split((part, bytes) => (part === 1 ? bytes : null));
  await assert.rejects(modelFingerprint(lone), {
    name: 'ModelFileInvalid',
    message: /00002-of-00002\.gguf: does not exist: it is part 2 of 2/,
  });
  await assert.rejects(identifyModelFile(cases, PART_2), {
    name: 'ModelFileInvalid',
    message: /^model file .*model-00002-of-00002\.gguf: .*Name its first part/,
  });
});

// -- what is refused ------------------------------------------------------------------------------

async function damaged(change: (bytes: Buffer) => Buffer | void, source = tinyModel('qwen3.gguf')): Promise<string> {
  const bytes = await readFile(source);
  const target = path.join(await mkdtemp(path.join(folder, 'file-')), 'model.gguf');
  await writeFile(target, change(bytes) ?? bytes);
  return target;
}

test('a type that is not read is told by its name with those that are, never by its number', async () => {
  const { tensors } = await readGgufHeader(tinyModel('qwen3.gguf'));
  const name = 'blk.1.ffn_down.weight';
  const typeAt = (bytes: Buffer): number => bytes.indexOf(name) + name.length + 4 + 8 * tensors.get(name)!.shape.length;
  for (const [type, called] of [
    [22, 'IQ2_S'],
    [16, 'IQ2_XXS'],
    [40, 'NVFP4'],
    [28, 'F64'],
    [31, 'Q4_0_4_4'],
    [200, 'type 200'],
  ] as const) {
    const file = await damaged((bytes) => void bytes.writeUInt32LE(type, typeAt(bytes)));
    await assert.rejects(openModel(file), {
      name: 'ModelFileInvalid',
      message: new RegExp(
        `tensor blk\\.1\\.ffn_down\\.weight is stored as ${called}, which is not read here; known are F32, F16, Q4_0, .*IQ4_NL.*Hugging Face directory`,
      ),
    });
  }
});

test('a file of another version, byte order or kind, a pointer of Git LFS and tensors out of place are refused with what they are', async () => {
  const text = (words: string) => damaged(() => Buffer.from(words));
  const refused: [string, RegExp][] = [
    [
      await damaged((bytes) => void bytes.writeUInt32LE(4, 4)),
      /unsupported version "4".*GGUF versions up to 3 are read/,
    ],
    [await bigEndian(), /is written for big-endian machines\. Convert it/],
    [
      await text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n'),
      /is a pointer of Git LFS.*git lfs pull/,
    ],
    [await text('<!DOCTYPE html><html>'), /is not a readable GGUF file \(.*magic/],
    [
      await damaged(
        (bytes) =>
          void bytes.writeBigUInt64LE(
            32n,
            bytes.indexOf('blk.0.attn_k.weight') + 'blk.0.attn_k.weight'.length + 4 + 16 + 4,
          ),
      ),
      /tensor blk\.0\.attn_k\.weight has offset 32, expected \d+: it is damaged/,
    ],
  ];
  for (const [file, message] of refused) await assert.rejects(openModel(file), { name: 'ModelFileInvalid', message });
});

/** A header in the other byte order: no metadata, no tensors. */
async function bigEndian(): Promise<string> {
  const bytes = Buffer.alloc(64);
  bytes.write('GGUF');
  bytes.writeUInt32BE(3, 4);
  const file = path.join(folder, 'big.gguf');
  await writeFile(file, bytes);
  return file;
}

test('metadata that would change the numbers, or that says none, is refused by its key; what is neutral passes', async () => {
  const { metadata, tensors, config } = await readGgufHeader(tinyModel('qwen3.gguf'));
  const of = (change: Record<string, unknown>) => configOf('m.gguf', { ...metadata, ...change }, tensors);
  const refused: [Record<string, unknown>, RegExp][] = [
    [
      { 'qwen3.rope.scaling.attn_factor': 0.8782 },
      /has qwen3\.rope\.scaling\.attn_factor = 0\.8782.*Frameworks disagree.*"attention_factor"/,
    ],
    [{ 'qwen3.rope.scaling.yarn_attn_factor': 0.5 }, /yarn_attn_factor = 0\.5.*Frameworks disagree/],
    [{ 'qwen3.rope.scaling.yarn_beta_fast': 16 }, /yarn_beta_fast = 16/],
    [{ 'qwen3.rope.scaling.type': 'longrope' }, /RoPE scaling "longrope"/],
    [{ 'qwen3.rope.scaling.factor': 0 }, /scaling\.factor = 0, expected a number above 0/],
    [{ 'qwen3.attention.causal': false }, /attention\.causal = false/],
    [{ 'qwen3.attention.sliding_window': 128 }, /attention\.sliding_window = 128/],
    [{ 'qwen3.final_logit_softcapping': 30 }, /final_logit_softcapping = 30/],
    [{ 'qwen3.attention.head_count': [4, 4] }, /has qwen3\.attention\.head_count layer by layer \(4, 4, \.\.\.\)/],
    [{ 'qwen3.block_count': 'two' }, /block_count = "two", expected a number/],
    [{ 'qwen3.block_count': 0 }, /block_count = 0, expected a whole number from 1/],
    [{ 'qwen3.attention.layer_norm_rms_epsilon': NaN }, /layer_norm_rms_epsilon = NaN, expected a number/],
    [{ 'qwen3.attention.head_count_kv': 3 }, /4 heads, no multiple of its 3/],
    [{ 'qwen3.rope.freq_base': 0 }, /rope\.freq_base = 0, expected a number above 0/],
    [
      { 'qwen3.attention.layer_norm_rms_epsilon': -1e-6 },
      /layer_norm_rms_epsilon = -0\.000001, expected a number above 0/,
    ],
    [{ 'general.type': 'adapter' }, /is an adapter, not a model/],
    [{ 'general.architecture': 'qwen3moe' }, /architecture "qwen3moe", known are llama, qwen2, qwen3/],
  ];
  for (const [change, message] of refused) assert.throws(() => of(change), { name: 'ModelFileInvalid', message });
  const neutral = {
    'qwen3.rope.scaling.attn_factor': 1,
    'qwen3.rope.scaling.yarn_beta_slow': 1,
    'qwen3.attention.causal': true,
    'qwen3.expert_count': 0,
  };
  assert.deepEqual(of(neutral), config);
});

test('RoPE scaling beside a table of divisors is refused: llama.cpp applies both; without a type a factor is linear, as llama.cpp reads it', async () => {
  const { metadata, tensors } = await readGgufHeader(path.join(cases, 'llama3-bpe-tokenizer.gguf'));
  assert.ok(tensors.has('rope_freqs.weight'));
  const without = new Map([...tensors].filter(([name]) => name !== 'rope_freqs.weight'));
  const of = (change: Record<string, unknown>, divisors = false) =>
    configOf('m.gguf', { ...metadata, ...change }, divisors ? tensors : without);
  for (const type of ['linear', 'yarn']) {
    assert.throws(() => of({ 'llama.rope.scaling.type': type, 'llama.rope.scaling.factor': 4 }, true), {
      message: new RegExp(`has RoPE scaling ${type} and tensor rope_freqs\\.weight besides`),
    });
  }
  assert.equal(of({ 'llama.rope.scaling.type': 'none' }, true).ropeScaling, null);
  assert.equal(of({ 'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 1 }, true).ropeScaling, null);
  assert.deepEqual(of({ 'llama.rope.scaling.factor': 4 }).ropeScaling, { type: 'linear', factor: 4 });
});

test('the context under YaRN is what the file states, or factor x original where that is more', async () => {
  const { metadata, tensors } = await readGgufHeader(tinyModel('qwen2.gguf')); // yarn, factor 4, original 64, states 256
  const context = (stated: number, original?: number) =>
    configOf(
      'm.gguf',
      { ...metadata, 'qwen2.context_length': stated, 'qwen2.rope.scaling.original_context_length': original },
      tensors,
    ).contextLength;
  assert.equal(context(64, 64), 256);
  assert.equal(context(1000, 64), 1000);
  assert.equal(context(64), 256); // the original is the stated one where nothing says it
});

test("a copy of a whole model under a part's name of one is that model", async () => {
  const file = path.join(folder, 'model-00001-of-00001.gguf');
  await cp(tinyModel('llama.gguf'), file);
  assert.deepEqual(await modelFingerprint(file), await modelFingerprint(tinyModel('llama.gguf')));
  await (await openModel(file)).close();
});
