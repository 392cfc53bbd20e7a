import { isNumber, NotReproduced, TemplateFault, typeName, unboxed, type Value } from './values.js';

/** A float as Python's repr writes it: the shortest digits that read back as it, with an exponent below 1e-4 and from 1e16 on. */
export function reprOfFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [mantissa = '', exponentText = ''] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(exponentText);
  const sign = value < 0 ? '-' : '';
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** A finite float with so many decimals, rounded half to even on its exact value as Python does. */
export function fixedDecimals(value: number, decimals: number): string {
  const { numerator, denominator } = fractionOf(Math.abs(value));
  const scaled = numerator * 10n ** BigInt(decimals);
  let quotient = scaled / denominator;
  const twice = (scaled % denominator) * 2n;
  if (twice > denominator || (twice === denominator && quotient % 2n === 1n)) quotient += 1n;
  const digits = quotient.toString().padStart(decimals + 1, '0');
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  return decimals === 0 ? sign + digits : `${sign}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** The exact value of a finite, non-negative double. */
function fractionOf(value: number): { numerator: bigint; denominator: bigint } {
  let [scaled, twos] = [value, 0];
  while (!Number.isInteger(scaled)) [scaled, twos] = [scaled * 2, twos + 1];
  return { numerator: BigInt(scaled), denominator: 2n ** BigInt(twos) };
}

/** Python's round(): of an int the int, of a float the float with so many decimals. */
export function rounded(value: bigint | number, decimals: number): bigint | number {
  if (typeof value === 'bigint') {
    if (decimals >= 0) return value;
    throw new NotReproduced('round of an int to tens');
  }
  if (!Number.isFinite(value)) return value;
  if (decimals < 0) throw new NotReproduced('round of a float to tens');
  return Number(fixedDecimals(value, decimals));
}

const wrongTypes = (operator: string, a: Value, b: Value): TemplateFault =>
  new TemplateFault(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);

/** Python's arithmetic of two numbers. @throws {TemplateFault} for other values, and on division by zero */
export function arithmetic(operator: string, left: Value, right: Value): bigint | number {
  if (!isNumber(left) || !isNumber(right)) throw wrongTypes(operator, left, right);
  const [a, b] = [unboxed(left), unboxed(right)];
  if (typeof a === 'bigint' && typeof b === 'bigint') return ofIntegers(operator, a, b);
  const [x, y] = [Number(a), Number(b)];
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '**':
      throw new NotReproduced('a power of floats');
  }
  if (y === 0) throw new TemplateFault(operator === '/' ? 'float division by zero' : 'float divmod()');
  if (operator === '/') return x / y;
  const remainder = x % y;
  // C's fmod has the dividend's sign, Python's modulo the divisor's.
  const modulo = remainder === 0 ? (y < 0 ? -0 : 0) : remainder < 0 !== y < 0 ? remainder + y : remainder;
  if (operator === '%') return modulo;
  const quotient = (x - (remainder === 0 ? remainder : modulo)) / y;
  return quotient === 0 ? (x / y < 0 ? -0 : 0) : nearestWhole(quotient);
}

/** CPython rounds the quotient to the nearest whole number, since x - modulo is a multiple of y up to rounding. */
function nearestWhole(quotient: number): number {
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function ofIntegers(operator: string, a: bigint, b: bigint): bigint | number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '**':
      if (b < 0n) throw new NotReproduced('a negative power');
      if (b > 10_000n) throw new TemplateFault('a power too large');
      return a ** b;
  }
  if (b === 0n) throw new TemplateFault(operator === '/' ? 'division by zero' : 'integer modulo by zero');
  if (operator === '/') {
    const safe = BigInt(Number.MAX_SAFE_INTEGER);
    if (a > safe || b > safe || a < -safe || b < -safe) throw new NotReproduced('a division of integers past 2^53');
    return Number(a) / Number(b);
  }
  const remainder = a % b;
  const modulo = remainder !== 0n && remainder < 0n !== b < 0n ? remainder + b : remainder;
  return operator === '%' ? modulo : (a - modulo) / b;
}
