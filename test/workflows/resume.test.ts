import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { createMemoryStore } from '../../activities/artifacts/memory-store.js';
import { keys } from '../../activities/artifacts/store.js';
import { Ownership } from '../../schemas/ownership.js';
import type { TrainInput } from '../../schemas/run-request.js';
import type { train } from '../../workflows/train.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';
import { pipelineConfig, stepsOf, toyPipeline, type BeforeStep } from '../support/toy-pipeline.js';

/** Two Temporal servers that know nothing of each other, and one store: the loss of a database, and two that are live at once. */
let [here, elsewhere]: TemporalUnderTest[] = [];
before(async () => {
  [here, elsewhere] = [await startTemporal(), await startTemporal()];
});
after(async () => {
  await here?.stop();
  await elsewhere?.stop();
});

type Store = ReturnType<typeof createMemoryStore>;
type Handle = WorkflowHandle<typeof train>;

/** Starts a run on a server with workers over the store, for as long as the work takes. */
async function on<R>(
  temporal: TemporalUnderTest,
  artifacts: Store,
  workflowId: string,
  input: TrainInput,
  work: (handle: Handle, done: string[]) => Promise<R>,
  before?: BeforeStep,
): Promise<R> {
  const { activities, done } = toyPipeline(artifacts, before);
  return temporal.withWorkers(activities, async (taskQueue) =>
    work(
      await temporal.environment.client.workflow.start<typeof train>('train', { taskQueue, workflowId, args: [input] }),
      done,
    ),
  );
}
const result = (handle: Handle) => handle.result();
const refusal = async (handle: Handle): Promise<string> => {
  const failure = await handle.result().then(
    () => assert.fail('it was not refused'),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof WorkflowFailedError);
  return String((failure.cause as Error).cause);
};

async function undisturbed(runId: string): Promise<Map<string, string>> {
  const artifacts = createMemoryStore();
  await on(here!, artifacts, runId, pipelineConfig, result);
  return stepsOf(artifacts, runId);
}

/** A run whose server and workers vanish before a step is done: nothing of it is left but the store. */
async function lost(
  artifacts: Store,
  workflowId: string,
  at: { name: string; iteration: number; turn?: number },
): Promise<void> {
  let reached = (): void => {};
  const there = new Promise<void>((resolve) => (reached = resolve));
  const hang: BeforeStep = async (name, input) => {
    if (name !== at.name || input.iteration !== at.iteration || (at.turn !== undefined && input.turn !== at.turn))
      return;
    reached();
    await new Promise<never>(() => {});
  };
  const gone = await startTemporal();
  const { activities } = toyPipeline(artifacts, hang);
  await gone
    .withWorkers(activities, async (taskQueue) => {
      await gone.environment.client.workflow.start<typeof train>('train', {
        taskQueue,
        workflowId,
        args: [pipelineConfig],
      });
      await there;
      await gone.environment.client.workflow.getHandle(workflowId).terminate('its database is lost');
    })
    .catch(() => {});
  await gone.stop();
}

for (const at of [
  { name: 'updateTurn', iteration: 1, turn: 1 },
  { name: 'collectRollouts', iteration: 2 },
  { name: 'groupRollouts', iteration: 0 },
]) {
  const where = `${at.name} of iteration ${at.iteration + 1}`;
  test(`after the loss of the Temporal database in ${where} a run goes on from the store to the same bytes`, async () => {
    const artifacts = createMemoryStore();
    await lost(artifacts, 'lost', at);
    const before = await stepsOf(artifacts, 'lost');
    const { done, iterations } = await on(
      here!,
      artifacts,
      'found',
      { resumeFrom: { run: 'lost', takeOver: 1 } },
      async (handle, done) => ({ done, iterations: (await handle.result()).iterations }),
    );
    assert.equal(iterations, 3);
    const after = await stepsOf(artifacts, 'lost');
    assert.deepEqual(after, await undisturbed('whole'));
    for (const [key, bytes] of before) assert.equal(after.get(key), bytes, key);
    assert.equal(done.filter((name) => name === 'commitCheckpoint').length, 3 - at.iteration);
  });
}

