import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { failureLine } from '../../scripts/quickstart/failure.js';
import { eventLines } from '../../scripts/quickstart/progress-view.js';
import { RunClient } from '../../scripts/quickstart/run-client.js';
import type { Snapshot } from '../../scripts/quickstart/snapshot.js';
import { watchRun } from '../../scripts/quickstart/watch-run.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { fakeActivities, fakeRun, type Call } from '../support/fake-activities.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';

let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const config = (iterations: number): TrainConfig =>
  ({
    ...fakeRun,
    iterations,
    title: 'fake',
    algorithm: { name: 'seeupo' },
    environment: { name: 'fake' },
  }) as unknown as TrainConfig;

/** Real server and workflows, fake activities; hands over a client of its own and a way to collect snapshots. */
async function withRun(
  before: (call: Call) => Promise<void> | void,
  work: (runs: RunClient) => Promise<void>,
): Promise<void> {
  await temporal.withWorkers(fakeActivities(before), async (controlQueue) => {
    const { address } = temporal.environment;
    const runs = await RunClient.connect({ address, namespace: 'default', controlQueue });
    try {
      await work(runs);
    } finally {
      await runs.close();
    }
  });
}

const watch = async (
  runs: RunClient,
  runId: string,
  onSnapshot: (snapshot: Snapshot) => void,
  signal = new AbortController().signal,
) =>
  watchRun(runs.client, runId, { intervalMs: 50, signal, onSnapshot, onUnreachable: (reason) => assert.fail(reason) });

test('a run is watched from its start to its end, with the heartbeat of the step under way', {
  timeout: 60_000,
}, async () => {
  const slowly = async ({ name }: Call): Promise<void> => {
    if (name !== 'updateTurn') return;
    Context.current().heartbeat({ phase: 'gradient', done: 3, of: 12 });
    await sleep(1_000);
  };
  await withRun(slowly, async (runs) => {
    assert.equal(await runs.status('watched'), 'NONE');
    await runs.start('watched', config(2));
    const seen: Snapshot[] = [];
    const end = await watch(runs, 'watched', (snapshot) => seen.push(snapshot));
    assert.equal(end?.status, 'COMPLETED');
    assert.equal(await runs.status('watched'), 'COMPLETED');
    assert.ok(
      seen.some(({ iteration }) => iteration?.phase === 'update turn' && iteration.turn === 2 && iteration.turns === 2),
    );
    assert.ok(
      seen.some(({ steps }) =>
        steps.some(({ activity, work }) => activity === 'updateTurn' && work?.done === 3 && work.of === 12),
      ),
    );
    const lines = seen.flatMap((snapshot, i) => eventLines(seen[i - 1] ?? null, snapshot, Date.now()));
    assert.equal(lines.filter((line) => /^iteration [12]\/2 done: reward 0\.500/.test(line)).length, 2);
    assert.equal(lines.filter((line) => line.startsWith('evaluation end, ')).length, 2);
    assert.equal((await runs.result('watched')).iterations, 2);
  });
});

test('a run that fails at its start ends with its reason in one line', { timeout: 60_000 }, async () => {
  const refusing = ({ name }: Call): void => {
    if (name === 'openRun')
      throw ApplicationFailure.nonRetryable(
        'The configuration has 2 problems:\n  - a is missing\n  - b is 0',
        'BadConfig',
      );
  };
  await withRun(refusing, async (runs) => {
    await runs.start('refused', config(1));
    assert.equal((await watch(runs, 'refused', () => {}))?.status, 'FAILED');
    const failure = await runs.result('refused').then(
      () => assert.fail('the run succeeded'),
      (error: unknown) => error,
    );
    assert.equal(failureLine(failure), 'openRun: BadConfig: The configuration has 2 problems: a is missing; b is 0');
  });
});

test('a step that failed for good pauses the run, which says so, and goes on when it is told to', {
  timeout: 60_000,
}, async () => {
  let mended = false;
  const broken = ({ name }: Call): void => {
    if (name === 'scoreTrajectories' && !mended)
      throw ApplicationFailure.nonRetryable('the object was damaged', 'CheckpointCorrupt');
  };
  await withRun(broken, async (runs) => {
    await runs.start('mended', config(1));
    let paused: string | null = null;
    const halt = new AbortController();
    const end = await watch(
      runs,
      'mended',
      ({ progress }) => {
        paused = progress?.paused ?? null;
        if (paused !== null) halt.abort();
      },
      halt.signal,
    );
    assert.equal(end, null);
    assert.match(paused ?? '', /^iteration 1 failed\. scoreTrajectories: CheckpointCorrupt: the object was damaged/);
    mended = true;
    await runs.resume('mended');
    assert.equal((await watch(runs, 'mended', () => {}))?.status, 'COMPLETED');
  });
});

test('starting a run that is running joins it, and one that has ended is started again', {
  timeout: 60_000,
}, async () => {
  await withRun(
    ({ name }) => (name === 'openRun' ? sleep(500) : undefined),
    async (runs) => {
      await runs.start('twice', config(0));
      await runs.start('twice', config(0));
      await runs.terminate('twice', 'test');
      assert.equal(await runs.status('twice'), 'TERMINATED');
      await runs.start('twice', config(0));
      assert.equal((await watch(runs, 'twice', () => {}))?.status, 'COMPLETED');
    },
  );
});

test('a server that stops answering is told once and waited for', { timeout: 60_000 }, async () => {
  await withRun(
    () => {},
    async (runs) => {
      await runs.close();
      const told: string[] = [];
      const halt = new AbortController();
      setTimeout(() => halt.abort(), 400);
      const end = await watchRun(runs.client, 'gone', {
        intervalMs: 50,
        signal: halt.signal,
        onSnapshot: () => assert.fail(),
        onUnreachable: (reason) => told.push(reason),
      });
      assert.equal(end, null);
      assert.equal(told.length, 1);
    },
  );
});
