import { inputHashOf, sha256 } from '../../activities/artifacts/canonical-json.js';
import type { Environment } from '../../activities/environments/environment.js';
import type { Policy, SampleRequest, SampledResponse } from '../../activities/policy/policy.js';
import type { Action, Message, Observation } from '../../schemas/environment-protocol.js';
import type { Task } from '../../schemas/task.js';
import { toyCodec } from './toy-codec.js';

/**
 * Each turn asks for `CALL say('<letter>')`; the episode ends at the first other answer, or when all
 * turns are played. Reward: share of turns passed.
 */
export function toyEnvironment(
  tasks: readonly Task[],
  { latency = async () => {} }: { latency?: () => Promise<void> } = {},
) {
  const episodes = new Map<string, { task: Task; actions: Action[]; passed: boolean[] }>();
  const log: string[] = [];
  const observed = (messages: Message[], done: boolean): Observation => ({
    messages,
    done,
    hash: inputHashOf({ messages, done }),
  });
  const environment: Environment = {
    name: 'toy',
    listTasks: async (split) => tasks.filter((task) => task.split === split),
    async reset({ episodeId, taskId }) {
      await latency();
      log.push(`reset ${episodeId}`);
      episodes.set(episodeId, { task: tasks.find(({ id }) => id === taskId)!, actions: [], passed: [] });
      return observed([{ role: 'user', content: `${taskId} turn 1` }], false);
    },
    async step({ episodeId, stepIndex, action }) {
      await latency();
      const episode = episodes.get(episodeId)!;
      episode.actions.push(action);
      const call = action.calls[0];
      episode.passed.push(call !== undefined && 'name' in call && call.name === 'say');
      const done = !episode.passed.at(-1) || stepIndex === episode.task.turns;
      return observed(done ? [] : [{ role: 'user', content: `turn ${stepIndex + 1}` }], done);
    },
    async evaluate(episodeId) {
      const { task, passed } = episodes.get(episodeId)!;
      const score = passed.filter(Boolean).length / task.turns;
      return { score, success: score === 1, turnsPassed: passed };
    },
    async close(episodeId) {
      log.push(`close ${episodeId}`);
      episodes.delete(episodeId);
    },
  };
  return { environment, episodes, log };
}

/** Answers as a function of the random key alone: right, wrong, or cut by the token limit. */
export function toyPolicy(answer: (randomKey: string) => 'right' | 'wrong' | 'cut' = byHash) {
  const codec = toyCodec();
  const batches: SampleRequest[][] = [];
  const policy: Pick<Policy, 'sample'> = {
    async sample(requests) {
      batches.push([...requests]);
      return requests.map(({ randomKey }): SampledResponse => {
        const said = answer(randomKey);
        const ids =
          said === 'right'
            ? [...codec.encode(`CALL say('a')`), codec.endOfTurn.id]
            : said === 'wrong'
              ? [...codec.encode('no'), codec.endOfTurn.id]
              : codec.encode('CALL say(');
        return { ids, logProbs: ids.map(() => -1), end: said === 'cut' ? 'token-limit' : 'end-of-turn' };
      });
    },
  };
  return { policy, batches };
}

const byHash = (key: string): 'right' | 'wrong' | 'cut' =>
  (['right', 'right', 'wrong', 'cut'] as const)[parseInt(sha256(key).slice(0, 8), 16) % 4]!;
