import type { Timing } from '../../schemas/metrics.js';
import type { TimeShare } from '../../schemas/report.js';
import { sum } from '../numerics/statistics.js';
import type { ReportSources } from './report-sources.js';

const PARTS: readonly { part: string; step: string }[] = [
  { part: 'rollout', step: 'rollout' },
  { part: 'grouping', step: 'group' },
  { part: 'scoring', step: 'score' },
  { part: 'turn updates', step: 'update' },
];

/**
 * Where the steps' seconds went. Storage is taken out of every step and shown on its own, so the parts
 * add up. Steps that ran at the same time both count: it is work, not wall time.
 */
export function timeShares({
  timings: { warmStart, evaluations, checkpoints },
}: Pick<ReportSources, 'timings'>): TimeShare[] {
  const known = new Set(PARTS.map(({ step }) => step));
  const ofStep = (wanted: (step: string) => boolean): Timing[] =>
    checkpoints.flatMap((timing) => Object.entries(timing).flatMap(([step, t]) => (wanted(step) ? [t] : [])));
  const parts: [string, Timing[]][] = [
    ['warm start', warmStart === null ? [] : [warmStart]],
    ...PARTS.map(({ part, step }): [string, Timing[]] => [part, ofStep((s) => s === step)]),
    ['other steps', ofStep((s) => !known.has(s))],
    ['evaluation', [...evaluations]],
  ];
  const rows = parts.map(([part, timings]) => ({
    part,
    seconds: sum(timings.map(({ seconds, storageSeconds }) => Math.max(0, seconds - storageSeconds))),
    tokens: sum(timings.map(({ tokens }) => tokens)),
  }));
  const stored = parts.flatMap(([, timings]) => timings.map(({ storageSeconds }) => storageSeconds));
  rows.push({ part: 'storage', seconds: sum(stored), tokens: 0 });
  const total = sum(rows.map(({ seconds }) => seconds));
  return rows
    .filter(({ part, seconds }) => seconds > 0 || part === 'storage')
    .map((row) => ({ ...row, share: total === 0 ? 0 : row.seconds / total }));
}
