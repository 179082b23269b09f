#!/usr/bin/env node
// Builds the targets of fuzz/build.sh with the variables that the fuzzing engines set, and checks each as OSS-Fuzz checks a build: it
// starts, is instrumented for its sanitizer alone, and takes its seeds. Built from a core with planted bugs it crashes. The targets of
// fuzz/javascript.ts must find faults of the library. `--seconds N`: how long each may take. `--only PART`: these builds.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeGenerated } from "./fuzz-sources.mjs";
import { hasTool, readOptions, run, SKIP_MISSING, select, Tally, wholeNumber } from "./lane.mjs";
import { MUTANTS } from "./mutants/index.mjs";
import { compileCore, PLANTED_BUGS, plantInLibrary } from "./planted-bugs.mjs";
import { replaceInTree } from "./syntax-tree.mjs";

const options = readOptions({
  ...SKIP_MISSING,
  seconds: { type: "string", default: "60" },
  only: { type: "string", default: "" },
});
const seconds = wholeNumber("seconds", options.seconds);
const tally = new Tally(options);
const folder = resolve("build", "test-fuzzers");

const COMMON = "-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION";
const CHECKS =
  "bool,array-bounds,float-divide-by-zero,function,integer-divide-by-zero,return,shift,signed-integer-overflow,vla-bound,vptr";
const LIBFUZZER = { CC: "clang", CXX: "clang++", LIB_FUZZING_ENGINE: "-fsanitize=fuzzer", FUZZING_ENGINE: "libfuzzer" };
const DRIVERS = ["/usr/lib/afl/libAFLDriver.a", "/usr/local/lib/afl/libAFLDriver.a"];

/** The builds: their variables as the images of the engines set them, and the prefix of the calls of their sanitizer. */
const BUILDS = {
  "libFuzzer with AddressSanitizer": {
    env: LIBFUZZER,
    sanitizer: "address",
    flags: "-fsanitize=address -fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link",
    calls: "__asan",
  },
  "libFuzzer with UndefinedBehaviorSanitizer": {
    env: LIBFUZZER,
    sanitizer: "undefined",
    flags: `-fsanitize=${CHECKS},unsigned-integer-overflow -fno-sanitize-recover=${CHECKS} -fsanitize=fuzzer-no-link`,
    calls: "__ubsan",
  },
  coverage: {
    env: LIBFUZZER,
    sanitizer: "coverage",
    flags: "-fprofile-instr-generate -fcoverage-mapping -pthread",
    calls: null,
  },
  "AFL++": {
    env: {
      ...{ CC: "afl-clang-fast", CXX: "afl-clang-fast++", FUZZING_ENGINE: "afl", AFL_QUIET: "1" },
      LIB_FUZZING_ENGINE: DRIVERS.find(existsSync) ?? DRIVERS[0],
    },
    sanitizer: "address",
    flags: "-fsanitize=address",
    calls: "__asan",
  },
};
/** One bug for each target, all in one module; none that the start of a target finds. */
const PLANTED = {
  decode: "off-by-one in the bound",
  verdict: "short way without a check of the sign",
  encode_decode: "short way without zeroed padding",
  macros: "short way without zeroed padding",
  sequences: "pidfd of the message before",
};
const TARGETS = Object.keys(PLANTED);
/** What the images set: wrapping around is no bug in C of a module. */
const ENV = { ...process.env, UBSAN_OPTIONS: "silence_unsigned_overflow=1:halt_on_error=1" };

/** Runs fuzz/build.sh. @returns the folder of the targets, or null, and what was said */
async function build(name, { env, sanitizer, flags }, generated) {
  const out = join(folder, name);
  const work = join(folder, `${name}-work`);
  for (const path of [out, work]) mkdirSync(path, { recursive: true });
  const variables = {
    ...{ ...ENV, ...env, SANITIZER: sanitizer, ARCHITECTURE: "x86_64", OUT: out, SRC: resolve(".."), WORK: work },
    ...{ CFLAGS: `${COMMON} ${flags}`, CXXFLAGS: `${COMMON} ${flags}`, GENERATED: generated },
  };
  const { code, output } = await run("bash", ["fuzz/build.sh"], { env: variables });
  return { out: code === 0 ? out : null, output };
}

/** The seeds of a target as files. */
function unpack(out, target) {
  const seeds = join(out, `${target}-seeds`);
  mkdirSync(seeds, { recursive: true });
  execFileSync("python3", ["-m", "zipfile", "-e", join(out, `${target}_seed_corpus.zip`), seeds]);
  return seeds;
}

/** The options that an engine reads from the file beside a target. */
function optionsOf(out, target) {
  const [, text] = readFileSync(join(out, `${target}.options`), "utf8").split("[libfuzzer]\n");
  const pairs = text
    .trim()
    .split("\n")
    .map((line) => line.split(" = "));
  return pairs.map(([name, value]) => `-${name}=${name === "dict" ? join(out, value) : value}`);
}

