#!/usr/bin/env node
// Runs test files, each in a process of its own, and adds up. Arguments select files by a part of their path below test/
// (`socket/`, `waiting`); `--in FOLDER`: those of a folder of test/, interop for one, which do not run otherwise.
//
// uvu answers 0 for a run of nothing: a file that closes on no test fails here, and so does one that crashes, hangs or is
// not found.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const TIMEOUT_MS = 120_000;
const { values, positionals: wanted } = parseArgs({
  options: { in: { type: "string", default: "" } },
  allowPositionals: true,
});
const folder = join("build", "test", values.in);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.js") && !name.startsWith("interop/"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();

if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(", ") || folder}`);
  process.exit(1);
}

function run(file) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--expose-gc", join(folder, file)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    let output = "";
    child.stdout.on("data", (bytes) => (output += bytes));
    child.stderr.on("data", (bytes) => (output += bytes));
    const timer = setTimeout(() => {
      output += `\nkilled after ${TIMEOUT_MS / 1000} s`;
      child.kill("SIGKILL");
    }, TIMEOUT_MS);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ output, code, signal });
    });
  });
}

let passed = 0;
let failed = 0;
let skipped = 0;
for (const file of files) {
  const start = Date.now();
  const { output, code, signal } = await run(file);
  const count = (name) => Number(new RegExp(`^ {2}${name}: +(\\d+)`, "m").exec(output)?.[1] ?? 0);
  const total = count("Total");
  const good = count("Passed");
  passed += good;
  skipped += count("Skipped");
  const bad = total - good;
  // What no test's failure explains counts as one.
  const broken = code !== 0 || signal !== null || total === 0;
  failed += bad > 0 ? bad : broken ? 1 : 0;
  console.log(
    `${broken ? "FAIL" : "ok  "}  ${file.replace(".test.js", "").padEnd(36)} ${good}/${total}  ${Date.now() - start} ms`,
  );
  // What was skipped, and why, is said whatever else happened; so is what held.
  for (const [line] of output.matchAll(/^(SKIPPED|held): .*$/gm)) console.log(`      ${line}`);
  if (broken) console.log(output, total === 0 ? "\nno test was run" : "", signal ?? `exit code ${code}`);
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 ? 0 : 1);
