// `put`: one message, appended; and that `next` finds it.

import { CONTROL, CONTROL_BYTES, headerByte } from "../core.mjs";
import { byMemory, Executor, memory, readByte } from "../execute.mjs";
import { lengthAt, roundUp, step } from "../spec.mjs";
import * as T from "../terms.mjs";
import { bytesStay, each, flags, inside, keeps, reader, unchanged } from "./common.mjs";
import { apart } from "./configuration.mjs";

const INT_MAX = 0x7fffffff;
/** The globals of the control buffer. */
export const ENCODE = ["encode/at", "encode/reach", "encode/capacity"];
const small = (name) => T.variable(name, 32, 0, CONTROL_BYTES);

/** Whether a message fits, and how many bytes it takes: from the macros, in 64 bits. */
export function fitting(q, length, bare = T.add(T.zext(length, 64), T.zext(q("dataOffset"), 64))) {
  const space = roundUp(bare, q("headerAlignBytes"));
  const room = T.zext(T.sub(q("encode/capacity"), q("encode/at")), 64);
  const needed = T.ite(T.eq(q("padLast"), 1), space, bare);
  const fits = T.all(T.sge(length, 0), T.ule(space, INT_MAX), T.ule(needed, room));
  return { fits, bare: T.extract(31, 0, bare), bytes: T.extract(31, 0, T.umin(space, room)) };
}

/** CMSG_LEN of a payload that is in the control area: the sum does not wrap. */
const bareOf = (q, length) => T.zext(T.add(length, q("dataOffset")), 64);

export const put = {
  name: "put",
  text: "put appends a message that fits, and its result is where the payload is; every byte of it is written: the three fields, zeros between them, a payload of zeros, padding of zeros; it writes nothing else, reads nothing, and nothing behind the capacity; -1, and nothing changes, exactly when the message does not fit",
  run(given) {
    const { core } = given;
    const [level, type] = flags("level", "type");
    // Sizes that may fit, and those that cannot.
    const sizes = [small("length"), T.variable("length", 32, CONTROL_BYTES + 1)];
    const prepare = (ex, before) => {
      const q = reader(core, before);
      ex.apart = byMemory();
      ex.policy = (kind, address, n) =>
        kind === "store"
          ? inside(address, n, T.add(q("encode/at"), CONTROL), T.add(q("encode/capacity"), CONTROL))
          : T.FALSE;
    };
    return sizes.flatMap((length) =>
      each(given, "put", { parameters: [level, type, length], prepare }, (ex, after, result, before) => {
        const q = reader(core, before);
        const { fits, bare, bytes } = fitting(q, length);
        const at = q("encode/at");
        keeps(ex, core, after);
        ex.show(after, "-1 exactly where it does not fit", T.iff(T.eq(result, -1), T.not(fits)));
        ex.show(after, "where the payload is", T.implies(fits, T.eq(result, T.add(at, q("dataOffset")))));
        ex.show(
          after,
          "where the message ends, without its padding",
          T.eq(core.get(after, "encode/reach"), T.ite(fits, T.add(at, bare), q("encode/reach"))),
        );
        ex.show(
          after,
          "where the next one begins",
          T.eq(core.get(after, "encode/at"), T.ite(fits, T.add(at, bytes), at)),
        );
        unchanged(ex, core, after, before, ["encode/at", "encode/reach"]);
        const x = small("offset");
        const wanted = headerByte(q, x, bare, level, type);
        const written = readByte(after.memory, T.add(at, x, CONTROL));
        ex.show(after, "every byte of it", T.implies(T.all(fits, T.ult(x, bytes)), T.eq(written, wanted)));
        const mine = (a) => T.all(fits, T.ult(T.sub(a, T.add(at, CONTROL)), bytes));
        bytesStay(ex, after, before, [mine], "no other byte changes");
      }),
    );
  },
};

/**
 * A message appended, as `put` is proved to do it: where it fits, and where it does not.
 *
 * @param payload gives a byte of the payload, by its offset; zeros otherwise
 * @param possible what has to hold besides
 * @param exact whether, of a payload that is in the control area, it is known when a message fits and how many bytes it takes; otherwise only where it lies then
 * @param seen gets `fits` and `bytes`
 */
export function appended(core, ex, state, args, { payload, possible = T.TRUE, exact = false, seen = {} } = {}) {
  const [level, type, length] = args;
  // The part of it that is about the short ways needs nothing: it is not of what changes.
  for (const [label, claim] of core.invariant(state, { short: false }))
    if (!state.path.includes(claim)) ex.show(state, label, claim);
  const q = reader(core, state);
  const { fits, bare, bytes } = fitting(q, length, exact ? bareOf(q, length) : undefined);
  const real = T.all(possible, fits);
  const none = state.copy();
  Object.assign(seen, { fits: real, bytes });
  if (real === T.FALSE) return [[none, T.bv(-1)]];
  const [at, data] = [q("encode/at"), q("dataOffset")];
  const room = (n) => T.ule(T.add(at, n), q("encode/capacity"));
  const lies = (n) => T.all(room(n), T.ule(T.add(data, length), n), room(T.add(data, length)));
  ex.show(
    state.copy().assume(real),
    "a message that fits is within the capacity",
    T.all(T.ule(bytes, CONTROL_BYTES), lies(bytes)),
  );
  seen.bytes = small("bytes");
  if (!exact) seen.fits = T.variable("fits", 0);
  const after = state.copy().assume(seen.fits, possible, lies(seen.bytes));
  if (exact) after.assume(T.eq(seen.bytes, bytes));
  none.assume(T.not(seen.fits));
  const header = T.add(at, CONTROL);
  ex.access(after, "store", header, 0n, seen.bytes);
  after.memory = memory.block(state.memory, header, seen.bytes, (x) => headerByte(q, x, bare, level, type));
  if (payload !== undefined) after.memory = memory.block(after.memory, T.add(header, data), length, payload);
  core.set(after, "encode/reach", T.add(at, bare));
  core.set(after, "encode/at", T.add(at, seen.bytes));
  return [
    [after, T.add(at, data)],
    [none, T.bv(-1)],
  ];
}
/** What is proved of `put`, for its callers. `seen` gets the arguments, too. */
export const putContract = (core, seen) => (ex, state, args) => {
  if (seen.args !== undefined) throw new Error("two calls of put");
  seen.args = args;
  return appended(core, ex, state, args, { seen });
};

