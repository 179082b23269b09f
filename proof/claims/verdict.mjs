// `verdict`: which descriptors came, which are kept, and whether it is an error.

import { CONTROL, CONTROL_BYTES, FDS, REGISTERS, SHORT } from "../core.mjs";
import { byMemory, memory, read, readByte } from "../execute.mjs";
import { field, negatives, step } from "../spec.mjs";
import * as T from "../terms.mjs";
import { AREAS, bytesStay, each, flags, inside, keeps, reader, SHORT_LAYOUT, unchanged } from "./common.mjs";
import { nextContract, walk } from "./decode.mjs";
import { definition, readRightsContract, source } from "./rights.mjs";

/** Locals, as the compiler numbers them: with wrong ones, nothing could be shown. */
const LOCALS = { count: 5, pidfds: 7, truncated: 12, invalid: 13, leftover: 17 };
/** The one that says whether a short way was taken, and the arguments, which stay. */
const ONE = 16;
/** The one with the address of a layout of credentials. */
const KIND = 6;
const KEPT = [1, 2, 3, 4, ONE];
/** Registers that messages set. */
const CREDENTIALS = ["CREDENTIALS", "PID", "UID", "GID"];
const RESULTS = ["HAS_PIDFD", "PIDFD", ...CREDENTIALS, "SECURITY", "SECURITY_LENGTH"];
/** What says that none came. */
const NONE = { HAS_PIDFD: 0, CREDENTIALS: 0, SECURITY_LENGTH: -1 };
const WALK = ["decode/at", "decode/end", "decode/clamps"];
const OUTCOMES = { OK: 0, ANCILLARY_TRUNCATED: 1, MALFORMED: 2, DATA_TRUNCATED: 3, FD_COUNT: 4 };

const choose = (cases, otherwise) =>
  cases.reduceRight(
    (rest, [condition, value]) => T.ite(condition, typeof value === "number" ? T.bv(value) : value, rest),
    otherwise,
  );
const max0 = (n) => T.ite(T.slt(n, 0), T.bv(0), n);
const has = (flags, bit) => T.nonzero(T.and(flags, bit));

/** The bytes that are there: `msg_controllen`, none if it is negative, at most the control area. */
const effective = (length) =>
  T.ite(T.slt(length, 0), T.bv(0), T.ite(T.ugt(length, CONTROL_BYTES), T.bv(CONTROL_BYTES), length));

/**
 * What is to be done with a payload of credentials: the first layout of this type that has this size, else the last of this type. They
 * name nobody if the payload is too short for it, or the uid is -1.
 */
function credentials(core, state, came, { TYPE: type, DATA: data, DATA_LENGTH: length }) {
  const big = core.get(state, "bigEndian");
  const kinds = [0, 1, 2].map((kind) => core.kind({ memory: came }, kind));
  const mine = kinds.map(({ type: of, bytes }) => T.all(T.ne(bytes, 0), T.eq(of, type)));
  const exact = kinds.map(({ bytes }, i) => T.all(mine[i], T.eq(length, bytes)));
  const order = [exact[0], exact[1], exact[2], mine[2], mine[1]];
  const pick = (of) =>
    choose(
      order.map((is, i) => [is, of(kinds[[0, 1, 2, 2, 1][i]])]),
      of(kinds[0]),
    );
  const at = (name) => pick((kind) => field(came, big, T.add(data, CONTROL, kind[name]), 4));
  const any = T.any(...mine);
  const whole = T.all(
    any,
    T.uge(
      length,
      pick((kind) => kind.bytes),
    ),
  );
  const anonymous = T.slt(
    pick((kind) => kind.pid),
    0,
  );
  const pid = T.ite(anonymous, T.bv(-1), at("pid"));
  const uid = at("uid");
  const names = T.all(whole, T.ne(uid, -1));
  const value = choose(
    [
      [T.all(names, T.any(anonymous, T.slt(T.bv(0), pid))), 1],
      [T.all(names, T.eq(pid, 0)), 3],
    ],
    T.bv(2),
  );
  return { any, whole, value, registers: { PID: pid, UID: uid, GID: at("gid") } };
}

