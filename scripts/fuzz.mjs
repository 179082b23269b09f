#!/usr/bin/env node
// Fuzzes the core.wasm that ships: wasm2c makes it C, libFuzzer with AddressSanitizer drives it (fuzz/core.c).
//
//   npm run fuzz -- --seconds 60        from an empty corpus but for the seeds made here
//   npm run fuzz -- --self-test         seeded bugs, put into a copy of the sources, must be found within a minute each

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Codec } from "unix-ancillary/core";

const argument = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at === -1 ? otherwise : process.argv[at + 1];
};
const seconds = Number(argument("--seconds", "60"));
const folder = join("build", "fuzz");

/** Bugs that the fuzzer has to find: a file of the core, what to replace, and by what. */
const BUGS = {
  "off-by-one in the bound": [
    "decode.ts",
    "const overruns: bool = length > left;",
    "const overruns: bool = length > left + 1;",
  ],
  "missing alignment": ["cmsghdr.ts", "return roundUp(length, headerAlign);", "return length;"],
  "unchecked overrun": ["decode.ts", "if (!clamps) return fail(LENGTH_OVERRUNS);", ""],
  "padding not zeroed": ["encode.ts", "memory.fill(header, 0, min<u32>(whole, capacity - at));", ""],
};

function tool(name) {
  if (spawnSync(name, ["--version"]).error === undefined) return;
  console.log(`${process.env.CI ? "FAIL" : "SKIPPED"}: there is no ${name} (Debian: wabt, clang, libclang-rt-14-dev)`);
  console.log(process.env.CI ? "0 passed, 1 failed" : "0 passed, 0 failed");
  process.exit(process.env.CI ? 1 : 0);
}

/** The fuzzer for a module; its path. */
function build(wasm, name) {
  const out = join(folder, name);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "corpus"), { recursive: true });
  cpSync(wasm, join(out, "core.wasm"));
  execFileSync("wasm2c", [join(out, "core.wasm"), "-o", join(out, "core.c")]);
  const runtime = "/usr/share/wabt/wasm2c";
  execFileSync(
    "clang",
    [
      "-O1",
      "-g",
      "-w",
      "-fsanitize=fuzzer,address",
      `-I${out}`,
      `-I${runtime}`,
      "fuzz/core.c",
      join(out, "core.c"),
      `${runtime}/wasm-rt-impl.c`,
      "-lm",
      "-o",
      join(out, "fuzzer"),
    ],
    { stdio: "inherit" },
  );
  return out;
}

/** Canonical buffers of each layout that the target knows, in its order. */
function seeds(out) {
  const names = [
    "linux-x86_64-glibc",
    "linux-s390x-musl",
    "linux-i386-glibc",
    "freebsd-amd64",
    "netbsd-aarch64",
    "darwin-arm64",
    "illumos-sparcv9",
    "dragonfly-x86_64",
  ];
  for (const [i, name] of names.entries()) {
    const codec = new Codec(name);
    const lists = [
      [],
      [codec.rights([3])],
      [codec.rights([3, 4, 5]), codec.rights([6])],
      [{ level: 1, type: 2, data: new Uint8Array(12) }, codec.rights([7])],
    ];
    for (const [j, messages] of lists.entries()) {
      const control = codec.encode(messages);
      writeFileSync(
        join(out, "corpus", `${name}-${j}`),
        Buffer.concat([Uint8Array.of(i, 0, 0, 8, 255, 0, 1, 0), control]),
      );
    }
  }
  const words = [
    "\\x10\\x00\\x00\\x00",
    "\\x14\\x00\\x00\\x00",
    "\\x00\\x00\\x00\\x14",
    "\\x01\\x00\\x00\\x00",
    "\\xff\\xff\\x00\\x00",
    "\\x00\\x00\\xff\\xff",
    "\\x10\\x10\\x00\\x00",
    "\\xff\\xff\\xff\\xff",
  ];
  writeFileSync(join(out, "dictionary"), words.map((word) => `"${word}"\n`).join(""));
}

function fuzz(out, time) {
  seeds(out);
  const started = Date.now();
  const { status, stderr } = spawnSync(
    join(out, "fuzzer"),
    [
      `-max_total_time=${time}`,
      "-use_value_profile=1",
      "-max_len=1024",
      `-dict=${join(out, "dictionary")}`,
      `-artifact_prefix=${out}/`,
      "-print_final_stats=1",
      join(out, "corpus"),
    ],
    { encoding: "utf8", maxBuffer: 1 << 28 },
  );
  const last =
    stderr
      .trim()
      .split("\n")
      .filter((line) => /cov:/.test(line))
      .at(-1) ?? "";
  const stat = (name) => /: +(\d+)/.exec(stderr.split("\n").find((line) => line.includes(name)) ?? "")?.[1] ?? "?";
  return {
    clean: status === 0,
    seconds: (Date.now() - started) / 1000,
    text: `${stat("number_of_executed_units")} executions, ${stat("average_exec_per_sec")} a second, ${/cov: (\d+)/.exec(last)?.[1] ?? "?"} edges, corpus ${/corp: (\d+)/.exec(last)?.[1] ?? "?"}`,
    stderr,
  };
}

for (const name of ["wasm2c", "clang"]) tool(name);
let passed = 0;
let failed = 0;
if (process.argv.includes("--self-test")) {
  for (const [bug, [file, from, to]] of Object.entries(BUGS)) {
    const name = bug.replaceAll(" ", "-");
    const sources = join(folder, `assembly-${name}`);
    rmSync(sources, { recursive: true, force: true });
    cpSync("assembly", sources, { recursive: true });
    const text = readFileSync(join(sources, file), "utf8");
    if (!text.includes(from)) throw new Error(`the seeded bug "${bug}" no longer applies to ${file}`);
    writeFileSync(join(sources, file), text.replace(from, to));
    const wasm = join(folder, `${name}.wasm`);
    const { options } = JSON.parse(readFileSync("asconfig.json", "utf8"));
    const flags = Object.entries(options).flatMap(([key, value]) =>
      value === true ? [`--${key}`] : [`--${key}`, String(value)],
    );
    execFileSync(
      process.execPath,
      ["node_modules/assemblyscript/bin/asc.js", join(sources, "index.ts"), "-o", wasm, ...flags],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const { clean, seconds: taken, stderr } = fuzz(build(wasm, name), 60);
    const why = /^\d+: .* does not hold$/m.exec(stderr)?.[0] ?? "";
    console.log(
      `${clean ? "FAIL" : "ok  "}  ${bug}: ${clean ? "not found in 60 s" : `found after ${taken.toFixed(1)} s (${why})`}`,
    );
    if (clean) failed++;
    else passed++;
  }
} else {
  const { clean, text, stderr } = fuzz(build(join("dist", "core", "core.wasm"), "shipped"), seconds);
  console.log(`${clean ? "ok  " : "FAIL"}  core.wasm: ${text}`);
  if (!clean) console.log(stderr.split("\n").slice(-40).join("\n"));
  if (clean) passed++;
  else failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
