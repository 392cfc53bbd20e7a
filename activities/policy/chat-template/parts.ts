import type { Expression, Statement } from './syntax.js';

export type Part = Statement | Expression;
/** Every statement and expression of a template, nested ones too. */
export function* partsOf(node: unknown): Generator<Part> {
  if (Array.isArray(node)) for (const item of node) yield* partsOf(item);
  else if (typeof node === 'object' && node !== null && !(node instanceof Map)) {
    if ('kind' in node && 'line' in node) yield node as Part;
    for (const value of Object.values(node)) yield* partsOf(value);
  }
}

/** Names that a template asks for: its own variables, functions of Jinja2, and what it wants to be given. */
export function namesRead(statements: readonly Statement[]): Set<string> {
  const names = new Set<string>();
  for (const part of partsOf(statements)) if (part.kind === 'name') names.add(part.name);
  return names;
}
