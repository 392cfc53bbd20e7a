import { checkTemplate } from './chat-template/check.js';
import { localTime } from './chat-template/clock.js';
import { RaisedByTemplate } from './chat-template/globals.js';
import { renderTemplate } from './chat-template/interpreter.js';
import { TemplateSyntaxFault } from './chat-template/lexer.js';
import { parseTemplate } from './chat-template/parser.js';
import { namesRead } from './chat-template/parts.js';
import { FaultAtLine } from './chat-template/scope.js';
import type { Statement } from './chat-template/syntax.js';
import { Dict, TemplateFault, type Value } from './chat-template/values.js';
import { ModelFileInvalid } from './weights/model-file-error.js';

/** What a chat template is given besides the messages; values are Python's, see chat-template/values.ts. */
export interface TemplateInput {
  readonly messages: readonly Value[];
  readonly generationPrompt: boolean;
  /** Descriptions of functions, as `tools=` of transformers' apply_chat_template; null is none. */
  readonly tools?: Value;
  /** Further variables, as apply_chat_template's keyword arguments. */
  readonly arguments?: ReadonlyMap<string, Value>;
  /** What strftime_now reads: a wall clock without its zone, `2026-11-28T15:30:00`; this machine's if not given. */
  readonly now?: string | undefined;
}

/**
 * A model's chat template, rendered as transformers 5.24 renders it with Jinja2 3.1.6: trim_blocks, lstrip_blocks, loop
 * controls, generation tags, tojson as json.dumps. What is not reproduced is refused when it is loaded.
 */
export class ChatTemplate {
  private readonly statements: readonly Statement[];
  /** Names that the template asks for: an argument that is not among them changes nothing. */
  readonly reads: ReadonlySet<string>;

  /**
   * @param file     for messages: where the template stands
   * @param special  the model's special tokens by their names (bos_token, ...): a template sees those that are there
   * @throws {ModelFileInvalid} with the line, if it is no template or uses what is not reproduced here
   */
  constructor(
    source: string,
    private readonly file: string,
    private readonly special: Readonly<Record<string, string>>,
  ) {
    try {
      this.statements = parseTemplate(source);
      checkTemplate(this.statements);
      this.reads = namesRead(this.statements);
    } catch (error) {
      if (!(error instanceof TemplateSyntaxFault)) throw error;
      throw new ModelFileInvalid(
        file,
        `its chat template, line ${error.line}: ${error.message}`,
        'Give the model a template that Jinja2 3.1 reads and that does without this (chat_template.jinja goes before others)',
      );
    }
  }

  /**
   * The text of a conversation.
   * @throws {ModelFileInvalid} with line and message, where the template raises an exception, its own (raise_exception) too
   */
  render(input: TemplateInput): string {
    const variables = new Map<string, Value>([
      ...Object.entries(this.special),
      ...(input.arguments ?? []),
      ['messages', input.messages.map(normalized)],
      ['tools', input.tools ?? null],
      ['documents', input.arguments?.get('documents') ?? null],
      ['add_generation_prompt', input.generationPrompt],
    ]);
    try {
      return renderTemplate(this.statements, variables, input.now ?? localTime());
    } catch (error) {
      if (!(error instanceof FaultAtLine)) throw error;
      const { fault, line } = error;
      const what =
        fault instanceof RaisedByTemplate ? `refuses the conversation: "${fault.message}"` : `fails: ${fault.message}`;
      throw new ModelFileInvalid(
        this.file,
        `its chat template, line ${line}, ${what}. The roles are ${rolesOf(input.messages)}`,
        'Write the messages as this template takes them, or give the model another template',
      );
    }
  }
}

/** The roles of a conversation with their places, as a reader of the message needs them. */
function rolesOf(messages: readonly Value[]): string {
  const shown = messages
    .slice(0, 12)
    .map((message, i) => `${i} ${message instanceof Dict ? String(message.get('role')) : '?'}`);
  return [...shown, ...(messages.length > 12 ? [`... (${messages.length} messages)`] : [])].join(', ');
}

const REASONING = ['reasoning_content', 'thinking', 'reasoning'];

/** A message as transformers 5.24 hands it to a template: keys whose value is None are gone, thinking is found under both its names. */
function normalized(message: Value): Value {
  if (!(message instanceof Dict)) throw new TemplateFault('a message is an object with a role');
  const kept = new Dict(message.pairs().filter(([, value]) => value !== null));
  const reasoning = REASONING.map((key) => kept.get(key)).find((value) => value !== undefined);
  if (reasoning === undefined) return kept;
  return new Dict([['thinking', reasoning], ...kept.pairs(), ['reasoning_content', reasoning]]);
}
