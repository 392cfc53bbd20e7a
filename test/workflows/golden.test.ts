import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { recordedRuns, type RecordedRun } from '../support/recorded-runs.js';

/** What an event of a history, as JSON, says of a step that was asked for. */
interface Scheduled {
  readonly activityTaskScheduledEventAttributes?: {
    readonly activityType: { readonly name: string };
    readonly input?: { readonly payloads: { readonly data: string }[] };
  };
}

/** Steps with their arguments, sorted: shards and splits are asked for side by side. */
function stepsOf({ history }: Pick<RecordedRun, 'history'>): string[] {
  return (history.events as Scheduled[])
    .flatMap(({ activityTaskScheduledEventAttributes: scheduled }) => {
      if (!scheduled) return [];
      const given = (scheduled.input?.payloads ?? []).map(({ data }) => Buffer.from(data, 'base64').toString());
      // An execution's own id is another one each time.
      return [
        `${scheduled.activityType.name} ${given.join(' ').replaceAll(/"firstRunId":"[^"]*"/g, '"firstRunId":""')}`,
      ];
    })
    .sort();
}

test("today's workflows ask for the recorded steps with the recorded arguments: replay would not notice another turn or another theta", async () => {
  const again = await recordedRuns(['completed']);
  assert.ok(again.length >= 2);
  for (const run of again) {
    const recorded = JSON.parse(readFileSync(`test/replay/${run.name}.json`, 'utf8')) as RecordedRun;
    const [now, then] = [stepsOf(run), stepsOf(recorded)];
    assert.ok(
      then.length > 1 && then.some((step) => step.includes('"sha256"')),
      `${run.name} has steps with arguments`,
    );
    assert.deepEqual(now, then, run.name);
  }
});
