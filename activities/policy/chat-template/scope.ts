import type { TemplateFault, Value } from './values.js';

/** Names that are set, and the scope around it: a loop, a macro or a block sees outwards and sets within. */
export class Scope {
  private readonly names = new Map<string, Value>();
  constructor(private readonly outer: Scope | null) {}
  get(name: string): Value | undefined {
    return this.names.has(name) ? this.names.get(name) : this.outer?.get(name);
  }
  set(name: string, value: Value): void {
    this.names.set(name, value);
  }
}

/** A break or continue where it stands. */
export class LoopSignal {
  constructor(readonly kind: 'break' | 'continue') {}
}

/** A fault with the line of the template at which it came up. */
export class FaultAtLine extends Error {
  constructor(
    readonly fault: TemplateFault,
    readonly line: number,
  ) {
    super(fault.message);
  }
}

/** A break or continue on its way to its loop, with what the loop's body wrote before it. */
export class Broken extends Error {
  constructor(
    readonly signal: LoopSignal,
    readonly text: string,
  ) {
    super(signal.kind);
  }
}
