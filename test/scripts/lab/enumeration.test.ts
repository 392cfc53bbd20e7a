import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeeupoConfig } from '../../../schemas/train-config.js';
import { gameTree, type GameTree } from '../../../scripts/lab/game-tree.js';
import { gameOf } from '../../../scripts/lab/games.js';
import { Learner } from '../../../scripts/lab/learner.js';
import { randomPolicy, type Sharing } from '../../../scripts/lab/tabular-policy.js';

// An iteration of SeeUPO written once more from the specification alone, as slowly as possible: surrogates by summing over
// all trajectories, gradients by central differences. It shares the numbering of the game's tree with the laboratory, no formula.

/** `turn-pool`: the paper's, with batch statistics over the active trajectories of each turn. */
type Objective = 'paper' | 'authors' | 'exact-suffix' | 'turn-pool';
const [EPOCHS, RATE, H] = [3, 0.8, 1e-5];
const within = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x));

function logPis(tree: GameTree, sharing: Sharing, theta: readonly number[]): number[] {
  const logit = (first: number, tokens: readonly number[], v: number): number =>
    theta[first + v]! + (sharing === 'shared' ? theta[tree.logits + tokens[v]!]! : 0);
  return tree.contexts.flatMap(({ first, tokens }) => {
    const logits = tokens.map((_, v) => logit(first, tokens, v));
    const z = Math.log(logits.reduce((total, l) => total + Math.exp(l), 0));
    return logits.map((l) => l - z);
  });
}

function iterationByEnumeration(
  tree: GameTree,
  sharing: Sharing,
  start: readonly number[],
  objective: Objective,
): number[] {
  const authors = objective === 'authors';
  const { paths } = tree;
  const responseAt = (path: number, turn: number): readonly number[] =>
    tree.responses[paths[path]!.responses[turn - 1]!]!.logits;
  const probability = (logs: number[], path: number): number =>
    Math.exp(
      paths[path]!.responses.reduce(
        (total, r) => total + tree.responses[r]!.logits.reduce((t, l) => t + logs[l]!, 0),
        0,
      ),
    );
  const ratio = (logs: number[], before: number[], path: number, turn: number): number => {
    const tokens = responseAt(path, turn);
    return Math.exp(tokens.reduce((total, l) => total + logs[l]! - before[l]!, 0) / tokens.length);
  };
  const old = logPis(tree, sharing, start);
  const p = paths.map((_, i) => probability(old, i));
  const reward = paths.map(({ rewards: [r] }) => (authors ? (r! >= 1 ? 1 + 0.5 * r! : 0.5 * r!) : r!));
  const expected = (of: (i: number) => number, among: readonly number[]): number =>
    among.reduce((total, i) => total + p[i]! * of(i), 0) / among.reduce((total, i) => total + p[i]!, 0);
  const everyone = paths.map((_, i) => i);
  const centre = expected((i) => reward[i]!, everyone);
  let theta = [...start];
  let product = paths.map(() => 1);
  for (let turn = tree.turns; turn >= 1; turn--) {
    const active = everyone.filter((i) => paths[i]!.responses.length >= turn);
    const counted = objective === 'turn-pool' ? active : everyone;
    const shift = expected((i) => reward[i]! - centre, counted);
    const deviation = Math.sqrt(expected((i) => (reward[i]! - centre - shift) ** 2, counted));
    const advantage = everyone
      .map((i) => (reward[i]! - centre - shift) / (deviation + 1e-6))
      .map((a) => (authors ? within(a, -3, 3) : a));
    const atStart = logPis(tree, sharing, theta);
    if (objective === 'exact-suffix') {
      product = everyone.map((i) =>
        Array.from({ length: tree.turns - turn }, (_, n) => turn + 1 + n).reduce(
          (m, u) => (paths[i]!.responses.length >= u ? m * ratio(atStart, old, i, u) : m),
          1,
        ),
      );
    }
    const reference = authors ? atStart : old;
    const surrogate = (x: readonly number[]): number => {
      const logs = logPis(tree, sharing, x);
      return expected((i) => {
        const [s, M] = [ratio(logs, reference, i, turn), product[i]! * advantage[i]!];
        const clipped = Math.min(s * M, within(s, 0.8, 1.2) * M);
        return authors && M < 0 ? Math.max(clipped, 3 * M) : clipped;
      }, active);
    };
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      const at = theta;
      theta = at.map((value, j) => {
        const moved = (by: number): number => surrogate(at.map((other, n) => (n === j ? other + by : other)));
        return value + (RATE * (moved(H) - moved(-H))) / (2 * H);
      });
    }
    const after = logPis(tree, sharing, theta);
    for (const i of active) {
      const rho = ratio(after, reference, i, turn);
      product[i] = authors ? within(product[i]! * within(rho, 0.8, 1.2), 0.8, 1.2) : product[i]! * rho;
    }
  }
  return theta;
}

for (const objective of ['paper', 'authors', 'exact-suffix', 'turn-pool'] as const) {
  test(`${objective}: an iteration with exact expectations is the one by enumeration and finite differences, to 1e-6`, () => {
    for (const sharing of ['per-turn', 'shared'] as const) {
      for (const name of ['random', 'stopping', 'spelled climbing']) {
        const tree = gameTree(gameOf(name, 'enumeration'));
        const policy = randomPolicy(tree, sharing, `${objective}/${name}`);
        const expected = iterationByEnumeration(tree, sharing, [...policy.parameters], objective);
        const algorithm = SeeupoConfig.parse({
          name: 'seeupo',
          ...(objective === 'turn-pool' ? { advantageStatistics: objective } : { objective }),
          klEstimator: 'none',
          epochs: EPOCHS,
        });
        const learner = new Learner(policy, {
          algorithm,
          step: { rule: 'gradient', learningRate: RATE },
          rollouts: 'exact',
          seed: '',
        });
        const start = [...policy.parameters];
        learner.iterate(0);
        const off = Math.max(...expected.map((value, j) => Math.abs(value - policy.parameters[j]!)));
        assert.ok(off < 1e-6, `${name}, ${sharing}: ${off}`);
        assert.ok(
          Math.max(...start.map((value, j) => Math.abs(value - policy.parameters[j]!))) > 0.05,
          'the iteration moved the policy far enough to tell objectives apart',
        );
      }
    }
  });
}
