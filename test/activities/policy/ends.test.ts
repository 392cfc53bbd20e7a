import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { endTokensOf, type NamedToken } from '../../../activities/policy/end-tokens.js';
import { endsOfGguf } from '../../../activities/policy/ends-of-gguf.js';
import { modelFingerprint } from '../../../activities/policy/model-files.js';
import { startPolicy } from '../../../activities/policy/policy-thread.js';
import type { Policy, TextCodec } from '../../../activities/policy/policy.js';
import { replicatedPolicy } from '../../../activities/policy/replicated-policy.js';
import { endIdsOf, loadTextCodec } from '../../../activities/policy/text-codec.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { writeMergedModel } from '../../../activities/policy/weights/merged-model.js';
import { exchangeOf } from '../../../activities/rollout/prompt.js';
import { writeOneWordModel } from '../../support/one-word-model.js';
import { writeTinyChatModel } from '../../../scripts/chaos/tiny-chat-model.js';
import { modelFile } from './smollm2.js';
import { root } from '../../support/root.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-ends-'));
});
after(() => rm(folder, { recursive: true }));

/** Oracle: transformers' generate on models that say one token for ever (fixtures/make_ends.py). */
const stopped = JSON.parse(readFileSync(path.join(root, 'test/activities/policy/fixtures/ends.json'), 'utf8')) as [
  string,
  unknown,
  unknown,
  number[],
][];
const SAID = [2, 3, 4, 5, 7];

async function directoryOf(family: string, config: unknown, generation: unknown, says: number): Promise<string> {
  const directory = await mkdtemp(path.join(folder, 'model-'));
  await writeOneWordModel(directory, family, 16, says, config === 'absent' ? {} : { eos_token_id: config });
  if (generation !== 'no file')
    await writeFile(
      path.join(directory, 'generation_config.json'),
      JSON.stringify(generation === 'absent' ? {} : { eos_token_id: generation }),
    );
  return directory;
}

test('a model without a tokenizer ends where transformers does; where generation_config.json names no end, config.json does', async () => {
  for (const [family, config, generation, stops] of stopped) {
    const ends = await endIdsOf(await directoryOf(family, config, generation, 5));
    const named = [generation].flat().some((id) => typeof id === 'number');
    // transformers never stops by such a file; vLLM and this project's commands ask further.
    const wanted = named || generation === 'no file' ? stops : SAID.filter((id) => [config].flat().includes(id));
    assert.deepEqual(
      SAID.filter((id) => ends.has(id)),
      wanted,
      JSON.stringify({ family, config, generation }),
    );
  }
});

test('each token of the list ends a response after one token: in the process, over replicas, in a thread; log-prob and id are of the token drawn', async () => {
  const thread = await startPolicy('fp32', 1);
  try {
    const policies: Policy[] = [
      new TensorFlowPolicy(),
      replicatedPolicy([new TensorFlowPolicy(), new TensorFlowPolicy()]),
      thread,
    ];
    for (const [says, wanted] of [
      [5, 1],
      [7, 1],
      [3, 4],
    ] as const) {
      const model = await directoryOf('llama', 3, [5, 6, 7], says);
      for (const policy of policies) {
        await policy.use({
          model: { path: model, sha256: (await modelFingerprint(model)).sha256 },
          lora: { rank: 1, alpha: 1 },
          mergedAdapters: [],
          adapter: null,
        });
        const responses = await policy.sample(
          ['a', 'b'].map((row) => ({ prefixGroup: row, promptIds: [1, 1], randomKey: row })),
          { temperature: 0.1, maxResponseTokens: 4 },
        );
        assert.deepEqual(
          responses.map(({ ids, end }) => [ids, end]),
          Array.from({ length: 2 }, () => [Array(wanted).fill(says), wanted === 1 ? 'end-of-turn' : 'token-limit']),
        );
        const [again] = await policy.logProbs(
          [{ prefixGroup: 'a', promptIds: [1, 1], responseIds: responses[0]!.ids }],
          {
            temperature: 0.1,
            microBatchTokens: 64,
            weights: 'current',
          },
        );
        again!.forEach((value, i) => assert.ok(Math.abs(value - responses[0]!.logProbs[i]!) < 1e-5));
      }
    }
  } finally {
    await thread.close();
  }
});