/** Byte orders and widths of `cmsg_len`, one at a time: the fields of a header are then whole. */
const ORDERS = [0, 1].flatMap((big) => [4, 8].map((bytes) => ({ bigEndian: T.bv(big), lengthBytes: T.bv(bytes) })));
/** Any layout with its fields apart, by such cases; or the row. */
function layouts({ core, row }, check) {
  return (row === undefined ? ORDERS : [{}]).map((globals) => {
    const ex = new Executor(core.module);
    const state = core.any({ row, globals, short: false });
    return check(ex, state.assume(apart(reader(core, state))));
  });
}

export const identity = {
  name: "identity",
  text: "a message that put has written at the cursor of a walk is what next finds there, with any payload, over data that reach behind it, for any layout with its fields apart; and the cursors stay together: so any list of messages is found again. By what is proven of put and of next",
  run(given) {
    const { core } = given;
    return layouts(given, (ex, state) => {
      const parameters = [...flags("level", "type"), small("length")];
      const [level, type, length] = parameters;
      const [[after, data]] = appended(core, ex, state, parameters, { exact: true });
      const before = after.copy();
      const q = reader(core, state);
      // The host fills in the payload. A walk over what has been put, and perhaps more, has come here.
      const end = small("end");
      after.memory = memory.forget(after.memory, (a) => T.ult(T.sub(a, T.add(data, CONTROL)), length), "payload");
      after.assume(T.uge(end, core.get(after, "encode/reach")), T.ule(end, q("encode/capacity")));
      const clamps = core.get(state, "decode/clamps");
      const at = q("encode/at");
      const bare = bareOf(q, length);
      ex.show(after, "its cmsg_len is CMSG_LEN of the payload", T.eq(lengthAt(after.memory, q, at), bare));
      // So the one stands for the other.
      const { found, registers, next } = step(after.memory, q, { at, end, clamps }, bare);
      ex.show(after, "it is found", found);
      ex.show(after, "it is whole", T.eq(registers.CLAMPED, 0));
      after.assume(found, T.eq(registers.CLAMPED, 0));
      const wanted = { LEVEL: level, TYPE: type, DATA: data, DATA_LENGTH: length };
      for (const [name, value] of Object.entries(wanted)) ex.show(after, `its ${name}`, T.eq(registers[name], value));
      ex.show(after, "the cursors stay together", T.eq(next, T.umin(core.get(after, "encode/at"), end)));
      return { ex, before, parameters };
    });
  },
};

export const canonical = {
  name: "canonical",
  text: "the other way round: a message that next finds whole, whose header is zero between its fields and which has zeros behind its payload up to the next header, is what put writes there in a buffer of their size, byte for byte, once its payload is filled in; and the cursors stay together. For any layout with its fields apart, by what is proven of put and of next",
  run(given) {
    const { core } = given;
    return layouts(given, (ex, state) => {
      const q = reader(core, state);
      const at = q("encode/at");
      const end = q("encode/capacity");
      const came = (x) => readByte(state.memory, T.add(at, x, CONTROL));
      const walk = { at, end, clamps: q("decode/clamps") };
      const read = lengthAt(state.memory, q, at);
      const data = T.zext(q("dataOffset"), 64);
      const whole = step(state.memory, q, walk);
      const sound = state.copy().assume(whole.found, T.eq(whole.registers.CLAMPED, 0));
      ex.show(sound, "its cmsg_len is CMSG_LEN of a payload", T.ule(T.sub(read, data), CONTROL_BYTES));
      // So the payload has a length.
      const length = small("length");
      const bare = bareOf(q, length);
      state.assume(T.eq(read, bare));
      const { found, registers, next } = step(state.memory, q, walk, bare);
      const { LEVEL: level, TYPE: type } = registers;
      // Where the last padding counts it is there.
      const bytes = T.sub(next, at);
      const padded = T.eq(roundUp(bare, q("headerAlignBytes")), T.zext(bytes, 64));
      state.assume(found, T.eq(registers.CLAMPED, 0), T.any(T.eq(q("padLast"), 0), padded));
      const before = state.copy();
      const put = fitting(q, length, bare);
      ex.show(state, "it fits", put.fits);
      ex.show(state, "the cursors stay together", T.eq(put.bytes, bytes));
      const x = small("offset");
      const inField = (name, n) => T.ult(T.sub(x, q(name)), n);
      const fields = T.any(
        inField("lengthOffset", q("lengthBytes")),
        inField("levelOffset", 4),
        inField("typeOffset", 4),
      );
      const payload = T.ult(T.sub(x, q("dataOffset")), length);
      const zero = T.implies(T.not(T.any(fields, payload)), T.eq(came(x), 0));
      const same = T.eq(came(x), headerByte(q, x, put.bare, level, type));
      ex.show(state, "every byte", T.implies(T.all(T.ult(x, bytes), T.not(payload), zero), same));
      return { ex, before, parameters: [] };
    });
  },
};
