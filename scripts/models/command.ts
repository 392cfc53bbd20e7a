import { existsSync } from 'node:fs';
import path from 'node:path';
import { isPrecision, PRECISIONS } from '../../activities/policy/policy.js';
import type { TensorFlowPolicy } from '../../activities/policy/tf-policy.js';
import { HubModels, isHubReference } from '../../activities/policy/hub-models.js';
import { NotUtf8, readTextFile } from '../../activities/text-file.js';
import { fetchThrough, proxiesOf } from '../../workers/proxy.js';
import { setUp, smolLm2Path, type ComponentName } from '../setup/index.js';
import { modelsDir as defaultModelsDir } from '../setup/paths.js';

/** The command line or the input asks for something that is not there; the message says what to write. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A path as the caller meant it: npm runs scripts in the root of the checkout, wherever it was called. */
export const callersPath = (given: string): string => path.resolve(process.env['INIT_CWD'] ?? process.cwd(), given);

/** @param what  the option that named it, for the message */
export async function readJsonFile(file: string, what: string): Promise<unknown> {
  const text = await readTextFile(file).catch((error: Error) => {
    throw new UsageError(`${what}: ${error instanceof NotUtf8 ? error.message : `there is no readable file ${file}`}`);
  });
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${what}: ${file} is no JSON (${(error as Error).message})`);
  }
}

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
  const precision = options.precision ?? 'fp32';
  if (!isPrecision(precision))
    throw new UsageError(`--precision is "${precision}": expected ${PRECISIONS.join(' or ')}`);
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
    folded: [],
    adapter,
  });
  return policy;
}

/** Runs a command: its problems in one line on standard error, and exit code 1, or 2 if it was called wrongly. */
export async function command(main: () => Promise<void>): Promise<void> {
  // A reader that has seen enough, like `head`, closes the pipe.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  try {
    await main();
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string };
    const usage = name === 'UsageError' || name === 'NotUtf8' || code?.startsWith('ERR_PARSE_ARGS') === true;
    const known =
      usage ||
      [
        'ModelFileInvalid',
        'TensorFileInvalid',
        'SetUpError',
        'SideFailed',
        'HubUnavailable',
        'RangeError',
        'Unverified',
        'BadEnvironmentVariables',
      ].includes(name) ||
      /^(Store|Artifact)/.test(name);
    console.error(known ? message : error);
    process.exitCode = usage ? 2 : 1;
  }
}
