import { closest, distance } from 'fastest-levenshtein';
import { isAddress } from '../definition.js';

const EXPECTED = 'expected { command, args } or { url }';
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '' && !value.includes('\0');
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.every((item) => typeof item === 'string' && !item.includes('\0'));
const isRecordOfTexts = (value: unknown): boolean =>
  isObject(value) && Object.values(value).every((item) => typeof item === 'string');

interface Field {
  readonly fits: (value: unknown) => boolean;
  readonly expected: string;
}

const NAMED_TEXTS = 'an object of texts such as';

/** Fields of a server's description, by the one that says of which kind it is. */
const KINDS: Readonly<Record<'command' | 'url', Readonly<Record<string, Field>>>> = {
  command: {
    command: { fits: isText, expected: 'the name or path of a program' },
    args: { fits: isTexts, expected: 'a list of texts such as ["-y", "server"], one for each argument' },
    env: { fits: isRecordOfTexts, expected: `${NAMED_TEXTS} { API_KEY: "..." }` },
    cwd: { fits: isText, expected: 'a folder, relative to the module’s' },
  },
  url: {
    url: {
      fits: (value) => typeof value === 'string' && isAddress(value, /^https?$/),
      expected: 'an address such as "http://127.0.0.1:3001/mcp"',
    },
    headers: { fits: isRecordOfTexts, expected: `${NAMED_TEXTS} { Authorization: "Bearer ..." }` },
  },
};

/** What is wrong with a server's description, field by field, or null. */
export function serverProblem(server: unknown): string | null {
  if (!isObject(server))
    return `server: is ${server === undefined ? 'undefined' : (JSON.stringify(server) ?? typeof server)}, ${EXPECTED}`;
  const kinds = (['command', 'url'] as const).filter((kind) => kind in server);
  if (kinds.length === 2)
    return 'server: has both a command and a url: it is a process of its own or one that listens already, give one of them';
  const [kind] = kinds;
  if (!kind)
    return `server: has neither a command nor a url (its fields are ${Object.keys(server).join(', ') || 'none'}), ${EXPECTED}`;
  const fields = KINDS[kind];
  for (const [key, value] of Object.entries(server)) {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (!field) return `server.${key}: is no field of a server with a ${kind}: ${adviceFor(key, Object.keys(fields))}`;
    if (value !== undefined && !field.fits(value))
      return `server.${key}: is ${JSON.stringify(value) ?? typeof value}, expected ${field.expected}`;
  }
  return isText((server as Record<string, unknown>)[kind])
    ? null
    : `server.${kind}: is undefined, expected ${fields[kind]!.expected}`;
}

function adviceFor(key: string, names: readonly string[]): string {
  const nearest = closest(key, names);
  return distance(key, nearest) <= Math.max(1, key.length / 3)
    ? `did you mean ${nearest}?`
    : `its fields are ${names.join(', ')}`;
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
