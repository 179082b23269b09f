// `open` and `next`: the walk.

import { CONTROL, CONTROL_BYTES, REGISTERS } from "../core.mjs";
import { memory } from "../execute.mjs";
import { step } from "../spec.mjs";
import * as T from "../terms.mjs";
import { AREAS, bytesStay, each, flags, inside, keeps, reader, registerBytes, unchanged } from "./common.mjs";

export const FOUND = ["OFFSET", "LEVEL", "TYPE", "DATA", "DATA_LENGTH", "CLAMPED"];
const FAULT = ["FAULT_OFFSET", "FAULT"];

/** The state that a walk is in. */
export const walk = (core, state) => ({
  at: core.get(state, "decode/at"),
  end: core.get(state, "decode/end"),
  clamps: core.get(state, "decode/clamps"),
});

export const open = {
  name: "open",
  text: "open begins a walk at 0: over `length` bytes, none if it is negative, the control area if it is more; no fault is left",
  run(given) {
    const [length, clamp] = flags("length", "clamp");
    const prepare = (ex) => {
      ex.policy = (kind, address, bytes) => (kind === "store" ? AREAS.registers(address, bytes) : T.FALSE);
    };
    return each(given, "open", { parameters: [length, clamp], prepare }, (ex, after, _result, before) => {
      const { core } = given;
      const { at, end, clamps } = walk(core, after);
      keeps(ex, core, after);
      ex.show(after, "the cursor is at 0", T.eq(at, 0));
      const most = T.ite(T.ugt(length, CONTROL_BYTES), T.bv(CONTROL_BYTES), length);
      ex.show(after, "the end", T.eq(end, T.ite(T.slt(length, 0), T.bv(0), most)));
      ex.show(after, "whether it clamps", T.eq(clamps, T.fromBool(T.ne(clamp, 0))));
      ex.show(after, "no fault", T.all(...FAULT.map((name) => T.eq(core.register(after, name), 0))));
      unchanged(ex, core, after, before, ["decode/at", "decode/end", "decode/clamps"]);
      bytesStay(ex, after, before, [registerBytes(FAULT)], "no byte changes but those of FAULT and FAULT_OFFSET");
    });
  },
};

export const next = {
  name: "next",
  text: "one step of a walk finds what the specification finds, for any bytes, cursor and layout; it goes forward by CMSG_LEN(0) at least, or the walk is over; it reads the control data from the cursor to the end and nothing else, and writes registers only",
  run(given) {
    const { core } = given;
    const prepare = (ex, before) => {
      const { at, end } = walk(core, before);
      ex.policy = (kind, address, bytes) =>
        kind === "store"
          ? AREAS.registers(address, bytes)
          : inside(address, bytes, T.add(at, CONTROL), T.add(end, CONTROL));
    };
    return each(given, "next", { prepare }, (ex, after, result, before) => {
      const q = reader(core, before);
      const { at, end } = walk(core, before);
      const spec = step(before.memory, q, walk(core, before));
      keeps(ex, core, after);
      ex.show(after, "whether there is a message", T.eq(result, T.fromBool(spec.found)));
      for (const name of FOUND)
        ex.show(
          after,
          `the register ${name}`,
          T.eq(core.register(after, name), T.ite(spec.found, spec.registers[name], core.register(before, name))),
        );
      const faulty = T.ne(spec.fault, 0);
      ex.show(
        after,
        "the fault",
        T.eq(core.register(after, "FAULT"), T.ite(faulty, spec.fault, core.register(before, "FAULT"))),
      );
      ex.show(
        after,
        "where the fault is",
        T.eq(core.register(after, "FAULT_OFFSET"), T.ite(faulty, at, core.register(before, "FAULT_OFFSET"))),
      );
      const cursor = core.get(after, "decode/at");
      ex.show(after, "the cursor goes to the next header, or to the end", T.eq(cursor, spec.next));
      ex.show(
        after,
        "it goes forward by CMSG_LEN(0) at least",
        T.implies(spec.found, T.all(T.uge(T.sub(cursor, at), q("dataOffset")), T.ule(cursor, end))),
      );
      const { DATA, DATA_LENGTH } = spec.registers;
      const behind = T.all(T.ule(DATA, cursor), T.ule(DATA_LENGTH, T.sub(cursor, DATA)));
      ex.show(after, "the payload lies in the control data, before the new cursor", T.implies(spec.found, behind));
      unchanged(ex, core, after, before, ["decode/at"]);
      bytesStay(
        ex,
        after,
        before,
        [registerBytes([...FOUND, ...FAULT])],
        "no byte changes but those of these registers",
      );
    });
  },
};

/**
 * What is proved of `next`, for its callers: a message, about which only this is known, that it lies between the cursor and the next
 * cursor; or none, and the walk is over.
 *
 * @param seen gets `found`, `fault`, `registers` and the `next` cursor
 */
export const nextContract = (core, seen) => (_ex, state, _args) => {
  const after = state.copy();
  const { at, end } = walk(core, state);
  const data = core.get(state, "dataOffset");
  const small = (name) => T.variable(name, 32, 0, CONTROL_BYTES);
  // Before a layout is set, a payload would begin behind everything.
  const found = data.lo > BigInt(CONTROL_BYTES) ? T.FALSE : T.variable("found", 0);
  const registers = {
    OFFSET: at,
    LEVEL: T.variable("level"),
    TYPE: T.variable("type"),
    DATA: small("data"),
    DATA_LENGTH: small("dataLength"),
    CLAMPED: T.fromBool(T.variable("clamped", 0)),
  };
  const fault = T.variable("fault", 32, 0, 3);
  const to = small("next");
  const write = (name, value, guard) => {
    after.memory = memory.store(after.memory, T.bv(REGISTERS[name]), 4, value, guard);
  };
  for (const name of FOUND) write(name, registers[name], found);
  write("FAULT", fault, T.ne(fault, 0));
  write("FAULT_OFFSET", at, T.ne(fault, 0));
  core.set(after, "decode/at", to);
  Object.assign(seen, { found, fault, registers, next: to });
  const behind = T.all(T.eq(registers.DATA, T.add(at, data)), T.ule(T.add(registers.DATA, registers.DATA_LENGTH), to));
  after.assume(
    T.ule(to, end),
    T.implies(found, T.all(T.uge(T.sub(to, at), data), behind, T.eq(fault, 0))),
    T.any(found, T.eq(to, end)),
  );
  return [[after, T.fromBool(found)]];
};
