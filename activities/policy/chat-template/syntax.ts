import type { Value } from './values.js';

interface At {
  /** The template's line, from 1. */
  readonly line: number;
}
export interface Argument {
  /** null: by position. */
  readonly name: string | null;
  readonly value: Expression;
}
export type Expression = At &
  (
    | { readonly kind: 'constant'; readonly value: Value }
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'tuple' | 'list'; readonly items: readonly Expression[] }
    | { readonly kind: 'dict'; readonly pairs: readonly (readonly [Expression, Expression])[] }
    | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
    | { readonly kind: 'item'; readonly of: Expression; readonly index: Expression }
    | { readonly kind: 'slice'; readonly of: Expression; readonly bounds: readonly (Expression | null)[] }
    | { readonly kind: 'call'; readonly of: Expression; readonly args: readonly Argument[] }
    /** `of` is null where a block is filtered. */
    | {
        readonly kind: 'filter';
        readonly of: Expression | null;
        readonly name: string;
        readonly args: readonly Argument[];
      }
    | { readonly kind: 'test'; readonly of: Expression; readonly name: string; readonly args: readonly Argument[] }
    | { readonly kind: 'unary'; readonly operator: '-' | '+' | 'not'; readonly of: Expression }
    | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
    | {
        readonly kind: 'compare';
        readonly first: Expression;
        readonly rest: readonly (readonly [string, Expression])[];
      }
    | {
        readonly kind: 'condition';
        readonly test: Expression;
        readonly chosen: Expression;
        readonly otherwise: Expression | null;
      }
  );

export type Target =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: string; readonly name: string }
  | { readonly kind: 'tuple'; readonly items: readonly Target[] };

export interface MacroSignature {
  readonly parameters: readonly { readonly name: string; readonly default: Expression | null }[];
}
export type Statement = At &
  (
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'output'; readonly value: Expression }
    | {
        readonly kind: 'if';
        readonly branches: readonly { readonly test: Expression | null; readonly body: readonly Statement[] }[];
      }
    | {
        readonly kind: 'for';
        readonly target: Target;
        readonly items: Expression;
        readonly test: Expression | null;
        readonly body: readonly Statement[];
        readonly otherwise: readonly Statement[];
      }
    | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
    | {
        readonly kind: 'set-block';
        readonly target: Target;
        readonly filter: Expression | null;
        readonly body: readonly Statement[];
      }
    | {
        readonly kind: 'macro';
        readonly name: string;
        readonly signature: MacroSignature;
        readonly body: readonly Statement[];
      }
    | {
        readonly kind: 'call-block';
        readonly call: Expression;
        readonly signature: MacroSignature;
        readonly body: readonly Statement[];
      }
    | { readonly kind: 'filter-block'; readonly filter: Expression; readonly body: readonly Statement[] }
    | {
        readonly kind: 'with';
        readonly values: readonly (readonly [Target, Expression])[];
        readonly body: readonly Statement[];
      }
    /** transformers' {% generation %}: its text, in a scope of its own. */
    | { readonly kind: 'generation'; readonly body: readonly Statement[] }
    | { readonly kind: 'break' | 'continue' }
  );
