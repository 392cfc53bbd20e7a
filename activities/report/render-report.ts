import type { Gain, ReportContent, ReportEpisode, Stage, TaskRow } from '../../schemas/report.js';
import type { Split } from '../../schemas/task.js';
import { algorithmOf } from '../algorithms/index.js';
import { charts } from './charts.js';
import { outcomeOf, turnsOf } from './episode.js';
import { figure } from './figure.js';
import { fixed, orDash, percent, signed } from './format.js';
import { html, SafeHtml } from './html.js';
import { metricDefinitions } from './metric-definitions.js';
import { renderPage, section, table } from './page.js';

const SPLITS: readonly { split: Split; heading: string }[] = [
  { split: 'train', heading: 'Training tasks' },
  { split: 'heldout', heading: 'Held-out tasks' },
];

/**
 * The report as one HTML page: no script, nothing loaded, readable without a network.
 * Whatever a model, a task or a config wrote reaches the page through `html`, which escapes it.
 */
export function renderReport(content: ReportContent): string {
  const name = content.title === '' ? content.runId : content.title;
  return renderPage({
    title: `${name} – SeeUPO report`,
    header: html`<p class="kicker">SeeUPO report · run ${content.runId}</p>
<h1>${name}</h1>
<p class="verdict">${content.verdict}</p>
${learning(content)}`,
    sections: [
      section('before-after', 'Before and after', beforeAfter(content)),
      section('curves', 'Curves', curves(content)),
      section('tasks', 'Task by task', taskTables(content)),
      section('iterations', 'Iteration by iteration', iterationTable(content)),
      section('turn-updates', 'Turn by turn', turnUpdateTable(content)),
      section('trajectories', 'Whole trajectories', trajectories(content)),
      section('time', 'Where the time went', timeTable(content)),
      section('caveats', 'What this is not', caveats(content)),
      section('definitions', 'What the figures mean', definitions()),
      section('run', 'The run', runFacts(content)),
    ],
  });
}

const turnColumns = (turns: number): string[] => Array.from({ length: turns }, (_, t) => `turn ${t + 1}`);
const perTurn = <T>(turns: number, cell: (t: number) => T): T[] => Array.from({ length: turns }, (_, t) => cell(t));

function learning({ learning: figure }: ReportContent): SafeHtml {
  if (figure === null) return html``;
  const { lastIterations, meanOfLast, startReward, rise } = figure;
  const last = lastIterations === 1 ? 'the last iteration' : `the last ${lastIterations} iterations`;
  return html`<p>Mean training reward of ${last}: <strong>${fixed(meanOfLast)}</strong>, against ${fixed(startReward)} before SeeUPO: <strong>${signed(rise)}</strong>.</p>`;
}

function beforeAfter({ stages, warmStartGains, seeupoGains, warmStart }: ReportContent): SafeHtml {
  if (stages.length === 0) return html`<p>This run has no evaluation.</p>`;
  const tables = SPLITS.map(({ split, heading }) => {
    const shown = stages.filter((stage) => stage.split === split);
    if (shown.length === 0) return html`<p>${heading}: not evaluated.</p>`;
    return splitTable(
      heading,
      shown,
      warmStartGains.find((g) => g.split === split),
      seeupoGains.find((g) => g.split === split),
    );
  });
  const note =
    warmStart === null
      ? html`<p>There was no warm start: SeeUPO began from the untouched model.</p>`
      : html`<p>The warm start is supervised fine-tuning on ground-truth turns of <em>other</em> training tasks (${warmStart.sequences} conversations, ${warmStart.tokens} tokens, ${warmStart.steps} steps, ${fixed(warmStart.seconds, 0)} s; mean loss per epoch ${warmStart.epochLosses.map((x) => fixed(x, 2)).join(' → ')} nats). Its gain is its own line and is no merit of SeeUPO.</p>`;
  return html`${tables}
${note}`;
}

