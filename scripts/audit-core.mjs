#!/usr/bin/env node
// The audit kit: is core.wasm what its sources make, and is it as small and as harmless as it is said to be?

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const RECORD = "assembly/core.sha256";
const LIMIT = 4096;

const clean = mkdtempSync(join(tmpdir(), "unix-ancillary-audit-"));
process.on("exit", () => rmSync(clean, { recursive: true, force: true }));
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
if (process.argv.includes("--record")) writeFileSync(RECORD, `${built}\n`);
const recorded = readFileSync(RECORD, "utf8").trim();
const module = new WebAssembly.Module(bytes);
const exported = WebAssembly.Module.exports(module);
const names = (kind) => exported.filter((one) => one.kind === kind).map(({ name }) => name);

let passed = 0;
let failed = 0;
function check(what, holds, detail) {
  console.log(`${holds ? "ok  " : "FAIL"}  ${what}: ${detail}`);
  if (holds) passed++;
  else failed++;
}

const imports = WebAssembly.Module.imports(module);
check(
  "built from the sources in a clean folder",
  built === recorded,
  `${built}${built === recorded ? "" : `, recorded ${recorded}; --record after a change`}`,
);
check("shipped", sha256(readFileSync("dist/core/core.wasm")) === built, "dist/core/core.wasm is the same");
check("size", bytes.length < LIMIT, `${bytes.length} bytes, limit ${LIMIT}`);
check("imports", imports.length === 0, imports.length === 0 ? "none" : JSON.stringify(imports));
check("memory", /\(memory [^)]*\b3 3\)/.test(text), /\(memory [^)]*\)/.exec(text)?.[0] ?? "none");
const without = {
  "memory.grow": /memory\.grow/,
  "indirect calls": /call_indirect|\(table/,
  "floating point": /\bf(32|64)\./,
  "start function": /\(start/,
  "data segments": /\(data/,
};
for (const [what, pattern] of Object.entries(without))
  check(`no ${what}`, !pattern.test(text), pattern.exec(text)?.[0] ?? "none");
const traps = text.match(/\bunreachable\b|\b(i32|i64)\.(div|rem)_/g) ?? [];
check("no instruction that traps but memory access", traps.length === 0, traps.join(", ") || "none");
console.log(`      functions: ${names("function").join(" ")}`);
console.log(
  `      memory and addresses: ${names("memory").join(" ")} ${names("global")
    .filter((name) => !name.includes("."))
    .join(" ")}`,
);
console.log(`      registers: ${names("global").filter((name) => name.includes(".")).length}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
