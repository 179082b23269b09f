#!/usr/bin/env node
// Every fault the virtual kernel knows, in every place: see test/explore/main.ts. `--schedules N` (a million by default);
// `--self-test`: bugs are planted in a copy of the library, and each must be found. Other arguments go to the explorers; with
// `--plan` one run is made again.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";

const arguments_ = process.argv.slice(2);
const number = (name, otherwise) => {
  const at = arguments_.indexOf(name);
  return at === -1 ? otherwise : Number(arguments_[at + 1]);
};

function explorer(folder, args) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(folder, "build", "test", "explore", "main.js"), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (bytes) => (output += bytes));
    child.stderr.on("data", (bytes) => (output += bytes));
    child.on("close", (code) => done({ code, output }));
  });
}

/** What all explorers together found: counts by system, or the first failure. */
async function explore(folder, schedules) {
  const parts = Math.max(2, Math.min(8, availableParallelism()));
  const runs = await Promise.all(
    Array.from({ length: parts }, (_, part) =>
      explorer(folder, ["--part", `${part}/${parts}`, "--schedules", String(schedules)]),
    ),
  );
  const counts = {};
  for (const { code, output } of runs) {
    const last = output.trim().split("\n").at(-1);
    if (code !== 0) return { failure: last.startsWith("{") ? JSON.parse(last) : { failed: output, again: "" } };
    for (const [system, count] of Object.entries(JSON.parse(last).counts))
      counts[system] = (counts[system] ?? 0) + count;
  }
  return { counts };
}

/** Planted bugs: what is replaced by what, and by what each is to be found; else the exploration is worth nothing. */
const BUGS = [
  [
    "a close dropped when a receive is refused",
    "    closeDelivered(platform, 0, delivered);\n    throw",
    "    throw",
    /leaked descriptor/,
  ],
  [
    "descriptors sent again with the rest of a partial write",
    "this.#fds = NO_FDS;\n                this.retryAfter",
    "this.retryAfter",
    /received descriptors/,
  ],
  [
    "CLOEXEC forgotten where it takes a call of its own",
    "if (platform.needsCloexec)",
    "if (false)",
    /descriptors that a child would inherit/,
  ],
  ["CLOEXEC forgotten in the flags of the receive", "(abi.MSG_CMSG_CLOEXEC ?? 0) |", "", /without MSG_CMSG_CLOEXEC/],
  [
    "a descriptor adopted twice",
    "[adopt(platform, table[0])]",
    "[adopt(platform, table[0]), adopt(platform, table[0])]",
    /closed descriptor \d+, which is not open|received descriptors/,
  ],
  [
    "a message lost on abort",
    "            this.#remove(direction, operation);\n            settle(operation, { error: operation.withdrawn",
    "            try { operation.attempt(); } catch {}\n            this.#remove(direction, operation);\n            settle(operation, { error: operation.withdrawn",
    /leaked descriptor|received "/,
  ],
  ["a surplus that stays open", "if (delivered > kept)", "if (false)", /leaked descriptor/],
  [
    "a pidfd that nobody asked for, kept open",
    "source.platform.system.close(pidfd);",
    "",
    /leaked descriptor \d+: pid/,
  ],
  [
    "a socket leaked when its bind fails",
    "            name?.remove();\n            system.close(fd);",
    "",
    /leaked descriptor \d+: (stream|seqpacket)/,
  ],
  [
    "operations that are not settled when their socket is closed",
    "        this.#abandon(socketClosed());\n",
    "",
    /never settled/,
  ],
  ["SIGPIPE not muted", "(abi.MSG_NOSIGNAL ?? 0) |", "", /SIGPIPE/],
  ["progress of an unfinished send not said", "bytesSent: this.#sent,", "bytesSent: 0,", /received "/],
];

function plant(folder, from, to, what) {
  const files = readdirSync(folder).filter((name) => name.endsWith(".js"));
  const places = files.map((name) => [join(folder, name), readFileSync(join(folder, name), "utf8").split(from)]);
  const found = places.filter(([, parts]) => parts.length > 1);
  if (found.length !== 1 || found[0][1].length !== 2) throw new Error(`there is not exactly one place for: ${what}`);
  writeFileSync(found[0][0], found[0][1].join(to));
}

async function selfTest() {
  let failed = 0;
  for (const [i, [what, from, to, found]] of BUGS.entries()) {
    const folder = resolve("build", "explore", String(i));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, "build"), { recursive: true });
    for (const name of ["dist", "package.json", "build/src", "build/test"])
      cpSync(name, join(folder, name), { recursive: true });
    symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
    symlinkSync(resolve("prebuilds"), join(folder, "prebuilds"));
    plant(join(folder, "dist"), from, to, what);
    const { failure } = await explore(folder, 60_000);
    // A crash of the explorer is no find.
    const good = failure?.scenario !== undefined && found.test(failure.failed);
    if (!good) failed++;
    if (failure === undefined) console.log(`FAIL  not found: ${what}`);
    else {
      const [reason] = /^ {2}.*|^Error: (?!the virtual kernel).*/m.exec(failure.failed) ?? [failure.failed];
      console.log(
        `${good ? "ok    found" : "FAIL  found by something else"}: ${what} (${failure.scenario}, ${failure.system}: ${reason.trim().slice(0, 100)})`,
      );
    }
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${BUGS.length - failed} passed, ${failed} failed`);
  return failed;
}

if (arguments_.includes("--self-test")) process.exit((await selfTest()) === 0 ? 0 : 1);
if (arguments_.includes("--plan")) {
  const { code, output } = await explorer(".", arguments_);
  console.log(output);
  process.exit(code);
}
const start = Date.now();
const { counts, failure } = await explore(".", number("--schedules", 1_000_000));
if (failure !== undefined) {
  console.log(
    `${failure.failed}\nscenario: ${failure.scenario}\nsystem: ${failure.system}\nagain: npm run explore -- ${failure.again}`,
  );
  console.log("0 passed, 1 failed");
  process.exit(1);
}
for (const [system, count] of Object.entries(counts))
  console.log(`ok    ${system.padEnd(20)} ${count.toLocaleString("en")} fault schedules`);
const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
console.log(
  `${total.toLocaleString("en")} fault schedules in ${Math.round((Date.now() - start) / 1000)} s, nothing found`,
);
console.log(`${Object.keys(counts).length} passed, 0 failed`);
