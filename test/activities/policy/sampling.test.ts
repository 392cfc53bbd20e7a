import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tf } from '../../../activities/policy/backend.js';
import { DecodeGraphs } from '../../../activities/policy/decode-graph.js';
import { fusedWeights } from '../../../activities/policy/decode-weights.js';
import { KvCache } from '../../../activities/policy/kv-cache.js';
import type {
  Policy,
  PolicyProgress,
  Precision,
  SampledResponse,
  SampleRequest,
} from '../../../activities/policy/policy.js';
import { replicatedPolicy } from '../../../activities/policy/replicated-policy.js';
import { sampleResponses } from '../../../activities/policy/sampling.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { prefixGroupsOf } from '../../../activities/policy/trie.js';
import { loadWeights } from '../../../activities/policy/weights/load-weights.js';
import { openModel } from '../../../activities/policy/weights/open-model.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from './tiny-models.js';

/** Oracle: the trainer's log-probs of what was sampled, which know nothing of caches; and one way of decoding against another. */
const names = ['llama-untied', 'qwen2-tied', 'qwen3-untied'];
const options = { temperature: 0.9, maxResponseTokens: 7 };

/** Three turns of two tasks, three samples each; observations of unlike length. One sample ends after the first turn. */
async function play(
  policy: Policy,
  session?: string,
): Promise<{ turns: { requests: SampleRequest[]; responses: SampledResponse[] }[]; prefilled: number[] }> {
  let prompts = [0, 0, 0, 1, 1, 1].map((task) => ({ row: `task ${task}`, ids: tiny.prompt.slice(task) }));
  const turns: { requests: SampleRequest[]; responses: SampledResponse[] }[] = [];
  const prefilled: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    const requests = prompts.map(({ row, ids }, i) => ({
      prefixGroup: row,
      promptIds: ids,
      randomKey: `${turn}/${i}`,
    }));
    let nodes = 0;
    const onProgress = ({ phase, of }: PolicyProgress): void => void (phase === 'prefill' && (nodes = of));
    const responses = await policy.sample(
      requests,
      { ...options, ...(session !== undefined && { session }) },
      onProgress,
    );
    turns.push({ requests, responses });
    prefilled.push(nodes);
    prompts = prompts
      .map(({ row, ids }, i) => ({
        row,
        ids: [...ids, ...responses[i]!.ids, ...tiny.response.slice(0, 1 + ((i + turn) % 3))],
      }))
      .slice(turn === 0 ? 1 : 0);
  }
  return { turns, prefilled };
}

for (const name of names) {
  for (const precision of ['fp32', 'bf16'] as Precision[]) {
    const near = precision === 'fp32' ? 1e-4 : 0.1;
    test(`${name}, ${precision}: turns of a session that reads only what is new have the trainer's log-probs`, async () => {
      const policy = new TensorFlowPolicy(precision);
      await policy.use(await tinyWeights(tinyModel(name), tinyAdapter(await configOfModel(tinyModel(name)))));
      const { turns, prefilled } = await play(policy, 'a play');
      for (const { requests, responses } of turns) {
        const scored = await policy.logProbs(
          requests.map(({ prefixGroup, promptIds }, i) => ({ prefixGroup, promptIds, responseIds: responses[i]!.ids })),
          { temperature: options.temperature, microBatchTokens: 64, weights: 'current' },
        );
        responses.forEach(({ logProbs }, i) =>
          logProbs.forEach((value, l) =>
            assert.ok(
              Math.abs(value - scored[i]![l]!) < near,
              `request ${i}, token ${l}: ${value}, trainer ${scored[i]![l]}`,
            ),
          ),
        );
      }
      const whole = await play(policy);
      assert.equal(prefilled[0], whole.prefilled[0]);
      // A turn's new tokens are the last one sampled, whose keys nobody asked for, and the observation.
      assert.ok(prefilled[1]! <= 5 * 4 && prefilled[2]! <= 5 * 4, `read ${prefilled.join(', ')} tokens`);
      assert.ok(whole.prefilled[2]! > 40, `without a session ${whole.prefilled.join(', ')}`);
      if (precision === 'fp32')
        assert.deepEqual(
          turns.map(({ responses }) => responses.map(({ ids }) => ids)),
          whole.turns.map(({ responses }) => responses.map(({ ids }) => ids)),
        );
    });
  }
}

