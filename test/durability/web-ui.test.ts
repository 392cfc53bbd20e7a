import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { resolveConfig } from '../../activities/run/resolve-config.js';
import { startStack, type Stack } from '../../scripts/chaos/stack.js';
import { RunClient } from '../../scripts/quickstart/run-client.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import type { TrainMetrics, TrainProgress } from '../../workflows/messages.js';
import { openBrowser } from '../support/browser.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/*
 * What a person sees of a run in Temporal's own Web UI, read from the pages of a real browser: a small real run
 * that completes, and one that cannot go on and pauses itself.
 */
let root: string;
let stack: Stack;
let runs: RunClient;
let page: Page;
let closeBrowser: (() => Promise<void>) | undefined;
before(async () => {
  root = await mkdtemp(path.join(runtimeDir, 'test-web-ui-'));
  stack = await startStack({
    dataDir: path.join(root, 'stack'),
    gpuWorkers: 1,
    sidecar: false,
    workerEnv: await tinyWorkerEnv(path.join(root, 'models')),
  });
  runs = await RunClient.connect({
    address: stack.services.addresses.temporal,
    namespace: 'default',
    controlQueue: 'seeupo-control',
  });
  const { browser, close } = await openBrowser();
  closeBrowser = close;
  page = await browser.newPage({ viewport: { width: 1400, height: 1600 } });
  page.setDefaultTimeout(20_000);
});
after(async () => {
  await closeBrowser?.();
  await runs?.close();
  await stack?.stop();
  await rm(root, { recursive: true, force: true });
});

const start = (runId: string, config: TrainConfigInput) => runs.start(runId, resolveConfig(config));
const query = <R>(runId: string, name: string): Promise<R> => stack.client.workflow.getHandle(runId).query<R>(name);

/** Opens a workflow's page as a person does, and one of its tabs. */
async function openTab(workflowId: string, tab: string): Promise<void> {
  await page.goto(`${stack.services.addresses.webUi}/namespaces/default/workflows/${encodeURIComponent(workflowId)}`);
  await page.getByRole('heading', { name: workflowId }).waitFor();
  await page
    .getByRole('tab', { name: tab })
    .or(page.getByRole('link', { name: tab }))
    .first()
    .click();
}

/** The Markdown of the tab "User Metadata" as it is drawn, HTML; each piece is in a frame of its own. Waits for one that matches. */
async function drawn(workflowId: string, expected: RegExp): Promise<string> {
  await openTab(workflowId, 'User Metadata');
  let seen: string[] = [];
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(200)) {
    seen = await Promise.all(
      page
        .frames()
        .slice(1)
        .map((frame) =>
          frame
            .locator('body')
            .innerHTML()
            .catch(() => ''),
        ),
    );
    const found = seen.find((html) => expected.test(html));
    if (found !== undefined) return found;
  }
  return assert.fail(`${workflowId}: no part of the page matches ${expected}; it shows ${JSON.stringify(seen)}`);
}

/** The text of the cells of every table row, header rows included. */
const rowsOf = (html: string): string[][] =>
  [...html.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell!.replaceAll(/<[^>]+>/g, '').trim()),
  );

test("a run's page draws its current details: title, evaluations and iterations as tables, with the numbers of its metrics", async () => {
  await start('seen', tinyRun);
  await runs.result('seen');
  const { evaluations, iterations, checkpoint } = await query<TrainMetrics>('seen', 'metrics');
  const html = await drawn('seen', /<h3[^>]*>three tiny iterations<\/h3>/);
  assert.match(html, /<strong>done<\/strong>/);
  assert.match(html, new RegExp(`<code>${checkpoint!.key}</code>`));
  const rows = rowsOf(html);
  assert.equal(iterations.length, 3);
  for (const { name, split, meanReward } of evaluations)
    assert.ok(
      rows.some((row) => row[0] === name && row[1] === split && row[2] === meanReward.toFixed(3)),
      `evaluation ${name}, ${split}`,
    );
  for (const { iteration, meanReward } of iterations)
    assert.ok(
      rows.some((row) => row[0] === String(iteration + 1) && row[1] === meanReward.toFixed(3)),
      `iteration ${iteration + 1}`,
    );
});

test('summaries name the run, and each of its steps', async () => {
  await drawn('seen', /Started by .*npm run quickstart.*3 iterations of seeupo/);
  const text = await page.locator('body').innerText();
  for (const step of [
    'check the configuration, open the run',
    'warm start: supervised fine-tuning',
    'evaluate end, heldout tasks',
    'iteration 3 of 3',
    'report',
  ])
    assert.ok(text.includes(step), step);
});

test('search attributes stand on the page as they are searched by', async () => {
  await openTab('seen', 'Search Attributes');
  const shown = page.getByText('"SeeupoRunId"').first();
  await shown.waitFor();
  const text = await page.locator('body').innerText();
  const { iterations } = await query<TrainMetrics>('seen', 'metrics');
  for (const line of [
    '"SeeupoRunId": "seen"',
    '"SeeupoAlgo": "seeupo"',
    '"SeeupoModel": "tiny-chat"',
    '"SeeupoIteration": 3',
    '"SeeupoPhase": "done"',
  ])
    assert.ok(text.includes(line), `${line} in ${text}`);
  const reward = Number(/"SeeupoAvgReward": ([\d.e-]+)/.exec(text)?.[1]);
  assert.ok(Math.abs(reward - iterations.at(-1)!.meanReward) < 1e-9, String(reward));
});

test('each iteration has a page of its own', async () => {
  await drawn('seen/iteration-0001', /<strong>Iteration 2 of 3<\/strong>: commit/);
  const text = await page.locator('body').innerText();
  for (const step of [
    'rollout, shard 1 of',
    'turn pools and advantages',
    'update turn 3 of 3',
    'update turn 1 of 3',
    'commit the checkpoint',
  ])
    assert.ok(text.includes(step), step);
});

test('a run that paused itself says on its page that it is paused, why, and what to do', async () => {
  await start('stuck', { ...tinyRun, optimizer: { learningRate: 1e30 } });
  for (;;) {
    const { paused } = await query<TrainProgress>('stuck', 'progress').catch(() => ({ paused: null }));
    if (paused !== null) break;
    await sleep(200);
  }
  const html = await drawn('stuck', /<strong>Paused<\/strong>/);
  assert.match(html, /iteration 1 failed\. updateTurn: NonFiniteLoss/);
  assert.match(html, /<code>resume<\/code>.*<code>abort<\/code>/s);
  await openTab('stuck', 'Search Attributes');
  await page.getByText('"SeeupoPaused": true').first().waitFor();
});
