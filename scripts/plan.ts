#!/usr/bin/env node
// npm run plan -- --config FILE --gpu 80GB: memory that a run needs, part by part, before anything is started.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { resolveConfig } from '../activities/run/resolve-config.js';
import { PRECISIONS } from '../activities/policy/policy.js';
import type { ModelShape } from '../activities/policy/model-config.js';
import { readGgufHeader } from '../activities/policy/weights/gguf-header.js';
import { readHuggingFaceConfig } from '../activities/policy/weights/hugging-face.js';
import { callersPath, command, oneOf, readJsonFile, required, UsageError, wholeNumber } from './cli.js';
import { memoryPlan, remedies } from './plan/memory-model.js';
import { modelsDir } from './setup/paths.js';

const USAGE = `npm run plan -- --config FILE --gpu SIZE [OPTIONS]

  --config FILE           settings of a run, as scripts/runs/quickstart.json
  --gpu SIZE              memory of the device, e.g. 80GB or 24GiB
  --model PATH            instead of the config's model.path; a directory needs only its config.json
  --accept-setting K      a setting of its config.json that is not known here, which you answer for; once for each
  --precision P           of the workers, fp32 or bf16 (default fp32; SEEUPO_PRECISION)
  --prompt-tokens N       prompt before the first response (default 512)
  --observation-tokens N  what comes between two responses (default 64)
  --json                  the plan as JSON

Exit code 0 if it fits, 1 if not.`;

const units: Readonly<Record<string, number>> = { GB: 1e9, GiB: 2 ** 30, MB: 1e6, MiB: 2 ** 20 };

const OPTIONS = {
  config: { type: 'string' },
  gpu: { type: 'string' },
  model: { type: 'string' },
  precision: { type: 'string' },
  'prompt-tokens': { type: 'string' },
  'observation-tokens': { type: 'string' },
  'accept-setting': { type: 'string', multiple: true },
  json: { type: 'boolean' },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const configFile = callersPath(required('--config', values.config));
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB)$/.exec(required('--gpu', values.gpu)) ?? [];
  if (amount === undefined) throw new UsageError(`--gpu is "${values.gpu}": expected a size like 80GB or 24GiB`);
  const capacity = Number(amount) * units[unit!]!;
  const lengths = {
    prompt: wholeNumber('--prompt-tokens', values['prompt-tokens'], 1, 512),
    observation: wholeNumber('--observation-tokens', values['observation-tokens'], 1, 64),
  };
  const config = resolveConfig(await readJsonFile(configFile, '--config'));
  const accepted = [...(values['accept-setting'] ?? []), ...(config.model.acceptSettings ?? [])];
  const model = await modelConfigOf(
    values.model === undefined ? path.join(modelsDir, config.model.path) : callersPath(values.model),
    accepted,
  );

  const precision = oneOf('--precision', values.precision, PRECISIONS, 'fp32');
  const plan = memoryPlan(model, config, lengths, precision);
  const fits = plan.peak <= capacity;
  const changes = remedies(model, config, lengths, capacity, precision);
  process.exitCode = fits ? 0 : 1;
  if (values.json) return console.log(JSON.stringify({ capacity, fits, ...plan, changes }, null, 2));

  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2).padStart(9)} GiB`;
  console.log(
    `${values.model ?? config.model.path}: ${(plan.parameters / 1e9).toFixed(3)} billion parameters, sequences of up to ${plan.longestSequence} tokens, ${plan.microBatchNodes} tokens in a micro-batch`,
  );
  for (const { name, parts, total } of plan.phases) {
    console.log(`\n${name}`);
    for (const [part, bytes] of Object.entries(parts)) console.log(`  ${part.padEnd(22)}${gib(bytes)}`);
    console.log(`  ${'total'.padEnd(22)}${gib(total)}`);
  }
  console.log(`\n${fits ? 'fits' : 'does NOT fit'}: ${gib(plan.peak).trim()} at the peak of ${gib(capacity).trim()}`);
  if (plan.longestSequence > model.contextLength)
    console.log(
      `sequences of ${plan.longestSequence} tokens exceed the model's context of ${model.contextLength}: fewer turns, shorter responses or prompts`,
    );
  if (!fits && changes.length > 0)
    console.log(
      `\nwhat would lower it, one at a time:\n${changes.map(({ change, peak }) => `  ${change.padEnd(44)}${gib(peak)}${peak <= capacity ? '  fits' : ''}`).join('\n')}`,
    );
  if (!fits && !changes.some(({ peak }) => peak <= capacity)) {
    const standing = Math.min(
      ...plan.phases.map(({ parts }) => parts['frozen weights']! + parts['weights for decoding']!),
    );
    if (standing > capacity)
      console.log(
        `\nThe weights alone, which this engine holds in ${precision} and once more for decoding, are more than there is: ${precision === 'fp32' ? 'try --precision bf16, or a smaller model' : 'a smaller model is needed'}.`,
      );
  }
});

async function modelConfigOf(model: string, accepted: readonly string[]): Promise<ModelShape> {
  const found = await stat(model).catch(() => null);
  if (!found)
    throw new UsageError(
      `there is no model ${model}: run \`npm run setup\`, or name one with --model (a directory needs only its config.json)`,
    );
  return found.isDirectory() ? readHuggingFaceConfig(model, accepted) : (await readGgufHeader(model)).config;
}
