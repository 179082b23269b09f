/** From the start of a process to its first message. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Case, Line } from "../case.ts";
import { made } from "../contestant.ts";
import { spread } from "../statistics.ts";

/** Milliseconds from the start of a program to its end. */
function run(...args: readonly string[]): number {
  const start = process.hrtime.bigint();
  const { status, stderr } = spawnSync(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ms = Number(process.hrtime.bigint() - start) / 1e6;
  if (status !== 0) throw new Error(`node ${args.join(" ")}: exit code ${status}\n${stderr}`);
  return ms;
}

export const start: Case = {
  name: "start",
  title: "a process that imports the package, sends and receives a descriptor, and ends",
  async run({ pace }) {
    const contestants = {
      ours: [join(made, "contestants", "start.js")],
      nothing: ["-e", "0"],
      empty: [join(made, "contestants", "empty.js")],
    };
    const results = { ours: [] as number[], nothing: [] as number[], empty: [] as number[] };
    const entries = Object.entries(contestants) as [keyof typeof results, string[]][];
    for (const [, args] of entries) run(...args);
    for (let turn = 0; turn < pace.turns; turn++) {
      for (const [name, args] of turn % 2 === 0 ? entries : [...entries].reverse()) results[name].push(run(...args));
    }
    const line = (rival: string, theirs: readonly number[], target: Line["target"]): Line => ({
      what: "import to first message",
      unit: "ms",
      ours: spread(results.ours),
      rival,
      theirs: spread(theirs),
      kind: "difference",
      result: spread(results.ours.map((ms, turn) => ms - theirs[turn]!)),
      target,
    });
    return [line("node -e 0", results.nothing, null), line("an empty module", results.empty, { atMost: 6 })];
  },
};
