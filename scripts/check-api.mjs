#!/usr/bin/env node
// The public declarations against docs/api.d.ts: no name, type, option or docstring changes unnoticed. `--record` writes the
// file anew. Fails, too, when a public declaration mentions what no entry point exports, when a public name has no docstring,
// when the file does not type-check, and when the examples do not type-check against what ships.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { publicDeclarations, renderPage } from "./declarations.mjs";

const FILE = join("docs", "api.d.ts");
const HEAD = "// The public interface, one part for each entry point. Written by `npm run check:api -- --record`.\n";
const { values } = parseArgs({ options: { record: { type: "boolean", default: false } } });

let failed = 0;
function report(what, wrong) {
  console.log(`${wrong === "" ? "ok  " : "FAIL"}  ${what}${wrong && `\n${wrong}`}`);
  if (wrong !== "") failed++;
}

/** What the compiler says of files, with nothing skipped and no path of ours to look into. */
function typeCheck(name, include) {
  const folder = join("build", "check-api");
  mkdirSync(folder, { recursive: true });
  const config = {
    extends: relative(folder, "tsconfig.base.json"),
    compilerOptions: { noEmit: true, declaration: false, isolatedDeclarations: false, skipLibCheck: false },
    include: include.map((path) => relative(folder, path)),
  };
  const project = join(folder, `${name}.json`);
  writeFileSync(project, JSON.stringify(config));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join("node_modules", "typescript", "bin", "tsc"), "-p", project],
    { encoding: "utf8" },
  );
  return status === 0 ? "" : `${stdout}${stderr}` || `tsc ended with ${status}`;
}

const { entries, problems } = publicDeclarations();
const page = `${HEAD}\n${renderPage(entries)}`;
report("public declarations mention only what is exported, and have docstrings", problems.join("\n"));

if (values.record) writeFileSync(FILE, page);
const committed = readFileSync(FILE, "utf8").split("\n");
const emitted = page.split("\n");
const at = emitted.findIndex((line, i) => line !== committed[i]);
const differs = at !== -1 || emitted.length !== committed.length;
report(
  `${FILE}: ${entries.map(({ specifier, declarations }) => `${declarations.size} names of ${specifier}`).join(", ")}`,
  differs
    ? `it differs from line ${(at === -1 ? emitted.length : at) + 1} on:\n  committed: ${committed[at] ?? ""}\n  emitted:   ${emitted[at] ?? ""}
If that is meant: npm run check:api -- --record, and say it in CHANGELOG.md.`
    : "",
);
report(`${FILE} type-checks`, typeCheck("page", [FILE]));
report("what ships type-checks, and the examples against it", typeCheck("examples", ["dist", "examples"]));
console.log(`${4 - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