/** What one message does to the counters (locals of the loop's head) and to the registers. */
function message(core, head, came, found) {
  const { LEVEL, TYPE, DATA, DATA_LENGTH, CLAMPED } = found.registers;
  const q = reader(core, head);
  const before = { ...Object.fromEntries(Object.entries(LOCALS).map(([name, i]) => [name, head.locals[i]])) };
  for (const name of RESULTS) before[name] = core.register(head, name);
  const creds = credentials(core, head, came, found.registers);
  const known = T.all(T.eq(LEVEL, q("SOL_SOCKET")), T.sge(TYPE, 0));
  const isRights = T.all(known, T.eq(TYPE, q("SCM_RIGHTS")));
  const isCredentials = T.all(known, T.not(isRights), creds.any);
  const isPidfd = T.all(
    known,
    T.not(isRights),
    T.not(isCredentials),
    T.eq(TYPE, q("SCM_PIDFD")),
    T.uge(DATA_LENGTH, 4),
  );
  const isSecurity = T.all(
    known,
    T.not(isRights),
    T.not(isCredentials),
    T.ne(TYPE, q("SCM_PIDFD")),
    T.eq(TYPE, q("SCM_SECURITY")),
  );
  const ints = T.lshr(DATA_LENGTH, T.bv(2));
  const pidfd = field(came, q("bigEndian"), T.add(DATA, CONTROL), 4);
  const first = T.all(isPidfd, T.eq(before.pidfds, 0));
  const further = T.all(isPidfd, T.ne(before.pidfds, 0), T.sge(pidfd, 0));
  const after = {
    count: choose(
      [
        [isRights, T.add(before.count, ints)],
        [further, T.add(before.count, 1)],
      ],
      before.count,
    ),
    pidfds: T.ite(isPidfd, T.add(before.pidfds, 1), before.pidfds),
    truncated: T.ite(T.eq(CLAMPED, 1), T.bv(1), before.truncated),
    invalid: T.ite(isRights, T.add(before.invalid, negatives(T.add(DATA, CONTROL), ints)), before.invalid),
    leftover: T.ite(isRights, T.add(before.leftover, T.and(DATA_LENGTH, 3)), before.leftover),
    HAS_PIDFD: T.ite(first, T.ite(T.slt(pidfd, 0), T.bv(-1), T.bv(1)), before.HAS_PIDFD),
    PIDFD: T.ite(first, pidfd, before.PIDFD),
    CREDENTIALS: T.ite(isCredentials, creds.value, before.CREDENTIALS),
    SECURITY: T.ite(isSecurity, DATA, before.SECURITY),
    SECURITY_LENGTH: T.ite(isSecurity, DATA_LENGTH, before.SECURITY_LENGTH),
  };
  for (const name of ["PID", "UID", "GID"])
    after[name] = T.ite(T.all(isCredentials, creds.whole), creds.registers[name], before[name]);
  return { ...found, after, isRights, ints, further, pidfd };
}

