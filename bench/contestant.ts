/**
 * Programs that measure themselves on request, so that several can take turns. They read a line (a number of rounds, or a
 * question) and answer with a line (nanoseconds per round, or the answer). The library is measured in such a program, too: each
 * program is a process of its own.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The folder for everything that the benchmarks build. */
export const made: string = join(root, "build", "bench");

/** A running program. */
export class Contestant {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  /** Whether it needs a warm-up. */
  readonly compilesAsItRuns: boolean;

  constructor(command: string, args: readonly string[] = []) {
    this.compilesAsItRuns = command === process.execPath || args.includes(process.execPath);
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    // If the program ends early, its missing answer is reported instead.
    this.#child.stdin!.on("error", () => {});
    this.#reader = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /**
   * A program of `bench/contestants`, and its peer, on one processor.
   *
   * This costs nothing, as the two processes wait for each other in turn. On two processors the scheduler decides whether each
   * message has to wake a sleeping processor, which takes three times as long as everything else (measured in a virtual
   * machine: 50 instead of 13 us with net.Socket).
   */
  static onOneProcessor(name: string, ...args: readonly (string | number)[]): Contestant {
    return Contestant.#pinned(process.execPath, ["--expose-gc", contestantFile(name), ...args.map(String)]);
  }

  /** A C program of `bench/c`, and its peer, on one processor. */
  static cOnOneProcessor(name: string, ...args: readonly (string | number)[]): Contestant {
    return Contestant.#pinned(compile(name), args.map(String));
  }

  static #pinned(command: string, args: readonly string[]): Contestant {
    const cpu = processor();
    return cpu instanceof Error
      ? new Contestant(command, args)
      : new Contestant("taskset", ["-c", cpu, command, ...args]);
  }

  /** A program of `bench/contestants`. */
  static node(name: string, ...args: readonly (string | number)[]): Contestant {
    return new Contestant(process.execPath, ["--expose-gc", contestantFile(name), ...args.map(String)]);
  }

  /** A C program of `bench/c`. */
  static c(name: string, ...args: readonly (string | number)[]): Contestant {
    return new Contestant(compile(name), args.map(String));
  }

  /** Runs a number of rounds; nanoseconds per round. */
  measure(rounds: number): Promise<number> {
    return this.ask(String(rounds));
  }

  /** Writes a line, and returns the answer. */
  async ask(line: string): Promise<number> {
    this.#child.stdin!.write(`${line}\n`);
    const { value, done } = await this.#lines.next();
    if (done || Number.isNaN(Number(value))) {
      throw new Error(
        `${this.#child.spawnargs.map((arg) => basename(arg)).join(" ")}: expected a number, got ${value}`,
      );
    }
    return Number(value);
  }

