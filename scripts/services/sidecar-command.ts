import { join } from 'node:path';
import type { ComponentName } from '../setup/index.js';
import { appworldCache, appworldPython, appworldSmallWorld, bfclPython, repositoryRoot } from '../setup/paths.js';
import type { Command } from './processes.js';

export const sidecarDir = join(repositoryRoot, 'activities', 'environments', 'sidecar');

/** The component of set-up that the sidecar of an environment needs. */
export const sidecarComponent = (environment: string): ComponentName =>
  environment === 'appworld' ? 'appworld' : 'bfcl';

/**
 * How the sidecar of an environment is started.
 *
 * @param port        0 takes a free one
 * @param scratchDir  where the BFCL package writes, by default its own installation
 */
export function sidecarCommand(environment: string, port: number, scratchDir: string): Command {
  const appworld = sidecarComponent(environment) === 'appworld';
  return {
    file: appworld ? appworldPython : bfclPython,
    args: [
      join(sidecarDir, 'server.py'),
      '--environment',
      environment,
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      ...(appworld
        ? [
            '--data',
            process.env['SEEUPO_APPWORLD_ROOT'] || appworldSmallWorld,
            ...given('--worlds', 'SEEUPO_APPWORLD_WORLDS'),
            ...given('--max-seconds', 'SEEUPO_APPWORLD_SECONDS'),
          ]
        : []),
    ],
    // Without compiled files beside its sources the checkout stays clean.
    env: {
      ...(appworld ? { APPWORLD_CACHE: appworldCache } : { BFCL_PROJECT_ROOT: scratchDir }),
      PYTHONUNBUFFERED: '1',
      PYTHONDONTWRITEBYTECODE: '1',
    },
  };
}

const given = (option: string, variable: string): string[] =>
  process.env[variable] ? [option, process.env[variable]] : [];
