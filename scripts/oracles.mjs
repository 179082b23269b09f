#!/usr/bin/env node
// The core compared with C compilers and C libraries: sizes, encoded bytes, and walks over thousands of buffers, whole and
// mutated, must be the same. Foreign architectures run under user-mode emulation.
//
// A missing compiler is a failure, or with `--skip-missing` is skipped. `--until-one-fails` stops at the first difference.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { File, OpenFile, WASI } from "@bjorn3/browser_wasi_shim";
import { abis, Codec } from "unix-ancillary/core";
import { COMPILERS, REFERENCE_FLAGS, WASI_CLANG, ZIG_TARGETS } from "../test/oracles/targets.mjs";
import { nativeSources } from "./build-native.mjs";
import { hasTool, readOptions, SKIP_MISSING, Tally } from "./lane.mjs";
import { ZIG, zigFolder } from "./zig.mjs";

const WALKS = 6000;
const options = readOptions({ ...SKIP_MISSING, "until-one-fails": { type: "boolean", default: false } });
const tally = new Tally(options);
const folder = join("build", "oracles");
mkdirSync(folder, { recursive: true });

/** A small deterministic generator: a failure is the same on every machine. */
function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Buffers of messages, most of them damaged: bytes changed, lengths made wild, ends cut, bytes added. */
function* buffers(codec, next) {
  for (let i = 0; i < WALKS; i++) {
    const messages = Array.from({ length: next(5) }, () => ({
      level: next(3),
      type: next(5),
      data: Uint8Array.from({ length: next(40) }, () => next(256)),
    }));
    let bytes = [...codec.encode(messages)];
    for (let damage = next(4); damage > 0; damage--) {
      const kind = next(4);
      if (kind === 0 && bytes.length > 0) bytes[next(bytes.length)] = next(256);
      else if (kind === 1) bytes = bytes.slice(0, next(bytes.length + 1));
      else if (kind === 2) bytes.push(...Array.from({ length: next(20) }, () => next(2) * next(64)));
      else if (bytes.length >= 8) {
        const { lengthOffset } = codec.abi;
        const header = messages.length > 0 ? (codec.decode(Uint8Array.from(bytes)).messages.at(-1)?.offset ?? 0) : 0;
        const at = header + lengthOffset + next(codec.abi.lengthBytes);
        if (at < bytes.length) bytes[at] = next(3) * next(40);
      }
    }
    yield Uint8Array.from(bytes);
  }
}

const toHex = (bytes) => Buffer.from(bytes).toString("hex");

/** The core's walk, in the format of the C program. */
function walk(codec, bytes) {
  const { messages, malformed } = codec.decode(bytes);
  const text = messages
    .map(
      ({ offset, level, type, data }) => `${offset}:${level}:${type}:${offset + codec.abi.dataOffset}:${data.length} `,
    )
    .join("");
  return { text, end: malformed === null ? "end" : `${malformed.reason}@${malformed.offset}` };
}

/**
 * Where the macros say that there is no further header, the core must be at the end, or name what is left: fewer bytes than a
 * header. musl says so too of exactly as many bytes as an empty message (its CMSG_NXTHDR compares with >=), and glibc 2.36
 * before its correction of any header; there the core looks at the header itself.
 */
function agrees(codec, bytes, said, ours) {
  const theirText = said.slice(0, said.lastIndexOf(" ") + 1);
  const theirEnd = said.slice(theirText.length);
  if (!theirEnd.startsWith("null@")) return theirText === ours.text && theirEnd === ours.end;
  const next = Number(theirEnd.slice(5));
  const left = bytes.length - next;
  if (left === 0) return theirText === ours.text && ours.end === "end";
  if (left < codec.abi.dataOffset) return theirText === ours.text && ours.end === `header-truncated@${next}`;
  // musl alone hides a message, an empty one at the end.
  if (codec.abi.nextHeader !== "musl" || left !== codec.abi.dataOffset) return false;
  const rest = walk(codec, bytes.subarray(next));
  return ours.text.startsWith(theirText) && (rest.text === "" || rest.text.endsWith(":0 "));
}

/**
 * What the table says of the payloads, in the format of `test/oracles/payloads.h`, by C struct or by the type of the message.
 * Numbers by their names.
 */
