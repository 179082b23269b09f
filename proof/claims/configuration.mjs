// The state of the core: what a new instance has, what `setLayout`, `setNumbers` and `setCredentials` accept and change; sizes.

import { CONTROL, CONTROL_BYTES, FDS, GLOBALS, KIND_BYTES, KINDS, LAYOUT, NUMBERS, SHORT } from "../core.mjs";
import { byMemory, Executor, memory } from "../execute.mjs";
import { callsOf, ROWS } from "../rows.mjs";
import { roundUp } from "../spec.mjs";
import * as T from "../terms.mjs";
import { AREAS, bytesStay, each, flags, inside, keeps, nothing, reader, unchanged } from "./common.mjs";
import { readRightsContract } from "./rights.mjs";

const INT_MAX = 0x7fffffff;
const WALK = ["decode/at", "decode/end", "decode/clamps"];
const ENCODE = ["encode/at", "encode/reach", "encode/capacity"];

export const initial = {
  name: "initial",
  text: "a new instance satisfies the invariant: every byte is 0, no layout is set",
  run({ core }) {
    const ex = new Executor(core.module);
    const state = core.initial();
    keeps(ex, core, state);
    return [{ ex, before: state, parameters: [] }];
  },
};

export const rows = {
  name: "rows",
  text: `setLayout and setCredentials accept each of the ${ROWS.length} rows of the ABI table; the invariant holds then; fields of a header are apart, and SCM_RIGHTS is not negative`,
  run({ core }) {
    return ROWS.map((abi) => {
      const ex = new Executor(core.module);
      let state = core.initial();
      for (const [name, ...args] of callsOf(abi)) {
        const [[after, result]] = ex.call(
          core.function[name],
          args.map((x) => T.bv(x)),
          state,
        );
        if (result !== undefined) ex.show(after, `${abi.name}: ${name} accepts it`, T.eq(result, 1));
        state = after;
      }
      keeps(ex, core, state);
      ex.show(state, `${abi.name}: fields are apart`, apart(reader(core, state)));
      ex.show(state, `${abi.name}: SCM_RIGHTS is not negative`, T.sge(core.get(state, "SCM_RIGHTS"), 0));
      return { ex, before: core.initial(), parameters: [] };
    });
  },
};

/** Whether no two fields of a header overlap. */
export function apart(q) {
  const fields = [
    [q("lengthOffset"), q("lengthBytes")],
    [q("levelOffset"), T.bv(4)],
    [q("typeOffset"), T.bv(4)],
  ];
  const two = ([a, n], [b, m]) => T.any(T.ule(T.add(a, n), b), T.ule(T.add(b, m), a));
  return T.all(two(fields[0], fields[1]), two(fields[0], fields[2]), two(fields[1], fields[2]));
}

export const sizes = {
  name: "sizes",
  text: "align, len and space are CMSG_ALIGN, CMSG_LEN and CMSG_SPACE of every n; -1 where n is negative or the result is more than INT_MAX; they touch nothing",
  run(given) {
    const { core } = given;
    const n = T.variable("n");
    const prepare = (ex) => {
      ex.policy = nothing;
    };
    const wide = T.zext(n, 64);
    const macros = {
      align: (q) => roundUp(wide, q("alignBytes")),
      len: (q) => T.add(wide, T.zext(q("dataOffset"), 64)),
      space: (q) => roundUp(T.add(wide, T.zext(q("dataOffset"), 64)), q("headerAlignBytes")),
    };
    return Object.entries(macros).flatMap(([name, macro]) =>
      each(given, name, { parameters: [n], prepare }, (ex, after, result, before) => {
        const value = macro(reader(core, before));
        const fits = T.all(T.sge(n, 0), T.ule(value, INT_MAX));
        ex.show(after, `${name} is the macro`, T.eq(result, T.ite(fits, T.extract(31, 0, value), T.bv(-1))));
        unchanged(ex, core, after, before);
      }),
    );
  },
};