/** The loop over messages. `seen` gets the states at its head and where it ends. */
function loop(core, came, arguments_, seen) {
  const local = (s, name) => s.locals[LOCALS[name]];
  const [, flagsOf] = arguments_;
  return {
    enter: (ex, s) => {
      for (const name of ["count", "pidfds", "invalid", "leftover"])
        ex.show(s, `at the entry: ${name} is 0`, T.eq(local(s, name), 0));
      const truncated = has(flagsOf, core.get(s, "MSG_CTRUNC"));
      ex.show(s, "at the entry: truncated if MSG_CTRUNC says so", T.eq(local(s, "truncated"), T.fromBool(truncated)));
      const { at, end, clamps } = walk(core, s);
      const began = T.all(T.eq(at, 0), T.eq(end, effective(arguments_[0])));
      ex.show(s, "at the entry: the walk begins", began);
      const lenient = T.any(truncated, T.eq(core.get(s, "losesCtrunc"), 1));
      ex.show(s, "at the entry: it clamps after a truncation only", T.eq(clamps, T.fromBool(lenient)));
      for (const [name, value] of Object.entries(NONE))
        ex.show(s, `at the entry: ${name} says none`, T.eq(core.register(s, name), value));
      bytesStay(ex, s, { memory: came }, [AREAS.registers], "at the entry: no byte has changed but registers");
      return { registers: s };
    },
    invariant: (_ex, s) => {
      const { at, end } = walk(core, s);
      const [count, pidfds] = [local(s, "count"), local(s, "pidfds")];
      const [hasPidfd, pidfd] = [core.register(s, "HAS_PIDFD"), core.register(s, "PIDFD")];
      return [
        ["the cursor is in the data", T.all(T.ule(at, end), T.ule(at, CONTROL_BYTES))],
        [
          "every slot has 4 bytes of the data behind the cursor, and the first pidfd has 4 more",
          T.all(T.ule(count, 0x4000), T.ule(T.add(T.times(count, 4), T.ite(T.eq(pidfds, 0), T.bv(0), T.bv(4))), at)),
        ],
        [
          "counters are small",
          T.all(
            T.ule(pidfds, at),
            T.ule(local(s, "invalid"), count),
            T.ule(local(s, "leftover"), at),
            T.ult(local(s, "truncated"), 2),
          ),
        ],
        ["there is no fault yet", T.all(T.eq(core.register(s, "FAULT"), 0), T.eq(core.register(s, "FAULT_OFFSET"), 0))],
        [
          "HAS_PIDFD says whether one came, and its sign",
          choose(
            [
              [T.eq(pidfds, 0), T.fromBool(T.eq(hasPidfd, 0))],
              [T.slt(pidfd, 0), T.fromBool(T.eq(hasPidfd, -1))],
            ],
            T.fromBool(T.eq(hasPidfd, 1)),
          ),
        ].map((x) => (typeof x === "string" ? x : T.nonzero(x))),
      ];
    },
    forget: (_ex, s) => {
      s.locals = s.locals.map((value, i) => (KEPT.includes(i) ? value : T.variable(`local${i}`, value.width)));
      const ranges = { count: 0x4000, pidfds: 0x10000, invalid: 0x4000, leftover: 0x10000 };
      for (const [name, most] of Object.entries(ranges)) s.locals[LOCALS[name]] = T.variable(name, 32, 0, most);
      s.locals[LOCALS.truncated] = T.fromBool(T.variable("truncated", 0));
      core.set(s, "decode/at", T.variable("at", 32, 0, CONTROL_BYTES));
      s.memory = memory.forget(s.memory, (a) => T.any(AREAS.registers(a, T.bv(1)), AREAS.table(a, T.bv(1))), "results");
      seen.head = s.copy();
    },
    measure: (s) => T.sub(core.get(s, "decode/end"), core.get(s, "decode/at")),
    iteration: (ex, head, s) => {
      const { found, next, after, isRights, ints, further, pidfd, registers } = message(core, head, came, seen.step);
      ex.show(s, "an iteration is a message", found);
      ex.show(s, "the cursor goes to the next", T.eq(core.get(s, "decode/at"), next));
      ex.show(
        s,
        "the cursor goes on by CMSG_LEN(0) at least",
        T.uge(T.sub(next, core.get(head, "decode/at")), core.get(head, "dataOffset")),
      );
      for (const name of Object.keys(LOCALS)) ex.show(s, `after a message: ${name}`, T.eq(local(s, name), after[name]));
      for (const name of RESULTS) ex.show(s, `after a message: ${name}`, T.eq(core.register(s, name), after[name]));
      const count = local(head, "count");
      const j = T.variable("slotByte", 32, 0, 0xffff);
      const slot = readByte(s.memory, T.add(j, FDS));
      const old = readByte(head.memory, T.add(j, FDS));
      const k = T.sub(j, T.times(count, 4));
      const big = core.get(head, "bigEndian");
      ex.show(
        s,
        "descriptors that came before stay in the table",
        T.implies(T.ult(j, T.times(count, 4)), T.eq(slot, old)),
      );
      const payload = T.add(registers.DATA, CONTROL);
      const within = T.umin(k, T.bv(0xffff));
      ex.show(
        s,
        "new slots are the ints of this SCM_RIGHTS",
        T.implies(
          T.all(isRights, T.ult(k, T.times(ints, 4))),
          T.eq(slot, readByte(came, source(big, payload, within))),
        ),
      );
      const ofPidfd = [0, 1, 2, 3].map((i) => T.implies(T.eq(k, i), T.eq(slot, T.extract(8 * i + 7, 8 * i, pidfd))));
      ex.show(s, "a further pidfd is in the table", T.implies(further, T.all(...ofPidfd)));
      ex.show(
        s,
        "slots come from SCM_RIGHTS and further pidfds alone",
        T.any(T.eq(local(s, "count"), count), isRights, further),
      );
      const end = core.get(head, "decode/end");
      ex.show(
        s,
        "these ints lie in the data",
        T.implies(isRights, T.all(T.ule(registers.DATA, end), T.ule(T.times(ints, 4), T.sub(end, registers.DATA)))),
      );
      bytesStay(ex, s, head, [AREAS.registers, AREAS.table], "control data and configuration stay as they are");
    },
    exit: (_ex, _head, s) => {
      seen.exit = s.copy();
    },
  };
}

