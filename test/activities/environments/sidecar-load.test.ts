import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pLimit from 'p-limit';
import type { EnvService } from '../../../activities/environments/env-service.js';
import { sidecarEnvironment } from '../../../activities/environments/registry.js';
import { quantile } from '../../../activities/numerics/quantile.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import { bfclScripts, type Script } from './bfcl-scripts.js';
import { startSidecar, type Sidecar } from './sidecar-process.js';

let sidecar: Sidecar;
let environment: EnvService;
before(async () => {
  sidecar = await startSidecar({ environment: 'bfcl' });
  environment = sidecarEnvironment('bfcl', sidecar.url);
});
after(() => sidecar.kill());

const EPISODES = 256;
const SAME_TASK = 4;
/** As many requests at once as the client sends (env-service.ts): a step's time is then its own, without the wait for a connection. */
const AT_ONCE = 16;
const ROUNDS = 5;
const meetsBar = ({ stepsPerSecond, p99 }: { stepsPerSecond: number; p99: number }): boolean =>
  stepsPerSecond >= 1500 && p99 < 50;

/** Hashes of all observations, and the verdict. */
type Seen = readonly unknown[];

async function play(script: Script, episodeId: string, limit = pLimit(1), times: number[] = []): Promise<Seen> {
  const seen: unknown[] = [];
  for (const [index, content] of script.responses.entries()) {
    const step = { episodeId, stepIndex: index + 1, action: { content, calls: parseCalls(content, 'hermes') } };
    const { hash, done } = await limit(async () => {
      const began = performance.now();
      const observation = await environment.step(step);
      times.push(performance.now() - began);
      return observation;
    });
    seen.push(hash);
    if (done) break;
  }
  return [...seen, await limit(() => environment.evaluate(episodeId))];
}
const reset = ({ taskId }: Script, episodeId: string) =>
  environment.reset({ episodeId, taskId: `${taskId}?docs=compact`, seed: 0 });

test('256 concurrent episodes, four of each task: at least 1,500 steps a second, p99 of a step under 50 ms, and none sees another', async (t) => {
  const scripts = (await bfclScripts()).filter(
    ({ policy, responses }) => policy === 'random' && responses.length <= 20,
  );
  // Every tenth: all categories. The four of a task follow different scripts, so that a shared state would show.
  const chosen = scripts.filter((_, n) => n % 10 === 0).slice(0, EPISODES / SAME_TASK);
  const seats = chosen.flatMap(({ taskId }, n) =>
    Array.from({ length: SAME_TASK }, (_, g): Script => ({ ...chosen[(n + g) % chosen.length]!, taskId })),
  );
  assert.equal(seats.length, EPISODES);

  const alone: Seen[] = [];
  for (const [n, script] of seats.entries()) {
    await reset(script, `alone/${n}`);
    alone.push(await play(script, `alone/${n}`));
    await environment.close(`alone/${n}`);
  }
  const measured: { stepsPerSecond: number; p99: number }[] = [];
  // What else runs on the machine only slows a round down: the best of a few is what the sidecar can do.
  while (measured.length < ROUNDS && !measured.some(meetsBar)) {
    const round = measured.length;
    await Promise.all(seats.map((script, n) => reset(script, `${round}/${n}`)));
    const limit = pLimit(AT_ONCE);
    const times: number[] = [];
    const began = performance.now();
    const together = await Promise.all(seats.map((script, n) => play(script, `${round}/${n}`, limit, times)));
    const stepsPerSecond = times.length / ((performance.now() - began) / 1000);
    measured.push({ stepsPerSecond, p99: quantile(times, 0.99) });
    t.diagnostic(
      `${times.length} steps, ${stepsPerSecond.toFixed(0)} a second, p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms`,
    );
    assert.deepEqual(together, alone);
    await Promise.all(seats.map((_, n) => environment.close(`${round}/${n}`)));
  }
  assert.ok(
    new Set(alone.map((seen) => JSON.stringify(seen))).size > EPISODES / 2,
    'most episodes see something of their own, or this proves nothing',
  );
  assert.ok(measured.some(meetsBar), JSON.stringify(measured));
});
