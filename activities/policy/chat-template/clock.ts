import { NotReproduced } from './values.js';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const padded = (value: number, length = 2): string => String(value).padStart(length, '0');

/** Parts of a strftime format, in the C locale. */
const PARTS: Readonly<Record<string, (at: Date) => string>> = {
  d: (at) => padded(at.getUTCDate()),
  m: (at) => padded(at.getUTCMonth() + 1),
  Y: (at) => padded(at.getUTCFullYear(), 4),
  y: (at) => padded(at.getUTCFullYear() % 100),
  B: (at) => MONTHS[at.getUTCMonth()]!,
  b: (at) => MONTHS[at.getUTCMonth()]!.slice(0, 3),
  A: (at) => DAYS[at.getUTCDay()]!,
  a: (at) => DAYS[at.getUTCDay()]!.slice(0, 3),
  H: (at) => padded(at.getUTCHours()),
  I: (at) => padded(at.getUTCHours() % 12 || 12),
  M: (at) => padded(at.getUTCMinutes()),
  S: (at) => padded(at.getUTCSeconds()),
  p: (at) => (at.getUTCHours() < 12 ? 'AM' : 'PM'),
  j: (at) => padded(Math.floor((at.getTime() - Date.UTC(at.getUTCFullYear(), 0)) / 86_400_000) + 1, 3),
  F: (at) => at.toISOString().slice(0, 10),
  T: (at) => at.toISOString().slice(11, 19),
  e: (at) => String(at.getUTCDate()).padStart(2),
  '-d': (at) => String(at.getUTCDate()),
  '-m': (at) => String(at.getUTCMonth() + 1),
  '%': () => '%',
};

/**
 * Python's strftime for a wall clock. @param now `2026-11-28T15:30:00`: what the clock shows, without a zone
 * @throws {NotReproduced} for a part of the format that is not known here
 */
export function strftime(format: string, now: string): string {
  const at = new Date(`${now}Z`);
  return format.replaceAll(/%(-?[\s\S]?)/g, (whole, part: string) => {
    const written = PARTS[part];
    if (!written) throw new NotReproduced(`${JSON.stringify(whole)} in a date's format`);
    return written(at);
  });
}

/** What this machine's clock shows now, in its own zone, as transformers' strftime_now reads it. */
export function localTime(now = new Date()): string {
  const date = [padded(now.getFullYear(), 4), padded(now.getMonth() + 1), padded(now.getDate())].join('-');
  return `${date}T${[now.getHours(), now.getMinutes(), now.getSeconds()].map((part) => padded(part)).join(':')}`;
}