export const verdict = {
  name: "verdict",
  byPath: true,
  text: "verdict, by the general way, for any bytes, length, arguments, layout and numbers: it ends, after length / CMSG_LEN(0) + 1 steps at most; each message does to the counters, the registers and the table what the specification says; a slot of the table is an int of an SCM_RIGHTS in the data, or a further pidfd, and each of these is in a slot; outcome, KEEP and COUNT follow, KEEP <= COUNT, 0 unless OK; it reads the data, slots that it has written and its configuration, and writes registers and slots that the data have ints for",
  run(given) {
    const { core } = given;
    const parameters = flags("length", "msgFlags", "maxFds", "exactly", "allowTruncated");
    const bytes = effective(parameters[0]);
    const seen = { step: {} };
    const prepare = (ex, before) => {
      const slots = (address, n) => inside(address, n, FDS, T.add(T.and(bytes, ~3), FDS));
      ex.policy = (kind, address, n) =>
        kind === "store"
          ? T.any(AREAS.registers(address, n), slots(address, n))
          : T.any(
              AREAS.registers(address, n),
              AREAS.kinds(address, n),
              slots(address, n),
              inside(address, n, CONTROL, T.add(bytes, CONTROL)),
            );
      // One path for each kind of message and layout of credentials: together they are too much for a solver.
      const memoryOf = byMemory();
      ex.apart = (s) => `${memoryOf(s)} ${T.isConst(s.locals[KIND]) ? s.locals[KIND].extra : ""}`;
      ex.contracts.set(core.function.next, nextContract(core, seen.step));
      ex.contracts.set(core.function.readRights, readRightsContract(core, before.memory));
      ex.loops.set(`${core.function.verdict}:0`, loop(core, before.memory, parameters, seen));
    };
    // The short way is another claim.
    const options = { parameters, prepare, globals: { "short/exists": T.bv(0) } };
    return each(given, "verdict", options, (ex, after, result, before) => {
      const { head, exit } = seen;
      keeps(ex, core, after);
      const spec = seen.step;
      ex.show(after, "it ends where there is no message", T.not(spec.found));
      const walked = {
        counters: Object.fromEntries(Object.entries(LOCALS).map(([name, i]) => [name, exit.locals[i]])),
        register: (name) => core.register(exit, name),
        slot: (j) => readByte(exit.memory, T.add(j, FDS)),
        fault: spec.fault,
        faultAt: core.get(head, "decode/at"),
      };
      ends(ex, core, { before, after, result, parameters }, walked);
    });
  },
};

