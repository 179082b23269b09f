// `readRights`: the ints of SCM_RIGHTS in the table.

import { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY } from "../core.mjs";
import { memory, readByte } from "../execute.mjs";
import { negatives, taken } from "../spec.mjs";
import * as T from "../terms.mjs";
import { bytesStay, each, flags, inside, keeps, nothing, unchanged } from "./common.mjs";

/** The address of the byte of the payload that is byte `j` of the table: ints in the target's byte order become little-endian. */
export const source = (big, payload, j) => T.add(payload, T.ite(T.eq(big, 1), T.xor(j, 3), j));

/** The definition of `negatives`, for the int at position k: one more or not than those before it. */
export function definition(bytes, big, payload, k) {
  const top = T.extract(7, 7, readByte(bytes, source(big, payload, T.add(T.times(k, 4), 3))));
  return T.eq(negatives(payload, T.add(k, 1)), T.add(negatives(payload, k), T.zext(top, 32)));
}

/**
 * The invariant of both loops; j stands for any byte of the table. Their locals, as the compiler numbers them: with wrong ones, nothing
 * could be shown.
 */
const LOCALS = { i: 0, invalid: 1 };
function loop(core, before, { step, payload, slots, bytes, j }) {
  const big = core.get(before, "bigEndian");
  const i = (s) => s.locals[LOCALS.i];
  return {
    invariant: (_ex, s) => [
      [
        "i counts by the step and stays within the bytes",
        T.all(T.eq(T.and(i(s), step - 1), 0), T.ule(i(s), bytes), T.ule(i(s), 0x10000)),
      ],
      [
        "those negative so far are counted",
        T.all(
          T.eq(s.locals[LOCALS.invalid], negatives(payload, T.lshr(i(s), T.bv(2)))),
          T.ule(s.locals[LOCALS.invalid], T.lshr(i(s), T.bv(2))),
        ),
      ],
      [
        "slots so far are the ints",
        T.implies(
          T.ult(j, i(s)),
          T.eq(readByte(s.memory, T.add(slots, j)), readByte(before.memory, source(big, payload, j))),
        ),
      ],
    ],
    forget: (_ex, s) => {
      s.locals = s.locals.map((value, k) => (k >= 3 && k <= 5 ? value : T.variable(`local${k}`, value.width)));
      s.locals[LOCALS.i] = T.variable("i", 32, 0, 0x10000);
      s.memory = memory.forget(s.memory, (address) => T.ult(T.sub(address, slots), bytes), "slots");
    },
    define: (_ex, s) => {
      const k = T.lshr(i(s), T.bv(2));
      return [definition(before.memory, big, payload, k), definition(before.memory, big, payload, T.add(k, 1))];
    },
    measure: (s) => T.sub(bytes, i(s)),
  };
}

export const readRights = {
  name: "readRights",
  text: "readRights puts `count` ints of the payload into the table from `from` on, in this machine's byte order, as many as the table has room for and the control area has; it counts the negative ones, reads these ints and writes these slots and nothing else, and ends after count steps at most",
  run(given) {
    const { core } = given;
    const index = core.function.readRights;
    const [from, data, count] = [
      T.variable("from", 32, 0, FDS_CAPACITY),
      T.variable("data", 32, 0, CONTROL_BYTES),
      T.variable("count"),
    ];
    const outside = flags("from", "data", "count");
    const ints = taken(from, data, count);
    const bytes = T.times(ints, 4);
    const [payload, slots] = [T.add(data, CONTROL), T.add(T.times(from, 4), FDS)];
    const j = T.variable("slotByte", 32, 0, 0xffff);
    const prepare = (ex, before) => {
      ex.policy = (kind, address, n) =>
        kind === "store"
          ? inside(address, n, slots, T.add(slots, bytes))
          : inside(address, n, payload, T.add(payload, bytes));
      const shared = { payload, slots, bytes, j };
      ex.loops.set(`${index}:0`, loop(core, before, { step: 8, ...shared }));
      ex.loops.set(`${index}:1`, loop(core, before, { step: 4, ...shared }));
    };
    const assume = () => [T.eq(negatives(payload, T.bv(0)), 0)];
    const general = each(
      given,
      "readRights",
      { parameters: [from, data, count], prepare, assume },
      (ex, after, result, before) => {
        const big = core.get(before, "bigEndian");
        keeps(ex, core, after);
        ex.show(after, "how many are negative", T.all(T.eq(result, negatives(payload, ints)), T.ule(result, ints)));
        const slot = readByte(after.memory, T.add(slots, j));
        ex.show(
          after,
          "the slots are the ints",
          T.implies(T.ult(j, bytes), T.eq(slot, readByte(before.memory, source(big, payload, j)))),
        );
        unchanged(ex, core, after, before);
        bytesStay(ex, after, before, [(a) => T.ult(T.sub(a, slots), bytes)], "no byte changes but those of the slots");
      },
    );
    // Where there is no such place, nothing happens.
    const far = {
      parameters: outside,
      assume: () => [T.any(T.ugt(outside[0], FDS_CAPACITY), T.ugt(outside[1], CONTROL_BYTES))],
      prepare: (ex) => {
        ex.policy = nothing;
        ex.most = 0;
      },
    };
    const none = each(given, "readRights", far, (ex, after, result, before) => {
      ex.show(after, "out of range: none", T.eq(result, 0));
      unchanged(ex, core, after, before);
    });
    return [...general, ...none];
  },
};

/**
 * What is proved of `readRights`, for its callers. `came`: the bytes of which `negatives` speaks; without them, nothing more is known of
 * the result than that it is no more than the ints.
 */
export const readRightsContract = (core, came) => (ex, state, args) => {
  const [from, data, count] = args;
  const after = state.copy();
  const ints = taken(from, data, count);
  const bytes = T.times(ints, 4);
  const [payload, slots] = [T.add(data, CONTROL), T.add(T.times(from, 4), FDS)];
  ex.access(state, "load", payload, 0n, bytes);
  ex.access(state, "store", slots, 0n, bytes);
  const x = T.variable("anywhere", 32, CONTROL, CONTROL + CONTROL_BYTES - 1);
  if (came !== undefined)
    ex.show(state, "the control data are those that came", T.eq(readByte(state.memory, x), readByte(came, x)));
  const big = core.get(state, "bigEndian");
  after.memory = memory.block(state.memory, slots, bytes, (j) => readByte(state.memory, source(big, payload, j)));
  const result = came === undefined ? T.variable("invalid") : negatives(payload, ints);
  return [[after.assume(T.ule(result, ints)), result]];
};
