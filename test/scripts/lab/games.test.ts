import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mean } from '../../../activities/numerics/statistics.js';
import { gameTree } from '../../../scripts/lab/game-tree.js';
import { gameNames, gameOf, type Game } from '../../../scripts/lab/games.js';

/** Best mean return of all deterministic policies, by trying every one of them. */
function bestByTrying(game: Game): number {
  const histories: number[][] = [];
  const visit = (history: number[]): void => {
    const { length } = game.responses(history);
    if (length > 0) histories.push(history);
    for (let action = 0; action < length; action++) visit([...history, action]);
  };
  visit([]);
  const options = histories.map((history) => game.responses(history).length);
  let best = -Infinity;
  for (let policy = 0; policy < options.reduce((product, n) => product * n, 1); policy++) {
    const choice = new Map<string, number>();
    options.reduce((rest, n, i) => (choice.set(histories[i]!.join(), rest % n), Math.floor(rest / n)), policy);
    let history: number[] = [];
    while (game.responses(history).length > 0) history = [...history, choice.get(history.join())!];
    best = Math.max(best, mean(Array.from({ length: game.tasks }, (_, task) => game.reward(task, history))));
  }
  return best;
}

test('the optimum of a game is that of the best of all its deterministic policies', () => {
  // 'chain' has 3^13 of them: its optimum, 11, is read off its payoffs.
  for (const name of gameNames.filter((each) => each !== 'chain')) {
    const game = gameOf(name, 'a seed');
    assert.equal(gameTree(game).optimum, bestByTrying(game), name);
  }
  assert.equal(gameTree(gameOf('chain', '')).optimum, 11);
});

test('stopping has trajectories of 1, 2, 3, 4 and 4 turns', () => {
  assert.deepEqual(
    gameTree(gameOf('stopping', '')).paths.map(({ responses }) => responses.length),
    [1, 2, 3, 4, 4],
  );
});

test('a response of two tokens is two decisions: spelled climbing has 4 histories with 2 places each', () => {
  const { contexts, responses, paths, maxResponseTokens } = gameTree(gameOf('spelled climbing', ''));
  assert.equal(contexts.length, 8);
  assert.deepEqual(
    responses.slice(0, 3).map(({ logits }) => logits),
    [[0, 2], [0, 3], [1]],
  ); // "0 0", "0 1", "1"
  assert.deepEqual([paths.length, maxResponseTokens], [9, 2]);
});

test('a response that begins another is refused', () => {
  const game: Game = { ...gameOf('lock', ''), name: 'ambiguous', responses: () => [[0], [0, 1]] };
  assert.throws(() => gameTree(game), /game ambiguous: a response begins another/);
});

test('a random game is its seed’s', () => {
  const payoffs = (seed: string): number[] => gameTree(gameOf('random', seed)).paths.map(({ rewards }) => rewards[0]!);
  assert.deepEqual(payoffs('1'), payoffs('1'));
  assert.notDeepEqual(payoffs('1'), payoffs('2'));
});
