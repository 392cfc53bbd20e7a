import type { Estimate, EvaluationContent, Figures, PairedDifference } from '../../schemas/evaluation-report.js';
import { outcomeOf, turnsOf } from '../report/episode.js';
import { fixed, percent, signed } from '../report/format.js';
import { html, type SafeHtml } from '../report/html.js';
import { renderPage, section, table } from '../report/page.js';

/** The report of an evaluation as one HTML page; whatever a model, a task or a config wrote is escaped by `html`. */
export function renderEvaluation(content: EvaluationContent): string {
  const name = content.title === '' ? content.evaluationId : content.title;
  return renderPage({
    title: `${name} – SeeUPO evaluation`,
    header: html`<p class="kicker">SeeUPO evaluation · ${content.evaluationId}</p>
<h1>${name}</h1>
<p class="verdict">${content.verdict}</p>`,
    sections: [
      section('figures', 'Figures', overall(content)),
      ...(content.comparison
        ? [section('comparison', 'Comparison on the same tasks', comparison(content, content.comparison))]
        : []),
      section('categories', 'By category', slices(content, 'category', content.byCategory)),
      section('turns', 'By number of turns', slices(content, 'turns', content.byTurns)),
      section('tasks', 'Task by task', tasks(content)),
      section('transcripts', 'Transcripts', transcripts(content)),
      section('definitions', 'What the figures mean', definitions(content)),
      section('evaluation', 'The evaluation', facts(content)),
    ],
  });
}

const range = (interval: Estimate['interval'], digits = 3): SafeHtml =>
  interval === null
    ? html``
    : html` <span class="error">[${fixed(interval[0], digits)}, ${fixed(interval[1], digits)}]</span>`;
const estimate = ({ value, interval }: Estimate): SafeHtml => html`${fixed(value)}${range(interval)}`;

function figureRow(
  name: string,
  { averageReward, taskGoalCompletion, passAtK, scenarioGoalCompletion, tasks, episodes }: Figures,
): (string | SafeHtml)[] {
  const scenario = scenarioGoalCompletion ? [estimate(scenarioGoalCompletion)] : [];
  return [
    name,
    String(tasks),
    String(episodes),
    estimate(averageReward),
    estimate(taskGoalCompletion),
    ...passAtK.map(estimate),
    ...scenario,
  ];
}

function figureColumns(first: string, { passAtK, scenarioGoalCompletion }: Figures, n: number): string[] {
  return [
    first,
    'tasks',
    'episodes',
    `avg@${n}`,
    'TGC',
    ...passAtK.map(({ k }) => `pass@${k}`),
    ...(scenarioGoalCompletion ? ['SGC'] : []),
  ];
}

function overall({ overall, policies, config, ends, responses }: EvaluationContent): SafeHtml {
  const n = config.samplesPerTask;
  return html`${table(
    `${config.environment.name}/${config.environment.taskSet}, ${config.split}: ${n} sample${n === 1 ? '' : 's'} a task, temperature ${config.temperature}; ${percent(config.confidence)} intervals`,
    figureColumns('policy', overall[0]!, n),
    overall.map((figures, p) => figureRow(policies[p]!.label, figures)),
  )}
${table(
  'Responses and ends of episodes',
  ['policy', 'responses an episode', 'tokens a response', 'cut by the limit', 'ends'],
  responses.map(({ perEpisode, tokens, truncatedRate }, p) => [
    policies[p]!.label,
    fixed(perEpisode, 1),
    fixed(tokens, 1),
    percent(truncatedRate),
    Object.entries(ends[p]!)
      .map(([end, count]) => `${end} ${count}`)
      .join(', '),
  ]),
)}`;
}

function comparison(
  { policies, config }: EvaluationContent,
  found: NonNullable<EvaluationContent['comparison']>,
): SafeHtml {
  const row = (name: string, { value, interval, pValue }: PairedDifference): (string | SafeHtml)[] => [
    name,
    html`<strong>${signed(value)}</strong>`,
    interval === null ? '–' : `[${signed(interval[0])}, ${signed(interval[1])}]`,
    pValue === null ? '–' : pValue <= 2 / config.resamples ? `≤ ${fixed(2 / config.resamples, 4)}` : fixed(pValue, 4),
  ];
  return table(
    `${policies[0]!.label} minus ${policies[1]!.label}, ${found.tasks} tasks`,
    ['figure', 'difference', `${percent(config.confidence)} interval`, 'p'],
    [row(`avg@${config.samplesPerTask}`, found.averageReward), row('TGC', found.taskGoalCompletion)],
  );
}

