import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import {
  firstFreeId,
  pickedUpId,
  QuickstartError,
  readConfig,
  readCurrentRun,
  refuseOtherSettings,
  writeCurrentRun,
} from '../../scripts/quickstart/current-run.js';

const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-quickstart-'));
after(() => rm(folder, { recursive: true }));

const SMOKE = path.join(process.cwd(), 'scripts', 'runs', 'smoke.json');
const asGiven = { seed: null, iterations: null };

test('the current run is read back as it was written, settings included', async () => {
  const file = path.join(folder, 'deep', 'quickstart.json');
  const config = await readConfig(SMOKE, asGiven);
  await writeCurrentRun(file, { runId: 'quickstart-2', config });
  const read = await readCurrentRun(file);
  assert.equal(read?.runId, 'quickstart-2');
  refuseOtherSettings('quickstart-2', read.config, config);
});

test('a missing or damaged record is no current run', async () => {
  assert.equal(await readCurrentRun(path.join(folder, 'nowhere.json')), null);
  for (const text of ['', '{"runId":', '{"runId":"../x"}', '[]']) {
    const file = path.join(folder, 'damaged.json');
    await writeFile(file, text);
    assert.equal(await readCurrentRun(file), null, text);
  }
});

test('the command line’s seed and iterations stand in for the file’s', async () => {
  const { seed, iterations } = await readConfig(SMOKE, { seed: 9, iterations: 1 });
  assert.deepEqual([seed, iterations], [9, 1]);
  assert.equal(
    (await readConfig(SMOKE, asGiven)).seed,
    (JSON.parse(await readFile(SMOKE, 'utf8')) as { seed: number }).seed,
  );
});

test('a settings file that is missing, no JSON, or wrong is refused with what to do', async () => {
  await assert.rejects(
    readConfig('nowhere.json', asGiven),
    /--config nowhere\.json: there is no such file; expected a JSON file like scripts\/runs\/quickstart\.json/,
  );
  const file = path.join(folder, 'config.json');
  await writeFile(file, '{ "seed": 1, }');
  await assert.rejects(
    readConfig(file, asGiven),
    (error: Error) => error instanceof QuickstartError && /is no JSON/.test(error.message),
  );
  await writeFile(file, '[]');
  await assert.rejects(readConfig(file, asGiven), { name: 'BadConfig' });
  await writeFile(file, '{ "sede": 1 }');
  await assert.rejects(readConfig(file, asGiven), /sede/);
});

test('other settings than the stored run’s are refused, each named with both values', async () => {
  const stored = await readConfig(SMOKE, asGiven);
  const asked = await readConfig(SMOKE, { seed: 9, iterations: null });
  assert.throws(
    () => refuseOtherSettings('quickstart', stored, asked),
    /^QuickstartError: Run "quickstart" was started with other settings[^]*\n {2}seed: stored 1, given 9\n[^]*npm run quickstart -- --fresh/,
  );
});

test('the first free id counts on from quickstart', async () => {
  const taken = new Set(['quickstart', 'quickstart-2']);
  assert.equal(await firstFreeId(async (id) => taken.has(id)), 'quickstart-3');
  assert.equal(await firstFreeId(async () => false), 'quickstart');
});

test('a named run comes before the current one, and the current one before the first', () => {
  const current = { runId: 'quickstart-4', config: null };
  assert.equal(pickedUpId({ runId: 'mine' }, current), 'mine');
  assert.equal(pickedUpId({ runId: null }, current), 'quickstart-4');
  assert.equal(pickedUpId({ runId: null }, null), 'quickstart');
});
