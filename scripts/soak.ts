// npm run soak: hundreds of iterations on a tiny model through the real stack; does any process grow?
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TrainConfigInput } from '../schemas/train-config.js';
import { tinyRun, tinyWorkerEnv } from './chaos/tiny-run.js';
import { callersPath, command, wholeNumber } from './cli.js';
import { withStack, type Stack } from './chaos/stack.js';
import { readHistories } from './chaos/histories.js';
import { onStopSignal } from './services/stop-signal.js';
import { setUp } from './setup/index.js';
import { inRuntime } from './setup/paths.js';
import { drifts, FEWEST_ITERATIONS, residentSet } from './soak/resident-sets.js';

const USAGE = `npm run soak -- [--iterations N] [--json FILE]

N iterations (default 300; growth shows from ${FEWEST_ITERATIONS} on) of a random model of 128 tokens on the real Temporal, S3, TensorFlow and workers. The
resident set of every process is read after each iteration: it must stay within 5 % after the first 20. The services
idle for 90 s before: what they take to start is not the run's.`;

/** How much a process may grow between the first window after the warm-up and the last. */
const MAX_GROWTH = 0.05;
/** An idle Temporal server grows by 8 MB in this time, and tiny iterations take a second: the first twenty would end before it has started. */
const SETTLING_MS = 90_000;

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

async function soak(iterations: number, json: string | null): Promise<number> {
  await setUp(['tensorflow', 'tensorflow-binding', 's3', 'temporal']);
  const stopping = new AbortController();
  onStopSignal(() => stopping.abort());
  const root = await mkdtemp(inRuntime('soak-'));
  const workerEnv = await tinyWorkerEnv(path.join(root, 'models'));
  const options = {
    dataDir: path.join(root, 'stack'),
    gpuWorkers: 1,
    sidecar: false,
    workerEnv,
    signal: stopping.signal,
  };
  return withStack(options, (stack) => measured(stack, iterations, json, stopping.signal)).finally(() =>
    rm(root, { recursive: true, force: true }),
  );
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** Runs the iterations and says how the processes grew. @returns the exit code */
async function measured(stack: Stack, iterations: number, json: string | null, signal: AbortSignal): Promise<number> {
  const config: TrainConfigInput = {
    ...tinyRun,
    iterations,
    warmStart: null,
    rollout: { ...tinyRun.rollout, tasksPerIteration: 1, groupSize: 2 },
    algorithm: { name: 'seeupo' },
  };
  const residentSets = (): Promise<[string, number][]> =>
    Promise.all(
      Object.entries(stack.services.pids()).map(async ([service, pid]) => [service, await residentSet(pid ?? 0)]),
    );
  const started = await residentSets();
  const samples: Record<string, number[]> = Object.fromEntries(started.map(([service]) => [service, []]));
  stack.proxy.on('commit', (key) => {
    if (!/^runs\/soak\/iterations\/\d+\/checkpoint\.json$/.test(key)) return;
    void residentSets().then((sets) => sets.forEach(([service, bytes]) => samples[service]!.push(bytes)));
  });
  await sleep(SETTLING_MS, undefined, { signal });
  const settled = new Map(await residentSets());
  console.log(
    `idle for ${SETTLING_MS / 1000} s: ${started.map(([service, bytes]) => `${service} ${megabytes(bytes)} -> ${megabytes(settled.get(service)!)}`).join(', ')} MB`,
  );
  const began = performance.now();
  const run = await stack.client.workflow.start('train', {
    taskQueue: 'seeupo-control',
    workflowId: 'soak',
    args: [config],
  });
  await run.result();
  const seconds = (performance.now() - began) / 1000;
  const { activities, executions } = await readHistories(stack.client, 'soak');
  const grown = drifts(samples);
  const own = executions.filter(({ workflowId }) => workflowId === 'soak').map(({ events }) => events);
  const perIteration = own.reduce((sum, events) => sum + events, 0) / iterations;
  console.log(`${iterations} iterations in ${seconds.toFixed(0)} s, ${activities.length} activities`);
  console.log(
    `  the run continued as new ${own.length - 1} times: histories of ${own.join(', ')} events, ${perIteration.toFixed(1)} for each iteration`,
  );
  for (const { service, early, late, growth, growthSinceHalf } of grown) {
    console.log(
      `  ${service.padEnd(12)} ${megabytes(early).padStart(5)} MB -> ${megabytes(late).padStart(5)} MB  ${(100 * growth).toFixed(1).padStart(5)} %, ${(100 * growthSinceHalf).toFixed(1).padStart(5)} % in the second half${growth > MAX_GROWTH ? '  GROWS' : ''}`,
    );
  }
  if (json !== null)
    await writeFile(json, `${JSON.stringify({ iterations, seconds, histories: own, grown, samples })}\n`);
  return grown.every(({ growth }) => growth <= MAX_GROWTH) ? 0 : 1;
}

const OPTIONS = { iterations: { type: 'string' }, json: { type: 'string' } } as const;

await command(USAGE, OPTIONS, ({ iterations, json }) =>
  soak(wholeNumber('--iterations', iterations, FEWEST_ITERATIONS, 300), json === undefined ? null : callersPath(json)),
);
