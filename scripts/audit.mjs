#!/usr/bin/env node
// Walks the table of invariants in docs/audit.md. The last column of a row names what checks it: a command, the fuzzer's program, or a
// test and its title. Each is run once, and each row is printed with what they said. A row that names nothing fails. Arguments select
// rows by a part of their text. `--list`: prints the rows and the commands, and runs none.

import { readFileSync } from "node:fs";
import { readOptions, run, Tally } from "./lane.mjs";

const { list, positionals } = readOptions({ list: { type: "boolean", default: false } }, { allowPositionals: true });
const FUZZ = "npm run fuzz -- --seconds 30 --empty";
const tally = new Tally();

/** The rows of the table: the invariant, and the column that says what checks it. */
function rows() {
  const page = readFileSync("docs/audit.md", "utf8");
  const [, table] = /\n\| invariant \|[^\n]*\n[^\n]*\n((?:\|[^\n]*\n)+)/.exec(page);
  return table
    .trim()
    .split("\n")
    .map((line) => line.split(/ ?\| ?/).slice(1, -1))
    .map(([invariant, , checked]) => ({ invariant, checked }));
}

/** The commands of a row, and what it names and is not there. */
function evidence(checked) {
  const commands = new Set();
  const missing = [];
  for (const [, command] of checked.matchAll(/`(npm run [^`]+)`/g))
    commands.add(command === "npm run fuzz" ? FUZZ : command);
  for (const [, file, names] of checked.matchAll(/`(fuzz\/core\.c)`((?:,? (?:and )?`\w+`)*)/g)) {
    commands.add(FUZZ);
    const source = readFileSync(file, "utf8");
    for (const [, name] of names.matchAll(/`(\w+)`/g))
      if (!new RegExp(`\\b${name}\\(`).test(source)) missing.push(`${file} has no ${name}`);
  }
  for (const [, file, title] of checked.matchAll(/`test\/([\w/-]+)\.test\.ts`, "([^"]+)"/g)) {
    commands.add(`node scripts/test.mjs ${file}`);
    if (!readFileSync(`test/${file}.test.ts`, "utf8").includes(title)) missing.push(`${file} has no test "${title}"`);
  }
  return { commands: [...commands], missing };
}

const results = new Map();
/** Runs a command, once. */
async function outcome(command) {
  if (!results.has(command)) {
    const [program, ...args] = command.split(" ");
    const { code, output, how, milliseconds } = await run(program, args);
    const said = output.trim().split("\n").at(-1);
    results.set(command, {
      good: code === 0,
      said: `${said}, ${Math.round(milliseconds / 1000)} s`,
      detail: `${output}\n${how}`,
    });
  }
  return results.get(command);
}

const wanted = rows().filter(({ invariant }) => positionals.every((part) => invariant.includes(part)));
for (const { invariant, checked } of wanted) {
  const { commands, missing } = evidence(checked);
  if (commands.length === 0) missing.push("nothing that can be run checks it");
  const lines = [];
  let good = missing.length === 0;
  for (const command of list ? [] : commands) {
    const result = await outcome(command);
    good &&= result.good;
    lines.push(`${result.good ? "" : "FAILED "}${command}: ${result.said}`);
    if (!result.good) missing.push(result.detail);
  }
  tally.result(
    good,
    `${invariant}\n${(list ? commands : lines).map((line) => `        ${line}`).join("\n")}`,
    missing.join("\n"),
  );
}
tally.end();