test('an eos_token_id that is no token of the model is refused with the file, the value and what is expected', async () => {
  const cases: [unknown, RegExp][] = [
    [
      '<|im_end|>',
      /generation_config\.json: has eos_token_id = "<\|im_end\|>", expected a token id or a list of them\. Write the id/,
    ],
    [true, /has eos_token_id = true, expected a token id/],
    [[2, '<|im_end|>'], /has eos_token_id = \[2,"<\|im_end\|>"\], expected a token id/],
    [[2, [3]], /has eos_token_id = \[2,\[3\]\], expected a token id/],
    [{ id: 2 }, /has eos_token_id = \{"id":2\}, expected a token id/],
    [16, /has eos_token_id 16, but the model's vocabulary has 16 tokens, 0 to 15/],
    [[2, 128009], /has eos_token_id 128009, but the model's vocabulary has 16 tokens/],
    [-1, /has eos_token_id -1, but/],
    [2.5, /has eos_token_id 2\.5, but/],
  ];
  for (const [generation, message] of cases) {
    await assert.rejects(endIdsOf(await directoryOf('llama', 'absent', generation, 5)), {
      name: 'ModelFileInvalid',
      message,
    });
    await assert.rejects(endIdsOf(await directoryOf('llama', generation, 'no file', 5)), {
      name: 'ModelFileInvalid',
      message: new RegExp(message.source.replace('generation_', '')),
    });
  }
});

/** The tiny chat model's tokenizer with special tokens of a family, ids 0 to 2 and 127. */
async function chatModel(options: {
  special?: string[];
  eos?: unknown;
  generation?: unknown;
  config?: unknown;
  template?: string;
  ordinary?: string[];
}): Promise<string> {
  const parent = await mkdtemp(path.join(folder, 'chat-'));
  const directory = path.join(parent, await writeTinyChatModel(parent));
  const change = async (name: string, by: (json: Record<string, unknown>) => Record<string, unknown>) =>
    writeFile(
      path.join(directory, name),
      JSON.stringify(by(JSON.parse(await readFile(path.join(directory, name), 'utf8')) as Record<string, unknown>)),
    );
  const { special = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'], ordinary = [] } = options;
  await change('tokenizer.json', (json) => {
    const model = json['model'] as { vocab: Record<string, number> };
    const tokens = Object.entries(model.vocab)
      .sort((a, b) => a[1] - b[1])
      .map(([token]) => token);
    special.forEach((content, n) => (tokens[n === 3 ? 127 : n] = content));
    const added = special.map((content, n) => ({
      id: n === 3 ? 127 : n,
      content,
      special: !ordinary.includes(content),
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    }));
    return {
      ...json,
      added_tokens: added,
      model: { ...model, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) },
    };
  });
  await change('tokenizer_config.json', (json) => ({
    ...json,
    eos_token: options.eos ?? null,
    ...(options.template !== undefined && { chat_template: options.template }),
  }));
  await change('config.json', ({ eos_token_id: _, ...json }) => ({
    ...json,
    ...('config' in options && { eos_token_id: options.config }),
  }));
  if ('generation' in options)
    await writeFile(
      path.join(directory, 'generation_config.json'),
      JSON.stringify({ eos_token_id: options.generation }),
    );
  else await rm(path.join(directory, 'generation_config.json'));
  return directory;
}
const endsOf = ({ endOfTurn, ends, endRemark }: TextCodec) => ({
  closes: endOfTurn.text,
  ends: [...ends].sort(([a], [b]) => a - b),
  endRemark,
});

const LLAMA = ['<|end_of_text|>', '<|start_header_id|>', '<|eot_id|>', '<|eom_id|>'];
const llamaTemplate =
  "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '\n' + m.content + '<|eot_id|>' }}{% endfor %}";

test('Llama 3: the list of generation_config.json, or of config.json alone, ends responses; the template closes turns', async () => {
  const right = {
    closes: '<|eot_id|>',
    ends: [
      [0, '<|end_of_text|>'],
      [2, '<|eot_id|>'],
      [127, '<|eom_id|>'],
    ],
    endRemark: null,
  };
  const model = { special: LLAMA, template: llamaTemplate, eos: '<|end_of_text|>' };
  assert.deepEqual(endsOf(await loadTextCodec(await chatModel({ ...model, generation: [0, 127, 2] }))), right);
  assert.deepEqual(endsOf(await loadTextCodec(await chatModel({ ...model, config: [0, 127, 2] }))), right);
  assert.deepEqual(
    endsOf(await loadTextCodec(await chatModel({ ...model, generation: null, config: [0, 127, 2] }))),
    right,
  );
  assert.deepEqual(
    endsOf(await loadTextCodec(await chatModel({ ...model, eos: { content: '<|eot_id|>' }, generation: [0, 127] }))),
    right,
  );
  const one = await loadTextCodec(await chatModel({ ...model, eos: '<|eot_id|>', generation: [127], config: 0 }));
  assert.deepEqual(endsOf(one), {
    closes: '<|eot_id|>',
    ends: [
      [2, '<|eot_id|>'],
      [127, '<|eom_id|>'],
    ],
    endRemark: null,
  });
});

test('a base model with a chat template: the control token that the template writes closes turns and ends responses, and that is said', async () => {
  for (const [what, setting] of [
    ['a number', { generation: 0 }],
    ['a list of one', { generation: [0] }],
    ['null', { generation: null }],
    ['no file', {}],
  ] as const) {
    const codec = await loadTextCodec(await chatModel({ eos: '<|endoftext|>', ...setting }));
    assert.deepEqual(
      { ...endsOf(codec), endRemark: '' },
      {
        closes: '<|im_end|>',
        ends: [
          [0, '<|endoftext|>'],
          [2, '<|im_end|>'],
        ],
        endRemark: '',
      },
      what,
    );
    assert.match(
      codec.endRemark!,
      /closes answers with <\|im_end\|> \(token 2\), which no file of the model names as an end \(named: <\|endoftext\|>\)/,
    );
  }
});

test('a base model plays turns: whichever end it drew stays, and the turn is closed as the template closes it', async () => {
  const codec = await loadTextCodec(await chatModel({ eos: '<|endoftext|>', generation: 0 }));
  const [ask, more] = ['a', 'b'].map((content) => ({ role: 'user' as const, content }));
  const next = (end: number) =>
    exchangeOf(codec, [ask!], { responseIds: [...codec.encode('ok'), end], responseEnd: 'end-of-turn' }, [more!]);
  for (const [end, shown] of [
    [2, 'ok<|im_end|>'],
    [0, 'ok<|endoftext|><|im_end|>'],
  ] as const) {
    const { responseIds, appendedIds } = next(end);
    assert.equal(
      codec.decode([...responseIds, ...appendedIds]),
      `${shown}\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n`,
    );
    assert.equal(responseIds.at(-1), end);
  }
});

test('ids are scored, and no more, where the tokenizer or the ends of a model cannot be read', async () => {
  const model = await directoryOf('llama', 'absent', '<|im_end|>', 5);
  const policy = new TensorFlowPolicy();
  await policy.use({
    model: { path: model, sha256: (await modelFingerprint(model)).sha256 },
    lora: { rank: 1, alpha: 1 },
    mergedAdapters: [],
    adapter: null,
  });
  const [scored] = await policy.logProbs([{ prefixGroup: 'a', promptIds: [1], responseIds: [5] }], {
    temperature: 1,
    microBatchTokens: 64,
    weights: 'current',
  });
  assert.ok(scored![0]! > -1e-3, 'the model says token 5 for ever');
  await assert.rejects(
    policy.sample([{ prefixGroup: 'a', promptIds: [1], randomKey: 'x' }], { temperature: 1, maxResponseTokens: 4 }),
    { name: 'ModelFileInvalid', message: /eos_token_id = "<\|im_end\|>"/ },
  );
});

test('what a template writes after an answer is an end only if it is a control token, or named: text, and tokens that are text, are not', async () => {
  const closedBy = (end: string, more: object = {}) =>
    chatModel({
      eos: '<|endoftext|>',
      generation: 0,
      template: `{% for m in messages %}{{ '<|im_start|>' + m.content + '${end}' }}{% endfor %}`,
      ...more,
    }).then(loadTextCodec);
  assert.equal((await closedBy('\\n')).endOfTurn.text, '<|endoftext|>');
  assert.equal((await closedBy('<|im_end|>', { ordinary: ['<|im_end|>'] })).endOfTurn.text, '<|endoftext|>');
  // As Llama 2 writes its end; and a conversation's end after the turn's.
  assert.equal((await closedBy(' <|endoftext|>')).endOfTurn.text, '<|endoftext|>');
  assert.equal((await closedBy('<|im_end|>\\n<|endoftext|>')).endOfTurn.text, '<|im_end|>');
  assert.equal((await closedBy('ok<|im_end|>')).endOfTurn.text, '<|endoftext|>');
  // Templates that raise: without a system message, and always.
  const raising =
    "{% if messages[0].role != 'system' %}{{ raise_exception('no system message') }}{% endif %}{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}";
  assert.equal((await closedBy('', { template: raising })).endOfTurn.text, '<|im_end|>');
  assert.equal((await closedBy('', { template: "{{ raise_exception('never') }}" })).endOfTurn.text, '<|endoftext|>');
  assert.equal((await closedBy('', { template: 'nothing of it' })).endOfTurn.text, '<|endoftext|>');
});

test('an eos_token that only special_tokens_map.json names, as older versions of transformers saved it, ends responses', async () => {
  const model = await chatModel({});
  await writeFile(
    path.join(model, 'special_tokens_map.json'),
    JSON.stringify({ eos_token: { content: '<|endoftext|>' } }),
  );
  assert.deepEqual([...(await loadTextCodec(model)).ends.keys()], [2, 0]);
});

test('a tokenizer whose eos_token is no row of the model, or that has none at all, is refused', async () => {
  const model = await chatModel({ eos: '<|far|>', generation: 0 });
  const json = JSON.parse(await readFile(path.join(model, 'tokenizer.json'), 'utf8')) as { added_tokens: object[] };
  json.added_tokens.push({ ...json.added_tokens[0], id: 128, content: '<|far|>' });
  await writeFile(path.join(model, 'tokenizer.json'), JSON.stringify(json));
  await assert.rejects(loadTextCodec(model), {
    name: 'ModelFileInvalid',
    message:
      /tokenizer_config\.json: has eos_token <\|far\|>, which is token 128, but the model's vocabulary has 128 tokens/,
  });
  await assert.rejects(loadTextCodec(await chatModel({ template: '{{ messages[0].content }}' })), {
    name: 'ModelFileInvalid',
    message: /names no eos_token that the tokenizer knows/,
  });
});

test('generate: the answer of a model that says <|endoftext|> is one token, not shown; --json says which token ended it', async () => {
  const model = await chatModel({ eos: '<|im_end|>', generation: [2, 0] });
  await writeOneWordModel(model, 'llama', 128, 0);
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      path.join(root, 'dist/scripts/generate.js'),
      '--model',
      model,
      '--messages',
      '-',
      '--json',
      '--max-tokens',
      '8',
      '--temperature',
      '0',
    ],
    { input: '[{"role":"user","content":"hi"}]', encoding: 'utf8', cwd: root },
  );
  const { text, ids, end, ended_by } = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual(
    { text, ids, end, ended_by },
    { text: '', ids: [0], end: 'end-of-turn', ended_by: '<|endoftext|>' },
    stderr,
  );
});

