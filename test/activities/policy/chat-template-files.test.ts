import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { firstPrompt, withTemplate } from '../../../activities/rollout/prompt.js';
import { loadTextCodec, tokenizerOfGguf, type ModelCodec } from '../../../activities/policy/text-codec.js';
import { modelFile } from './smollm2.js';

let folder: string;
let tokenizer: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-templates-'));
  tokenizer = JSON.stringify((await tokenizerOfGguf(modelFile)).tokenizer);
});
after(() => rm(folder, { recursive: true }));

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 49152,
  max_position_embeddings: 256,
  rms_norm_eps: 0.00001,
  rope_theta: 10000,
  hidden_act: 'silu',
};
const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** SmolLM2's tokenizer with another chat template. */
async function codecWith(template: unknown, settings: object = {}, file?: string): Promise<ModelCodec> {
  const model = await mkdtemp(path.join(folder, 'model-'));
  await writeFile(path.join(model, 'tokenizer.json'), tokenizer);
  await writeFile(path.join(model, 'config.json'), JSON.stringify(CONFIG));
  await writeFile(
    path.join(model, 'tokenizer_config.json'),
    JSON.stringify({ chat_template: template, eos_token: '<|im_end|>', ...settings }),
  );
  if (file !== undefined) await writeFile(path.join(model, 'chat_template.jinja'), file);
  return loadTextCodec(model);
}
const question = [{ role: 'user' as const, content: 'q' }];

test("a template's date is the run's, whatever day a shard is done again, and date_string goes before it", async () => {
  const codec = await codecWith(
    null,
    {},
    `{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{{- "<|im_start|>system\\nToday Date: " + date_string + "<|im_end|>\\n" }}${CHATML}`,
  );
  assert.ok(codec.templateReads?.has('strftime_now'));
  const ids = (more: object) => firstPrompt(withTemplate(codec, more), question);
  assert.match(codec.decode(ids({ templateDate: '2026-11-28T23:59:50' })), /Today Date: 28 Nov 2026<\|im_end\|>/);
  assert.match(
    codec.decode(ids({ templateDate: '2026-11-28T23:59:50', templateArguments: { date_string: '01 Jan 2025' } })),
    /Today Date: 01 Jan 2025/,
  );
  const today = codec.render(question, { generationPrompt: true });
  assert.match(today, new RegExp(`Today Date: \\d\\d \\w{3} ${new Date().getFullYear()}`));
});

test('a template that raises for the probe is loaded, and raises where a conversation is rendered, with file and line', async () => {
  const codec = await codecWith(
    `{% if messages[0].role != 'tool' %}\n{{ raise_exception('The first message must be a tool message') }}{% endif %}${CHATML}`,
  );
  assert.equal(codec.endOfTurn.text, '<|im_end|>');
  assert.throws(() => codec.render(question, { generationPrompt: true }), {
    name: 'ModelFileInvalid',
    message:
      /tokenizer_config\.json: its chat template, line 2, refuses the conversation: "The first message must be a tool message"\. The roles are 0 user/,
  });
});

test('a template that is cut off, or uses what is not reproduced, is refused with file and line', async () => {
  await assert.rejects(codecWith('a\n{% if messages %}b'), {
    name: 'ModelFileInvalid',
    message: /tokenizer_config\.json: its chat template, line 2: the template ends, expected \{% elif %\} or/,
  });
  await assert.rejects(codecWith(null, {}, '\n\n{{ messages|groupby("role") }}'), {
    name: 'ModelFileInvalid',
    message: /chat_template\.jinja: its chat template, line 3: uses the filter groupby/,
  });
});

test('of named templates tool_use is taken where tools are given, as transformers takes it', async () => {
  const codec = await codecWith([
    { name: 'default', template: 'plain' },
    { name: 'tool_use', template: '{{ tools|length }} tools' },
  ]);
  assert.equal(codec.render(question, { generationPrompt: true }), 'plain');
  assert.equal(codec.render(question, { generationPrompt: true, templateArguments: { tools: [{ a: 1 }] } }), '1 tools');
  await assert.rejects(codecWith([{ name: 'rag', template: 'x' }]), {
    name: 'ModelFileInvalid',
    message: /none is named "default"/,
  });
});

test('a template sees the special tokens that the tokenizer has, and no others', async () => {
  const source = '{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}|{{ tools is none }}';
  assert.equal((await codecWith(source)).render(question, { generationPrompt: false }), '|<|im_end|>|False|True');
  const given = { bos_token: { content: '<|im_start|>' }, pad_token: '<|im_end|>' };
  assert.equal(
    (await codecWith(source, given)).render(question, { generationPrompt: false }),
    '<|im_start|>|<|im_end|>|True|True',
  );
});
