import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { keys } from '../../../activities/artifacts/store.js';
import { withChange } from '../../../activities/run/change-config.js';
import { resolveConfig } from '../../../activities/run/resolve-config.js';
import { isReadEachIteration, refusedInFork, SETTING_READERS } from '../../../activities/run/setting-readers.js';
import { RolloutShardManifest } from '../../../schemas/rollout.js';
import { TrainConfig, type TrainConfigInput } from '../../../schemas/train-config.js';
import { GroupsManifest, ScoresManifest } from '../../../schemas/turn-pool.js';
import { CHANGEABLE } from '../../../workflows/settings.js';
import { pipelineConfig, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

interface JsonSchema {
  readonly properties?: Record<string, JsonSchema>;
  readonly type?: string;
  readonly anyOf?: JsonSchema[];
  readonly oneOf?: JsonSchema[];
  readonly allOf?: JsonSchema[];
}

/** Settings as dotted paths: what has settings of its own in every form but null is a block, all else is a setting. */
function settingsOf(schema: JsonSchema, path = ''): string[] {
  const forms = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])].filter(
    ({ type }) => type !== 'null',
  );
  const blocks = [schema, ...forms].flatMap(({ properties }) => properties ?? []);
  if (blocks.length === 0 || forms.some((form) => !form.properties && !form.oneOf))
    return path === '' ? forms.flatMap((form) => settingsOf(form)) : [path];
  return [
    ...new Set(
      blocks.flatMap((properties) =>
        Object.entries(properties).flatMap(([name, inner]) =>
          settingsOf(inner, path === '' ? name : `${path}.${name}`),
        ),
      ),
    ),
  ];
}

test('every setting of the schema has its line in the table of readers, and the table has no other: a new setting says here who reads it', () => {
  const settings = settingsOf(z.toJSONSchema(TrainConfig, { io: 'input' }) as JsonSchema).sort();
  assert.ok(settings.length > 70 && settings.includes('retention.best.count') && settings.includes('rollout.history'));
  assert.deepEqual(Object.keys(SETTING_READERS).sort(), settings);
});

/** Another value of every setting that a fork between two turns may change, for the algorithm that has it. */
const OTHERWISE: readonly [change: Record<string, unknown>, base?: TrainConfigInput['algorithm']][] = [
  [{ title: 'other' }],
  [{ iterations: 2 }],
  ...[
    { clip: { low: 0.01 } },
    { clip: { high: 0.01 } },
    { dualClip: 2 },
    { klEstimator: 'k2' },
    { klCoefficient: 0.5 },
    { klImportanceWeighted: true },
    { entropyCoefficient: 0.1 },
    { epochs: 2 },
    { minibatches: 1 },
    { advantageStatistics: 'turn-pool' },
    { ratioReference: 'turn' },
    { suffixRatio: 'exact' },
    { suffixRatioClip: [0.9, 1.1] },
    { suffixProductClip: [0.9, 1.1] },
  ].map((algorithm): [Record<string, unknown>] => [{ algorithm }]),
  [{ algorithm: { aggregation: 'token-mean' } }, { name: 'grpo' }],
  [{ algorithm: { stepWeight: 0.5 } }, { name: 'gigpo' }],
  [{ algorithm: { gamma: 0.5 } }, { name: 'gigpo' }],
  ...[{ gamma: 0.9 }, { lambda: 0.5 }, { valueCoefficient: 1 }, { valueClip: 0.1 }, { valueLearningRate: 1 }].map(
    (algorithm): [Record<string, unknown>, TrainConfigInput['algorithm']] => [{ algorithm }, { name: 'ppo' }],
  ),
  [{ algorithm: { gamma: 0.5, lambda: 0.5 } }, { name: 'turn-ppo' }],
  ...[
    { learningRate: 0.1 },
    { betas: [0.5, 0.5] },
    { epsilon: 1 },
    { weightDecay: 1 },
    { maxGradientNorm: 0.1 },
    { schedule: { shape: 'linear' } },
    { schedule: { warmUpSteps: 9 } },
    { schedule: { finalRate: 0.5 } },
  ].map((optimizer): [Record<string, unknown>] => [{ optimizer }]),
  ...[{ onViolation: 'reject' }, { maxKl: 0.01 }, { surrogateTolerance: 1 }].map((guard): [Record<string, unknown>] => [
    { guard },
  ]),
  ...[{ everyIterations: 1 }, { samplesPerTask: 1 }, { heldoutSamplesPerTask: 1 }, { temperature: 0.1 }].map(
    (evaluation): [Record<string, unknown>] => [{ evaluation }],
  ),
  [{ retention: { last: 1, every: 2, best: { metric: 'meanReward', count: 1 } } }],
  [{ microBatchTokens: 64 }],
];
const BEFORE_UPDATES = ['start', 'rollout', 'grouping', 'scoring', 'order'];
const configWith = (algorithm: TrainConfigInput['algorithm'] = { name: 'seeupo', minibatches: 2 }) =>
  resolveConfig({ ...pipelineConfig, iterations: 1, algorithm });