/** How often a program calls the run-time library of a sanitizer. */
async function callsOf(path) {
  const { stdout } = await run("objdump", ["-d", path]);
  const count = (prefix) => stdout.match(new RegExp(`call\\s+[0-9a-f]+ <${prefix}`, "g"))?.length ?? 0;
  return { __asan: count("__asan"), __ubsan: count("__ubsan"), __msan: count("__msan") };
}

/** As the images of OSS-Fuzz check a build, with its thresholds. @returns what is wrong, and figures */
async function checkLibFuzzer(out, target, calls) {
  const program = join(out, target);
  const wrong = [];
  const start = await run(program, ["-seed=1337", "-runs=4", ...optionsOf(out, target)], { env: ENV });
  const edges = Number(/INFO: Loaded \d+ modules? .*?(\d+) inline 8-bit counters/.exec(start.output)?.[1] ?? 0);
  if (!/Done 4 runs/.test(start.output)) wrong.push(`it does not start: ${start.output.slice(-1000)}`);
  if (edges < 100) wrong.push(`only ${edges} edges are instrumented`);
  const counts = await callsOf(program);
  if (calls === "__asan" && counts.__asan < 1000) wrong.push(`only ${counts.__asan} calls of AddressSanitizer`);
  if (calls === "__asan" && counts.__ubsan > 200) wrong.push("UndefinedBehaviorSanitizer is in it, too");
  if (calls === "__ubsan" && (counts.__ubsan < 168 || counts.__asan > 0))
    wrong.push(`calls of sanitizers: ${JSON.stringify(counts)}`);
  if (counts.__msan > 3) wrong.push("MemorySanitizer is in it");
  const seeds = unpack(out, target);
  const taken = await run(program, ["-runs=0", ...optionsOf(out, target), seeds], { env: ENV });
  const count = readdirSync(seeds).length;
  if (taken.code !== 0 || !taken.output.includes(`${count} files found`))
    wrong.push(`its seeds: ${taken.output.slice(-1000)}`);
  return { wrong, text: `${edges} edges, ${counts[calls]} calls of its sanitizer, ${count} seeds` };
}

const AFL = {
  ...{ AFL_NO_UI: "1", AFL_SKIP_CPUFREQ: "1", AFL_NO_AFFINITY: "1", AFL_FORKSRV_INIT_TMOUT: "30000" },
  AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES: "1",
};

async function afl(out, target, time, more = {}) {
  const args = [
    "-i",
    unpack(out, target),
    "-o",
    join(out, `${target}-afl`),
    "-V",
    String(time),
    "-x",
    join(out, `${target}.dict`),
  ];
  return run("afl-fuzz", [...args, "--", join(out, target)], { env: { ...ENV, ...AFL, ...more } });
}

async function checkAfl(out, target) {
  const { output } = await afl(out, target, 3);
  const good = /All set and ready to roll/.test(output) && !/target binary (crashed|terminated)/.test(output);
  const [, seeds] = /Loaded a total of (\d+) seeds/.exec(output) ?? [];
  return { wrong: good ? [] : [output.slice(-2000)], text: `afl-fuzz is ready, ${seeds ?? "its"} seeds` };
}

/** Whether a target that was built with its bug crashes, after how many seconds. */
async function crash(out, target, { env }) {
  const start = Date.now();
  if (env.FUZZING_ENGINE === "afl") {
    await afl(out, target, seconds, { AFL_BENCH_UNTIL_CRASH: "1" });
    const crashes = join(out, `${target}-afl`, "default", "crashes");
    const found = existsSync(crashes) && readdirSync(crashes).some((name) => name.startsWith("id:"));
    return { found, time: (Date.now() - start) / 1000, said: "a crashing input" };
  }
  const args = [`-max_total_time=${seconds}`, `-artifact_prefix=${out}/${target}-`, ...optionsOf(out, target)];
  const { code, output } = await run(join(out, target), [...args, unpack(out, target)], { env: ENV });
  const said =
    /^\d+: .* does not hold$/m.exec(output)?.[0] ??
    /(ERROR: AddressSanitizer: \S+|runtime error: .*)/.exec(output)?.[0];
  // A crash before the first input would be one of the start.
  return {
    found: code !== 0 && said !== undefined && /seed corpus: files/.test(output),
    time: (Date.now() - start) / 1000,
    said: said ?? output.slice(-500),
  };
}

/** Lines of the module's C that the seeds alone run, of the build for coverage. */
async function coverage(out) {
  const profiles = [];
  for (const target of TARGETS) {
    const profile = join(out, `${target}.profraw`);
    profiles.push(profile);
    const { code, output } = await run(join(out, target), ["-runs=0", unpack(out, target)], {
      env: { ...ENV, LLVM_PROFILE_FILE: profile },
    });
    if (code !== 0) return { wrong: output.slice(-1000) };
  }
  const merged = join(out, "all.profdata");
  const [profdata, cov] = ["llvm-profdata", "llvm-cov"].map((name) => (hasTool(name) ? name : `${name}-14`));
  execFileSync(profdata, ["merge", "-sparse", ...profiles, "-o", merged]);
  const objects = TARGETS.slice(1).flatMap((target) => ["-object", join(out, target)]);
  const args = ["export", "-summary-only", `-instr-profile=${merged}`, join(out, TARGETS[0]), ...objects];
  // It warns that the harness differs from target to target.
  const quiet = { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "ignore"] };
  const { data } = JSON.parse(execFileSync(cov, args, quiet));
  const { lines, branches } = data[0].files.find(({ filename }) => filename.endsWith("module.c")).summary;
  return {
    text: `the seeds run ${lines.covered} of ${lines.count} lines of the module's C, ${branches.covered} of ${branches.count} branches`,
  };
}

