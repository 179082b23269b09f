#!/usr/bin/env node
// Fuzzes the core.wasm that ships: wasm2c translates it to C, libFuzzer with AddressSanitizer drives it (fuzz/core.c).
//
//   npm run fuzz -- --seconds 60           from seeds: canonical buffers of every layout
//   npm run fuzz -- --seconds 60 --empty   from an empty corpus
//   npm run fuzz -- --self-test            bugs are planted in a copy of the sources: the fuzzer (from an empty corpus), the oracles
//                                          and the properties must each find each of them within a minute

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { abis, Codec, hostAbiName } from "unix-ancillary/core";
import { COMPILERS, REFERENCE_FLAGS } from "../test/oracles/targets.mjs";
import { hasTool, readOptions, run, Tally, wholeNumber } from "./lane.mjs";
import { compileCore, PLANTED_BUGS } from "./planted-bugs.mjs";

const options = readOptions({
  seconds: { type: "string", default: "60" },
  empty: { type: "boolean", default: false },
  "self-test": { type: "boolean", default: false },
});
const seconds = wholeNumber("seconds", options.seconds);
const folder = join("build", "fuzz");
const tally = new Tally();

/** Coverage and comparisons are recorded in the core alone: those of the harness are many more, and take most of the time. */
const WATCHED = "-fsanitize=fuzzer-no-link";

function clang(...args) {
  execFileSync("clang", ["-O2", "-g", "-w", "-fsanitize=address", ...args], { stdio: "inherit" });
}

/** One row for each configuration of the core. */
function layouts() {
  const kinds = new Map();
  for (const abi of Object.values(abis)) {
    const credentials = Array.from({ length: 3 }, (_, i) => abi.credentials[i]);
    const numbers = [
      abi.headerBytes,
      abi.lengthOffset,
      abi.lengthBytes,
      abi.levelOffset,
      abi.typeOffset,
      abi.dataOffset,
      abi.alignBytes,
      abi.headerAlignBytes,
      abi.endian === "big" ? 1 : 0,
      abi.SOL_SOCKET,
      abi.SCM_RIGHTS,
      abi.SCM_PIDFD ?? -1,
      abi.SCM_SECURITY ?? -1,
      abi.MSG_TRUNC,
      abi.MSG_CTRUNC,
      abi.sendControlLength === "space" ? 1 : 0,
      abi.losesCtrunc ? 1 : 0,
      abi.nextHeader === "musl" ? 1 : 0,
      `{${credentials.map((kind) => (kind === undefined ? "{-1, 0, -1, 0, 0}" : `{${kind.type}, ${kind.bytes}, ${kind.pid ?? -1}, ${kind.uid}, ${kind.gid}}`)).join(", ")}}`,
    ].join(", ");
    if (!kinds.has(numbers)) kinds.set(numbers, abi.name);
  }
  return [...kinds].map(([numbers, name]) => ({ numbers, name, symbol: `macros_${name.replaceAll("-", "_")}` }));
}

/** Compiles what does not depend on the module: the macros of every layout. Those of the host come from its own headers. */
function compileMacros() {
  const out = join(folder, "macros");
  mkdirSync(out, { recursive: true });
  const host = hostAbiName(process.platform, process.arch, "glibc");
  const native = COMPILERS.some(([name]) => name === host) && process.report.getReport().header.glibcVersionRuntime;
  for (const { name, symbol } of layouts()) {
    const flags = native && name === host ? [] : REFERENCE_FLAGS[name];
    clang(...flags, `-DTARGET=${symbol}`, "-c", "fuzz/macros.c", "-o", join(out, `${symbol}.o`));
  }
  const rows = layouts().map(({ name, numbers, symbol }) => `  {${numbers}, &${symbol}}, /* ${name} */`);
  const macros = layouts().map(({ symbol }) => `extern const Macros ${symbol};`);
  writeFileSync(
    join(out, "layouts.h"),
    [...macros, "static const Layout kLayouts[] = {", ...rows, "};"].map((line) => `${line}\n`).join(""),
  );
  return out;
}

