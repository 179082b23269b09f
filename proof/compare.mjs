// The executor against the engine: concrete runs of both, from random states, must come to the same.
//
// First the executor runs on constants, which it folds as an engine would compute them: every export, every byte of the memory compared.
// Then the terms of one symbolic run are evaluated for the same states: exports without loops.

import { CONTROL, engine, FDS, GLOBALS, KINDS, REGISTERS, SHORT } from "./core.mjs";
import { Executor, knownBytes, readByte } from "./execute.mjs";
import { callsOf, ROWS } from "./rows.mjs";
import { evaluate } from "./smt.mjs";
import * as T from "./terms.mjs";

/** Numbers from 0 to 1, from a seed (mulberry32). */
function numbers(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const EXPORTS = {
  align: 1,
  len: 1,
  space: 1,
  open: 2,
  next: 0,
  begin: 1,
  length: 0,
  put: 3,
  putRights: 1,
  encodeRights: 1,
  putCredentials: 3,
  readRights: 3,
  setCredentials: 6,
  setLayout: 9,
  setNumbers: 8,
  verdict: 5,
};
/** Those whose terms can be evaluated: they have no loop. */
const WITHOUT_LOOPS = ["align", "len", "space", "open", "next", "begin", "length", "put", "setCredentials"];

/** A random call: the state of an engine that is configured for a row, or for none, with bytes that resemble messages. */
function prepare(exports, random) {
  const below = (n) => Math.floor(random() * n);
  const abi = ROWS[below(ROWS.length)];
  if (random() < 0.95) for (const [name, ...args] of callsOf(abi)) exports[name](...args);
  const view = new DataView(exports.memory.buffer);
  const little = abi.endian === "little";
  let end = 0;
  while (random() < 0.8 && end < 400) {
    const length = [abi.dataOffset, abi.dataOffset + 4, abi.dataOffset + 4 * below(9), below(64)][below(4)];
    const types = [abi.SCM_RIGHTS, abi.SCM_PIDFD ?? 4, abi.SCM_SECURITY ?? 3, 2, below(8)];
    const at = CONTROL + end;
    if (abi.lengthBytes === 8) view.setBigUint64(at + abi.lengthOffset, BigInt(length), little);
    else view.setUint32(at + abi.lengthOffset, length, little);
    view.setInt32(at + abi.levelOffset, random() < 0.9 ? abi.SOL_SOCKET : below(9), little);
    view.setInt32(at + abi.typeOffset, types[below(types.length)], little);
    for (let i = abi.dataOffset; i < length; i += 4)
      view.setInt32(at + i, random() < 0.8 ? below(99) : below(2 ** 32), little);
    end += Math.ceil(Math.max(length, 1) / abi.headerAlignBytes) * abi.headerAlignBytes;
  }
  if (random() < 0.2) view.setUint8(CONTROL + below(end + 1), below(256));
  for (let i = 0; i < 8; i++) view.setInt32(FDS + 4 * i, below(2 ** 32), true);
  const number = () => [below(5) - 1, below(64), end, end, below(2 ** 32) | 0, below(0x10001)][below(6)];
  if (random() < 0.5) exports.begin([-1, below(64)][below(2)]);
  if (random() < 0.5) exports.open(number(), below(2));
  if (random() < 0.3) exports.next();
  const name = Object.keys(EXPORTS)[below(Object.keys(EXPORTS).length)];
  const args = Array.from({ length: EXPORTS[name] }, number);
  if (name === "verdict") args[0] = random() < 0.8 ? end : args[0];
  if (name === "setLayout" && random() < 0.7) args.splice(0, 9, ...callsOf(ROWS[below(ROWS.length)])[0].slice(1));
  // Runs of many slots say nothing more, and take long here.
  const many = name === "readRights" ? below(200) : [below(200), -1, 0x4001][below(3)];
  if (/Rights$/.test(name)) args[args.length - 1] = random() < 0.9 ? below(12) : many;
  return { name, args };
}

/** All bytes after a run on constants. */
function bytesOf(memory, before) {
  const chain = [];
  for (let m = memory; m.next !== undefined; m = m.next) chain.unshift(m);
  const bytes = before.slice();
  for (const m of chain) {
    if (m.guard !== T.TRUE) throw new Error("a constant run has a condition");
    const from = Number(m.address.extra);
    const length = m.kind === "store" ? m.bytes : Number(m.length.extra);
    const written = Array.from({ length }, (_, i) =>
      Number((m.kind === "store" ? T.extract(8 * i + 7, 8 * i, m.value) : m.value(T.bv(i))).extra),
    );
    bytes.set(written, from);
  }
  return bytes;
}

/** One symbolic run of an export, from any state. */
function symbolic(core, name) {
  const ex = new Executor(core.module);
  const state = core.any({ short: false });
  const all = GLOBALS.map((global) => T.variable(global));
  GLOBALS.forEach((global, i) => {
    core.set(state, global, all[i]);
  });
  state.path = [];
  const base = state.memory;
  const parameters = Array.from({ length: EXPORTS[name] }, (_, i) => T.variable(`argument${i}`));
  const outs = ex.call(core.function[name], parameters, state);
  return { all, parameters, outs, base };
}

/**
 * Compares so many runs.
 *
 * @returns how many runs were the same, by export, and the `differences`
 */
export function compare(core, runs, seed = 1) {
  const random = numbers(seed);
  const counts = {};
  const differences = [];
  const terms = Object.fromEntries(WITHOUT_LOOPS.map((name) => [name, symbolic(core, name)]));
  for (let n = 0; n < runs && differences.length < 5; n++) {
    const exports = engine(core);
    const { name, args } = prepare(exports, random);
    const before = new Uint8Array(exports.memory.buffer).slice();
    const global = (g) => exports[`global ${core.global[g]}`];
    const globals = GLOBALS.map((g) => BigInt.asUintN(32, BigInt(global(g).value)));
    const result = exports[name](...args);
    const after = new Uint8Array(exports.memory.buffer);
    const differ = (what) => differences.push(`run ${n}: ${name}(${args.join(", ")}): ${what}`);

    const state = core.initial();
    state.memory = knownBytes(before);
    GLOBALS.forEach((g, i) => {
      core.set(state, g, T.bv(globals[i]));
    });
    const outs = new Executor(core.module).call(
      core.function[name],
      args.map((x) => T.bv(x)),
      state,
    );
    const [[end, value]] = outs;
    if (outs.length !== 1) differ("constants lead to more than one end");
    if (result !== undefined && BigInt.asIntN(32, value.extra) !== BigInt(result))
      differ(`the result is ${value.extra}, not ${result}`);
    for (const g of GLOBALS)
      if (BigInt.asIntN(32, core.get(end, g).extra) !== BigInt(global(g).value)) differ(`global ${g}`);
    if (!Buffer.from(bytesOf(end.memory, before)).equals(Buffer.from(after))) differ("the memory");

    const { all, parameters, outs: ends, base } = terms[name] ?? { outs: [] };
    if (ends.length > 0) {
      const values = new Map([
        ...all.map((t, i) => [t, globals[i]]),
        ...parameters.map((t, i) => [t, BigInt.asUintN(32, BigInt(args[i]))]),
      ]);
      const call = (f, [address]) =>
        f === base.name && address < before.length ? BigInt(before[Number(address)]) : 0n;
      const memo = new Map();
      const of = (t) => evaluate(t, values, call, memo);
      const taken = ends.filter(([s]) => of(s.condition()));
      if (taken.length !== 1) differ(`${taken.length} ends`);
      for (const [s, value] of taken) {
        if (result !== undefined && BigInt.asIntN(32, of(value)) !== BigInt(result)) differ("the result, symbolically");
        for (const g of GLOBALS)
          if (BigInt.asIntN(32, of(core.get(s, g))) !== BigInt(global(g).value)) differ(`global ${g}, symbolically`);
        const registers = Array.from({ length: 4 * Object.keys(REGISTERS).length }, (_, i) => i);
        const elsewhere = Array.from(
          { length: 40 },
          () => [KINDS, SHORT, FDS, CONTROL][Math.floor(random() * 4)] + Math.floor(random() * 64),
        );
        for (const a of [...registers, ...elsewhere])
          if (Number(of(readByte(s.memory, T.bv(a)))) !== after[a]) differ(`the byte at ${a}, symbolically`);
      }
    }
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return { counts, differences };
}
