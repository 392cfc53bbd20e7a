/**
 * Calls `stop` at the first Ctrl-C, SIGTERM or hang-up.
 *
 * In a terminal one Ctrl-C arrives several times (from the terminal, from npm, from bootstrap), so repeats within two
 * seconds are the same one. A later one is an impatient person: the process exits at once. Services then live on
 * without a supervisor until the next command takes them over, or `npm run up -- --down` ends them.
 */
export function onStopSignal(stop: () => void): void {
  let firstMs: number | undefined;
  const received = (signal: NodeJS.Signals) => {
    if (firstMs === undefined) {
      firstMs = Date.now();
      stop();
    } else if (Date.now() - firstMs > 2_000) {
      console.error('leaving at once; `npm run up -- --down` stops what is still running');
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, received);
}
