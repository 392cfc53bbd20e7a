import { createLogUpdate } from 'log-update';
import { eventLines, liveBlock } from './progress-view.js';
import type { Snapshot } from './snapshot.js';

/** Where a run's progress is shown: on a terminal one block that updates, in a log one line per event. */
export interface Display {
  show(snapshot: Snapshot, url: string): void;
  /** A line that stays, above the block. */
  line(text: string): void;
  /** Takes the block away; lines stay. */
  close(): void;
}

/** @param out  standard output, or a stand-in for it */
export function createDisplay(out: NodeJS.WriteStream): Display {
  // Some terminals (a container's, before it is attached) have no size: nothing would be left of a block.
  const block = out.isTTY && out.rows > 0 && out.columns > 0 ? createLogUpdate(out, { showCursor: true }) : null;
  let before: Snapshot | null = null;
  const line = (text: string): void => {
    block?.clear();
    out.write(`${text}\n`);
  };
  return {
    line,
    show(snapshot, url) {
      const now = Date.now();
      for (const event of eventLines(before, snapshot, now)) line(event);
      before = snapshot;
      block?.(liveBlock(snapshot, { url, now }));
    },
    close() {
      block?.clear();
      block?.done();
    },
  };
}
