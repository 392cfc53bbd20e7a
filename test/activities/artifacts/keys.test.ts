import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keys } from '../../../activities/artifacts/store.js';
import { ArtifactRef } from '../../../schemas/artifact-ref.js';
import { EvaluatePolicyInput } from '../../../schemas/steps.js';
import { RunId } from '../../../schemas/train-config.js';

/** Text as an attacker writes it: paths, dots, slashes, blanks, other alphabets. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom('..', '.', '/', '\\', '%2e', '%2F', '\0', 'runs', 'blobs', 'a', '-', '_', ':', '\n', '？', 'ａ'),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('')),
);
const names = (text: string): string[] => {
  const evaluation = EvaluatePolicyInput.shape.name.safeParse(text);
  return evaluation.success ? [evaluation.data] : [];
};

test('whatever a run is called, its keys lie below its own prefix: one that could leave it is no run id', () => {
  fc.assert(
    fc.property(hostile, hostile, fc.nat(100_000), fc.nat(1000), fc.nat(50), (id, name, iteration, shard, turn) => {
      if (!RunId.safeParse(id).success) return;
      const made = [
        keys.run(id),
        keys.runManifest(id),
        keys.ownership(id),
        keys.settingsRevision(id, turn),
        keys.timing(keys.groups(id, iteration)),
        keys.iterationTiming(id, iteration),
        keys.warmStart(id),
        keys.iteration(id, iteration),
        keys.rolloutShard(id, iteration, shard),
        keys.groups(id, iteration),
        keys.scores(id, iteration),
        keys.turnState(id, iteration, turn),
        keys.turnPart(id, iteration, turn, `step-${shard}/policy`),
        keys.checkpoint(id, iteration),
        ...names(name).map((evaluation) => keys.evaluation(id, iteration, evaluation, 'train')),
      ];
      for (const key of made) {
        assert.ok(key.startsWith(`runs/${id}/`), key);
        assert.ok(!key.split('/').some((part) => part === '..' || part === '.'), key);
        assert.match(key, /^[A-Za-z0-9_.:/-]+$/);
      }
    }),
    { numRuns: 5_000 },
  );
});

test('run ids are tried with texts that are some: the property above is not empty', () => {
  const some = fc.sample(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_:-]{0,127}$/), 200);
  const valid = [...some, 'nightly-2026-11-28T13:39:47Z', 'v1.5-run', 'x'.repeat(128)];
  assert.ok(valid.every((id) => RunId.safeParse(id).success && keys.run(id) === `runs/${id}/`));
  for (const id of ['', '.', '..', 'a/b', '../a', 'a..', 'a..b', 'a.', '-a', ':a', 'a b', 'a\n', 'x'.repeat(129), 'ａ'])
    assert.ok(!RunId.safeParse(id).success, JSON.stringify(id));
});

test('two runs never share a key', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9](?:[A-Za-z0-9_:-]|\.[a-z]){0,10}$/);
  fc.assert(
    fc.property(
      id,
      id,
      (a, b) => a === b || (!keys.run(a).startsWith(keys.run(b)) && !keys.run(b).startsWith(keys.run(a))),
    ),
  );
});

test('a reference cannot step out of the bucket', () => {
  const ref = (key: string) => ArtifactRef.safeParse({ key, sha256: 'a'.repeat(64), bytes: 1 }).success;
  assert.ok(ref(keys.blob('a'.repeat(64))) && ref(keys.checkpoint('run-1', 0)));
  for (const key of ['../x', 'runs/../x', 'runs/a/../../x', '/etc/passwd', 'runs//x', 'blobs/./x', '..', 'runs/..', ''])
    assert.ok(!ref(key), key);
});
