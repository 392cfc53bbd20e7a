#!/usr/bin/env node
// npm run quickstart: sets up, starts servers and workers, trains, shows what came of it. Run again, it goes on.
import { mkdir, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { reportKey } from '../activities/report/report-key.js';
import { terminalSummary } from '../activities/report/terminal-summary.js';
import { createS3Store } from '../activities/artifacts/s3-store.js';
import { keys, type ArtifactStore } from '../activities/artifacts/store.js';
import { Ownership, type Execution } from '../schemas/ownership.js';
import { ReportContent, ReportManifest } from '../schemas/report.js';
import { RunManifest } from '../schemas/run.js';
import type { TrainConfig } from '../schemas/train-config.js';
import { readSettings, type WorkerSettings } from '../workers/dependencies.js';
import { executionStateAt } from '../workers/execution-state.js';
import { callersPath, exitCodeOf, plainWords, UsageError } from './cli.js';
import {
  firstFreeId,
  pickedUpId,
  QuickstartError,
  readConfig,
  readCurrentRun,
  refuseOtherSettings,
  writeCurrentRun,
} from './quickstart/current-run.js';
import { createDisplay } from './quickstart/display.js';
import { failureLine } from './quickstart/failure.js';
import { freeRun } from './quickstart/held-run.js';
import { DEFAULT_CONFIG, parseOptions, USAGE, type QuickstartOptions } from './quickstart/options.js';
import { duration } from './quickstart/progress-view.js';
import { RunClient } from './quickstart/run-client.js';
import { watchRun } from './quickstart/watch-run.js';
import { roomNotices } from './quickstart/room-notices.js';
import { ownEnvironment } from './quickstart/own-environment.js';
import { commandLine } from '../activities/command-line.js';
import { onStopSignal } from './services/stop-signal.js';
import { startServices, type Services } from './services.js';
import { setUp } from './setup/index.js';
import { outliveLostOutput } from '../workers/logging.js';
import { inRuntime } from './setup/paths.js';

/** The command that goes on with this run: as it was given, but not afresh, and not from another. */
const AGAIN = (() => {
  const kept = process.argv.slice(2).filter((argument) => argument !== '--fresh' && argument !== '--take-over');
  return kept.length === 0 ? 'npm run quickstart' : commandLine('npm', 'run', 'quickstart', '--', ...kept);
})();

// The SDK's notice about a future Node version is no news for someone who waits for a run.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

outliveLostOutput(); // the run goes on without a terminal, or with a full disk under `npm run quickstart > file`
const interrupt = new AbortController();
/** Where a line goes that stays: above the live display while there is one. */
let say = (line: string): void => console.log(line);

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const own = options.environment === null ? null : await ownEnvironment(options.environment);
  const configFile = options.config === DEFAULT_CONFIG ? options.config : callersPath(options.config);
  const config = await readConfig(configFile, options, own);
  if (own?.notice) console.log(own.notice);
  const stateFile = inRuntime('quickstart.json');
  const current = await readCurrentRun(stateFile);
  // What can be refused is refused before anything is set up or started.
  if (!options.fresh && current !== null && current.runId === pickedUpId(options, current)) {
    refuseOtherSettings(current.runId, current.config, config);
  }

  isSettingUp = true;
  await setUp();
  isSettingUp = false;
  for (const problem of (own && (await roomNotices(own.demonstrations, config))) ?? [])
    console.log(`no room: ${problem}`);
  const services = await startServices({
    workers: true,
    ...(own === null ? {} : { workerEnv: own.workerEnv }),
    log: (line) => say(line),
    signal: interrupt.signal,
  });
  let keep = false;
  try {
    const settings = readSettings({ ...process.env, ...services.env() });
    const temporal = await RunClient.connect({ ...settings.temporal, controlQueue: settings.queues.control });
    const { store, close } = openStore(settings, services);
    try {
      const runId = await decideRun({ options, config, current: current?.runId ?? null, temporal, store });
      await writeCurrentRun(stateFile, { runId, config });
      await becomeFree({ runId, options, temporal, store, settings });
      const code = await follow({ runId, config, temporal, store, services, settings });
      keep = options.keep && !interrupt.signal.aborted;
      return code;
    } finally {
      close();
      await temporal.close();
    }
  } finally {
    if (keep) {
      await services.release();
      console.log(
        `\nServers and workers stay up. Web UI: ${services.addresses.webUi}\nTo stop them: npm run up -- --down`,
      );
    } else {
      if (interrupt.signal.aborted) console.log('stopping (a GPU worker has a minute to hand back its step)');
      await services.stop();
    }
  }
}

