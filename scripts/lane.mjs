// What the lanes share: options, running a program and finding tools.

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { refuse } from "./tally.mjs";

export { readOptions, Tally } from "./tally.mjs";

/** The option of lanes that need more than Node and the packages of the checkout. Without it, what is missing is a failure. */
export const SKIP_MISSING = { "skip-missing": { type: "boolean", default: false } };

/** An option as a whole number of at least `least`. */
export function wholeNumber(name, text, least = 1) {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
  return refuse(`--${name} expected a whole number of at least ${least}, got ${text}`);
}

/** The names that contain one of the wanted parts, or all names when no part is given. The script ends when nothing matches. */
export function select(names, wanted, kind) {
  const selected = names.filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  return selected.length > 0 ? selected : refuse(`no ${kind} matches ${wanted.join(", ")}`);
}

/** Whether a program of this name can be started. */
export function hasTool(name) {
  return spawnSync(name, ["--version"]).error === undefined;
}

/** The process groups of running programs that have one of their own. */
const groups = new Set();

function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All its processes have ended.
  }
}

process.on("exit", () => groups.forEach(killGroup));

/**
 * Runs a program to its end.
 *
 * @param options those of `child_process.spawn`; `timeout`: milliseconds after which it is killed. With `detached`, the programs
 *   that it started are killed when it has ended
 * @returns `stdout`; `output`, stdout and stderr in the order of arrival; `code`; `signal`; `how` it ended; `milliseconds`
 */
export function run(command, args, { timeout, ...options } = {}) {
  const start = Date.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    if (options.detached && child.pid !== undefined) {
      groups.add(child.pid);
      child.on("exit", () => {
        killGroup(child.pid);
        groups.delete(child.pid);
      });
    }
    let stdout = "";
    let output = "";
    let timer;
    const end = (code, signal, how) => {
      clearTimeout(timer);
      resolve({ stdout, output, code, signal, how, milliseconds: Date.now() - start });
    };
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", (error) => end(null, null, error.message));
    child.on("close", (code, signal) =>
      end(code, signal, signal === null ? `exit code ${code}` : `killed by ${signal}`),
    );
    if (timeout === undefined) return;
    timer = setTimeout(() => {
      output += `\nkilled after ${timeout / 1000} s`;
      child.kill("SIGKILL");
      // Programs that it started may keep the pipes open. Nothing waits for them.
      child.stdout.destroy();
      child.stderr.destroy();
    }, timeout);
  });
}

/**
 * Runs a built test file in a process of its own. It fails when it has no test (skipped ones count), crashes, hangs, or leaves something in TMPDIR (uvu exits
 * with 0 when it has run no test).
 *
 * @param options those of {@link run}; `program`: another runtime that takes the command line of Node
 * @returns `good`; how many tests there are (`total`), have `passed` and were `skipped`; `output`, `detail`, `how` it ended and `milliseconds`
 */
export async function runTestFile(path, { env = process.env, program = process.execPath, ...options }) {
  const temporary = mkdtempSync(join(tmpdir(), "tests-"));
  // Some tests give up their privileges.
  chmodSync(temporary, 0o1777);
  const { output, code, how, milliseconds } = await run(program, ["--expose-gc", path], {
    ...options,
    env: { ...env, NO_COLOR: "1", TMPDIR: temporary },
  });
  const left = readdirSync(temporary);
  rmSync(temporary, { recursive: true, force: true });
  const counts = testCounts(output);
  const none = counts.total + counts.skipped === 0;
  const detail = `${output}\n${none ? "no test was run, " : ""}${left.length === 0 ? "" : `left in TMPDIR: ${left.join(", ")}; `}${how}`;
  return { good: code === 0 && !none && left.length === 0, ...counts, output, detail, how, milliseconds };
}

/** The test files of `npm test`, by name: all below test/ but those of interop/ and site/, which are lanes of their own. */
export function testFiles() {
  return readdirSync(join("build", "test"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.js") && !/^(interop|site)\//.test(name))
    .map((name) => name.replace(".test.js", ""))
    .sort();
}

/** Runs jobs, at most so many at a time: by default as many as there are processors. */
export async function inParallel(jobs, most = availableParallelism()) {
  const waiting = [...jobs];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await job();
  };
  await Promise.all(Array.from({ length: most }, work));
}

/** The summary that uvu prints: how many tests there are, and how many passed and were skipped. */
export function testCounts(output) {
  const count = (name) => Number(new RegExp(`^ {2}${name}: +(\\d+)`, "m").exec(output)?.[1] ?? 0);
  return { total: count("Total"), passed: count("Passed"), skipped: count("Skipped") };
}
