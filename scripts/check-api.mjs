#!/usr/bin/env node
// Compares the public declarations with docs/api.d.ts, so that no name, type, option or docstring changes unnoticed. `--record`
// writes the file, and the tables of docs/core-abi.md. The check fails, too, when a public declaration mentions a type that no entry point exports, when a public name
// has no docstring, and when the file, the declarations that ship, or the examples do not type-check.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { checkCoreDocument } from "./core-abi.mjs";
import { publicDeclarations, renderPage } from "./declarations.mjs";
import { readOptions, run, Tally } from "./lane.mjs";

const FILE = join("docs", "api.d.ts");
const HEAD = "// The public interface, one part for each entry point. Written by `npm run check:api -- --record`.\n";
const { record } = readOptions({ record: { type: "boolean", default: false } });
const tally = new Tally();
const report = (what, wrong) => tally.result(wrong === "", what, wrong);

/** Type-checks files, with nothing skipped, as a consumer does. Returns the errors. */
async function typeCheck(name, include) {
  const folder = join("build", "check-api");
  mkdirSync(folder, { recursive: true });
  const config = {
    extends: relative(folder, "tsconfig.base.json"),
    compilerOptions: { noEmit: true, declaration: false, isolatedDeclarations: false, skipLibCheck: false },
    include: include.map((path) => relative(folder, path)),
  };
  const project = join(folder, `${name}.json`);
  writeFileSync(project, JSON.stringify(config));
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  const { code, output, how } = await run(process.execPath, [tsc, "-p", project]);
  return code === 0 ? "" : `${output}${how}`;
}

const { entries, problems } = publicDeclarations();
const page = `${HEAD}\n${renderPage(entries)}`;
report("public declarations mention only what is exported, and have docstrings", problems.join("\n"));

if (record) writeFileSync(FILE, page);
const committed = readFileSync(FILE, "utf8").split("\n");
const emitted = page.split("\n");
const at = emitted.findIndex((line, i) => line !== committed[i]);
const differs = at !== -1 || emitted.length !== committed.length;
report(
  `${FILE}: ${entries.map(({ specifier, declarations }) => `${declarations.size} names of ${specifier}`).join(", ")}`,
  differs
    ? `it differs from line ${(at === -1 ? emitted.length : at) + 1} on:\n  committed: ${committed[at] ?? ""}\n  emitted:   ${emitted[at] ?? ""}
If the change is intended, run npm run check:api -- --record and describe it in CHANGELOG.md.`
    : "",
);
report("docs/core-abi.md has the exports, registers and numbers of the core", await checkCoreDocument(record));
report(`${FILE} type-checks`, await typeCheck("page", [FILE]));
report("what ships type-checks, and the examples against it", await typeCheck("examples", ["dist", "examples"]));
tally.end();
