/** Shared by the tests with other programs: starting a program, and skipping a test if it is missing. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { leakChecked, works } from "../support.ts";

/** A program that a test needs. */
export interface Needed {
  /** The Debian package that has it. */
  readonly debian: string;
  /** A command that succeeds if the program is installed. */
  readonly probe: readonly [command: string, ...args: string[]];
}

/** Debian's own Python, which has Debian's packages; another one may be first in the PATH. */
export const PYTHON = "/usr/bin/python3";

/** The command with which {@link Program} starts programs. */
const setpriv: Needed = { debian: "util-linux", probe: ["setpriv", "--version"] };

/** Milliseconds after which a hanging test is ended. */
const WATCHDOG = 20_000;

/** A suite of tests that need other programs. Each test returns a text that says what it proved. */
export interface Interop {
  (title: string, needs: readonly Needed[], body: () => Promise<string>): void;
  run(): void;
}

/** A leak-checked suite whose tests print what they proved. Without its program a test is skipped with a message, or fails in CI. */
export function interop(name: string): Interop {
  const tests = leakChecked(name);
  const test = (title: string, needs: readonly Needed[], body: () => Promise<string>): void => {
    const missing = [setpriv, ...needs]
      .filter(({ probe: [command, ...args] }) => !works(command, args))
      .map(({ debian }) => debian);
    tests.needing(missing.length === 0, `Debian's ${missing.join(" and ")}`, title, async () => {
      const watchdog = setTimeout(() => {
        console.error(`${name}, ${title}: hangs since ${WATCHDOG / 1000} s`);
        // The programs that it started end with it.
        process.exit(1);
      }, WATCHDOG);
      try {
        // On a line of its own, as uvu prints marks.
        console.log(`\nheld: ${title}: ${await body()}`);
      } finally {
        clearTimeout(watchdog);
      }
    });
  };
  return Object.assign(test, { run: () => tests.run() });
}

/** Options for starting a program. */
export interface ProgramOptions {
  readonly env?: Record<string, string>;
  /** The descriptors that it inherits, from 3 on. */
  readonly fds?: readonly { readonly fd: number }[];
}

/**
 * A running program. Disposing of it kills it and waits for its end; the kernel kills it when this process ends in any other way.
 */
export class Program implements AsyncDisposable {
  readonly #command: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | NodeJS.Signals>;
  #ended = false;
  #unread = "";
  #stderr = "";
  #changed: () => void = () => {};

  constructor(command: string, args: readonly string[], { env, fds = [] }: ProgramOptions = {}) {
    this.#command = [command, ...args].join(" ").slice(0, 200);
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", command, ...args], {
      stdio: ["pipe", "pipe", "pipe", ...fds.map(({ fd }) => fd)],
      env: { ...process.env, ...env },
    });
    this.#child.stdout!.on("data", (bytes) => {
      this.#unread += bytes;
      this.#changed();
    });
    this.#child.stderr!.on("data", (bytes) => (this.#stderr += bytes));
    // The program may end before it has read everything.
    this.#child.stdin!.on("error", () => {});
    this.#closed = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => {
        this.#ended = true;
        resolve(code ?? signal!);
        this.#changed();
      });
    });
    this.#closed.catch(() => {});
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Whether it has ended, and all its output has arrived. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The next line of its output. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#unread.indexOf("\n");
      if (end !== -1) {
        const line = this.#unread.slice(0, end);
        this.#unread = this.#unread.slice(end + 1);
        return line;
      }
      if (this.#ended) throw new Error(`${this.#command} ended, a line was expected\n${this.#stderr}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** Writes a line to its input. */
  tell(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  /** Waits until it has ended successfully; returns its unread output. */
  async success(): Promise<string> {
    const code = await this.#closed;
    if (code !== 0) throw new Error(`${this.#command} ended with ${code}\n${this.#unread}${this.#stderr}`);
    return this.#unread;
  }

  async kill(): Promise<void> {
    const { exitCode, signalCode, stdout, stderr } = this.#child;
    if (exitCode === null && signalCode === null && this.#child.kill("SIGKILL")) await once(this.#child, "exit");
    // A child of the program may still have the other ends open.
    stdout!.destroy();
    stderr!.destroy();
  }

  /** Waits for an event that the program causes; an error if the program fails instead. */
  async meanwhile<T>(happening: Promise<T>): Promise<T> {
    const failed = new Promise<never>((_, reject) => {
      this.success().catch(reject);
    });
    return await Promise.race([happening, failed]);
  }

  /** Repeats an attempt until the program is ready for it. */
  async until<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (this.#ended) throw new Error(`${this.#command} ended early\n${this.#stderr}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
