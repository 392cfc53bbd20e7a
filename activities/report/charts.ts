import * as echarts from 'echarts';
import type { ReportContent, StageName } from '../../schemas/report.js';
import { fixed } from './format.js';

/** A line chart as an SVG element that takes its colours from the page's CSS variables. */
export interface Chart {
  readonly id: string;
  readonly title: string;
  /** One sentence that a reader who cannot see the chart gets instead. */
  readonly description: string;
  readonly svg: string;
  readonly legend: readonly LegendEntry[];
}

export interface LegendEntry {
  readonly name: string;
  /** 1-based number of the page's --line-N colour. */
  readonly color: number;
  readonly symbol: Symbol;
}

/** Lines differ by their marks too, so that they read without colour; a level is dashed and has none. */
export type Symbol = 'circle' | 'rect' | 'triangle' | 'diamond' | 'dashed';

export interface Line {
  readonly name: string;
  /** 1-based number of the page's --line-N colour. */
  readonly color: number;
  /** One per iteration; null leaves a gap. */
  readonly values: readonly (number | null)[];
  readonly level?: boolean;
}

const WIDTH = 520;
const HEIGHT = 280;

// ECharts wants literal colours; these unlikely ones stand in and become CSS variables below.
const STAND_INS = {
  text: '#0a0b01',
  grid: '#0a0b02',
  line: ['#0a0b11', '#0a0b12', '#0a0b13', '#0a0b14', '#0a0b15', '#0a0b16'],
} as const;
const VARIABLES: readonly [string, string][] = [
  [STAND_INS.text, 'var(--text)'],
  [STAND_INS.grid, 'var(--rule)'],
  ...STAND_INS.line.map((color, i): [string, string] => [color, `var(--line-${i + 1})`]),
];
const SYMBOLS: readonly Symbol[] = ['circle', 'rect', 'triangle', 'diamond'];
const TURN_COLORS = [1, 2, 4, 5, 6, 3];
const LEVEL_COLORS: Record<StageName, number> = { untouched: 3, start: 2, end: 4 };

/** The curves of a run, empty if it has no iteration. */
export function charts(content: ReportContent): Chart[] {
  const { iterations, turnUpdates, stages } = content;
  if (iterations.length === 0) return [];
  const steps = iterations.map(({ iteration }) => iteration);
  const level = (value: number): number[] => steps.map(() => value);
  const turns = [...new Set(turnUpdates.map(({ turn }) => turn))].sort((a, b) => a - b);
  const ofTurns = (value: (row: ReportContent['turnUpdates'][number]) => number): Line[] =>
    turns.map((turn) => ({
      name: `turn ${turn}`,
      color: colorOfTurn(turn),
      values: steps.map((iteration) => {
        const row = turnUpdates.find((r) => r.iteration === iteration && r.turn === turn);
        return row === undefined ? null : value(row);
      }),
    }));
  const deepest = Math.max(...iterations.map(({ turnPassRate }) => turnPassRate.length));
  const levels: Line[] = stages
    .filter(({ split }) => split === 'train')
    .map(({ stage, label, meanReward }) => ({
      name: `${label}: ${fixed(meanReward, 2)}`,
      color: LEVEL_COLORS[stage],
      values: level(meanReward),
      level: true,
    }));

  const rewards: Line = { name: 'rollouts', color: 1, values: iterations.map(({ meanReward }) => meanReward) };
  return [
    lineChart('reward', 'Mean reward', steps, [rewards, ...levels], { min: 0, max: 1 }),
    lineChart(
      'turn-pass-rate',
      'Pass rate of each turn',
      steps,
      Array.from({ length: deepest }, (_, t) => ({
        name: `turn ${t + 1}`,
        color: colorOfTurn(t + 1),
        values: iterations.map(({ turnPassRate }) => turnPassRate[t] ?? null),
      })),
      { min: 0, max: 1 },
    ),
    lineChart(
      'kl',
      'KL to the reference, nats per token',
      steps,
      ofTurns(({ klReference }) => klReference),
      { min: 0 },
    ),
    lineChart(
      'ratio',
      'Ratio after the update: mean',
      steps,
      ofTurns(({ ratioMean }) => ratioMean),
      {},
    ),
    lineChart(
      'gradient-norm',
      'Gradient norm',
      steps,
      ofTurns(({ gradientNorm }) => gradientNorm),
      { min: 0 },
    ),
    lineChart(
      'response-length',
      'Response length, tokens',
      steps,
      [{ name: 'mean', color: 1, values: iterations.map(({ meanResponseTokens }) => meanResponseTokens) }],
      { min: 0 },
    ),
  ];
}

