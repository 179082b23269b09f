#!/usr/bin/env node
// The public declarations, as the compiler emits them, against the committed docs/api.d.ts: no name, type or option changes
// unnoticed. `--record` writes the file anew. Comments are left out, and what no entry point leads to.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FILE = join("docs", "api.d.ts");
const ENTRIES = {
  "unix-ancillary": "index",
  "unix-ancillary/core": "core/index",
  "unix-ancillary/testing": "testing/index",
};

function withoutComments(text) {
  return text.replace(/[ \t]*\/\*[\s\S]*?\*\/\n?/g, "").replace(/^\s*\/\/.*\n/gm, "");
}

/** The declarations of every emitted file, by name. An overloaded function has several. */
const declarations = new Map();
for (const name of readdirSync("dist", { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".d.ts") || name.startsWith("cli/")) continue;
  // What @internal says is nobody's business outside.
  const source = readFileSync(join("dist", name), "utf8").replace(
    /[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*@internal[\s\S]*?\*\/\n\s*[^;]*;\n/g,
    "",
  );
  const statements = withoutComments(source).split(/^(?=export |declare |interface |type )/m);
  for (const statement of statements) {
    const found = /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|const|let|function|enum) (\w+)/.exec(
      statement,
    );
    if (found === null) continue;
    const text = statement
      .trim()
      .replace(/^\s*#private;\n/gm, "")
      .replace(/\n\s*\n/g, "\n");
    declarations.set(found[1], [...(declarations.get(found[1]) ?? []), { file: name, text }]);
  }
}

/** What an entry point exports. */
function exportsOf(entry) {
  const text = withoutComments(readFileSync(join("dist", `${entry}.d.ts`), "utf8"));
  return [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, names]) => names.split(","))
    .map((name) =>
      name
        .trim()
        .replace(/^type /, "")
        .split(" as ")
        .at(-1),
    )
    .filter(Boolean)
    .sort();
}

let output = "// The public interface, as the compiler emits it. Written by `npm run check:api -- --record`.\n";
const wanted = [];
for (const [specifier, entry] of Object.entries(ENTRIES)) {
  const names = exportsOf(entry);
  output += `\n// ${specifier} exports: ${names.join(", ")}\n`;
  wanted.push(...names);
}
const included = new Set();
const missing = [];
for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
  if (included.has(name)) continue;
  included.add(name);
  if (!declarations.has(name)) missing.push(name);
  // Whatever they mention is part of the interface too.
  for (const { text } of declarations.get(name) ?? []) {
    for (const [other] of text.matchAll(/\b[A-Z]\w+\b/g)) if (declarations.has(other)) wanted.push(other);
  }
}
if (missing.length > 0) throw new Error(`exported, and declared nowhere: ${missing.join(", ")}`);
for (const name of [...included].sort()) for (const { text } of declarations.get(name)) output += `\n${text}\n`;

if (process.argv.includes("--record")) {
  writeFileSync(FILE, output);
  console.log(`recorded ${included.size} declarations`);
} else {
  const committed = readFileSync(FILE, "utf8");
  if (committed !== output) {
    const [before, after] = [committed, output].map((text) => text.split("\n"));
    const at = after.findIndex((line, i) => line !== before[i]);
    console.log(`FAIL  ${FILE} differs from line ${at + 1} on:\n  committed: ${before[at]}\n  emitted:   ${after[at]}`);
    console.log("If that is meant: npm run check:api -- --record, and say it in CHANGELOG.md.");
    process.exit(1);
  }
  console.log(`ok    ${FILE}: ${included.size} declarations`);
}
