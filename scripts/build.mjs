#!/usr/bin/env node
// Builds what is older than its inputs: the core (AssemblyScript -> Wasm -> a module that embeds it), the library, its tests,
// benchmarks and examples (TypeScript), and the addon (C++). `--force` builds everything; `--quiet` prints nothing.

import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { addonPath, buildNative } from "./build-native.mjs";
import { bundle } from "./bundle.mjs";
import { makeTable } from "./cmsgdump-table.mjs";
import { writeCoreAbi } from "./core-abi.mjs";
import { writeDeclarations } from "./declarations.mjs";
import { embedCore } from "./embed-core.mjs";
import { readOptions } from "./lane.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const { force, quiet } = readOptions({
  force: { type: "boolean", default: false },
  quiet: { type: "boolean", default: false },
});
process.chdir(root);

/** The files below these paths. */
function files(...paths) {
  return paths.flatMap((path) => {
    if (!existsSync(path)) return [];
    if (!statSync(path).isDirectory()) return [path];
    return (
      readdirSync(path, { recursive: true, withFileTypes: true })
        // A table that is generated there is not an input.
        .filter((entry) => entry.isFile() && entry.name !== "table.ts")
        .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    );
  });
}

/** Runs a step whose stamp is missing or older than an input. */
async function step(name, stamp, inputs, run) {
  const made = existsSync(stamp) ? statSync(stamp).mtimeMs : 0;
  if (!force && made !== 0 && files("scripts", "package.json", ...inputs).every((f) => statSync(f).mtimeMs <= made))
    return;
  const start = Date.now();
  rmSync(stamp, { force: true });
  await run();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, "");
  if (!quiet) console.log(`built ${name} in ${((Date.now() - start) / 1000).toFixed(1)} s`);
}

function run(file, ...args) {
  execFileSync(process.execPath, [join("node_modules", ...file.split("/")), ...args], { stdio: "inherit" });
}

/** The sources of the addon for the package, to be built where it has no file: without comments, which are a third of their bytes. */
function copyNative() {
  mkdirSync("dist/native");
  for (const name of readdirSync("native").filter((file) => /\.(cc|h|gyp)$/.test(file))) {
    const lines = readFileSync(join("native", name), "utf8").split("\n");
    writeFileSync(join("dist", "native", name), lines.filter((line) => !/^\s*(\/\/.*)?$/.test(line)).join("\n"));
  }
}

/** Where a tool's entry point is, as its package.json says. */
function tool(name, bin = name) {
  const at = JSON.parse(readFileSync(join("node_modules", name, "package.json"), "utf8")).bin;
  return `${name}/${typeof at === "string" ? at : at[bin]}`;
}

await step("the core", "build/.core", ["assembly", "asconfig.json"], () => {
  run(tool("assemblyscript", "asc"), "--config", "asconfig.json", "--target", "release");
  embedCore();
});
const library = ["src", "native", "tsconfig.json", "tsconfig.base.json", "build/.core"];
await step("the library", "build/.library", library, async () => {
  for (const folder of ["dist", "build/lib", "build/types"]) rmSync(folder, { recursive: true, force: true });
  run(tool("typescript", "tsc"), "-p", "tsconfig.json");
  await bundle();
  writeDeclarations();
  writeFileSync("dist/core/core.wasm", readFileSync("build/core/core.wasm"));
  await writeCoreAbi();
  chmodSync("dist/cli.js", 0o755);
  writeFileSync("dist/unix-ancillary.1", execFileSync(process.execPath, ["dist/cli.js", "man"]));
  copyNative();
});
await step("cmsgdump", "build/.cmsgdump", ["assembly", "cmsgdump", "build/.library"], async () => {
  await makeTable();
  const flags = "--runtime stub --noAssert --use abort= --initialMemory 5 --maximumMemory 5 --memoryBase 1024";
  const size = "--optimizeLevel 3 --shrinkLevel 2 --converge";
  const out = ["-o", "dist/cmsgdump.wasm"];
  run(tool("assemblyscript", "asc"), "cmsgdump/index.ts", ...out, ...flags.split(" "), ...size.split(" "));
});
// Somebody may have removed what `npm run prebuilds` makes, and this file with it.
if (!existsSync(await addonPath())) rmSync("build/.addon", { force: true });
await step("the addon", "build/.addon", ["native"], () => buildNative());
// The published package has no tests: they are missing when it is packed again.
if (existsSync("test")) {
  const inputs = ["test", "bench", "examples", "fuzz", "tsconfig.tools.json", "build/.library"];
  await step("tests, benchmarks and examples", "build/.tools", inputs, () =>
    run(tool("typescript", "tsc"), "-p", "tsconfig.tools.json"),
  );
}
