#!/usr/bin/env node
// npm run -s generate -- --model PATH --messages FILE: answers of a model, as they are drawn.
import { buffer } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { loadTextCodec } from '../activities/policy/text-codec.js';
import { endedBy, withoutEnd } from '../activities/rollout/response-end.js';
import { decodeText, NotUtf8, readTextFile } from '../activities/text-file.js';
import { callersModel, callersPath, command, openPolicy, UsageError } from './models/command.js';
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

await command(async () => {
  const { values } = parseArgs({
    options: {
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
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return console.log(USAGE);
  for (const name of ['model', 'messages'] as const)
    if (values[name] === undefined) throw new UsageError(`--${name} is missing\n\n${USAGE}`);
  const number = (
    name: 'temperature' | 'top-k' | 'max-tokens' | 'seed' | 'n',
    otherwise: number,
    least: number,
  ): number => {
    const given = values[name];
    const value = given === undefined ? otherwise : Number(given);
    if (
      given?.trim() === '' ||
      !(value >= least && Number.isFinite(value)) ||
      (name !== 'temperature' && !Number.isInteger(value))
    ) {
      throw new UsageError(
        `--${name} is "${given}": expected a ${name === 'temperature' ? '' : 'whole '}number from ${least}`,
      );
    }
    return value;
  };
  const temperature = number('temperature', 0.7, 0);
  const maxTokens = number('max-tokens', 256, 1);
  const share = (name: 'top-p' | 'min-p'): number | undefined => {
    const given = values[name];
    if (given === undefined) return undefined;
    const value = Number(given);
    if (given.trim() === '' || !(value >= 0 && value <= 1) || (name === 'top-p' && value === 0))
      throw new UsageError(
        `--${name} is "${given}": expected a share ${name === 'top-p' ? 'above 0, at most' : 'from 0 to'} 1`,
      );
    return value;
  };
  const [topP, minP] = [share('top-p'), share('min-p')];
  const truncation = {
    ...(values['top-k'] !== undefined && { topK: number('top-k', 1, 1) }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
  };
  const seed = number('seed', 0, 0);
  const n = number('n', 1, 1);
  const fail = (problem: string): never => {
    throw new UsageError(problem);
  };
  const flags = templateFlags({ tools: values.tools, templateArgs: values['template-args'] }, fail);
  const conversation = await readConversation(values.messages!);
  const model = await callersModel(values.model!, values['accept-setting']);
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
    Array.from({ length: n }, (_, i) => ({ row: 'a', promptIds, randomKey: `generate/${seed}/${i}` })),
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
