// Messages with a payload: `putRights`, `encodeRights`, `putCredentials`. By what is proven of `put`.

import { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY, headerByte, KINDS, SHORT } from "../core.mjs";
import { byMemory, memory, readByte } from "../execute.mjs";
import * as T from "../terms.mjs";
import { AREAS, bytesStay, each, flags, inside, keeps, reader, SHORT_LAYOUT, unchanged } from "./common.mjs";
import { appended, ENCODE, fitting, putContract } from "./encode.mjs";
import { source } from "./rights.mjs";

/** The calls write the message, within the capacity, and read the first `count` slots or the layouts of credentials. */
const within = (q, reads) => (kind, address, n) =>
  kind === "store"
    ? inside(address, n, T.add(q("encode/at"), CONTROL), T.add(q("encode/capacity"), CONTROL))
    : reads(address, n);
const slots = (count) => (address, n) => inside(address, n, FDS, T.add(T.times(count, 4), FDS));

/** The byte of SCM_RIGHTS at an offset of its payload: of the table, in the target's byte order. */
const rightsByte = (bytes, big) => (j) => readByte(bytes, source(big, T.bv(FDS), j));

const anyOffset = () => T.variable("offset", 32, 0, CONTROL_BYTES - 1);
/**
 * Shows that a message was appended, whose byte at an offset is `byte`, exactly if it fits; and nothing else has changed but the globals
 * `but`.
 *
 * @param offsets of the bytes that are looked at, each with a condition
 * @param address stands for any
 */
function isAppended(ex, core, after, before, { at, fits, bytes, byte }, but, offsets = [[anyOffset()]], address) {
  // What it says of the short ways stays true: no byte and no global of them changes.
  keeps(ex, core, after, { short: false });
  unchanged(ex, core, after, before, but);
  for (const [x, where = T.TRUE] of offsets) {
    const written = readByte(after.memory, T.add(at, x, CONTROL));
    ex.show(after, "every byte of it", T.implies(T.all(fits, where, T.ult(x, bytes)), T.eq(written, byte(x))));
  }
  const mine = (a) => T.all(fits, T.ult(T.sub(a, T.add(at, CONTROL)), bytes));
  bytesStay(ex, after, before, [mine], "no other byte changes", address);
}
/** Shows what `put` results in, and where it leaves the control buffer. */
function isCounted(ex, core, after, before, result, { fits, bare, bytes }) {
  const q = reader(core, before);
  const at = q("encode/at");
  ex.show(
    after,
    "the result: where the payload is, or -1",
    T.eq(result, T.ite(fits, T.add(at, q("dataOffset")), T.bv(-1))),
  );
  const [reach, next] = [core.get(after, "encode/reach"), core.get(after, "encode/at")];
  ex.show(after, "where the message ends", T.eq(reach, T.ite(fits, T.add(at, bare), q("encode/reach"))));
  ex.show(after, "where the next one begins", T.eq(next, T.ite(fits, T.add(at, bytes), at)));
}

/** SCM_RIGHTS of so many slots, at the cursor of a state. `size`: whether it fits, and how many bytes it takes then. */
function rightsOf(q, bytes, count, { fits, bytes: span }) {
  const data = q("dataOffset");
  const bare = T.add(data, T.times(count, 4));
  const slot = rightsByte(bytes, q("bigEndian"));
  const byte = (x) => {
    const j = T.sub(x, data);
    // A slot byte is looked up only where it is one.
    const here = T.ult(j, T.times(count, 4));
    const header = headerByte(q, x, bare, q("SOL_SOCKET"), q("SCM_RIGHTS"));
    return T.ite(here, slot(T.umin(j, T.bv(T.times(count, 4).hi))), header);
  };
  return { at: q("encode/at"), fits, bare, bytes: span, byte };
}
/** Before the contract is asked nothing fits. */
const unseen = () => ({ fits: T.FALSE, bytes: T.bv(0) });
/** Shows that `put` was asked for this message. */
function asked(ex, after, { args }, wanted) {
  if (args !== undefined) ex.show(after, "put is asked for it", T.all(...args.map((arg, i) => T.eq(arg, wanted[i]))));
}
/** As many slots as the table has, and more. */
const counts = () => [T.variable("count", 32, 0, FDS_CAPACITY), T.variable("count", 32, FDS_CAPACITY + 1)];

/**
 * The loop over ints of big-endian targets; j stands for any byte of the payload. Its locals, as the compiler numbers them: with wrong
 * ones, nothing could be shown.
 */
