// Planted faults: a claim about a module with a fault must be refuted, by a counterexample that shows when the module is run.

import { inspect } from "../dist/core/index.js";
import { CONTROL, CONTROL_BYTES, engine, FDS, GLOBALS, REGISTERS } from "./core.mjs";
import { rowOf } from "./rows.mjs";
import { evaluate } from "./smt.mjs";
import { model, violations } from "./solve.mjs";
import * as T from "./terms.mjs";

const LITTLE = "linux-x86_64-glibc";
const BIG = "linux-s390x-glibc";

/** By the names of `scripts/planted-bugs.mjs`, or with a fault of their own: which claims do not hold, for which row. */
export const FAULTS = {
  "off-by-one in the bound": { claims: ["next"], row: LITTLE },
  "half of the alignment": {
    fault: [
      "cmsghdr.ts",
      "return roundUp(length, abi.headerAlignBytes);",
      "return roundUp(length, abi.headerAlignBytes >>> 1);",
    ],
    claims: ["next"],
    row: LITTLE,
  },
  "an overrun that is not checked": {
    fault: [
      "decode.ts",
      "if (!clamps) return fail(LENGTH_OVERRUNS);",
      "if (!clamps && left > 64) return fail(LENGTH_OVERRUNS);",
    ],
    claims: ["next"],
    row: LITTLE,
  },
  "length read in 32 of 64 bits": { claims: ["next"], row: LITTLE },
  "integers in the wrong byte order": { claims: ["next"], row: BIG },
  "a walk that may stand still": {
    fault: [
      "decode.ts",
      "at += <u32>min<u64>(step(length), left);",
      "if (length !== 24) at += <u32>min<u64>(step(length), left);",
    ],
    claims: ["next"],
    row: LITTLE,
  },
  "a header that is read where there is none": {
    fault: ["decode.ts", "if (left < abi.dataOffset) return fail(HEADER_TRUNCATED);", ""],
    claims: ["next"],
    row: LITTLE,
  },
  "fault of the walk before": { claims: ["open"], row: LITTLE },
  "only one sign of two looked at": { claims: ["readRights"], row: LITTLE },
  "payload read past the control area": { claims: ["readRights"], row: LITTLE },
  "payload inside of the header": { claims: ["setLayout"], row: LITTLE },
  "ints that go out in this machine's byte order": {
    fault: ["rights.ts", "if (!abi.bigEndian) memory.copy(to, FDS, bytes);", "if (true) memory.copy(to, FDS, bytes);"],
    claims: ["putRights"],
    row: BIG,
  },
  "short way without zeroed padding": { claims: ["encodeRights"], row: LITTLE },
  "credentials without the uid": {
    fault: ["credentials.ts", "writeInt(payload + load<u32>(CREDENTIALS_LAYOUTS, UID), uid);", ""],
    claims: ["putCredentials"],
    row: LITTLE,
  },
  "short way with another header": { claims: ["verdictShort"], row: LITTLE },
  "short way without a check of the length": { claims: ["verdictShort"], row: LITTLE },
  // It keeps the locals of the function, which the claim names by number.
  "short way that looks for the sign in another byte": {
    fault: ["verdict.ts", "invalid = load<u32>(FDS) >>> 31;", "invalid = load<u8>(FDS) >>> 7;"],
    claims: ["verdictShort"],
    row: LITTLE,
  },
  "walk that goes on after a verdict": { claims: ["verdictShort"], row: LITTLE },
};

const hex = (bytes) =>
  Buffer.from(bytes)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1 ");

/** The state and the arguments that a model stands for: `globals` by index, `bytes` by address, `args`. */
function concrete(core, { before, parameters }, values) {
  let base = before.memory;
  while (base.next !== undefined) base = base.next;
  const bytes = new Map();
  const variables = new Map();
  for (const [t, value] of values) {
    if (t.op === "var") variables.set(t, value);
    if (t.op === "app" && t.extra === base.name) bytes.set(Number(values.get(t.args[0])), Number(value));
  }
  // What the solver did not need to know is the least that it may be.
  const lookup = { get: (t) => variables.get(t) ?? (t.width === 0 ? false : t.lo) };
  const value = (t) => evaluate(t, lookup, () => 0n);
  for (let m = before.memory; m.next !== undefined; m = m.next)
    bytes.set(Number(m.address.extra), Number(m.value.extra));
  return {
    globals: GLOBALS.map((name) => [core.global[name], Number(value(core.get(before, name)))]),
    bytes,
    args: parameters.map((t) => Number(value(t))),
  };
}

