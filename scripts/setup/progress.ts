import { Listr } from 'listr2';
import type { Component, Step } from './component.js';

export interface Work {
  readonly component: Component;
  readonly run: (step: Step) => Promise<void>;
}

const seconds = (since = performance.now()) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

/**
 * Runs the given work at once, showing a line per component: with a bar on a terminal, plain lines in a log.
 *
 * A failure does not stop the others: what they finish need not be done again.
 *
 * @throws the first failure, once all have ended
 */
export async function showProgress(work: readonly Work[]): Promise<void> {
  const failures: unknown[] = [];
  const remembering = work.map(({ component, run }) => ({
    component,
    run: (step: Step) =>
      run(step).catch((error: unknown) => {
        failures.push(error);
        throw error;
      }),
  }));
  await (process.stdout.isTTY ? onTerminal(remembering) : asLines(remembering));
  if (failures.length > 0) throw failures[0];
}

async function onTerminal(work: readonly Work[]): Promise<void> {
  // listr2 would exit with 127. execa ends the running commands with us; the next set-up goes on.
  const interrupted = () => {
    process.stdout.write('\x1b[?25h\n'); // the cursor, which listr2 hides
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  const tasks = new Listr(
    work.map(({ component, run }) => ({
      title: component.title,
      task: async (_context: unknown, task: { output: string; title: string }) => {
        let start: number | undefined;
        task.output = 'waiting';
        await run({
          progress: (fraction, note = '') => {
            start ??= performance.now(); // not while it waited for its lane
            task.output = `${bar(fraction)} ${note}`;
          },
        });
        task.title = `${component.title}, ${seconds(start)}`;
      },
    })),
    {
      concurrent: true,
      exitOnError: false,
      registerSignalListeners: false,
      rendererOptions: { collapseErrors: false, showErrorMessage: false },
    },
  );
  await tasks.run().finally(() => process.removeListener('SIGINT', interrupted));
}

/** `████░░░░  50 %` */
export function bar(fraction: number, width = 24): string {
  const share = Math.min(1, Math.max(0, fraction));
  const full = Math.round(share * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)} ${String(Math.round(share * 100)).padStart(3)} %`;
}

async function asLines(work: readonly Work[]): Promise<void> {
  await Promise.all(
    work.map(async ({ component, run }) => {
      let start: number | undefined;
      let nextQuarter = 0;
      await run({
        progress: (fraction, note) => {
          start ??= performance.now();
          if (fraction < nextQuarter) return;
          console.log(
            `set-up: ${component.title}: ${Math.round(fraction * 100)} %${note === undefined ? '' : ` (${note})`}`,
          );
          nextQuarter = (Math.floor(fraction * 4) + 1) / 4;
        },
      }).then(
        () => console.log(`set-up: ${component.title}: ready in ${seconds(start)}`),
        () => console.log(`set-up: ${component.title}: failed after ${seconds(start)}`),
      );
    }),
  );
}