function splitTable(
  heading: string,
  stages: readonly Stage[],
  warmStart: Gain | undefined,
  seeupo: Gain | undefined,
): SafeHtml {
  const turns = Math.max(...stages.map(({ turnPassRate }) => turnPassRate.length));
  const { tasks, trajectories, temperature } = stages[0]!;
  const error = (se: number | null): SafeHtml =>
    se === null ? html`` : html`<span class="error"> ± ${fixed(se)}</span>`;
  const gainRow = (name: string, g: Gain | undefined, strong: boolean): (string | SafeHtml)[][] => {
    if (g === undefined) return [];
    const noise = g.beyondNoise === false ? html` <span class="tag">within noise</span>` : html``;
    const label = html`${strong ? html`<strong>${name}</strong>` : name}${noise}`;
    return [
      [
        label,
        html`<strong>${signed(g.meanReward)}</strong>${error(g.standardError)}`,
        signed(g.successRate),
        ...perTurn(turns, (t) => signed(g.turnPassRate[t] ?? 0)),
      ],
    ];
  };
  const stageRow = (s: Stage): (string | SafeHtml)[] => [
    s.label,
    html`${fixed(s.meanReward)}${error(s.standardError)}`,
    fixed(s.successRate),
    ...perTurn(turns, (t) => fixed(s.turnPassRate[t] ?? 0)),
  ];
  const caption = `${heading}: ${tasks} task${tasks === 1 ? '' : 's'}, ${trajectories} trajectories each time, temperature ${temperature}`;
  return table(
    caption,
    ['policy', 'reward', 'success', ...turnColumns(turns)],
    [
      ...stages.map(stageRow),
      ...gainRow('gain of the warm start (supervised)', warmStart, false),
      ...gainRow('gain of SeeUPO', seeupo, true),
    ],
  );
}

function curves(content: ReportContent): SafeHtml {
  const drawn = charts(content);
  if (drawn.length === 0) return html`<p>No iteration was run, so there is nothing to draw.</p>`;
  return html`<p>The rollout of iteration <i>i</i> is played by the policy before update <i>i</i>. Dashed: evaluations on the training tasks.</p>
<div class="charts">
${drawn.map(figure)}
</div>
<p class="caution">The official checker is lenient, and a policy can exploit that: part of a rise may be answers that pass without being right (see <a href="#caveats">What this is not</a>).</p>`;
}

function taskTables({ tasks, warmStart }: ReportContent): SafeHtml {
  const tables = SPLITS.map(({ split, heading }) => {
    const rows = tasks.filter((task) => task.split === split);
    if (rows.length === 0) return html`<p>${heading}: none.</p>`;
    return taskTable(heading, rows, warmStart !== null);
  });
  return html`${tables}`;
}

function taskTable(heading: string, rows: readonly TaskRow[], warmStarted: boolean): SafeHtml {
  const before = (row: TaskRow): TaskRow['start'] => row.start ?? row.untouched;
  const change = (row: TaskRow): string => {
    const from = before(row);
    return from === null || row.end === null ? '–' : signed(row.end.meanReward - from.meanReward, 2);
  };
  const columns = warmStarted
    ? ['task', 'turns', 'untouched', 'warm start', 'SeeUPO', 'gain of SeeUPO', 'success before', 'success after']
    : ['task', 'turns', 'untouched', 'SeeUPO', 'gain of SeeUPO', 'success before', 'success after'];
  return table(
    `${heading}: mean reward and success rate`,
    columns,
    rows.map((row) => [
      row.taskId,
      String(row.turns),
      ...(warmStarted
        ? [orDash(row.untouched?.meanReward, 2), orDash(row.start?.meanReward, 2)]
        : [orDash(before(row)?.meanReward, 2)]),
      orDash(row.end?.meanReward, 2),
      change(row),
      orDash(before(row)?.successRate, 2),
      orDash(row.end?.successRate, 2),
    ]),
  );
}