/** Runs an export from that state. @returns what it leaves: the result or the trap, registers, globals, memory */
function replay(core, name, { globals, bytes, args }) {
  const exports = engine(core);
  for (const [index, value] of globals) exports[`global ${index}`].value = value;
  const page = new Uint8Array(exports.memory.buffer);
  for (const [address, byte] of bytes) page[address] = byte;
  const left = {};
  try {
    left.result = exports[name](...args);
  } catch (error) {
    left.trap = error.message;
  }
  const view = new DataView(exports.memory.buffer);
  for (const [register, address] of Object.entries(REGISTERS)) left[register] = view.getInt32(address, true);
  for (const global of GLOBALS) left[global] = exports[`global ${core.global[global]}`].value;
  left.table = hex(page.subarray(FDS, FDS + 32));
  left.control = hex(page.subarray(CONTROL, CONTROL + 64));
  left.memory = Buffer.from(page).toString("latin1");
  return left;
}

/**
 * Looks for a counterexample to the claims for a module with a fault, and runs it on both modules.
 *
 * @returns whether there is one that is `real`: the modules differ on it. `text` says which
 */
export async function refute(folder, { ours, planted, claims, row: rowName, seconds }) {
  const row = rowOf(ours, rowName);
  let tried = 0;
  for (const claim of claims)
    for (const run of claim.run({ core: planted, row }))
      for (const { label, violation } of violations(run.ex.obligations, false)) {
        // A small one that a reader can follow is preferred.
        const at0 = T.eq(planted.get(run.before, "decode/at"), 0);
        const small = T.ult(planted.get(run.before, "decode/end"), 128);
        const assumed = [violation, run.before.condition()];
        const values =
          (await model(folder, "counterexample", label, [...assumed, at0, small], { seconds })) ??
          (await model(folder, "counterexample", label, assumed, { seconds }));
        if (values === undefined) continue;
        tried++;
        const start = concrete(planted, run, values);
        const [mine, theirs] = [replay(ours, run.name, start), replay(planted, run.name, start)];
        const differs = Object.keys({ ...mine, ...theirs }).filter((key) => mine[key] !== theirs[key]);
        if (differs.length === 0) continue;
        return { real: true, text: describe({ claim, label, run, start, mine, theirs, differs, rowName, planted }) };
      }
  return { real: false, text: `not refuted; ${tried} counterexamples showed nothing when the module was run` };
}

function describe({ claim, label, run, start, mine, theirs, differs, rowName, planted }) {
  const global = (name) => start.globals.find(([index]) => index === planted.global[name])[1];
  const addresses = [...start.bytes.keys()]
    .filter((a) => a >= CONTROL && a < CONTROL + CONTROL_BYTES)
    .map((a) => a - CONTROL);
  const walks = ["next"].includes(run.name);
  const length = walks ? global("decode/end") : run.name === "verdict" ? start.args[0] : Math.max(-1, ...addresses) + 1;
  const control = Uint8Array.from(
    { length: Math.max(0, Math.min(length, 96)) },
    (_, i) => start.bytes.get(CONTROL + i) ?? 0,
  );
  const shown = differs.filter((key) => key !== "memory").slice(0, 4);
  const values = shown.map((key) => `${key} is ${theirs[key]}, without the fault ${mine[key]}`);
  return [
    `refuted: ${claim.name}: ${label}`,
    `      ${run.name}(${start.args.join(", ")})${walks ? `, the cursor at ${global("decode/at")} of ${global("decode/end")} bytes` : ""}`,
    ...(control.length === 0
      ? []
      : [
          `      control data: ${hex(control)}`,
          ...inspect(rowName, control)
            .split("\n")
            .map((line) => `      | ${line}`),
        ]),
    `      run on both modules: ${values.join("; ") || "other bytes of the memory"}`,
  ].join("\n");
}
