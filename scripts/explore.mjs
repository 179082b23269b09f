#!/usr/bin/env node
// Every fault the virtual kernel knows, in every place: see test/explore/main.ts. `--schedules N` (a million by default);
// `--self-test`: bugs are planted in a copy of the library, and each must be found. Other arguments go to the explorers; with
// `--plan` one run is made again.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

/** Planted bugs: what is replaced in which file. Each is found, or the exploration is worth nothing. */
const BUGS = [
  [
    "a close dropped when a receive is refused",
    "dist/node/receive.js",
    "    closeDelivered(platform, 0, delivered);\n    throw",
    "    throw",
  ],
  ["descriptors sent again with the rest of a partial write", "dist/node/connected.js", "this.#fds = NO_FDS;", ""],
  [
    "CLOEXEC forgotten where it takes a call of its own",
    "dist/node/receive.js",
    "if (platform.needsCloexec)",
    "if (false)",
  ],
  ["CLOEXEC forgotten in the flags of the receive", "dist/node/platform.js", "(abi.MSG_CMSG_CLOEXEC ?? 0) |", ""],
  [
    "a descriptor adopted twice",
    "dist/node/receive.js",
    "[adopt(platform, table[0])]",
    "[adopt(platform, table[0]), adopt(platform, table[0])]",
  ],
  [
    "a message lost on abort",
    "dist/node/endpoint.js",
    "            remove(queue, operation);\n            settle(operation, { error: operation.withdrawn",
    "            try { operation.attempt(); } catch {}\n            remove(queue, operation);\n            settle(operation, { error: operation.withdrawn",
  ],
  ["a surplus that stays open", "dist/node/receive.js", "if (delivered > kept)", "if (false)"],
  ["a pidfd that nobody asked for, kept open", "dist/node/receive.js", "source.platform.system.close(pidfd);", ""],
  [
    "a socket leaked when its bind fails",
    "dist/node/listener.js",
    "            name?.remove();\n            system.close(fd);",
    "",
  ],
  [
    "operations that are not settled when their socket is closed",
    "dist/node/endpoint.js",
    "        this.#abandon();\n",
    "",
  ],
  ["SIGPIPE not muted", "dist/node/platform.js", "(abi.MSG_NOSIGNAL ?? 0) |", ""],
  ["progress of an unfinished send not said", "dist/node/connected.js", "bytesSent: this.#sent,", "bytesSent: 0,"],
];

async function selfTest() {
  let failed = 0;
  for (const [i, [what, file, from, to]] of BUGS.entries()) {
    const folder = resolve("build", "explore", String(i));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, "build"), { recursive: true });
    for (const name of ["dist", "package.json", "build/test"]) cpSync(name, join(folder, name), { recursive: true });
    symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
    symlinkSync(resolve("prebuilds"), join(folder, "prebuilds"));
    const code = readFileSync(join(folder, file), "utf8");
    if (code.split(from).length !== 2) throw new Error(`${file} has not exactly one place for: ${what}`);
    writeFileSync(join(folder, file), code.replace(from, to));
    const { failure } = await explore(folder, 60_000);
    if (failure === undefined) failed++;
    console.log(
      failure === undefined
        ? `FAIL  not found: ${what}`
        : `ok    found: ${what} (${failure.scenario ?? "crash"}, ${failure.system ?? ""})`,
    );
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
