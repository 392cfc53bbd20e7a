import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { claimRun, releaseRun, requireOwnership, type ExecutionState } from '../../../activities/run/ownership.js';
import type { Execution } from '../../../schemas/ownership.js';

const execution = (firstRunId: string): Execution => ({ namespace: 'default', workflowId: 'run-1', firstRunId });
const a = execution('a');
const b = execution('b');

/** Claims in one store; `state` is what the server of the claimant knows of the holder. */
function run() {
  const artifacts = createMemoryStore();
  const claim = (by: Execution, state: ExecutionState = 'unknown', takeOver?: number) =>
    claimRun(artifacts, 'run-1', {
      by,
      takeOver,
      stateOf: async () => state,
      host: 'h',
      server: 's:1',
      now: () => new Date(0),
    });
  return {
    artifacts,
    claim,
    held: (generation: number) => requireOwnership(artifacts, { runId: 'run-1', generation }),
    release: (generation: number) => releaseRun(artifacts, { runId: 'run-1', generation }),
  };
}

test('the first claim is generation 1, and the same execution claims it again as often as it likes', async () => {
  const { claim } = run();
  assert.deepEqual([await claim(a), await claim(a)], [1, 1]);
});

test('an execution that its server knows to have ended is followed without a word', async () => {
  const { claim, held } = run();
  await claim(a);
  assert.equal(await claim(b, 'closed'), 2);
  await held(2);
  await assert.rejects(held(1), {
    name: 'RunHeld',
    message: /generation 1, but generation 2 \(workflow "run-1", execution b, namespace default/,
  });
});

test('one that runs, or is unknown, is not, unless the generation that was seen is named', async () => {
  const { claim } = run();
  await claim(a);
  for (const state of ['running', 'unknown'] as const)
    await assert.rejects(claim(b, state), { name: 'RunHeld', message: /"takeOver":1/ });
  await assert.rejects(claim(b, 'unknown', 2), { name: 'RunHeld', message: /takeOver is 2, which is not/ });
  assert.equal(await claim(b, 'unknown', 1), 2);
  await assert.rejects(claim(a, 'unknown', 1), { name: 'RunHeld' });
});

test('a run that was let go of is free; who was taken over cannot let go of it', async () => {
  const { claim, release, held } = run();
  await claim(a);
  await claim(b, 'closed');
  await release(1);
  await held(2);
  await assert.rejects(claim(a, 'unknown'), { name: 'RunHeld' });
  await release(2);
  assert.equal(await claim(a, 'unknown'), 3);
});

test('of many that claim a free run at once exactly one gets it', async () => {
  const { claim } = run();
  const claims = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => claim(execution(`e${i}`))));
  assert.equal(claims.filter(({ status }) => status === 'fulfilled').length, 1);
});
