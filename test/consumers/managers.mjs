// Package managers that lay out a project in other ways than npm, and checkers of packages.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const node = process.execPath;

/** A project without anything installed. */
function empty({ name, root, PROGRAM, tarball }) {
  const folder = join(root, name.replace(/\W+/g, "-"));
  mkdirSync(folder);
  const dependencies = { "unix-ancillary": `file:${tarball}` };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, dependencies }));
  writeFileSync(join(folder, "program.mjs"), PROGRAM.esm + PROGRAM.end);
  writeFileSync(join(folder, "program.cjs"), PROGRAM.cjs + PROGRAM.end);
  return folder;
}

async function withPnpm(context) {
  const { name, tool, root, succeeds, passes } = context;
  const folder = empty(context);
  const args = ["install", "--offline", "--ignore-scripts", "--store-dir", join(root, "pnpm-store")];
  if ((await succeeds(`${name}: install`, node, [tool("pnpm"), ...args], { cwd: folder })) === null) return;
  for (const file of ["program.mjs", "program.cjs"]) await passes(`${name}: ${file}`, node, [file], { cwd: folder });
}

/** Yarn's Plug'n'Play: there is no node_modules; packages are in archives, but for those with native files. */
async function withYarn(context) {
  const { name, tool, root, succeeds, passes } = context;
  const folder = empty(context);
  writeFileSync(join(folder, "yarn.lock"), "");
  writeFileSync(join(folder, ".yarnrc.yml"), "nodeLinker: pnp\nenableTelemetry: false\nenableGlobalCache: false\n");
  const yarn = tool("@yarnpkg/cli-dist", "yarn");
  const env = { YARN_ENABLE_IMMUTABLE_INSTALLS: "0", YARN_ENABLE_NETWORK: "0", HOME: root };
  if ((await succeeds(`${name}: install`, node, [yarn, "install"], { cwd: folder, env })) === null) return;
  for (const file of ["program.mjs", "program.cjs"])
    await passes(`${name}: ${file}`, node, [yarn, "node", file], { cwd: folder, env });
}

async function withPublint(context) {
  const { name, tool, tarball, start, tally, tail } = context;
  const { code, output } = await start(node, [tool("publint"), tarball, "--strict"], { cwd: context.root });
  tally.result(code === 0 && /All good!/.test(output), `${name} --strict: nothing found`, tail(output));
}

async function withAttw(context) {
  const { name, tool, tarball, start, tally, tail } = context;
  const args = [tool("@arethetypeswrong/cli", "attw"), tarball, "--format", "json"];
  // Files that are no modules of JavaScript.
  const excluded = ["core.wasm", "cmsgdump.wasm", "core.h", "abis.json"];
  const { code, output } = await start(node, [...args, "--exclude-entrypoints", ...excluded], { cwd: context.root });
  tally.result(code === 0, `${name}: nothing found in the entry points with types`, tail(output));
}

export const managers = { pnpm: withPnpm, "yarn PnP": withYarn, publint: withPublint, attw: withAttw };
