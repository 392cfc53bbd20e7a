import { existsSync } from 'node:fs';
import path from 'node:path';
import { PRECISIONS } from '../../activities/policy/policy.js';
import type { TensorFlowPolicy } from '../../activities/policy/tf-policy.js';
import { HubModels, isHubReference } from '../../activities/policy/hub-models.js';
import { fetchThrough, proxiesOf } from '../../workers/proxy.js';
import { callersPath, oneOf, UsageError } from '../cli.js';
import { setUp, smolLm2Path, type ComponentName } from '../setup/index.js';
import { modelsDir as defaultModelsDir } from '../setup/paths.js';

/** Set-up that leaves standard output to what the command writes. */
export async function setUpSilently(components: readonly ComponentName[]): Promise<void> {
  const { stdout } = process;
  const write = stdout.write;
  stdout.write = process.stderr.write.bind(process.stderr) as typeof stdout.write;
  try {
    await setUp(components);
  } finally {
    stdout.write = write;
  }
}

/** A model as the caller named it: a path, or one of a hub, downloaded below the models directory. */
export async function callersModel(given: string, accepted: readonly string[] = []): Promise<string> {
  if (!isHubReference(given)) return callersPath(given);
  const hub = {
    endpoint: process.env['HF_ENDPOINT'] || 'https://huggingface.co',
    token: process.env['HF_TOKEN'] || null,
    fetch: fetchThrough(proxiesOf(process.env)),
  };
  const modelsDir = path.resolve(process.env['SEEUPO_MODELS_DIR'] || defaultModelsDir);
  let told = -1;
  const relative = await new HubModels(modelsDir, hub).fetch(
    given,
    ({ done, of }) => {
      const percent = Math.floor((100 * done) / of);
      if (percent >= told + 5) process.stderr.write(`${given}: ${(told = percent)} % of ${(of / 1e9).toFixed(2)} GB\n`);
    },
    accepted,
  );
  return path.join(modelsDir, relative);
}

/**
 * The policy of a model and perhaps a PEFT adapter, in this process.
 * @throws {UsageError} if there is no such model; {ModelFileInvalid} if it cannot be used
 */
export async function openPolicy(
  model: string,
  options: {
    readonly adapter?: string | undefined;
    readonly precision?: string | undefined;
    readonly acceptSettings?: readonly string[] | undefined;
  },
): Promise<TensorFlowPolicy> {
  const precision = oneOf('--precision', options.precision, PRECISIONS, 'fp32');
  await setUpSilently(['tensorflow', 'tensorflow-binding', ...(model === smolLm2Path ? (['model'] as const) : [])]);
  if (!existsSync(model))
    throw new UsageError(`--model: there is no ${model}; expected a GGUF file or a Hugging Face directory`);
  if (options.adapter !== undefined && !existsSync(options.adapter))
    throw new UsageError(`--adapter: there is no ${options.adapter}; expected a PEFT adapter directory`);
  const [{ TensorFlowPolicy }, { modelFingerprint }, { openModel }, { readPeftAdapter }] = await Promise.all([
    import('../../activities/policy/tf-policy.js'),
    import('../../activities/policy/model-files.js'),
    import('../../activities/policy/weights/open-model.js'),
    import('../../activities/policy/weights/peft-adapter.js'),
  ]);
  const { acceptSettings } = options;
  const reader = await openModel(model, acceptSettings);
  await reader.close();
  const { lora, adapter } =
    options.adapter === undefined
      ? { lora: { rank: 1, alpha: 1 }, adapter: null }
      : await readPeftAdapter(options.adapter, reader.config);
  const policy = new TensorFlowPolicy(precision);
  await policy.use({
    model: { path: model, sha256: (await modelFingerprint(model)).sha256, acceptSettings },
    lora,
    mergedAdapters: [],
    adapter,
  });
  return policy;
}
