/** With `digits` decimals; a real minus sign, and none before zero. */
export const fixed = (x: number, digits = 3): string => {
  const text = x.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace('-', '−');
};

/** With its sign, a real minus sign for negative values. */
export const signed = (x: number, digits = 3): string => {
  const text = fixed(Math.abs(x), digits);
  return Number(text) === 0 ? text : `${x > 0 ? '+' : '−'}${text}`;
};

export const orDash = (x: number | null | undefined, digits = 3): string =>
  x === null || x === undefined ? '–' : fixed(x, digits);

export const percent = (x: number): string => `${fixed(100 * x, 1)} %`;
