// The raw interface of core.wasm, for hosts that have no JavaScript, from the sources: assembly/ has the exports with their
// comments, the registers, the faults and the outcomes; src/core/abis/ the rows. Written are dist/core/core.h, dist/core/abis.json,
// and the tables of docs/core-abi.md.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const DOCUMENT = join("docs", "core-abi.md");
const C_TYPES = { i32: "int32_t", u32: "uint32_t", bool: "int32_t", void: "void" };

const source = (name) => readFileSync(join("assembly", `${name}.ts`), "utf8");

/** The text of a doc comment: paragraphs, and a line for each tag. */
function proseOf(comment) {
  const lines = comment
    .replace(/^\s*\/\*\*|\*\/\s*$/g, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trim());
  return lines
    .join("\n")
    .trim()
    .replace(/\n(?!\n|@|\|)/g, (_, at, all) => (all[at - 1] === "\n" ? "\n" : " "))
    .replace(/\{@link ([^}]+)\}/g, "$1");
}

/** The files in the order in which a host meets their functions. */
const ORDER = ["target", "credentials", "cmsghdr", "encode", "rights", "decode", "verdict"];

/** The functions that assembly/index.ts exports, with their comments. */
function functions() {
  const found = [];
  for (const [, names, file] of source("index").matchAll(/^export \{ (.*?) \} from "\.\/(\w+)";$/gm)) {
    const text = source(file);
    for (const name of names.split(", ")) {
      const match = new RegExp(
        `(?:(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/)\\n)?export function ${name}\\(([^)]*)\\): (\\w+) \\{`,
      ).exec(text);
      if (match === null) continue;
      const [, comment, parameters, result] = match;
      const list = parameters
        .split(",")
        .map((one) => one.trim())
        .filter((one) => one !== "")
        .map((one) => one.split(": "));
      for (const type of [result, ...list.map(([, type]) => type)])
        if (!(type in C_TYPES)) throw new Error(`assembly/${file}.ts, ${name}: no C type for ${type}`);
      if (comment === undefined) throw new Error(`assembly/${file}.ts: ${name} is exported and has no comment`);
      found.push({ name, file, parameters: list, result, prose: proseOf(comment) });
    }
  }
  return found.sort((a, b) => ORDER.indexOf(a.file) - ORDER.indexOf(b.file));
}

/** The registers, by position, with their comments. A register without one shares that of the register before it. */
function registers() {
  const [, body] = /export enum Register \{([\s\S]*?)^\}/m.exec(source("memory"));
  let prose = "";
  return [...body.matchAll(/(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)|^ {2}([A-Z_]+),$/gm)].flatMap(([, comment, name]) => {
    if (comment !== undefined) prose = proseOf(comment).replace("see `decode.ts`", "of those below");
    if (name === undefined) return [];
    const own = { name, prose };
    prose = "";
    return [own];
  });
}

/** Numbered constants of a file, with their comments. */
function constants(file) {
  return [
    ...source(file).matchAll(
      /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n)?export const ([A-Z_]+): (?:i32|u32|usize) = (\w+);/g,
    ),
  ].map(([, comment = "", name, value]) => ({ name, value: Number(value), prose: proseOf(comment) }));
}

/** The calls that configure an instance for a row: those of the library itself. */
function callsOf(Core, abi) {
  const calls = {};
  const record =
    (name) =>
    (...given) => {
      const numbers = given.map(Number);
      if (name === "setCredentials") calls[name] = [...(calls[name] ?? []), numbers];
      else calls[name] = numbers;
      return 1;
    };
  const exports = Object.fromEntries(["setLayout", "setNumbers", "setCredentials"].map((name) => [name, record(name)]));
  Core.prototype.configure.call({ exports }, abi);
  return calls;
}

async function read() {
  const root = new URL("../", import.meta.url);
  const { abis } = await import(new URL("build/lib/core/abis/table.js", root));
  const { Core } = await import(new URL("build/lib/core/wasm.js", root));
  const bytes = readFileSync("build/core/core.wasm");
  const exported = WebAssembly.Module.exports(new WebAssembly.Module(bytes));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const all = functions();
  const names = exported.filter(({ kind }) => kind === "function").map(({ name }) => name);
  if (
    names.sort().join() !==
    all
      .map(({ name }) => name)
      .sort()
      .join()
  )
    throw new Error(`core.wasm exports ${names}, assembly/index.ts has ${all.map(({ name }) => name)}`);
  for (const { name, parameters } of all)
    if (exports[name].length !== parameters.length) throw new Error(`${name} takes ${exports[name].length} arguments`);
  const known = registers();
  for (const [position, { name }] of known.entries())
    if (exports[`Register.${name}`]?.value !== position) throw new Error(`the register ${name} is not at ${position}`);
  return {
    version: JSON.parse(readFileSync("package.json", "utf8")).version,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    memoryBytes: exports.memory.buffer.byteLength,
    functions: all,
    registers: known,
    memory: constants("memory").filter(({ name }) => name in exports),
    faults: constants("decode"),
    outcomes: constants("verdict"),
    rows: Object.values(abis).map((abi) => ({ abi, calls: callsOf(Core, abi) })),
  };
}

const comment = (text) => `/* ${text.replace(/\n+/g, "\n * ").replace(/\*\//g, "* /")} */`;

const cParameters = (parameters) => parameters.map(([name, type]) => `${C_TYPES[type]} ${name}`).join(", ");