test('a merged model names the end that only its chat template said, so that who reads it stops there; others keep their file', async () => {
  const merged = async (model: string) => {
    await writeOneWordModel(model, 'llama', 128, 0, { eos_token_id: 0 });
    const out = await mkdtemp(path.join(folder, 'merged-'));
    const written = await writeMergedModel(model, { lora: { rank: 1, alpha: 1 }, tensors: [] }, out);
    return {
      written,
      generation: await readFile(path.join(out, 'generation_config.json'), 'utf8').catch(() => null),
      codec: await loadTextCodec(out),
    };
  };
  const base = await merged(await chatModel({ eos: '<|endoftext|>' }));
  assert.deepEqual(JSON.parse(base.generation!), { eos_token_id: [2, 0] });
  assert.ok(base.written.includes('generation_config.json'));
  assert.equal(base.codec.endRemark, null);
  const instruct = await merged(await chatModel({ eos: '<|im_end|>', generation: [2, 0] }));
  assert.equal(instruct.generation, JSON.stringify({ eos_token_id: [2, 0] }));
});

/** What of these tokens ends a generation by a GGUF file, by text. */
function ggufEnds(tokens: string[], ids: Record<string, unknown> = {}): string[] {
  return endsOfGguf(
    'm.gguf',
    Object.fromEntries(Object.entries(ids).map(([key, id]) => [`tokenizer.ggml.${key}_token_id`, id])),
    tokens,
    tokens.length,
  )
    .map(({ text }) => text)
    .sort();
}