test('a session gives the same bytes every time, on replicas too; another one starts from nothing', async () => {
  const weights = await tinyWeights(tinyModel(names[0]!));
  const replicas = replicatedPolicy([new TensorFlowPolicy(), new TensorFlowPolicy()]);
  for (const policy of [new TensorFlowPolicy(), replicas]) {
    await policy.use(weights);
    const first = await play(policy, 'first');
    assert.deepEqual(await play(policy, 'second'), first);
  }
  const { prefilled } = await play(replicas, 'third');
  assert.ok(
    prefilled[1]! <= 5 * 4 && prefilled[2]! <= 5 * 4,
    `a row was read again elsewhere: ${prefilled.join(', ')}`,
  );
});

test('the same prompt twice in a session, and a prompt that goes on after an ended one, are sampled as if alone', async () => {
  const policy = new TensorFlowPolicy();
  await policy.use(await tinyWeights(tinyModel(names[0]!)));
  const one = (ids: readonly number[], session?: string) =>
    policy.sample([{ prefixGroup: 'a', promptIds: ids, randomKey: 'k' }], {
      ...options,
      ...(session !== undefined && { session }),
    });
  const [alone] = await one(tiny.prompt);
  assert.deepEqual((await one(tiny.prompt, 's'))[0]!.ids, alone!.ids);
  assert.deepEqual((await one(tiny.prompt, 's'))[0]!.ids, alone!.ids);
  const longer = [...tiny.prompt, 7, 8, 9];
  assert.deepEqual((await one(longer, 's'))[0]!.ids, (await one(longer))[0]!.ids);
});

for (const name of names) {
  for (const narrow of [false, true]) {
    test(`${name}, ${narrow ? 'bf16' : 'fp32'}: a step as a graph draws the tokens of one operation after another, in pieces of any size, and leaves no tensor`, async () => {
      const reader = await openModel(tinyModel(name));
      const frozen = await loadWeights(reader, narrow, () => undefined);
      await reader.close();
      const weights = fusedWeights({ weights: frozen, adapter: null, views: [] });
      const graphs = new DecodeGraphs(frozen.config);
      const requests = [0, 0, 0, 1, 2].map((start, i) => ({
        prefixGroup: String(start),
        promptIds: tiny.prompt.slice(start),
        randomKey: `k/${i}`,
      }));
      const drawn = async (of: DecodeGraphs | null, prefillTokens: number): Promise<SampledResponse[]> => {
        const store = new KvCache();
        const responses = await sampleResponses(
          weights,
          store,
          requests,
          prefixGroupsOf(requests),
          { ...options, endIds: new Set(), prefillTokens, keepResponses: true, graphs: of },
          () => undefined,
        );
        store.dispose();
        return responses;
      };
      const eagerly = await drawn(null, 1024);
      await drawn(graphs, 1024); // builds the graphs
      const before = tf.memory().numTensors;
      for (const prefillTokens of [1024, 3]) {
        const responses = await drawn(graphs, prefillTokens);
        responses.forEach(({ ids, logProbs }, i) => {
          if (!narrow) assert.deepEqual(ids, eagerly[i]!.ids);
          if (!narrow) logProbs.forEach((value, l) => assert.ok(Math.abs(value - eagerly[i]!.logProbs[l]!) < 1e-5));
          else assert.ok(Math.abs(logProbs[0]! - eagerly[i]!.logProbs[0]!) < 0.1);
        });
      }
      assert.equal(tf.memory().numTensors, before);
      graphs.dispose();
    });
  }
}
