import type { RestorableEnvironment } from '../environment.js';
import type { Inspection } from '../inspection.js';

/** An environment, and what the kit can learn of it besides. */
export type Checked = RestorableEnvironment & {
  solution?(taskId: string): Promise<readonly string[] | null>;
  inspect?(): Inspection | null | Promise<Inspection | null>;
};

/** How the kit gets at an environment. */
export interface Subject {
  /** A new client, or a new instance of an environment that lives in this process. */
  open(): Checked;
  /** Loses every live episode, as a killed process does; `open` works again when it returns. The kit's own are named, for who can only close them. */
  crash(episodeIds: readonly string[]): Promise<void>;
  /** Of an environment that lives in this process: loads its code anew, as another worker does, and says how to let go of it. */
  readonly reload?: () => { readonly environment: Checked; end(): Promise<void> };
  /** Memory of the process that holds the episodes, in bytes; absent if it is this process, null if nobody can see it. */
  readonly memory?: (() => number) | null;
}
