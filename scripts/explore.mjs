#!/usr/bin/env node
// Every fault that the virtual kernel knows, at every system call of the scenarios: see test/explore/main.ts, which this starts,
// several at once. `--schedules N`: how many schedules at least, a million by default. `--system NAME`, `--scenario PART-OF-NAME`:
// only these. `--plan JSON`, `--seed N` and `--chance N`, as a failure prints them: this one schedule again. `--self-test`: bugs
// are planted in a copy of the library, and each must be found.

import { cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { readOptions, run, Tally, wholeNumber } from "./lane.mjs";
import { MUTANTS } from "./mutants/index.mjs";
import { plantInLibrary } from "./planted-bugs.mjs";

const options = readOptions({
  schedules: { type: "string", default: "1000000" },
  system: { type: "string" },
  scenario: { type: "string" },
  plan: { type: "string" },
  seed: { type: "string" },
  chance: { type: "string" },
  "self-test": { type: "boolean", default: false },
});
const schedules = wholeNumber("schedules", options.schedules);

/** Options as they were given, for an explorer. */
const given = (...names) => names.flatMap((name) => (options[name] === undefined ? [] : [`--${name}`, options[name]]));

function explorer(folder, args) {
  return run(process.execPath, [join(folder, "build", "test", "explore", "main.js"), ...args]);
}

/** What all explorers together found: counts by system, or the first failure. */
async function explore(folder, count, ...args) {
  const parts = Math.max(2, Math.min(8, availableParallelism()));
  const runs = await Promise.all(
    Array.from({ length: parts }, (_, part) =>
      explorer(folder, ["--part", `${part}/${parts}`, "--schedules", String(count), ...args]),
    ),
  );
  const counts = {};
  for (const { code, output } of runs) {
    const last = output.trim().split("\n").at(-1);
    if (code !== 0) return { failure: last.startsWith("{") ? JSON.parse(last) : { failed: output } };
    for (const [system, number] of Object.entries(JSON.parse(last).counts))
      counts[system] = (counts[system] ?? 0) + number;
  }
  return { counts };
}

/** Planted faults, and what the explorer must say about each. An exploration that misses one is worth nothing. */
const FAULTS = MUTANTS.filter(({ explorerSays }) => explorerSays !== undefined);

async function selfTest(tally) {
  for (const [i, fault] of FAULTS.entries()) {
    const { name: what, explorerSays } = fault;
    const folder = resolve("build", "explore", String(i));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, "build"), { recursive: true });
    for (const name of ["dist", "package.json", "build/lib", "build/src", "build/test"])
      cpSync(name, join(folder, name), { recursive: true });
    for (const name of ["node_modules", "prebuilds"]) symlinkSync(resolve(name), join(folder, name));
    try {
      await plantInLibrary(folder, fault);
    } catch (error) {
      tally.result(false, `not planted: ${what}`, error.message);
      continue;
    }
    const { failure } = await explore(folder, 60_000);
    rmSync(folder, { recursive: true, force: true });
    if (failure === undefined) {
      tally.result(false, `not found: ${what}`);
      continue;
    }
    // A crash of the explorer is no find.
    const good = failure.scenario !== undefined && explorerSays.test(failure.failed);
    const [reason] = /^ {2}.*|^Error: (?!the virtual kernel).*/m.exec(failure.failed) ?? [failure.failed];
    const where = `${failure.scenario}, ${failure.system}: ${reason.trim().slice(0, 100)}`;
    tally.result(good, `${good ? "found" : "found by something else"}: ${what} (${where})`);
  }
}

const tally = new Tally();
if (options["self-test"]) {
  await selfTest(tally);
} else if (options.plan !== undefined) {
  const { code, output, how } = await explorer(".", given("system", "scenario", "plan", "seed", "chance"));
  tally.result(code === 0, output.trim(), how);
} else {
  const start = Date.now();
  const { counts, failure } = await explore(".", schedules, ...given("system", "scenario"));
  if (failure === undefined) {
    const text = (number) => number.toLocaleString("en");
    for (const [system, count] of Object.entries(counts))
      tally.result(true, `${system.padEnd(24)} ${text(count)} fault schedules`);
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    console.log(`${text(total)} fault schedules in ${Math.round((Date.now() - start) / 1000)} s, nothing found`);
  } else {
    const { failed, scenario, system, again } = failure;
    const how =
      again === undefined ? "" : `\nscenario: ${scenario}\nsystem: ${system}\nagain: npm run explore -- ${again}`;
    tally.result(false, `${failed}${how}`);
  }
}
tally.end();
