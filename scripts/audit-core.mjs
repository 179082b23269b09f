#!/usr/bin/env node
// The audit kit: whether the core that runs is what its sources compile to, and has the properties that docs/audit.md promises.
//
//   npm run audit:core                  prints what it finds
//   npm run audit:core -- --record      records the SHA-256 of the module that was built, after a change
//   npm run audit:core -- --self-test   a module that lacks a property must be found, for each property; so must a copy of the library
//                                       that runs another module
//
// It is in the published package too, and needs nothing else of the checkout; there npx fetches the compiler:
//
//   node node_modules/unix-ancillary/scripts/audit-core.mjs

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { readOptions, Tally } from "./tally.mjs";

/** The checkout, or the installed package. */
const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const RECORD = join(root, "assembly", "core.sha256");
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
  // Bulk memory is needed: memory.copy and memory.fill.
  "instruction beyond Wasm 1.0 and bulk memory":
    /\bi(32|64)\.extend(8|16|32)_s|trunc_sat|v128|atomic|\bref\.|return_call|\b(try|throw)\b|memory\.init|\btable\./,
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

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** Prints the SHA-256 of every module that the library in `folder` compiles: that of the codec, and that of a socket. */
const PROBE = (folder) => `
  import { createHash } from "node:crypto";
  const compiled = [];
  for (const name of ["Module", "compile", "instantiate"]) {
    const original = WebAssembly[name];
    WebAssembly[name] = function (...given) {
      compiled.push(given[0] instanceof WebAssembly.Module ? "a module" : createHash("sha256").update(given[0]).digest("hex"));
      return new.target === undefined ? original.apply(this, given) : new original(...given);
    };
    WebAssembly[name].prototype = original.prototype;
  }
  process.on("exit", () => console.log(JSON.stringify(compiled)));
  const { Codec } = await import(${JSON.stringify(pathToFileURL(join(folder, "core", "index.js")))});
  new Codec("linux-x86_64-glibc");
  const { VirtualKernel } = await import(${JSON.stringify(pathToFileURL(join(folder, "testing.js")))});
  const { UnixStream } = await import(${JSON.stringify(pathToFileURL(join(folder, "index.js")))});
  const { platform } = new VirtualKernel("linux-x86_64-glibc", { seed: 1 }).process();
  for (const socket of UnixStream.pair({ platform })) socket.close();`;

/** Whether the library in a folder ships, embeds and runs the module with this SHA-256, and no other. */
function identity(folder, expected) {
  const sources = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".js"));
  // In base64 every module begins with these characters.
  const embedded = sources.flatMap((name) =>
    [...readFileSync(join(folder, name), "utf8").matchAll(/AGFzbQEAAAA[\w+/=]*/g)].map(([text]) => ({
      name,
      sha: sha256(Buffer.from(text, "base64")),
    })),
  );
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", PROBE(folder)], { encoding: "utf8" });
  const compiled = JSON.parse(stdout);
  const shipped = sha256(readFileSync(join(folder, "core", "core.wasm")));
  return [
    ["shipped", shipped === expected, `core/core.wasm is ${shipped === expected ? "the same" : shipped}`],
    [
      "embedded",
      embedded.length === 1 && embedded[0].sha === expected,
      embedded.map(({ name, sha }) => `${name} has ${sha === expected ? "the same" : sha}`).join(", ") || "none",
    ],
    [
      "run",
      compiled.length > 0 && compiled.every((sha) => sha === expected),
      `the library compiled ${compiled.map((sha) => (sha === expected ? "the same" : sha)).join(", ") || "nothing"}`,
    ],
  ];
}

const clean = mkdtempSync(join(tmpdir(), "unix-ancillary-audit-"));
process.on("exit", () => rmSync(clean, { recursive: true, force: true }));

if (options["self-test"]) {
  // Not in the published package.
  const { selfTest } = await import("./audit-self-test.mjs");
  selfTest({ findings, identity, check, clean, dist });
  tally.end();
}

cpSync(join(root, "assembly"), join(clean, "assembly"), { recursive: true });
cpSync(join(root, "asconfig.json"), join(clean, "asconfig.json"));
const { assemblyscript: version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies;
const installed = join(root, "node_modules", "assemblyscript", "bin", "asc.js");
const [command, ...first] = existsSync(installed)
  ? [process.execPath, installed]
  : ["npx", "--yes", "--package", `assemblyscript@${version}`, "--", "asc"];
execFileSync(command, [...first, "--config", "asconfig.json", "--target", "release"], {
  cwd: clean,
  stdio: ["ignore", "ignore", "inherit"],
});

const bytes = readFileSync(join(clean, "build", "core", "core.wasm"));
const text = readFileSync(join(clean, "build", "core", "core.wat"), "utf8");
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
for (const finding of identity(dist, built)) check(...finding);
for (const finding of findings(bytes, text)) check(...finding);
console.log(`      functions: ${names("function").join(" ")}`);
console.log(
  `      memory and addresses: ${names("memory").join(" ")} ${names("global")
    .filter((name) => !name.includes("."))
    .join(" ")}`,
);
console.log(`      beyond Wasm 1.0: ${[...new Set(text.match(/memory\.(copy|fill)/g))].join(" ") || "nothing"}`);
console.log(`      registers: ${names("global").filter((name) => name.includes(".")).length}`);
tally.end();