/** What the steps of iteration 0 before its updates made: artifacts by content, that is, without who asked for them. */
async function madeBeforeUpdates(config: TrainConfig): Promise<unknown> {
  const { artifacts, dependencies } = toyRun();
  await trainInProcess(dependencies, 'run', config);
  const [rollout, groups, scores] = await Promise.all([
    artifacts.findManifest(keys.rolloutShard('run', 0, 0), RolloutShardManifest),
    artifacts.findManifest(keys.groups('run', 0), GroupsManifest),
    artifacts.findManifest(keys.scores('run', 0), ScoresManifest),
  ]);
  return [rollout!.manifest.trajectories.sha256, groups!.manifest.trajectories.sha256, scores!.manifest.scores.sha256];
}

test('what is said to be read afresh by updates leaves no trace in rollouts, advantages and scores', async () => {
  const plain = new Map<string, unknown>();
  for (const [change, algorithm] of OTHERWISE) {
    const name = algorithm?.name ?? 'seeupo';
    if (!plain.has(name)) plain.set(name, await madeBeforeUpdates(configWith(algorithm)));
    assert.deepEqual(
      await madeBeforeUpdates(withChange(configWith(algorithm), change)),
      plain.get(name),
      JSON.stringify(change),
    );
  }
});

test('such a setting may change between two turns, and no other', () => {
  const covered = OTHERWISE.flatMap(([change, algorithm]) => {
    const begun = configWith(algorithm);
    const given = withChange(begun, change);
    assert.deepEqual(refusedInFork({ begun, kept: [] }, given), [], JSON.stringify(change));
    return settingsIn(change);
  });
  const afresh = Object.entries(SETTING_READERS).filter(
    ([path, readers]) =>
      path === 'algorithm.klCoefficient' ||
      (readers.length > 0 && !readers.some((reader) => BEFORE_UPDATES.includes(reader))),
  );
  assert.deepEqual([...new Set(covered)].sort(), afresh.map(([path]) => path).sort());
});

const settingsIn = (change: object, path = ''): string[] =>
  Object.entries(change).flatMap(([name, value]: [string, unknown]) => {
    const inner = path === '' ? name : `${path}.${name}`;
    return SETTING_READERS[inner] !== undefined ? [inner] : settingsIn(value as object, inner);
  });

test('what may change during a run is read afresh by each iteration', () => {
  assert.deepEqual(
    Object.keys(CHANGEABLE).filter((path) => !isReadEachIteration(path)),
    [],
  );
  assert.deepEqual(['training', 'lora.rank', 'no.setting'].filter(isReadEachIteration), []);
});

test('an order to change a setting is refused at sight for exactly the values that no configuration can have', () => {
  const algorithms = [{ name: 'seeupo' }, { name: 'gspo' }] as const;
  for (const [path, check] of Object.entries(CHANGEABLE)) {
    for (const value of [-1, 0, 1e-9, 0.5, 0.999, 1, 1.5, 2, 7, NaN, Infinity, null, '1', true, [1], {}]) {
      const change = path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Record<
        string,
        unknown
      >;
      const isPossible = algorithms.every((algorithm) => {
        try {
          return withChange(resolveConfig({ ...pipelineConfig, algorithm }), change) !== null;
        } catch {
          return false;
        }
      });
      assert.equal(check(value) === null, isPossible, `${path} = ${String(value)}: ${check(value)}`);
    }
  }
});

test('between two turns: the coefficient of a reference that was scored may change or go, not come', () => {
  const [without, withSome] = [0, 0.002].map((klCoefficient) => configWith({ name: 'seeupo', klCoefficient }));
  assert.deepEqual(refusedInFork({ begun: withSome!, kept: [] }, without!), []);
  const [reason, ...rest] = refusedInFork(
    { begun: without!, kept: [] },
    withChange(without!, { algorithm: { klCoefficient: 5 } }),
  );
  assert.match(
    reason!,
    /^algorithm\.klCoefficient: stored 0, given 5 \(made with it: the scores; fork before the iteration/,
  );
  assert.deepEqual(rest, []);
  // A fork that took it away between two turns still has the scores.
  assert.deepEqual(refusedInFork({ begun: withSome!, kept: [without!] }, withSome!), []);
});

test('between two turns: clips of the ratios may change before the first turn, or where all ratios are taken again', () => {
  const begun = configWith();
  const clipped = (suffixRatio: string) =>
    withChange(begun, { algorithm: { suffixRatio, suffixRatioClip: [0.9, 1.1] } });
  assert.deepEqual(refusedInFork({ begun, kept: [] }, clipped('running')), []);
  assert.match(
    refusedInFork({ begun, kept: [begun] }, clipped('running')).join('\n'),
    /^algorithm\.suffixRatioClip: stored null, given \[0.9,1.1\] \(made with it: the ratios of turns already updated[^\n]*$/,
  );
  assert.deepEqual(refusedInFork({ begun, kept: [begun] }, clipped('exact')), []);
});

test('between two turns of updates that are spread over workers: their number of steps was counted when the iteration began', () => {
  const begun = resolveConfig({ ...pipelineConfig, update: { shards: 2 } });
  const given = withChange(begun, { algorithm: { epochs: 2 }, update: { shards: 1 } });
  assert.deepEqual(
    refusedInFork({ begun, kept: [] }, given)
      .map((reason) => reason.slice(0, reason.indexOf(':')))
      .sort(),
    ['algorithm.epochs', 'update.shards'],
  );
});
