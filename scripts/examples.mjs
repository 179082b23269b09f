#!/usr/bin/env node
// Runs the examples, each of which exits with 0 only if what it shows held. Arguments select them by a part of their name.
//
// One that cannot be tried here says SKIPPED and exits with 77, as in automake; in CI (the variable CI is set) it fails.

import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TIMEOUT_MS = 120_000;
const SKIPPED = 77;
const wanted = process.argv.slice(2);
const names = readdirSync("examples")
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.slice(0, -".ts".length))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();

if (names.length === 0) {
  console.error(`no example matches ${wanted.join(", ")}`);
  process.exit(1);
}

/** Where the examples run: root's start processes as nobody, who may not be able to read this folder. */
function place() {
  if (process.getuid() !== 0) return ".";
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-examples-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const path of ["package.json", "README.md", "dist", "prebuilds", "build/examples"]) {
    cpSync(path, join(folder, path), { recursive: true });
  }
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    chmodSync(join(entry.parentPath ?? entry.path, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
  return folder;
}

function run(file) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (bytes) => (output += bytes));
    child.stderr.on("data", (bytes) => (output += bytes));
    const timer = setTimeout(() => {
      output += `\nkilled after ${TIMEOUT_MS / 1000} s`;
      child.kill("SIGKILL");
      // Its own processes end when they miss it; nothing waits for that.
      child.stdout.destroy();
      child.stderr.destroy();
    }, TIMEOUT_MS);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ output, code, signal });
    });
  });
}

const folder = place();
let passed = 0;
let failed = 0;
let skipped = 0;
for (const name of names) {
  const start = Date.now();
  const { output, code, signal } = await run(join(folder, "build", "examples", `${name}.js`));
  const skip = code === SKIPPED && process.env.CI === undefined;
  const bad = code !== 0 && !skip;
  console.log(`${bad ? "FAIL" : skip ? "skip" : "ok  "}  ${name.padEnd(28)} ${Date.now() - start} ms`);
  // What was left out, and why, is said whatever else happened; so is what held.
  for (const [line] of output.matchAll(/^(SKIPPED|NOTE|held): .*$/gm)) console.log(`      ${line}`);
  if (bad) console.log(output, signal ?? `exit code ${code}`);
  if (bad) failed++;
  else if (skip) skipped++;
  else passed++;
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 ? 0 : 1);
