/** What a POSIX shell takes as it stands. */
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * A command that a person can paste into a shell: words with anything that the shell would read otherwise, such as
 * a blank in a
 * path, are quoted. Every command that is printed comes from here.
 */
export const commandLine = (...words: readonly string[]): string =>
  words.map((word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
