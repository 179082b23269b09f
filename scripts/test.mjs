#!/usr/bin/env node
// Runs test files, each in a process of its own, as many at a time as there are processors, and adds up. Arguments select files by a
// part of their path below test/ (`socket/`, `waiting`). `--in FOLDER`: the files of a folder of test/, one after another; those of
// interop/ and site/ run in no other way.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { inParallel, readOptions, runTestFile, select, Tally, testFiles } from "./lane.mjs";

const TIMEOUT_MS = 300_000;
const options = readOptions({ in: { type: "string", default: "" } }, { allowPositionals: true });
const folder = join("build", "test", options.in);
const names =
  options.in === ""
    ? testFiles()
    : readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".test.js"))
        .map((name) => name.replace(".test.js", ""))
        .sort();

const tally = new Tally();
const jobs = select(names, options.positionals, "test file").map((file) => async () => {
  const { good, total, passed, skipped, output, detail, milliseconds } = await runTestFile(
    join(folder, `${file}.test.js`),
    {
      timeout: TIMEOUT_MS,
    },
  );
  tally.skipped += skipped;
  const what = `${file.padEnd(36)} ${passed}/${total}  ${milliseconds} ms`;
  // A failure that no failed test explains counts as one.
  tally.result(good, what, detail, { passed, failed: total - passed || (good ? 0 : 1) });
  // What was skipped, and why, and what was measured, is printed in any case.
  for (const [line] of output.matchAll(/^(SKIPPED|held): .*$/gm)) console.log(`      ${line}`);
});
await inParallel(jobs, options.in === "" ? undefined : 1);
tally.end();
