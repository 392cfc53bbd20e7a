import type { Chart, LegendEntry } from './charts.js';
import { html, SafeHtml } from './html.js';

/** A chart with its caption, its description for who cannot see it, and its legend. */
export const figure = ({ title, description, svg, legend }: Chart): SafeHtml =>
  html`<figure role="group" aria-label="${title}"><figcaption>${title}<span class="unseen">: ${description}</span></figcaption>
${legend.length === 0 ? html`` : html`<ul class="legend" aria-hidden="true">${legend.map(({ name, color, symbol }) => html`<li>${swatch(color, symbol)}${name}</li>`)}</ul>`}
${new SafeHtml(svg)}</figure>`;

const MARKS: Record<LegendEntry['symbol'], SafeHtml> = {
  circle: html`<circle cx="14" cy="6" r="4" fill="currentColor"/>`,
  rect: html`<rect x="10" y="2" width="8" height="8" fill="currentColor"/>`,
  triangle: html`<path d="M14 1l5 9H9z" fill="currentColor"/>`,
  diamond: html`<path d="M14 0l5 6-5 6-5-6z" fill="currentColor"/>`,
  dashed: html``,
};

function swatch(color: number, symbol: LegendEntry['symbol']): SafeHtml {
  const dashes = symbol === 'dashed' ? html` stroke-dasharray="6 4"` : html``;
  return html`<svg class="line-${color}" width="28" height="12" viewBox="0 0 28 12"><path d="M0 6h28" stroke="currentColor" stroke-width="2.5"${dashes}/>${MARKS[symbol]}</svg>`;
}
