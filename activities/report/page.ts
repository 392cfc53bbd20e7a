import { html, SafeHtml } from './html.js';
import { stylesheet } from './stylesheet.js';

/** One HTML page: no script, nothing loaded, readable without a network. */
export function renderPage({
  title,
  header,
  sections,
}: {
  readonly title: string;
  readonly header: SafeHtml;
  readonly sections: readonly SafeHtml[];
}): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new SafeHtml(stylesheet)}</style>
</head>
<body>
<main>
<header>
${header}
</header>
${sections}
</main>
</body>
</html>
`.text;
}

export const section = (id: string, heading: string, body: SafeHtml): SafeHtml =>
  html`<section aria-labelledby="${id}"><h2 id="${id}">${heading}</h2>
${body}</section>`;

/** A table that scrolls sideways in its own box; the first column heads its row. */
export function table(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly (string | SafeHtml)[])[],
): SafeHtml {
  return html`<p class="caption" aria-hidden="true">${caption}</p>
<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table aria-label="${caption}">
<thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>
${rows.map(([head, ...cells]) => html`<tr><th scope="row">${head ?? ''}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}
</tbody></table></div>`;
}