const slices = (
  { policies, config }: EvaluationContent,
  first: string,
  rows: EvaluationContent['byCategory'],
): SafeHtml =>
  html`${policies.map(({ label }, p) =>
    table(
      label,
      figureColumns(first, rows[0]!.figures[p]!, config.samplesPerTask),
      rows.map(({ name, figures }) => figureRow(name, figures[p]!)),
    ),
  )}`;

function tasks({ tasks: rows, policies }: EvaluationContent): SafeHtml {
  const columns = policies.flatMap((_, p) => [
    `reward${policies.length > 1 ? ` ${p + 1}` : ''}`,
    `solved${policies.length > 1 ? ` ${p + 1}` : ''}`,
  ]);
  const note = policies.length > 1 ? html`<p>1: ${policies[0]!.label}. 2: ${policies[1]!.label}.</p>` : html``;
  return html`${note}
${table(
  'Mean reward, and episodes solved of those played',
  ['task', 'split', 'category', 'turns', ...columns],
  rows.map(({ taskId, split, category, turns, scores }) => [
    taskId,
    split,
    category,
    String(turns),
    ...scores.flatMap(({ averageReward, successes, samples }) => [fixed(averageReward, 2), `${successes}/${samples}`]),
  ]),
)}`;
}

function transcripts({ episodes, episodesLeftOut, policies }: EvaluationContent): SafeHtml {
  const rest =
    episodesLeftOut === 0
      ? html``
      : html`<p>${episodesLeftOut} more episode${episodesLeftOut === 1 ? ' is' : 's are'} in the artifacts that the JSON twin names.</p>`;
  return html`${rest}
${episodes.map(
  (
    shown,
  ) => html`<details><summary>${policies[shown.policy]!.label}: task ${shown.taskId}, sample ${shown.sample}, reward ${fixed(shown.reward, 2)}</summary>
<article><p>${outcomeOf(shown)}</p>
${turnsOf(shown)}
</article></details>`,
)}`;
}

function definitions({ config }: EvaluationContent): SafeHtml {
  return html`<dl class="definitions">
<dt>avg@n</dt><dd>Mean over tasks of the mean reward of the n episodes of a task.</dd>
<dt>TGC</dt><dd>Task goal completion: mean over tasks of the share of episodes that solve the whole task.</dd>
<dt>pass@k</dt><dd><code>1 − C(n−c, k) / C(n, k)</code>, c of n episodes solved, mean over tasks: the unbiased estimate of solving a task at least once in k tries.</dd>
<dt>SGC</dt><dd>Scenario goal completion: share of scenarios (task ids before <code>_</code>) all of whose tasks the same sample solves, mean over samples. Only where tasks have scenarios.</dd>
<dt>Intervals</dt><dd>How far other tasks of the same kind (scenarios for SGC) would move the figure: Wilson's score interval for as many tasks as zeros and ones would need for this variance, with Student's quantile where values lie between them. Values that are all equal are given the exact binomial bound. Of a difference: Student's, of 30 tasks and more percentile bootstrap with ${config.resamples} resamples of whole tasks. Figures by category and number of turns are many looks at one evaluation, and not corrected for that.</dd>
<dt>p</dt><dd>Share of sign flips of the differences d on the same tasks, with the same random numbers, whose mean is as far from 0; of 30 tasks and more <code>2 min(P(d* ≤ 0), P(d* ≥ 0))</code> over resampled tasks. A difference is claimed where interval and p both say so.</dd>
</dl>`;
}

function facts({ codeVersion, policies, config, seconds, tokens, arithmetics }: EvaluationContent): SafeHtml {
  return html`<dl class="facts">
<dt>Code version</dt><dd><code>${codeVersion}</code></dd>
${policies.map(
  ({ label, model, state }) =>
    html`<dt>${label}</dt><dd><code>${model.path}</code>, sha256 <code>${model.sha256}</code>; adapter ${state.adapter === null ? 'none' : html`sha256 <code>${state.adapter.sha256}</code>`}</dd>`,
)}
${arithmetics.map(({ precision, replicas, device, threads, library, flags }) => html`<dt>Computed in</dt><dd>${precision}, ${replicas} replica${replicas === 1 ? '' : 's'}, ${device}${threads === null ? '' : `, ${threads} thread${threads === 1 ? '' : 's'}`}, ${library} ${flags.join(' ')}</dd>`)}
<dt>Work</dt><dd>${fixed(seconds, 1)} s of activities, ${tokens} tokens through the model</dd>
</dl>
<details><summary>Exact settings</summary><pre class="text">${JSON.stringify(config, null, 2)}</pre></details>`;
}
