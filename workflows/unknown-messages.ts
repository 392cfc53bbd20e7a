import { log, setDefaultSignalHandler, setDefaultUpdateHandler } from '@temporalio/workflow';
import { refused } from './steering.js';

/** Names that a workflow answers to. */
export interface Names {
  readonly signals: readonly string[];
  readonly updates: readonly string[];
  /** Who answers to others, in words. */
  readonly elsewhere?: string;
}

const listed = (names: readonly string[]): string =>
  names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`;

/**
 * Registers what becomes of signals and updates of a name that there is none of. An update is refused with the
 * names that
 * there are; a signal cannot be refused, its sender is told that it succeeded: it is logged and shown. To be called
 * after the
 * handlers of the names that are known: what waits for a handler is handed out at once.
 *
 * @param show  shows a sentence to whoever looks at the workflow
 */
export function refuseUnknownMessages(
  { signals, updates, elsewhere }: Names,
  show: (notice: string) => void = () => {},
): void {
  const hint = elsewhere === undefined ? '' : `; ${elsewhere}`;
  setDefaultSignalHandler((name) => {
    const notice = `signal "${name}" was sent and had no effect: ${listed(signals)}${hint}`;
    log.warn(notice);
    show(notice);
  });
  setDefaultUpdateHandler((name) => {
    throw refused(`there is no update "${name}": ${listed(updates)}${hint}`);
  });
}
