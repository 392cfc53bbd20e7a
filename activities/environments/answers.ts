import { Message } from '../../schemas/environment-protocol.js';
import { described, isPlainObject, isThenable } from './described.js';

/** What a function of the author's may give. */
export interface Answer {
  /** E.g. `a text or null`. */
  readonly expected: string;
  /** It may give a promise of that. */
  readonly later?: true;
  /** What was given instead, in words; null if it is right. `turns` were played so far. */
  wrong(value: unknown, turns: number): string | null;
}

const ROLES = Message.shape.role.options;
const SURROGATE = /\p{Surrogate}/u;

/** Right if `fits`, else told as it is. */
const answer = (expected: string, fits: (value: unknown) => boolean): Answer => ({
  expected,
  wrong: (value) => (fits(value) ? null : described(value)),
});

/** Half a surrogate pair is in no JSON file. */
function notText(value: unknown): string | null {
  if (typeof value !== 'string') return described(value);
  return SURROGATE.test(value) ? 'a text with half a surrogate pair in it' : null;
}

function notMessages(value: unknown): string | null {
  if (!Array.isArray(value)) return notText(value);
  if (value.length === 0) return 'an empty array';
  for (const [index, message] of (value as unknown[]).entries()) {
    const is = (what: string, wrong: string) => `an array whose [${index}]${what} is ${wrong}`;
    if (!isPlainObject(message)) return is('', described(message));
    if (!(ROLES as readonly unknown[]).includes(message['role'])) return is('.role', described(message['role']));
    const content = notText(message['content']);
    if (content !== null) return is('.content', content);
    const other = Object.keys(message).find((key) => key !== 'role' && key !== 'content');
    if (other !== undefined) return `an array whose [${index}] has the unknown field ${other}`;
  }
  return null;
}

const isScore = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value <= 1;

function notJudgement(value: unknown, turns: number): string | null {
  if (typeof value === 'boolean' || isScore(value)) return null;
  if (!isPlainObject(value)) return described(value);
  const { score, success, turnsPassed, ...others } = value;
  const [other] = Object.keys(others);
  if (other !== undefined) return `an object with the unknown field ${other}`;
  if (!isScore(score)) return `an object whose score is ${described(score)}`;
  if (success !== undefined && typeof success !== 'boolean') return `an object whose success is ${described(success)}`;
  if (turnsPassed === undefined) return null;
  if (!Array.isArray(turnsPassed)) return `an object whose turnsPassed is ${described(turnsPassed)}`;
  const odd = (turnsPassed as unknown[]).findIndex((flag) => typeof flag !== 'boolean');
  if (odd >= 0) return `an object whose turnsPassed[${odd}] is ${described(turnsPassed[odd])}`;
  return turnsPassed.length === turns
    ? null
    : `an object with ${turnsPassed.length} turnsPassed for ${turns} turn(s) played`;
}

const JUDGEMENT = {
  expected:
    'true, false, a score from 0 to 1, or { score, success, turnsPassed } with one true or false for each turn played',
  wrong: notJudgement,
} satisfies Answer;

/** Why JSON would not hold it as it is, e.g. `an object whose rows[0].n is NaN`; null if it would. `undefined` in an object is left out. */
function notJson(value: unknown): string | null {
  const at = oddPart(value, '', []);
  if (at === null) return null;
  const [path, wrong] = at;
  if (path === '') return wrong;
  return `${Array.isArray(value) ? 'an array' : 'an object'} whose ${path.replace(/^\./, '')} is ${wrong}`;
}

const MAX_DEPTH = 200;

function oddPart(value: unknown, path: string, above: readonly object[]): readonly [string, string] | null {
  if (
    value === null ||
    typeof value === 'string' ||
    typeof value === 'boolean' ||
    (typeof value === 'number' && Number.isFinite(value))
  )
    return null;
  if (typeof value !== 'object' || isThenable(value)) return [path, described(value)];
  if (above.includes(value)) return [path, 'itself again, in a circle'];
  if (above.length > MAX_DEPTH) return [path, `deeper than ${MAX_DEPTH} levels`];
  const within = [...above, value];
  if (Array.isArray(value))
    return firstOdd(value.map((item: unknown, index) => oddPart(item, `${path}[${index}]`, within)));
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') {
    const written: unknown = Reflect.apply(toJSON, value, []);
    return written === null || written === undefined
      ? [path, `${described(value)} that JSON writes as ${String(written)}`]
      : oddPart(written, path, within);
  }
  const fields = Object.keys(value);
  // JSON would write a Map, an Error or a RegExp as {}.
  if (!isPlainObject(value) && (fields.length === 0 || ArrayBuffer.isView(value))) return [path, described(value)];
  const parts = fields
    .map((key) => [key, (value as Record<string, unknown>)[key]] as const)
    .filter(([, item]) => item !== undefined);
  return firstOdd(parts.map(([key, item]) => oddPart(item, `${path}.${key}`, within)));
}

const firstOdd = (parts: readonly (readonly [string, string] | null)[]) => parts.find((part) => part !== null) ?? null;

const SHOWN: Readonly<Record<string, (value: unknown) => boolean>> = {
  name: () => true,
  description: (value) => typeof value === 'string',
  inputSchema: isPlainObject,
};

/** A tool's description, or the parts of it that are shown in other words. */
function isReworded(value: unknown): boolean {
  if (!isPlainObject(value)) return notText(value) === null;
  const parts = Object.entries(value);
  return parts.length > 0 && parts.every(([key, part]) => Object.hasOwn(SHOWN, key) && SHOWN[key]!(part));
}

/** By the function's name in a definition; kinds of environments that expect other things of one name have their own entry. */
export const ANSWERS = {
  prompt: {
    expected: `a text, or messages such as [{ role: 'user', content: '...' }] with roles ${ROLES.join(', ')}`,
    wrong: notMessages,
  },
  next: { expected: 'a text, or null to end the episode', wrong: (value) => (value === null ? null : notText(value)) },
  verify: { ...JUDGEMENT, later: true },
  turns: answer('a whole number from 1', (value) => Number.isSafeInteger(value) && (value as number) >= 1),
  start: {
    expected: 'the state that the episode starts in (leave `start` out if there is none)',
    wrong: (value) => (value === undefined || isThenable(value) ? described(value) : null),
  },
  solve: {
    expected: 'an array of responses, each a text',
    wrong(value) {
      if (!Array.isArray(value)) return described(value);
      const odd = value.findIndex((item) => notText(item) !== null);
      return odd < 0 ? null : `an array whose [${odd}] is ${notText(value[odd])}`;
    },
  },
  run: {
    expected: 'a text or a JSON value (finite numbers, arrays, plain objects)',
    later: true,
    wrong: (value) => (value === undefined ? null : notJson(value)),
  },
  /** Of an MCP environment: it may be there for the calls that it makes. */
  startServer: { expected: 'the state that the episode starts in, or nothing', later: true, wrong: () => null },
  server: answer("a server's description, { command, args } or { url }", isPlainObject),
  observe: { expected: 'a text', wrong: notText },
  describe: answer('a text, or { description, inputSchema } with the one that is to change', isReworded),
  reset: answer("an object, the arguments of the server's reset", isPlainObject),
  action: answer("an object, the server's action", isPlainObject),
  score: JUDGEMENT,
  /** Of an AgentEvolver environment. */
  scoreOf: answer('a score from 0 to 1', isScore),
} as const satisfies Readonly<Record<string, Answer>>;
