#!/usr/bin/env node
// npm run up: sets up, starts the servers and workers, prints where they are, and stays until Ctrl-C.
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { commandLine } from '../activities/command-line.js';
import { command, wholeNumber } from './cli.js';
import { defaultComponents, programPath, setUp } from './setup/index.js';
import { repositoryRoot, runtimeDir } from './setup/paths.js';
import { startServices, stopRecordedServices, type Services } from './services.js';
import { appworld } from './services/appworld.js';
import { bfclFull } from './services/bfcl.js';
import { outliveLostOutput } from '../workers/logging.js';
import { onStopSignal } from './services/stop-signal.js';

const USAGE = `npm run up [-- OPTIONS]

Sets up, starts the servers and workers, prints where they are, and stays until Ctrl-C.

  --gpus N   GPU workers (default 1)
  --down     stops what a \`--keep\` or a kill -9 left running`;

outliveLostOutput(); // a full disk under `npm run up > file`, or a closed pipe, must not end the servers

async function up(gpus: number): Promise<void> {
  const appworldRoot = process.env['SEEUPO_APPWORLD_ROOT'];
  await setUp([...defaultComponents, ...(appworldRoot ? ['appworld' as const] : [])]);
  const starting = new AbortController();
  const log = (line: string) => console.log(line);
  let services: Services | undefined;
  const stopped = new Promise<void>((resolve, reject) => {
    onStopSignal(() => {
      starting.abort();
      if (services === undefined) return;
      console.log('stopping (a GPU worker has a minute to hand back its step)');
      services.stop().then(resolve, reject);
    });
  });
  services = await startServices({
    workers: { gpu: gpus },
    extra: [bfclFull, ...(appworldRoot ? [appworld] : [])],
    log,
    signal: starting.signal,
  });
  if (starting.signal.aborted) return services.stop();
  const { temporal, webUi, s3, bfcl } = services.addresses;
  const cli = await programPath('temporal');
  const runFile = join('scripts', 'runs', 'quickstart.json');
  console.log(
    [
      '',
      `Temporal Web UI  ${webUi}`,
      `Temporal gRPC    ${temporal}`,
      `S3               ${s3}  (bucket seeupo; keys in ${relative(process.cwd(), join(runtimeDir, 'services.json'))})`,
      `BFCL sidecar     ${bfcl}`,
      `BFCL whole       ${services.env()['SEEUPO_BFCL_FULL_URL']}  (environment bfcl)`,
      ...(appworldRoot ? [`AppWorld         ${services.env()['SEEUPO_APPWORLD_URL']}  (data of ${appworldRoot})`] : []),
      `logs             ${relative(process.cwd(), join(runtimeDir, 'logs'))}`,
      '',
      'Start a run from another terminal, in the checkout:',
      '',
      // The CLI that set-up built is not on PATH.
      commandLine(
        cli.startsWith(runtimeDir) ? relative(repositoryRoot, cli) : 'temporal',
        'workflow',
        'start',
        '--address',
        temporal,
        '--type',
        'train',
        '--task-queue',
        'seeupo-control',
        '--workflow-id',
        'my-run',
        '--input-file',
        runFile,
      ),
      '',
      ...(existsSync(join(repositoryRoot, runFile)) ? [] : [`(${runFile} is missing in this checkout)`]),
      'Ctrl-C stops everything; what a run has done is kept, and it goes on at the next `npm run up`.',
    ].join('\n'),
  );
  await stopped;
}

const OPTIONS = { gpus: { type: 'string' }, down: { type: 'boolean' } } as const;

await command(USAGE, OPTIONS, async (values) => {
  const gpus = wholeNumber('--gpus', values.gpus, 1, 1);
  if (!values.down) return up(gpus);
  const stopped = await stopRecordedServices();
  console.log(stopped.length === 0 ? 'nothing was running' : `stopped ${stopped.join(', ')}`);
});
