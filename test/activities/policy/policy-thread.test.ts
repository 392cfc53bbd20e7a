// Needs of set-up: tensorflow-binding
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startPolicy, untilDeath } from '../../../activities/policy/policy-thread.js';
import { tinyModel, tinyWeights } from './tiny-models.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('results of calls can be collected while the thread lives: a run of weeks hands out gigabytes of them', async () => {
  const policy = await startPolicy('fp32', 1);
  try {
    await policy.use(await tinyWeights(tinyModel('llama-tied')));
    await policy.useMoments(null, 0);
    const results = [];
    for (let i = 0; i < 5; i++) results.push(new WeakRef((await policy.trained()).adapter));
    for (let i = 0; i < 10 && results.some((result) => result.deref()); i++) {
      await sleep(20); // a WeakRef holds its target until the turn of the event loop ends
      collectGarbage();
    }
    assert.deepEqual(
      results.map((result) => result.deref()?.length),
      [undefined, undefined, undefined, undefined, undefined],
    );
  } finally {
    await policy.close();
  }
});

test('a death ends the calls under way and every later one with its reason', async () => {
  let die = (_: Error): void => undefined;
  const alive = untilDeath(new Promise((_, reject) => (die = reject)));
  const endless = new Promise<number>(() => undefined);
  assert.equal(await alive(Promise.resolve(1)), 1);
  const underWay = alive(endless);
  die(new Error('out of memory'));
  await assert.rejects(underWay, { message: 'out of memory' });
  await assert.rejects(alive(endless), { message: 'out of memory' });
});

test("a call's own failure is its own", async () => {
  const alive = untilDeath(new Promise(() => undefined));
  await assert.rejects(alive(Promise.reject(new RangeError('no such token'))), {
    name: 'RangeError',
    message: 'no such token',
  });
});