function stated({ credentials, timestamps, ...abi }) {
  const words = new Map(Object.entries(abi).filter(([key]) => /^(SOL|SCM|MSG|SO|SOCK|F)_/.test(key)));
  for (const { name, type, bytes, pid, uid, gid } of credentials)
    words.set(name, [type, bytes, pid ?? -1, uid, gid].join(":"));
  for (const { type, bytes, secondsBytes, fractionOffset, fractionBytes } of timestamps)
    words.set(type, [type, bytes, secondsBytes, fractionOffset, fractionBytes].join(":"));
  return words;
}

/** What differs in a line of payloads, and how many were compared. A reference has to state every payload of the row. */
function comparePayloads(abi, line, reference) {
  const words = stated(abi);
  const compared = new Set();
  const wrong = [];
  for (const [, name, value] of line.matchAll(/(\w+)=(\S+)/g)) {
    // A time is found by its type: a C library chooses which of the kernel's kinds it asks for.
    const key = value.includes(":") && name.startsWith("SCM_") ? Number(value.split(":")[0]) : name;
    compared.add(key);
    if (String(words.get(key)) !== value) wrong.push(`${name} is ${value}, in the table ${words.get(key)}`);
  }
  if (!reference && !compared.has("ucred")) wrong.push("no payloads were printed");
  if (reference) {
    for (const { name } of abi.credentials) if (!compared.has(name)) wrong.push(`${name} is not in the reference`);
    for (const { type, name } of abi.timestamps) if (!compared.has(type)) wrong.push(`${name} is not in the reference`);
  }
  return { count: compared.size, wrong };
}

/** Lines for the C program, each with what the core answers (for a walk: the bytes to walk). */
function casesOf(codec) {
  const next = random(20261124);
  const cases = [];
  for (let n = 0; n <= 2000; n++) cases.push([`S ${n}`, `${codec.align(n)} ${codec.len(n)} ${codec.space(n)}`]);
  // More descriptors than a kernel takes have a layout, too. The C program pads at the end.
  const padded = new Codec({ ...codec.abi, maxFdsPerMessage: 300, sendControlLength: "space" });
  for (let count = 0; count <= 300; count++) {
    const fds = Array.from({ length: count }, (_, i) => i + 1);
    cases.push([`R ${count}`, toHex(padded.encode([padded.rights(fds)]))]);
  }
  for (let i = 0; i < 500; i++) {
    const lengths = Array.from({ length: 1 + next(6) }, () => next(70));
    const pattern = (n) => Uint8Array.from({ length: n }, (_, k) => k + 1);
    const messages = lengths.map((n, j) => ({ level: j, type: j + 1, data: pattern(n) }));
    cases.push([`M ${lengths.join(" ")}`, toHex(padded.encode(messages))]);
  }
  for (const bytes of buffers(codec, next)) cases.push([`W ${toHex(bytes)}`, bytes]);
  return cases;
}

/** Runs a wasm32-wasi command. Returns its standard output. */
async function runWasi(path, input) {
  const output = new File([]);
  const fds = [
    new OpenFile(new File(new TextEncoder().encode(input))),
    new OpenFile(output),
    new OpenFile(new File([])),
  ];
  const wasi = new WASI(["oracle"], [], fds);
  const module = new WebAssembly.Module(readFileSync(path));
  const code = wasi.start(new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport }));
  if (code !== 0) throw new Error(`${path} ended with ${code}`);
  return new TextDecoder().decode(output.data);
}

let total = 0;
/** The rows that were compared. */
const held = new Set();

