#!/usr/bin/env node
// npm run lint: what can be found without running anything. npm run format: mends what can be mended by itself.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lintPython } from './lint/python.js';
import { describeFailure } from './setup/index.js';
import { repositoryRoot } from './setup/paths.js';

const { values } = parseArgs({ options: { fix: { type: 'boolean', default: false } } });
const { fix } = values;

/** Each finds what the others cannot; all run, so that one look shows everything. */
const tools: readonly { readonly finds: string; readonly program: string; readonly args: readonly string[] }[] = [
  { finds: 'lines that are formatted otherwise', program: 'biome', args: ['format', ...(fix ? ['--write'] : []), '.'] },
  // With the types of TypeScript: a promise that nobody waits for loses its error.
  { finds: 'mistakes, and promises left alone', program: 'oxlint', args: ['--type-aware', ...(fix ? ['--fix'] : [])] },
  { finds: 'exports, files and packages that nobody uses', program: 'knip', args: ['--no-progress'] },
];

const failed: string[] = [];
for (const { finds, program, args } of tools) {
  const executable = join(repositoryRoot, 'node_modules', '.bin', program);
  const { status, error } = spawnSync(executable, args, { cwd: repositoryRoot, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) failed.push(`${program} (${finds})`);
}
try {
  if (!(await lintPython(fix))) failed.push('ruff or basedpyright (mistakes, format and types of Python code)');
} catch (error) {
  failed.push(describeFailure(error));
}
if (failed.length > 0) {
  console.error(`found something: ${failed.join(', ')}. \`npm run format\` mends what can be mended by itself.`);
  process.exitCode = 1;
} else console.log('lint: nothing found');