export const setCredentials = {
  name: "setCredentials",
  text: "setCredentials accepts exactly the layouts whose fields lie in a payload of 4 to 256 bytes, or none (0 bytes), for kinds 0 to 2, and stores them; what it refuses changes nothing; it writes the layouts of credentials only",
  run(given) {
    const fields = flags("type", "bytes", "pid", "uid", "gid");
    const others = T.variable("kind", 32, 3);
    return [T.bv(0), T.bv(1), T.bv(2), others].flatMap((kind) => setsKind(given, [kind, ...fields]));
  },
};
function setsKind(given, parameters) {
  const { core } = given;
  const [kind, , bytes, pid, uid, gid] = parameters;
  const at = T.add(T.times(kind, KIND_BYTES), KINDS);
  const prepare = (ex) => {
    ex.apart = byMemory();
    ex.policy = (how, address, n) => (how === "store" ? inside(address, n, at, T.add(at, KIND_BYTES)) : T.FALSE);
  };
  return each(given, "setCredentials", { parameters, prepare }, (ex, after, result, before) => {
    const fits = (offset) => T.ule(T.add(T.zext(offset, 64), 4), T.zext(bytes, 64));
    const payload = T.all(T.ule(4, bytes), T.ule(bytes, 256), fits(uid), fits(gid), T.any(T.eq(pid, -1), fits(pid)));
    const accepted = T.all(T.ult(kind, 3), T.any(T.eq(bytes, 0), payload));
    ex.show(after, "what is accepted", T.eq(result, T.fromBool(accepted)));
    keeps(ex, core, after);
    unchanged(ex, core, after, before);
    for (const k of [0, 1, 2]) {
      const stored = Object.values(core.kind(after, k));
      const old = Object.values(core.kind(before, k));
      const mine = T.all(accepted, T.eq(kind, k));
      ex.show(
        after,
        `kind ${k}`,
        T.all(...stored.map((field, i) => T.eq(field, T.ite(mine, parameters[i + 1], old[i])))),
      );
    }
    bytesStay(ex, after, before, [AREAS.kinds], "no byte changes but those of the layouts of credentials");
  });
}

/** What `setShort` may write. It leaves neither a walk nor an encoding to go on with. */
const SHORT_STORES = [
  AREAS.registers,
  (a, n) => inside(a, n, SHORT, SHORT + 16),
  (a, n) => inside(a, n, CONTROL, CONTROL + 128),
  (a, n) => inside(a, n, FDS, FDS + 20),
];
/** The layouts of the table in which one descriptor takes 24 bytes, as globals. */
function shortLayouts() {
  const layouts = ROWS.filter(
    (abi) => abi.dataOffset === 16 && abi.headerAlignBytes === 8 && abi.endian === "little",
  ).map((abi) => Object.fromEntries(LAYOUT.map((name) => [name, T.bv(name === "bigEndian" ? 0 : abi[name])])));
  return [...new Map(layouts.map((layout) => [LAYOUT.map((name) => layout[name].extra).join(), layout])).values()];
}
export const setShort = {
  name: "setShort",
  text: "setShort, which setLayout and setNumbers call: short ways exist only where the payload begins at 16, the message takes 24 bytes and integers are little-endian, for any layout; there, for the layouts of the table, the header at SHORT_HEADER is byte for byte the one that put writes for one descriptor, and is read as such; it writes registers, the short header, 128 bytes of the control area and 5 slots",
  run(given) {
    const { core } = given;
    const prepare = (ex) => {
      ex.most = 2;
      ex.policy = (kind, address, n) =>
        T.any(...SHORT_STORES.map((area) => area(address, n)), kind === "load" ? AREAS.kinds(address, n) : T.FALSE);
      ex.contracts.set(core.function.readRights, readRightsContract(core));
    };
    // Case by case: where the payload begins, the byte order, the alignment. Those in which there are no short ways, for any fields; the
    // one in which there may be some, for the fields of each row of the table.
    const data = (from, to) => ({ dataOffset: T.variable("dataOffset", 32, from, to) });
    const at16 = { dataOffset: T.bv(16), bigEndian: T.bv(0) };
    const aligned = [0, 1, 2, 4, 5, 6].map((k) => ({ ...at16, headerAlignBytes: T.bv(1 << k) }));
    const cases = [data(4, 15), data(17, 64), { ...at16, bigEndian: T.bv(1) }, ...aligned, ...shortLayouts()];
    const checks = (ex, after, _result, before) => {
      keeps(ex, core, after);
      unchanged(ex, core, after, before, [...WALK, ...ENCODE, "short/exists"]);
      bytesStay(ex, after, before, SHORT_STORES, "no other byte changes");
    };
    const exists = { "short/exists": T.fromBool(T.variable("short", 0)) };
    const options = (globals, configured) => ({
      prepare,
      short: false,
      globals: { ...globals, ...exists },
      modes: [configured],
    });
    if (given.row !== undefined) return each(given, "setShort", options({}, true), checks);
    return [
      ...cases.flatMap((globals) => each(given, "setShort", options(globals, true), checks)),
      ...each(given, "setShort", options({}, false), checks),
    ];
  },
};

/** What is proved of `setShort`, for its callers. */
const setShortContract = (core) => (ex, state, _args) => {
  for (const [label, claim] of core.invariant(state, { short: false })) ex.show(state, label, claim);
  const after = state.copy();
  for (const name of [...WALK, ...ENCODE]) core.set(after, name, T.variable(name));
  core.set(after, "short/exists", T.fromBool(T.variable("short", 0)));
  after.memory = memory.forget(state.memory, (a) => T.any(...SHORT_STORES.map((area) => area(a, T.bv(1)))), "after");
  return [[after.assume(...core.invariant(after).map(([, claim]) => claim)), undefined]];
};