/**
 * What follows from the messages of a walk: `counters`, registers, slots of the table by byte, the fault and where it is.
 */
function ends(ex, core, { before, after, result, parameters }, { counters, register: walked, slot, fault, faultAt }) {
  const [length, msgFlags, maxFds, exactly, allow] = parameters;
  const q = reader(core, before);
  const { count, pidfds, truncated, invalid, leftover } = counters;
  const bad = T.any(T.ne(fault, 0), T.ne(leftover, 0), T.ne(invalid, 0), T.ugt(pidfds, 1));
  const outcome = choose(
    [
      [T.eq(truncated, 1), OUTCOMES.ANCILLARY_TRUNCATED],
      [bad, OUTCOMES.MALFORMED],
      [T.all(has(msgFlags, q("MSG_TRUNC")), T.eq(allow, 0)), OUTCOMES.DATA_TRUNCATED],
      [T.all(T.sge(exactly, 0), T.ne(count, exactly)), OUTCOMES.FD_COUNT],
    ],
    T.bv(OUTCOMES.OK),
  );
  ex.show(after, "the outcome", T.eq(result, outcome));
  const ok = T.eq(outcome, OUTCOMES.OK);
  const moved = T.all(T.not(ok), T.eq(walked("HAS_PIDFD"), 1));
  const register = (name) => core.register(after, name);
  ex.show(
    after,
    "COUNT: a pidfd that is not handed out is in the table",
    T.eq(register("COUNT"), T.ite(moved, T.add(count, 1), count)),
  );
  ex.show(
    after,
    "KEEP: 0 unless OK, and no more than asked for",
    T.eq(register("KEEP"), T.ite(ok, T.umin(count, max0(maxFds)), T.bv(0))),
  );
  ex.show(after, "unless OK no pidfd is handed out", T.implies(T.not(ok), T.ne(register("HAS_PIDFD"), 1)));
  ex.show(
    after,
    "it is in the table instead",
    T.implies(moved, T.eq(read(after.memory, T.add(T.times(count, 4), FDS), 4), walked("PIDFD"))),
  );
  for (const name of RESULTS) {
    const same = T.eq(register(name), walked(name));
    ex.show(after, `${name} stays`, name === "HAS_PIDFD" ? T.implies(T.not(moved), same) : same);
  }
  ex.show(
    after,
    "LEFTOVER and INVALID",
    T.all(T.eq(register("LEFTOVER"), leftover), T.eq(register("INVALID"), invalid)),
  );
  ex.show(
    after,
    "KEEP <= COUNT <= ints that the data can hold",
    T.all(T.ule(register("KEEP"), register("COUNT")), T.ule(register("COUNT"), T.lshr(effective(length), T.bv(2)))),
  );
  ex.show(
    after,
    "the fault",
    T.all(T.eq(register("FAULT"), fault), T.implies(T.ne(fault, 0), T.eq(register("FAULT_OFFSET"), faultAt))),
  );
  const j = T.variable("slotByte", 32, 0, 0xffff);
  ex.show(
    after,
    "the table stays as the messages made it",
    T.implies(T.ult(j, T.times(count, 4)), T.eq(readByte(after.memory, T.add(j, FDS)), slot(j))),
  );
  ex.show(after, "afterwards the walk is over", T.eq(core.get(after, "decode/at"), core.get(after, "decode/end")));
  unchanged(ex, core, after, before, WALK);
  bytesStay(
    ex,
    after,
    before,
    [AREAS.registers, AREAS.table],
    "nothing else changes: the control data are what they were",
  );
}

