import escapeHtml from 'escape-html';

/** HTML that was built by `html` and so is escaped already. */
export class SafeHtml {
  constructor(readonly text: string) {}
}

type Piece = string | number | SafeHtml | readonly SafeHtml[];

/** A template whose every interpolated value is escaped unless it is SafeHtml itself: forgetting is not possible. */
export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): SafeHtml {
  const text = strings.reduce((before, literal, i) => before + rendered(pieces[i - 1] ?? '') + literal);
  return new SafeHtml(text);
}

function rendered(piece: Piece): string {
  if (piece instanceof SafeHtml) return piece.text;
  if (typeof piece === 'number') return String(piece);
  if (typeof piece === 'string') return escapeHtml(piece);
  return piece.map(({ text }) => text).join('\n');
}
