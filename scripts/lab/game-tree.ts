import { mean } from '../../activities/numerics/statistics.js';
import type { Game } from './games.js';

/** One response at one history: the decisions that spell it. */
export interface Response {
  /** 1..T */
  readonly turn: number;
  /** Index of the logit of each token, in order: its length is the response's tokens. */
  readonly logits: readonly number[];
}

/** A trajectory from the prompt to the end. */
export interface Path {
  /** Index of the response of each turn. */
  readonly responses: readonly number[];
  /** R for each task. */
  readonly rewards: readonly number[];
}

/** A place where a token is chosen: a history and the tokens of the response so far. */
export interface Context {
  readonly turn: number;
  /** Logits first .. first + tokens.length - 1 are its choices. */
  readonly first: number;
  readonly tokens: readonly number[];
}

/** A game with everything listed: every trajectory, response, and place where a token is chosen. */
export interface GameTree {
  readonly game: Game;
  /** T */
  readonly turns: number;
  readonly contexts: readonly Context[];
  readonly logits: number;
  /** Distinct tokens, numbered from 0. */
  readonly vocabulary: number;
  readonly responses: readonly Response[];
  readonly paths: readonly Path[];
  readonly maxResponseTokens: number;
  /** Largest expected return of any policy. Play is deterministic, so it is the best path's mean over the tasks. */
  readonly optimum: number;
}

export function gameTree(game: Game): GameTree {
  const contexts: Context[] = [];
  const responses: Response[] = [];
  const paths: Path[] = [];
  let logits = 0;

  /** Contexts of the responses that begin with the first `depth` tokens of each; fills in the logits of each response. */
  const spell = (
    turn: number,
    sequences: readonly (readonly number[])[],
    found: number[][],
    members: readonly number[],
    depth: number,
  ): void => {
    const tokens = [...new Set(members.map((m) => sequences[m]![depth]!))].sort((a, b) => a - b);
    const first = logits;
    contexts.push({ turn, first, tokens });
    logits += tokens.length;
    tokens.forEach((token, option) => {
      const sharing = members.filter((m) => sequences[m]![depth] === token);
      for (const m of sharing) found[m]!.push(first + option);
      const unfinished = sharing.filter((m) => sequences[m]!.length > depth + 1);
      if (unfinished.length > 0 && unfinished.length < sharing.length)
        throw new RangeError(`game ${game.name}: a response begins another, so neither has an end`);
      if (unfinished.length > 0) spell(turn, sequences, found, unfinished, depth + 1);
    });
  };
  const play = (history: readonly number[], said: readonly number[]): void => {
    const sequences = game.responses(history);
    if (sequences.length === 0) {
      paths.push({
        responses: said,
        rewards: Array.from({ length: game.tasks }, (_, task) => game.reward(task, history)),
      });
      return;
    }
    const turn = history.length + 1;
    const found = sequences.map((): number[] => []);
    spell(turn, sequences, found, [...sequences.keys()], 0);
    const base = responses.length;
    for (const each of found) responses.push({ turn, logits: each });
    found.forEach((_, action) => play([...history, action], [...said, base + action]));
  };
  play([], []);

  return {
    game,
    turns: Math.max(...paths.map((path) => path.responses.length)),
    contexts,
    logits,
    vocabulary: 1 + Math.max(...contexts.flatMap(({ tokens }) => tokens)),
    responses,
    paths,
    maxResponseTokens: Math.max(...responses.map((response) => response.logits.length)),
    optimum: Math.max(...paths.map(({ rewards }) => mean(rewards))),
  };
}

/** J: the expected return of a policy that plays path i with probability i of the list. */
export const exactReturn = ({ paths }: GameTree, probabilities: readonly number[]): number =>
  paths.reduce((total, { rewards }, i) => total + probabilities[i]! * mean(rewards), 0);