/** The run to follow: a new one, or the one that was asked for or is current, if its settings are these. */
async function decideRun({
  options,
  config,
  current,
  temporal,
  store,
}: {
  readonly options: QuickstartOptions;
  readonly config: TrainConfig;
  readonly current: string | null;
  readonly temporal: RunClient;
  readonly store: ArtifactStore;
}): Promise<string> {
  const stored = (runId: string) => store.findManifest(keys.runManifest(runId), RunManifest);
  const isHeld = async (runId: string): Promise<boolean> =>
    (await store.findRecord(keys.ownership(runId), Ownership)) !== null;
  const isTaken = async (runId: string): Promise<boolean> =>
    (await stored(runId)) !== null || (await isHeld(runId)) || (await temporal.status(runId)) !== 'NONE';
  if (options.fresh) {
    if (options.runId !== null && (await isTaken(options.runId))) {
      throw new QuickstartError(
        `--fresh --run-id ${options.runId}: there is a run of that id already; choose another, or leave out --fresh to pick it up`,
      );
    }
    // Two runs would share one device, and the old one is not wanted any more.
    if (current !== null && (await temporal.status(current)) === 'RUNNING') {
      await temporal.terminate(current, 'a fresh quickstart was asked for');
      console.log(`run "${current}" was ended; its checkpoints stay in the store`);
    }
    return options.runId ?? (await firstFreeId(isTaken));
  }
  const runId = pickedUpId(options, current === null ? null : { runId: current, config: null });
  const manifest = await stored(runId);
  if (manifest !== null) refuseOtherSettings(runId, manifest.manifest.config, config);
  return runId;
}

/** A run that is not under way here may be under way elsewhere, or have lost its Temporal database. */
async function becomeFree({
  runId,
  options,
  temporal,
  store,
  settings,
}: {
  readonly runId: string;
  readonly options: QuickstartOptions;
  readonly temporal: RunClient;
  readonly store: ArtifactStore;
  readonly settings: WorkerSettings;
}): Promise<void> {
  if (['RUNNING', 'COMPLETED'].includes(await temporal.status(runId))) return;
  const { address: server, namespace } = settings.temporal;
  const place = {
    host: os.hostname(),
    server,
    namespace,
    stateOf: (execution: Execution) => executionStateAt(temporal.client, execution),
  };
  const done = await freeRun(store, runId, place, options.takeOver);
  if (done !== null) console.log(done);
}

