import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createS3Store, type S3StoreOptions } from '../activities/artifacts/s3-store.js';
import type { Logger } from 'pino';
import type { CpuDependencies } from '../activities/dependencies.js';
import { createEnvironments } from '../activities/environments/registry.js';
import { withHeartbeats } from '../activities/heartbeats.js';
import { HubModels, type Hub } from '../activities/policy/hub-models.js';
import type { DeviceReport, Precision, TextCodec } from '../activities/policy/policy.js';
import { loadTextCodec } from '../activities/policy/text-codec.js';
import type { Arithmetic } from '../schemas/arithmetic.js';
import { Variables } from './environment-variables.js';
import { executionState } from './execution-state.js';
import { BadProxy, fetchThrough, proxiesOf, proxyFor, type Proxies } from './proxy.js';

/** How Temporal is spoken to; the key and the files are named in the environment only. */
export interface TemporalSettings {
  readonly address: string;
  readonly namespace: string;
  readonly apiKey: string | null;
  /** HTTP proxy that connects to the server, e.g. `http://proxy:3128`; null: none is in between. */
  readonly proxy: string | null;
  /** Null is no TLS. */
  readonly tls: {
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
    readonly serverName: string | null;
  } | null;
}

export interface WorkerSettings {
  readonly temporal: TemporalSettings;
  readonly queues: { readonly control: string; readonly gpu: string };
  readonly s3: Required<
    Pick<S3StoreOptions, 'endpoint' | 'bucket' | 'region' | 'forcePathStyle' | 'encryption' | 'proxy'>
  >;
  /** Under which this worker's workflows are pinned or upgraded; null: unversioned. */
  readonly deployment: { readonly name: string; readonly buildId: string } | null;
  readonly bfclUrl: string | null;
  readonly bfclFullUrl: string | null;
  readonly appworldUrl: string | null;
  readonly environmentRoots: readonly string[];
  readonly modelsDir: string;
  readonly hub: Hub;
  readonly proxies: Proxies;
  readonly readyFile: string | null;
  readonly precision: Precision;
  readonly replicas: number;
  readonly logLevel: string;
}

/** An environment variable is missing or wrong; the message lists all of them. */
export class BadEnvironmentVariables extends Error {
  override name = 'BadEnvironmentVariables';
  constructor(problems: readonly string[]) {
    super(`Environment variables need attention:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

/** @throws {BadEnvironmentVariables} */
export function readSettings(variables: Readonly<Record<string, string | undefined>> = process.env): WorkerSettings {
  // An empty variable is a variable that was not set, as in shells and compose files.
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
  const parsed = Variables.safeParse(given);
  if (!parsed.success) {
    throw new BadEnvironmentVariables(
      parsed.error.issues.map(({ path: [name], message }) => {
        const found = given[String(name)];
        return `${String(name)} ${found === undefined ? 'is not set' : `is "${found}"`}: ${message}`;
      }),
    );
  }
  const v = parsed.data;
  const proxies = proxiesOf(given);
  const through = (url: string): string | null => {
    try {
      return URL.canParse(url) ? proxyFor(new URL(url), proxies) : null;
    } catch (error) {
      throw error instanceof BadProxy ? new BadEnvironmentVariables([error.message]) : error;
    }
  };
  return {
    temporal: temporalSettings(v, through),
    queues: { control: `${v.SEEUPO_QUEUE_PREFIX}-control`, gpu: `${v.SEEUPO_QUEUE_PREFIX}-gpu` },
    s3: {
      endpoint: v.SEEUPO_S3_ENDPOINT ?? null,
      bucket: v.SEEUPO_S3_BUCKET,
      region: v.SEEUPO_S3_REGION,
      forcePathStyle: v.SEEUPO_S3_FORCE_PATH_STYLE
        ? v.SEEUPO_S3_FORCE_PATH_STYLE === 'true'
        : v.SEEUPO_S3_ENDPOINT !== undefined,
      proxy: through(v.SEEUPO_S3_ENDPOINT ?? `https://s3.${v.SEEUPO_S3_REGION}.amazonaws.com`),
      encryption: v.SEEUPO_S3_SSE ? { algorithm: v.SEEUPO_S3_SSE, kmsKeyId: v.SEEUPO_S3_KMS_KEY_ID ?? null } : null,
    },
    deployment: v.SEEUPO_BUILD_ID ? { name: v.SEEUPO_DEPLOYMENT, buildId: v.SEEUPO_BUILD_ID } : null,
    bfclUrl: v.SEEUPO_BFCL_URL ?? null,
    bfclFullUrl: v.SEEUPO_BFCL_FULL_URL ?? null,
    appworldUrl: v.SEEUPO_APPWORLD_URL ?? null,
    environmentRoots: (v.SEEUPO_ENVIRONMENTS_DIR ?? '')
      .split(path.delimiter)
      .filter((root) => root !== '')
      .map((root) => path.resolve(root)),
    modelsDir: path.resolve(v.SEEUPO_MODELS_DIR ?? path.join(v.SEEUPO_RUNTIME_DIR, 'models')),
    hub: { endpoint: v.HF_ENDPOINT, token: v.HF_TOKEN ?? null },
    proxies,
    readyFile: v.SEEUPO_READY_FILE ?? null,
    precision: v.SEEUPO_PRECISION,
    replicas: v.SEEUPO_REPLICAS,
    logLevel: v.SEEUPO_LOG_LEVEL,
  };
}

