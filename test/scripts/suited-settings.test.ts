import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suitedSettings } from '../../scripts/services/workers.js';

const zen4 = { gpu: false, cores: 2, cpuFlags: 'fpu avx2 avx512f avx512_bf16 avx512_vpopcntdq' };

test('without a GPU a worker takes bf16 where the processor has units for it, and two replicas where it has two cores', () => {
  assert.deepEqual(suitedSettings(zen4, {}), { SEEUPO_PRECISION: 'bf16', SEEUPO_REPLICAS: '2' });
  assert.deepEqual(suitedSettings({ ...zen4, cpuFlags: 'amx_tile amx_bf16' }, {}), {
    SEEUPO_PRECISION: 'bf16',
    SEEUPO_REPLICAS: '2',
  });
  assert.deepEqual(suitedSettings({ gpu: false, cores: 1, cpuFlags: 'avx2 avx512f' }, {}), {
    SEEUPO_PRECISION: 'fp32',
    SEEUPO_REPLICAS: '1',
  });
});

test('with a GPU the worker is left to its own defaults', () =>
  assert.deepEqual(suitedSettings({ ...zen4, gpu: true }, {}), {}));

test('what is set in the environment wins; an empty variable is not set', () => {
  assert.deepEqual(suitedSettings(zen4, { SEEUPO_PRECISION: 'fp32', SEEUPO_REPLICAS: '' }), {
    SEEUPO_PRECISION: 'fp32',
    SEEUPO_REPLICAS: '2',
  });
});
