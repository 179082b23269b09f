#!/usr/bin/env node
// Fuzzes the core.wasm that ships: wasm2c translates it to C, libFuzzer with AddressSanitizer drives it (fuzz/core.c).
//
//   npm run fuzz -- --seconds 60           from seeds: canonical buffers of every layout
//   npm run fuzz -- --seconds 60 --empty   from an empty corpus
//   npm run fuzz -- --self-test            bugs are planted in a copy of the sources: the fuzzer (from an empty corpus), the oracles
//                                          and the properties must each find each of them within a minute; --only PART: those
//                                          with this in their name
//   npm run fuzz -- --module FILE          another module, without counting branches
//   npm run fuzz -- --record               writes fuzz/generated/, which fuzz/build.sh needs; the other ways compare it

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { hostAbiName } from "unix-ancillary/core";
import { COMPILERS, REFERENCE_FLAGS } from "../test/oracles/targets.mjs";
import {
  layouts,
  runtimeFiles,
  seeds,
  translate,
  writeDictionary,
  writeGenerated,
  writeLayouts,
  wrongWithGenerated,
} from "./fuzz-sources.mjs";
import { hasTool, readOptions, run, SKIP_MISSING, select, Tally, wholeNumber } from "./lane.mjs";
import { compileCore, PLANTED_BUGS } from "./planted-bugs.mjs";
import { runtimeFolder } from "./wasm2c.mjs";

const options = readOptions({
  ...SKIP_MISSING,
  seconds: { type: "string", default: "60" },
  empty: { type: "boolean", default: false },
  "self-test": { type: "boolean", default: false },
  only: { type: "string", default: "" },
  module: { type: "string" },
  record: { type: "boolean", default: false },
});
const seconds = wholeNumber("seconds", options.seconds);
const folder = join("build", "fuzz");
const GENERATED = join("fuzz", "generated");
const SHIPPED = join("dist", "core", "core.wasm");
const tally = new Tally(options);

/** Coverage and comparisons are recorded in the core alone: those of the harness are many more, and take most of the time. */
const WATCHED = "-fsanitize=fuzzer-no-link";

function clang(...args) {
  execFileSync("clang", ["-O2", "-g", "-w", "-fsanitize=address", ...args], { stdio: "inherit" });
}

let macrosAreThere = false;

/** Compiles what does not depend on the module: the macros of every layout. Those of the host come from its own headers. */
function compileMacros() {
  const out = join(folder, "macros");
  if (macrosAreThere) return out;
  macrosAreThere = true;
  mkdirSync(out, { recursive: true });
  const host = hostAbiName(process.platform, process.arch, "glibc");
  const native = COMPILERS.some(([name]) => name === host) && process.report.getReport().header.glibcVersionRuntime;
  for (const { name, symbol } of layouts()) {
    const flags = native && name === host ? [] : REFERENCE_FLAGS[name];
    clang(...flags, `-DTARGET=${symbol}`, "-c", "fuzz/macros.c", "-o", join(out, `${symbol}.o`));
  }
  writeLayouts(out);
  return out;
}

/** Builds the fuzzer for a module. Returns its folder. */
function build(wasm, name, counts = false) {
  const macros = compileMacros();
  const out = join(folder, name);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "corpus"), { recursive: true });
  translate(wasm, out);
  const runtime = runtimeFolder();
  // A trap is a finding: AddressSanitizer reports accesses behind the memory, the harness the others.
  const traps = ["-DWASM_RT_TRAP_HANDLER=on_trap", "-DWASM_RT_SKIP_SIGNAL_RECOVERY=1"];
  const include = [`-I${out}`, `-I${macros}`, `-I${runtime}`, ...traps];
  const core = join(out, "core.o");
  clang(WATCHED, "-O1", ...include, "-c", join(out, "module.c"), "-o", core);
  const harness = join(out, "harness.o");
  clang(...include, "-c", "fuzz/core.c", "-o", harness);
  const objects = layouts().map(({ symbol }) => join(macros, `${symbol}.o`));
  const sources = runtimeFiles().filter((path) => path.endsWith(".c"));
  const rest = [...include, ...sources, harness, ...objects, "-lm"];
  clang("-fsanitize=fuzzer", core, ...rest, "-o", join(out, "fuzzer"));
  if (!counts) return out;
  // The same with gcov's counters, not optimized: one branch in C for each in Wasm.
  const counted = join(out, "counted.o");
  execFileSync("gcc", ["-O0", "-w", "--coverage", ...include, "-c", join(out, "module.c"), "-o", counted]);
  const library = execFileSync("gcc", ["-print-file-name=libgcov.a"], { encoding: "utf8" }).trim();
  clang("-fsanitize=fuzzer", counted, library, ...rest, "-o", join(out, "counter"));
  return out;
}

