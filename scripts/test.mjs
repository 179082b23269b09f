#!/usr/bin/env node
// Runs test files, each in a process of its own, and adds up. Arguments select files by a part of their path below test/
// (`socket/`, `waiting`). `--in FOLDER`: the files of a folder of test/; those of interop/ run in no other way.
//
// uvu exits with 0 when it has run no test. Here a file without a test fails, and so does one that crashes, hangs or leaves
// something in TMPDIR.

import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOptions, run, select, Tally, testCounts } from "./lane.mjs";

const TIMEOUT_MS = 120_000;
const options = readOptions({ in: { type: "string", default: "" } }, { allowPositionals: true });
const folder = join("build", "test", options.in);
const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.js") && !name.startsWith("interop/"))
  .sort();

const tally = new Tally();
for (const file of select(names, options.positionals, "test file")) {
  const temporary = mkdtempSync(join(tmpdir(), "tests-"));
  // Some tests give up their privileges.
  chmodSync(temporary, 0o1777);
  const { output, code, how, milliseconds } = await run(process.execPath, ["--expose-gc", join(folder, file)], {
    timeout: TIMEOUT_MS,
    env: { ...process.env, NO_COLOR: "1", TMPDIR: temporary },
  });
  const left = readdirSync(temporary);
  rmSync(temporary, { recursive: true, force: true });
  const { total, passed, skipped } = testCounts(output);
  const good = code === 0 && total > 0 && left.length === 0;
  tally.skipped += skipped;
  const what = `${file.replace(".test.js", "").padEnd(36)} ${passed}/${total}  ${milliseconds} ms`;
  const detail = `${output}\n${total === 0 ? "no test was run, " : ""}${left.length === 0 ? "" : `left in TMPDIR: ${left.join(", ")}; `}${how}`;
  // A failure that no failed test explains counts as one.
  tally.result(good, what, detail, { passed, failed: total - passed || (good ? 0 : 1) });
  // What was skipped, and why, and what was measured, is printed in any case.
  for (const [line] of output.matchAll(/^(SKIPPED|held): .*$/gm)) console.log(`      ${line}`);
}
tally.end();
