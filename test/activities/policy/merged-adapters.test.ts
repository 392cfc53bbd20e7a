import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from './tiny-models.js';

test('an adapter that could not be read is merged by the next attempt, not left out of it', async () => {
  const model = tinyModel('llama-tied');
  const adapter = tinyAdapter(await configOfModel(model));
  const weights = { ...(await tinyWeights(model)), mergedAdapters: [adapter] };
  const sequences = [{ prefixGroup: 'a', promptIds: tiny.prompt, responseIds: tiny.response }];
  const logProbsOf = (policy: TensorFlowPolicy) =>
    policy.logProbs(sequences, { temperature: 1, microBatchTokens: 1024, weights: 'reference' });

  const undisturbed = new TensorFlowPolicy();
  await undisturbed.use(await tinyWeights(model));
  const unmerged = await logProbsOf(undisturbed);
  await undisturbed.use(weights);
  const merged = await logProbsOf(undisturbed);
  assert.notDeepEqual(merged, unmerged);

  const policy = new TensorFlowPolicy();
  const away = { ...adapter, read: () => Promise.reject(new Error('the store is away')) };
  await assert.rejects(policy.use({ ...weights, mergedAdapters: [away] }), /the store is away/);
  await policy.use(weights);
  assert.deepEqual(await logProbsOf(policy), merged);
});