test('GGUF: ends are the ids of eos, eot and eom, and the texts that llama.cpp ends at', () => {
  assert.deepEqual(ggufEnds(['a', '<|end_of_text|>', '<|eot_id|>', '<|eom_id|>'], { eos: 2 }), [
    '<|end_of_text|>',
    '<|eom_id|>',
    '<|eot_id|>',
  ]);
  assert.deepEqual(ggufEnds(['a', 'X', 'Y', 'Z'], { eos: 1, eot: 2, eom: 3n }), ['X', 'Y', 'Z']);
  assert.deepEqual(ggufEnds(['<pad>', '<eos>', '<bos>', '<start_of_turn>', '<end_of_turn>'], { eos: 1 }), [
    '<end_of_turn>',
    '<eos>',
  ]);
  assert.deepEqual(ggufEnds(['<\uff5cend\u2581of\u2581sentence\uff5c>', '<\uff5cUser\uff5c>']), [
    '<\uff5cend\u2581of\u2581sentence\uff5c>',
  ]);
  assert.deepEqual(ggufEnds(['[EOS]', '[EOT]', '[BOS]', '[e~[', '<|im_user|>']), ['[EOS]', '[EOT]', '[e~[']);
  assert.deepEqual(ggufEnds(['a', 'b']), []);
  // Marks of fill-in-the-middle: by id, else by text; an id beyond the vocabulary is none.
  assert.deepEqual(ggufEnds(['<|fim_pad|>', '<|repo_name|>', '<|file_sep|>', '<|fim_prefix|>', 'x'], { eos: 4 }), [
    '<|file_sep|>',
    '<|fim_pad|>',
    '<|repo_name|>',
    'x',
  ]);
  assert.deepEqual(ggufEnds(['<|fim_pad|>', 'x', 'y'], { eos: 2, fim_pad: 1, fim_sep: 4294967295 }), ['x', 'y']);
  // Formats where one of the texts means something else.
  assert.deepEqual(ggufEnds(['<|start|>', '<|end|>', '<|return|>', '<|call|>']), ['<|call|>', '<|return|>']);
  assert.deepEqual(ggufEnds(['<|end|>', '<|flush|>', '<|calls|>']), ['<|calls|>', '<|flush|>']);
  assert.deepEqual(ggufEnds(['<|end|>', '<|assistant|>', '<|call|>']), ['<|call|>', '<|end|>']);
  assert.deepEqual(ggufEnds(['</s>', '<turn|>', '<|tool_response>']), ['<turn|>', '<|tool_response>']);
});