/** Builds the fuzzer for a module. Returns its folder. */
function build(wasm, name) {
  const macros = compileMacros();
  const out = join(folder, name);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "corpus"), { recursive: true });
  cpSync(wasm, join(out, "core.wasm"));
  execFileSync("wasm2c", [join(out, "core.wasm"), "-o", join(out, "core.c")]);
  const runtime = "/usr/share/wabt/wasm2c";
  const include = [`-I${out}`, `-I${macros}`, `-I${runtime}`];
  const core = join(out, "core.o");
  clang(WATCHED, "-O1", ...include, "-c", join(out, "core.c"), "-o", core);
  const harness = join(out, "harness.o");
  clang(...include, "-c", "fuzz/core.c", "-o", harness);
  const objects = layouts().map(({ symbol }) => join(macros, `${symbol}.o`));
  const runtimeSource = `${runtime}/wasm-rt-impl.c`;
  clang("-fsanitize=fuzzer", ...include, runtimeSource, core, harness, ...objects, "-lm", "-o", join(out, "fuzzer"));
  return out;
}

/** Writes the seeds: canonical buffers of each layout. */
function seeds(out) {
  for (const [i, { name }] of layouts().entries()) {
    const codec = new Codec(name);
    const lists = [
      [],
      [codec.rights([3])],
      [codec.rights([3, 4, 5]), codec.rights([6])],
      [
        ...codec.abi.credentials.map(({ type, bytes }) => ({
          level: codec.abi.SOL_SOCKET,
          type,
          data: new Uint8Array(bytes),
        })),
        codec.rights([7]),
      ],
    ];
    for (const [j, messages] of lists.entries()) {
      const control = codec.encode(messages);
      writeFileSync(
        join(out, "corpus", `${name}-${j}`),
        Buffer.concat([Uint8Array.of(i, 0, 0, 8, 0, 0, 1, 0), control]),
      );
    }
  }
}

/** Writes the dictionary: the numbers of every row, as they lie in a header. */
function dictionary(out) {
  const words = new Set(["ffffffff"]);
  for (const abi of Object.values(abis)) {
    const codec = new Codec(abi);
    const message = codec.encode([codec.rights([3])]);
    const word = (at, bytes) => words.add(Buffer.from(message.subarray(at, at + bytes)).toString("hex"));
    word(abi.lengthOffset, abi.lengthBytes);
    word(abi.levelOffset, 4);
    word(abi.typeOffset, 4);
    word(abi.levelOffset, 8);
  }
  const lines = [...words].map((word) => `"${word.replace(/../g, "\\x$&")}"\n`);
  writeFileSync(join(out, "dictionary"), lines.join(""));
}

async function fuzz(out, time, isEmpty) {
  if (!isEmpty) seeds(out);
  dictionary(out);
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
    `-dict=${join(out, "dictionary")}`,
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

/** What finds a bug in a core: the fuzzer, the oracles, the properties. */
async function findings(wasm, name) {
  const { clean, seconds: time, stderr } = await fuzz(build(wasm, name), 60, true);
  const said = /^\d+: .* does not hold$/m.exec(stderr)?.[0] ?? /ERROR: AddressSanitizer: \S+/.exec(stderr)?.[0] ?? "";
  return {
    fuzzer: { found: !clean && said !== "", seconds: time, said },
    oracles: await check(wasm, /^FAIL.*$/m, "scripts/oracles.mjs", "--until-one-fails"),
    properties: await check(wasm, /^ *FAIL.*$/m, "build/test/core/codec-properties.test.js"),
  };
}

async function selfTest() {
  for (const [bug, replacement] of Object.entries(PLANTED_BUGS)) {
    const name = bug.replaceAll(" ", "-");
    const wasm = resolve(folder, `${name}.wasm`);
    compileCore(join(folder, `assembly-${name}`), wasm, [replacement]);
    for (const [checker, { found, seconds: time, said }] of Object.entries(await findings(wasm, name))) {
      const how = found ? `found by the ${checker} after` : `not found by the ${checker} in`;
      tally.result(found, `${bug}: ${how} ${time.toFixed(1)} s (${said})`);
    }
  }
}

const absent = ["wasm2c", "clang"].filter((name) => !hasTool(name));
if (absent.length > 0) {
  tally.missing("the fuzzer", `there is no ${absent.join(" and no ")} (Debian: wabt, clang, libclang-rt-14-dev)`);
} else if (options["self-test"]) {
  await selfTest();
} else {
  const { clean, text, stderr } = await fuzz(
    build(join("dist", "core", "core.wasm"), "shipped"),
    seconds,
    options.empty,
  );
  const from = options.empty ? "an empty corpus" : "seeds";
  tally.result(clean, `core.wasm, from ${from}: ${text}`, stderr.split("\n").slice(-60).join("\n"));
}
tally.end();
