// What the claims share.

import { CONTROL, CONTROL_BYTES, FDS, GLOBALS, KIND_BYTES, KINDS, LAYOUT, REGISTERS } from "../core.mjs";
import { Executor, readByte } from "../execute.mjs";
import * as T from "../terms.mjs";

/** Whether [address, address + bytes) lies in [from, to). */
export const inside = (address, bytes, from, to) =>
  T.all(
    T.uge(address, from),
    T.ule(T.add(T.zext(address, 64), T.zext(bytes, 64)), T.zext(typeof to === "object" ? to : T.bv(to), 64)),
  );
export const AREAS = {
  registers: (address, bytes) => inside(address, bytes, 0, 4 * Object.keys(REGISTERS).length),
  kinds: (address, bytes) => inside(address, bytes, KINDS, KINDS + 3 * KIND_BYTES),
  table: (address, bytes) => inside(address, bytes, FDS, FDS + 0x10000),
  control: (address, bytes) => inside(address, bytes, CONTROL, CONTROL + CONTROL_BYTES),
};
/** What the invariant says of the layout where there are short ways. */
export const SHORT_LAYOUT = {
  dataOffset: T.bv(16),
  headerAlignBytes: T.bv(8),
  bigEndian: T.bv(0),
  "short/exists": T.bv(1),
};
export const nothing = () => T.FALSE;

/** The invariant holds. */
export function keeps(ex, core, state, options) {
  for (const [label, claim] of core.invariant(state, options)) ex.show(state, label, claim);
}
/** These globals are what they were; all, but for `but`. */
export function unchanged(ex, core, state, before, but = []) {
  const same = GLOBALS.filter((name) => !but.includes(name)).map((name) =>
    T.eq(core.get(state, name), core.get(before, name)),
  );
  ex.show(state, `globals stay${but.length === 0 ? "" : `, but for ${but.join(", ")}`}`, T.all(...same));
}
const anywhere = () => T.variable("anywhere", 32, 0, CONTROL + CONTROL_BYTES - 1);
/** Any byte outside of some areas is what it was. `address` stands for any. */
export function bytesStay(ex, state, before, areas, label, address = anywhere()) {
  const elsewhere = T.not(T.any(...areas.map((area) => area(address, T.bv(1)))));
  ex.show(state, label, T.implies(elsewhere, T.eq(readByte(state.memory, address), readByte(before.memory, address))));
}
export const registerBytes = (names) => (address) =>
  T.any(...names.map((name) => T.all(T.uge(address, REGISTERS[name]), T.ult(address, REGISTERS[name] + 4))));

/** The layout and other globals of a state, by name. */
export const reader = (core, state) => (name) => core.get(state, name);
export const flags = (...names) => names.map((name) => T.variable(name));

/**
 * Runs an export from any state: with any layout, and before one is set; or with the one row.
 *
 * @param options `modes`: whether a layout is set, each that is tried; others are those of `Core.any`
 * @param check gets the executor, a state in which the call ends, its result, and the state before
 */
export function each(
  given,
  name,
  { parameters = [], assume = () => [], prepare = () => {}, modes = [true, false], ...options },
  check,
) {
  const { core, row } = given;
  return (row === undefined ? modes : [true]).map((configured) => {
    const ex = new Executor(core.module);
    const state = core.any({ configured, row, ...options });
    state.assume(...assume(state));
    const before = state.copy();
    prepare(ex, before, state);
    for (const [after, result] of ex.call(core.function[name], parameters, state)) check(ex, after, result, before);
    return { ex, before, parameters, name };
  });
}
export { LAYOUT };
