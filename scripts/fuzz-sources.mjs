// What the fuzzer is built from beside fuzz/*.c: the C of the module, the rows of the ABI table, seeds and a dictionary. scripts/fuzz.mjs
// makes it for any module. That of the module that ships is in fuzz/generated/, because the images of the fuzzing engines have neither
// Node nor wasm2c.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { abis, Codec } from "unix-ancillary/core";
import { REFERENCE_FLAGS } from "../test/oracles/targets.mjs";
import { runtimeFolder } from "./wasm2c.mjs";

const withNewlines = (lines) => lines.map((line) => `${line}\n`).join("");

/** One row for each configuration of the core. */
export function layouts() {
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

/** Writes `layouts.h`, and `rows`: the object of each row's macros, and the flags that fuzz/macros.c is compiled with for it. */
export function writeLayouts(out) {
  const rows = layouts().map(({ name, numbers, symbol }) => `  {${numbers}, &${symbol}}, /* ${name} */`);
  const macros = layouts().map(({ symbol }) => `extern const Macros ${symbol};`);
  const lines = [...macros, "static const Layout kLayouts[] = {", ...rows, "};"];
  writeFileSync(join(out, "layouts.h"), withNewlines(lines));
  const flags = layouts().map(({ name, symbol }) => [symbol, ...REFERENCE_FLAGS[name]].join(" "));
  writeFileSync(join(out, "rows"), withNewlines(flags));
}

/** Writes the names of the exports in C, which differ between versions of wasm2c, as macros: `core_` and the name in the module. */
function nameExports(out) {
  const header = readFileSync(join(out, "module.h"), "utf8");
  const exported = [...header.matchAll(/^\/\* export: '(.*)' \*\/\n.*?\b(\w+)\(/gm)];
  const instance = /^typedef struct (\w+) \{/m.exec(header)[1];
  const instantiate = /^void (\w+_instantiate)\(/m.exec(header)[1];
  // Up to 1.0.32.
  const initialize = /^void (\w+_init_module)\(/m.exec(header)?.[1];
  const lines = [
    '#include "module.h"',
    `typedef ${instance} CoreInstance;`,
    `#define core_instantiate(INSTANCE) (${initialize === undefined ? "" : `${initialize}(), `}${instantiate}(INSTANCE))`,
    ...exported.map(([, name, symbol]) => `#define core_${name.replace(/\W/g, "_")} ${symbol}`),
  ];
  writeFileSync(join(out, "names.h"), withNewlines(lines));
}

/** Translates a module to C: `module.c`, `module.h` and `names.h`. */
export function translate(wasm, out) {
  // The names in C come from that of the file.
  cpSync(wasm, join(out, "core.wasm"));
  execFileSync("wasm2c", [join(out, "core.wasm"), "-o", join(out, "module.c")]);
  nameExports(out);
}

/** The files of the runtime of wasm2c. The last is there since 1.0.33. */
export function runtimeFiles() {
  return ["wasm-rt-impl.c", "wasm-rt-impl.h", "wasm-rt-mem-impl.c"]
    .map((name) => join(runtimeFolder(), name))
    .filter(existsSync);
}

/** The seeds: canonical buffers of each layout, behind the eight bytes that choose what is done. By name. */
export function seeds() {
  const files = new Map();
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
    for (const [j, messages] of lists.entries())
      files.set(`${name}-${j}`, Buffer.concat([Uint8Array.of(i, 0, 0, 8, 0, 0, 1, 0), codec.encode(messages)]));
  }
  return files;
}

/** Writes the dictionary: the fields of a header of every row, as they lie in it. */
export function writeDictionary(out) {
  const words = new Set(["ffffffff"]);
  for (const abi of Object.values(abis)) {
    const codec = new Codec(abi);
    const message = codec.encode([codec.rights([3])]);
    const word = (at, bytes) => words.add(Buffer.from(message.subarray(at, at + bytes)).toString("hex"));
    word(abi.lengthOffset, abi.lengthBytes);
    word(abi.levelOffset, 4);
    word(abi.typeOffset, 4);
    word(abi.levelOffset, 8);
    word(0, abi.headerBytes);
  }
  const lines = [...words].map((word) => `"${word.replace(/../g, "\\x$&")}"`);
  writeFileSync(join(out, "core.dict"), withNewlines(lines));
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** The version of wasm2c, whose C differs from that of others. */
const wasm2cVersion = () => execFileSync("wasm2c", ["--version"], { encoding: "utf8" }).trim();

/** Writes all that fuzz/build.sh needs, with the checksum of the module and of each file. */
export function writeGenerated(wasm, out) {
  mkdirSync(out, { recursive: true });
  translate(wasm, out);
  writeLayouts(out);
  writeDictionary(out);
  const lines = [...seeds()].map(([name, bytes]) => `${name} ${bytes.toString("hex")}`);
  writeFileSync(join(out, "seeds"), withNewlines(lines));
  const header = ["/usr/include/wasm-rt.h", join(runtimeFolder(), "wasm-rt.h")].find(existsSync);
  for (const path of [header, ...runtimeFiles()]) cpSync(path, join(out, path.split("/").at(-1)));
  const files = readdirSync(out).filter((name) => name !== "SHA256SUMS" && name !== "core.wasm");
  const sums = files.sort().map((name) => `${sha256(readFileSync(join(out, name)))}  ${name}`);
  const made = [`# of core.wasm ${sha256(readFileSync(wasm))}, by wasm2c ${wasm2cVersion()}`];
  writeFileSync(join(out, "SHA256SUMS"), withNewlines([...made, ...sums]));
}

/**
 * What is wrong with fuzz/generated/: files that are not those of the list, a list of another module, and, where the version of wasm2c
 * is the same, files that would be made differently.
 *
 * @param scratch a folder for what is made to compare
 */
export function wrongWithGenerated(wasm, folder, scratch) {
  const [made, ...sums] = readFileSync(join(folder, "SHA256SUMS"), "utf8").trim().split("\n");
  const wrong = [];
  for (const line of sums) {
    const [sum, name] = line.split("  ");
    if (!existsSync(join(folder, name)) || sha256(readFileSync(join(folder, name))) !== sum)
      wrong.push(`${name} was changed`);
  }
  if (!made.includes(sha256(readFileSync(wasm)))) wrong.push("it is of another core.wasm");
  writeGenerated(wasm, scratch);
  const [now, ...others] = readFileSync(join(scratch, "SHA256SUMS"), "utf8").trim().split("\n");
  // Of another version of wasm2c, only what does not come from it is compared.
  const same = now.split(" by ")[1] === made.split(" by ")[1];
  const ours = (line) => same || /(core\.dict|layouts\.h|rows|seeds)$/.test(line);
  for (const line of others.filter(ours))
    if (!sums.includes(line)) wrong.push(`${line.split("  ")[1]} would be another`);
  return wrong;
}
