// What the lanes share: options, running a program, finding tools, and a tally that ends with "N passed, N failed".

import { spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";

/** Whether a missing tool is a failure. In CI (the variable CI is set) nothing is skipped. */
const strict = process.env.CI !== undefined;

/** Ends the script because of an invalid command line. */
function refuse(message) {
  console.error(message);
  process.exit(2);
}

/**
 * Reads the command line as `util.parseArgs` does. An unknown option ends the script with exit code 2, as does any other argument
 * where none are taken.
 *
 * @param known the options; `allowPositionals`: whether other arguments are taken
 * @returns the options by name, and `positionals`
 */
export function readOptions(known, { allowPositionals = false } = {}) {
  try {
    const { values, positionals } = parseArgs({ options: known, allowPositionals });
    return { ...values, positionals };
  } catch (error) {
    return refuse(error.message);
  }
}

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

/**
 * Runs a program to its end.
 *
 * @param options those of `child_process.spawn`; `timeout`: milliseconds after which it is killed
 * @returns `stdout`; `output`, stdout and stderr in the order of arrival; `code`; `signal`; `how` it ended; `milliseconds`
 */
export function run(command, args, { timeout, ...options } = {}) {
  const start = Date.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
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

/** Runs jobs, as many at a time as there are processors. */
export async function inParallel(jobs) {
  const waiting = [...jobs];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await job();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

/** The summary that uvu prints: how many tests there are, and how many passed and were skipped. */
export function testCounts(output) {
  const count = (name) => Number(new RegExp(`^ {2}${name}: +(\\d+)`, "m").exec(output)?.[1] ?? 0);
  return { total: count("Total"), passed: count("Passed"), skipped: count("Skipped") };
}

/** Counts and prints results. */
export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;

  /** Prints a result, and the detail of a failure. `passed` and `failed`: how much it adds to each count, 1 by default. */
  result(good, what, detail = "", { passed = good ? 1 : 0, failed = good ? 0 : 1 } = {}) {
    console.log(`${good ? "ok  " : "FAIL"}  ${what}`);
    if (!good && detail !== "") console.log(detail);
    this.passed += passed;
    this.failed += failed;
  }

  /** Records what cannot be tried here, and why. In CI this is a failure. */
  missing(what, why) {
    console.log(`${strict ? "FAIL" : "SKIPPED"}  ${what}: ${why}`);
    if (strict) this.failed++;
    else this.skipped++;
  }

  /** Prints the last line and ends the script, with 1 when something failed or nothing was tried. */
  end() {
    if (this.passed + this.failed + this.skipped === 0) this.result(false, "nothing was tried");
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : "";
    console.log(`${this.passed} passed, ${this.failed} failed${skipped}`);
    process.exit(this.failed === 0 ? 0 : 1);
  }
}
