#!/usr/bin/env node
// Every fault that the virtual kernel knows, at every system call of the scenarios: see test/explore/main.ts, which this starts,
// several at once. `--schedules N`: how many schedules at least, a million by default. `--system NAME`, `--scenario PART-OF-NAME`:
// only these. `--plan JSON`, `--seed N` and `--chance N`, as a failure prints them: this one schedule again. `--self-test`: bugs
// are planted in a copy of the library, and each must be found.

import { cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { readOptions, run, Tally, wholeNumber } from "./lane.mjs";
import { plantInScripts } from "./planted-bugs.mjs";

const options = readOptions({
  schedules: { type: "string", default: "1000000" },
  system: { type: "string" },
  scenario: { type: "string" },
  plan: { type: "string" },
  seed: { type: "string" },
  chance: { type: "string" },
  "self-test": { type: "boolean", default: false },
});
const schedules = wholeNumber("schedules", options.schedules);

/** Options as they were given, for an explorer. */
const given = (...names) => names.flatMap((name) => (options[name] === undefined ? [] : [`--${name}`, options[name]]));

function explorer(folder, args) {
  return run(process.execPath, [join(folder, "build", "test", "explore", "main.js"), ...args]);
}

/** What all explorers together found: counts by system, or the first failure. */
async function explore(folder, count, ...args) {
  const parts = Math.max(2, Math.min(8, availableParallelism()));
  const runs = await Promise.all(
    Array.from({ length: parts }, (_, part) =>
      explorer(folder, ["--part", `${part}/${parts}`, "--schedules", String(count), ...args]),
    ),
  );
  const counts = {};
  for (const { code, output } of runs) {
    const last = output.trim().split("\n").at(-1);
    if (code !== 0) return { failure: last.startsWith("{") ? JSON.parse(last) : { failed: output } };
    for (const [system, number] of Object.entries(JSON.parse(last).counts))
      counts[system] = (counts[system] ?? 0) + number;
  }
  return { counts };
}

/**
 * Planted bugs: what is replaced by what in the bundled library (white space does not matter), and what the explorer must say.
 * An exploration that misses one is worth nothing.
 */
const BUGS = [
  {
    what: "a close dropped when a receive is refused",
    from: "closeDelivered(platform); throw Object.assign(error,",
    to: "throw Object.assign(error,",
    found: /leaked descriptor/,
  },
  {
    what: "descriptors sent again with the rest of a partial write",
    from: "this.#fds = NO_FDS; this.retryAfter",
    to: "this.retryAfter",
    found: /received descriptors/,
  },
  {
    what: "CLOEXEC forgotten where it takes a call of its own",
    from: "const result = needsCloexec ?",
    to: "const result = false ?",
    found: /descriptors that a child would inherit/,
  },
  {
    what: "CLOEXEC forgotten in the flags of the receive",
    from: "(abi.MSG_CMSG_CLOEXEC ?? 0) |",
    to: "",
    found: /without MSG_CMSG_CLOEXEC/,
  },
  {
    what: "a descriptor adopted twice",
    from: "[adopt(platform, table[0])]",
    to: "[adopt(platform, table[0]), adopt(platform, table[0])]",
    found: /closed descriptor \d+, which is not open|received descriptors/,
  },
  {
    what: "a message lost on abort",
    from: "this.#remove(line, entry); entry.reject(entry.operation.withdrawn",
    to: "try { entry.operation.perform(this.#handle.fd); } catch {} $&",
    found: /leaked descriptor|received "/,
  },
  {
    what: "a surplus that stays open",
    from: "if (delivered > kept)",
    to: "if (false)",
    found: /leaked descriptor/,
  },
  {
    what: "a pidfd that was not asked for, kept open",
    from: "platform.system.close(pidfd);",
    to: "",
    found: /leaked descriptor \d+: pid/,
  },
  {
    what: "a socket leaked when its listen fails",
    from: "name?.remove(); system.close(fd);",
    to: "",
    found: /leaked descriptor \d+: (stream|seqpacket)/,
  },
  {
    what: "a dead name replaced without the lock of its folder",
    from: "const result = system.flock(folder);",
    to: "const result = 0;",
    found: /removed "\/socket", which is in use|two sockets are bound/,
  },
  {
    what: "a living name taken for a dead one",
    from: "if (answer === ECONNREFUSED)",
    to: "if (answer < 0)",
    found: /removed "\/socket", which is in use|two sockets are bound/,
  },
  {
    what: "operations that are not settled when their socket is closed",
    from: "this.#abandon(socketClosed());",
    to: "",
    found: /never settled/,
  },
  {
    what: "SIGPIPE not muted",
    from: "(abi.MSG_NOSIGNAL ?? 0) |",
    to: "",
    found: /SIGPIPE/,
  },
  {
    what: "progress of an unfinished send missing in its error",
    from: "bytesSent: this.#sent,",
    to: "bytesSent: 0,",
    found: /received "/,
  },
];

async function selfTest(tally) {
  for (const [i, { what, from, to, found }] of BUGS.entries()) {
    const folder = resolve("build", "explore", String(i));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, "build"), { recursive: true });
    for (const name of ["dist", "package.json", "build/src", "build/test"])
      cpSync(name, join(folder, name), { recursive: true });
    for (const name of ["node_modules", "prebuilds"]) symlinkSync(resolve(name), join(folder, name));
    try {
      plantInScripts(join(folder, "dist"), from, to);
    } catch (error) {
      tally.result(false, `not planted: ${what}`, error.message);
      continue;
    }
    const { failure } = await explore(folder, 60_000);
    rmSync(folder, { recursive: true, force: true });
    if (failure === undefined) {
      tally.result(false, `not found: ${what}`);
      continue;
    }
    // A crash of the explorer is no find.
    const good = failure.scenario !== undefined && found.test(failure.failed);
    const [reason] = /^ {2}.*|^Error: (?!the virtual kernel).*/m.exec(failure.failed) ?? [failure.failed];
    const where = `${failure.scenario}, ${failure.system}: ${reason.trim().slice(0, 100)}`;
    tally.result(good, `${good ? "found" : "found by something else"}: ${what} (${where})`);
  }
}

const tally = new Tally();
if (options["self-test"]) {
  await selfTest(tally);
} else if (options.plan !== undefined) {
  const { code, output, how } = await explorer(".", given("system", "scenario", "plan", "seed", "chance"));
  tally.result(code === 0, output.trim(), how);
} else {
  const start = Date.now();
  const { counts, failure } = await explore(".", schedules, ...given("system", "scenario"));
  if (failure === undefined) {
    const text = (number) => number.toLocaleString("en");
    for (const [system, count] of Object.entries(counts))
      tally.result(true, `${system.padEnd(20)} ${text(count)} fault schedules`);
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    console.log(`${text(total)} fault schedules in ${Math.round((Date.now() - start) / 1000)} s, nothing found`);
  } else {
    const { failed, scenario, system, again } = failure;
    const how =
      again === undefined ? "" : `\nscenario: ${scenario}\nsystem: ${system}\nagain: npm run explore -- ${again}`;
    tally.result(false, `${failed}${how}`);
  }
}
tally.end();
