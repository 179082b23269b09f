// The core as the claims see it: the decoded module, names for its globals and functions, and any state that it can be in.

import { memory, read, readByte, State, unknownBytes, zeroBytes } from "./execute.mjs";
import * as T from "./terms.mjs";
import { decode, exposeGlobals } from "./wasm.mjs";

/** The areas of the memory and the largest layout, as `docs/audit.md` and `assembly/memory.ts` give them. */
export const CONTROL = 0x20000;
export const CONTROL_BYTES = 0x10000;
export const FDS = 0x10000;
export const FDS_CAPACITY = 0x4000;
export const KINDS = 0x100;
export const KIND_BYTES = 20;
export const SHORT = 0x200;
const LIMIT = 64;

/** Registers by name: their addresses. */
export const REGISTERS = Object.fromEntries(
  `OFFSET LEVEL TYPE DATA DATA_LENGTH CLAMPED FAULT_OFFSET FAULT COUNT KEEP LEFTOVER INVALID HAS_PIDFD PIDFD CREDENTIALS PID UID GID
   SECURITY SECURITY_LENGTH`
    .split(/\s+/)
    .map((name, i) => [name, 4 * i]),
);

/** The state that `setLayout` and `setNumbers` set, by the names of `assembly/abi.ts`. */
export const LAYOUT = [
  "lengthOffset",
  "lengthBytes",
  "levelOffset",
  "typeOffset",
  "dataOffset",
  "alignBytes",
  "headerAlignBytes",
  "bigEndian",
];
export const NUMBERS = [
  "SOL_SOCKET",
  "SCM_RIGHTS",
  "SCM_PIDFD",
  "SCM_SECURITY",
  "MSG_TRUNC",
  "MSG_CTRUNC",
  "padLast",
  "losesCtrunc",
];
const OTHERS = [
  "decode/at",
  "decode/end",
  "decode/clamps",
  "encode/at",
  "encode/reach",
  "encode/capacity",
  "short/exists",
];
export const GLOBALS = [...LAYOUT, ...NUMBERS, ...OTHERS];

/** A boolean that is kept as 0 or 1. */
const flag = (name) => T.fromBool(T.variable(name, 0));

