#!/usr/bin/env node
// Runs the examples. Each exits with 0 only if what it shows held. Arguments select examples by a part of their name.
//
// An example that cannot run here prints SKIPPED and exits with 77, as in automake. It fails, or with `--skip-missing` is
// skipped.

import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOptions, run, SKIP_MISSING, select, Tally } from "./lane.mjs";

const TIMEOUT_MS = 120_000;
const SKIPPED = 77;
const options = readOptions(SKIP_MISSING, { allowPositionals: true });
const names = readdirSync("examples")
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.slice(0, -".ts".length))
  .sort();

/** Where the examples run. Those of root start processes as the user nobody, who may not be able to read this folder. */
function prepareFolder() {
  if (process.getuid() !== 0) return ".";
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-examples-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const path of ["package.json", "README.md", "dist", "prebuilds", "build/examples", "examples"]) {
    cpSync(path, join(folder, path), { recursive: true });
  }
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    chmodSync(join(entry.parentPath ?? entry.path, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
  return folder;
}

const selected = select(names, options.positionals, "example");
const folder = prepareFolder();
const tally = new Tally(options);
for (const name of selected) {
  const file = join(folder, "build", "examples", `${name}.js`);
  const { output, code, how, milliseconds } = await run(process.execPath, [file], { timeout: TIMEOUT_MS });
  const what = `${name.padEnd(28)} ${milliseconds} ms`;
  if (code === SKIPPED) tally.missing(name, "it cannot run here");
  else tally.result(code === 0, what, `${output}\n${how}`);
  // What was skipped, and why, and what was measured, is printed in any case.
  for (const [line] of output.matchAll(/^(SKIPPED|NOTE|held): .*$/gm)) console.log(`      ${line}`);
}
tally.end();
