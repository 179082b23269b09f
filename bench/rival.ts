/** Another program that measures itself on request: one line in (rounds and a parameter), one line out (ns a round). */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";

/** Compiles a C program of `bench/c`; its path. */
export function compile(name: string): string {
  mkdirSync("build/bench", { recursive: true });
  const out = join("build", "bench", name);
  execFileSync(process.env.CC ?? "cc", ["-O2", "-Wall", join("bench", "c", `${name}.c`), "-o", out], {
    stdio: "inherit",
  });
  return out;
}

/** A started program that takes turns with this one. */
export class Rival {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(command: string, args: readonly string[] = []) {
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#reader = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Nanoseconds a round. */
  async measure(rounds: number, parameter: number): Promise<number> {
    this.#child.stdin!.write(`${rounds} ${parameter}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`a rival ended early: ${this.#child.spawnargs.join(" ")}`);
    return Number(value);
  }

  close(): void {
    this.#child.stdin!.end();
    this.#reader.close();
  }
}
