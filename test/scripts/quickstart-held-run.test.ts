import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryStore } from '../../activities/artifacts/memory-store.js';
import { keys } from '../../activities/artifacts/store.js';
import { claimRun, releaseRun, requireOwnership, type ExecutionState } from '../../activities/run/ownership.js';
import { freeRun } from '../../scripts/quickstart/held-run.js';
import { Ownership, type Execution } from '../../schemas/ownership.js';

const HERE = { host: 'desk', server: '127.0.0.1:17233', namespace: 'default' };
const execution = (namespace = 'default'): Execution => ({ namespace, workflowId: 'quickstart', firstRunId: 'first' });

/** A run that was claimed at a place, and what this checkout's server says of its execution. */
async function claimed(at: { host?: string; server?: string; namespace?: string }, state: ExecutionState) {
  const artifacts = createMemoryStore();
  const { host, server, namespace } = { ...HERE, ...at };
  await claimRun(artifacts, 'quickstart', {
    by: execution(namespace),
    stateOf: async () => 'unknown',
    host,
    server,
    now: () => new Date(0),
  });
  const holder = async () => (await artifacts.findRecord(keys.ownership('quickstart'), Ownership))!.record.holder;
  return {
    artifacts,
    holder,
    free: (takeOver = false) => freeRun(artifacts, 'quickstart', { ...HERE, stateOf: async () => state }, takeOver),
  };
}

test('a run that nobody holds, or whose holder has ended, is left as it is', async () => {
  assert.equal(
    await freeRun(
      createMemoryStore(),
      'quickstart',
      { ...HERE, stateOf: async () => assert.fail('nobody to ask for') },
      false,
    ),
    null,
  );
  const ended = await claimed({}, 'closed');
  assert.equal(await ended.free(), null);
  assert.deepEqual(await ended.holder(), execution());
  await releaseRun(ended.artifacts, { runId: 'quickstart', generation: 1 });
  assert.equal(await ended.free(), null);
});

test('a holder that the very server it ran on does not know any more is gone: the run is let go of, and a zombie of it is fenced by the next claim', async () => {
  const { artifacts, holder, free } = await claimed({}, 'unknown');
  assert.match((await free())!, /database that knew .*"quickstart" is gone/);
  assert.equal(await holder(), null);
  const next = await claimRun(artifacts, 'quickstart', {
    by: { ...execution(), firstRunId: 'second' },
    stateOf: async () => 'unknown',
    ...HERE,
    now: () => new Date(0),
  });
  assert.equal(next, 2);
  await assert.rejects(requireOwnership(artifacts, { runId: 'quickstart', generation: 1 }), { name: 'RunHeld' });
});

for (const [what, at] of Object.entries({
  'of another machine': { host: 'rack' },
  'at another address': { server: '127.0.0.1:7233' },
  'in another namespace': { namespace: 'mine' },
})) {
  test(`of a holder ${what} nothing is known: it is refused, naming the holder and the option, and taken over with the option`, async () => {
    const { holder, free } = await claimed(at, 'unknown');
    const named = { ...HERE, ...at };
    const pattern = new RegExp(
      `held by workflow "quickstart", execution first, namespace ${named.namespace}, on the Temporal server at ${named.server} of ${named.host}.*npm run quickstart -- --take-over`,
    );
    await assert.rejects(free(), { name: 'QuickstartError', message: pattern });
    assert.notEqual(await holder(), null);
    assert.match((await free(true))!, /taken over from workflow "quickstart"/);
    assert.equal(await holder(), null);
  });
}

test("a record that does not say which server it was is another server's", async () => {
  const { artifacts, free } = await claimed({}, 'unknown');
  const { record, version } = (await artifacts.findRecord(keys.ownership('quickstart'), Ownership))!;
  await artifacts.replaceRecord(keys.ownership('quickstart'), { ...record, server: null }, Ownership, version);
  await assert.rejects(free(), { name: 'QuickstartError', message: /at an unknown address of desk/ });
});

test('a holder that runs is not robbed, whatever the person says', async () => {
  const { holder, free } = await claimed({}, 'running');
  for (const takeOver of [false, true])
    await assert.rejects(free(takeOver), {
      name: 'QuickstartError',
      message:
        /is running\. Cancel it first: temporal workflow cancel --address 127\.0\.0\.1:17233 --namespace default --workflow-id quickstart/,
    });
  assert.notEqual(await holder(), null);
});
