// Builds the addon with Node and a C++ compiler alone, without node-gyp, Python or make. The sources and flags come from
// native/binding.gyp, which node-gyp can build, too.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { dropNeeded } from "./addon-files.mjs";

/** The folder of Node's headers. Every official distribution has them beside the binary. */
function headers() {
  const tried = [
    process.env.npm_config_nodedir && join(process.env.npm_config_nodedir, "include", "node"),
    resolve(dirname(process.execPath), "..", "include", "node"),
    join(homedir(), ".cache", "node-gyp", process.versions.node, "include", "node"),
  ].filter(Boolean);
  const found = tried.find((path) => existsSync(join(path, "node_api.h")) && existsSync(join(path, "uv.h")));
  if (found !== undefined) return found;
  throw new Error(
    `Node's headers (node_api.h, uv.h) were not found in\n${tried.map((path) => `  ${path}\n`).join("")}` +
      "Install them (Debian: libnode-dev), or set npm_config_nodedir to the folder that contains include/node.",
  );
}

export function compiler() {
  const tried = [process.env.CXX, "c++", "g++", "clang++"].filter(Boolean);
  const found = tried.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (found !== undefined) return found;
  throw new Error(
    `no C++ compiler was found to build the addon; tried ${tried.join(", ")}. Install a C++ compiler, or set CXX.`,
  );
}

/**
 * The sources and flags of every target: `flags` compile, `linking` links objects, and `libraries` follow these. `strip` leaves out what
 * the addon does not need to run, and optimizes all of it as one.
 */
export function nativeSources({ folder = "native", platform = process.platform, strip = false } = {}) {
  const [gyp] = JSON.parse(readFileSync(join(folder, "binding.gyp"), "utf8")).targets;
  const [[, notMac]] = gyp.conditions;
  const darwin = platform === "darwin";
  return {
    sources: gyp.sources.map((name) => join(folder, name)),
    linking: darwin
      ? ["-bundle", "-Wl,-undefined,dynamic_lookup", ...(strip ? ["-Wl,-dead_strip", "-Wl,-x"] : [])]
      : ["-shared", ...notMac.ldflags, ...(strip ? ["-s", "-Wl,-z,norelro", "-Wl,-z,noseparate-code"] : [])],
    libraries: darwin ? [] : notMac.libraries,
    flags: [
      ...gyp.cflags_cc,
      // -flto takes 3 KB from the packed addons, all nine together; -Oz, with which gcc gains nothing, 2 KB from two (2026-11-30).
      // Without scheduling, the same instructions follow each other more often: 2.9 KB less of seven packed files (2026-11-30).
      ...(strip
        ? ["-flto", "-fno-ident", ...(darwin ? ["-Oz"] : ["-fno-schedule-insns", "-fno-schedule-insns2"])]
        : []),
      ...gyp.defines.map((name) => `-D${name}`),
      "-DNODE_GYP_MODULE_NAME=unix_ancillary",
      "-fPIC",
      `-I${headers()}`,
      "-Inode_modules/node-addon-api",
    ],
  };
}

/** Where the library looks for the addon. The library has to be built before. */
export async function addonPath() {
  const { target } = await import("../build/lib/system/target.js");
  return join("prebuilds", target(), "unix-ancillary.node");
}

/** Builds the addon as `out`, by default {@link addonPath}. */
export async function buildNative({ extraFlags = [], out, strip = true, folder = "native" } = {}) {
  out ??= await addonPath();
  const { sources, flags, linking, libraries } = nativeSources({ folder, strip });
  mkdirSync(dirname(out), { recursive: true });
  // The final name never refers to half a file: another process may be loading it.
  const temporary = `${out}.${process.pid}`;
  const args = [...flags, ...extraFlags, ...linking, ...sources, ...libraries, "-o", temporary];
  execFileSync(compiler(), args, { stdio: "inherit" });
  if (strip && process.platform === "linux") {
    const bytes = readFileSync(temporary);
    dropNeeded(bytes);
    writeFileSync(temporary, bytes);
  }
  renameSync(temporary, out);
}
