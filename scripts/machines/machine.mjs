// Starts a machine, and reads what guest.mjs in it prints.

import { spawn } from "node:child_process";
import { rmSync } from "node:fs";

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/**
 * Runs a machine until the guest has ended.
 *
 * @param command the emulator and its arguments
 * @param options `timeout`: milliseconds; `files`: removed when the machine has ended; `report`: called with each result of `runListed`, and what the guest says of itself
 * @returns what was wrong: why the machine ended early, with the last lines of its console. Else undefined
 */
export function runMachine([program, ...args], { timeout, files, report }) {
  return new Promise((resolve) => {
    // A group of its own: user-mode Linux has a process for each of its programs.
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // All its processes have ended.
      }
      for (const file of files) rmSync(file, { force: true, recursive: true });
    };
    process.on("exit", kill);
    let machine;
    let ended = false;
    let why = "";
    const others = [];
    const line = (text) => {
      const at = text.indexOf("@@{");
      if (at < 0) {
        others.push(text);
        return;
      }
      let value;
      try {
        value = JSON.parse(text.slice(at + 2));
      } catch {
        // The kernel has printed something into it.
        others.push(`a result that cannot be read: ${text}`);
        why ||= "a result cannot be read";
        return;
      }
      if (value.machine !== undefined) machine = value.machine;
      else if (value.result !== undefined) report(value.result, machine);
      else ended = true;
      if (ended) kill();
    };
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split(/\r*\n/);
      rest = lines.pop();
      lines.forEach(line);
    });
    child.stderr.setEncoding("utf8").on("data", (text) => others.push(...text.trimEnd().split("\n")));
    const timer = setTimeout(() => {
      why = `it did not end within ${timeout / 1000} s`;
      kill();
    }, timeout);
    child.on("error", (error) => (why = error.message));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      process.off("exit", kill);
      kill();
      if (!ended) why ||= `the machine ended: ${signal ?? `exit code ${code}`}`;
      resolve(why === "" ? undefined : `${why}\n${others.slice(-40).join("\n")}`);
    });
  });
}
