/** Medians of ratios: the machines are noisy, so two programs take turns and each pair of turns gives one ratio. */

export interface Spread {
  readonly median: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
}

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

/** `1.23 (1.20 - 1.27)`. */
export function show({ median, low, high }: Spread): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} - ${high.toFixed(2)})`;
}
