import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gspo, seeupo } from '../../scripts/lab/arms.js';
import { firstSlope } from '../../scripts/lab/first-step.js';
import { labPage } from '../../scripts/lab/lab-page.js';
import type { Findings } from '../../scripts/lab/laboratory.js';
import { playCells } from '../../scripts/lab/play-cells.js';
import { playStart } from '../../scripts/lab/play-start.js';
import type { RowSummary } from '../../scripts/lab/summary.js';
import { repositoryRoot } from '../../scripts/setup/paths.js';

const folder = mkdtempSync(join(tmpdir(), 'seeupo-lab-'));
const lab = (...args: string[]) =>
  spawnSync(process.execPath, [join(repositoryRoot, 'dist', 'scripts', 'lab.js'), ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { ...process.env, INIT_CWD: folder },
  });
let findings: Findings;
let printed: string;

before(() => {
  const { stdout, stderr, status } = lab('--quick', '--json', 'lab.json', '--html', 'lab.html');
  assert.equal(status, 0, stderr);
  printed = stdout;
  findings = JSON.parse(readFileSync(join(folder, 'lab.json'), 'utf8')) as Findings;
});
after(() => rmSync(folder, { recursive: true, force: true }));

const row = (experiment: string, name: string, is: { order?: string; step?: string } = {}): RowSummary =>
  findings.experiments
    .find(({ id }) => id === experiment)!
    .rows.find(
      ({ arm, step }) =>
        arm.name === name &&
        (is.order === undefined || arm.order === is.order) &&
        (is.step === undefined || step === is.step),
    )!;
const cell = (of: RowSummary, game: string) => of.cells.find((each) => each.game === game)!;

test('the bar: SeeUPO, reverse, per-turn tables, exact expectations, small steps: every start reaches the optimum and the return never falls', () => {
  for (const { game, starts, reached, falls } of row('theory', 'seeupo paper', {
    order: 'reverse',
    step: 'natural 0.1',
  }).cells) {
    assert.deepEqual([game, reached.value, falls.value], [game, 1, 0]);
    assert.ok(starts >= 20);
  }
});

test('near best response the reverse order reaches every optimum, and the forward order and all turns at once do not', () => {
  const reached = (name: string, order: string) => row('theory', name, { order, step: 'natural 10' }).all.reached;
  assert.equal(reached('seeupo paper', 'reverse').value, 1);
  assert.ok(reached('seeupo paper', 'forward').high < reached('seeupo paper', 'reverse').low);
  assert.ok(reached('gspo', '–').high < reached('seeupo paper', 'reverse').low);
});

test('dividing by each group’s own deviation ends elsewhere where groups have unlike scales', () => {
  for (const experiment of ['per-turn-exact', 'shared-exact']) {
    assert.ok(
      cell(row(experiment, 'gspo'), 'scales').reached.high <
        cell(row(experiment, 'seeupo paper'), 'scales').reached.low,
      experiment,
    );
  }
});

test('Eq. 8 keeps exact account of the return with per-turn tables of one-token responses, and not with shared parameters or unlike lengths', () => {
  for (const { game, ledgerError } of row('per-turn-exact', 'seeupo paper').cells) {
    if (game === 'spelled climbing') assert.ok(ledgerError!.low > 0.05);
    else assert.ok(ledgerError!.high < 1e-9, game);
  }
  for (const { ledgerPaper } of findings.gap) assert.ok(ledgerPaper!.low > 0.05);
});

test('exact-suffix lowers that error by a tenth at least in lock and chain, of four and three turns, and is the paper’s where there are two', () => {
  for (const { game, ledgerClosed } of findings.gap) {
    if (['climbing', 'penalty', 'scales', 'spelled climbing'].includes(game))
      assert.equal(ledgerClosed!.value, 0, game);
    if (['lock', 'chain'].includes(game))
      assert.ok(ledgerClosed!.low > 0.1, `${game}: ${JSON.stringify(ledgerClosed)}`);
  }
});

test('with shared parameters and trajectories of unlike lengths SeeUPO’s direction can be downhill; with equal lengths, or a table per turn, it never is', () => {
  for (const { sharing, algorithm, downhill } of findings.firstSteps.filter(({ algorithm }) =>
    ['seeupo paper', 'seeupo exact-suffix'].includes(algorithm),
  )) {
    for (const { game, share } of downhill) {
      if (sharing === 'shared' && game === 'stopping') assert.ok(share.low > 0.05, algorithm);
      else assert.equal(share.value, 0, `${sharing} ${algorithm} ${game}`);
    }
  }
  // All turns in one pool weigh each turn by how many trajectories played it: that mean is uphill.
  for (let start = 0; start < 20; start++)
    assert.ok(firstSlope('stopping', 'shared', gspo(1, { normalization: 'batch' }).algorithm, 1, start) > 0);
});

test('an outcome is its start’s alone: threads change nothing', async () => {
  const cells = ['climbing', 'random'].map(
    (game) =>
      ({
        game,
        sharing: 'shared',
        rollouts: { groupSize: 4, copies: 2 },
        iterations: 3,
        rescue: false,
        step: { rule: 'gradient', learningRate: 0.5 },
        algorithm: seeupo(2).algorithm,
      }) as const,
  );
  assert.deepEqual(
    await playCells(cells, 7, 3, () => undefined),
    cells.map((each) => [0, 1, 2].map((start) => playStart(each, 7, start))),
  );
});

test('the table names every algorithm and order, and PPO as the laboratory’s own', () => {
  for (const name of [
    'seeupo paper | forward',
    'seeupo authors',
    'seeupo exact-suffix',
    'reinforce',
    'grpo dr-grpo',
    'grpo dapo',
    'gspo',
    'ppo (lab only)',
  ])
    assert.ok(printed.includes(`| ${name} |`), name);
});

test('the page has a chart per game, no script, and escapes what it is given', () => {
  const page = readFileSync(join(folder, 'lab.html'), 'utf8');
  assert.ok((page.match(/<figure /g) ?? []).length >= 8);
  assert.doesNotMatch(page, /<script|NaN|undefined/);
  const [experiment] = findings.experiments;
  assert.ok(labPage({ ...findings, experiments: [{ ...experiment!, setting: '<b>&' }] }).includes('&lt;b&gt;&amp;'));
});

test('a wrong option is answered with what was expected', () => {
  for (const [args, message] of [
    [['--game', 'chess'], /--game is "chess": expected one of climbing, /],
    [['--starts', '1'], /--starts is "1": expected a whole number from 2/],
    [['--algorithm', 'dqn'], /nothing is called part "any", game "any" and algorithm "dqn"/],
  ] as const) {
    const { stderr, status } = lab(...args);
    assert.match(stderr, message);
    assert.notEqual(status, 0);
  }
});
