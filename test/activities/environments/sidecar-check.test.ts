import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { PYTHON, SIDECAR, requirePython } from './sidecar-process.js';

/** One run of self_check.py; the assertions below read its report. */
describe('our executor and checks against the official ones, all multi-turn tasks of bfcl_eval', () => {
  let report: Record<string, number> & { windowScores?: Record<string, number>; limits?: object };

  before(async () => {
    await requirePython();
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
    const { stdout } = await promisify(execFile)(PYTHON, [`${SIDECAR}/self_check.py`], { env, timeout: 120_000 });
    report = JSON.parse(stdout) as typeof report;
  });

  test('ground truth is valid on 800 of 800 tasks, by our check and by the official checker', () => {
    assert.deepEqual(
      [report['tasks'], report['groundTruthValid'], report['officialGroundTruthValid']],
      [800, 800, 800],
    );
  });

  test('the empty policy is valid on none', () => assert.equal(report['emptyValid'], 0));

  test('every ground-truth call gives the text of the official executor', () => {
    assert.deepEqual([report['calls'], report['textsEqual']], [4625, 4625]);
  });

  test('mutated policies get the official verdict', () => {
    assert.deepEqual([report['mutations'], report['verdictsEqual']], [1600, 1600]);
  });

  test('the official checker leaves no instance behind', () => assert.equal(report['globalsLeft'], 0));

  test('on every window ground truth scores 1, a wrong first turn 0, right turns before a wrong one their share', () => {
    assert.deepEqual(report.windowScores, {
      windows: 25,
      groundTruthScoresOne: 25,
      wrongFirstScoresZero: 25,
      wrongLaterScoresPrefix: 25,
    });
  });

  test('calls that would hold the process for minutes are answered at once, with the official text next to the limit', () => {
    assert.deepEqual(report.limits, { bombs: 9, answered: 9, nearLimitTextsEqual: true });
  });

  test('it takes under 30 seconds', () => assert.ok(report['seconds']! < 30, `${report['seconds']} s`));
});
