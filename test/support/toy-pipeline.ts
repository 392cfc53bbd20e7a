import { createCpuActivities, createGpuActivities } from '../../activities/index.js';
import type { createMemoryStore } from '../../activities/artifacts/memory-store.js';
import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { withHeartbeats, withoutHeartbeats } from '../../activities/heartbeats.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import { executionState } from '../../workers/execution-state.js';
import { toyConfig, toyDependencies } from './run-on-paper.js';
import { TabularPolicy } from './tabular-policy.js';
import { toyCodec } from './toy-codec.js';

/** The one of the four words that is rewarded. */
export const RIGHT = 1;
const codec = { ...toyCodec(), decode: (ids: readonly number[]) => (ids[0] === RIGHT ? "CALL say('a')" : 'no') };

/** Its responses have no end-of-turn token: one of four words, and that is all. */
class OneWord extends TabularPolicy {
  override async sample(requests: Parameters<TabularPolicy['sample']>[0]) {
    return (await super.sample(requests)).map((response) => ({ ...response, end: 'token-limit' as const })) as never;
  }
}

export const pipelineConfig: TrainConfigInput = {
  ...toyConfig,
  iterations: 3,
  rollout: { ...toyConfig.rollout, groupSize: 8 },
  algorithm: { name: 'seeupo', minibatches: 2 },
  optimizer: { learningRate: 0.5 },
  evaluation: { everyIterations: 2, samplesPerTask: 2 },
};

/** A step that is about to be done: its activity and input. */
export type BeforeStep = (name: string, input: Record<string, unknown>) => Promise<void> | void;

/** Every real activity, over a store, a game of one word and a policy that is a table of four logits. */
export function toyPipeline(given?: ReturnType<typeof createMemoryStore>, before: BeforeStep = () => {}) {
  const toy = toyDependencies();
  const artifacts = given ?? toy.artifacts;
  const dependencies = {
    ...toy.dependencies,
    artifacts,
    codec: async () => codec,
    policy: new OneWord(),
    heartbeats: withHeartbeats,
    executionState,
  };
  const done: string[] = [];
  const watched = <A extends object>(activities: A): A =>
    Object.fromEntries(
      Object.entries(activities).map(([name, activity]: [string, (input: unknown) => Promise<unknown>]) => [
        name,
        async (input: Record<string, unknown>) => {
          await before(name, input);
          done.push(name);
          return activity(input);
        },
      ]),
    ) as A;
  return {
    artifacts,
    dependencies,
    done,
    activities: { cpu: watched(createCpuActivities(dependencies)), gpu: watched(createGpuActivities(dependencies)) },
  };
}

/** Every object of a run by its key below the run's prefix; what says who the run is, or when it was, is left out. */
export async function stepsOf(
  artifacts: ArtifactStore & { readonly objects: ReadonlyMap<string, Uint8Array> },
  runId: string,
): Promise<Map<string, string>> {
  const found: [string, string][] = [];
  for await (const key of artifacts.list(keys.run(runId))) {
    if (/\/(run\.json|owner\.json|timings\/.*|report-\d+\.json)$/.test(key)) continue;
    found.push([key.slice(keys.run(runId).length), Buffer.from(artifacts.objects.get(key)!).toString()]);
  }
  return new Map(found);
}

/** The same for a test without a server. */
export function toyRun(given?: ReturnType<typeof createMemoryStore>) {
  const { artifacts, dependencies } = toyPipeline(given);
  return {
    artifacts,
    dependencies: { ...dependencies, heartbeats: withoutHeartbeats, executionState: async () => 'unknown' as const },
  };
}
