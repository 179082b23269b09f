#!/usr/bin/env node
// The audit kit: whether core.wasm is what its sources compile to, and has the properties that docs/audit.md promises.
//
//   npm run audit:core                  prints what it finds
//   npm run audit:core -- --record      records the SHA-256 of the module that was built, after a change
//   npm run audit:core -- --self-test   a module that lacks a property must be found, for each property

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readOptions, Tally } from "./lane.mjs";
import { compileCore } from "./planted-bugs.mjs";

const RECORD = "assembly/core.sha256";
const LIMIT = 4096;

const options = readOptions({
  record: { type: "boolean", default: false },
  "self-test": { type: "boolean", default: false },
});
const tally = new Tally();
const check = (what, holds, detail) => tally.result(holds, `${what}: ${detail}`);

const FORBIDDEN = {
  "memory.grow": /memory\.grow/,
  "indirect calls": /call_indirect|\(table/,
  "floating point": /\bf(32|64)\b/,
  "start function": /\(start/,
  "data segments": /\(data/,
};

/** The properties of a module: [what, whether it holds, what was found]. */
function findings(bytes, text) {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
  const traps = text.match(/\bunreachable\b|\b(i32|i64)\.(div|rem)_/g) ?? [];
  return [
    ["size", bytes.length < LIMIT, `${bytes.length} bytes, limit ${LIMIT}`],
    ["imports", imports.length === 0, imports.length === 0 ? "none" : JSON.stringify(imports)],
    ["memory", /\(memory [^)]*\b3 3\)/.test(text), /\(memory [^)]*\)/.exec(text)?.[0] ?? "none"],
    ...Object.entries(FORBIDDEN).map(([what, pattern]) => [
      `no ${what}`,
      !pattern.test(text),
      pattern.exec(text)?.[0] ?? "none",
    ]),
    ["no instruction that traps but memory access", traps.length === 0, traps.join(", ") || "none"],
  ];
}

/** What takes the place of CMSG_LEN in a copy of `assembly/cmsghdr.ts`, and what stands before it; options of the compiler. */
const LEN = "return n < 0 ? -1 : size(<u64>abi.dataOffset + n);";
const VIOLATIONS = {
  size: [Array.from({ length: 400 }, (_, i) => `store<u64>(n + ${i * 1000}, ${i * 7919});`).join("") + LEN],
  imports: [`host(); ${LEN}`, "declare function host(): void;"],
  memory: [LEN, "", { maximumMemory: 4 }],
  "no memory.grow": [`memory.grow(1); ${LEN}`],
  "no indirect calls": ["return (n > 5 ? align : space)(n);"],
  "no floating point": ["return <i32>(<f64>n * 1.5);"],
  "no start function": [LEN, "store<i32>(0, load<i32>(4));"],
  "no data segments": ['return "sixteen".charCodeAt(n & 3);'],
  "no instruction that traps but memory access": ["return <i32>(<u32>n / abi.alignBytes);"],
};

const clean = mkdtempSync(join(tmpdir(), "unix-ancillary-audit-"));
process.on("exit", () => rmSync(clean, { recursive: true, force: true }));

if (options["self-test"]) {
  for (const [what, [code, before = "", flags = {}]] of Object.entries(VIOLATIONS)) {
    const wasm = join(clean, "planted.wasm");
    const plant = ["cmsghdr.ts", LEN, code];
    const declare = ["cmsghdr.ts", "function roundUp(", `${before}\nfunction roundUp(`];
    compileCore(join(clean, "planted"), wasm, [plant, declare], flags);
    const found = findings(readFileSync(wasm), readFileSync(`${wasm}.wat`, "utf8")).filter(([, holds]) => !holds);
    check(
      `${what}, violated`,
      found.some(([name]) => name === what),
      found.map(([name, , detail]) => `${name}: ${detail}`).join("; ") || "not found",
    );
  }
  tally.end();
}

cpSync("assembly", join(clean, "assembly"), { recursive: true });
cpSync("asconfig.json", join(clean, "asconfig.json"));
symlinkSync(resolve("node_modules"), join(clean, "node_modules"));
execFileSync(
  process.execPath,
  [join("node_modules", "assemblyscript", "bin", "asc.js"), "--config", "asconfig.json", "--target", "release"],
  {
    cwd: clean,
    stdio: ["ignore", "ignore", "inherit"],
  },
);

const bytes = readFileSync(join(clean, "build", "core", "core.wasm"));
const text = readFileSync(join(clean, "build", "core", "core.wat"), "utf8");
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const built = sha256(bytes);
if (options.record) writeFileSync(RECORD, `${built}\n`);
const recorded = readFileSync(RECORD, "utf8").trim();
const module = new WebAssembly.Module(bytes);
const exported = WebAssembly.Module.exports(module);
const names = (kind) => exported.filter((item) => item.kind === kind).map(({ name }) => name);

check(
  "built from the sources in a clean folder",
  built === recorded,
  `${built}${built === recorded ? "" : `, recorded ${recorded}; --record after a change`}`,
);
check("shipped", sha256(readFileSync("dist/core/core.wasm")) === built, "dist/core/core.wasm is the same");
for (const finding of findings(bytes, text)) check(...finding);
console.log(`      functions: ${names("function").join(" ")}`);
console.log(
  `      memory and addresses: ${names("memory").join(" ")} ${names("global")
    .filter((name) => !name.includes("."))
    .join(" ")}`,
);
console.log(`      registers: ${names("global").filter((name) => name.includes(".")).length}`);
tally.end();
