#!/usr/bin/env node
// Long runs on the real kernel: the programs of test/endurance, one after the other. Arguments select programs by a part of
// their name. `--quick`: a tenth of the work; `--seed N`: another order of events in the programs that have one. Each program
// prints what it did, and fails by its exit code.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readOptions, run, select, Tally, wholeNumber } from "./lane.mjs";

const TIMEOUT_MS = 300_000;
const folder = join("build", "test", "endurance");
const { quick, seed, positionals } = readOptions(
  { quick: { type: "boolean", default: false }, seed: { type: "string" } },
  { allowPositionals: true },
);
const programs = readdirSync(folder)
  .filter((name) => name.endsWith(".js") && name !== "measure.js")
  .sort();
// V8 lets its young generation grow for minutes: that is not what is measured.
const node = ["--expose-gc", "--max-semi-space-size=2"];
const given = [
  ...(quick ? ["--quick"] : []),
  ...(seed === undefined ? [] : ["--seed", String(wholeNumber("seed", seed))]),
];
// glibc raises the threshold above which it gives memory back while a program runs (mallopt(3)). With a fixed threshold, resident
// memory is memory in use. Without it the second half of 200,000 hostile sessions grew the process by 1 to 4 %, with it by 0 %
// (2026-11-28).
const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: "65536", MALLOC_TRIM_THRESHOLD_: "0" };

const tally = new Tally();
for (const program of select(programs, positionals, "program")) {
  const { code, output, how, milliseconds } = await run(process.execPath, [...node, join(folder, program), ...given], {
    timeout: TIMEOUT_MS,
    env,
  });
  const what = `${program.replace(".js", "").padEnd(12)} ${(milliseconds / 1000).toFixed(0)} s  ${output.trim()}`;
  tally.result(code === 0, what, how);
}
tally.end();
