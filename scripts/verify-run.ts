#!/usr/bin/env node
// npm run verify-run -- ID [--no-model]: reads a whole run again and names the first thing that is wrong.
import { keys } from '../activities/artifacts/store.js';
import { verifyRun } from '../activities/verification/verify-run.js';
import { PRECISIONS, type Precision } from '../activities/policy/policy.js';
import { ArithmeticManifest } from '../schemas/arithmetic.js';
import { command, idOf, number, oneOf, UsageError, type Values } from './cli.js';
import { setUpSilently } from './models/command.js';
import { requireRun } from './models/runs.js';
import { withStore } from './models/with-store.js';
import { suitedSettings, thisMachine } from './services/workers.js';

const USAGE = `npm run verify-run -- ID [--no-model] [--precision P] [--tolerance NATS] [--json]

Reads a run again, whole: every object has its form and every artifact the bytes that its name says; each step was made of
the steps before it; rewards, advantages and totals follow from the trajectories; every episode ended in one of its three
ways; and the sampler's log-probabilities are those of the recorded weights on the recorded tokens.

  --no-model           leaves the last of these out, and with it the minutes that the model takes
  --precision P        fp32 or bf16: what to compute them in (default: what the run records; of a run from before that was recorded, what a
                       worker would choose on this machine)
  --tolerance NATS     largest difference of a log-probability that counts as the same (default 0.001 if both are fp32, 0.15 if one is bf16)
  --json               the totals as JSON

Exit code 0 if everything is as it must be; 1 names the first thing that is not. Reads the store of this checkout, or the
one that SEEUPO_S3_BUCKET and the AWS variables name.`;

/** The sampler takes a token's log-prob in a batch of other shapes than the check: the same but for rounding. */
const TOLERANCES: Readonly<Record<Precision, number>> = { fp32: 0.001, bf16: 0.15 };

const OPTIONS = {
  'no-model': { type: 'boolean' },
  precision: { type: 'string' },
  tolerance: { type: 'string' },
  json: { type: 'boolean' },
} as const;

const verify = async (values: Values<typeof OPTIONS>, positionals: readonly string[]): Promise<void> => {
  if (positionals.length !== 1) throw new UsageError(`expected one run id, found ${positionals.length}`, true);
  const runId = idOf('the run id', positionals[0]!);
  const chosen = oneOf('--precision', values.precision, PRECISIONS, undefined);
  const given = number('--tolerance', values.tolerance, 0, null);
  if (given === 0) throw new UsageError('--tolerance is 0: expected a positive number of nats');
  await withStore(async (store, modelsDir) => {
    await requireRun(store, runId);
    const recorded = (await store.findManifest(keys.arithmetic(runId), ArithmeticManifest))?.manifest.arithmetic;
    const suited =
      process.env['SEEUPO_PRECISION'] || suitedSettings(await thisMachine(), process.env)['SEEUPO_PRECISION'];
    const precision = chosen ?? recorded?.precision ?? (suited === 'bf16' ? suited : 'fp32');
    const tolerance = (sampledIn: Precision | null): number =>
      given ?? Math.max(TOLERANCES[precision], TOLERANCES[sampledIn ?? precision]);
    if (recorded)
      console.error(
        `computed in ${recorded.precision}, ${recorded.replicas} replica${recorded.replicas === 1 ? '' : 's'}, on ${recorded.device}, ${recorded.library}${recorded.flags.length === 0 ? '' : `, ${recorded.flags.join(' ')}`}`,
      );
    const policy = values['no-model'] ? null : await openedPolicy(precision);
    const found = await verifyRun(store, runId, {
      policy,
      modelsDir,
      tolerance,
      onProgress: (line) => console.error(line),
    });
    if (values.json) return console.log(JSON.stringify(found));
    const { manifests, blobs, bytes, iterations, episodes, tokens, largestGap } = found;
    console.log(
      `run ${runId} is as it must be: ${iterations} iterations, ${episodes} episodes, ${manifests} manifests, ${blobs} artifacts of ${(bytes / 1e6).toFixed(1)} MB; ` +
        (tokens === null
          ? 'log-probabilities were not taken again (--no-model)'
          : `${tokens} log-probabilities taken again, at most ${largestGap!.toExponential(1)} nats from the record`),
    );
  });
};

/** TensorFlow loads only if it is asked for. */
async function openedPolicy(precision: Precision) {
  await setUpSilently(['tensorflow', 'tensorflow-binding']);
  const { TensorFlowPolicy } = await import('../activities/policy/tf-policy.js');
  return new TensorFlowPolicy(precision);
}

await command(USAGE, OPTIONS, verify, { positionals: true });
