import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EnvironmentUnavailable } from '../../../activities/environments/environment.js';
import type { TextCodec } from '../../../activities/policy/policy.js';
import { readableEpisode, turnsOf } from '../../../activities/report/episode.js';
import {
  playEpisodes,
  episodeSpecs,
  type PlayOptions,
  type Players,
} from '../../../activities/rollout/play-episodes.js';
import { distinctTokens, rolloutMetrics } from '../../../activities/rollout/rollout-metrics.js';
import type { Task } from '../../../schemas/task.js';
import { PlayConfig } from '../../../schemas/play-config.js';
import { Trajectory } from '../../../schemas/trajectory.js';
import { toyCodec } from '../../support/toy-codec.js';
import { toyEnvironment, toyPolicy } from '../../support/toy-game.js';

const tasks: Task[] = [
  { id: 'a', split: 'train', turns: 2 },
  { id: 'b', split: 'train', turns: 3 },
];
const options: PlayOptions = { ...PlayConfig.parse({ maxResponseTokens: 32, maxTurns: 3 }), temperature: 1, seed: 7 };
const seats = episodeSpecs(tasks, 3, ({ id }, sample) => ({
  episodeId: `run/0/${id}/${sample}`,
  randomKey: `7/0/${id}/${sample}`,
}));
const codec = toyCodec();
const with_ = (players: Partial<Players>): Players => ({
  policy: toyPolicy().policy,
  codec,
  environment: toyEnvironment(tasks).environment,
  ...players,
});

test('seats are by task then sample, and trajectories come back in the order of the seats', async () => {
  const trajectories = await playEpisodes(seats, with_({}), options);
  assert.deepEqual(
    trajectories.map(({ id }) => id),
    ['a#0', 'a#1', 'a#2', 'b#0', 'b#1', 'b#2'],
  );
  for (const trajectory of trajectories) Trajectory.parse(trajectory);
});

test('the result depends neither on the latency of the environment nor on who else is in the shard', async () => {
  const alone = (await Promise.all(seats.map((seat) => playEpisodes([seat], with_({}), options)))).flat();
  let wait = 0;
  const slow = toyEnvironment(tasks, { latency: () => sleep((wait = (wait * 7 + 3) % 11)) });
  assert.deepEqual(await playEpisodes(seats, with_({ environment: slow.environment }), options), alone);
});

test('every live episode is sampled in one batch per turn, with its own random key', async () => {
  const { policy, batches } = toyPolicy((key) => (key === '7/0/a/1/1' ? 'wrong' : 'right'));
  await playEpisodes(seats, with_({ policy }), options);
  assert.deepEqual(
    batches.map((batch) => batch.map(({ randomKey }) => randomKey)),
    [
      ['7/0/a/0/1', '7/0/a/1/1', '7/0/a/2/1', '7/0/b/0/1', '7/0/b/1/1', '7/0/b/2/1'],
      ['7/0/a/0/2', '7/0/a/2/2', '7/0/b/0/2', '7/0/b/1/2', '7/0/b/2/2'],
      ['7/0/b/0/3', '7/0/b/1/3', '7/0/b/2/3'],
    ],
  );
  assert.deepEqual(
    batches[0]!.map(({ prefixGroup: row }) => row),
    ['a', 'a', 'a', 'b', 'b', 'b'],
  );
});

test('all turns of a play are one session of the policy, and a second attempt is another', async () => {
  const sessions: (string | undefined)[][] = [];
  for (let attempt = 0; attempt < 2; attempt++) {
    const { policy } = toyPolicy();
    const own: (string | undefined)[] = [];
    sessions.push(own);
    const sample: Players['policy']['sample'] = (requests, sampling, onProgress) => {
      own.push(sampling.session);
      return policy.sample(requests, sampling, onProgress);
    };
    await playEpisodes(seats, with_({ policy: { sample } }), options);
  }
  assert.deepEqual(
    sessions.map((own) => [own.length, new Set(own).size]),
    [
      [3, 1],
      [3, 1],
    ],
  );
  assert.notEqual(sessions[0]![0], sessions[1]![0]);
  assert.ok(sessions[0]![0]);
});

test('each prompt continues the one before it by the very ids that were sampled', async () => {
  const { policy } = toyPolicy(() => 'right');
  for (const { turns } of await playEpisodes(seats, with_({ policy }), options)) {
    for (const [i, turn] of turns.slice(1).entries()) {
      const before = [...turns[i]!.promptIds, ...turns[i]!.responseIds];
      assert.deepEqual(turn.promptIds.slice(0, before.length), before);
      assert.equal(codec.decode(turn.promptIds.slice(before.length)), `\n<user>turn ${turn.turn}<end>\n<assistant>`);
    }
  }
});

