import assert from 'node:assert/strict';
import { test } from 'node:test';
import { html } from '../../../activities/report/html.js';
import { metricDefinitions } from '../../../activities/report/metric-definitions.js';
import { renderReport } from '../../../activities/report/render-report.js';
import { reportContent } from '../../../activities/report/report-data.js';
import type { ReportSources } from '../../../activities/report/report-sources.js';
import { evaluation, runManifest, sources, trajectory } from './fixture.js';

const page = (changes: Partial<ReportSources> = {}): string => renderReport(reportContent(sources(changes)));

test('a script in the model’s output, in a task id, a title or a prompt is text on the page', () => {
  const attack = `</pre><script>alert("x")</script><img src=x onerror='alert(1)'>`;
  const run = runManifest({ trainTasks: [{ id: attack, split: 'train', turns: 2 }] });
  run.config.title = attack;
  const rendered = page({
    run,
    evaluations: ['start', 'end'].map((name) => evaluation(name, 'train', [trajectory(attack, 0, [false], attack)])),
    decode: () => attack,
  });
  assert.doesNotMatch(rendered, /<script/i);
  assert.doesNotMatch(rendered, /<img/i);
  assert.match(rendered, /&lt;\/pre&gt;&lt;script&gt;alert\(&quot;x&quot;\)&lt;\/script&gt;/);
});

test('the page forbids scripts and loads nothing', () => {
  const rendered = page();
  assert.match(rendered, /Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/);
  assert.doesNotMatch(rendered, /(src|href)="(?!#)/);
  assert.doesNotMatch(rendered, /@import|url\((?!#)/);
});

test('the same run renders to the same bytes, however many charts were drawn before', () => {
  assert.equal(page(), page());
});

test('curves take their colours from the page', () => {
  const rendered = page();
  assert.doesNotMatch(rendered, /#0a0b/);
  assert.match(rendered, /stroke="var\(--line-1\)"/);
  assert.equal(rendered.match(/<figure/g)?.length, 6);
});

test('ids are unique and every link within the page leads somewhere', () => {
  const rendered = page();
  const ids = [...rendered.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.deepEqual(ids, [...new Set(ids)]);
  for (const [, target] of rendered.matchAll(/(?:href="#|url\(#)([^")]+)/g)) assert.ok(ids.includes(target), target);
});

test('every metric is defined with its formula', () => {
  const rendered = page();
  for (const { name, formula } of metricDefinitions)
    assert.ok(rendered.includes(html`<dt>${name}</dt><dd><code>${formula}</code>`.text), name);
});

test('the page says that the tasks are a derivative of BFCL and that the checker is lenient', () => {
  assert.match(page(), /Not BFCL/);
  assert.match(page(), /lenient in ways a policy can exploit/);
});

test('runs without warm start, without held-out tasks, without iterations and without evaluations render', () => {
  assert.match(page({ warmStart: null }), /There was no warm start/);
  assert.match(
    page({ run: runManifest({ heldoutTasks: [] }), evaluations: sources().evaluations.slice(0, 3) }),
    /Held-out tasks: not evaluated/,
  );
  assert.match(page({ checkpoints: [] }), /No iteration was run, so there is nothing to draw/);
  assert.match(page({ evaluations: [] }), /This run has no evaluation/);
});

test('html escapes every value that is not html already', () => {
  assert.equal(html`<b>${'<i>"&\''}</b>${html`<u>${1}</u>`}`.text, '<b>&lt;i&gt;&quot;&amp;&#39;</b><u>1</u>');
});

test('settings that could not act are listed with the facts of the run', () => {
  assert.match(
    page({ run: runManifest({ inertSettings: ['algorithm.clip never acts'] }) }),
    /Settings without effect<\/dt><dd><ul><li>algorithm\.clip never acts<\/li>/,
  );
  assert.match(page(), /Settings without effect<\/dt><dd>none/);
});
