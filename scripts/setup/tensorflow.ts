import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, rm, symlink } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { promisify } from 'node:util';
import type { Component, Step } from './component.js';
import { inRuntime, inSetUpSources, runtimeDir } from './paths.js';
import { downloadWheel, emptyTemporary } from './pip.js';
import { python } from './prerequisites.js';
import { runCommand } from './run-command.js';
import { SetUpError } from './set-up-error.js';
import { moveIntoPlace, stampHolds, writeStamp } from './stamp.js';
import { unzip } from './unzip.js';

export const TENSORFLOW_VERSION = '2.21.0';

interface Build {
  readonly name: 'cpu' | 'cuda' | 'arm64';
  readonly requirements: string;
  readonly platform: string;
  readonly wheelBytes: number;
  /** Size of what is unpacked, roughly, for the progress bar. */
  readonly unpackedBytes: number;
}

const builds: Record<Build['name'], Build> = {
  cpu: {
    name: 'cpu',
    requirements: 'tensorflow-cpu.txt',
    platform: 'manylinux_2_27_x86_64',
    wheelBytes: 273_829_956,
    unpackedBytes: 880e6,
  },
  cuda: {
    name: 'cuda',
    requirements: 'tensorflow.txt',
    platform: 'manylinux_2_27_x86_64',
    wheelBytes: 572_440_367,
    unpackedBytes: 1700e6,
  },
  arm64: {
    name: 'arm64',
    requirements: 'tensorflow.txt',
    platform: 'manylinux_2_27_aarch64',
    wheelBytes: 281_828_020,
    unpackedBytes: 900e6,
  },
};

/** SEEUPO_TENSORFLOW=cpu|cuda decides; otherwise CUDA where nvidia-smi lists a GPU. Device files first: starting nvidia-smi takes a second. */
async function chooseBuild(): Promise<Build> {
  if (process.arch === 'arm64') return builds.arm64;
  const asked = process.env.SEEUPO_TENSORFLOW;
  if (asked === 'cpu' || asked === 'cuda') return builds[asked];
  if (asked !== undefined)
    throw new SetUpError(`SEEUPO_TENSORFLOW is "${asked}", expected cpu or cuda, or unset to detect`);
  if (!existsSync('/dev/nvidiactl') && !existsSync('/dev/dxg')) return builds.cpu;
  const gpus = await promisify(execFile)('nvidia-smi', ['-L']).catch(() => undefined);
  return gpus?.stdout.includes('GPU ') ? builds.cuda : builds.cpu;
}

const version = (build: Build) => `${TENSORFLOW_VERSION} ${build.name}`;

const librariesAndHeaders =
  /^tensorflow\/(?:(lib)tensorflow_(?:cc|framework)\.so\.2|include\/(?:tensorflow\/(?:c|core\/platform)|tsl|xla)\/.*)$/;

/** The libraries and C headers of the current TensorFlow, out of its Python wheel, laid out as tfjs-node expects its `deps`. */
export const tensorflow: Component = {
  name: 'tensorflow',
  title: `TensorFlow ${TENSORFLOW_VERSION}`,
  lane: 'registry',
  after: [],
  prerequisites: async () => ['linux', 'python'],
  diskBytes: 1.3e9,

  async isThere() {
    return stampHolds('tensorflow', version(await chooseBuild()));
  },

  async install(step) {
    const build = await chooseBuild();
    const wheel = await downloadWheel(
      'tensorflow',
      build.requirements,
      ['--python-version=3.11', '--implementation=cp', '--abi=cp311', `--platform=${build.platform}`],
      build.wheelBytes,
      (fraction) => step.progress(0.7 * fraction, `download, ${Math.round(build.wheelBytes / 1e6)} MB`),
    );
    const folder = await emptyTemporary('tensorflow');
    const written = await unzip(
      wheel,
      (entry) => {
        const match = librariesAndHeaders.exec(entry);
        if (match === null) return undefined;
        return match[1] === 'lib'
          ? join(folder, 'lib', basename(entry))
          : join(folder, entry.replace(/^tensorflow\//, ''));
      },
      (bytes) => step.progress(0.7 + 0.28 * Math.min(1, bytes / build.unpackedBytes), 'unpack'),
    );
    // The names the binding links against, and the one it was built to load.
    await symlink('libtensorflow_cc.so.2', join(folder, 'lib', 'libtensorflow.so.2'));
    await symlink('libtensorflow_cc.so.2', join(folder, 'lib', 'libtensorflow.so'));
    await symlink('libtensorflow_framework.so.2', join(folder, 'lib', 'libtensorflow_framework.so'));
    if (build.name === 'cuda') await addCuda(folder, step);

    await moveIntoPlace(folder, inRuntime('tensorflow'));
    await rm(join(wheel, '..'), { recursive: true, force: true });
    const libraries = [...written].filter(([path]) => path.startsWith(join(folder, 'lib')));
    await writeStamp('tensorflow', {
      version: version(build),
      files: Object.fromEntries(
        libraries.map(([path, file]) => [
          relative(runtimeDir, join(inRuntime('tensorflow'), relative(folder, path))),
          file,
        ]),
      ),
    });
  },
};

/** The shared object looks for CUDA in `../nvidia/<library>/lib` relative to itself. */
async function addCuda(folder: string, step: Step): Promise<void> {
  step.progress(0.98, 'CUDA libraries, about 3 GB');
  const target = await emptyTemporary('cuda');
  await runCommand(
    python,
    [
      '-m',
      'pip',
      'install',
      '--no-deps',
      '--only-binary=:all:',
      '--progress-bar=off',
      '--target',
      target,
      '--requirement',
      inSetUpSources('requirements', 'cuda.txt'),
    ],
    {
      purpose: 'downloading the CUDA libraries',
      log: 'tensorflow',
      remedy: 'Or set SEEUPO_TENSORFLOW=cpu to go on without the GPU.',
    },
  );
  await rename(join(target, 'nvidia'), join(folder, 'nvidia'));
  await rm(target, { recursive: true, force: true });
}
