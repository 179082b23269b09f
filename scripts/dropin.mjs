#!/usr/bin/env node
// Installs packages that use usocket into a temporary project, where usocket is the alias package of packages/usocket/, packed; and
// runs a program of ours through them, and their own tests from their repositories. And dbus-native, with the stream of its example.
// `--sources FOLDER`: checkouts of the repositories (usocket, node-dbus-next) instead of clones. `--skip-missing`: what cannot be
// fetched is no failure.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { hasTool, readOptions, run, SKIP_MISSING, Tally } from "./lane.mjs";

const options = readOptions({ sources: { type: "string", default: "" }, ...SKIP_MISSING });
const tally = new Tally();
const folder = mkdtempSync(join(tmpdir(), "dropin-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const NPM = ["--ignore-scripts", "--no-audit", "--no-fund"];
const MINUTES = 60_000;

/** Runs a command, and counts it as a test. */
async function step(name, command, args, settings = {}, good = () => true) {
  const { code, output, how } = await run(command, args, { timeout: 5 * MINUTES, ...settings });
  const passed = code === 0 && good(output);
  tally.result(passed, name, `${output}\n${how}`);
  return passed ? output : null;
}

function missing(what, why) {
  if (options["skip-missing"]) console.log(`SKIPPED: ${what}: ${why}`);
  else tally.result(false, what, `${why}. --skip-missing skips what cannot be fetched`);
}

/** Packs the package in a folder. */
async function pack(path) {
  const to = mkdtempSync(join(folder, "packed-"));
  const { code, output } = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", to, resolve(path)]);
  if (code !== 0) throw new Error(output);
  return join(to, readdirSync(to)[0]);
}

/** A project in which usocket is the alias. */
async function project(name, packages) {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  const manifest = {
    private: true,
    dependencies: { "unix-ancillary": library, usocket: alias, ...packages },
    overrides: { usocket: "$usocket" },
  };
  writeFileSync(join(path, "package.json"), JSON.stringify(manifest));
  const { code, output } = await run("npm", ["install", ...NPM], { cwd: path, timeout: 5 * MINUTES });
  return { path, problem: code === 0 ? "" : output };
}

/** A checkout of a repository; null if there is none. */
async function checkout(name, url) {
  const path = options.sources === "" ? join(folder, `${name}.git`) : resolve(options.sources, name);
  if (options.sources !== "") return existsSync(path) ? path : null;
  const env = { ...process.env, GIT_TERMINAL_PROMPT: "0" };
  const { code } = await run("git", ["clone", "--quiet", "--depth", "1", url, path], { env, timeout: MINUTES });
  return code === 0 ? path : null;
}

const library = await pack(".");
const alias = await pack("packages/usocket");

const dbus = await project("dbus", { "dbus-next": "0.10.2" });
if (dbus.problem !== "") {
  missing("dbus-next", dbus.problem);
} else {
  const cwd = dbus.path;
  await step(
    "npm ls: no usocket but the alias, and no addon of its own",
    "npm",
    ["ls", "--all", "usocket", "nan", "node-gyp"],
    { cwd },
    (output) => output.includes("unix-ancillary-usocket") && !/ (nan|node-gyp)@/.test(output),
  );
  if (hasTool("dbus-run-session")) {
    cpSync("test/dropin/dbus-next.cjs", join(cwd, "program.cjs"));
    const output = await step("dbus-next beside a real bus", "dbus-run-session", ["--", "node", "program.cjs"], {
      cwd,
    });
    if (output !== null) console.log(`      ${output.trim()}`);
  } else missing("dbus-next beside a real bus", "no dbus-run-session");
}

// The first that asks for the descriptors of a stream, and the newest, which works on Node 20 although it says 22.12.
for (const version of ["0.13.0", "0.16.1"]) {
  const name = `dbus-native ${version} beside a real bus and a service of libdbus`;
  const native = await project(`dbus-native-${version}`, { "dbus-native": version });
  if (native.problem !== "") missing(name, native.problem);
  else if (!hasTool("dbus-run-session")) missing(name, "no dbus-run-session");
  else {
    cpSync("examples/dbus-native", native.path, { recursive: true });
    const args = ["--", "node", "inhibit.mjs"];
    const output = await step(name, "dbus-run-session", args, { cwd: native.path, timeout: MINUTES });
    if (output !== null) console.log(`      ${output.trim().split("\n").at(-1)}`);
  }
}

const usocketSources = await checkout("usocket", "https://github.com/jhs67/usocket.git");
const mocha = await project("usocket-tests", { mocha: "11.7.5" });
if (usocketSources === null || mocha.problem !== "") {
  missing("usocket's own tests", mocha.problem || "its repository cannot be cloned (its package has no tests)");
} else {
  cpSync(join(usocketSources, "test"), join(mocha.path, "test"), { recursive: true });
  writeFileSync(join(mocha.path, "index.js"), 'module.exports = require("usocket");\n');
  const passing = (output) => /\b11 passing/.test(output) && !/failing|pending/.test(output);
  const run = ["node_modules/mocha/bin/mocha.js", "-R", "spec"];
  await step("usocket's own tests: 11, none left out", process.execPath, run, { cwd: mocha.path }, passing);
}

/** What dbus-next's tests need: its decorators are of an old proposal. */
const JEST = {
  "dbus-next": "0.10.2",
  jest: "26.6.3",
  "babel-jest": "26.6.3",
  "@babel/core": "^7.1.5",
  "@babel/plugin-proposal-class-properties": "^7.1.0",
  "@babel/plugin-proposal-decorators": "^7.1.2",
  "@babel/plugin-syntax-bigint": "^7.2.0",
  "@babel/plugin-transform-async-to-generator": "^7.1.5",
};
const dbusSources = await checkout("node-dbus-next", "https://github.com/dbusjs/node-dbus-next.git");
if (dbusSources === null) {
  missing("dbus-next's own tests", "its repository cannot be cloned (its package has no tests)");
} else if (hasTool("dbus-run-session")) {
  const jest = await project("dbus-next-tests", JEST);
  if (jest.problem !== "") missing("dbus-next's own tests", jest.problem);
  else {
    for (const name of ["test", "lib", "index.js", ".babelrc"])
      cpSync(join(dbusSources, name), join(jest.path, name), { recursive: true });
    const args = ["--", "node", "node_modules/jest/bin/jest.js", "--testEnvironment=node", "--forceExit", "fd-passing"];
    const passing = (output) => !/skipped|failed|UNIX_FD not supported/.test(output);
    const output = await step(
      "dbus-next's own tests of descriptors",
      "dbus-run-session",
      args,
      { cwd: jest.path },
      passing,
    );
    if (output !== null) console.log(`      ${/^Tests:.*$/m.exec(output)?.[0]}`);
  }
} else missing("dbus-next's own tests", "no dbus-run-session");

tally.end();