function cHeader(core) {
  const number = (value) => `0x${value.toString(16)}u`;
  const enumeration = (name, entries) =>
    `enum ${name} {\n${entries.map(([key, value, prose]) => `${prose === "" ? "" : `  ${comment(prose)}\n`}  UA_${key} = ${value},\n`).join("")}};\n`;
  const row = ({ abi, calls: { setLayout, setNumbers, setCredentials } }) =>
    `  {"${abi.name}", ${abi.maxFdsPerMessage}, {${setLayout}}, {${setNumbers}}, {${setCredentials.map((one) => `{${one}}`)}}},\n`;
  return `/* Generated by scripts/core-abi.mjs. The raw interface of core.wasm, for hosts that have no JavaScript: docs/core-abi.md.
 * It needs no other header of this package, no C library, and no particular Wasm host. */
#ifndef UNIX_ANCILLARY_CORE_H
#define UNIX_ANCILLARY_CORE_H

#include <stdint.h>

#define UA_VERSION "${core.version}"
/* Of the core.wasm that this header is for. */
#define UA_CORE_SHA256 "${core.sha256}"

/* The memory that the module exports as "memory"; it has no other. */
#define UA_MEMORY_BYTES ${number(core.memoryBytes)}
${core.memory.map(({ name, value, prose }) => `${comment(prose)}\n#define UA_${name} ${number(value)}\n`).join("")}
/* The registers: little-endian 32-bit integers, by position, from UA_REGISTERS on. */
${enumeration(
  "ua_register",
  core.registers.map(({ name, prose }, position) => [name, position, prose]),
)}
/* Register FAULT, if it is not 0. */
${enumeration(
  "ua_fault",
  core.faults.map(({ name, value, prose }) => [name, value, prose]),
)}
/* Results of verdict. */
${enumeration(
  "ua_outcome",
  core.outcomes.map(({ name, value, prose }) => [name, value, prose]),
)}
/* The exports. In Wasm every argument and every result is an i32; booleans are 0 or 1.
${core.functions
  .map(
    ({ name, parameters, result, prose }) =>
      ` *\n * ${C_TYPES[result]} ${name}(${cParameters(parameters) || "void"})\n *   ${prose.replace(/\n+/g, "\n *   ")}\n`,
  )
  .join("")} */
/* X(result, name, parameters, arguments) for each, and X0(result, name) for those that take nothing, to make wrappers of them. */
#define UA_EXPORTS(X, X0) \\
${core.functions
  .map(({ name, parameters, result }) =>
    parameters.length === 0
      ? `  X0(${C_TYPES[result]}, ${name})`
      : `  X(${C_TYPES[result]}, ${name}, (${cParameters(parameters)}), (${parameters.map(([name]) => name).join(", ")}))`,
  )
  .join(" \\\n")}

/* A row of the ABI table: the arguments of setLayout, setNumbers, and three times setCredentials. */
struct ua_abi {
  const char *name;
  /* The most descriptors that this system takes in one message. */
  int32_t max_fds_per_message;
  int32_t layout[${core.functions.find(({ name }) => name === "setLayout").parameters.length}];
  int32_t numbers[${core.functions.find(({ name }) => name === "setNumbers").parameters.length}];
  int32_t credentials[3][${core.functions.find(({ name }) => name === "setCredentials").parameters.length}];
};

#ifdef UA_WITH_ABIS
static const struct ua_abi ua_abis[] = {
${core.rows.map(row).join("")}};
enum { UA_ABIS = sizeof ua_abis / sizeof *ua_abis };
#endif

#endif
`;
}

function json(core) {
  const abis = Object.fromEntries(core.rows.map(({ abi, calls }) => [abi.name, { ...abi, calls }]));
  return `${JSON.stringify({ version: core.version, coreSha256: core.sha256, abis })}\n`;
}

/** The document, with its tables made anew. */
function document(core) {
  const cell = (text) =>
    text
      .replace(/\n+@param (\w+)/g, "<br>`$1`:")
      .replace(/\n+/g, "<br>")
      .replace(/\|/g, "\\|");
  const table = (head, rows) =>
    [
      `| ${head.join(" | ")} |`,
      `|${" --- |".repeat(head.length)}`,
      ...rows.map((row) => `| ${row.join(" | ")} |`),
    ].join("\n");
  const tables = {
    memory: table(
      ["name", "value", "what"],
      core.memory.map(({ name, value, prose }) => [`\`${name}\``, `0x${value.toString(16)}`, cell(prose)]),
    ),
    registers: table(
      ["position", "name", "what"],
      core.registers.map(({ name, prose }, position) => [position, `\`${name}\``, cell(prose)]),
    ),
    faults: table(
      ["number", "name", "what"],
      core.faults.map(({ name, value, prose }) => [value, `\`${name}\``, cell(prose)]),
    ),
    outcomes: table(
      ["number", "name", "what"],
      core.outcomes.map(({ name, value, prose }) => [value, `\`${name}\``, cell(prose)]),
    ),
    exports: core.functions
      .map(
        ({ name, parameters, result, prose }) =>
          `**\`${name}(${parameters.map(([name, type]) => `${name}: ${type}`).join(", ")}): ${result}\`**\n\n${prose.replace(/\n+@param (\w+)/g, "\n- `$1`:").replace(/\n- /, "\n\n- ")}`,
      )
      .join("\n\n"),
  };
  return readFileSync(DOCUMENT, "utf8").replace(
    /(<!-- generated: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, begin, name, end) => `${begin}${tables[name]}\n${end}`,
  );
}

/** Writes what ships. */
export async function writeCoreAbi() {
  const core = await read();
  writeFileSync("dist/core/core.h", cHeader(core));
  writeFileSync("dist/core/abis.json", json(core));
}

/** What is wrong with the tables of the document; nothing once they have been written. */
export async function checkCoreDocument(record) {
  const made = document(await read());
  if (record) writeFileSync(DOCUMENT, made);
  return readFileSync(DOCUMENT, "utf8") === made
    ? ""
    : `its tables differ from the sources: npm run check:api -- --record`;
}