function iterationTable({ iterations, midway }: ReportContent): SafeHtml {
  if (iterations.length === 0) return html`<p>No iteration was run.</p>`;
  const turns = Math.max(...iterations.map(({ turnPassRate }) => turnPassRate.length));
  const rollouts = table(
    'Rollouts of every iteration',
    [
      'iteration',
      'reward',
      'success',
      ...turnColumns(turns),
      'tokens a response',
      'cut',
      'malformed',
      'flat groups',
      'sampler gap',
      'seconds',
      'tokens/s',
    ],
    iterations.map((row) => [
      String(row.iteration),
      fixed(row.meanReward),
      fixed(row.successRate),
      ...perTurn(turns, (t) => orDash(row.turnPassRate[t])),
      fixed(row.meanResponseTokens, 1),
      percent(row.truncatedRate),
      fixed(row.malformedCallRate, 2),
      String(row.groupsWithoutVariance),
      row.behaviorGapMax.toExponential(1),
      fixed(row.seconds, 1),
      row.seconds === 0 ? '–' : fixed(row.tokens / row.seconds, 0),
    ]),
  );
  if (midway.length === 0) return rollouts;
  return html`${rollouts}
${table(
  'Evaluations during training',
  ['evaluation', 'tasks', 'reward', 'success'],
  midway.map(({ name, split, meanReward, successRate }) => [name, split, fixed(meanReward), fixed(successRate)]),
)}`;
}

function turnUpdateTable({ turnUpdates, config }: ReportContent): SafeHtml {
  if (turnUpdates.length === 0) return html`<p>No turn was updated.</p>`;
  const { algorithm } = config;
  const { pooling, updateOrder } = algorithmOf(algorithm);
  const order = pooling.isSequential
    ? `In the order in which they were made (${String(updateOrder)}): the sequential update is what SeeUPO is about.`
    : `${algorithm.name} updates all turns at once: one pool, named turn 1.`;
  const hasCritic = turnUpdates.some(({ critic }) => critic !== null);
  return html`<p>${order}</p>
${table(
  'Every turn update',
  [
    'iteration',
    'turn',
    'active',
    'steps',
    'loss',
    'surrogate before',
    'after',
    'KL reference',
    'KL iteration',
    'ratio mean',
    'min',
    'max',
    'clipped',
    'gradient norm',
    'guard',
  ],
  turnUpdates.map((row) => [
    String(row.iteration),
    String(row.turn),
    String(row.active),
    String(row.optimizerSteps),
    fixed(row.loss, 4),
    fixed(row.surrogateBefore, 4),
    fixed(row.surrogateAfter, 4),
    fixed(row.klReference, 4),
    fixed(row.klIteration, 4),
    fixed(row.ratioMean),
    fixed(row.ratio.min),
    fixed(row.ratio.max),
    percent(row.clipFraction),
    fixed(row.gradientNorm, 2),
    guardText(row.guard),
  ]),
)}
${table(
  'How the samples of every turn update are spread',
  [
    'iteration',
    'turn',
    'entropy',
    'effective samples',
    'flat groups',
    'ratio 5 %',
    '50 %',
    '95 %',
    'M min',
    '5 %',
    '50 %',
    '95 %',
    'max',
    ...(hasCritic ? ['value loss', 'explained variance'] : []),
  ],
  turnUpdates.map(({ ratio, weight, ...row }) => [
    String(row.iteration),
    String(row.turn),
    fixed(row.entropy),
    percent(row.effectiveSampleSize),
    percent(row.groupsWithoutVariance),
    ...[ratio.p05, ratio.p50, ratio.p95, weight.min, weight.p05, weight.p50, weight.p95, weight.max].map((x) =>
      fixed(x),
    ),
    ...(hasCritic ? [orDash(row.critic?.valueLoss, 4), orDash(row.critic?.explainedVariance, 2)] : []),
  ]),
)}`;
}

/** E.g. `kept: surrogate fell`; `–` if there was nothing to decide. */
const guardText = ({ decision, violations }: ReportContent['turnUpdates'][number]['guard']): string =>
  violations.length === 0 ? '–' : `${decision}: ${violations.join(', ').replaceAll('-', ' ')}`;

function trajectories({ episodes }: ReportContent): SafeHtml {
  if (episodes.length === 0) return html`<p>No trajectory was kept for this page.</p>`;
  return html`<p>Extremes, chosen by rule and not typical; the rates above are. Model output is shown as it was sampled.</p>
${episodes.map(episode)}`;
}

