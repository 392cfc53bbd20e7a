import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cliTypeName } from '../../workers/check-search-attributes.js';
import { attributes } from '../../workflows/search-attributes.js';
import { programPath } from '../setup/index.js';
import type { ServiceDefinition, Surroundings } from './definition.js';
import { withoutHeapProfile } from './go-runtime.js';
import { answers } from './http.js';
import { ServiceError } from './service-error.js';

/** The server would otherwise forget the finished iterations of a run of two days. */
const RETENTION = '30d';

/**
 * What is sized for a cluster, where one database file is written by one at a time. The server would hold the state of each of 128,000
 * workflows for an hour after it has seen it: a run of weeks has a handful that are open, and what is not held is read from the
 * database. It would hold 8 MB of events for other clusters, which there are none of; and 512 workers for each of its queues, whose
 * stacks grow one after another as each is first used.
 */
const forOneMachine = [
  'history.hostLevelCacheMaxSize=64',
  'history.cacheTTL="5m"',
  'history.xdcCacheMaxSizeBytes=65536',
  ...['timer', 'transfer', 'visibility', 'archival'].map((queue) => `history.${queue}ProcessorSchedulerWorkerCount=32`),
];

/** A profile or environment of the user's own must not redirect our CLI calls. */
const isolation = ['--disable-config-file', '--disable-config-env'];

export const temporal: ServiceDefinition = {
  name: 'temporal',
  stage: 0,
  ports: [
    { key: 'grpc', purpose: 'the Temporal server', variable: 'SEEUPO_TEMPORAL_PORT', from: 17_233 },
    { key: 'ui', purpose: 'the Temporal Web UI', variable: 'SEEUPO_UI_PORT', from: 18_233 },
  ],
  readyWithinMs: 60_000,
  graceMs: 10_000,

  async command({ dataDir, port }) {
    return {
      file: await programPath('temporal'),
      args: [
        'server',
        'start-dev',
        ...isolation,
        '--ip',
        '127.0.0.1',
        '--port',
        String(port('temporal', 'grpc')),
        '--ui-port',
        String(port('temporal', 'ui')),
        '--db-filename',
        join(dataDir, 'temporal', 'temporal.db'),
        '--log-level',
        'error',
        ...forOneMachine.flatMap((setting) => ['--dynamic-config-value', setting]),
        ...Object.values(attributes).flatMap(({ name, type }) => [
          '--search-attribute',
          `${name}=${cliTypeName(type)}`,
        ]),
      ],
      // Its heap may grow by a quarter before garbage is collected, and not to double: it idles beside workers that compute.
      env: { GOGC: '25', ...withoutHeapProfile },
    };
  },

  async beforeStart({ dataDir }) {
    await mkdir(join(dataDir, 'temporal'), { recursive: true });
  },

  /** The Web UI's API asks the server, so one answer proves both. */
  isHealthy: ({ port }) => answers(`http://127.0.0.1:${port('temporal', 'ui')}/api/v1/namespaces/default`),

  async prepare(surroundings) {
    await temporalCli(surroundings, [
      'operator',
      'namespace',
      'update',
      '--namespace',
      'default',
      '--retention',
      RETENTION,
    ]);
  },
};

async function temporalCli({ port }: Surroundings, args: readonly string[]): Promise<void> {
  const address = `127.0.0.1:${port('temporal', 'grpc')}`;
  const result = await execa(
    await programPath('temporal'),
    [...args, ...isolation, '--address', address, '--command-timeout', '20s'],
    {
      reject: false,
      all: true,
    },
  );
  if (result.failed)
    throw new ServiceError(`temporal ${args.slice(0, 3).join(' ')} at ${address} failed: ${result.all}`);
}
