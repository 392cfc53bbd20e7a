import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RestoringEnvironment } from '../../activities/environments/restoring-environment.js';
import { sidecarEnvironment } from '../../activities/environments/registry.js';
import { uniform } from '../../activities/numerics/random.js';
import { playEpisodes, type EpisodeSpec } from '../../activities/rollout/play-episodes.js';
import { PlayConfig } from '../../schemas/play-config.js';
import { toyCodec } from '../support/toy-codec.js';
import { bfclScripts, scriptedPolicy } from '../activities/environments/bfcl-scripts.js';
import { startSidecar } from '../activities/environments/sidecar-process.js';

const KILLS = 100;
const EPISODES = 24;
/** A sidecar lives at most so long; it takes about as long to start again. */
const UP_MS = 400;

test('kill -9 of the sidecar at 100 random moments of rollouts: every trajectory is the same bytes as undisturbed', async (t) => {
  let sidecar = await startSidecar({ environment: 'bfcl' });
  const { url, port } = sidecar;
  try {
    const scripts = (await bfclScripts())
      .filter(({ policy, responses }, n) => policy === 'mutated' && n % 31 === 0 && responses.length < 20)
      .slice(0, EPISODES);
    assert.equal(scripts.length, EPISODES);
    const byKey = new Map(scripts.map((script) => [script.taskId, script]));
    const seats = scripts.map(
      ({ taskId }): EpisodeSpec => ({
        task: { id: `${taskId}?docs=compact`, split: 'train', turns: 1 },
        sample: 0,
        episodeId: taskId,
        randomKey: taskId,
      }),
    );
    const codec = toyCodec(Number.MAX_SAFE_INTEGER);
    let waits = 0;
    const rollout = () => {
      const environment = new RestoringEnvironment(sidecarEnvironment('bfcl', url), {
        onWait: () => void waits++,
        maxWaitMs: 300_000,
      });
      return playEpisodes(
        seats,
        { policy: scriptedPolicy(byKey), codec, environment },
        { ...PlayConfig.parse({ maxResponseTokens: 4096, maxTurns: 60 }), temperature: 1, seed: 0 },
      );
    };
    const undisturbed = JSON.stringify(await rollout());

    let kills = 0;
    const killer = (async () => {
      while (kills < KILLS) {
        await sleep(uniform(`kill/${kills}`) * UP_MS);
        await sidecar.kill();
        kills++;
        sidecar = await startSidecar({ environment: 'bfcl', port });
      }
    })();
    let rollouts = 0;
    while (kills < KILLS) {
      assert.equal(JSON.stringify(await rollout()), undisturbed, `rollout ${rollouts}, after ${kills} kills`);
      rollouts++;
    }
    await killer;
    t.diagnostic(`${kills} kills in ${rollouts} rollouts of ${EPISODES} episodes, ${waits} waits for the sidecar`);
    assert.ok(waits >= KILLS, `only ${waits} calls met a dead sidecar: the kills did not hit the rollouts`);
  } finally {
    await sidecar.kill();
  }
});
