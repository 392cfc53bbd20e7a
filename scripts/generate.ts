#!/usr/bin/env node
// npm run -s generate -- --model PATH --messages FILE: answers of a model, as they are drawn.
import { buffer } from 'node:stream/consumers';
import { loadTextCodec } from '../activities/policy/text-codec.js';
import { endedBy, withoutEnd } from '../activities/rollout/response-end.js';
import { decodeText, NotUtf8, readTextFile } from '../activities/text-file.js';
import { callersPath, command, number, required, share, UsageError, wholeNumber } from './cli.js';
import { callersModel, openPolicy } from './models/command.js';
import { conversationOf, optionValue, promptOf, templateFlags, type Conversation } from './models/conversation.js';

const USAGE = `npm run -s generate -- --model PATH --messages FILE [OPTIONS]

  --model PATH         a GGUF file, a Hugging Face directory, or hf://owner/name@revision
  --messages FILE      JSON: [{"role":"user","content":"..."}, ...], or {"messages":[...],"tools":[...]}; - is standard input
  --tools JSON         descriptions of functions for the chat template, a list as transformers takes it
  --template-args JSON what else the chat template reads, e.g. '{"enable_thinking":false}'; a date that it writes is today's
  --adapter DIR        a PEFT LoRA directory, as \`npm run export\` writes it
  --temperature X      0 takes the likeliest token each time (default 0.7)
  --top-k K            draws from the K likeliest tokens only
  --top-p P            draws from the fewest likeliest tokens that hold a share P of what --top-k left
  --min-p P            draws from tokens at least P times as likely as the likeliest
  --max-tokens N       longest answer, its end included (default 256)
  --seed N             the same seed gives the same answers (default 0)
  --n N                so many answers (default 1)
  --json               a line {"text","ids","logprobs","end","ended_by"} per answer instead of text
  --accept-setting K   a setting of config.json that is not known here, which you answer for; once for each
  --precision P        fp32 or bf16 (default fp32)`;

/** Logits divided by it leave no doubt, and stay finite. */
const GREEDY_TEMPERATURE = 1e-4;

const OPTIONS = {
  model: { type: 'string' },
  messages: { type: 'string' },
  tools: { type: 'string' },
  'template-args': { type: 'string' },
  adapter: { type: 'string' },
  temperature: { type: 'string' },
  'top-k': { type: 'string' },
  'top-p': { type: 'string' },
  'min-p': { type: 'string' },
  'max-tokens': { type: 'string' },
  seed: { type: 'string' },
  n: { type: 'string' },
  json: { type: 'boolean' },
  precision: { type: 'string' },
  'accept-setting': { type: 'string', multiple: true },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const [given, messages] = [required('--model', values.model), required('--messages', values.messages)];
  const temperature = number('--temperature', values.temperature, 0, 0.7);
  const maxTokens = wholeNumber('--max-tokens', values['max-tokens'], 1, 256);
  const topK = wholeNumber('--top-k', values['top-k'], 1, undefined);
  const topP = share('--top-p', values['top-p'], { aboveZero: true });
  const minP = share('--min-p', values['min-p']);
  const truncation = {
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
  };
  const seed = wholeNumber('--seed', values.seed, 0, 0);
  const n = wholeNumber('--n', values.n, 1, 1);
  const fail = (problem: string): never => {
    throw new UsageError(problem);
  };
  const flags = templateFlags({ tools: values.tools, templateArgs: values['template-args'] }, fail);
  const conversation = await readConversation(messages);
  const model = await callersModel(given, values['accept-setting']);
  const codec = await loadTextCodec(model);
  const promptIds = codec.encode(promptOf(codec, conversation, flags, fail));
  const policy = await openPolicy(model, {
    adapter: values.adapter && callersPath(values.adapter),
    precision: values.precision,
    acceptSettings: values['accept-setting'],
  });

  if (codec.endRemark !== null) console.error(`${model}: ${codec.endRemark}`);
  const shown = (ids: readonly number[]): string => codec.decode(withoutEnd(codec, ids));
  const drawn: number[] = [];
  let printed = '';
  const stream = n === 1 && !values.json;
  const responses = await policy.sample(
    Array.from({ length: n }, (_, i) => ({ prefixGroup: 'a', promptIds, randomKey: `generate/${seed}/${i}` })),
    {
      temperature: Math.max(temperature, GREEDY_TEMPERATURE),
      maxResponseTokens: maxTokens,
      truncation,
      onSampled: (_, id) => {
        if (!stream) return;
        drawn.push(id);
        const text = shown(drawn);
        // A character of several tokens shows as U+FFFD until it is whole.
        if (text.endsWith('\ufffd') || !text.startsWith(printed)) return;
        process.stdout.write(text.slice(printed.length));
        printed = text;
      },
    },
  );
  for (const [i, response] of responses.entries()) {
    const { ids, logProbs, end } = response;
    const text = shown(ids);
    if (values.json)
      console.log(JSON.stringify({ text, ids, logprobs: logProbs, end, ended_by: endedBy(codec, response) }));
    else if (!stream) console.log(`${i === 0 ? '' : '\n'}--- ${i + 1} of ${n} ---\n${text}`);
    else console.log(text.startsWith(printed) ? text.slice(printed.length) : `\n${text}`);
    if (!values.json && end === 'token-limit') console.error(`(stopped at --max-tokens ${maxTokens})`);
  }
});

async function readConversation(given: string): Promise<Conversation> {
  const place = given === '-' ? 'standard input' : callersPath(given);
  const content = await (given === '-'
    ? buffer(process.stdin).then((bytes) => decodeText(bytes, place))
    : readTextFile(place)
  ).catch((error: Error) => {
    throw new UsageError(
      `--messages: ${error instanceof NotUtf8 ? error.message : `there is no readable file ${place}`}`,
    );
  });
  const fail = (problem: string): never => {
    throw new UsageError(`--messages: ${place}: ${problem}`);
  };
  return conversationOf(optionValue(content, fail), fail);
}
