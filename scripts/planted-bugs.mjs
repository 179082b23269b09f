// Bugs to be put into a copy of the core's sources on purpose: whoever checks the core has to find them.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** By name: a file of `assembly/`, what to replace in it, and by what. */
export const PLANTED_BUGS = {
  "off-by-one in the bound": [
    "decode.ts",
    "const overruns: bool = length > left;",
    "const overruns: bool = length > left + 1;",
  ],
  "missing alignment": ["cmsghdr.ts", "return roundUp(length, abi.headerAlignBytes);", "return length;"],
  "unchecked overrun": ["decode.ts", "if (!clamps) return fail(LENGTH_OVERRUNS);", ""],
  "padding not zeroed": ["encode.ts", "memory.fill(header, 0, min<u32>(whole, capacity - at));", ""],
  "length read in 32 of 64 bits": [
    "cmsghdr.ts",
    "return abi.bigEndian ? bswap<u64>(value) : value;",
    "return <u32>(abi.bigEndian ? bswap<u64>(value) : value);",
  ],
};

/** Compiles `assembly/`, with replacements in its files and other options, to a module, and its text beside it. */
export function compileCore(sources, wasm, replacements = [], others = {}) {
  rmSync(sources, { recursive: true, force: true });
  cpSync("assembly", sources, { recursive: true });
  for (const [file, from, to] of replacements) {
    const text = readFileSync(join(sources, file), "utf8");
    if (!text.includes(from)) throw new Error(`a planted bug no longer applies to ${file}: ${from}`);
    writeFileSync(join(sources, file), text.replace(from, to));
  }
  const { options } = JSON.parse(readFileSync("asconfig.json", "utf8"));
  const flags = Object.entries({ ...options, ...others }).flatMap(([key, value]) =>
    value === true ? [`--${key}`] : [`--${key}`, String(value)],
  );
  mkdirSync(dirname(wasm), { recursive: true });
  const asc = join("node_modules", "assemblyscript", "bin", "asc.js");
  execFileSync(process.execPath, [asc, join(sources, "index.ts"), "-o", wasm, "-t", `${wasm}.wat`, ...flags], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}
