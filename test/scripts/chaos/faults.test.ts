import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { everyFault, instant, KILLED, named, planTrial, STORE_FAULTS } from '../../../scripts/chaos/faults.js';

test('a series of as many trials as there are kinds of faults sees each of them', () => {
  const kinds = everyFault('any').length;
  assert.equal(kinds, KILLED.length + STORE_FAULTS.length + 2); // freeze, twin
  const named_ = (seed: number) =>
    new Set(
      Array.from({ length: kinds }, (_, n) => planTrial(seed, n)).flatMap((blows) =>
        blows.map(({ fault }) => named(fault).replace(/ \d+ s$/, '')),
      ),
    );
  for (const seed of [1, 2, 3]) assert.equal(named_(seed).size, kinds);
});

test('a trial is a function of seed and number: one to three blows in their order, before the last tenth of the run', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(200), (seed, trial) => {
      const blows = planTrial(seed, trial);
      assert.deepEqual(planTrial(seed, trial), blows);
      assert.ok(blows.length >= 1 && blows.length <= 3);
      assert.ok(blows.every(({ at }, n) => at >= 0 && at <= 0.9 && (n === 0 || blows[n - 1]!.at <= at)));
    }),
  );
  assert.notDeepEqual(planTrial(1, 0), planTrial(2, 0));
});

test('a run without the sidecar has none to kill', () => {
  const faults = Array.from({ length: 100 }, (_, n) => planTrial(1, n, ['bfcl']))
    .flat()
    .map(({ fault }) => named(fault));
  assert.ok(!faults.includes('SIGKILL bfcl') && faults.includes('SIGKILL s3'));
});

test('an instant is the commits before it and the seconds since the last of them', () => {
  const commits = [1, 4, 5, 10]; // seconds; the run is over at 10
  assert.deepEqual(instant(commits, 0.05), { commits: 0, seconds: 0.5 });
  assert.deepEqual(instant(commits, 0.3), { commits: 1, seconds: 2 }); // 3 s: 2 s after the commit at 1 s
  assert.deepEqual(instant(commits, 0.8), { commits: 3, seconds: 3 }); // 8 s: 3 s after the one at 5 s
});
