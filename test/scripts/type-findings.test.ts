import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findingsIn } from '../../scripts/lint/type-findings.js';

const at = { file: '/a.py', range: { start: { line: 2, character: 4 } } };
const report = (filesAnalyzed: number, ...generalDiagnostics: object[]) =>
  JSON.stringify({ generalDiagnostics, summary: { filesAnalyzed } });
const missing = (name: string) => ({
  ...at,
  severity: 'error',
  rule: 'reportMissingImports',
  message: `Import "${name}" could not be resolved`,
});

test('errors are found, with lines and columns that count from 1', () => {
  const wrong = { ...at, severity: 'error', rule: 'reportReturnType', message: 'no' };
  const warning = { ...wrong, severity: 'warning' };
  const whole = { file: '/b.py', severity: 'error', message: 'cannot be read' };
  assert.deepEqual(findingsIn(report(2, wrong, warning, whole)), [
    { file: '/a.py', line: 3, column: 5, message: 'no', rule: 'reportReturnType' },
    { file: '/b.py', line: 1, column: 1, message: 'cannot be read', rule: undefined },
  ]);
});

test('a package from outside may be missing, a module of ours may not', () => {
  const found = findingsIn(report(1, missing('appworld.apps.model_lib'), missing('torch'), missing('bfcl_limit')));
  assert.deepEqual(
    found.map(({ message }) => message),
    ['Import "bfcl_limit" could not be resolved'],
  );
});

test('a report of no file is no good news', () => {
  assert.throws(() => findingsIn(report(0)), /looked at no file/);
});
