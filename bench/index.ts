/**
 * Compares the library with its rivals. All of them take turns in one run; each pair of turns gives one ratio.
 *
 * `npm run bench`: all cases. `-- --quick`: all cases with shorter turns, some of them sampled, under a minute and a half. `-- --only
 * NAME`: one case. `-- --save`: writes the results and a chart to `docs/`, and otherwise they are in `build/bench/`. A missed target is
 * reported, and is not a failure.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, type } from "node:os";
import { parseArgs } from "node:util";
import { type Line, met, type Pace, showTarget } from "./case.ts";
import { cases } from "./cases/index.ts";
import { chart } from "./chart.ts";
import { type Curve, grows, showCurve } from "./curve.ts";
import { digits, show } from "./statistics.ts";

// Many short turns: other load of the machine changes within seconds.
const FULL: Pace = { turns: 31, turnMs: 50, warmUpMs: 1500, sample: false };
const QUICK: Pace = { turns: 5, turnMs: 20, warmUpMs: 400, sample: true };

const { values } = parseArgs({
  options: { quick: { type: "boolean" }, only: { type: "string" }, save: { type: "boolean" } },
});
const { quick = false, only, save = false } = values;
const chosen = cases.filter(({ name }) => only === undefined || name === only);
if (chosen.length === 0) {
  console.error(`unknown case ${only}; the cases are ${cases.map(({ name }) => name).join(", ")}`);
  process.exit(1);
}
if (save && (quick || only !== undefined)) {
  console.error("--save needs all cases in full: leave out --quick and --only");
  process.exit(1);
}

/** The lines as a table; numbers are aligned to the right. */
function table(lines: readonly Line[]): string {
  const rows = lines.map((line) => {
    const verdict = met(line);
    const sign = line.kind === "difference" && line.result.median >= 0 ? "+" : "";
    const unit = line.kind === "ratio" ? "" : ` ${line.unit}`;
    return [
      line.what,
      `${digits(line.ours.median)} ${line.unit}`,
      line.theirs === null ? "" : `${digits(line.theirs.median)} ${line.unit}`,
      line.rival ?? "",
      `${sign}${show(line.result)}${unit}`,
      `${showTarget(line.target)}${line.target === null ? "" : unit}`,
      verdict === null ? "" : verdict ? "met" : "MISSED",
    ];
  });
  const heads = ["", "ours", "theirs", "rival", "result (quartiles)", "target", ""];
  const right = new Set([1, 2, 5]);
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]!.length)));
  return [heads, ...rows]
    .map((row) => row.map((cell, i) => (right.has(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))))
    .map((row) => `  ${row.join("  ").trimEnd()}`)
    .join("\n");
}

const pace = quick ? QUICK : FULL;
const skipped: { what: string; why: string }[] = [];
const results: { name: string; title: string; lines: Line[]; curves: Curve[] }[] = [];
for (const entry of chosen) {
  console.log(`${entry.name}: ${entry.title}`);
  const curves: Curve[] = [];
  const lines = await entry.run({
    pace,
    draw: (curve) => void curves.push(curve),
    skip(what, why) {
      console.log(`SKIPPED: ${entry.name}, ${what}: ${why}`);
      skipped.push({ what: `${entry.name}, ${what}`, why });
    },
  });
  if (lines.length > 0) console.log(table(lines));
  for (const curve of curves) console.log(showCurve(curve));
  console.log();
  results.push({ name: entry.name, title: entry.title, lines, curves });
}

const verdicts = results
  .flatMap(({ lines, curves }) => [...lines.map(met), ...curves.flatMap(({ series }) => series.map(grows))])
  .filter((verdict) => verdict !== null);
const cpu = `${cpus()[0]?.model.trim()}, ${cpus().length} cores`;
const machine = { node: process.version, system: `${type()} ${release()}`, cpu };
console.log(
  `${verdicts.filter(Boolean).length} of ${verdicts.length} targets met; Node ${machine.node}, ${machine.system}, ${cpu}`,
);
if (skipped.length > 0) console.log(`${skipped.length} measurements skipped, see above`);

const date = new Date().toISOString().slice(0, 10);
const report = `${JSON.stringify({ date, quick, ...machine, targetsMet: verdicts.filter(Boolean).length, targets: verdicts.length, skipped, cases: results }, null, 2)}\n`;
mkdirSync("build/bench", { recursive: true });
writeFileSync("build/bench/results.json", report);
const footer = `Node ${machine.node}, ${machine.system}, ${cpu}; ${date}. Medians of turns taken alternately: npm run bench`;
const drawing = chart(results, footer);
writeFileSync("build/bench/results.svg", drawing);
if (save) {
  writeFileSync("docs/benchmark.json", report);
  writeFileSync("docs/benchmark.svg", drawing);
}
