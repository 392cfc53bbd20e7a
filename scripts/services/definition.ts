import type { PortNeed } from './ports.js';
import type { Command } from './processes.js';

/** What a service may depend on when it starts. */
export interface Surroundings {
  readonly dataDir: string;
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** The port of a service that was started before. */
  port(service: string, key?: string): number;
  /** Variables that lead a client to the services. */
  env(): Record<string, string>;
}

/** How one service is started, recognised as ready, and stopped. */
export interface ServiceDefinition {
  readonly name: string;
  /** Services of one stage start side by side, after all of the stage before; they stop in reverse. */
  readonly stage: number;
  readonly ports: readonly PortNeed[];
  /** How long a start may take before it counts as failed, in ms. */
  readonly readyWithinMs: number;
  /** How long it may take to stop by itself, in ms. */
  readonly graceMs: number;
  command(surroundings: Surroundings): Promise<Command>;
  /** Something that changes with its code; an orphan that runs other code is replaced. */
  codeVersion?(): Promise<string>;
  /** Folders to make and leftovers of the last process to remove. */
  beforeStart?(surroundings: Surroundings): Promise<void>;
  isHealthy(surroundings: Surroundings): Promise<boolean>;
  /** Once healthy after a start: what must exist in it. Idempotent. */
  prepare?(surroundings: Surroundings): Promise<void>;
}