async function examine(name, one) {
  const { env, calls } = one;
  const slug = name.replaceAll(/\W+/g, "-");
  const { out, output } = await build(slug, one, "fuzz/generated");
  if (out === null) return tally.result(false, `${name}: fuzz/build.sh`, output.slice(-3000));
  if (one.sanitizer === "coverage") {
    const { wrong, text } = await coverage(out);
    return tally.result(wrong === undefined, `${name}: ${text ?? "the seeds"}`, wrong);
  }
  for (const target of TARGETS) {
    const check = env.FUZZING_ENGINE === "afl" ? checkAfl : checkLibFuzzer;
    const { wrong, text } = await check(out, target, calls);
    tally.result(wrong.length === 0, `${name}: ${target}: ${text}`, wrong.join("\n"));
  }
  const planted = await build(`${slug}-planted`, one, join(folder, "planted"));
  if (planted.out === null) return tally.result(false, `${name}: planted bugs`, planted.output.slice(-3000));
  for (const target of TARGETS) {
    const { found, time, said } = await crash(planted.out, target, one);
    tally.result(
      found,
      `${name}: ${target}: ${found ? `a planted bug is found (${said})` : "no bug is found"} after ${time.toFixed(1)} s`,
      said,
    );
  }
}

/** Faults of the JavaScript layer, and the target of fuzz/javascript.ts that finds each. */
const FAULTS = [
  { target: "reader", ...MUTANTS.find(({ name }) => name === "a closed reader leaves its descriptors open") },
  { target: "channel", ...MUTANTS.find(({ name }) => name === "the descriptors of a bad frame stay open") },
  {
    target: "input",
    name: "the bytes behind the last message are in no part",
    file: "src/cli/parts.ts",
    within: "partsOf",
    find: "if (malformed !== null) _;",
    replacement: "",
  },
];

/** Plants a fault in a copy of what fuzz/javascript.ts runs, and lets the target look for it. */
async function examineJavaScript({ target, name, ...fault }) {
  const root = join(folder, `javascript-${target}`);
  const copied = ["package.json", "dist", "prebuilds", ...["lib", "src", "fuzz"].map((one) => join("build", one))];
  for (const path of copied) cpSync(path, join(root, path), { recursive: true });
  symlinkSync(resolve("node_modules"), join(root, "node_modules"));
  if (fault.file.startsWith("src/cli/")) {
    const path = join(root, fault.file.replace("src", join("build", "src")).replace(/ts$/, "js"));
    writeFileSync(path, replaceInTree(readFileSync(path, "utf8"), fault.within, fault.find, fault.replacement));
  } else await plantInLibrary(root, fault);
  const program = join("build", "fuzz", "javascript.js");
  const { code, output } = await run(process.execPath, [program, "--only", target, "--seconds", String(seconds)], {
    cwd: root,
  });
  const said = /^FAIL +(.*)$/m.exec(output)?.[1];
  // What was saved is tried first.
  const again = await run(process.execPath, [program, "--only", target, "--seconds", "0.001"], { cwd: root });
  const saved = /^FAIL .*counterexamples/m.test(again.output);
  const found = code === 1 && said !== undefined && saved;
  tally.result(found, `JavaScript: ${name}: ${found ? `${said}; and again` : "is not found"}`, output);
}

rmSync(folder, { recursive: true, force: true });
const absent = ["clang", "python3", "objdump", "wasm2c"].filter((name) => !hasTool(name));
if (absent.length > 0) {
  tally.missing(
    "the targets",
    `there is no ${absent.join(" and no ")} (Debian: clang, libclang-rt-14-dev, python3, binutils, wabt)`,
  );
  tally.end();
}
const JAVASCRIPT = "JavaScript";
const names = select([...Object.keys(BUILDS), JAVASCRIPT], [options.only], "build");
if (names.some((name) => name !== JAVASCRIPT)) {
  const wasm = join(folder, "planted.wasm");
  const bugs = [...new Set(Object.values(PLANTED))].map((bug) => PLANTED_BUGS[bug]);
  compileCore(join(folder, "assembly"), wasm, bugs);
  writeGenerated(wasm, join(folder, "planted"));
}
for (const name of names) {
  if (name === JAVASCRIPT) for (const fault of FAULTS) await examineJavaScript(fault);
  else if (BUILDS[name].env.FUZZING_ENGINE === "afl" && (!hasTool("afl-clang-fast") || !DRIVERS.some(existsSync)))
    tally.missing(name, "there is no afl-clang-fast with its driver (Debian: afl++)");
  else await examine(name, BUILDS[name]);
}
tally.end();
