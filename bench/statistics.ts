/** Medians and quartiles: machines are noisy, so programs take turns, and each pair of turns gives one ratio. */

/** A median and its quartiles. */
export interface Spread {
  readonly median: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
}

/** The interpolated median and quartiles of some values. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => {
    const position = q * (sorted.length - 1);
    const below = Math.floor(position);
    const above = sorted[Math.min(below + 1, sorted.length - 1)]!;
    return sorted[below]! + (position - below) * (above - sorted[below]!);
  };
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

/** A number as text, with about three digits. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** A median and its quartiles as text: `1.23 (1.20 - 1.27)`. */
export function show({ median, low, high }: Spread): string {
  return `${digits(median)} (${digits(low)} - ${digits(high)})`;
}
