import { canonicalJson } from '../../artifacts/canonical-json.js';
import type { Played } from './player.js';

const BEFORE = 20;
const AFTER = 60;

export const equal = (a: unknown, b: unknown): boolean => canonicalJson(a) === canonicalJson(b);

/** Where two episodes with the same actions differ first, with what each of them says there; null if they do not. */
export function differenceOf(one: Played, other: Played): string | null {
  const length = Math.max(one.observations.length, other.observations.length);
  for (let step = 0; step < length; step++) {
    const [a, b] = [one.observations[step], other.observations[step]];
    const where = step === 0 ? 'at the start' : `after response ${step}`;
    if (!a || !b) return `${where}: one episode is over, the other goes on`;
    if (equal(a.messages, b.messages)) {
      if (a.done !== b.done) return `${where}: one episode is over, the other goes on`;
      continue;
    }
    return `${where}: ${inWords(textOf(a.messages), textOf(b.messages))}`;
  }
  return equal(one.verdict, other.verdict)
    ? null
    : `in the verdict: ${inWords(JSON.stringify(one.verdict), JSON.stringify(other.verdict))}`;
}

const textOf = (messages: Played['observations'][number]['messages']): string =>
  messages.map(({ role, content }) => `${role}: ${content}`).join('\n');

/** Both texts around the first character in which they differ. */
export function inWords(one: string, other: string): string {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  const from = Math.max(0, at - BEFORE);
  const shown = (text: string) =>
    `${from > 0 ? '...' : ''}${JSON.stringify(text.slice(from, at + AFTER))}${text.length > at + AFTER ? '...' : ''}`;
  return `${shown(one)} and ${shown(other)}`;
}
