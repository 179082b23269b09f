/**
 * Programs that measure themselves on request, so that several can take turns: one line in (how many rounds, or a question),
 * one line out (nanoseconds a round, or the answer). Ours is such a program too: each starts fresh, and with nothing of the
 * others' in its process.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The folder of what the benchmarks make. */
export const made: string = join(root, "build", "bench");

/** A started program. */
export class Contestant {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  /** Whether it has to be warmed up. */
  readonly compilesAsItRuns: boolean;

  constructor(command: string, args: readonly string[] = []) {
    this.compilesAsItRuns = command === process.execPath || args.includes(process.execPath);
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    // A program that ends early is noticed where its answer is missing.
    this.#child.stdin!.on("error", () => {});
    this.#reader = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /**
   * A program of `bench/contestants`, and its peer, on one processor.
   *
   * Two processes that wait for each other in turn lose nothing by it. On two processors the scheduler decides whether a
   * sleeping one has to be woken for each message, which takes three times as long as everything else (measured in a virtual
   * machine: 50 instead of 13 us with net.Socket).
   */
  static onOneProcessor(name: string, ...args: readonly (string | number)[]): Contestant {
    return Contestant.#pinned(process.execPath, ["--expose-gc", contestantFile(name), ...args.map(String)]);
  }

  /** A C program of `bench/c`, and its peer, likewise. */
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

  /** Nanoseconds a round. */
  measure(rounds: number): Promise<number> {
    return this.ask(String(rounds));
  }

  /** The answer to a line. */
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

  /** Lets it end, and waits until it has. */
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

let cpu: string | Error | undefined;

/** The last of the processors that this process may use, by `taskset`; or why there is none to be named. */
export function processor(): string | Error {
  if (cpu === undefined) {
    try {
      const list = execFileSync("taskset", ["-cp", String(process.pid)], { encoding: "utf8" });
      cpu = /\d+$/.exec(list.trim())?.[0] ?? new Error(`taskset says ${list}`);
    } catch {
      cpu = new Error("needs taskset");
    }
  }
  return cpu;
}

const compiled = new Set<string>();

/** Compiles a C program of `bench/c`; its path. */
function compile(name: string): string {
  const folder = join(made, "bin");
  const out = join(folder, name);
  if (!compiled.has(name)) {
    mkdirSync(folder, { recursive: true });
    const source = join(root, "bench", "c", `${name}.c`);
    execFileSync(process.env.CC ?? "cc", ["-O2", "-Wall", source, "-o", out], { stdio: "inherit" });
    compiled.add(name);
  }
  return out;
}

/** Where Debian's packages keep crates. */
const CRATES = "/usr/share/cargo/registry";

let rust: string | Error | undefined;

/** Builds the Rust program, from Debian's crates; its path, or why there is none. */
function buildRust(): string | Error {
  if (!existsSync(CRATES)) return new Error("needs Debian's crates: librust-nix-dev");
  try {
    execFileSync("cargo", ["--version"], { stdio: "ignore" });
  } catch {
    return new Error("needs cargo");
  }
  // In a copy: cargo writes beside what it builds.
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
    return new Error(`cargo build failed: ${(error as { stderr?: Buffer }).stderr?.toString().trim()}`);
  }
  return join(folder, "target", "release", "round-trip");
}

/** The Rust program of `bench/rust`, or why it cannot be built here. */
export function rustContestant(...args: readonly (string | number)[]): Contestant | Error {
  rust ??= buildRust();
  return typeof rust === "string" ? new Contestant(rust, args.map(String)) : rust;
}

/** usocket and its peer on one processor, or why it is not there: it is built by node-gyp, so not among what every clone installs. */
export function usocketContestant(): Contestant | Error {
  if (!existsSync(join(root, "bench", "rivals", "node_modules", "usocket")))
    return new Error("needs npm install --prefix bench/rivals");
  return Contestant.onOneProcessor("ping-pong-usocket");
}

let python: boolean | undefined;

/** A Python program of `bench/python`, or why it cannot be run here. */
export function pythonContestant(name: string, ...args: readonly (string | number)[]): Contestant | Error {
  if (python === undefined) {
    try {
      execFileSync("python3", ["-c", "import socket; socket.send_fds"], { stdio: "ignore" });
      python = true;
    } catch {
      python = false;
    }
  }
  if (!python) return new Error("needs python3, 3.9 or later");
  return new Contestant("python3", [join(root, "bench", "python", `${name}.py`), ...args.map(String)]);
}
