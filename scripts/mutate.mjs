#!/usr/bin/env node
// Plants realistic faults (scripts/mutants/), one at a time, in a copy of the checkout, and runs the tests there: each fault has to be
// noticed. First the test files run that are expected to notice it, then all others, then the exploration. What survives has to be
// written down as equivalent, with the reason. `--only PART-OF-NAME`: these faults. `--sample N`: N of them, the same ones each time.
// `--named`: only the test files that a fault names; for a quick look.

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { target } from "../build/lib/system/target.js";
import { compiler, nativeSources } from "./build-native.mjs";
import { inParallel, readOptions, run, runTestFile, select, Tally, testFiles, wholeNumber } from "./lane.mjs";
import { MUTANTS } from "./mutants/index.mjs";
import { plantInLibrary, replaceInCode } from "./planted-bugs.mjs";

const options = readOptions({
  only: { type: "string", default: "" },
  sample: { type: "string" },
  named: { type: "boolean", default: false },
});
const only = select(
  MUTANTS.map(({ name }) => name),
  [options.only],
  "fault",
);
const most = options.sample === undefined ? only.length : wholeNumber("sample", options.sample);
const names = new Set(
  only.filter((_, i) => Math.floor((i * most) / only.length) !== Math.floor(((i - 1) * most) / only.length)),
);
const mutants = MUTANTS.filter(({ name }) => names.has(name));

const TIMEOUT_MS = 120_000;
const folder = resolve("build", "mutate");
const objects = join(folder, "objects");
const tally = new Tally();

/** What no program of the library may need a test for: a fault that breaks this is not realistic. */
const SMOKE = `
  import { openSync } from "node:fs";
  import { FdChannel, OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
  const file = OwnedFd.fromRaw(openSync("package.json", "r"));
  const [a, b] = UnixStream.pair();
  const waiting = b.recvFds(1);
  await a.sendFds("x", [file]);
  const { data, fds } = await waiting;
  if (data.toString() !== "x" || fds.length !== 1) throw new Error("nothing came");
  const listener = UnixListener.bind("\\0unix-ancillary-mutant-" + process.pid);
  const [accepted, client] = await Promise.all([listener.accept(), UnixStream.connect(listener.address)]);
  const [c, d] = FdChannel.pair();
  const [frame] = await Promise.all([d.recv(), c.send("frame", [file])]);
  if (frame.payload.toString() !== "frame" || frame.fds.length !== 1) throw new Error("no frame came");
  for (const one of [file, a, b, ...fds, listener, accepted, client, c, d, ...frame.fds]) one.close();
  process.exit(0);
`;

/** Folders that a fault is planted and tested in: copies of this checkout. */
function makeSlot(number) {
  const slot = join(folder, String(number));
  const entries = readdirSync(".").filter((name) => !["node_modules", ".git", "build", "site"].includes(name));
  const built = readdirSync("build").filter((name) => !/^(mutate|sanitizers|explore|fuzz|site.*)$/.test(name));
  mkdirSync(join(slot, "build"), { recursive: true });
  for (const path of [...entries, ...built.map((name) => join("build", name))])
    cpSync(path, join(slot, path), { recursive: true, preserveTimestamps: true });
  symlinkSync(resolve("node_modules"), join(slot, "node_modules"));
  return slot;
}

/** Puts back what {@link plant} may have changed. */
function restore(slot) {
  for (const path of ["dist", "prebuilds", join("build", "lib")]) {
    rmSync(join(slot, path), { recursive: true, force: true });
    cpSync(path, join(slot, path), { recursive: true, preserveTimestamps: true });
  }
}

async function compile(source, object) {
  const { flags } = nativeSources();
  const args = [...flags, "-O1", "-c", source, "-o", object];
  const { code, output } = await run(compiler(), args);
  if (code !== 0) throw new Error(`it does not compile:\n${output}`);
}

const objectOf = (source) => `${basename(source)}.o`;

/** Compiles every source of the addon, for the addons in which one source has a fault. */
async function compileObjects() {
  mkdirSync(objects, { recursive: true });
  const { sources } = nativeSources();
  await inParallel(sources.map((source) => () => compile(source, join(objects, objectOf(source)))));
}

/** Builds an addon from sources of which one file was changed. */
async function buildAddon(slot, file) {
  const { sources, linking, libraries } = nativeSources();
  const linked = [];
  for (const source of sources) {
    const changed = file.endsWith(".h") || file === source;
    linked.push(join(changed ? slot : objects, objectOf(source)));
    if (changed) await compile(join(slot, source), linked.at(-1));
  }
  const out = join(slot, "prebuilds", target(), "unix-ancillary.node");
  rmSync(out);
  const { code, output } = await run(compiler(), [...linking, ...linked, ...libraries, "-o", out]);
  if (code !== 0) throw new Error(`it does not link:\n${output}`);
}