function configures(given, name, parameters, accepted, taken) {
  const { core } = given;
  const prepare = (ex) => {
    ex.policy = nothing;
    ex.apart = byMemory();
    ex.contracts.set(core.function.setShort, setShortContract(core));
  };
  return each(given, name, { parameters, prepare }, (ex, after, result, before) => {
    keeps(ex, core, after);
    if (result !== undefined) ex.show(after, "what is accepted", T.eq(result, T.fromBool(accepted)));
    for (const [global, value] of Object.entries(taken))
      ex.show(after, `${global} is what was given`, T.implies(accepted, T.eq(core.get(after, global), value)));
    const others = GLOBALS.filter((g) => taken[g] === undefined && ![...WALK, ...ENCODE, "short/exists"].includes(g));
    ex.show(
      after,
      "nothing else is configured",
      T.all(...others.map((g) => T.eq(core.get(after, g), core.get(before, g)))),
    );
    const same = GLOBALS.map((g) => T.eq(core.get(after, g), core.get(before, g)));
    ex.show(
      after,
      "what is refused changes no global",
      T.any(accepted, ...(accepted === T.TRUE ? [] : [T.all(...same)])),
    );
    const changed = (a, n) => T.all(accepted, T.any(...SHORT_STORES.map((area) => area(a, n))));
    bytesStay(ex, after, before, [changed], "no byte changes but those that setShort writes; none if it is refused");
  });
}

export const setLayout = {
  name: "setLayout",
  text: "setLayout accepts exactly the layouts whose fields lie in a header of at most dataOffset <= 64 bytes, with alignments that are powers of two up to 64, and takes them over; what it refuses changes nothing; the invariant holds",
  run(given) {
    const parameters = flags("headerBytes", ...LAYOUT);
    const [header, lengthAt, lengthBytes, levelAt, typeAt, data, alignment, headerAlignment, big] = parameters;
    const fits = (offset, bytes) => T.ule(T.add(T.zext(offset, 64), T.zext(bytes, 64)), T.zext(header, 64));
    const power = (n) => T.any(...[0, 1, 2, 3, 4, 5, 6].map((k) => T.eq(n, 1 << k)));
    const accepted = T.all(
      T.ne(header, 0),
      T.ule(header, data),
      T.ule(data, 64),
      T.any(T.eq(lengthBytes, 4), T.eq(lengthBytes, 8)),
      fits(lengthAt, lengthBytes),
      fits(levelAt, T.bv(4)),
      fits(typeAt, T.bv(4)),
      power(alignment),
      power(headerAlignment),
    );
    const taken = Object.fromEntries(LAYOUT.map((name, i) => [name, parameters[i + 1]]));
    return configures(given, "setLayout", parameters, accepted, { ...taken, bigEndian: T.fromBool(T.ne(big, 0)) });
  },
};

export const setNumbers = {
  name: "setNumbers",
  text: "setNumbers takes any numbers over; the invariant holds",
  run(given) {
    const parameters = flags(...NUMBERS);
    const taken = Object.fromEntries(
      NUMBERS.map((name, i) => [name, i < 6 ? parameters[i] : T.fromBool(T.ne(parameters[i], 0))]),
    );
    return configures(given, "setNumbers", parameters, T.TRUE, taken);
  },
};

export const begin = {
  name: "begin",
  text: "begin empties the control buffer, of at most the control area; length is what has been put, with the last padding where the target's kernel wants it; they touch no memory",
  run(given) {
    const { core } = given;
    const bytes = T.variable("bytes");
    const prepare = (ex) => {
      ex.policy = nothing;
    };
    const begins = each(given, "begin", { parameters: [bytes], prepare }, (ex, after, _result, before) => {
      keeps(ex, core, after);
      const q = reader(core, after);
      const capacity = T.ite(T.ugt(bytes, CONTROL_BYTES), T.bv(CONTROL_BYTES), bytes);
      ex.show(
        after,
        "it is empty",
        T.all(T.eq(q("encode/at"), 0), T.eq(q("encode/reach"), 0), T.eq(q("encode/capacity"), capacity)),
      );
      unchanged(ex, core, after, before, ENCODE);
    });
    const lengths = each(given, "length", { prepare }, (ex, after, result, before) => {
      const q = reader(core, before);
      ex.show(after, "the length", T.eq(result, T.ite(T.eq(q("padLast"), 1), q("encode/at"), q("encode/reach"))));
      unchanged(ex, core, after, before);
    });
    return [...begins, ...lengths];
  },
};
