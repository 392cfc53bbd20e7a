import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { recordedEvaluation } from '../support/recorded-evaluation.js';
import { recordedRuns } from '../support/recorded-runs.js';

/**
 * Records the histories that test/workflows/replay.test.ts replays:
 *   node dist/test/replay/record.js [--into test/replay]
 * Run it only when workflows are meant to change in a way that running runs need not survive.
 */
const { values } = parseArgs({ options: { into: { type: 'string', default: 'test/replay' } } });
await mkdir(values.into, { recursive: true });
for (const { name, workflowId, history } of [...(await recordedRuns()), await recordedEvaluation()]) {
  const file = path.join(values.into, `${name}.json`);
  await writeFile(file, `${JSON.stringify({ workflowId, history })}\n`);
  process.stdout.write(`${file}: ${history.events?.length} events of ${workflowId}\n`);
}
