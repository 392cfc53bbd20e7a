import { lineChart } from '../../activities/report/charts.js';
import { figure } from '../../activities/report/figure.js';
import { html, type SafeHtml } from '../../activities/report/html.js';
import { renderPage, section, table } from '../../activities/report/page.js';
import { gameNames, gameOf } from './games.js';
import type { Findings } from './laboratory.js';
import type { ExperimentSummary, RowSummary } from './summary.js';
import {
  experimentTable,
  FIRST_STEP_SETTING,
  FIRST_STEP_TITLE,
  firstStepTable,
  GAP_SETTING,
  GAP_TITLE,
  gameTable,
  gapTable,
  iterationsOf,
  READING,
  type WordTable,
} from './words.js';

const COLORS = 6;

/** The findings as one HTML page: no script, nothing loaded; all text is escaped. */
export function labPage({ options, experiments, firstSteps, gap }: Findings): string {
  return renderPage({
    title: 'SeeUPO convergence laboratory',
    header: html`<p class="kicker">SeeUPO · convergence laboratory · seed ${options.seed}, ${options.starts} random starts for each game</p>
<h1>What converges, and what only should</h1>
<p>${READING}</p>`,
    sections: [
      section(
        'games',
        'The games',
        html`<dl>${gameNames.map((name) => html`<dt>${name}</dt><dd>${gameOf(name, '').summary}</dd>`)}</dl>`,
      ),
      ...experiments.map((experiment) => section(experiment.id, experiment.title, body(experiment))),
      section(
        'first-step',
        FIRST_STEP_TITLE,
        html`<p>${FIRST_STEP_SETTING}.</p>${wordTable('One column per game', firstStepTable(firstSteps))}`,
      ),
      ...(gap.length === 0
        ? []
        : [section('gap', GAP_TITLE, html`<p>${GAP_SETTING}.</p>${wordTable('One row per game', gapTable(gap))}`)]),
    ],
  });
}

const wordTable = (caption: string, { columns, rows }: WordTable): SafeHtml => table(caption, columns, rows);

function body(experiment: ExperimentSummary): SafeHtml {
  return html`<p>${experiment.setting}; K = ${iterationsOf(experiment)} iterations.</p>
${wordTable('All games together', experimentTable(experiment))}
<details><summary>Game by game</summary>
${wordTable('Share of starts within 1 % of the optimum', gameTable(experiment, 'reached'))}
${wordTable('Iterations to 99 %, median', gameTable(experiment, 'iterationsTo99'))}
${wordTable('Falls per start', gameTable(experiment, 'falls'))}
</details>
<div class="charts">${charts(experiment)}</div>`;
}

/** Mean return of the starts, per game; one chart for all rows that have the same axis and the algorithm's default order and normalisation. */
function charts({ id, rows }: ExperimentSummary): SafeHtml[] {
  const drawn =
    id === 'theory' ? rows : rows.filter((row, i) => rows.findIndex(({ arm }) => arm.name === row.arm.name) === i);
  const byStep = [...new Set(drawn.map(({ step }) => step))].map((step) => drawn.filter((row) => row.step === step));
  return byStep.flatMap((group, g) =>
    group[0]!.cells.map(({ game, curve }, c) => {
      const lines = group.map((row, i) => ({
        name: lineName(row),
        color: (i % COLORS) + 1,
        values: row.cells[c]!.curve.values,
      }));
      return figure(
        lineChart(`${id}-${g}-${c}`, `${game}, ${group[0]!.step}: mean return / optimum`, curve.iterations, lines, {}),
      );
    }),
  );
}

const lineName = ({ arm }: RowSummary): string =>
  arm.order === '–' || arm.order === 'reverse' ? arm.name : `${arm.name}, ${arm.order}`;
