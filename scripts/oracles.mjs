#!/usr/bin/env node
// The core beside C compilers and libcs that are not ours: sizes, encoded bytes and walks over thousands of buffers, whole
// and mutated, must be the same. Foreign architectures run under user-mode emulation.
//
// A missing compiler is named; in CI (the variable CI is set) it fails.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { abis, Codec } from "unix-ancillary/core";

/** ABI, compiler, flags, and what runs the result. */
const ORACLES = [
  ["linux-x86_64-glibc", "gcc", [], []],
  ["linux-i386-glibc", "gcc", ["-m32", "-I/usr/include/x86_64-linux-gnu"], []],
  ["linux-x86_64-musl", "musl-gcc", ["-static"], []],
  ["linux-aarch64-glibc", "aarch64-linux-gnu-gcc", ["-static"], ["qemu-aarch64"]],
  ["linux-armv7-glibc", "arm-linux-gnueabihf-gcc", ["-static"], ["qemu-arm"]],
  ["linux-s390x-glibc", "s390x-linux-gnu-gcc", ["-static"], ["qemu-s390x"]],
  ["linux-riscv64-glibc", "riscv64-linux-gnu-gcc", ["-static"], ["qemu-riscv64"]],
];

const WALKS = 6000;
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

/** The core's walk, in the words of the C program. */
function walk(codec, bytes) {
  const { messages, malformed } = codec.decode(bytes);
  const text = messages.map(({ offset, level, type, data }) => `${offset}:${level}:${type}:${data.length} `).join("");
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
  // The one rule of a libc that hides a message: musl's, of exactly an empty one.
  if (codec.abi.nextHeader !== "musl" || left !== codec.abi.dataOffset) return false;
  const rest = walk(codec, bytes.subarray(next));
  return ours.text.startsWith(theirText) && (rest.text === "" || rest.text.endsWith(":0 "));
}

let passed = 0;
let failed = 0;
for (const [name, compiler, flags, runner] of ORACLES) {
  const program = join(folder, name);
  let missing = [compiler, ...runner].find((tool) => spawnSync(tool, ["--version"]).error !== undefined);
  if (missing === undefined) {
    const compiled = spawnSync(compiler, ["-O1", "-w", ...flags, "test/oracles/cmsg.c", "-o", program]);
    if (compiled.status !== 0) missing = `libc for ${compiler} ${flags.join(" ")}: ${compiled.stderr}`;
  }
  if (missing !== undefined) {
    console.log(`${process.env.CI ? "FAIL" : "SKIPPED"}  ${name}: there is no ${missing}`);
    if (process.env.CI) failed++;
    continue;
  }
  const codec = new Codec(name);
  const next = random(20261124);
  const cases = [];
  for (let n = 0; n <= 2000; n++) cases.push([`S ${n}`, `${codec.len(n)} ${codec.space(n)}`]);
  const row = abis[name];
  // More than a kernel takes is still a layout.
  const unlimited = new Codec({ ...row, maxFdsPerMessage: 300 });
  for (let count = 0; count <= 300; count++) {
    const fds = Array.from({ length: count }, (_, i) => i + 1);
    cases.push([`R ${count}`, toHex(unlimited.encode([unlimited.rights(fds)]))]);
  }
  for (let i = 0; i < 500; i++) {
    const lengths = Array.from({ length: 1 + next(6) }, () => next(70));
    const messages = lengths.map((n, j) => ({
      level: j,
      type: j + 1,
      data: Uint8Array.from({ length: n }, (_, k) => k + 1),
    }));
    cases.push([`M ${lengths.join(" ")}`, toHex(codec.encode(messages))]);
  }
  for (const bytes of buffers(codec, next)) cases.push([`W ${toHex(bytes)}`, bytes]);
  const [command, ...args] = [...runner, program];
  const input = cases.map(([line]) => `${line}\n`).join("");
  const answers = execFileSync(runner.length > 0 ? command : `./${command}`, args, {
    input,
    maxBuffer: 1 << 28,
    encoding: "utf8",
  }).split("\n");
  const wrong = cases.filter(([, expected], i) =>
    typeof expected === "string"
      ? answers[i] !== expected
      : !agrees(codec, expected, answers[i], walk(codec, expected)),
  );
  if (wrong.length === 0) passed++;
  else failed++;
  console.log(
    `${wrong.length === 0 ? "ok  " : "FAIL"}  ${name}: ${cases.length} cases (2001 sizes, 301 of descriptors, 500 of several messages, ${WALKS} walks), ${wrong.length} differ`,
  );
  for (const [line] of wrong.slice(0, 3)) {
    const i = cases.findIndex(([other]) => other === line);
    const expected = cases[i][1];
    console.log(
      `      ${line}\n      C:    ${answers[i]}\n      core: ${typeof expected === "string" ? expected : JSON.stringify(walk(codec, expected))}`,
    );
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