async function compare(name, run, reference) {
  held.add(name);
  const codec = new Codec(name);
  const cases = casesOf(codec);
  const lines = [...cases.map(([line]) => line), "P"];
  const answers = (await run(lines.map((line) => `${line}\n`).join(""))).split("\n");
  const wrong = [...cases.keys()].filter((i) => {
    const [, expected] = cases[i];
    if (typeof expected === "string") return answers[i] !== expected;
    return !agrees(codec, expected, answers[i] ?? "", walk(codec, expected));
  });
  const payloads = comparePayloads(codec.abi, answers[cases.length] ?? "", reference);
  const differ = wrong.length + payloads.wrong.length;
  const all = cases.length + payloads.count;
  total += all;
  const counts = `2001 sizes, 301 of descriptors, 500 of several messages, ${WALKS} walks, ${payloads.count} numbers and payloads`;
  const details = wrong.slice(0, 3).map((i) => {
    const [line, expected] = cases[i];
    const core = typeof expected === "string" ? expected : JSON.stringify(walk(codec, expected));
    return `      ${line}\n      C:    ${answers[i]}\n      core: ${core}`;
  });
  details.push(...payloads.wrong.map((line) => `      ${line}`));
  tally.result(differ === 0, `${name}: ${all} cases (${counts}), ${differ} differ`, details.join("\n"));
  if (differ > 0 && options["until-one-fails"]) tally.end();
}

const assertion = ([expression, value]) => `_Static_assert((long)(${expression}) == ${value}L, "${expression}");`;

for (const [name, compiler, flags, runner] of COMPILERS) {
  const absent = [compiler, ...runner].find((command) => !hasTool(command));
  if (absent !== undefined) {
    tally.missing(name, `there is no ${absent}`);
    continue;
  }
  const program = join(folder, name);
  const compiled = spawnSync(compiler, ["-O1", "-w", ...flags, "test/oracles/cmsg.c", "-o", program]);
  if (compiled.status !== 0) {
    tally.missing(name, `there is no C library for ${compiler} ${flags.join(" ")}: ${compiled.stderr}`);
    continue;
  }
  const [command, ...args] = [...runner, `./${program}`];
  await compare(name, (input) => execFileSync(command, args, { input, maxBuffer: 1 << 28, encoding: "utf8" }), false);
}

if (hasTool(WASI_CLANG)) {
  const [version] = execFileSync(WASI_CLANG, ["--version"], { encoding: "utf8" }).split("\n");
  const sdk = process.env.WASI_SDK_PATH;
  console.log(
    `      the C reference: ${version}, ${sdk === undefined ? "the system's wasi-libc" : `the wasi-sdk in ${sdk}`}`,
  );
}
for (const [name, flags] of Object.entries(REFERENCE_FLAGS)) {
  // The macros of a C library are the better reference.
  if (COMPILERS.some(([compiled]) => compiled === name)) continue;
  const program = join(folder, `${name}.wasm`);
  const compiled = hasTool(WASI_CLANG)
    ? spawnSync(WASI_CLANG, ["--target=wasm32-wasi", "-O1", "-w", ...flags, "test/oracles/cmsg.c", "-o", program])
    : { status: 1, stderr: "" };
  if (compiled.status === 0) await compare(name, (input) => runWasi(program, input), true);
  else tally.missing(name, `there is no clang with wasi-libc (${WASI_CLANG}): ${compiled.stderr}`);
}

