/** What the type checker says of one place; line and column count from 1. */
export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly rule: string | undefined;
}

/** Modules of packages that a machine may lack: set-up installs them on demand, or they only make fixtures. */
const OUTSIDE = new Set([
  'appworld',
  'bfcl_eval',
  'gguf',
  'markdown_it',
  'numpy',
  'openenv',
  'peft',
  'pydantic',
  'safetensors',
  'tokenizers',
  'torch',
  'transformers',
  'uvicorn',
]);

/**
 * Errors of a report that `basedpyright --outputjson` wrote. An import of a package from outside that is not installed
 * here is none; one of a module of ours that does not exist is.
 *
 * @throws {Error} if it is no such report, or of no file
 */
export function findingsIn(report: string): Finding[] {
  const { generalDiagnostics, summary } = JSON.parse(report) as Report;
  if (summary.filesAnalyzed === 0) throw new Error('it looked at no file');
  return generalDiagnostics
    .filter(({ severity, rule, message }) => severity === 'error' && !isOfMissingPackage(rule, message))
    .map(({ file, range, message, rule }) => {
      const { line = 0, character = 0 } = range?.start ?? {};
      return { file, line: line + 1, column: character + 1, message, rule };
    });
}

function isOfMissingPackage(rule: string | undefined, message: string): boolean {
  const name = /^Import "([^".]+)/.exec(message)?.[1];
  return rule === 'reportMissingImports' && name !== undefined && OUTSIDE.has(name);
}

interface Report {
  readonly generalDiagnostics: readonly {
    readonly file: string;
    readonly severity: 'error' | 'warning' | 'information';
    readonly message: string;
    readonly range?: { readonly start: { readonly line: number; readonly character: number } };
    readonly rule?: string;
  }[];
  readonly summary: { readonly filesAnalyzed: number };
}