/** Plants a fault. @throws Error when there is no place for it */
async function plant(slot, mutant) {
  const { file, within, find, replacement } = mutant;
  restore(slot);
  if (file.startsWith("native/")) {
    const text = readFileSync(file, "utf8");
    writeFileSync(join(slot, file), replaceInCode(text, within, find, replacement));
    try {
      await buildAddon(slot, file);
    } finally {
      writeFileSync(join(slot, file), text);
    }
    return;
  }
  await plantInLibrary(slot, mutant);
}

/** Milliseconds that each entry of `tests` took on the unchanged copy. */
const durations = new Map();

/** Runs a test file, or its tests whose titles contain the text after ": ". */
async function test(slot, tests) {
  const [file, only = ""] = tests.split(": ");
  const timeout = durations.has(tests) ? 3 * durations.get(tests) + 10_000 : TIMEOUT_MS;
  const env = { ...process.env, UNIX_ANCILLARY_TEST_ONLY: only };
  const path = join("build", "test", `${file}.test.js`);
  const result = await runTestFile(path, { timeout, cwd: slot, detached: true, env });
  const [, title] = /^ +FAIL +.*?"(.*)"$/m.exec(result.output) ?? [];
  return { ...result, said: title ?? (result.how.startsWith("killed") ? "it hangs" : `no test ended, ${result.how}`) };
}

/** Explores one scenario, or all (`""`), with every fault and pair of faults. */
async function explore(slot, scenario) {
  const args = [join("build", "test", "explore", "main.js"), "--schedules", "1", "--scenario", scenario];
  const { code, output } = await run(process.execPath, args, { cwd: slot, detached: true, timeout: 3 * TIMEOUT_MS });
  const last = output.trim().split("\n").at(-1);
  const said = last.startsWith("{") ? (JSON.parse(last).failed ?? "") : last;
  return { good: code === 0, said: said.trim().split("\n")[0] };
}

const ALL = testFiles();

/** What notices the fault that is planted in a slot, and what it says; null: nothing does. */
async function noticed(slot, { tests = [], explored, equivalent }) {
  const everything = equivalent === undefined && !options.named;
  for (const file of tests) {
    const { good, said } = await test(slot, file);
    if (!good) return { by: file, said };
  }
  if (explored !== undefined) {
    const { good, said } = await explore(slot, explored);
    if (!good) return { by: "the exploration", said };
  }
  if (!everything) return null;
  for (const file of ALL) {
    const { good, said } = await test(slot, file);
    if (!good) return { by: file, said, unexpected: true };
  }
  const { good, said } = await explore(slot, "");
  return good ? null : { by: "the exploration", said, unexpected: true };
}

async function examine(slot, mutant) {
  const { name, equivalent } = mutant;
  try {
    await plant(slot, mutant);
  } catch (error) {
    tally.result(false, `${name}: cannot be planted any more`, error.message);
    return;
  }
  const smoke = await run(process.execPath, ["--input-type=module", "-e", SMOKE], { cwd: slot, timeout: 10_000 });
  if (smoke.code !== 0 && mutant.explorerSays === undefined) {
    tally.result(false, `${name}: breaks everything, so it proves nothing`, `${smoke.output}\n${smoke.how}`);
    return;
  }
  const start = Date.now();
  const found = await noticed(slot, mutant);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  if (equivalent !== undefined) {
    tally.result(found === null, `${name}: equivalent (${equivalent})`, `noticed by ${found?.by}: ${found?.said}`);
    return;
  }
  if (found === null) {
    const advice = "Write a test that notices it, or say in scripts/mutants/ why nothing can (`equivalent`).";
    tally.result(false, `${name}: SURVIVES, ${seconds} s`, advice);
    return;
  }
  const note = found.unexpected ? " (name it in the tests of the fault)" : "";
  tally.result(true, `${name}: noticed by ${found.by}${note}, ${seconds} s: ${found.said}`);
}

rmSync(folder, { recursive: true, force: true });
const slots = [];
/** Jobs with a slot of their own, several at once. */
const inSlots = (jobs) =>
  inParallel(
    jobs.map((job) => async () => {
      const slot = slots.pop() ?? makeSlot(readdirSync(folder).length);
      await job(slot);
      slots.push(slot);
    }),
  );

mkdirSync(folder, { recursive: true });
const files = new Set(mutants.flatMap(({ tests }) => tests ?? []));
// What fails without a fault notices none.
await inSlots(
  [...files].map((file) => async (slot) => {
    const { good, detail, milliseconds } = await test(slot, file);
    durations.set(file, milliseconds);
    if (!good) tally.result(false, `${file} fails without a fault`, detail);
  }),
);
if (tally.failed === 0) {
  if (mutants.some(({ file }) => file.startsWith("native/"))) await compileObjects();
  await inSlots(mutants.map((mutant) => (slot) => examine(slot, mutant)));
}
rmSync(folder, { recursive: true, force: true });
tally.end();
