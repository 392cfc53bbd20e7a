import type { Action } from '../../../schemas/environment-protocol.js';
import type { Task } from '../../../schemas/task.js';
import type { CallCount } from '../inspection.js';
import { DAY_MS, movedWorld } from './moved-world.js';
import { NotLookedAt, type ProbeOutcome } from './outcome.js';
import { Player, type Played } from './player.js';
import type { Checked, Subject } from './subject.js';

export interface CheckOptions {
  /** Episodes of the leak check; 0 leaves it out. */
  readonly leakEpisodes: number;
  /** After so long, in milliseconds, the leak check makes do with the episodes that it has played. */
  readonly maxLeakMs: number;
  /** Tasks that are played, spread over both splits. */
  readonly tasks: number;
  /** A step may take so long, in milliseconds. */
  readonly maxStepMs: number;
  readonly onProgress?: (line: string) => void;
}

/** First draws of Math.random in the two episodes that are compared. */
export const LOW = 0.0001;
export const HIGH = 0.9999;

/** The environment under check, and what the checks share. */
export class Kit {
  readonly player: Player;
  private readonly opened = new Set<Checked>();
  private inspected = false;

  constructor(
    readonly subject: Subject,
    readonly options: CheckOptions,
  ) {
    this.player = new Player({ open: () => this.open() }, options.tasks);
  }

  /** Whether the calls of its tools can be counted. */
  async load(): Promise<boolean> {
    const environment = this.open();
    await environment.listTasks('train');
    return (this.inspected = ((await environment.inspect?.()) ?? null) !== null);
  }

  open(): Checked {
    const environment = this.subject.open();
    this.opened.add(environment);
    return environment;
  }

  /** Calls of each tool so far. */
  async calls(): Promise<Map<string, CallCount>> {
    const all = new Map<string, CallCount>();
    for (const environment of this.opened) {
      for (const [tool, { accepted, refused, lastRefusal }] of (await environment.inspect?.())?.calls ?? []) {
        const known = all.get(tool) ?? { accepted: 0, refused: 0, lastRefusal: null };
        all.set(tool, {
          accepted: known.accepted + accepted,
          refused: known.refused + refused,
          lastRefusal: lastRefusal ?? known.lastRefusal,
        });
      }
    }
    return all;
  }

  /** Does the work; where calls are counted and none was accepted, the tools did nothing that could have failed. */
  async exercising(work: () => Promise<string>): ProbeOutcome {
    const accepted = async () => [...(await this.calls()).values()].reduce((sum, count) => sum + count.accepted, 0);
    const before = await accepted();
    const detail = await work();
    if (!this.inspected) return detail;
    const during = (await accepted()) - before;
    if (during > 0) return `${detail}, ${during} accepted calls`;
    return new NotLookedAt(
      `no call was accepted (tools ${[...(await this.calls()).keys()].join(', ')}): give \`solve\``,
    );
  }

  /** One episode under another clock and other dice. */
  async playIn(
    environment: Checked,
    task: Task,
    actions: readonly Action[],
    how: Parameters<typeof movedWorld>[0],
  ): Promise<Played> {
    const world = movedWorld(how);
    try {
      return await this.player.play(environment, task, actions, true, world);
    } finally {
      world.end();
    }
  }

  /** Works with the code loaded anew on another day; null where it cannot be. */
  async reloaded<R>(work: (environment: Checked) => Promise<R>): Promise<R | null> {
    if (!this.subject.reload) return null;
    const world = movedWorld({ clockMs: DAY_MS, draw: HIGH });
    const { environment, end } = this.subject.reload();
    try {
      return await work(environment);
    } finally {
      world.end();
      await end();
    }
  }
}
