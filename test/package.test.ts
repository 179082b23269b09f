/** What a consumer gets: the packed tarball in an empty project, no scripts, no compiler in the PATH. */

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run, temporaryFolder } from "./support.ts";

const test = suite("package");
const folder = temporaryFolder();
let installed = "";

/** The first code block of the README's quick start. */
const quickStart = /## Quick start[\s\S]*?```js\n([\s\S]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";

test.before(async () => {
  const packed = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder]);
  assert.is(packed.code, 0, packed.stderr);
  const tarball = resolve(folder, packed.stdout.trim().split("\n").at(-1)!);
  installed = join(folder, "project");
  mkdirSync(installed);
  writeFileSync(join(installed, "package.json"), "{}");
  const added = await run("npm", ["install", "--ignore-scripts", "--offline", tarball], { cwd: installed });
  assert.is(added.code, 0, added.stderr);
});

/** A PATH with Node and nothing else. */
function bare(): NodeJS.ProcessEnv {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  try {
    symlinkSync(process.execPath, join(bin, "node"));
  } catch {
    // It is there from the test before.
  }
  return { PATH: bin, HOME: folder };
}

test("the README's quick start runs as an ES module", async () => {
  assert.match(quickStart, "unix-ancillary");
  writeFileSync(join(installed, "quick-start.mjs"), quickStart);
  const { code, stdout, stderr } = await run("node", ["quick-start.mjs"], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.is(stderr, "");
  assert.match(stdout, "hello");
});

test("and from CommonJS, with require", async () => {
  const asRequire = quickStart.replace(/import (.*) from (".*?");/g, "const $1 = require($2);");
  writeFileSync(join(installed, "quick-start.cjs"), `(async () => {\n${asRequire}\n})();`);
  const { code, stdout, stderr } = await run("node", ["quick-start.cjs"], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.match(stdout, "hello");
});

test("the codec alone needs no addon", async () => {
  const script = `
    process.env.UNIX_ANCILLARY_ADDON = "/nowhere";
    const { abis } = require("unix-ancillary/core");
    console.log(Object.keys(abis).length);
    require.resolve("unix-ancillary/core.wasm");
  `;
  const { code, stdout, stderr } = await run("node", ["-e", script], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.ok(Number(stdout) >= 43);
});

test("without an addon the error is a help page", async () => {
  const script = `
    require("node:fs").renameSync("node_modules/unix-ancillary/prebuilds", "prebuilds");
    try { require("unix-ancillary").UnixStream.pair(); } catch (error) { console.log(error.code, error.message); }
    require("node:fs").renameSync("prebuilds", "node_modules/unix-ancillary/prebuilds");
  `;
  const { code, stdout, stderr } = await run("node", ["-e", script], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.match(stdout, "ERR_ADDON_NOT_FOUND");
  assert.match(stdout, `${process.platform}-${process.arch}`);
  assert.match(stdout, "npm run build");
});

test.run();