/** Writes the seeds to files. */
function writeSeeds(folder) {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of seeds()) writeFileSync(join(folder, name), bytes);
}

async function fuzz(out, time, isEmpty) {
  if (!isEmpty) writeSeeds(join(out, "corpus"));
  writeDictionary(out);
  const started = Date.now();
  const start = (environment, ...args) =>
    run(join(out, "fuzzer"), [...args, `-artifact_prefix=${out}/`, "-timeout=10", join(out, "corpus")], {
      env: { ...process.env, ...environment },
    });
  const fuzzed = await start(
    {},
    `-max_total_time=${time}`,
    "-use_value_profile=1",
    "-max_len=1024",
    `-dict=${join(out, "core.dict")}`,
    "-print_final_stats=1",
  );
  // Runs the corpus once more, each input repeated until the control area is full.
  const filled = fuzzed.code === 0 ? await start({ FILL: "1" }, "-runs=0") : fuzzed;
  const { code, output: stderr } = filled.code === 0 ? fuzzed : filled;
  const last =
    stderr
      .split("\n")
      .filter((line) => /cov:/.test(line))
      .at(-1) ?? "";
  const stat = (name) => /: +(\d+)/.exec(stderr.split("\n").find((line) => line.includes(name)) ?? "")?.[1] ?? "?";
  return {
    clean: code === 0,
    seconds: (Date.now() - started) / 1000,
    text: `${stat("number_of_executed_units")} executions, ${stat("average_exec_per_sec")} a second, ${/cov: (\d+)/.exec(last)?.[1] ?? "?"} edges, ${/ft: (\d+)/.exec(last)?.[1] ?? "?"} features, corpus ${/corp: (\d+)/.exec(last)?.[1] ?? "?"}`,
    stderr,
  };
}

/**
 * Runs the corpus and the seeds once, and counts the branches of the module that they take, and the lines of its C. A branch is a way out of a condition:
 * `if`, `br_if`, `select`.
 */
async function branches(out) {
  writeSeeds(join(out, "seeds"));
  const inputs = ["corpus", "seeds"].flatMap((name) =>
    readdirSync(join(out, name)).map((file) => join(out, name, file)),
  );
  for (const environment of [{}, { FILL: "1" }]) {
    const { code, output } = await run(join(out, "counter"), inputs, { env: { ...process.env, ...environment } });
    if (code !== 0) return { taken: 0, missed: [output.slice(-2000)], lines: "no lines" };
  }
  const gcov = ["--json-format", "--stdout", "--branch-probabilities", "counted.gcda"];
  const { files } = JSON.parse(execFileSync("gcov", gcov, { cwd: out, encoding: "utf8", maxBuffer: 1 << 28 }));
  const { lines } = files.find(({ file }) => file.endsWith("module.c"));
  const source = readFileSync(join(out, "module.c"), "utf8").split("\n");
  let taken = 0;
  const executed = [];
  const missed = [];
  for (const { line_number: line, function_name: name, count: times, branches: ways } of lines) {
    const text = source[line - 1].trim();
    // The functions of the module, which have its instance. What wasm2c adds checks the depth of the stack.
    if (
      !source[line - 1].startsWith("  ") ||
      name === undefined ||
      !/^w2c_/.test(name) ||
      /^FUNC_(PRO|EPI)LOGUE/.test(text)
    )
      continue;
    executed.push(times > 0);
    for (const { count } of ways) {
      if (count > 0) taken++;
      else missed.push(`${name}, line ${line} of ${join(out, "module.c")}: ${text}`);
    }
  }
  return { taken, missed, lines: `${executed.filter(Boolean).length} of ${executed.length} lines` };
}

