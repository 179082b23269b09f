// The self-test of the audit: a module that lacks a property must be found, for each property; so must a copy of the library that runs
// another module.

import { createHash } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileCore } from "./planted-bugs.mjs";

/** What takes the place of CMSG_LEN in a copy of `assembly/cmsghdr.ts`, and what stands before it; options of the compiler. */
const LEN = "return n < 0 ? -1 : size(<u64>abi.dataOffset + n);";
const VIOLATIONS = {
  size: [Array.from({ length: 400 }, (_, i) => `store<u64>(n + ${i * 1000}, ${i * 7919});`).join("") + LEN],
  imports: [`host(); ${LEN}`, "declare function host(): void;"],
  memory: [LEN, "", { maximumMemory: 4 }],
  "no memory.grow": [`memory.grow(1); ${LEN}`],
  "no indirect calls": ["return (n > 5 ? align : space)(n);"],
  "no floating point": ["return <i32>(<f64>n * 1.5);"],
  "no start function": [LEN, "store<i32>(0, load<i32>(4));"],
  "no data segments": ['return "sixteen".charCodeAt(n & 3);'],
  "no instruction beyond Wasm 1.0 and bulk memory": ["return <i32>(<i8>n);"],
  "no instruction that traps but memory access": ["return <i32>(<u32>n / abi.alignBytes);"],
};

/**
 * Plants each violation, and checks that the audit finds it.
 *
 * @param audit what `audit-core.mjs` has: `findings`, `identity`, `check`, `clean` (a folder for its files) and `dist`
 */
export function selfTest({ findings, identity, check, clean, dist }) {
  for (const [what, [code, before = "", flags = {}]] of Object.entries(VIOLATIONS)) {
    const wasm = join(clean, "planted.wasm");
    const plant = ["cmsghdr.ts", LEN, code];
    const declare = ["cmsghdr.ts", "function roundUp(", `${before}\nfunction roundUp(`];
    compileCore(join(clean, "planted"), wasm, [plant, declare], flags);
    const found = findings(readFileSync(wasm), readFileSync(`${wasm}.wat`, "utf8")).filter(([, holds]) => !holds);
    check(
      `${what}, violated`,
      found.some(([name]) => name === what),
      found.map(([name, , detail]) => `${name}: ${detail}`).join("; ") || "not found",
    );
  }
  // A module that keeps the descriptors of truncated messages, in each place of a copy of the library.
  const other = join(clean, "other.wasm");
  compileCore(join(clean, "planted"), other, [
    ["verdict.ts", "if (truncated) outcome = ANCILLARY_TRUNCATED; else if", "if"],
  ]);
  const ours = readFileSync(join(dist, "core", "core.wasm"));
  const theirs = readFileSync(other);
  const inText = (from, to) => (path) => {
    const text = readFileSync(path, "utf8");
    const tampered = text.replace(from, to);
    if (tampered === text) throw new Error(`${path} has no ${from}`);
    writeFileSync(path, tampered);
  };
  const TAMPERED = {
    shipped: ["core.wasm", (path) => writeFileSync(path, theirs)],
    embedded: ["internal.js", inText(ours.toString("base64"), theirs.toString("base64"))],
    // Nothing of it looks like a module in base64.
    run: [
      "internal.js",
      inText(
        /new (\w+)\.Module\((?:(?!new )[^;])*?\bCORE_WASM\b[^;}]*\)(?=[;}])/,
        `new $1.Module(new Uint8Array([${theirs.join()}]))`,
      ),
    ],
  };
  for (const [what, [file, tamper]] of Object.entries(TAMPERED)) {
    const copy = join(clean, what);
    cpSync(dist, copy, { recursive: true });
    tamper(join(copy, "core", file));
    const found = identity(copy, createHash("sha256").update(ours).digest("hex")).filter(([, holds]) => !holds);
    check(
      `another module, ${what}`,
      found.some(([name]) => name === what),
      found.map(([name, , detail]) => `${name}: ${detail}`).join("; ") || "not found",
    );
  }
}