/** One module of `assembly/`: the bytes, and the text of the compiler, of which only the names are taken. */
export class Core {
  constructor(bytes, text) {
    this.bytes = bytes;
    this.module = decode(bytes);
    const names = (pattern) => [...text.matchAll(pattern)].map(([, path]) => path.split("/").slice(-2).join("/"));
    const globals = names(/^ \(global \$(\S+)/gm).map((name) => name.replace(/^abi\/abi\./, ""));
    const functions = names(/^ \(func \$(\S+)/gm);
    if (globals.length !== this.module.globals.length || functions.length !== this.module.functions.length)
      throw new Error("the text of the compiler is not that of the module");
    this.global = Object.fromEntries(GLOBALS.map((name) => [name, globals.indexOf(name)]));
    this.function = Object.fromEntries(functions.map((name, i) => [name.split("/").at(-1), i]));
    for (const name of GLOBALS)
      if (this.module.globals[this.global[name]]?.mutable !== true) throw new Error(`there is no global ${name}`);
    const mutable = this.module.globals.filter((g) => g.mutable).length;
    if (mutable !== GLOBALS.length) throw new Error(`${mutable} globals can change, and ${GLOBALS.length} are known`);
    const constants = { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY, REGISTERS: 0 };
    for (const [name, address] of Object.entries(REGISTERS)) constants[`Register.${name}`] = address / 4;
    for (const [name, value] of Object.entries(constants)) {
      const found = this.module.globals[this.module.exports.global[name]];
      if (found?.mutable !== false || found.value !== BigInt(value)) throw new Error(`${name} is not ${value}`);
    }
    if (this.module.memoryBytes !== CONTROL + CONTROL_BYTES)
      throw new Error("the control area does not end the memory");
  }

  /** The state of a new instance. */
  initial() {
    return new State(
      this.module.globals.map(({ width, value }) => T.bv(value, width)),
      zeroBytes(),
    );
  }

  /**
   * Any state that satisfies the invariant, every byte of the memory and everything else unknown: with any layout that `setLayout` takes,
   * or before any.
   *
   * @param given what is known: `configured`, a `row` (its globals, and its bytes of page 0), or globals by name
   * @param words gives what is known of the memory: addresses and terms of 32 bits
   * @param short whether the invariant of the short ways is assumed
   */
  any({ configured = true, row, globals = {}, words = () => [], short = true } = {}) {
    const state = this.initial();
    state.memory = unknownBytes("memory");
    this.before = state.memory;
    if (row !== undefined)
      for (const [address, byte] of row.bytes)
        state.memory = memory.store(state.memory, T.bv(address), 1, T.bv(byte, 8));
    const power = T.variable("power", 3, 0, 6);
    const power2 = T.variable("headerPower", 3, 0, 6);
    const oneOf = (k) =>
      [...Array(6).keys()].reduceRight((rest, i) => T.ite(T.eq(k, i), T.bv(1 << i), rest), T.bv(LIMIT));
    const values = {
      ...Object.fromEntries(NUMBERS.slice(0, 6).map((name) => [name, T.variable(name)])),
      padLast: flag("padLast"),
      losesCtrunc: flag("losesCtrunc"),
      "decode/at": T.variable("at", 32, 0, CONTROL_BYTES),
      "decode/end": T.variable("end", 32, 0, CONTROL_BYTES),
      "decode/clamps": flag("clamps"),
      "encode/at": T.variable("encodeAt", 32, 0, CONTROL_BYTES),
      "encode/reach": T.variable("reach", 32, 0, CONTROL_BYTES),
      "encode/capacity": T.variable("capacity", 32, 0, CONTROL_BYTES),
      "short/exists": configured ? flag("short") : T.bv(0),
      ...(configured && {
        lengthOffset: T.variable("lengthOffset", 32, 0, LIMIT - 4),
        lengthBytes: T.ite(T.variable("wide", 0), T.bv(8), T.bv(4)),
        levelOffset: T.variable("levelOffset", 32, 0, LIMIT - 4),
        typeOffset: T.variable("typeOffset", 32, 0, LIMIT - 4),
        dataOffset: T.variable("dataOffset", 32, 4, LIMIT),
        alignBytes: oneOf(power),
        headerAlignBytes: oneOf(power2),
        bigEndian: flag("bigEndian"),
      }),
      ...row?.globals,
      ...globals,
    };
    for (const [name, value] of Object.entries(values)) state.globals[this.global[name]] = value;
    for (const [address, word] of words()) state.memory = memory.store(state.memory, T.bv(address), 4, word);
    return state.assume(...this.invariant(state, { short }).map(([, claim]) => claim));
  }

  /** A global of a state, by name. */
  get(state, name) {
    return state.globals[this.global[name]];
  }
  set(state, name, value) {
    state.globals[this.global[name]] = value;
  }
  register(state, name) {
    return read(state.memory, T.bv(REGISTERS[name]), 4);
  }

  /** What holds in every state: [label, claim]. */
  invariant(state, { short = true } = {}) {
    const q = (name) => this.get(state, name);
    const data = q("dataOffset");
    const fresh = this.module.globals;
    const boolean = (name) => T.ult(q(name), 2);
    const power = (t) => T.any(...[0, 1, 2, 3, 4, 5, 6].map((k) => T.eq(t, 1 << k)));
    const inside = (offset, bytes) => T.all(T.ule(q(offset), LIMIT), T.ule(T.add(q(offset), bytes), data));
    const configured = T.all(
      T.any(T.eq(q("lengthBytes"), 4), T.eq(q("lengthBytes"), 8)),
      T.ule(data, LIMIT),
      inside("lengthOffset", q("lengthBytes")),
      inside("levelOffset", 4),
      inside("typeOffset", 4),
      power(q("alignBytes")),
      power(q("headerAlignBytes")),
      boolean("bigEndian"),
    );
    const unconfigured = T.all(
      ...LAYOUT.map((name) => T.eq(q(name), fresh[this.global[name]].value)),
      T.eq(data, 0x80000000),
      T.eq(q("short/exists"), 0),
    );
    return [
      ["invariant: the layout is one that setLayout takes, or none is set", T.any(configured, unconfigured)],
      ["invariant: numbers", T.all(boolean("padLast"), boolean("losesCtrunc"))],
      [
        "invariant: the cursor of a walk is in the data, and these in the control area",
        T.all(T.ule(q("decode/at"), q("decode/end")), T.ule(q("decode/end"), CONTROL_BYTES), boolean("decode/clamps")),
      ],
      [
        "invariant: what has been put is within the capacity, and that in the control area",
        T.all(
          T.ule(q("encode/at"), q("encode/capacity")),
          T.ule(q("encode/reach"), q("encode/capacity")),
          T.ule(q("encode/capacity"), CONTROL_BYTES),
        ),
      ],
      [
        "invariant: fields of credentials lie in their payload",
        T.all(...[0, 1, 2].map((kind) => this.#kind(state, kind))),
      ],
      ...(short
        ? [
            [
              "invariant: short ways",
              T.all(boolean("short/exists"), T.implies(T.eq(q("short/exists"), 1), this.#short(state))),
            ],
          ]
        : []),
    ];
  }
  /** One layout of credentials: its fields. */
  kind(state, kind) {
    const at = KINDS + KIND_BYTES * kind;
    const [type, bytes, pid, uid, gid] = [0, 4, 8, 12, 16].map((offset) => read(state.memory, T.bv(at + offset), 4));
    return { type, bytes, pid, uid, gid };
  }
  #kind(state, kind) {
    const { bytes, pid, uid, gid } = this.kind(state, kind);
    const inside = (offset) => T.ule(offset, T.sub(bytes, 4));
    return T.any(
      T.eq(bytes, 0),
      T.all(T.uge(bytes, 4), T.ule(bytes, 256), inside(uid), inside(gid), T.any(T.eq(pid, -1), inside(pid))),
    );
  }
  /** Short ways exist only where this holds: the header at SHORT is that of one descriptor, as it is written and as it is read. */
  #short(state) {
    const q = (name) => this.get(state, name);
    const field = (offset, bytes) => read(state.memory, T.add(q(offset), SHORT), bytes);
    const bytes = Array.from({ length: 16 }, (_, i) =>
      T.eq(readByte(state.memory, T.bv(SHORT + i)), headerByte(q, T.bv(i), T.bv(20), q("SOL_SOCKET"), q("SCM_RIGHTS"))),
    );
    return T.all(
      T.eq(q("dataOffset"), 16),
      T.eq(q("headerAlignBytes"), 8),
      T.eq(q("bigEndian"), 0),
      ...bytes,
      T.eq(T.ite(T.eq(q("lengthBytes"), 4), T.zext(field("lengthOffset", 4), 64), field("lengthOffset", 8)), 20),
      T.eq(field("levelOffset", 4), q("SOL_SOCKET")),
      T.eq(field("typeOffset", 4), q("SCM_RIGHTS")),
      T.sge(q("SCM_RIGHTS"), 0),
    );
  }
}

/**
 * The byte at an offset of a header: zero, but for `cmsg_len`, `cmsg_level` and `cmsg_type` in the target's byte order. Where a layout
 * has fields that overlap, a later one of these is over an earlier one.
 */
export function headerByte(q, offset, length, level, type) {
  const big = T.eq(q("bigEndian"), 1);
  let byte = T.bv(0, 8);
  const put = (at, bytes, value, condition = T.TRUE) => {
    for (let i = 0; i < bytes; i++) {
      const little = T.extract(8 * i + 7, 8 * i, value);
      const bigger = T.extract(8 * (bytes - i) - 1, 8 * (bytes - i) - 8, value);
      byte = T.ite(T.all(condition, T.eq(offset, T.add(at, i))), T.ite(big, bigger, little), byte);
    }
  };
  put(q("lengthOffset"), 4, length, T.eq(q("lengthBytes"), 4));
  put(q("lengthOffset"), 8, T.zext(length, 64), T.eq(q("lengthBytes"), 8));
  put(q("levelOffset"), 4, level);
  put(q("typeOffset"), 4, type);
  return byte;
}

/** An engine with the very same code, whose globals can be set: for what is compared with the executor, and for counterexamples. */
export function engine(core) {
  core.exposed ??= new WebAssembly.Module(exposeGlobals(core.bytes));
  return new WebAssembly.Instance(core.exposed).exports;
}
