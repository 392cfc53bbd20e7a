import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, readlink, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Component } from './component.js';
import { inRuntime, repositoryRoot, runtimeDir } from './paths.js';
import { runCommand } from './run-command.js';
import { SetUpError } from './set-up-error.js';
import { moveIntoPlace, readStamp, stampHolds, writeStamp } from './stamp.js';
import { TENSORFLOW_VERSION } from './tensorflow.js';

const packageDir = join(repositoryRoot, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
const builtPath = join(packageDir, 'lib', 'napi-v8', 'tfjs_binding.node');
const depsPath = join(packageDir, 'deps');
/** Node-API is stable across Node versions, so one compiled file serves all of them. */
const build = `napi-v8 ${process.platform}-${process.arch} tfjs-node-gpu-4.22.0 tensorflow-${TENSORFLOW_VERSION}`;
const cachePath = inRuntime('tensorflow-binding', build.replaceAll(' ', '_'), 'tfjs_binding.node');
/** The package's JavaScript is not so stable: another Node proves again that it can train. */
const version = `${build}, a training step under Node ${process.version}`;

/**
 * The native addon of @tensorflow/tfjs-node-gpu, compiled against our TensorFlow.
 *
 * It lives in node_modules, which `npm ci` wipes; a copy in the runtime folder makes putting it back a matter of milliseconds.
 */
export const tensorflowBinding: Component = {
  name: 'tensorflow-binding',
  title: 'TensorFlow binding for Node',
  lane: 'registry',
  after: ['tensorflow'],
  prerequisites: async () => ['compiler', 'python'], // node-gyp is a Python program
  diskBytes: 50e6,

  async isThere() {
    if (!(await stampHolds('tensorflow-binding', version))) return false;
    const [inPlace, cached, deps] = await Promise.all([
      stat(builtPath).catch(() => undefined),
      stat(cachePath).catch(() => undefined),
      realpath(depsPath).catch(() => undefined),
    ]);
    return (
      inPlace !== undefined &&
      inPlace.size === cached?.size &&
      deps === (await realpath(inRuntime('tensorflow')).catch(() => null))
    );
  },

  async install(step) {
    if (!existsSync(packageDir)) {
      throw new SetUpError('node_modules/@tensorflow/tfjs-node-gpu is missing: run npm ci --ignore-scripts');
    }
    await linkDeps();
    if (!(await cacheIsWhole())) {
      step.progress(0.2, 'compile');
      await runCommand(process.execPath, [nodePreGyp(), 'install', '--build-from-source', ...nodeHeaders()], {
        purpose: 'compiling the TensorFlow binding',
        log: 'tensorflow-binding',
        cwd: packageDir,
      });
      const temporary = `${cachePath}.${process.pid}.tmp`;
      await mkdir(dirname(cachePath), { recursive: true });
      await copyFile(builtPath, temporary);
      await moveIntoPlace(temporary, cachePath);
    }
    step.progress(0.8, 'copy and load');
    await mkdir(dirname(builtPath), { recursive: true });
    const beside = `${builtPath}.${process.pid}.tmp`;
    await copyFile(cachePath, beside);
    await rename(beside, builtPath); // a new inode: a process that has the old one mapped keeps it
    await proveItTrains();
    const bytes = await readFile(cachePath);
    await writeStamp('tensorflow-binding', {
      version,
      files: {
        [relative(runtimeDir, cachePath)]: {
          bytes: bytes.length,
          sha256: createHash('sha256').update(bytes).digest('hex'),
        },
      },
    });
  },
};

async function cacheIsWhole(): Promise<boolean> {
  const stamp = await readStamp('tensorflow-binding');
  const known = stamp?.version.startsWith(`${build},`) ? stamp.files[relative(runtimeDir, cachePath)] : undefined;
  const bytes = known && (await readFile(cachePath).catch(() => undefined));
  return bytes !== undefined && createHash('sha256').update(bytes).digest('hex') === known?.sha256;
}

async function linkDeps(): Promise<void> {
  const target = inRuntime('tensorflow');
  if ((await readlink(depsPath).catch(() => undefined)) === target) return;
  try {
    await rm(depsPath, { recursive: true, force: true });
    await symlink(target, depsPath);
  } catch (error) {
    // A checkout of somebody else's, with a runtime folder of one's own: the package can be bound to one of them only.
    const { code } = error as NodeJS.ErrnoException;
    if (!['EACCES', 'EPERM', 'EROFS'].includes(code ?? '')) throw error;
    const bound = await realpath(depsPath).catch(() => null);
    throw new SetUpError(
      `${packageDir} cannot be written (${code}), and its TensorFlow is ${bound ?? 'not installed'}, not ${target}: ` +
        `${bound === null ? '' : `set SEEUPO_RUNTIME_DIR=${dirname(bound)}, or `}run \`npm run setup\` as the owner of the checkout.`,
    );
  }
}

const nodePreGyp = (): string => {
  const hoisted = join(repositoryRoot, 'node_modules', '@mapbox', 'node-pre-gyp', 'bin', 'node-pre-gyp');
  return existsSync(hoisted)
    ? hoisted
    : join(packageDir, 'node_modules', '@mapbox', 'node-pre-gyp', 'bin', 'node-pre-gyp');
};

/** Node's own headers where they came with it, as they do in every usual distribution: node-gyp would fetch them from nodejs.org. */
function nodeHeaders(): string[] {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

/** What cannot train should fail here, with the library's own message, and not hours later in a worker. */
async function proveItTrains(): Promise<void> {
  const program = fileURLToPath(new URL('./prove-training-step.js', import.meta.url));
  await runCommand(process.execPath, [program], {
    purpose: `a training step of TensorFlow under Node ${process.version}`,
    log: 'tensorflow-binding',
    cwd: repositoryRoot,
    env: { TF_CPP_MIN_LOG_LEVEL: '2' },
    remedy: 'Node 20.19, 22, 24 and 26 are tried: install one of them, then run the command again.',
  });
}