const zig = zigFolder();
function runZig(args) {
  const cache = resolve(folder, "zig", "cache");
  const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
  return spawnSync(join(zig, "zig"), args, { env, encoding: "utf8" });
}
for (const [name, target] of Object.entries(ZIG_TARGETS)) {
  if (zig === null) {
    tally.missing(`${name} headers`, `${ZIG} cannot be installed`);
    continue;
  }
  const abi = abis[name];
  const numbers = Object.entries(abi).filter(
    ([key, value]) => /^(SOL|SCM|MSG|SO|SOCK|F)_/.test(key) && typeof value === "number",
  );
  const { msghdr } = abi;
  const claims = [
    ["sizeof(struct cmsghdr)", abi.headerBytes],
    ["offsetof(struct cmsghdr, cmsg_len)", abi.lengthOffset],
    ["sizeof(((struct cmsghdr *)0)->cmsg_len)", abi.lengthBytes],
    ["offsetof(struct cmsghdr, cmsg_level)", abi.levelOffset],
    ["offsetof(struct cmsghdr, cmsg_type)", abi.typeOffset],
    ["CMSG_LEN(0)", abi.dataOffset],
    ["CMSG_SPACE(1) - CMSG_SPACE(0)", abi.alignBytes],
    ...[0, 1, 4, 5, 8, 13, 1012].flatMap((n) => [
      [`CMSG_LEN(${n})`, new Codec(abi).len(n)],
      [`CMSG_SPACE(${n})`, new Codec(abi).space(n)],
    ]),
    ["sizeof(void *)", abi.pointerBytes],
    ["__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__", abi.endian === "little" ? 1 : 0],
    ["sizeof(struct msghdr)", msghdr.bytes],
    ["offsetof(struct msghdr, msg_iovlen)", msghdr.iovlenOffset],
    ["sizeof(((struct msghdr *)0)->msg_iovlen)", msghdr.iovlenBytes],
    ["offsetof(struct msghdr, msg_control)", msghdr.controlOffset],
    ["offsetof(struct msghdr, msg_controllen)", msghdr.controllenOffset],
    ["sizeof(((struct msghdr *)0)->msg_controllen)", msghdr.controllenBytes],
    ["offsetof(struct msghdr, msg_flags)", msghdr.flagsOffset],
  ];
  const time = (type, seconds, fraction, { bytes, secondsBytes, fractionOffset, fractionBytes }) => [
    [`sizeof(${type})`, bytes],
    [`sizeof(((${type} *)0)->${seconds})`, secondsBytes],
    [`offsetof(${type}, ${fraction})`, fractionOffset],
    [`sizeof(((${type} *)0)->${fraction})`, fractionBytes],
  ];
  const stamp = abi.timestamps.find(({ type }) => type === abi.SCM_TIMESTAMP);
  claims.push(...time("struct timeval", "tv_sec", "tv_usec", stamp));
  const darwin = abi.os === "darwin";
  if (!darwin) {
    claims.push(
      ...[
        ["bytes", "sizeof(struct ucred)"],
        ...["pid", "uid", "gid"].map((id) => [id, `offsetof(struct ucred, ${id})`]),
      ].map(([key, text]) => [text, abi.credentials[0][key]]),
    );
  }
  const absent = Object.entries(abi).filter(([key, value]) => /^(SCM|MSG|SO)_/.test(key) && value === null && darwin);
  const source = join(folder, `${name}.c`);
  const text = [
    "#define _DARWIN_C_SOURCE\n#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stddef.h>\n#include <sys/socket.h>\n#include <sys/time.h>\n#include <sys/un.h>",
    ...claims.map(assertion),
    ...numbers.map((claim) => (darwin ? assertion(claim) : `#ifdef ${claim[0]}\n${assertion(claim)}\n#endif`)),
    ...absent.map(([key]) => `#ifdef ${key}\n_Static_assert(0, "${key} exists");\n#endif`),
  ].join("\n");
  writeFileSync(source, `${text}\n`);
  const { status, stderr } = runZig(["cc", `--target=${target}`, "-c", source, "-o", join(folder, `${name}.o`)]);
  const count = claims.length + numbers.length + absent.length;
  const most = darwin ? "" : "at most ";
  const what = `${name}: the headers of ${target}, ${most}${count} assertions at compile time`;
  tally.result(status === 0, what, stderr.split("\n").slice(0, 12).join("\n"));
}
// The addon compiles for targets that it cannot run on here. A warning is an error.
for (const target of [
  "aarch64-macos",
  "x86_64-macos",
  "aarch64-linux-gnu",
  "x86_64-linux-musl",
  "arm-linux-gnueabihf",
]) {
  if (zig === null) {
    tally.missing(`the addon for ${target}`, `${ZIG} cannot be installed`);
    continue;
  }
  const { sources, flags } = nativeSources();
  const compile = (source) =>
    runZig(["c++", `--target=${target}`, ...flags, "-Werror", "-c", source, "-o", join(folder, "addon.o")]);
  const refused = sources.map(compile).filter(({ status }) => status !== 0);
  const said = refused[0]?.stderr.split("\n").slice(0, 12).join("\n");
  tally.result(refused.length === 0, `the addon compiles for ${target}`, said);
}
const without = Object.keys(abis).filter((name) => !held.has(name));
const compared = `${held.size} ABIs of ${Object.keys(abis).length} were compared with an oracle`;
if (without.length === 0) tally.result(true, compared);
else tally.missing(compared, `not ${without.join(", ")}`);
console.log(`${total} cases in all`);
tally.end();
