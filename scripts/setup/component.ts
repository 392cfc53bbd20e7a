import type { Prerequisite } from './prerequisites.js';

export type ComponentName =
  | 'tensorflow'
  | 'tensorflow-binding'
  | 'model'
  | 'bfcl'
  | 's3'
  | 'temporal'
  | 'reference'
  | 'openenv'
  | 'appworld'
  | 'lint';

/** What an installing component may tell the person who waits. */
export interface Step {
  /** @param fraction  0..1 of this step; @param note  what it is doing, in a few words */
  progress(fraction: number, note?: string): void;
}

/** One thing set-up provides. Installing is idempotent, and a half-done install is never taken for a whole one. */
export interface Component {
  readonly name: ComponentName;
  readonly title: string;
  /** Components of one lane run one after another: `registry` waits on the network, `compiler` on the processor. */
  readonly lane: 'registry' | 'compiler';
  /** Components that must be there first. */
  readonly after: readonly ComponentName[];
  /** What installing would need of this machine. Asked only where the component is missing. */
  prerequisites(): Promise<readonly Prerequisite[]>;
  /** Peak disk use while installing, in bytes, temporary files included. */
  readonly diskBytes: number;
  /** Milliseconds: it runs at the start of every command. */
  isThere(): Promise<boolean>;
  install(step: Step): Promise<void>;
}