/** Runs other checks with another core: whether they fail, as they have to, after how many seconds, and their first complaint. */
async function check(wasm, complaint, ...args) {
  const provide = pathToFileURL(resolve("scripts", "provide-core.mjs")).href;
  const { code, output, milliseconds } = await run(process.execPath, ["--import", provide, ...args], {
    timeout: 60_000,
    env: { ...process.env, NO_COLOR: "1", UNIX_ANCILLARY_CORE: wasm },
  });
  const said = complaint.exec(output)?.[0].trim() ?? "";
  // A check that ends for another reason, or is killed, has found nothing.
  return { found: code === 1 && said !== "", seconds: milliseconds / 1000, said };
}

/** What finds a bug in a core: the fuzzer, and, by means of the public codec, the oracles and the properties. */
async function findings(wasm, name, byFuzzerAlone) {
  const { clean, seconds: time, stderr } = await fuzz(build(wasm, name), 60, true);
  const said = /^\d+: .* does not hold$/m.exec(stderr)?.[0] ?? /ERROR: AddressSanitizer: \S+/.exec(stderr)?.[0] ?? "";
  const fuzzer = { found: !clean && said !== "", seconds: time, said };
  if (byFuzzerAlone) return { fuzzer };
  return {
    fuzzer,
    oracles: await check(wasm, /^FAIL.*$/m, "scripts/oracles.mjs", "--until-one-fails", "--skip-missing"),
    properties: await check(wasm, /^ *FAIL.*$/m, "build/test/core/codec-properties.test.js"),
  };
}

async function selfTest() {
  const files = new Set(Object.values(PLANTED_BUGS).map(([file]) => file));
  const without = readdirSync("assembly").filter((name) => name.endsWith(".ts") && !files.has(name));
  tally.result(without.length === 0, `bugs are planted in each file of assembly/ (${files.size})`, without.join(" "));
  for (const bug of select(Object.keys(PLANTED_BUGS), [options.only], "planted bug")) {
    const replacement = PLANTED_BUGS[bug];
    const name = bug.replaceAll(" ", "-");
    const wasm = resolve(folder, `${name}.wasm`);
    compileCore(join(folder, `assembly-${name}`), wasm, [replacement]);
    const found = await findings(wasm, name, replacement[3] !== true);
    for (const [checker, { found: isFound, seconds: time, said }] of Object.entries(found)) {
      const how = isFound ? `found by the ${checker} after` : `not found by the ${checker} in`;
      tally.result(isFound, `${bug}: ${how} ${time.toFixed(1)} s (${said})`);
    }
  }
}

const absent = ["wasm2c", "clang", "gcc", "gcov"].filter((name) => !hasTool(name));
if (absent.length > 0) {
  tally.missing("the fuzzer", `there is no ${absent.join(" and no ")} (Debian: wabt, clang, libclang-rt-14-dev, gcc)`);
} else if (options["self-test"]) {
  await selfTest();
} else if (options.record) {
  rmSync(GENERATED, { recursive: true, force: true });
  writeGenerated(SHIPPED, GENERATED);
  rmSync(join(GENERATED, "core.wasm"));
  tally.result(true, `${GENERATED} is that of core.wasm`);
} else if (options.module !== undefined) {
  const { clean, text, stderr } = await fuzz(build(options.module, "module"), seconds, options.empty);
  tally.result(clean, `${options.module}: ${text}`, stderr.split("\n").slice(-60).join("\n"));
} else {
  const wrong = wrongWithGenerated(SHIPPED, GENERATED, join(folder, "generated"));
  tally.result(
    wrong.length === 0,
    `${GENERATED} is that of core.wasm (else: npm run fuzz -- --record)`,
    wrong.join("\n"),
  );
  const out = build(SHIPPED, "shipped", true);
  const { clean, text, stderr } = await fuzz(out, seconds, options.empty);
  const from = options.empty ? "an empty corpus" : "seeds";
  tally.result(clean, `core.wasm, from ${from}: ${text}`, stderr.split("\n").slice(-60).join("\n"));
  if (clean) {
    const { taken, missed, lines } = await branches(out);
    const all = taken + missed.length;
    const what = `${taken} of ${all} branches of the module in C were taken, ${lines} were run`;
    tally.result(missed.length === 0, what, missed.join("\n"));
  }
}
tally.end();
