// Bugs that are put into a copy of the sources on purpose. Every check of these sources has to find them.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A pattern for a piece of code that ignores the white space between its tokens, and a trailing comma. */
function patternOf(code) {
  const tokens = code.match(/\w+|[^\w\s]/g);
  const escaped = tokens.map((token) => token.replace(/[^\w]/, "\\$&"));
  const pattern = escaped.map((token, i) => {
    if (i === 0) return token;
    const isWord = (text) => /^\w/.test(text);
    const optionalComma = /[)\]}]/.test(tokens[i]) && tokens[i - 1] !== "," ? ",?\\s*" : "";
    return `${isWord(tokens[i - 1]) && isWord(tokens[i]) ? "\\s+" : "\\s*"}${optionalComma}${token}`;
  });
  return new RegExp(pattern.join(""), "g");
}

/**
 * Replaces a piece of code in one of the files of a folder. `$&` in the replacement is what it replaces.
 *
 * @throws Error when there is not exactly one place for it
 */
export function plant(folder, files, from, to) {
  const pattern = patternOf(from);
  const places = files.flatMap((file) => {
    const path = join(folder, file);
    const text = readFileSync(path, "utf8");
    return [...text.matchAll(pattern)].map(() => ({ path, text }));
  });
  if (places.length !== 1) throw new Error(`${places.length} places in ${folder} for the planted bug: ${from}`);
  const [{ path, text }] = places;
  writeFileSync(path, text.replace(pattern, to));
}

/** {@link plant} in any of the scripts of a folder. */
export function plantInScripts(folder, from, to) {
  plant(
    folder,
    readdirSync(folder).filter((name) => name.endsWith(".js")),
    from,
    to,
  );
}

/** Bugs of the core, by name: a file of `assembly/`, what is replaced in it, and by what. */
export const PLANTED_BUGS = {
  "off-by-one in the bound": [
    "decode.ts",
    "const overruns: bool = length > left;",
    "const overruns: bool = length > left + 1;",
  ],
  "missing alignment": ["cmsghdr.ts", "return roundUp(length, abi.headerAlignBytes);", "return length;"],
  "unchecked overrun": ["decode.ts", "if (!clamps) return fail(LENGTH_OVERRUNS);", ""],
  "padding not zeroed": ["encode.ts", "clear(header, min<u32>(whole, capacity - at));", ""],
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
  for (const [file, from, to] of replacements) plant(sources, [file], from, to);
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
