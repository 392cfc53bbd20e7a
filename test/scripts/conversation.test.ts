import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatTemplate } from '../../activities/policy/chat-template.js';
import { readJson } from '../../activities/policy/chat-template/json.js';
import type { ModelCodec } from '../../activities/policy/text-codec.js';
import { conversationOf, promptOf, templateFlags } from '../../scripts/models/conversation.js';

const fail = (problem: string): never => {
  throw new Error(problem);
};
const none = templateFlags({}, fail);
const SHOWS =
  "{{ tools|tojson if tools }}|{{ mode }}|{% for m in messages %}{{ m.role }}:{{ m.content if m.content is string else m.content|map(attribute='text')|join }};{% endfor %}";
function codec(source: string): ModelCodec {
  const template = new ChatTemplate(source, 'f', {});
  return { templateReads: template.reads, renderInput: (input) => template.render(input) } as ModelCodec;
}
const prompt = (json: string, flags = none, source = SHOWS): string =>
  promptOf(codec(source), conversationOf(readJson(json), fail), flags, fail);

test('tools, documents and chat_template_kwargs beside the messages reach the template, numbers as they were written', () => {
  const row =
    '{"messages":[{"role":"user","content":"x"}],"tools":[{"n":1.0,"big":12345678901234567890}],"chat_template_kwargs":{"mode":1e-05}}';
  assert.equal(prompt(row), '[{"n": 1.0, "big": 12345678901234567890}]|1e-05|user:x;');
});

test('the options of the command line go before nothing that a conversation says itself', () => {
  const flags = templateFlags({ tools: '[{"a":1}]', templateArgs: '{"mode":false}' }, fail);
  assert.equal(prompt('[{"role":"user","content":"x"}]', flags), '[{"a": 1}]|False|user:x;');
  assert.equal(
    prompt('{"messages":[{"role":"user","content":"x"}],"tools":[],"chat_template_kwargs":{"mode":2}}', flags),
    '|2|user:x;',
  );
});

test('content may be null where a message has none to say, or parts of text', () => {
  assert.equal(
    prompt('[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]'),
    '||user:ab;',
  );
  assert.equal(
    prompt(
      '[{"role":"assistant","content":null,"tool_calls":[]}]',
      none,
      '{% for m in messages %}{{ m.content is defined }}{{ mode }}{% endfor %}',
    ),
    'False',
  );
});

test('what would be dropped in silence is refused by its name, and a bad message by its index', () => {
  for (const [row, message] of [
    [
      '{"messages":[{"role":"user","content":"x"}],"functions":[]}',
      /has "functions" beside the messages, which nothing here reads/,
    ],
    [
      '{"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"moed":1}}',
      /^moed: the model's chat template asks for no such thing/,
    ],
    ['[{"role":"user","content":"x"},{"content":"y"}]', /^message 1 is no object with a "role"/],
    ['[{"role":"user","content":7}]', /^message 0 \(user\): its content is neither text, null, nor a list of parts/],
    [
      '[{"role":"user","content":[{"type":"image_url"}]}]',
      /^message 0 \(user\): part 0 of its content is of type image_url/,
    ],
    ['{"role":"user"}', /^expected \[\{"role":"user"/],
    ['{"messages":[{"role":"user","content":"x"}],"tools":{"a":1}}', /^tools: expected a list of descriptions/],
  ] as const) {
    assert.throws(() => prompt(row), { message }, row);
  }
  assert.throws(
    () => prompt('{"messages":[{"role":"user","content":"x"}],"tools":[{"a":1}]}', none, '{{ messages }}'),
    /^Error: tools: the model's chat template asks for no such thing/,
  );
  assert.throws(
    () => templateFlags({ templateArgs: '{"tools":[]}' }, fail),
    /--template-args: "tools" is given to templates by itself/,
  );
  assert.throws(() => templateFlags({ tools: '[' }, fail), /--tools is no JSON/);
});