const LOCALS = { i: 0, data: 1, to: 2, bytes: 3 };
const KEPT = [LOCALS.data, LOCALS.to, LOCALS.bytes];
function loop(before, count, j) {
  const bytes = T.times(count, 4);
  const slot = rightsByte(before.memory, T.bv(1));
  const payload = (s) => {
    const to = s.locals[LOCALS.to];
    return (a) => (T.neverBelow(T.sub(a, to), bytes.hi) ? T.FALSE : T.ult(T.sub(a, to), bytes));
  };
  return {
    invariant: (_ex, s) => {
      const i = s.locals[LOCALS.i];
      return [
        ["i counts by 4 and stays within the bytes", T.all(T.eq(T.and(i, 3), 0), T.ule(i, bytes), T.ule(i, 0x10000))],
        [
          "ints so far are the slots",
          T.implies(T.ult(j, i), T.eq(readByte(s.memory, T.add(s.locals[LOCALS.to], j)), slot(j))),
        ],
      ];
    },
    forget: (_ex, s) => {
      s.locals = s.locals.map((value, k) => (KEPT.includes(k) ? value : T.variable(`local${k}`, value.width)));
      s.locals[LOCALS.i] = T.variable("i", 32, 0, 0x10000);
      s.memory = memory.forget(s.memory, payload(s), "payload");
    },
    measure: (s) => T.sub(bytes, s.locals[LOCALS.i]),
    iteration: (ex, head, s) => {
      bytesStay(ex, s, head, [payload(s)], "an iteration changes the payload alone");
      for (const k of KEPT)
        ex.show(s, "an iteration leaves the payload where it is", T.eq(s.locals[k], head.locals[k]));
    },
  };
}

export const putRights = {
  name: "putRights",
  text: "putRights appends SCM_RIGHTS with the first `count` slots of the table, in the target's byte order, as put would with that payload: every byte of it, and no other; it reads these slots and writes within the capacity; -1, and nothing changes, exactly when the message does not fit, or the table has fewer slots; it ends after count steps",
  run(given) {
    const { core } = given;
    return counts().flatMap((count) => {
      let size;
      const j = T.variable("payloadByte", 32, 0, 4 * FDS_CAPACITY - 1);
      const prepare = (ex, before) => {
        size = unseen();
        ex.policy = within(reader(core, before), slots(count));
        ex.apart = byMemory();
        ex.contracts.set(core.function.put, putContract(core, size));
        ex.loops.set(`${core.function.putRights}:0`, loop(before, count, j));
      };
      return each(given, "putRights", { parameters: [count], prepare, short: false }, (ex, after, result, before) => {
        const q = reader(core, before);
        const message = rightsOf(q, before.memory, count, size);
        // Offsets outside of the payload, and those in it.
        const x = anyOffset();
        const data = q("dataOffset");
        const offsets = [[x, T.uge(T.sub(x, data), T.times(count, 4))], [T.add(data, j)]];
        asked(ex, after, size, [q("SOL_SOCKET"), q("SCM_RIGHTS"), T.times(count, 4)]);
        isCounted(ex, core, after, before, result, message);
        isAppended(ex, core, after, before, message, ["encode/at", "encode/reach"], offsets);
      });
    });
  },
};
/** What is proved of `putRights`, for its callers. */
const putRightsContract =
  (core, seen) =>
  (ex, state, [count]) => {
    const q = reader(core, state);
    const message = [q("SOL_SOCKET"), q("SCM_RIGHTS"), T.times(count, 4)];
    ex.access(state.copy().assume(T.ule(count, FDS_CAPACITY)), "load", T.bv(FDS), 0n, T.times(count, 4));
    const payload = rightsByte(state.memory, q("bigEndian"));
    return appended(core, ex, state, message, { payload, possible: T.ule(count, FDS_CAPACITY), seen });
  };

