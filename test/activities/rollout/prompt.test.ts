import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '../../../schemas/environment-protocol.js';
import { firstPrompt, nextPrompt } from '../../../activities/rollout/prompt.js';
import { toyCodec } from '../../support/toy-codec.js';

const user = (content: string): Message => ({ role: 'user', content });
const conversation = [user('go')];
const codec = toyCodec();

test('the first prompt is the rendered conversation up to the generation prompt', () => {
  assert.equal(codec.decode(firstPrompt(codec, conversation)), '<user>go<end>\n<assistant>');
});

test('the next prompt is the old prompt, the sampled ids as they are, and the text up to the next generation prompt', () => {
  const promptIds = firstPrompt(codec, conversation);
  // Not the ids that encode() gives for "ok": what was sampled must come back as it was.
  const responseIds = [codec.alternative('o'), codec.alternative('k'), codec.endOfTurn.id];
  const next = nextPrompt(codec, conversation, { promptIds, responseIds, responseEnd: 'end-of-turn' }, [user('more')]);
  assert.deepEqual(next.slice(0, promptIds.length + 3), [...promptIds, ...responseIds]);
  // The end-of-turn token was sampled, so it is there once.
  assert.equal(codec.decode(next), '<user>go<end>\n<assistant>ok<end>\n<user>more<end>\n<assistant>');
});

test('a response that the token limit cut gets the end-of-turn token that it did not sample', () => {
  const promptIds = firstPrompt(codec, conversation);
  const next = nextPrompt(codec, conversation, { promptIds, responseIds: codec.encode('rambl'), responseEnd: 'token-limit' }, [user('more')]);
  assert.equal(codec.decode(next), '<user>go<end>\n<assistant>rambl<end>\n<user>more<end>\n<assistant>');
});

test('a message that looks like the placeholder changes nothing', () => {
  const promptIds = firstPrompt(codec, conversation);
  const answered = { promptIds, responseIds: [codec.endOfTurn.id], responseEnd: 'end-of-turn' as const };
  const next = nextPrompt(codec, [user('RESPONSE-0-GOES-HERE')], answered, [user('RESPONSE-1-GOES-HERE')]);
  assert.equal(codec.decode(next.slice(promptIds.length + 1)), '\n<user>RESPONSE-1-GOES-HERE<end>\n<assistant>');
});

test('a template that leaves out earlier responses, or ends them otherwise, is refused', () => {
  const answered = { promptIds: [1], responseIds: [codec.endOfTurn.id], responseEnd: 'end-of-turn' as const };
  const forgetful = { ...codec, render: () => 'nothing of it' };
  assert.throws(() => nextPrompt(forgetful, conversation, answered, []), { name: 'TemplateUnsupported', message: /leaves out/ });
  const endless = { ...codec, render: (messages: readonly { content: string }[]) => messages.map(({ content }) => `${content}|`).join('') };
  assert.throws(() => nextPrompt(endless, conversation, answered, []), { name: 'TemplateUnsupported', message: /expected the end-of-turn token <end>/ });
});