test('GGUF: an id that is none of the vocabulary, or no number, is refused by its key', () => {
  const invalid = (message: RegExp) => ({ name: 'ModelFileInvalid', message });
  assert.throws(
    () => ggufEnds(['a', 'b'], { eos: 2 }),
    invalid(/m\.gguf: has tokenizer\.ggml\.eos_token_id 2, but the model's vocabulary has 2 tokens, 0 to 1/),
  );
  assert.throws(() => ggufEnds(['a', 'b'], { eos: 1, eot: 4294967295 }), invalid(/eot_token_id 4294967295, but/));
  assert.throws(
    () => ggufEnds(['a', 'b'], { eom: '<|eom_id|>' }),
    invalid(/eom_token_id = "<\|eom_id\|>", expected a token id/),
  );
});

/** SmolLM2's own file with another eos_token_id: header only, the weights are zeros that take no room. */
async function smollm2WithEos(id: number): Promise<string> {
  const file = path.join(await mkdtemp(path.join(folder, 'gguf-')), 'smollm2.gguf');
  const source = await open(modelFile);
  const header = Buffer.alloc(4 << 20);
  await source.read(header, 0, header.length, 0);
  const { size } = await source.stat();
  await source.close();
  const key = 'tokenizer.ggml.eos_token_id';
  const at = header.indexOf(key) + key.length;
  assert.equal(header.readUInt32LE(at), 4, 'a uint32 follows');
  header.writeUInt32LE(id, at + 4);
  await writeFile(file, header);
  await truncate(file, size);
  return file;
}

test("SmolLM2's own GGUF ends at <|im_end|> and <|endoftext|>, and closes turns with the first, also where the file calls the second eos", async () => {
  const own = endsOf(await loadTextCodec(modelFile));
  assert.deepEqual(own, {
    closes: '<|im_end|>',
    ends: [
      [0, '<|endoftext|>'],
      [2, '<|im_end|>'],
      [4, '<reponame>'],
    ],
    endRemark: null,
  });
  assert.deepEqual(endsOf(await loadTextCodec(await smollm2WithEos(0))), own);
  await assert.rejects(loadTextCodec(await smollm2WithEos(49152)), {
    name: 'ModelFileInvalid',
    message: /eos_token_id 49152, but the model's vocabulary has 49152 tokens/,
  });
});

test('of ends at the same place the longer is meant; without any there is none', () => {
  const token = (id: number, text: string): NamedToken => ({ id, text });
  assert.equal(endTokensOf([token(1, '<end>'), token(2, '<end>>')], [], '<end>>')!.endOfTurn.id, 2);
  assert.equal(endTokensOf([token(1, ''), token(2, 'x')], [], 'y x')!.endOfTurn.id, 2);
  assert.equal(endTokensOf([token(7, '')], [], null)!.endOfTurn.id, 7);
  assert.equal(endTokensOf([], [token(1, '<end>')], null), null);
  assert.match(endTokensOf([], [token(1, '<end>')], '<end>\n')!.endRemark!, /named: none/);
});
