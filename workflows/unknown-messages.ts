import { log, setDefaultSignalHandler, setDefaultUpdateHandler } from '@temporalio/workflow';
import { rejected } from './run-control.js';

/** The names of signals and updates that a workflow handles. */
export interface HandledNames {
  readonly signals: readonly string[];
  readonly updates: readonly string[];
  /** A sentence that says where other messages go. */
  readonly elsewhere?: string;
}

const listed = (names: readonly string[]): string =>
  names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`;

/**
 * Registers default handlers for signals and updates with unknown names. An unknown update is rejected with the list of
 * known names. A signal cannot be rejected (its sender always sees success), so an unknown one is logged and shown in
 * the Web UI. Call it after the handlers of known names: buffered messages go to a default handler at once.
 *
 * @param show  shows a sentence in the workflow's details
 */
export function refuseUnknownMessages(
  { signals, updates, elsewhere }: HandledNames,
  show: (notice: string) => void = () => {},
): void {
  const hint = elsewhere === undefined ? '' : `; ${elsewhere}`;
  setDefaultSignalHandler((name) => {
    const notice = `signal "${name}" was sent and had no effect: ${listed(signals)}${hint}`;
    log.warn(notice);
    show(notice);
  });
  setDefaultUpdateHandler((name) => {
    throw rejected(`there is no update "${name}": ${listed(updates)}${hint}`);
  });
}
