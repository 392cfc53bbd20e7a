import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drifts, residentSet } from '../../scripts/soak/resident-sets.js';

test('growth is from the 20 iterations after the warm-up to the last 20; a start-up and a single peak do not count', () => {
  const flat = Array.from({ length: 100 }, (_, n) => (n < 20 ? 10 : n === 50 ? 900 : 100));
  const leak = Array.from({ length: 100 }, (_, n) => 100 + n); // medians of 120..139 and 180..199
  const [a, b] = drifts({ flat, leak });
  assert.deepEqual(a, { service: 'flat', early: 100, late: 100, growth: 0, growthSinceHalf: 0 });
  assert.deepEqual([b!.early, b!.late], [129.5, 189.5]);
  assert.ok(Math.abs(b!.growth - 60 / 129.5) < 1e-12);
});

test('what grew in the first half only is told apart from what grows on', () => {
  const settled = Array.from({ length: 100 }, (_, n) => Math.min(100 + n, 130)); // medians of 120..130, 130, 130
  const leak = Array.from({ length: 100 }, (_, n) => 100 + n); // 129.5, 149.5, 189.5
  const [a, b] = drifts({ settled, leak });
  assert.ok(a!.growth > 0 && a!.growthSinceHalf === 0);
  assert.ok(Math.abs(b!.growthSinceHalf - 40 / 149.5) < 1e-12);
});

test('too few iterations are no proof', () =>
  assert.throws(() => drifts({ short: [1, 2, 3] }), /short has 3 samples, expected at least 60/));

test("the resident set is the kernel's word: of the order of what node says of itself", async () => {
  const found = await residentSet(process.pid);
  assert.ok(Math.abs(found / process.memoryUsage.rss() - 1) < 0.2, `${found} bytes`);
  assert.equal(await residentSet(2 ** 22 + 1), 0);
});