/** A chart of lines over iterations. `bounds` fix the ends of the vertical axis; left out, it fits the lines. */
export function lineChart(
  id: string,
  title: string,
  steps: readonly number[],
  lines: readonly Line[],
  bounds: { min?: number; max?: number },
): Chart {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT });
  try {
    const text = { color: STAND_INS.text, fontSize: 15, fontFamily: 'system-ui, sans-serif' };
    const rule = { lineStyle: { color: STAND_INS.grid, width: 1 } };
    chart.setOption({
      animation: false,
      textStyle: text,
      grid: { left: 8, right: 16, top: 16, bottom: 30, containLabel: true },
      xAxis: {
        type: 'category',
        data: steps.map(String),
        name: 'iteration',
        nameLocation: 'middle',
        nameGap: 30,
        nameTextStyle: text,
        axisLabel: { ...text },
        axisLine: rule,
        axisTick: rule,
        boundaryGap: steps.length === 1,
      },
      yAxis: { type: 'value', scale: bounds.min === undefined, ...bounds, axisLabel: { ...text }, splitLine: rule },
      series: lines.map((line, i) => {
        const color = STAND_INS.line[line.color - 1] ?? STAND_INS.line[0];
        const symbol = symbolOf(line, i);
        return {
          type: 'line',
          name: line.name,
          data: line.values.map((value) => value ?? '-'),
          // With one iteration a level is a point, which needs a mark to be seen.
          symbol: symbol === 'dashed' ? (steps.length > 1 ? 'none' : 'emptyCircle') : symbol,
          symbolSize: 8,
          lineStyle: { color, width: line.level ? 2 : 2.5, type: line.level ? 'dashed' : 'solid' },
          itemStyle: { color },
          silent: true,
        };
      }),
    });
    return {
      id,
      title,
      description: described(steps, lines),
      svg: pageSvg(chart.renderToSVGString(), id),
      legend:
        lines.length < 2
          ? []
          : lines.map((line, i) => ({ name: line.name, color: line.color, symbol: symbolOf(line, i) })),
    };
  } finally {
    chart.dispose();
  }
}

const colorOfTurn = (turn: number): number => TURN_COLORS[(turn - 1) % TURN_COLORS.length] ?? 1;
const symbolOf = (line: Line, i: number): Symbol => (line.level ? 'dashed' : (SYMBOLS[i % SYMBOLS.length] ?? 'circle'));

function described(steps: readonly number[], lines: readonly Line[]): string {
  const parts = lines.map(({ name, values, level }) => {
    const known = values.filter((value): value is number => value !== null);
    const [first, last] = [known[0], known.at(-1)];
    if (first === undefined || last === undefined) return `${name}: no value`;
    return level ? name : `${name}: ${fixed(first, 2)} at first, ${fixed(last, 2)} at last`;
  });
  return `${steps.length} iteration${steps.length === 1 ? '' : 's'}. ${parts.join('; ')}.`;
}

/**
 * Makes an SVG of ECharts fit the page: as wide as its column, coloured by the page, hidden from
 * screen readers (the figure's caption speaks), and the same bytes however many were drawn before.
 */
function pageSvg(svg: string, id: string): string {
  let page = svg
    .replace(/^<svg width="\d+" height="\d+"/, '<svg aria-hidden="true" focusable="false"')
    .replace(/\bzr\d+-/g, `${id}-`)
    .replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/ class="[^"]*"/g, '')
    .replace(/<rect[^>]*fill="none"[^>]*><\/rect>/, '');
  for (const [color, variable] of VARIABLES) page = page.replaceAll(color, variable);
  return page;
}
