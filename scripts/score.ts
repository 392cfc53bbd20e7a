#!/usr/bin/env node
// npm run -s score -- --model PATH < in.jsonl > out.jsonl: log-probabilities of given tokens or text, line by line.
import { loadTextCodec } from '../activities/policy/text-codec.js';
import { decodedLines } from '../activities/text-file.js';
import { callersPath, command, required, UsageError } from './cli.js';
import { callersModel, openPolicy } from './models/command.js';
import { templateFlags } from './models/conversation.js';
import { scoreLine } from './models/score-lines.js';

const USAGE = `npm run -s score -- --model PATH [OPTIONS] < in.jsonl > out.jsonl

Natural logarithms of the probabilities that the model gives to tokens.
  a line in    {"ids":[...],"from":n}     log-probabilities of ids[n..]; n from 1, 1 if left out
               {"messages":[{"role":"user","content":"..."}],"completion":"..."}     of the completion's tokens;
               "tools", "documents" and "chat_template_kwargs" beside them go to the chat template
  a line out   {"logprobs":[...],"top":[[id,logprob] x 10 after the last token]}

  --model PATH       a GGUF file, a Hugging Face directory, or hf://owner/name@revision; without a tokenizer it still scores ids
  --adapter DIR      a PEFT LoRA directory, as \`npm run export\` writes it
  --tools JSON           descriptions of functions for lines without their own
  --template-args JSON   what else the chat template reads, e.g. '{"enable_thinking":false}'; a date that it writes is today's
  --accept-setting KEY   a setting of config.json that is not known here, which you answer for; once for each
  --precision P      fp32, or bf16 matrix products where the processor has them (default fp32)`;

/** Tokens that go through the model at once: lines are gathered up to it. */
const BATCH_TOKENS = 2048;
const LIKELIEST = 10;

const OPTIONS = {
  model: { type: 'string' },
  tools: { type: 'string' },
  'template-args': { type: 'string' },
  adapter: { type: 'string' },
  precision: { type: 'string' },
  'accept-setting': { type: 'string', multiple: true },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const given = required('--model', values.model);
  const flags = templateFlags({ tools: values.tools, templateArgs: values['template-args'] }, (problem) => {
    throw new UsageError(problem);
  });
  const model = await callersModel(given, values['accept-setting']);
  const policy = await openPolicy(model, {
    adapter: values.adapter && callersPath(values.adapter),
    precision: values.precision,
    acceptSettings: values['accept-setting'],
  });
  const { limits } = policy;
  let codec: ReturnType<typeof loadTextCodec> | undefined;

  let waiting: { ids: readonly number[]; from: number }[] = [];
  const flush = async (): Promise<void> => {
    for (const { logProbs, top } of await policy.score(waiting, LIKELIEST, BATCH_TOKENS)) {
      process.stdout.write(`${JSON.stringify({ logprobs: logProbs, top })}\n`);
    }
    waiting = [];
  };
  let number = 0;
  try {
    for await (const text of decodedLines(process.stdin, 'standard input')) {
      number += 1;
      if (text.trim() === '') continue;
      const line = await scoreLine(text, number, limits, () => (codec ??= loadTextCodec(model)), flags);
      if (waiting.reduce((sum, { ids }) => sum + ids.length, line.ids.length) > BATCH_TOKENS) await flush();
      waiting.push(line);
    }
  } finally {
    // What came before a bad line is answered.
    await flush();
  }
});
