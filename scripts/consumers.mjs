#!/usr/bin/env node
// The packed tarball in empty projects, with the tools that people build and test with: a program passes a file from one socket to
// another, through each. The tools are npm packages (test/consumers/tools.json), installed below build/. Arguments select consumers
// by a part of their name; `--sample`: those of the gate.

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { bundlers } from "../test/consumers/bundlers.mjs";
import { managers } from "../test/consumers/managers.mjs";
import { runners } from "../test/consumers/runners.mjs";
import { executables } from "../test/consumers/sea.mjs";
import { types } from "../test/consumers/types.mjs";
import { readOptions, run, SKIP_MISSING, select, Tally } from "./lane.mjs";

const SAMPLE = ["node", "esbuild to CommonJS", "webpack to ESM", "jest", "vitest threads", "types 7", "publint"];
const consumers = { ...bundlers, ...runners, ...types, ...managers, ...executables };

const options = readOptions(
  { ...SKIP_MISSING, sample: { type: "boolean", default: false } },
  { allowPositionals: true },
);
const names = options.sample ? SAMPLE : select(Object.keys(consumers), options.positionals, "consumer");
const tally = new Tally(options);

const root = realpathSync(mkdtempSync(join(tmpdir(), "consumers-")));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));

/** What is received when it works: a text that no file of a tool has. */
const secret = randomBytes(8).toString("hex");
const EXPECTED = `take this: ${secret}`;
writeFileSync(join(root, "file"), secret);

/** Installs the tools, if they are not those that are asked for. */
async function installTools() {
  const tools = resolve("build", "consumers");
  const wanted = readFileSync("test/consumers/tools.json", "utf8");
  const stamp = join(tools, "installed.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return join(tools, "node_modules");
  mkdirSync(tools, { recursive: true });
  writeFileSync(join(tools, "package.json"), wanted);
  const flags = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
  const { code, output } = await run("npm", ["install", "--prefix", tools, ...flags]);
  if (code === 0) writeFileSync(stamp, wanted);
  else tally.missing("the tools", `they cannot be installed: ${output}`);
  return code === 0 ? join(tools, "node_modules") : null;
}

/** The program as an ES module, and as one of CommonJS. `end`: it prints what was received. */
const esm = readFileSync("build/test/consumers/program.js", "utf8").replace(/^\/\/# source.*$/m, "");
const PROGRAM = {
  esm,
  cjs: esm.replace(/import (\{.*?\}) from (".*?");/g, "const $1 = require($2);").replace("export ", ""),
  end: "pass(process.env.CONSUMER_FILE).then((text) => console.log(text));\n",
};

const tools = await installTools();
if (tools === null) tally.end();
const packed = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", root], {
  encoding: "utf8",
});
const tarball = join(root, packed.trim().split("\n").at(-1));
const empty = join(root, "empty");
mkdirSync(empty);
writeFileSync(join(empty, "package.json"), '{ "private": true }');
execFileSync("npm", ["install", "--silent", "--ignore-scripts", "--offline", tarball], { cwd: empty });

/** A project with the package installed, and the tools of these names. Files are written from texts. */
function project(name, { files = {}, with: needed = [] } = {}) {
  const folder = join(root, name.replace(/\W+/g, "-"));
  cpSync(empty, folder, { recursive: true });
  for (const tool of needed) {
    const at = join(folder, "node_modules", tool);
    mkdirSync(dirname(at), { recursive: true });
    symlinkSync(join(tools, tool), at);
  }
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  return folder;
}

const environment = { ...process.env, CONSUMER_FILE: join(root, "file"), CONSUMER_EXPECTED: EXPECTED, NO_COLOR: "1" };
delete environment.UNIX_ANCILLARY_ADDON;

/** Runs a command in a folder. */
function start(command, args, { cwd, env = {}, timeout = 300_000 }) {
  return run(command, args, { cwd, env: { ...environment, ...env }, timeout });
}

/** The end of an output: a bundle is one long line. */
const tail = (text) =>
  text
    .split("\n")
    .map((line) => line.slice(0, 300))
    .slice(-30)
    .join("\n");

/** Runs the program: its last line has to be what was received, and its exit code 0. */
async function passes(what, command, args, options) {
  const { code, stdout, output, how } = await start(command, args, options);
  tally.result(code === 0 && stdout.trim().split("\n").at(-1) === EXPECTED, what, `${tail(output)}\n${how}`);
}

/** Runs a tool: its exit code has to be 0. Returns what it printed; null when it failed. */
async function succeeds(what, command, args, options) {
  const { code, output, how } = await start(command, args, options);
  if (code !== 0) tally.result(false, what, `${tail(output)}\n${how}`);
  return code === 0 ? output : null;
}

/** Does something while a project has no package, and so no addon. */
async function without(folder, act) {
  const at = join(folder, "node_modules", "unix-ancillary");
  const aside = join(folder, "aside");
  renameSync(at, aside);
  try {
    await act(aside);
  } finally {
    renameSync(aside, at);
  }
}

/** A program that a tool made. */
const tool = (name, bin = name) => {
  const { bin: bins } = JSON.parse(readFileSync(join(tools, name, "package.json"), "utf8"));
  return join(tools, name, typeof bins === "string" ? bins : bins[bin]);
};

const context = {
  tail,
  PROGRAM,
  EXPECTED,
  tally,
  root,
  tarball,
  tools,
  tool,
  project,
  start,
  passes,
  succeeds,
  without,
};
for (const name of names) {
  try {
    await consumers[name]({ ...context, name });
  } catch (error) {
    tally.result(false, name, error.stack);
  }
}
tally.end();
