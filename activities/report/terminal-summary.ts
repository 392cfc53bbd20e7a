import type { Gain, ReportContent, Stage } from '../../schemas/report.js';
import { fixed, signed } from './format.js';

const BAR_WIDTH = 30;

/** The report's main figures as plain text, at most 80 columns wide for up to 3 turns. */
export function terminalSummary(content: ReportContent): string {
  const { stages, warmStartGains, seeupoGains, iterations, learning, inertSettings } = content;
  const parts: string[] = [];
  for (const [split, heading] of [
    ['train', 'Training tasks'],
    ['heldout', 'Held-out tasks'],
  ] as const) {
    const shown = stages.filter((stage) => stage.split === split);
    if (shown.length === 0) continue;
    const gains: [string, Gain | undefined][] = [
      ['gain of the warm start', warmStartGains.find((g) => g.split === split)],
      ['gain of SeeUPO', seeupoGains.find((g) => g.split === split)],
    ];
    parts.push(stageTable(heading, shown, gains));
  }
  if (iterations.length > 0) {
    parts.push(
      [
        'Mean reward per iteration',
        ...iterations.map(
          ({ iteration, meanReward }) =>
            `${String(iteration).padStart(5)}  ${fixed(meanReward)}  ${scoreBar(meanReward)}`,
        ),
      ].join('\n'),
    );
  }
  if (learning !== null) {
    const { lastIterations, meanOfLast, startReward, rise } = learning;
    parts.push(
      `Last ${lastIterations === 1 ? 'iteration' : `${lastIterations} iterations`}: ${fixed(meanOfLast)}, before SeeUPO: ${fixed(startReward)}, rise ${signed(rise)}`,
    );
  }
  if (inertSettings.length > 0)
    parts.push(['Settings without effect', ...inertSettings.map((setting) => `  ${setting}`)].join('\n'));
  parts.push(content.verdict);
  return parts.join('\n\n');
}

function stageTable(heading: string, stages: readonly Stage[], gains: readonly [string, Gain | undefined][]): string {
  const turns = Math.max(...stages.map(({ turnPassRate }) => turnPassRate.length));
  const { tasks, trajectories } = stages[0]!;
  const each = <T>(cell: (t: number) => T): T[] => Array.from({ length: turns }, (_, t) => cell(t));
  const rows: string[][] = [['', 'reward', 'success', ...each((t) => `turn ${t + 1}`)]];
  for (const s of stages) {
    rows.push([s.label, fixed(s.meanReward), fixed(s.successRate), ...each((t) => fixed(s.turnPassRate[t] ?? 0))]);
  }
  for (const [name, g] of gains) {
    if (g)
      rows.push([name, signed(g.meanReward), signed(g.successRate), ...each((t) => signed(g.turnPassRate[t] ?? 0))]);
  }
  return [
    `${heading} (${tasks} task${tasks === 1 ? '' : 's'}, ${trajectories} trajectories each time)`,
    ...aligned(rows),
  ].join('\n');
}

/** First column to the left, all others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .replace(/^/, '  ')
      .trimEnd(),
  );
}

/** A share in [0, 1] as a bar. */
export function scoreBar(share: number, width = BAR_WIDTH): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`;
}