export const verdictShort = {
  name: "verdictShort",
  text: "verdict, by the short way: where there is one and it is taken, the data are one whole SCM_RIGHTS message of one descriptor and nothing behind it, and outcome, registers and table are those that the general way comes to for such data; where it is not taken, the general way begins as it does where there is none",
  run(given) {
    const { core } = given;
    const parameters = flags("length", "msgFlags", "maxFds", "exactly", "allowTruncated");
    const [length, msgFlags] = parameters;
    const bytes = effective(length);
    const prepare = (ex, before) => {
      ex.policy = (kind, address, n) =>
        T.any(
          AREAS.registers(address, n),
          inside(address, n, FDS, T.add(T.and(bytes, ~3), FDS)),
          kind === "load" ? inside(address, n, SHORT, SHORT + 16) : T.FALSE,
          kind === "load" ? inside(address, n, CONTROL, T.add(bytes, CONTROL)) : T.FALSE,
        );
      ex.apart = byMemory();
      const general = loop(core, before.memory, parameters, {});
      ex.loops.set(`${core.function.verdict}:0`, {
        applies: (s) => s.locals[ONE] !== T.bv(1),
        stops: true,
        enter: (_ex, s) => {
          general.enter(ex, s);
          ex.show(s, "not taken: it says so", T.eq(s.locals[ONE], 0));
          const same = parameters.slice(1).map((argument, i) => T.eq(s.locals[i + 1], argument));
          ex.show(s, "not taken: the arguments are those that came", T.all(...same));
          unchanged(ex, core, s, before, WALK);
        },
      });
    };
    if (given.row !== undefined && given.row.globals["short/exists"].extra === 0n) return [];
    const options = { parameters, prepare, globals: SHORT_LAYOUT, modes: [true] };
    return each(given, "verdict", options, (ex, after, result, before) => {
      const q = reader(core, before);
      keeps(ex, core, after);
      // The walk of the general way: one step finds a message, and there it ends.
      const truncated = has(msgFlags, q("MSG_CTRUNC"));
      const clamps = T.fromBool(T.any(truncated, T.eq(q("losesCtrunc"), 1)));
      const found = step(before.memory, q, { at: T.bv(0), end: bytes, clamps });
      ex.show(after, "taken: a message is found, and nothing behind it", T.all(found.found, T.eq(found.next, bytes)));
      const wanted = {
        OFFSET: T.bv(0),
        LEVEL: q("SOL_SOCKET"),
        TYPE: q("SCM_RIGHTS"),
        DATA: T.bv(16),
        DATA_LENGTH: T.bv(4),
        CLAMPED: T.bv(0),
      };
      for (const [name, value] of Object.entries(wanted))
        ex.show(after, `taken: its ${name}`, T.eq(found.registers[name], value));
      // So the one stands for the other.
      const head = before.copy();
      for (const [name, value] of Object.entries(NONE))
        head.memory = memory.store(head.memory, T.bv(REGISTERS[name]), 4, T.bv(value));
      for (const i of Object.values(LOCALS)) head.locals[i] = T.bv(0);
      head.locals[LOCALS.truncated] = T.fromBool(truncated);
      const { after: counted, ints } = message(core, head, before.memory, { registers: wanted });
      const payload = T.bv(CONTROL + 16);
      after.assume(T.eq(negatives(payload, T.bv(0)), 0), definition(before.memory, q("bigEndian"), payload, T.bv(0)));
      const slot = (j) => readByte(before.memory, T.add(payload, T.umin(j, T.sub(T.times(ints, 4), 1))));
      const walked = { counters: counted, register: (name) => counted[name], slot, fault: T.bv(0), faultAt: T.bv(0) };
      ends(ex, core, { before, after, result, parameters }, walked);
    });
  },
};
