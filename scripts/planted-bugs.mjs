// Bugs that are put into a copy of the sources on purpose. Every check of these sources has to find them.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { bundle } from "./bundle.mjs";
import { replaceInTree } from "./syntax-tree.mjs";

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

/** The position after the bracket that belongs to the one at `open`. Brackets in strings and comments are balanced here, too. */
function closing(text, open) {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if ("([{".includes(text[at])) depth++;
    else if (")]}".includes(text[at]) && --depth === 0) return at + 1;
  }
  throw new Error("a bracket is not closed");
}

/** The ranges of what is called `name` in C++, from its name to the end of its body. */
function bodiesOf(text, name) {
  return [...text.matchAll(new RegExp(`(?<![\\w~>.])${name}\\b(?=[^;{}]*\\{)`, "g"))].flatMap(({ index }) => {
    // A definition has nothing but parameters, qualifiers and initializers before its body.
    let at = index + name.length;
    while (text[at] !== "{") {
      if (text[at] === "(") at = closing(text, at);
      else if (/[;)}\]]/.test(text[at])) return [];
      else at++;
    }
    return [[index, closing(text, at)]];
  });
}

/**
 * Replaces a piece of C++ inside what is named: `UvReadiness.Arm` is what is called `Arm` in what is called `UvReadiness`.
 *
 * @returns the changed text
 * @throws Error when there is not exactly one such piece
 */
export function replaceInCode(text, within, find, replacement) {
  let ranges = [[0, text.length]];
  for (const name of within.split(".").filter(Boolean))
    ranges = ranges.flatMap(([from, to]) =>
      bodiesOf(text.slice(from, to), name).map(([start, end]) => [from + start, from + end]),
    );
  if (ranges.length === 0) throw new Error(`nothing is called ${within}`);
  const pattern = patternOf(find);
  const places = ranges.filter(([from, to]) => text.slice(from, to).search(pattern) !== -1);
  const [[from, to] = [0, 0]] = places;
  const count = places.length === 1 ? text.slice(from, to).match(pattern).length : places.length;
  if (count !== 1) throw new Error(`${count} places in ${within} for: ${find}`);
  return text.slice(0, from) + text.slice(from, to).replace(pattern, replacement) + text.slice(to);
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

/**
 * Plants a fault of `scripts/mutants/` in the library of a copy of the checkout.
 *
 * @param root the copy, which has `build/lib/` and gets a new `dist/`
 * @throws Error when there is not exactly one place for it
 */
export async function plantInLibrary(root, { file, within, find, replacement }) {
  const path = file.replace(/^src/, join("build", "lib")).replace(/\.ts$/, ".js");
  if (!existsSync(path)) throw new Error(`there is no ${file}`);
  writeFileSync(join(root, path), replaceInTree(readFileSync(path, "utf8"), within, find, replacement));
  await bundle(root);
}

/**
 * Bugs of the core, by name: a file of `assembly/`, what is replaced in it, and by what. Each file has some. The fuzzer has to find all
 * of them. `true`: the oracles and the properties too, which see sizes, encoded bytes and walks, but neither the short ways nor what
 * a verdict says of the rest.
 */
export const PLANTED_BUGS = {
  "off-by-one in the bound": [
    "decode.ts",
    "const overruns: bool = length > left;",
    "const overruns: bool = length > left + 1;",
    true,
  ],
  "missing alignment": ["cmsghdr.ts", "return roundUp(length, abi.headerAlignBytes);", "return length;", true],
  "unchecked overrun": ["decode.ts", "if (!clamps) return fail(LENGTH_OVERRUNS);", "", true],
  "padding not zeroed": ["encode.ts", "memory.fill(header, 0, min<u32>(whole, capacity - at));", "", true],
  "length read in 32 of 64 bits": [
    "cmsghdr.ts",
    "return abi.bigEndian ? bswap<u64>(value) : value;",
    "return <u32>(abi.bigEndian ? bswap<u64>(value) : value);",
    true,
  ],
  "integers in the wrong byte order": [
    "abi.ts",
    "return abi.bigEndian ? bswap<i32>(value) : value;",
    "return value;",
    true,
  ],
  "exports with each other's names": ["index.ts", "align, len, space", "align, len as space, space as len", true],
  "table and control area that meet": [
    "memory.ts",
    "export const FDS: usize = 0x10000;",
    "export const FDS: usize = 0x10004;",
  ],
  "credentials without a user that name somebody": ["credentials.ts", "if (uid !== -1) {", "if (true) {"],
  "credentials read behind a short payload": ["credentials.ts", "if (length < bytes) return true;", ""],
  "only one sign of two looked at": ["rights.ts", "0x8000000080000000", "0x80000000"],
  "payload read past the control area": [
    "rights.ts",
    "min<u32>(FDS_CAPACITY - from, (CONTROL_BYTES - data) >> 2)",
    "FDS_CAPACITY - from",
  ],
  "payload inside of the header": [
    "target.ts",
    "if (headerBytes === 0 || headerBytes > dataOffset || dataOffset > LIMIT) return false;",
    "if (headerBytes === 0 || dataOffset > LIMIT) return false;",
  ],
  "short way for a number that stands for none": [
    "target.ts",
    "allow(prepare() && verdict(LEN, 0, 1, 1, false) === OK);",
    "allow(prepare());",
  ],
  "pidfd of the message before": [
    "verdict.ts",
    "set(Register.HAS_PIDFD, 0); set(Register.CREDENTIALS, 0);",
    "if (length !== 24) set(Register.HAS_PIDFD, 0); set(Register.CREDENTIALS, 0);",
  ],
  "fault of the walk before": ["decode.ts", "set(Register.FAULT, 0);", "if (length !== 24) set(Register.FAULT, 0);"],
  "walk that goes on after a verdict": ["verdict.ts", "open(one ? 0 : length,", "open(length,"],
  "short way without a check of the length": [
    "short.ts",
    "if (!exists || (length !== LEN && length !== SPACE)) return false;",
    "if (!exists || length < <i32>LEN) return false;",
  ],
  "short way with another header": [
    "short.ts",
    "if (load<u64>(CONTROL) !== load<u64>(SHORT_HEADER) || load<u64>(CONTROL, 8) !== load<u64>(SHORT_HEADER, 8)) return false;",
    "if (load<u64>(CONTROL) !== load<u64>(SHORT_HEADER)) return false;",
  ],
  "short way without zeroed padding": [
    "short.ts",
    "store<u64>(CONTROL, load<u32>(FDS), DATA);",
    "store<u32>(CONTROL, load<u32>(FDS), DATA);",
  ],
  "short way without a check of the sign": ["verdict.ts", "invalid = load<u32>(FDS) >>> 31;", ""],
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
