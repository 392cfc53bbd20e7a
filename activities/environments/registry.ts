import type { ActionFormat } from '../rollout/tool-calls.js';
import type { Environment } from './environment.js';
import { EnvService } from './env-service.js';
import { isModuleName, ModuleEnvironment } from './module-environment.js';
import { RestoringEnvironment, type WaitOptions } from './restoring-environment.js';

/** The environment's name is none of the registry's, or this worker was not told where it is. */
export class UnknownEnvironment extends Error {
  override readonly name = 'UnknownEnvironment';
}

export interface EnvironmentOptions extends WaitOptions {
  /** A named set of training tasks; the environment's own default if absent. */
  readonly taskSet?: string;
}

/** Where things are on this machine; from workers/dependencies.ts. */
export interface EnvironmentSites {
  /** Of the sidecar that serves bfcl-windows, e.g. `http://127.0.0.1:8700`. */
  readonly bfclUrl?: string;
  /** Of the sidecar that serves bfcl, the whole of BFCL v4 multi-turn. */
  readonly bfclFullUrl?: string;
  /** Of the sidecar that serves appworld. */
  readonly appworldUrl?: string;
  /** Folders below which `environment.name` may be a module, e.g. `./my-environment.ts`; none: modules are refused. */
  readonly environmentRoots?: readonly string[];
}

type Factory = (sites: EnvironmentSites, options: EnvironmentOptions) => Environment;

interface Served {
  /** How its prompts ask for calls. */
  readonly callFormat: ActionFormat;
  /** The same of one task, where its options decide it. */
  readonly callFormatOf?: (taskId: string) => ActionFormat;
  readonly url: (sites: EnvironmentSites) => string | undefined;
  /** What a worker is told the address by. */
  readonly variable: string;
  /** For one request, in milliseconds; the client's own if absent. */
  readonly timeoutMs?: number;
}

/** Environments behind a sidecar, one process each. */
const SERVED: Readonly<Record<string, Served>> = {
  'bfcl-windows': { callFormat: 'call-lines', url: ({ bfclUrl }) => bfclUrl, variable: 'SEEUPO_BFCL_URL' },
  bfcl: {
    callFormat: 'hermes',
    callFormatOf: bfclFormat,
    url: ({ bfclFullUrl }) => bfclFullUrl,
    variable: 'SEEUPO_BFCL_FULL_URL',
  },
  // A step runs a program, and may wait until one of the pool's processes is free.
  appworld: {
    callFormat: 'code-block',
    url: ({ appworldUrl }) => appworldUrl,
    variable: 'SEEUPO_APPWORLD_URL',
    timeoutMs: 240_000,
  },
};

/** Responses to the official prompt are read as the official handler reads them; the authors' prompt has its own reader. */
function bfclFormat(taskId: string): ActionFormat {
  const [, options = ''] = taskId.split('?', 2) as [string, string?];
  return options.split('&').includes('prompt=authors') ? 'hermes' : 'bfcl-fc';
}

const FACTORIES: Readonly<Record<string, Factory>> = Object.fromEntries(
  Object.entries(SERVED).map(([name, { url, variable }]): [string, Factory] => [
    name,
    (sites, options) => served(name, url(sites), variable, options),
  ]),
);

/** Names an environment can be asked for by. */
export const environmentNames = (): string[] => Object.keys(FACTORIES);

/**
 * Name -> environment, one for each activity attempt: it remembers the episodes it started.
 *
 * @throws {UnknownEnvironment} for a name that is not in the registry
 */
export const createEnvironments =
  (sites: EnvironmentSites) =>
  (name: string, options: EnvironmentOptions = {}): Environment => {
    const factory = Object.hasOwn(FACTORIES, name) ? FACTORIES[name] : undefined;
    if (factory) return factory(sites, options);
    if (isModuleName(name)) return inModule(name, sites, options);
    throw new UnknownEnvironment(
      `environment.name: ${JSON.stringify(name)} is unknown, expected one of: ${environmentNames().join(', ')}, or a module such as "./my-environment.ts"`,
    );
  };

/** An environment that a module of the user's defines; it lives in this process. */
function inModule(
  name: string,
  { environmentRoots = [] }: EnvironmentSites,
  { taskSet: _, ...wait }: EnvironmentOptions,
): Environment {
  if (environmentRoots.length === 0) {
    throw new UnknownEnvironment(
      `environment.name: ${JSON.stringify(name)} is a module, and this worker loads none: set SEEUPO_ENVIRONMENTS_DIR to the folder that holds it`,
    );
  }
  return new RestoringEnvironment(new ModuleEnvironment(name, environmentRoots), wait);
}

/** An environment behind a sidecar. */
function served(
  name: string,
  url: string | undefined,
  variable: string,
  { taskSet, ...wait }: EnvironmentOptions,
): Environment {
  if (url === undefined) {
    throw new UnknownEnvironment(
      `environment ${name}: this worker does not know its sidecar: start the sidecar and set ${variable} to its address`,
    );
  }
  return new RestoringEnvironment(sidecarEnvironment(name, url, taskSet), wait);
}

/** Names that a sidecar can serve. */
export const sidecarEnvironments = (): string[] => Object.keys(SERVED);

/** Client of one environment of a sidecar; it neither waits nor restores. */
export function sidecarEnvironment(name: string, url: string, taskSet?: string): EnvService {
  const { callFormat = 'call-lines', callFormatOf, timeoutMs } = SERVED[name] ?? {};
  const format = { callFormat, ...(callFormatOf === undefined ? {} : { callFormatOf }) };
  return new EnvService({
    name,
    url,
    ...format,
    ...(taskSet === undefined ? {} : { taskSet }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}
