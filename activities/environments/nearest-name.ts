import { closest, distance } from 'fastest-levenshtein';

/** The name that was likely meant, or null: a slip of the keyboard (`gaol`), or one name within the other (`maxTurns`). */
export function nearestName(written: string, names: readonly string[]): string | null {
  if (names.length === 0) return null;
  const small = written.toLowerCase();
  const nearest = closest(
    small,
    names.map((name) => name.toLowerCase()),
  );
  const meant = names.find((name) => name.toLowerCase() === nearest)!;
  const shorter = Math.min(small.length, nearest.length);
  const slips = shorter <= 3 ? 1 : Math.max(2, Math.floor(shorter / 3));
  if (distance(small, nearest) <= slips) return meant;
  return names.find((name) => name.length >= 4 && small.includes(name.toLowerCase())) ?? null;
}
