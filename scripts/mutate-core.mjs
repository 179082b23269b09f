#!/usr/bin/env node
// Changes assembly/ in every small way (scripts/core-mutants/generate.mjs), one at a time. Each mutant has to be noticed: by the checks
// of the module (test/core/module-bounds.ts), which take milliseconds, else by the oracles, else by the fuzzer. What survives has to be
// written down as equivalent, with the reason (scripts/core-mutants/equivalent.mjs), or has to compile to the bytes that ship.
//
//   npm run mutate:core                    all of them
//   npm run mutate:core -- --only FILE     those of one file
//   npm run mutate:core -- --sample N      N of them, the same ones each time, without the oracles and the fuzzer, as the gate does
//   npm run mutate:core -- --quick         without the oracles and the fuzzer
//   npm run mutate:core -- --list          prints them
//   npm run mutate:core -- --deep          what is written down as equivalent is tried by the oracles and the fuzzer, too
//
// --seconds N: how long the fuzzer tries a survivor.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Checking } from "./core-mutants/checking.mjs";
import { compile, compileOptimized } from "./core-mutants/compile.mjs";
import { EQUIVALENT } from "./core-mutants/equivalent.mjs";
import { generate } from "./core-mutants/generate.mjs";
import { readOptions, run, select, Tally, wholeNumber } from "./lane.mjs";

const options = readOptions({
  only: { type: "string", default: "" },
  sample: { type: "string" },
  list: { type: "boolean", default: false },
  deep: { type: "boolean", default: false },
  quick: { type: "boolean", default: false },
  seconds: { type: "string", default: "20" },
});
const seconds = wholeNumber("seconds", options.seconds);
const all = generate();
const files = select([...new Set(all.map(({ file }) => file))], [options.only], "file");
const wanted = all.filter(({ file }) => files.includes(file));
const most = options.sample === undefined ? wanted.length : wholeNumber("sample", options.sample);
const mutants = wanted.filter(
  (_, i) => Math.floor((i * most) / wanted.length) !== Math.floor(((i - 1) * most) / wanted.length),
);
const textOf = ({ file, line, within, before, after }) => `${file}, line ${line}, ${within}: ${before} -> ${after}`;
if (options.list) {
  for (const mutant of mutants) console.log(textOf(mutant));
  process.exit(0);
}
const tally = new Tally();
const folder = join("build", "mutate-core");
mkdirSync(folder, { recursive: true });

/** The reason why nothing can notice a mutant; undefined when none is written down. */
function reasonOf({ file, within, before, after }) {
  const entry = EQUIVALENT.find(
    (one) => one.file === file && one.within === within && one.lines[before]?.includes(after),
  );
  return entry?.because;
}

// An entry that is no mutant any more is stale.
const known = new Set(all.map(({ file, within, before, after }) => JSON.stringify([file, within, before, after])));
const stale = EQUIVALENT.flatMap(({ file, within, lines }) =>
  Object.entries(lines).flatMap(([before, afters]) =>
    afters
      .filter((after) => !known.has(JSON.stringify([file, within, before, after])))
      .map((after) => `${file}, ${within}: ${before} -> ${after}`),
  ),
);
tally.result(stale.length === 0, "what is written down as equivalent is there", stale.join("\n"));

const shipped = readFileSync(join("dist", "core", "core.wasm"));
const isShipped = (wasm) => wasm !== null && shipped.equals(wasm);
tally.result(isShipped(await compileOptimized()), "the sources compile to the module that ships");
const ours = compile();
const optimizedOurs = ours.optimized();
const checking = new Checking();
const { by, said } = await checking.run(ours.bytes);
tally.result(by === null, "the checks take the module that ships", `${by}: ${said}`);
if (tally.failed > 0) tally.end();

/** What the slower checks say of a module: the oracles, then the fuzzer. Null: nothing. */
async function tried(wasm, name) {
  const path = resolve(folder, `${name}.wasm`);
  writeFileSync(path, wasm);
  const provide = pathToFileURL(resolve("scripts", "provide-core.mjs")).href;
  const env = { ...process.env, UNIX_ANCILLARY_CORE: path };
  const oracles = ["--import", provide, "scripts/oracles.mjs", "--until-one-fails", "--skip-missing"];
  const fuzzer = ["scripts/fuzz.mjs", "--module", path, "--seconds", String(seconds), "--empty"];
  for (const [by, args] of [
    ["the oracles", oracles],
    ["the fuzzer", fuzzer],
  ]) {
    const { code, output } = await run(process.execPath, args, { env });
    const found = /^FAIL.*$/m.exec(output)?.[0];
    if (code === 1 && found !== undefined) return { by, said: found };
    if (code !== 0) throw new Error(`${by}: ${output.slice(-2000)}`);
  }
  return null;
}

/** How a mutant fares. `kind`: what is counted. */
async function examine(mutant, compiled) {
  const { by, said } = await checking.run(compiled.bytes);
  const reason = reasonOf(mutant);
  if (by !== null) return { kind: reason === undefined ? "noticed" : "wrong", by, said };
  if (optimizedOurs.equals(compiled.optimized())) return { kind: reason === undefined ? "same" : "needless" };
  if (reason !== undefined && !options.deep) return { kind: "equivalent" };
  if (options.sample !== undefined || options.quick) return { kind: "survives" };
  const found = await tried(await compileOptimized(mutant), "mutant");
  if (found === null) return { kind: reason === undefined ? "survives" : "equivalent" };
  return { kind: reason === undefined ? "slowly" : "wrong", ...found };
}

const WORDS = {
  refused: "do not compile",
  same: "compile to the same bytes",
  noticed: "noticed",
  slowly: "noticed by the slower checks alone",
  equivalent: "equivalent",
  survives: "survive",
  wrong: "are noticed and written down as equivalent",
  needless: "compile to the same bytes and are written down as equivalent",
};
const noticers = new Map();
for (const file of files) {
  const counts = new Map();
  let pending = Promise.resolve();
  for (const mutant of mutants.filter((one) => one.file === file)) {
    const count = (kind) => counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const compiled = compile(mutant);
    await pending;
    if (compiled === null) count("refused");
    else if (ours.bytes.equals(compiled.bytes)) count(reasonOf(mutant) === undefined ? "same" : "needless");
    else {
      // While it is checked, the next one is compiled.
      pending = examine(mutant, compiled).then(({ kind, by, said }) => {
        compiled.dispose();
        count(kind);
        if (by !== undefined) noticers.set(by, (noticers.get(by) ?? 0) + 1);
        if (kind === "survives") console.log(`SURVIVES  ${textOf(mutant)}`);
        if (kind === "needless") console.log(`SAME BYTES  ${textOf(mutant)}`);
        if (kind === "wrong") console.log(`NOTICED by ${by} (${said})  ${textOf(mutant)}`);
        if (kind === "slowly") console.log(`      ${by}: ${said}: ${textOf(mutant)}`);
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await pending;
  const failed = ["survives", "wrong", "needless"].reduce((sum, kind) => sum + (counts.get(kind) ?? 0), 0);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) continue;
  const text = Object.entries(WORDS).flatMap(([kind, words]) =>
    counts.has(kind) ? [`${counts.get(kind)} ${words}`] : [],
  );
  tally.result(failed === 0, `${file}: ${total} mutants: ${text.join(", ")}`, "", {
    passed: total - failed,
    failed,
  });
}
checking.end();
for (const [by, count] of noticers) console.log(`      ${count} by ${by}`);
tally.end();
