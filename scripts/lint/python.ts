import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setUp } from '../setup/index.js';
import { bfclPython, lintersPython, repositoryRoot, ruff } from '../setup/paths.js';
import { type Finding, findingsIn } from './type-findings.js';

const FOLDERS = ['activities', 'scripts', 'test'];
const inLintSources = (file: string): string => join(repositoryRoot, 'scripts', 'lint', file);

/**
 * Looks at all Python code: mistakes and format by ruff, which is installed where it is missing, types by basedpyright.
 * Prints what they find. All run, so that one look shows everything.
 *
 * @param fix  whether to mend what can be mended by itself, and to format
 * @returns    whether nothing is left to mend
 * @throws {SetUpError} if ruff cannot be installed
 */
export async function lintPython(fix: boolean): Promise<boolean> {
  await setUp(['lint']);
  const withRuff = (command: string, ...flags: string[]) => {
    const args = [command, ...flags, '--quiet', '--no-cache', '--config', inLintSources('ruff.toml'), ...FOLDERS];
    const { status, error } = spawnSync(ruff, args, { cwd: repositoryRoot, stdio: 'inherit' });
    if (error) throw error;
    return status === 0;
  };
  const checked = withRuff('check', ...(fix ? ['--fix'] : []));
  const formatted = withRuff('format', ...(fix ? [] : ['--check']));
  const found = typeFindings();
  for (const { file, line, column, message, rule } of found) {
    console.log(
      `${relative(repositoryRoot, file)}:${line}:${column} ${message}${rule === undefined ? '' : ` (${rule})`}`,
    );
  }
  return checked && formatted && found.length === 0;
}

function typeFindings(): Finding[] {
  const program = join(repositoryRoot, 'node_modules', 'basedpyright', 'index.js');
  // The packages of BFCL where they are: their types are checked too then.
  const python = existsSync(bfclPython) ? bfclPython : lintersPython;
  const { stdout, stderr, error } = spawnSync(
    process.execPath,
    [program, '--project', inLintSources('pyrightconfig.json'), '--pythonpath', python, '--outputjson'],
    { cwd: repositoryRoot, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  if (error) throw error;
  try {
    return findingsIn(stdout);
  } catch (cause) {
    throw new Error(`basedpyright gave no report: ${stderr.trim() || stdout.slice(0, 500)}`, { cause });
  }
}