test('an episode ends completed, at the failed turn, or at the turn limit, and says which', async () => {
  const play = async (answer: 'right' | 'wrong' | 'cut', maxTurns: number) =>
    (
      await playEpisodes(seats.slice(3, 4), with_({ policy: toyPolicy(() => answer).policy }), { ...options, maxTurns })
    )[0]!;
  assert.deepEqual([(await play('right', 3)).end, (await play('right', 3)).reward], ['completed', 1]);
  const failed = await play('wrong', 3);
  assert.deepEqual([failed.end, failed.turns.length, failed.reward, failed.success], ['failed-turn', 1, 0, false]);
  const cut = await play('right', 2);
  assert.deepEqual([cut.end, cut.turns.length, cut.taskTurns], ['turn-limit', 2, 3]);
  const limited = await play('cut', 3);
  assert.deepEqual([limited.end, limited.turns[0]!.responseEnd], ['failed-turn', 'token-limit']);
});

test('a context that has no room for another response is an overflow; no room at all is a bad config', async () => {
  const { policy } = toyPolicy(() => 'right');
  const room = codec.encode('<user>a turn 1<end>\n<assistant>').length;
  const play = (contextLength: number) =>
    playEpisodes(seats.slice(0, 1), with_({ policy, codec: toyCodec(contextLength) }), options);
  assert.equal((await play(room + 32))[0]!.end, 'context-overflow');
  await assert.rejects(play(room + 31), {
    name: 'BadConfig',
    message: /task a: its first prompt has \d+ tokens and rollout.maxResponseTokens is 32/,
  });
});

test('a prompt beyond maxPromptTokens is an overflow; its reward is the verifier’s or 0, as configured', async () => {
  const { policy } = toyPolicy(() => 'right');
  const room = codec.encode('<user>a turn 1<end>\n<assistant>').length;
  const play = async (changes: Partial<PlayOptions>) =>
    (await playEpisodes(seats.slice(0, 1), with_({ policy }), { ...options, maxPromptTokens: room, ...changes }))[0]!;
  const kept = await play({});
  assert.deepEqual([kept.end, kept.turns.length, kept.reward], ['context-overflow', 1, 0.5]);
  const zero = await play({ cutEpisodeReward: 'zero' });
  assert.deepEqual([zero.end, zero.reward, zero.success], ['context-overflow', 0, false]);
});

test('a cut response ends the episode where that is configured, and the environment does not hear of it', async () => {
  const { environment, episodes } = toyEnvironment(tasks);
  let heard = 0;
  const counting = {
    ...environment,
    step: (request: Parameters<typeof environment.step>[0]) => (heard++, environment.step(request)),
  };
  const { policy } = toyPolicy((key) => (key.endsWith('/2') ? 'cut' : 'right'));
  const [trajectory] = await playEpisodes(seats.slice(3, 4), with_({ policy, environment: counting }), {
    ...options,
    truncatedResponse: 'end',
  });
  assert.deepEqual([trajectory!.end, trajectory!.turns.length, heard, episodes.size], ['truncated', 2, 1, 0]);
  assert.equal(trajectory!.turns[1]!.observationHash, trajectory!.turns[0]!.observationHash);
  assert.ok(Math.abs(trajectory!.reward - 1 / 3) < 1e-12);
});

test("an end that is not the template's is recorded with its text and is no part of what the environment hears; others leave no mark", async () => {
  const STOP = 9;
  const stopping: TextCodec = { ...codec, ends: new Map([...codec.ends, [STOP, '<stop>']]) };
  const policy = {
    sample: async (requests: readonly { randomKey: string }[]) =>
      requests.map(({ randomKey }) => {
        const end = randomKey.endsWith('/2') ? STOP : codec.endOfTurn.id;
        const ids = [...codec.encode(`CALL say('a')`), end];
        return { ids, logProbs: ids.map(() => -1), end: 'end-of-turn' as const };
      }),
  };
  const [trajectory] = await playEpisodes(seats.slice(3, 4), with_({ policy, codec: stopping }), options);
  assert.deepEqual(
    trajectory!.turns.map(({ endedBy }) => endedBy),
    [undefined, '<stop>', undefined],
  );
  assert.deepEqual(
    trajectory!.turns.map((turn) => 'endedBy' in turn),
    [false, true, false],
  );
  assert.ok(trajectory!.turns.every(({ action }) => action.content === `CALL say('a')`));
  assert.equal(trajectory!.turns[1]!.responseIds.at(-1), STOP);
  assert.deepEqual(Trajectory.parse(trajectory), trajectory);
  assert.match(turnsOf(readableEpisode(trajectory!, 'train', null)).text, /Response, 14 tokens, ended by &lt;stop&gt;/);
});

