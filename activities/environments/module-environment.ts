import { realpathSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createJiti } from 'jiti';
import { z } from 'zod';
import * as zodMini from 'zod/mini';
import * as zod3 from 'zod/v3';
import * as zod4 from 'zod/v4';
import type {
  Demonstration,
  Observation,
  ResetRequest,
  RestoreRequest,
  StepRequest,
  Verdict,
} from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import type { ActionFormat } from '../rollout/tool-calls.js';
import { readTextFile } from '../text-file.js';
import * as api from './api.js';
import { relativePathHint } from './author-calls.js';
import { environmentKind, type DefinedEnvironment } from './definition.js';
import { described } from './described.js';
import type { RestorableEnvironment } from './environment.js';
import type { Inspection } from './inspection.js';
import type { InProcessEnvironment } from './in-process-environment.js';
import { openDefinition } from './open-definition.js';

/** The module is not there, lies outside the roots, or defines no environment. */
export class EnvironmentModuleInvalid extends Error {
  /** For a run it is a wrong configuration: no retry fixes it. */
  override readonly name = 'BadConfig';
}

/** `./my-environment.ts` and the like; anything else is a name of the registry. */
export const isModuleName = (name: string): boolean => /\.(ts|mts|js|mjs)$/.test(name);

/**
 * An environment that a TypeScript module defines (`defineEnvironment`), loaded without a build step.
 * The module's code runs with the worker's rights, so it must lie below a root that the operator named:
 * a configuration chooses among the operator's modules, it cannot name other files.
 */
export class ModuleEnvironment implements RestorableEnvironment {
  readonly name: string;
  private loaded: Promise<InProcessEnvironment> | undefined;
  private format: ActionFormat = 'call-lines';

  constructor(
    name: string,
    private readonly roots: readonly string[],
  ) {
    this.name = name;
  }

  get callFormat(): ActionFormat {
    return this.format;
  }

  async listTasks(split: Split): Promise<Task[]> {
    return (await this.inner()).listTasks(split);
  }

  async reset(request: ResetRequest): Promise<Observation> {
    return (await this.inner()).reset(request);
  }

  async step(request: StepRequest): Promise<Observation> {
    return (await this.inner()).step(request);
  }

  async evaluate(episodeId: string): Promise<Verdict> {
    return (await this.inner()).evaluate(episodeId);
  }

  async close(episodeId: string): Promise<void> {
    return (await this.inner()).close(episodeId);
  }

  async restore(request: RestoreRequest): Promise<Observation> {
    return (await this.inner()).restore(request);
  }

  async demonstrations(): Promise<Demonstration[]> {
    return (await this.inner()).demonstrations();
  }

  async solution(taskId: string): Promise<readonly string[] | null> {
    return (await this.inner()).solution(taskId);
  }

  async inspect(): Promise<Inspection | null> {
    return (await this.inner()).inspect();
  }

  /** Forgets every episode; processes that were started for them end. */
  async end(): Promise<void> {
    const loaded = await this.loaded?.catch(() => null); // what could not be loaded has no episodes
    await loaded?.end();
  }

  private inner(): Promise<InProcessEnvironment> {
    this.loaded ??= load(this.name, this.roots);
    return this.loaded.then((environment) => {
      this.format = environment.callFormat;
      return environment;
    });
  }
}

/** The worker's own copies, so that its check knows the module's schemas; zod 3 loads, and its schemas are refused by name. */
const ZOD = { ...z, z, default: z };
const MINI = { ...zodMini, default: zodMini };
const VIRTUAL = {
  'seeupo/environment': api,
  zod: ZOD,
  'zod/v4': { ...ZOD, ...zod4, default: z },
  'zod/mini': MINI,
  'zod/v4/mini': MINI,
  'zod/v4-mini': MINI,
  'zod/v3': { ...zod3, default: zod3 },
};

async function load(name: string, roots: readonly string[]): Promise<InProcessEnvironment> {
  const { file, root } = moduleFile(name, roots);
  const jiti = createJiti(import.meta.url, {
    fsCache: false, // nothing is written beside the user's files
    moduleCache: false, // a corrected module is read again by the next attempt
    virtualModules: VIRTUAL,
  });
  const invalid = (error: unknown): never => {
    const said = error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, ', ') : described(error);
    throw new EnvironmentModuleInvalid(
      `environment.name: ${name} could not be loaded: ${said}${relativePathHint(error)}`,
      { cause: error },
    );
  };
  await readTextFile(file).catch(invalid);
  const loaded = await inTime(jiti.import(file)).catch(invalid);
  const definition = (loaded as { default?: unknown }).default;
  if (environmentKind(definition) === null) {
    throw new EnvironmentModuleInvalid(
      `environment.name: ${name} has no environment as its default export: write \`export default defineEnvironment({ ... })\``,
    );
  }
  const folder = path.dirname(file);
  return openDefinition(definition as DefinedEnvironment, {
    folder,
    file: (relative) => within(path.resolve(folder, relative), root, `tasks: ${relative}`),
  });
}

/** A module may wait at its top level, but not for ever: whoever asks for it would wait with it. */
const LOAD_TIMEOUT_MS = 60_000;

async function inTime(loading: Promise<unknown>): Promise<unknown> {
  const loaded = new AbortController();
  const late = sleep(LOAD_TIMEOUT_MS, undefined, { signal: loaded.signal }).then(() => {
    throw new Error(`it did not load within ${LOAD_TIMEOUT_MS / 1000} s: what does it wait for at its top level?`);
  });
  try {
    return await Promise.race([loading, late]);
  } finally {
    loaded.abort();
    late.catch(() => {});
  }
}

/** @throws {EnvironmentModuleInvalid} unless the file is there and below one of the roots, links followed */
export function moduleFile(name: string, roots: readonly string[]): { file: string; root: string } {
  const found: string[] = [];
  for (const root of roots) {
    try {
      return { file: within(path.resolve(root, name), root, 'environment.name'), root };
    } catch (error) {
      found.push((error as Error).message);
    }
  }
  throw new EnvironmentModuleInvalid(found.join('; ') || `environment.name: ${name}: this worker loads no modules`);
}

function within(file: string, root: string, where: string): string {
  const [real, realRoot] = [realpathOrNull(file), realpathOrNull(root)];
  if (realRoot === null) throw new EnvironmentModuleInvalid(`${where}: the root ${root} does not exist`);
  // The same words for a file that is not there and one that is elsewhere: a configuration learns nothing of the machine.
  if (real === null || !real.startsWith(realRoot + path.sep))
    throw new EnvironmentModuleInvalid(`${where}: there is no such file below ${root}`);
  return real;
}

function realpathOrNull(file: string): string | null {
  try {
    return realpathSync(file);
  } catch {
    return null;
  }
}

/** Root of this checkout, where the shipped examples are. */
