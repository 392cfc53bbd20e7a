import { uniforms } from '../../activities/numerics/random.js';

/** A deterministic sequential game whose every trajectory can be listed. A history is the index of each turn's response. */
export interface Game {
  readonly name: string;
  /** What is hard about it, one sentence. */
  readonly summary: string;
  /** Prompts, drawn with equal shares. The policy does not see which one it got. */
  readonly tasks: number;
  /** What may be said after a history: token sequences, none the beginning of another. None: the episode is over. */
  readonly responses: (history: readonly number[]) => readonly (readonly number[])[];
  /** R of a finished history. */
  readonly reward: (task: number, history: readonly number[]) => number;
}

type Matrix = readonly (readonly number[])[];

const words = (n: number): number[][] => Array.from({ length: n }, (_, token) => [token]);

/** Two turns: turn 1 chooses the row, turn 2 sees it and chooses the column. One matrix per task. */
const matrixGame = (
  name: string,
  summary: string,
  payoffs: readonly Matrix[],
  responses = words(payoffs[0]!.length),
): Game => ({
  name,
  summary,
  tasks: payoffs.length,
  responses: ({ length }) => (length < 2 ? responses : []),
  reward: (task, [row, column]) => payoffs[task]![row!]![column!]!,
});

const CLIMBING: Matrix = [
  [11, -30, 0],
  [-30, 7, 6],
  [0, 0, 5],
];

const climbing = matrixGame('climbing', 'the best row is the worst one for whoever does not answer it rightly', [
  CLIMBING,
]);

const penalty = matrixGame('penalty', 'two optima of 10, each beside a penalty of 30, and a safe 2 between', [
  [
    [10, 0, -30],
    [0, 2, 0],
    [-30, 0, 10],
  ],
]);

/** The climbing game with its three actions spelled in one or two tokens: the same optimum, other ratios. */
const spelled = matrixGame(
  'spelled climbing',
  'climbing with actions of 2, 2 and 1 tokens, so that ratios are normalised by unlike lengths',
  [CLIMBING],
  [[0, 0], [0, 1], [1]],
);

/** Climbing's payoffs by what was said in three turns, in whatever order. */
const chain: Game = {
  name: 'chain',
  summary:
    'climbing over three turns: 11 for all 0, 7 for all 1, 6 for 1 with 2, 5 for all 2, 0 for 0 with 2, and 30 lost if 0 meets 1',
  tasks: 1,
  responses: ({ length }) => (length < 3 ? words(3) : []),
  reward: (_, history) => {
    const said = [0, 1, 2].filter((action) => history.includes(action)).join('');
    return { '0': 11, '1': 7, '12': 6, '2': 5, '02': 0 }[said] ?? -30;
  },
};

const LOCK = [1, 0, 1, 1];
const lock: Game = {
  name: 'lock',
  summary: 'four turns of two actions; 1 for the one right sequence, else 0',
  tasks: 1,
  responses: ({ length }) => (length < LOCK.length ? words(2) : []),
  reward: (_, history) => (LOCK.every((key, turn) => history[turn] === key) ? 1 : 0),
};

/** What stopping at turn 1..4 is worth; going on to the end is worth 1. */
const STOPS = [0.6, 0.4, 0.2, 0];
const stopping: Game = {
  name: 'stopping',
  summary: 'at each of four turns stop or go on; stopping at once pays 0.6, later ever less, the end pays 1',
  tasks: 1,
  responses: (history) => (history.includes(0) || history.length === STOPS.length ? [] : words(2)),
  reward: (_, history) => (history.includes(0) ? STOPS[history.length - 1]! : 1),
};

/** Mean payoff of the first pair of actions (1 + 1 + 0) / 3, of the second (0 + 0 + 6) / 3; two of three groups prefer the first. */
const scales = matrixGame(
  'scales',
  'three prompts that look alike: two pay 1 for one pair of actions, the third pays 6 for another',
  [
    [
      [1, 0],
      [0, 0],
    ],
    [
      [1, 0],
      [0, 0],
    ],
    [
      [0, 0],
      [0, 6],
    ],
  ],
);

/** Three turns of two actions with payoffs drawn from [0, 1); another game for every seed. */
export function randomGame(seed: string): Game {
  const payoffs = uniforms(`${seed}/payoffs`, 8);
  return {
    name: 'random',
    summary: 'three turns of two actions, payoffs uniform in [0, 1), another game for every start',
    tasks: 1,
    responses: ({ length }) => (length < 3 ? words(2) : []),
    reward: (_, [a, b, c]) => payoffs[4 * a! + 2 * b! + c!]!,
  };
}

const FIXED: readonly Game[] = [climbing, chain, penalty, lock, stopping, scales, spelled];

export const gameNames: readonly string[] = [...FIXED.map(({ name }) => name), 'random'];

/** The game of a name; `seed` decides the payoffs of `random`. */
export function gameOf(name: string, seed: string): Game {
  const game = name === 'random' ? randomGame(seed) : FIXED.find((each) => each.name === name);
  if (game === undefined) throw new RangeError(`there is no game "${name}": expected one of ${gameNames.join(', ')}`);
  return game;
}