test('a run that another server holds is refused, says who holds it and how to take over; taken over, it goes on', async () => {
  const artifacts = createMemoryStore();
  await lost(artifacts, 'held', { name: 'updateTurn', iteration: 1 });
  const { record } = (await artifacts.findRecord(keys.ownership('held'), Ownership))!;
  const why = await on(here!, artifacts, 'held', pipelineConfig, refusal);
  assert.match(
    why,
    new RegExp(
      `run "held" is held by workflow "held", execution ${record.holder!.firstRunId}, namespace default, since ${record.since}`,
    ),
  );
  assert.match(why, /does not know it.*start with \{"resumeFrom":\{"run":"held","takeOver":1\}\}/);
  assert.match(
    await on(here!, artifacts, 'held', { resumeFrom: { run: 'held', takeOver: 7 } }, refusal),
    /takeOver is 7, which is not the generation that holds it/,
  );
  await on(here!, artifacts, 'held', { resumeFrom: { run: 'held', takeOver: 1 } }, result);
  assert.deepEqual(await stepsOf(artifacts, 'held'), await undisturbed('whole'));
});

test('two live executions with one resumeFrom: the second is refused while the first runs, and is let in when it has ended', async () => {
  const artifacts = createMemoryStore();
  await lost(artifacts, 'shared', { name: 'updateTurn', iteration: 1 });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const slow: BeforeStep = (name) => (name === 'commitCheckpoint' ? held : undefined);
  const resume = { resumeFrom: { run: 'shared', takeOver: 1 } };
  await on(
    here!,
    artifacts,
    'first',
    resume,
    async (first) => {
      while ((await artifacts.findRecord(keys.ownership('shared'), Ownership))!.record.generation === 1)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const second = { resumeFrom: { run: 'shared' } };
      assert.match(
        await on(here!, artifacts, 'second', second, refusal),
        /held by workflow "first".*It is running.*cancel it \(temporal workflow cancel (--address \S+ )?--namespace default --workflow-id first\)/,
      );
      assert.match(
        await on(elsewhere!, artifacts, 'second', second, refusal),
        /held by workflow "first".*does not know it/,
      );
      release();
      assert.equal((await first.result()).iterations, 3);
    },
    slow,
  );
  assert.equal((await artifacts.findRecord(keys.ownership('shared'), Ownership))!.record.holder, null);
  assert.equal((await on(elsewhere!, artifacts, 'third', { resumeFrom: { run: 'shared' } }, result)).iterations, 3);
});

test('an execution that was taken over while it lived commits nothing more, and says so', async () => {
  const artifacts = createMemoryStore();
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let reached = (): void => {};
  const there = new Promise<void>((resolve) => (reached = resolve));
  const slow: BeforeStep = async (name, { iteration }) => {
    if (name !== 'updateTurn' || iteration !== 1) return;
    reached();
    await held;
  };
  await on(
    elsewhere!,
    artifacts,
    'zombie',
    pipelineConfig,
    async (zombie) => {
      await there;
      await on(here!, artifacts, 'heir', { resumeFrom: { run: 'zombie', takeOver: 1 } }, result);
      const whole = await stepsOf(artifacts, 'zombie');
      release();
      const paused = async () => ((await zombie.query('progress')) as { paused: string | null }).paused;
      while ((await paused()) === null) await new Promise((resolve) => setTimeout(resolve, 50));
      assert.match((await paused())!, /RunHeld.*wrote it as generation 1, but generation 2 .*taken over/);
      assert.deepEqual(await stepsOf(artifacts, 'zombie'), whole);
      await zombie.terminate();
    },
    slow,
  );
});

test('a run that ended is found whole: nothing is done again', async () => {
  const artifacts = createMemoryStore();
  await on(here!, artifacts, 'whole', pipelineConfig, result);
  const steps = await stepsOf(artifacts, 'whole');
  const { done, again } = await on(here!, artifacts, 'whole', pipelineConfig, async (handle, done) => ({
    done,
    again: await handle.result(),
  }));
  assert.deepEqual(done.sort(), ['evaluatePolicy', 'evaluatePolicy', 'openRun', 'releaseRun', 'writeReport']);
  assert.equal(again.iterations, 3);
  assert.deepEqual(await stepsOf(artifacts, 'whole'), steps);
});

test('resuming what is not there is refused, and so are settings beside it', async () => {
  const artifacts = createMemoryStore();
  assert.match(
    await on(here!, artifacts, 'none-1', { resumeFrom: { run: 'nothing' } }, refusal),
    /there is no run "nothing" in this store/,
  );
  assert.match(
    await on(here!, artifacts, 'none-2', { resumeFrom: { run: 'nothing' }, seed: 2 }, refusal),
    /seed.*nothing besides: the settings are the stored ones/s,
  );
});