function temporalSettings(v: Variables, through: (url: string) => string | null): TemporalSettings {
  const {
    SEEUPO_TEMPORAL_API_KEY: apiKey = null,
    SEEUPO_TEMPORAL_TLS_CA: ca = null,
    SEEUPO_TEMPORAL_TLS_CERT: cert = null,
  } = v;
  const { SEEUPO_TEMPORAL_TLS_KEY: key = null, SEEUPO_TEMPORAL_TLS_SERVER_NAME: serverName = null } = v;
  const asked = [apiKey, ca, cert, key, serverName].some((value) => value !== null);
  // None of these messages shows a value: one of them is a secret.
  const problems = [
    ...(v.SEEUPO_TEMPORAL_TLS === 'false' && asked
      ? [
          'SEEUPO_TEMPORAL_TLS is "false", but a key or certificate for Temporal is set, which must not travel in the clear: unset one of them',
        ]
      : []),
    ...((cert === null) !== (key === null)
      ? ['SEEUPO_TEMPORAL_TLS_CERT and SEEUPO_TEMPORAL_TLS_KEY belong together: set both, or neither']
      : []),
  ];
  if (problems.length > 0) throw new BadEnvironmentVariables(problems);
  const tls = v.SEEUPO_TEMPORAL_TLS === 'true' || asked ? { ca, cert, key, serverName } : null;
  const proxy = through(`${tls === null ? 'http' : 'https'}://${v.SEEUPO_TEMPORAL_ADDRESS}`);
  return { address: v.SEEUPO_TEMPORAL_ADDRESS, namespace: v.SEEUPO_TEMPORAL_NAMESPACE, apiKey, proxy, tls };
}

/** A store that is restarted is waited for; one that is away for longer fails the step, which is then tried again. */
const STORE_PATIENCE_MS = 60_000;

/** What activities of either queue work with; the GPU worker adds its policy. */
export function createDependencies(settings: WorkerSettings, log: Pick<Logger, 'warn'>): CpuDependencies {
  // Which Node to run on is decided in package.json; a warning in every worker's log helps nobody.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  const codecs = new Map<string, Promise<TextCodec>>();
  const hub = new HubModels(settings.modelsDir, { ...settings.hub, fetch: fetchThrough(settings.proxies) });
  return {
    artifacts: createS3Store({ ...settings.s3, patienceMs: STORE_PATIENCE_MS }),
    environments: createEnvironments({
      environmentRoots: settings.environmentRoots,
      ...(settings.bfclUrl === null ? {} : { bfclUrl: settings.bfclUrl }),
      ...(settings.bfclFullUrl === null ? {} : { bfclFullUrl: settings.bfclFullUrl }),
      ...(settings.appworldUrl === null ? {} : { appworldUrl: settings.appworldUrl }),
    }),
    codec(modelFile) {
      let codec = codecs.get(modelFile);
      if (!codec) {
        codec = hub
          .fetch(path.relative(settings.modelsDir, modelFile), undefined, 'any')
          .then(() => loadTextCodec(modelFile));
        codecs.set(modelFile, codec);
        // A file that could not be read may be there the next time.
        codec.then(
          ({ endRemark }) => endRemark !== null && log.warn({ modelFile }, endRemark),
          () => codecs.delete(modelFile),
        );
      }
      return codec;
    },
    modelsDir: settings.modelsDir,
    fetchModel: (model, onProgress, accepted) => hub.fetch(model, onProgress, accepted),
    codeVersion: codeVersion(),
    temporalAddress: settings.temporal.address,
    executionState,
    heartbeats: withHeartbeats,
  };
}

/** Variables of libtensorflow, oneDNN and the libraries below them that may change how sums are rounded. */
const NUMERIC_FLAG =
  /^(TF_(ENABLE|DISABLE|USE|FORCE|DETERMINISTIC|CUDNN|CUBLAS|XLA)\w*|XLA_FLAGS|ONEDNN_\w+|DNNL_\w+|MKL_\w+|OMP_NUM_THREADS|NVIDIA_TF32_OVERRIDE|CUBLAS_WORKSPACE_CONFIG)$/;

/** What a GPU worker computes in. Asked for once its policy has started, which sets some of these variables itself. */
export function arithmeticOf(
  { precision, replicas }: Pick<WorkerSettings, 'precision' | 'replicas'>,
  { name, library, isProcessor }: Pick<DeviceReport, 'name' | 'library' | 'isProcessor'>,
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Arithmetic {
  const flags = Object.entries(variables).flatMap(([flag, value]) =>
    NUMERIC_FLAG.test(flag) && value ? [`${flag}=${value}`] : [],
  );
  const threads = Number(variables['TF_NUM_INTRAOP_THREADS']) || availableParallelism();
  return { precision, replicas, device: name, threads: isProcessor ? threads : null, library, flags: flags.sort() };
}

/** package.json version, and the commit in a checkout. */
function codeVersion(): string {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
  try {
    const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return `${version}+${commit.trim()}`;
  } catch {
    return version;
  }
}