for (const history of ['thinking-stripped', { slidingWindow: 1 }] as const) {
  test(`with history ${JSON.stringify(history)} every turn keeps the very prompt that it was sampled from`, async () => {
    const thinking = {
      sample: async (requests: readonly { promptIds: readonly number[] }[]) => {
        seen.push(...requests.map(({ promptIds }) => [...promptIds]));
        return requests.map(() => {
          const ids = [...codec.encode(`<think>hm</think>\n\nCALL say('a')`), codec.endOfTurn.id];
          return { ids, logProbs: ids.map(() => 0), end: 'end-of-turn' as const };
        });
      },
    };
    const seen: number[][] = [];
    const [trajectory] = await playEpisodes(seats.slice(3, 4), with_({ policy: thinking }), {
      ...options,
      maxResponseTokens: 64,
      history,
    });
    assert.deepEqual(
      trajectory!.turns.map(({ promptIds }) => promptIds),
      seen,
    );
    const said = history === 'thinking-stripped' ? `CALL say('a')` : `<think>hm</think>\n\nCALL say('a')`;
    const turn = (t: number) => `${said}<end>\n<user>turn ${t}<end>\n<assistant>`;
    const third = history === 'thinking-stripped' ? `${turn(2)}${turn(3)}` : turn(3);
    assert.equal(codec.decode(trajectory!.turns[2]!.promptIds), `<user>b turn 1<end>\n<assistant>${third}`);
    // What is trained on is all that was sampled, the thinking included.
    assert.match(codec.decode(trajectory!.turns[2]!.responseIds), /^<think>hm/);
  });
}

test('with maxObservationTokens the model sees the first tokens of what the environment says; the record keeps all of it', async () => {
  const [trajectory] = await playEpisodes(seats.slice(3, 4), with_({ policy: toyPolicy(() => 'right').policy }), {
    ...options,
    maxObservationTokens: 4,
  });
  const [first, second, third] = trajectory!.turns;
  const after = (turn: typeof first, before: typeof first) =>
    codec.decode(turn!.promptIds.slice(before!.promptIds.length + before!.responseIds.length));
  // `turn 2` and `turn 3` have six characters, a token each.
  assert.deepEqual(
    [after(second, first), after(third, second)],
    ['\n<user>turn<end>\n<assistant>', '\n<user>turn<end>\n<assistant>'],
  );
  assert.deepEqual(first!.observation, [{ role: 'user', content: 'turn 2' }]);
});

test('a failure of the environment is thrown, never scored, and the episodes of its shard are closed: they may hold processes', async () => {
  const { environment, episodes } = toyEnvironment(tasks);
  const step = async () => {
    throw new EnvironmentUnavailable('gone');
  };
  await assert.rejects(
    playEpisodes(seats, with_({ environment: { ...environment, step } }), options),
    EnvironmentUnavailable,
  );
  assert.equal(episodes.size, 0);
});

test('episodes are closed at the end, also when sampling was cancelled', async () => {
  const { environment, episodes } = toyEnvironment(tasks);
  await playEpisodes(seats, with_({ environment }), options);
  assert.equal(episodes.size, 0);
  const cancelled = () => {
    throw new Error('cancelled');
  };
  await assert.rejects(playEpisodes(seats, with_({ environment, onProgress: cancelled }), options), /cancelled/);
  assert.equal(episodes.size, 0);
});

test('metrics of three trajectories worked by hand', async () => {
  const { policy } = toyPolicy(
    (key) => ({ '7/0/a/0/1': 'right', '7/0/a/0/2': 'right', '7/0/a/1/1': 'wrong', '7/0/a/2/1': 'cut' })[key] as 'right',
  );
  const trajectories = await playEpisodes(seats.slice(0, 3), with_({ policy }), options);
  const right = "CALL say('a')".length + 1;
  const wrong = 'no'.length + 1;
  const cut = 'CALL say('.length;
  assert.deepEqual(rolloutMetrics(trajectories), {
    trajectories: 3,
    meanReward: 1 / 3, // 1, 0, 0
    successRate: 1 / 3,
    turnPassRate: [1 / 3, 1 / 3],
    meanResponseTokens: (2 * right + wrong + cut) / 4,
    sampledTokens: 2 * right + wrong + cut,
    truncatedRate: 1 / 4,
    malformedCallRate: 1 / 4, // `CALL say(` does not parse; `no` is no call
  });
  const prompt = codec.encode('<user>a turn 1<end>\n<assistant>').length; // once for all three
  const between = codec.encode('\n<user>turn 2<end>\n<assistant>').length;
  assert.equal(distinctTokens(trajectories), prompt + 2 * right + between + wrong + cut);
});

test('metrics of no trajectory are zeros, not NaN', () => {
  assert.deepEqual(Object.values(rolloutMetrics([])), [0, 0, 0, [], 0, 0, 0, 0]);
});
