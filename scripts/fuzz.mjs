#!/usr/bin/env node
// Fuzzes the core.wasm that ships: wasm2c makes it C, libFuzzer with AddressSanitizer drives it (fuzz/core.c).
//
//   npm run fuzz -- --seconds 60           from seeds: canonical buffers of every layout
//   npm run fuzz -- --seconds 60 --empty   from nothing
//   npm run fuzz -- --self-test            bugs planted into a copy of the sources: the fuzzer (from nothing), the oracles and the
//                                          properties must each find each of them within a minute

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { abis, Codec, hostAbiName } from "unix-ancillary/core";
import { COMPILERS, REFERENCE_FLAGS } from "../test/oracles/targets.mjs";
import { compileCore, PLANTED_BUGS } from "./planted-bugs.mjs";

const argument = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at === -1 ? otherwise : process.argv[at + 1];
};
const seconds = Number(argument("--seconds", "60"));
if (!Number.isInteger(seconds) || seconds < 1) {
  console.error(`--seconds expected a whole number of at least 1, got ${argument("--seconds", "60")}`);
  process.exit(2);
}
const empty = process.argv.includes("--empty");
const folder = join("build", "fuzz");

function tool(name) {
  if (spawnSync(name, ["--version"]).error === undefined) return;
  console.log(`${process.env.CI ? "FAIL" : "SKIPPED"}: there is no ${name} (Debian: wabt, clang, libclang-rt-14-dev)`);
  console.log(process.env.CI ? "0 passed, 1 failed" : "0 passed, 0 failed");
  process.exit(process.env.CI ? 1 : 0);
}

/** Coverage and comparisons are those of the core alone: the harness's would drown them, and cost most of the time. */
const WATCHED = "-fsanitize=fuzzer-no-link";

function clang(...args) {
  execFileSync("clang", ["-O2", "-g", "-w", "-fsanitize=address", ...args], { stdio: "inherit" });
}

/** One row of each kind that the core tells apart, by what it is configured with. */
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
      `{${credentials.map((one) => (one === undefined ? "{-1, 0, -1, 0, 0}" : `{${one.type}, ${one.bytes}, ${one.pid ?? -1}, ${one.uid}, ${one.gid}}`)).join(", ")}}`,
    ].join(", ");
    if (!kinds.has(numbers)) kinds.set(numbers, abi.name);
  }
  return [...kinds].map(([numbers, name]) => ({ numbers, name, symbol: `macros_${name.replaceAll("-", "_")}` }));
}

/** What does not depend on the module: the macros of every layout, compiled. The host's own are of its own headers. */
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

/** The fuzzer for a module; its path. */
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

/** Canonical buffers of each layout. */
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

/** The numbers of every row, as they lie in a header. */
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

function fuzz(out, time, fromNothing) {
  if (!fromNothing) seeds(out);
  dictionary(out);
  const started = Date.now();
  const run = (environment, ...args) =>
    spawnSync(join(out, "fuzzer"), [...args, `-artifact_prefix=${out}/`, "-timeout=10", join(out, "corpus")], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      env: { ...process.env, ...environment },
    });
  const fuzzed = run(
    {},
    `-max_total_time=${time}`,
    "-use_value_profile=1",
    "-max_len=1024",
    `-dict=${join(out, "dictionary")}`,
    "-print_final_stats=1",
  );
  // Once more what was found worth keeping, each input repeated until the control area is full.
  const filled = fuzzed.status === 0 ? run({ FILL: "1" }, "-runs=0") : fuzzed;
  const { status, stderr } = filled.status === 0 ? fuzzed : filled;
  const last =
    stderr
      .split("\n")
      .filter((line) => /cov:/.test(line))
      .at(-1) ?? "";
  const stat = (name) => /: +(\d+)/.exec(stderr.split("\n").find((line) => line.includes(name)) ?? "")?.[1] ?? "?";
  return {
    clean: status === 0,
    seconds: (Date.now() - started) / 1000,
    text: `${stat("number_of_executed_units")} executions, ${stat("average_exec_per_sec")} a second, ${/cov: (\d+)/.exec(last)?.[1] ?? "?"} edges, ${/ft: (\d+)/.exec(last)?.[1] ?? "?"} features, corpus ${/corp: (\d+)/.exec(last)?.[1] ?? "?"}`,
    stderr,
  };
}

/** A lane of other tests, run with another core: whether it fails, as it has to, after how long, and its first complaint. */
function lane(wasm, complaint, ...args) {
  const started = Date.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", pathToFileURL(resolve("scripts", "provide-core.mjs")).href, ...args],
    { encoding: "utf8", timeout: 60_000, env: { ...process.env, NO_COLOR: "1", UNIX_ANCILLARY_CORE: wasm } },
  );
  const said = complaint.exec(`${stdout}${stderr}`)?.[0].trim() ?? "";
  // One that ends for another reason, or was killed, has found nothing.
  return { found: status === 1 && said !== "", seconds: (Date.now() - started) / 1000, said };
}

for (const name of ["wasm2c", "clang"]) tool(name);
let passed = 0;
let failed = 0;
if (process.argv.includes("--self-test")) {
  /** What is found in a core: by the fuzzer, the oracles, the properties. */
  const findings = (wasm, name, time) => {
    const { clean, seconds, stderr } = fuzz(build(wasm, name), time, true);
    const said = /^\d+: .* does not hold$/m.exec(stderr)?.[0] ?? /ERROR: AddressSanitizer: \S+/.exec(stderr)?.[0] ?? "";
    return {
      fuzzer: { found: !clean && said !== "", seconds, said },
      oracles: lane(wasm, /^FAIL.*$/m, "scripts/oracles.mjs", "--until-one-fails"),
      properties: lane(wasm, /^ *FAIL.*$/m, "build/test/core/codec-properties.test.js"),
    };
  };
  for (const [bug, replacement] of Object.entries(PLANTED_BUGS)) {
    const name = bug.replaceAll(" ", "-");
    const wasm = resolve(folder, `${name}.wasm`);
    compileCore(join(folder, `assembly-${name}`), wasm, [replacement]);
    for (const [who, { found, seconds, said }] of Object.entries(findings(wasm, name, 60))) {
      console.log(
        `${found ? "ok  " : "FAIL"}  ${bug}: ${found ? `found by the ${who} after ${seconds.toFixed(1)} s (${said})` : `not found by the ${who} in ${seconds.toFixed(1)} s ${said}`}`,
      );
      if (found) passed++;
      else failed++;
    }
  }
} else {
  const { clean, text, stderr } = fuzz(build(join("dist", "core", "core.wasm"), "shipped"), seconds, empty);
  console.log(`${clean ? "ok  " : "FAIL"}  core.wasm, from ${empty ? "an empty corpus" : "seeds"}: ${text}`);
  if (!clean) console.log(stderr.split("\n").slice(-60).join("\n"));
  if (clean) passed++;
  else failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
