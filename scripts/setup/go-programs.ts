import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { delimiter, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { Component, Step } from './component.js';
import { inRuntime, inSetUpSources, runtimeDir } from './paths.js';
import { runCommand } from './run-command.js';
import { SetUpError } from './set-up-error.js';
import { moveIntoPlace, readStamp, stampHolds, writeStamp } from './stamp.js';

interface Program {
  readonly component: 'temporal' | 's3';
  readonly title: string;
  readonly binary: string;
  /** The package below scripts/setup/<module>/go.mod, whose go.sum verifies every module of the build. */
  readonly module: string;
  readonly goPackage: string;
  readonly version: string;
  readonly versionPattern: RegExp;
  /** Packages in the build, for the progress bar; `go build -v` names each as it is compiled. */
  readonly packages: number;
}

const programs: Record<Program['component'], Program> = {
  temporal: {
    component: 'temporal',
    title: 'Temporal server, Web UI and CLI',
    binary: 'temporal',
    module: 'temporal',
    goPackage: 'github.com/temporalio/cli/cmd/temporal',
    version: '1.5.1',
    versionPattern: /temporal version v?(\d+)\.(\d+)\.(\d+)/,
    packages: 1298,
  },
  s3: {
    component: 's3',
    title: 'S3 server (versitygw)',
    binary: 'versitygw',
    module: 'versitygw',
    goPackage: 'github.com/versity/versitygw/cmd/versitygw',
    version: '1.8.0',
    versionPattern: /Version\s*:\s*v?(\d+)\.(\d+)\.(\d+)/,
    packages: 589,
  },
};

/** The program as set-up left it: the user's own or the one that was built. */
export async function programPath(component: Program['component']): Promise<string> {
  const path = Object.keys((await readStamp(component))?.files ?? {})[0];
  if (path === undefined) throw new SetUpError(`${programs[component].title} is not set up: run npm run setup`);
  return join(path.startsWith('/') ? '' : runtimeDir, path);
}

function goProgram(program: Program): Component {
  const { component, title, binary } = program;
  const version = `${binary} ${program.version}`;
  return {
    name: component,
    title: `${title} ${program.version}`,
    lane: 'compiler',
    after: [],
    diskBytes: 1e9,
    prerequisites: async () => ((await usersOwn(program)) === undefined ? ['go'] : []),

    isThere: () => stampHolds(component, version),

    async install(step) {
      const installed = await usersOwn(program);
      const path = installed ?? (await build(program, step));
      await writeStamp(component, {
        version,
        files: {
          [installed ?? relative(runtimeDir, path)]: { bytes: (await stat(path)).size, sha256: await sha256(path) },
        },
      });
    },
  };
}

/** The program on PATH, if it is good enough. */
async function usersOwn(program: Program): Promise<string | undefined> {
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, program.binary))
    .find((candidate) => existsSync(candidate));
  return path !== undefined && (await goodVersion(path, program)) ? path : undefined;
}

/** At least the version the project was proven with, and of the same major: an older one is left alone and not used. */
async function goodVersion(path: string, { version, versionPattern }: Program): Promise<boolean> {
  const printed = await promisify(execFile)(path, ['--version'], { timeout: 20_000 }).catch(() => undefined);
  const found = versionPattern
    .exec(printed?.stdout ?? '')
    ?.slice(1)
    .map(Number);
  const wanted = version.split('.').map(Number);
  if (found === undefined || found[0] !== wanted[0]) return false;
  const [minor = 0, patch = 0] = found.slice(1);
  const [wantedMinor = 0, wantedPatch = 0] = wanted.slice(1);
  return minor > wantedMinor || (minor === wantedMinor && patch >= wantedPatch);
}

/** Go keeps its modules and its build cache below the home folder; a service user may have none. */
export function goFolders(env: NodeJS.ProcessEnv): Record<string, string> {
  if (env.HOME) return {};
  return {
    ...(env.GOPATH || env.GOMODCACHE ? {} : { GOPATH: inRuntime('go') }),
    ...(env.GOCACHE || env.XDG_CACHE_HOME ? {} : { GOCACHE: inRuntime('go', 'build-cache') }),
  };
}

async function build({ component, title, binary, module, goPackage, packages }: Program, step: Step): Promise<string> {
  const temporary = inRuntime('tmp', `${binary}-build`);
  await mkdir(inRuntime('tmp'), { recursive: true });
  let compiled = 0;
  await runCommand(
    'go',
    // -mod=readonly: nothing but what go.mod and go.sum name. -trimpath: no path of this machine in the binary.
    ['build', '-v', '-mod=readonly', '-trimpath', '-ldflags=-s -w', '-o', temporary, goPackage],
    {
      purpose: `building ${title}`,
      log: component,
      cwd: inSetUpSources(module),
      // Pure Go: no C compiler, and a binary that does not depend on the libc of this machine.
      env: { CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '', ...goFolders(process.env) },
      onLine: (line) => {
        if (line.startsWith('go: downloading')) step.progress(0.02, 'modules');
        else step.progress(Math.min(0.98, ++compiled / packages), 'compile');
      },
      remedy: 'Check that the Go module proxy answers (go reads its settings as usual), then run the command again.',
    },
  );
  await access(temporary, constants.X_OK);
  const destination = inRuntime('bin', binary);
  await moveIntoPlace(temporary, destination);
  return destination;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

export const temporal = goProgram(programs.temporal);
export const s3 = goProgram(programs.s3);
