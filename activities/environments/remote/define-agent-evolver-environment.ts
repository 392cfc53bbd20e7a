import type { ActionFormat } from '../../rollout/tool-calls.js';
import { checked } from '../check-definition.js';
import type { DefinedEnvironment, OnStepFailure } from '../definition.js';

/** An environment behind AgentEvolver's env_service. */
export interface AgentEvolverSpec {
  readonly name: string;
  /** Where the service listens, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** The service's `env_type`, e.g. `bfcl` or `appworld`. */
  readonly envType: string;
  /** What the service calls the two sides of the split, e.g. `train` and `val`. */
  readonly splits: { readonly train: string; readonly heldout: string };
  /** Responses that a task takes at most; the protocol does not say. */
  readonly turns: number;
  /** `params` of /create. */
  readonly params?: Readonly<Record<string, unknown>>;
  /** `params.sparse` of /evaluate, true if left out. */
  readonly sparse?: boolean;
  /** Score in [0, 1] from what /evaluate gives; left out: the number itself. */
  score?(evaluated: unknown): number;
  /**
   * The service reports its own faults as text that begins with `[ERROR]`. `fault` (default) stops the run there,
   * `observation` lets the model read it.
   */
  readonly errorReplies?: 'fault' | 'observation';
  /** How the service's prompts ask for calls, `hermes` if left out. It reads the response's text itself. */
  readonly format?: ActionFormat;
  /** For one request, 200 s if left out. */
  readonly timeoutMs?: number;
  /** For a step that is not answered in time, or that ends the server, each time: `fault` if left out. */
  readonly onStepFailure?: OnStepFailure;
}

/**
 * An environment of a running AgentEvolver env_service. Its /step is not idempotent, so no request is ever
 * repeated: after a lost reply the episode is played again in a new instance, and compared.
 *
 * @throws {BadEnvironmentDefinition}
 */
export function defineAgentEvolverEnvironment(spec: AgentEvolverSpec): DefinedEnvironment<'agent-evolver'> {
  return checked('agent-evolver', spec);
}
