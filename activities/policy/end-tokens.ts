/** A token: its id and its text. */
export interface NamedToken {
  readonly id: number;
  readonly text: string;
}

/** Tokens at which a response ends. */
export interface EndTokens {
  /** The one that turns are closed with. */
  readonly endOfTurn: NamedToken;
  /** All of them, id to text, that one included. */
  readonly ends: ReadonlyMap<number, string>;
  /** What was concluded that no file of the model says, for a person; null if nothing was. */
  readonly endRemark: string | null;
}

/**
 * What ends a response. Turns are closed with the first of the ends that the template writes after an answer. A template that
 * writes a control token there first which no file names, as a base model's with a chat template, is believed.
 *
 * @param named    ends that the model's files name
 * @param control  its control tokens, which are no text
 * @param after    what the chat template writes after an answer; null if that is not known
 * @returns        null if nothing says what ends a response
 */
export function endTokensOf(
  named: readonly NamedToken[],
  control: readonly NamedToken[],
  after: string | null,
): EndTokens | null {
  const places = (tokens: readonly NamedToken[]) =>
    after === null
      ? []
      : tokens
          .filter(({ text }) => text !== '')
          .map((token) => ({ token, at: after.indexOf(token.text) }))
          .filter(({ at }) => at >= 0);
  const first = after?.search(/\S/) ?? -1;
  const written = [...places(named), ...places(control).filter(({ at }) => at === first)].sort(
    (a, b) => a.at - b.at || b.token.text.length - a.token.text.length,
  )[0]?.token;
  const endOfTurn = written ?? named[0];
  if (endOfTurn === undefined) return null;
  const ends = new Map([endOfTurn, ...named].map(({ id, text }) => [id, text]));
  const isNamed = named.some(({ id }) => id === endOfTurn.id);
  const others = named.map(({ id, text }) => text || `token ${id}`).join(', ') || 'none';
  const endRemark = isNamed
    ? null
    : `the chat template closes answers with ${endOfTurn.text} (token ${endOfTurn.id}), which no file of the model names as an end (named: ${others}): it ends responses too`;
  return { endOfTurn, ends, endRemark };
}
