import { templateInput } from './chat-template-files.js';
import type { TemplateInput } from './chat-template.js';
import { ModelFileInvalid } from './weights/model-file-error.js';

type Render = (input: TemplateInput) => string;

/** What a chat template writes after the content of an answer; null if it takes no answer, or leaves its content out. */
export function textAfterAnswer(render: Render): string | null {
  const answer = 'An answer.';
  const exchange = [
    { role: 'user', content: 'A question.' },
    { role: 'assistant', content: answer },
  ];
  // Templates may insist on a system message first, or refuse one.
  const text = firstRendered(render, [exchange, [{ role: 'system', content: 'A rule.' }, ...exchange]]);
  const at = text?.lastIndexOf(answer) ?? -1;
  return at < 0 ? null : text!.slice(at + answer.length);
}

/** Text of the first conversation that the template takes; what it raises is told where somebody's own conversation is rendered. */
function firstRendered(render: Render, conversations: readonly object[][]): string | undefined {
  for (const conversation of conversations) {
    try {
      return render(templateInput(conversation, { generationPrompt: false }));
    } catch (error) {
      if (!(error instanceof ModelFileInvalid)) throw error;
    }
  }
  return undefined;
}
