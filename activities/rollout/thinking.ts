const OPENING = '<think>';
const CLOSING = '</think>';

/**
 * Where thinking ends that begins with `<think>` at a place of a text: after the first `</think>`, as the readers of
 * vLLM and SGLang have it; at the end of the text if it was cut.
 */
export function thinkingEnd(text: string, at: number): number {
  const closing = text.indexOf(CLOSING, at);
  return closing < 0 ? text.length : closing + CLOSING.length;
}

/** The next place from `at` where thinking begins, or -1. */
export const nextThinking = (text: string, at: number): number => text.indexOf(OPENING, at);

/**
 * Length of the thinking that a response begins with, its tags included: 0 if it begins with none. A `</think>` that no
 * thinking came before is text.
 *
 * @param begun  the prompt ends inside `<think>` (`endsInThinking`)
 */
export function leadingThinking(response: string, begun: boolean): number {
  return begun || /^\s*<think>/.test(response) ? thinkingEnd(response, 0) : 0;
}

/**
 * Does a prompt end inside `<think>`, as the templates of Qwen3-Thinking and DeepSeek-R1 end it? The response then
 * begins with thinking, and its text does not say so.
 */
export const endsInThinking = (prompt: string): boolean => /<think>\s*$/.test(prompt);
