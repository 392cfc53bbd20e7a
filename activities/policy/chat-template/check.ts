import { strftime } from './clock.js';
import { FILTERS } from './filters.js';
import { TemplateSyntaxFault } from './lexer.js';
import { METHODS } from './methods.js';
import type { Expression, Statement } from './syntax.js';
import { namesRead, partsOf } from './parts.js';
import { TESTS } from './tests.js';
import { NotReproduced } from './values.js';

/** Functions of Jinja2 that every template sees and that are not reproduced. */
const OTHER_GLOBALS = ['lipsum', 'cycler', 'joiner'];
/** Filters whose first argument names a filter or a test, and where it stands. */
const NAMES_A_FILTER = 'map';
const NAMES_A_TEST: Readonly<Record<string, number>> = { select: 0, reject: 0, selectattr: 1, rejectattr: 1 };
const HTML = ['e', 'escape', 'safe'];

/**
 * Refuses a template that uses what is not in the checked lists of filters, tests, methods and functions: it is told at
 * once, with its name and line, rather than rendered otherwise than Jinja2 renders it.
 * @throws {TemplateSyntaxFault}
 */
export function checkTemplate(statements: readonly Statement[]): void {
  const callees = new Set<string>();
  for (const part of partsOf(statements)) {
    if (part.kind === 'set' && part.target.kind === 'attribute') callees.add(part.target.name);
  }
  for (const part of partsOf(statements)) {
    const refuse = (what: string): never => {
      throw new TemplateSyntaxFault(`uses ${what}, which is not reproduced here`, part.line);
    };
    if (part.kind === 'macro' || part.kind === 'call-block') {
      const taken = namesRead(part.body);
      for (const name of ['varargs', 'kwargs']) if (taken.has(name)) refuse(`${name} of a macro`);
    }
    if (part.kind === 'name' && OTHER_GLOBALS.includes(part.name)) refuse(`the function ${part.name}`);
    if (part.kind === 'filter') {
      if (!Object.hasOwn(FILTERS, part.name)) refuse(`the filter ${part.name}`);
      if (HTML.includes(part.name) && !ends(statements, part)) refuse(`the filter ${part.name} within an expression`);
      const named = constantAt(part, part.name === NAMES_A_FILTER ? 0 : (NAMES_A_TEST[part.name] ?? -1));
      if (
        part.name === NAMES_A_FILTER &&
        named !== undefined &&
        (!Object.hasOwn(FILTERS, named) || HTML.includes(named))
      )
        refuse(`the filter ${named}`);
      if (part.name !== NAMES_A_FILTER && named !== undefined && !Object.hasOwn(TESTS, named))
        refuse(`the test ${named}`);
    }
    if (part.kind === 'test' && !Object.hasOwn(TESTS, part.name)) refuse(`the test ${part.name}`);
    if (
      part.kind === 'call' &&
      part.of.kind === 'attribute' &&
      !METHODS.has(part.of.name) &&
      !callees.has(part.of.name)
    )
      refuse(`the method ${part.of.name}`);
    if (part.kind === 'call' && part.of.kind === 'name' && part.of.name === 'strftime_now') {
      const format = part.args[0]?.value;
      if (format?.kind === 'constant' && typeof format.value === 'string') formats(format.value, refuse);
    }
  }
}

function formats(format: string, refuse: (what: string) => never): void {
  try {
    strftime(format, '2000-01-01T00:00:00');
  } catch (error) {
    if (!(error instanceof NotReproduced)) throw error;
    refuse(`strftime_now(${JSON.stringify(format)})`);
  }
}

function constantAt(part: Expression & { kind: 'filter' }, index: number): string | undefined {
  const value = part.args.filter(({ name }) => name === null)[index]?.value;
  return value?.kind === 'constant' && typeof value.value === 'string' ? value.value : undefined;
}

/** Is a filter the last of an output? Then nothing can see that its text is marked as HTML. */
function ends(statements: readonly Statement[], filter: Expression): boolean {
  for (const part of partsOf(statements)) if (part.kind === 'output' && part.value === filter) return true;
  return false;
}
