/** Cost against size: measured points, and whether the cost grows, decided by the slope of a fitted line. */

import { digits, type Spread } from "./statistics.ts";

/** The cost at one size. */
export interface Point {
  readonly size: number;
  readonly cost: Spread;
}

/** The points of one program, in the order of their sizes. */
export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** What its cost should be; null for a rival. */
  readonly expected: "flat" | "linear" | null;
}

/** A drawing of cost against size. */
export interface Curve {
  readonly title: string;
  /** What the sizes count: `"bytes"` are shown as KiB and MiB. */
  readonly sizes: "bytes" | "descriptors" | "connections" | "sockets";
  /** What one cost is of. */
  readonly costs: string;
  readonly series: readonly Series[];
}

/** How a cost grows. `"steeper"`: faster than the size. */
export type Shape = "flat" | "linear" | "steeper";

/**
 * Slopes of the fitted line below which a cost is flat, and above which it is steeper than linear. At the first a cost doubles while the size
 * grows 32 times, as it does when more memory is touched than a cache holds; a cost in proportion to the size has 1.
 */
const FLAT = 0.2;
const LINEAR = 1.2;

/**
 * The slope of the line through the logarithms of sizes and costs, fitted by least squares: the exponent of the size in the cost. Only
 * the larger half of the sizes, on that scale, counts: below, a constant cost hides the rest. Sizes of 0 have no logarithm.
 */
export function slope(points: readonly Point[]): number {
  const sized = points.filter(({ size }) => size > 0);
  if (sized.length < 2) throw new RangeError(`expected at least 2 points with a size, got ${sized.length}`);
  const logs = sized.map(({ size, cost }) => [Math.log(size), Math.log(cost.median)] as const);
  const middle = (logs[0]![0] + logs.at(-1)![0]) / 2;
  // With two points above the middle, or fewer, one outlier would decide.
  const upper = logs.slice(
    Math.max(
      0,
      Math.min(
        logs.findIndex(([x]) => x >= middle),
        logs.length - 3,
      ),
    ),
  );
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(upper.map(([x]) => x));
  const y = mean(upper.map(([, y]) => y));
  const up = upper.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return up / upper.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}

/** How the cost of these points grows. */
export function shape(points: readonly Point[]): Shape {
  const exponent = slope(points);
  return exponent < FLAT ? "flat" : exponent <= LINEAR ? "linear" : "steeper";
}

/** Whether a series grows no faster than expected; null if nothing is expected. */
export function grows({ points, expected }: Series): boolean | null {
  if (expected === null) return null;
  const found = shape(points);
  return found === "flat" || found === expected;
}

/** A size as text. */
export function showSize(size: number, sizes: Curve["sizes"]): string {
  if (sizes !== "bytes" || size < 1024) return size.toLocaleString("en");
  return size < 2 ** 20 ? `${size / 1024} KiB` : `${size / 2 ** 20} MiB`;
}

/** A duration as text. */
export function showTime(ns: number): string {
  return ns < 1e3 ? `${digits(ns)} ns` : ns < 1e6 ? `${digits(ns / 1e3)} us` : `${digits(ns / 1e6)} ms`;
}

/** The verdict on a series as text: `flat (slope 0.02)`. */
export function showShape(points: readonly Point[]): string {
  const found = shape(points);
  return `${found === "steeper" ? "steeper than linear" : found} (slope ${slope(points).toFixed(2)})`;
}

/** A curve as lines of text. */
export function showCurve({ title, sizes, costs, series }: Curve): string {
  const rows = series.map((one) => {
    const points = one.points.map(({ size, cost }) => `${showSize(size, sizes)}: ${showTime(cost.median)}`);
    const verdict = grows(one);
    const word = verdict === null ? "" : verdict ? ", met" : `, expected ${one.expected}: MISSED`;
    return `    ${one.name}: ${showShape(one.points)}${word}\n      ${points.join(", ")}`;
  });
  return [`  ${title}, ${costs}`, ...rows].join("\n");
}
