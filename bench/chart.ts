/** The ratios that have a target, and the curves of cost against size, as an SVG for light and dark backgrounds. */

import { type Line, met, showTarget } from "./case.ts";
import type { Curve } from "./curve.ts";
import { CURVE_STYLE, curvePanels, DARK_CURVE_STYLE, escaped } from "./curve-chart.ts";
import { digits } from "./statistics.ts";

/** The lines of one case. */
export interface Group {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly curves: readonly Curve[];
}

const WIDTH = 930;
/** Where bars begin, the length of a bar of ratio 1, and the largest ratio that fits. */
const LEFT = 470;
const UNIT = 140;
const MOST = 2.5;
const ROW = 22;
const BAR = 12;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .quiet { fill: #57606a }
  .met { fill: #2da44e }
  .missed { fill: #d4780a }
  .grid { stroke: #8c959f; stroke-opacity: .5 }
  .target { stroke: #24292f; stroke-width: 2 }${CURVE_STYLE}
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .met { fill: #3fb950 }
    .missed { fill: #db8b2a }
    .target { stroke: #e6edf3 }${DARK_CURVE_STYLE}
  }`;

/** The chart of all lines that have a ratio, a rival and a target. */
export function chart(groups: readonly Group[], footer: string): string {
  const parts: string[] = [];
  let y = 46;
  const text = (x: number, className: string, content: string, anchor = "start") =>
    parts.push(
      `<text x="${x}" y="${y + BAR - 2}" class="${className}" text-anchor="${anchor}">${escaped(content)}</text>`,
    );
  for (const { title, lines } of groups) {
    const shown = lines.filter(({ kind, target, rival }) => kind === "ratio" && target !== null && rival !== null);
    if (shown.length === 0) continue;
    const better = "atMost" in shown[0]!.target! ? "less is better" : "more is better";
    text(10, "title", `${title}: ${better}`);
    y += ROW;
    for (const line of shown) {
      const { result, target } = line;
      const length = Math.min(result.median, MOST) * UNIT;
      const limit = "atMost" in target! ? target.atMost : target!.atLeast;
      const at = LEFT + Math.min(limit, MOST) * UNIT;
      text(LEFT - 10, "", `${line.what} / ${line.rival}`, "end");
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" class="${met(line) ? "met" : "missed"}"/>`,
        `<line x1="${at}" x2="${at}" y1="${y - 3}" y2="${y + BAR + 3}" class="target"/>`,
      );
      text(LEFT + MOST * UNIT + 8, "quiet", `${digits(result.median)} (${showTarget(target)})`);
      y += ROW;
    }
    y += 8;
  }
  const grid = [0, 0.5, 1, 1.5, 2, 2.5].map((ratio) => {
    const x = LEFT + ratio * UNIT;
    return `<line x1="${x}" x2="${x}" y1="40" y2="${y}" class="grid"/><text x="${x}" y="34" class="quiet" text-anchor="middle">${ratio}</text>`;
  });
  const note = y + 16;
  const curves = curvePanels(
    groups.flatMap(({ curves }) => curves),
    y + 78,
  );
  const height = curves.bottom + 30;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>Ratios of unix-ancillary to its rivals, with the targets, and costs against size</title>
<style>${STYLE}
</style>
<text x="10" y="18" class="title">unix-ancillary / rival: ratios of time, of throughput where it says so</text>
${grid.join("\n")}
${parts.join("\n")}
<text x="10" y="${note}" class="quiet">Green: target met. Orange: missed. The mark is the target; a bar at the right edge is longer.</text>
<text x="10" y="${note + 42}" class="title">Cost against size: both axes are logarithmic; the slope is that of the fitted line, 0 for flat, 1 for linear</text>
${curves.parts.join("\n")}
<text x="10" y="${curves.bottom + 14}" class="quiet">${escaped(footer)}</text>
</svg>
`;
}