export const encodeRights = {
  name: "encodeRights",
  text: "encodeRights makes a control buffer of one such message, by the short way where there is one and by the general way, of the same bytes and with the same result: CMSG_LEN of the ints, or CMSG_SPACE where the target's kernel wants the last padding; -1 exactly where putRights in an empty buffer of the whole control area is -1; no byte but those of the message changes",
  run(given) {
    const { core, row } = given;
    const empty = { "encode/at": T.bv(0), "encode/reach": T.bv(0), "encode/capacity": T.bv(CONTROL_BYTES) };
    const encodes = (count, globals, modes, offsets) => {
      let size;
      const prepare = (ex, before) => {
        // The short way asks nobody.
        const q = (name) => empty[name] ?? core.get(before, name);
        size = offsets === undefined ? unseen() : fitting(q, T.times(count, 4));
        const header = (a, n) => (offsets === undefined ? T.FALSE : inside(a, n, SHORT, SHORT + 16));
        ex.policy = within(
          (name) => empty[name],
          (a, n) => T.any(slots(count)(a, n), header(a, n)),
        );
        ex.apart = byMemory();
        ex.contracts.set(core.function.putRights, putRightsContract(core, size));
      };
      const options = { parameters: [count], prepare, globals, modes, short: offsets !== undefined };
      return each(given, "encodeRights", options, (ex, after, result, before) => {
        const q = (name) => empty[name] ?? core.get(before, name);
        const message = rightsOf(q, before.memory, count, size);
        const { fits, bare, bytes } = message;
        const length = T.ite(T.eq(q("padLast"), 1), bytes, bare);
        ex.show(after, "the result: the length, or -1", T.eq(result, T.ite(fits, length, T.bv(-1))));
        if (offsets !== undefined) ex.show(after, "it has 24 bytes", T.eq(bytes, offsets.length));
        isAppended(ex, core, after, before, message, ENCODE, offsets);
      });
    };
    // By the general way: one, where there is no short way; none, or more.
    const none = row === undefined ? { "short/exists": T.bv(0) } : {};
    const one = T.bv(1);
    const hasShort = row === undefined || row.globals["short/exists"].extra === 1n;
    const others = [T.bv(0), T.variable("count", 32, 2, FDS_CAPACITY), T.variable("count", 32, FDS_CAPACITY + 1)];
    return [
      ...others.flatMap((count) => encodes(count, {}, [true, false])),
      ...(row === undefined || !hasShort ? encodes(one, none, [true, false]) : []),
      // By the short way: 24 bytes, one by one.
      ...(hasShort
        ? encodes(
            one,
            SHORT_LAYOUT,
            [true],
            Array.from({ length: 24 }, (_, i) => [T.bv(i)]),
          )
        : []),
    ];
  },
};

export const putCredentials = {
  name: "putCredentials",
  text: "putCredentials appends credentials of the first layout, as put would with a payload of zeros but for pid (if there is one), uid and gid in the target's byte order, a later one over an earlier one where they overlap; it reads the layouts of credentials and writes within the capacity; -1, and nothing changes, exactly when there is no layout or no room",
  run(given) {
    const { core, row } = given;
    const values = flags("pid", "uid", "gid");
    const offset = (name) => T.variable(name, 32, 0, 252);
    const layout = (pid) => () => [
      [KINDS + 4, T.variable("payloadBytes", 32, 4, 256)],
      [KINDS + 8, pid()],
      [KINDS + 12, offset("uidAt")],
      [KINDS + 16, offset("gidAt")],
    ];
    // Without a layout; with one that has no pid; with one that has.
    const cases = [() => [[KINDS + 4, T.bv(0)]], layout(() => T.bv(-1)), layout(() => offset("pidAt"))];
    let size;
    const prepare = (ex, before) => {
      size = unseen();
      ex.policy = within(reader(core, before), AREAS.kinds);
      ex.apart = byMemory();
      ex.contracts.set(core.function.put, putContract(core, size));
    };
    // One byte order at a time, or that of the row. Before a layout is set it is the little one.
    const orders = [
      { globals: { bigEndian: T.bv(0) }, modes: [true, false] },
      { globals: { bigEndian: T.bv(1) }, modes: [true] },
    ];
    const runs = row === undefined ? cases.flatMap((words) => orders.map((order) => ({ words, ...order }))) : [{}];
    return runs.flatMap((run) =>
      each(
        given,
        "putCredentials",
        { parameters: values, prepare, short: false, ...run },
        (ex, after, result, before) => {
          const q = reader(core, before);
          const { type, bytes: length, pid, uid, gid } = core.kind(before, 0);
          const bare = T.add(length, q("dataOffset"));
          asked(ex, after, size, [q("SOL_SOCKET"), type, length]);
          const order = T.eq(q("bigEndian"), 1) === T.TRUE ? [3, 2, 1, 0] : [0, 1, 2, 3];
          const byte = (x) => {
            let wanted = headerByte(q, x, bare, q("SOL_SOCKET"), type);
            for (const [k, at] of [pid, uid, gid].entries()) {
              const i = T.sub(x, T.add(q("dataOffset"), at));
              const [first, ...others] = order.map((n) => T.extract(8 * n + 7, 8 * n, values[k]));
              const mine = others.reduce((rest, value, n) => T.ite(T.eq(i, n + 1), value, rest), first);
              wanted = T.ite(T.all(T.sge(at, 0), T.ult(i, 4)), mine, wanted);
            }
            return wanted;
          };
          const message = { at: q("encode/at"), ...size, bare, byte };
          isCounted(ex, core, after, before, result, message);
          // Counted from the header on, the addresses are easier to compare.
          const address = T.add(q("encode/at"), T.variable("anywhere"), CONTROL);
          isAppended(ex, core, after, before, message, ["encode/at", "encode/reach"], undefined, address);
        },
      ),
    );
  },
};
