/** Curves of cost against size, as panels of an SVG with logarithmic axes. */

import { type Curve, grows, type Point, showShape, showSize, showTime } from "./curve.ts";

const PANEL = { width: 455, left: 70, right: 20, top: 44, plot: 130, row: 17 } as const;
/** Colours that differ in brightness, too: for those who see no difference between red and green. */
const LINES = ["line-0", "line-1", "line-2"] as const;

/** The styles of the panels; `dark`: on a dark background. */
export const CURVE_STYLE = `
  .curve { fill: none; stroke-width: 2 }
  .line-0 { stroke: #0550ae }
  .line-1 { stroke: #d4780a; stroke-dasharray: 6 3 }
  .line-2 { stroke: #8250df; stroke-dasharray: 2 3 }`;
export const DARK_CURVE_STYLE = `
    .line-0 { stroke: #79c0ff }
    .line-1 { stroke: #db8b2a }
    .line-2 { stroke: #d2a8ff }`;

/** From a value to a place between two others, on a logarithmic scale. */
function scale(from: number, to: number, low: number, high: number): (value: number) => number {
  const span = Math.log(to) - Math.log(from) || 1;
  return (value) => low + ((Math.log(value) - Math.log(from)) / span) * (high - low);
}

/** 0 has no logarithm: it stands to the left of 1. */
const shown = (size: number): number => Math.max(size, 0.5);

/** Text that is safe in SVG. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** One panel at a place. */
function panel({ title, sizes, costs, series }: Curve, x: number, y: number): string[] {
  const points = series.flatMap((one) => one.points);
  const costsOf = points.map(({ cost }) => cost.median);
  // At least a tenfold range, so that noise looks like noise.
  const low = Math.min(...costsOf) / 1.5;
  const high = Math.max(...costsOf, low * 10);
  const widths = points.map(({ size }) => shown(size));
  const [left, right] = [x + PANEL.left, x + PANEL.width - PANEL.right];
  const [top, bottom] = [y + PANEL.top, y + PANEL.top + PANEL.plot];
  const across = scale(Math.min(...widths), Math.max(...widths), left, right);
  const up = scale(low, high, bottom, top);
  const text = (at: number, height: number, className: string, content: string, anchor = "start") =>
    `<text x="${at.toFixed(1)}" y="${height.toFixed(1)}" class="${className}" text-anchor="${anchor}">${escaped(content)}</text>`;
  const parts = [
    text(x + 10, y + 14, "title", title),
    text(x + 10, y + 30, "quiet", `time of: ${costs}`),
    `<path d="M${left} ${top}V${bottom}H${right}" class="grid" fill="none"/>`,
  ];
  for (let tick = 10 ** Math.ceil(Math.log10(low)); tick <= high; tick *= 10) {
    const at = up(tick).toFixed(1);
    parts.push(`<line x1="${left}" x2="${right}" y1="${at}" y2="${at}" class="grid"/>`);
    parts.push(text(left - 6, up(tick) + 4, "quiet", showTime(tick).replace(/\.0+ /, " "), "end"));
  }
  parts.push(...sizeLabels(points, sizes, across, (at, content) => text(at, bottom + 15, "quiet", content, "middle")));
  series.forEach((one, i) => {
    const line = LINES[i % LINES.length]!;
    const places = one.points.map(({ size, cost }) => [across(shown(size)), up(cost.median)] as const);
    const path = places.map(([px, py], j) => `${j === 0 ? "M" : "L"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
    const at = bottom + 20 + (i + 1) * PANEL.row;
    const verdict = grows(one);
    const expected = verdict === false ? `, expected ${one.expected}` : "";
    parts.push(
      `<path d="${path}" class="curve ${line}"/>`,
      ...places.map(([px, py]) => `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="2" class="${line}"/>`),
      `<line x1="${x + 10}" x2="${x + 40}" y1="${at - 4}" y2="${at - 4}" class="curve ${line}"/>`,
      verdict === null
        ? ""
        : `<rect x="${x + 46}" y="${at - 9}" width="9" height="9" class="${verdict ? "met" : "missed"}"/>`,
      text(x + 60, at, "", `${one.name}: ${showShape(one.points)}${expected}`),
    );
  });
  return parts;
}

/** Labels of the sizes, without those that have no room. */
function sizeLabels(
  points: readonly Point[],
  sizes: Curve["sizes"],
  across: (size: number) => number,
  label: (at: number, content: string) => string,
): string[] {
  const all = [...new Set(points.map(({ size }) => size))].sort((a, b) => b - a);
  const labels: string[] = [];
  let free = Infinity;
  for (const size of all) {
    const content = showSize(size, sizes);
    const half = content.length * 3.5;
    const at = across(shown(size));
    if (at + half > free) continue;
    labels.push(label(at, content));
    free = at - half - 6;
  }
  return labels;
}

/** All panels below a height, two in a row, and the height where they end. */
export function curvePanels(curves: readonly Curve[], from: number): { parts: string[]; bottom: number } {
  const parts: string[] = [];
  let y = from;
  for (let i = 0; i < curves.length; i += 2) {
    const row = curves.slice(i, i + 2);
    row.forEach((curve, j) => void parts.push(...panel(curve, j * PANEL.width, y)));
    const rows = Math.max(...row.map(({ series }) => series.length));
    y += PANEL.top + PANEL.plot + 24 + (rows + 1) * PANEL.row;
  }
  return { parts: parts.filter((part) => part !== ""), bottom: y };
}
