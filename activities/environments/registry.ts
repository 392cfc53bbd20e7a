import type { Environment } from './environment.js';
import { EnvService } from './env-service.js';
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
}

type Factory = (sites: EnvironmentSites, options: EnvironmentOptions) => Environment;

const FACTORIES: Readonly<Record<string, Factory>> = {
  'bfcl-windows': ({ bfclUrl }, options) => served('bfcl-windows', bfclUrl, 'SEEUPO_BFCL_URL', options),
};

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
    throw new UnknownEnvironment(`environment.name: ${JSON.stringify(name)} is unknown, expected one of: ${environmentNames().join(', ')}`);
  };

/** An environment behind a sidecar. */
function served(name: string, url: string | undefined, variable: string, { taskSet, ...wait }: EnvironmentOptions): Environment {
  if (url === undefined) {
    throw new UnknownEnvironment(`environment ${name}: this worker does not know its sidecar: start the sidecar and set ${variable} to its address`);
  }
  return new RestoringEnvironment(new EnvService({ name, url, ...(taskSet === undefined ? {} : { taskSet }) }), wait);
}