/** Starts or joins the run, shows it until it ends, and prints what came of it. */
async function follow({
  runId,
  config,
  temporal,
  store,
  services,
  settings,
}: {
  readonly runId: string;
  readonly config: TrainConfig;
  readonly temporal: RunClient;
  readonly store: ArtifactStore;
  readonly services: Services;
  readonly settings: WorkerSettings;
}): Promise<number> {
  const url = `${services.addresses.webUi}/namespaces/${settings.temporal.namespace}/workflows/${runId}`;
  const status = await temporal.status(runId);
  if (status === 'COMPLETED') {
    console.log(`run "${runId}" is complete; this is what came of it. For a new one: npm run quickstart -- --fresh\n`);
    return await showResult({ runId, temporal, store });
  }
  const known = (await store.findManifest(keys.runManifest(runId), RunManifest)) !== null;
  if (status === 'RUNNING') console.log(`run "${runId}" goes on where it was`);
  else if (known)
    console.log(
      `run "${runId}" ${status === 'NONE' ? 'is not on the Temporal server' : `ended ${status}`}; it starts again and finds its committed steps in the store`,
    );
  else console.log(`run "${runId}" starts`);
  console.log(`Web UI: ${url}`);
  if (status !== 'RUNNING') await temporal.start(runId, config);

  const display = createDisplay(process.stdout);
  say = display.line;
  const halted = new AbortController();
  let failedStep: string | null = null;
  let isFirstLook = true;
  const end = await watchRun(temporal.client, runId, {
    intervalMs: process.stdout.isTTY ? 1_000 : 2_000,
    signal: AbortSignal.any([interrupt.signal, halted.signal]),
    onUnreachable: (reason) => display.line(`the Temporal server does not answer (${reason}); waiting for it`),
    onSnapshot(snapshot) {
      display.show(snapshot, url);
      const paused = snapshot.progress?.paused ?? null;
      if (paused !== null && isFirstLook) {
        display.line(`the run was paused (${paused}); it is told to go on`);
        void temporal.resume(runId).catch((error: Error) => display.line(`it could not be told: ${error.message}`));
      } else if (paused !== null && paused.includes(' failed. ')) {
        // A step that a person must mend: waiting here would look like progress.
        failedStep = paused;
        halted.abort();
      }
      if (snapshot.progress !== null) isFirstLook = false;
    },
  }).finally(() => {
    display.close();
    say = (line) => console.log(line);
  });

  if (failedStep !== null) {
    console.error(
      `run "${runId}" paused itself: ${failedStep}\nWhen that is mended: ${AGAIN} (it tries the step again; nothing that is committed is lost)`,
    );
    return 1;
  }
  if (end === null) return 130; // Ctrl-C
  return await showResult({ runId, temporal, store });
}

/** @returns the exit code */
async function showResult({
  runId,
  temporal,
  store,
}: {
  readonly runId: string;
  readonly temporal: RunClient;
  readonly store: ArtifactStore;
}): Promise<number> {
  let result;
  try {
    result = await temporal.result(runId);
  } catch (error) {
    console.error(`run "${runId}" failed: ${failureLine(error)}`);
    return 1;
  }
  const report =
    result.report ?? (await store.findManifest(reportKey(runId, result.iterations), ReportManifest))?.manifest ?? null;
  if (report === null) {
    console.error(
      `run "${runId}" is complete, but its report could not be written; its checkpoints are in the store. The Web UI names the reason`,
    );
    return 1;
  }
  const content = await store.getJson(report.json, ReportContent);
  const folder = inRuntime('reports');
  await mkdir(folder, { recursive: true });
  const page = path.join(folder, `${runId}.html`);
  await writeFile(page, await store.getBlob(report.html));
  await writeFile(path.join(folder, `${runId}.json`), JSON.stringify(content, null, 2));
  const wall = await temporal.wallSeconds(runId);
  const storage = content.time.find(({ part }) => part === 'storage');
  const time = [
    ...(wall === null ? [] : [`${duration(wall)} from start to end, interruptions included`]),
    `${duration(content.workSeconds)} of work in steps`,
    ...(storage === undefined ? [] : [`${storage.seconds.toFixed(1)} s of it in storage`]),
  ];
  console.log(`\n${terminalSummary(content)}\n\n${time.join('; ')}\nreport: ${page}`);
  return 0;
}

function openStore({ s3 }: WorkerSettings, services: Services): { store: ArtifactStore; close: () => void } {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = services.env();
  const store = createS3Store({
    ...s3,
    ...(accessKeyId !== undefined &&
      secretAccessKey !== undefined && { credentials: { accessKeyId, secretAccessKey } }),
  });
  return { store, close: () => store.close() };
}

function stopped(): number {
  console.log(`stopped. To go on from here: ${AGAIN}`);
  return 130;
}

let isSettingUp = false;
onStopSignal(() => {
  interrupt.abort();
  // Set-up has nothing to stop in order: what it runs ends with us, and it goes on from any point.
  if (isSettingUp) process.exit(stopped());
});

try {
  process.exitCode = await main();
} catch (error) {
  // An interrupted step fails in its own way; what was asked for is what is told.
  if (interrupt.signal.aborted) process.exitCode = 130;
  else {
    const help = error instanceof UsageError ? '\nnpm run quickstart -- --help lists what there is' : '';
    console.error(`${plainWords(error)}${help}`);
    process.exitCode = exitCodeOf(error);
  }
}
if (process.exitCode === 130) stopped();
