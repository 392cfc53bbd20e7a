import type { ArtifactStore } from './artifacts/store.js';
import type { Environment } from './environments/environment.js';
import type { EnvironmentOptions } from './environments/registry.js';
import type { WithHeartbeats } from './heartbeats.js';
import type { Arithmetic } from '../schemas/arithmetic.js';
import type { Execution } from '../schemas/ownership.js';
import type { OnProgress, Policy, TextCodec } from './policy/policy.js';
import type { AcceptedSettings } from './policy/weights/hugging-face-config.js';
import type { ExecutionState } from './run/ownership.js';

/** Dependencies of all activities; built once per worker process in workers/dependencies.ts. */
export interface CpuDependencies {
  readonly artifacts: ArtifactStore;
  /** An environment for one attempt of one activity, e.g. `environments('bfcl-windows', { taskSet: 'quickstart' })`. */
  readonly environments: (name: string, options: EnvironmentOptions) => Environment;
  /** Codec of a model file; `modelFile` is absolute. Loaded once per file and kept. */
  readonly codec: (modelFile: string) => Promise<TextCodec>;
  /** Root of the model files (SEEUPO_MODELS_DIR), absolute. */
  readonly modelsDir: string;
  /**
   * Downloads a model of a hub unless it is there, `hf://owner/name@revision` or the path of one; its path below
   * modelsDir. Other paths come back as they are. What is refused of its config.json, without those settings that are
   * accepted, is so before its weights come.
   */
  readonly fetchModel: (model: string, onProgress?: OnProgress, accepted?: AcceptedSettings) => Promise<string>;
  /** package.json version and, in a checkout, the commit. */
  readonly codeVersion: string;
  /** Where this worker reaches its Temporal server, host:port. */
  readonly temporalAddress: string;
  /** State of an execution on that server. */
  readonly executionState: (execution: Execution) => Promise<ExecutionState>;
  /** Runs a piece of work with heartbeats; `withHeartbeats` on a worker, `withoutHeartbeats` in tests. */
  readonly heartbeats: WithHeartbeats;
}

/** Further dependencies of activities on the GPU queue. */
export interface GpuDependencies extends CpuDependencies {
  /** The arithmetic (precision, replicas, device) in which `policy` computes. */
  readonly arithmetic: Arithmetic;
  readonly policy: Policy;
}
