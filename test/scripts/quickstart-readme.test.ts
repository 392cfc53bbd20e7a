import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { metricDefinitions } from '../../activities/report/metric-definitions.js';

const readme = readFileSync('README.md', 'utf8');

test('docs/metrics.md, which the README leads to, defines each metric with the formula that the report shows', () => {
  assert.ok(readme.includes('(docs/metrics.md)'));
  const page = readFileSync('docs/metrics.md', 'utf8');
  for (const { name, formula } of metricDefinitions) {
    assert.ok(page.includes(`| ${name} | ${formula.replaceAll('|', '\\|')} |`), name);
  }
});

test('every runtime dependency has its reason in the README', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> };
  const section = readme.slice(readme.indexOf('## Dependencies'), readme.indexOf('## Troubleshooting'));
  for (const name of Object.keys(dependencies)) {
    const told = name.startsWith('@temporalio/') ? '@temporalio/*' : name.replace(/^@huggingface\//, '');
    assert.ok(section.includes(told), name);
  }
});

test('every file that the README’s equations lead to is there', () => {
  const section = readme.slice(readme.indexOf('| equation of'), readme.indexOf('## Metrics'));
  for (const [, path] of section.matchAll(/`((?:workflows|activities)\/[^`]+\.ts)`/g))
    assert.ok(existsSync(path!), path);
});
