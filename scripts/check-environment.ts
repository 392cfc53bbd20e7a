#!/usr/bin/env node
// npm run check-environment -- NAME: tries every promise of the environment interface, prints what holds and what does not.
import path from 'node:path';
import {
  checkEnvironment,
  DEFAULT_CHECK_OPTIONS,
  type Finding,
  type Subject,
} from '../activities/environments/conformance/check-environment.js';
import { isModuleName, ModuleEnvironment } from '../activities/environments/module-environment.js';
import { sidecarEnvironment, sidecarEnvironments } from '../activities/environments/registry.js';
import { callersPath, command, UsageError, wholeNumber, type Values } from './cli.js';
import { watchForHangs } from './check-environment/hang-watch.js';
import { readConfig } from './quickstart/current-run.js';
import { DEFAULT_CONFIG } from './quickstart/options.js';
import { roomNotices } from './quickstart/room-notices.js';
import { sidecarComponent } from './services/sidecar-command.js';
import { startSidecarProcess } from './services/sidecar-process.js';
import { setUp } from './setup/index.js';
import { repositoryRoot } from './setup/paths.js';

const USAGE = `npm run check-environment -- NAME [OPTIONS]

Tries every promise that an environment makes: determinism, repeats, restore after a crash, isolation, malformed
actions, limits, leaks, whether its tools were called at all. What could not be looked at is said, and neither passes nor fails. NAME is one of ${sidecarEnvironments().join(', ')}, or a module such as ./my-environment.ts.

  --url URL         of a server of this environment that runs already: it is not killed, its episodes are closed instead
  --episodes N      of the leak check (default ${DEFAULT_CHECK_OPTIONS.leakEpisodes}, or what ${DEFAULT_CHECK_OPTIONS.maxLeakMs / 60_000} minutes allow; 0 leaves it out)
  --tasks N         tasks that are played (default ${DEFAULT_CHECK_OPTIONS.tasks})
  --max-step-ms N   longest time of a step (default ${DEFAULT_CHECK_OPTIONS.maxStepMs})
  --json            the findings as JSON

appworld plays the data below SEEUPO_APPWORLD_ROOT, or else a small world that set-up builds.`;

/** A thread that is not given back for the time of so many of the longest steps hangs. */
const STEPS_OF_A_HANG = 6;

const OPTIONS = {
  url: { type: 'string' },
  episodes: { type: 'string' },
  tasks: { type: 'string' },
  'max-step-ms': { type: 'string' },
  json: { type: 'boolean' },
} as const;

async function main(values: Values<typeof OPTIONS>, [name, ...rest]: readonly string[]): Promise<number> {
  if (name === undefined || rest.length > 0) throw new UsageError('expected one name', true);
  const { leakEpisodes, tasks, maxStepMs } = DEFAULT_CHECK_OPTIONS;
  const options = {
    ...DEFAULT_CHECK_OPTIONS,
    leakEpisodes: wholeNumber('--episodes', values.episodes, 0, leakEpisodes),
    tasks: wholeNumber('--tasks', values.tasks, 1, tasks),
    maxStepMs: wholeNumber('--max-step-ms', values['max-step-ms'], 1, maxStepMs),
  };
  const { subject, end } = await subjectOf(name, values.url);
  const endWatch = isModuleName(name) ? watchForHangs(name, STEPS_OF_A_HANG * options.maxStepMs) : async () => {};
  try {
    const findings = await checkEnvironment(subject, {
      ...options,
      ...(process.stderr.isTTY ? { onProgress: (line: string) => process.stderr.write(`checking ${line}\n`) } : {}),
    });
    const notices = isModuleName(name) ? await quickstartNotices(subject.open()) : [];
    console.log(
      values.json
        ? JSON.stringify({ environment: name, findings, notices }, null, 2)
        : [table(name, findings), ...notices].join('\n'),
    );
    return findings.some(({ holds }) => holds === false) ? 1 : 0;
  } finally {
    await end();
    await endWatch();
  }
}

/** What of the known answers has no room in the quickstart's settings: no promise of the environment's, but its author's next step. */
async function quickstartNotices(environment: ReturnType<Subject['open']>): Promise<string[]> {
  const demonstrations = (await environment.demonstrations?.().catch(() => [])) ?? [];
  const settings = await readConfig(path.join(repositoryRoot, DEFAULT_CONFIG), { seed: null, iterations: null });
  const problems = await roomNotices(demonstrations, settings);
  if (problems === null)
    return [
      'whether its answers fit the limits of the quickstart was not looked at: its model is not set up (npm run setup -- --only model)',
    ];
  return problems.map((problem) => `no room in ${DEFAULT_CONFIG}: ${problem}`);
}

async function subjectOf(
  name: string,
  url: string | undefined,
): Promise<{ subject: Subject; end: () => Promise<void> }> {
  if (isModuleName(name)) {
    const file = callersPath(name);
    const open = () => new ModuleEnvironment(path.basename(file), [path.dirname(file)]);
    let environment = open();
    return {
      subject: {
        open: () => environment,
        crash: async () => {
          await environment.end();
          environment = open();
        },
        reload: () => {
          const anew = open();
          return { environment: anew, end: () => anew.end() };
        },
      },
      end: () => environment.end(),
    };
  }
  if (!sidecarEnvironments().includes(name))
    throw new UsageError(
      `${JSON.stringify(name)} is no environment: expected one of ${sidecarEnvironments().join(', ')}, or a module such as ./my-environment.ts`,
    );
  if (url !== undefined) return { subject: remote(name, url), end: async () => {} };
  await setUp([sidecarComponent(name)]);
  let sidecar = await startSidecarProcess(name);
  return {
    subject: {
      open: () => sidecarEnvironment(name, sidecar.url),
      crash: async () => {
        await sidecar.kill();
        sidecar = await startSidecarProcess(name);
      },
      memory: () => sidecar.memory(),
    },
    end: () => sidecar.kill(),
  };
}

/** A server that others may use too: nothing of it is killed, and its memory is not ours to see. */
function remote(name: string, url: string): Subject {
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new UsageError(`--url is "${url}": expected e.g. http://127.0.0.1:8700`);
  const open = () => sidecarEnvironment(name, url);
  return {
    open,
    memory: null,
    crash: async (episodeIds) => void (await Promise.all(episodeIds.map((episodeId) => open().close(episodeId)))),
  };
}

function table(name: string, findings: readonly Finding[]): string {
  const word = (holds: Finding['holds']) => (holds === null ? '  -  ' : holds ? 'holds' : 'FAILS');
  const count = (wanted: Finding['holds']) => findings.filter(({ holds }) => holds === wanted).length;
  const open = findings.filter(({ holds }) => holds === null).map(({ check }) => check.split(':')[0]);
  const summary = `${count(true)} hold, ${count(false)} fail${open.length === 0 ? '' : `; not looked at, so neither: ${open.join(', ')}`}`;
  // One fault of a tool's fails most of the checks, with the same words.
  const told = new Set<string>();
  const line = ({ check, holds, detail }: Finding) => {
    const known = holds === false && told.has(detail);
    told.add(detail);
    return `  ${word(holds)}  ${check}\n         ${known ? 'the same' : detail}`;
  };
  return [`environment ${name}`, ...findings.map(line), summary].join('\n');
}

await command(USAGE, OPTIONS, main, { positionals: true });