  /** Closes its standard input, and waits until the program has ended. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.stdin!.end();
      await ended;
    }
    this.#reader.close();
  }
}

function contestantFile(name: string): string {
  return join(made, "contestants", `${name}.js`);
}

/**
 * How many descriptors a process may have; raises the limit of this process and those that it starts to `wanted` if it may (root). Node
 * raises its soft limit to the hard limit when it starts.
 */
export function descriptorLimit(wanted: number): number {
  const read = () => {
    const limit = execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).trim();
    return limit === "unlimited" ? Infinity : Number(limit);
  };
  if (read() < wanted) {
    try {
      execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${wanted}:${wanted}`], { stdio: "ignore" });
    } catch {
      // The case says what it leaves out.
    }
  }
  return read();
}

/** Runs something with a new folder for sockets, and removes the folder afterwards. */
export async function inFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-bench-"));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

let cpu: string | Error | undefined;

/** The last of the processors that this process may use, from `taskset`, or the reason why it is unknown. */
export function processor(): string | Error {
  if (cpu === undefined) {
    try {
      const list = execFileSync("taskset", ["-cp", String(process.pid)], { encoding: "utf8" });
      cpu = /\d+$/.exec(list.trim())?.[0] ?? new Error(`unexpected output of taskset: ${list}`);
    } catch {
      cpu = new Error("needs taskset (Debian: util-linux)");
    }
  }
  return cpu;
}

const compiled = new Set<string>();

/** Compiles a C program of `bench/c`, and returns its path. */
function compile(name: string): string {
  const folder = join(made, "bin");
  const out = join(folder, name);
  if (!compiled.has(name)) {
    mkdirSync(folder, { recursive: true });
    const source = join(root, "bench", "c", `${name}.c`);
    const cc = process.env.CC ?? "cc";
    try {
      execFileSync(cc, ["-O2", "-Wall", "-pthread", source, "-o", out], { stdio: "inherit" });
    } catch (cause) {
      throw new Error(`cannot compile bench/c/${name}.c with ${cc}: needs a C compiler (Debian: gcc, libc6-dev)`, {
        cause,
      });
    }
    compiled.add(name);
  }
  return out;
}

/** The folder for crates from Debian's packages. */
const CRATES = "/usr/share/cargo/registry";

let rust: string | Error | undefined;

/** Builds the Rust program with Debian's crates; returns its path, or the reason why it cannot. */
function buildRust(): string | Error {
  if (!existsSync(CRATES)) return new Error("needs Debian's crates: librust-nix-dev, and cargo");
  try {
    execFileSync("cargo", ["--version"], { stdio: "ignore" });
  } catch {
    return new Error("needs cargo (Debian: cargo)");
  }
  // Build a copy, as cargo writes into the source folder.
  const folder = join(made, "rust");
  cpSync(join(root, "bench", "rust"), folder, { recursive: true });
  const source = ["--config", `source.crates-io.replace-with="debian"`];
  const debian = ["--config", `source.debian.directory="${CRATES}"`];
  try {
    execFileSync("cargo", ["build", "--release", "--offline", "--quiet", ...source, ...debian], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (error) {
    return new Error(
      `cargo build failed (Debian: librust-nix-dev): ${(error as { stderr?: Buffer }).stderr?.toString().trim()}`,
    );
  }
  return join(folder, "target", "release", "round-trip");
}

/** The Rust program of `bench/rust`, or the reason why it cannot be built. */
export function rustContestant(...args: readonly (string | number)[]): Contestant | Error {
  rust ??= buildRust();
  return typeof rust === "string" ? new Contestant(rust, args.map(String)) : rust;
}

/** Whether a package of `bench/rivals` loads: null, or what is needed. They have native parts, so a clone does not install them. */
export function needsRival(name: string): Error | null {
  const folder = join(root, "bench", "rivals");
  const install = "npm install --prefix bench/rivals (with python3, make and g++ of Debian for node-gyp)";
  if (!existsSync(join(folder, "node_modules", name))) return new Error(`needs ${install}`);
  try {
    execFileSync(process.execPath, ["-e", `require(${JSON.stringify(name)})`], { cwd: folder, stdio: "pipe" });
    return null;
  } catch (error) {
    const [why] = /^\w*Error.*$/m.exec(String((error as { stderr?: Buffer }).stderr)) ?? [String(error)];
    return new Error(`is installed and does not load, ${why}: needs rm -r bench/rivals/node_modules and ${install}`);
  }
}

/** usocket and its peer on one processor, or the reason why it is absent. */
export function usocketContestant(): Contestant | Error {
  return needsRival("usocket") ?? Contestant.onOneProcessor("ping-pong-usocket");
}

let python: boolean | undefined;

/** A Python program of `bench/python`, or the reason why it cannot run. */
export function pythonContestant(name: string, ...args: readonly (string | number)[]): Contestant | Error {
  if (python === undefined) {
    try {
      execFileSync("python3", ["-c", "import socket; socket.send_fds"], { stdio: "ignore" });
      python = true;
    } catch {
      python = false;
    }
  }
  if (!python) return new Error("needs python3, 3.9 or later (Debian: python3)");
  return new Contestant("python3", [join(root, "bench", "python", `${name}.py`), ...args.map(String)]);
}
