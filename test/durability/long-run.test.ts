import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runOnFakes } from '../support/run-on-fakes.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';

const ITERATIONS = 300;
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

test(`${ITERATIONS} iterations: under 15 events of the run's history for each, and the run continues as new with everything it carries`, async () => {
  await runOnFakes(temporal, { iterations: ITERATIONS, shards: 1, turns: 1 }, undefined, async (handle, calls) => {
    const { iterations, evaluations } = await handle.result();
    assert.equal(iterations, ITERATIONS);
    const committed = calls.filter(({ name }) => name === 'commitCheckpoint').map(({ input }) => input.iteration);
    assert.deepEqual(
      committed,
      Array.from({ length: ITERATIONS }, (_, k) => k),
    );
    // Each iteration begins with the theta that the one before it made.
    const thetas = calls
      .filter(({ name }) => name === 'collectRollouts')
      .map(({ input }) => (input.policy as { adapter: { key: string } | null }).adapter?.key ?? null);
    assert.deepEqual(thetas, [null, ...Array.from({ length: ITERATIONS - 1 }, (_, k) => `${k}/turn-1`)]);
    assert.equal(calls.filter(({ name }) => name === 'openRun').length, 1);
    assert.deepEqual([...new Set(evaluations.map(({ name }) => name))], ['untouched', 'end']);

    let events = 0;
    let executions = 0;
    for (let runId: string | undefined = handle.firstExecutionRunId; runId; executions++) {
      const history = await temporal.environment.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
      events += history.events!.length;
      runId = history.events!.at(-1)!.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId ?? undefined;
    }
    assert.ok(executions >= 3, `${executions} executions`);
    assert.ok(events / ITERATIONS < 15, `${events / ITERATIONS} events for each iteration`);
    console.log(`${events} events in ${executions} executions: ${(events / ITERATIONS).toFixed(1)} for each iteration`);
  });
});