function episode(shown: ReportEpisode): SafeHtml {
  return html`<article><h3>${shown.heading}: task ${shown.taskId}, sample ${shown.sample}</h3>
<p>${capitalized(shown.chosenAs)}. ${outcomeOf(shown)}</p>
${turnsOf(shown)}
</article>`;
}

const capitalized = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

function timeTable({ time, workSeconds }: ReportContent): SafeHtml {
  const rows = time.map(({ part, seconds, share, tokens }) => [
    part,
    fixed(seconds, 1),
    html`${percent(share)}<span class="bar" aria-hidden="true"><span style="inline-size:${fixed(100 * share, 1)}%"></span></span>`,
    tokens === 0 || seconds === 0 ? '–' : fixed(tokens / seconds, 0),
  ]);
  return html`${table('Seconds of work by step, storage apart', ['step', 'seconds', 'share', 'tokens/s'], [...rows, ['all', fixed(workSeconds, 1), percent(workSeconds === 0 ? 0 : 1), '–']])}
<p>Sums over activities: what ran at the same time counts twice. Orchestration (Temporal) lies between the steps and is not in here; it is wall time less this sum where nothing ran in parallel.</p>`;
}

function caveats({ config }: ReportContent): SafeHtml {
  const bfcl = config.environment.name.startsWith('bfcl');
  return html`<ul>
${
  bfcl
    ? html`<li><strong>Not BFCL.</strong> The task set is a derivative of the Berkeley Function-Calling Leaderboard v4, multi-turn: windows of one to three user turns of selected tasks, compact tool lists with two examples in the prompt, one response per turn, a dense prefix reward. It runs on the official simulators and checker, but its scores are not comparable with the leaderboard’s.</li>
<li><strong>The official checker is lenient in ways a policy can exploit.</strong> It compares states and outputs, not intent: <code>ls()</code> passes for <code>ls(True)</code> if nothing is hidden, and <code>grep('deploy.py', '')</code> passes because every line matches. Read the trajectories before you believe a rise.</li>
${config.environment.taskSet === 'quickstart' ? html`<li><strong>The training tasks were picked for a start reward above 0.</strong> Without one, no group has variance and nothing is learned.</li>` : html``}`
    : html`<li>The reward is whatever the environment’s verifier says; what it lets pass counts as right.</li>`
}
<li><strong>One run, one seed.</strong> The standard errors cover the draw of answers only, not the draw of seeds or tasks. A gain on training tasks is no claim of generalisation: the held-out rows are there to be read.</li>
</ul>`;
}

function definitions(): SafeHtml {
  return html`<p>N trajectories from B tasks, G samples each; T_i turns in trajectory i, L_it tokens in its response of turn t. Equations: arXiv 2602.06554, section 4. Log-probabilities are in nats, at the sampling temperature.</p>
<dl class="definitions">
${metricDefinitions.map(({ name, formula, meaning }) => html`<dt>${name}</dt><dd><code>${formula}</code><br>${meaning}</dd>`)}
</dl>`;
}

function runFacts({
  runId,
  codeVersion,
  model,
  config,
  inertSettings,
  completedIterations,
  finalAdapterSha256,
}: ReportContent): SafeHtml {
  return html`<dl class="facts">
<dt>Run id</dt><dd><code>${runId}</code></dd>
<dt>Code version</dt><dd><code>${codeVersion}</code></dd>
<dt>Model</dt><dd><code>${model.path}</code>, ${model.bytes} bytes, sha256 <code>${model.sha256}</code></dd>
<dt>Iterations</dt><dd>${completedIterations} of ${config.iterations}</dd>
<dt>Final adapter</dt><dd>${finalAdapterSha256 === null ? html`none` : html`sha256 <code>${finalAdapterSha256}</code>`}</dd>
<dt>Settings without effect</dt><dd>${inertSettings.length === 0 ? html`none` : html`<ul>${inertSettings.map((setting) => html`<li>${setting}</li>`)}</ul>`}</dd>
</dl>
<details><summary>Exact configuration</summary><pre class="text">${JSON.stringify(config, null, 2)}</pre></details>`;
}
