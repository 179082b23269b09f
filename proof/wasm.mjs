// A decoder for the subset of WebAssembly that the core uses. Whatever is not in the subset is an error, never a guess: imports, tables,
// data segments, start functions, floating point, division, indirect calls and memory.grow cannot even be read.
//
// Opcodes are those of the specification (https://webassembly.github.io/spec/core/appendix/index-instructions.html).

const COMPARISONS = ["eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"];
const numeric = new Map([
  [0x45, "i32.eqz"],
  ...COMPARISONS.map((name, i) => [0x46 + i, `i32.${name}`]),
  [0x50, "i64.eqz"],
  ...COMPARISONS.map((name, i) => [0x51 + i, `i64.${name}`]),
  [0x69, "i32.popcnt"],
  [0x6a, "i32.add"],
  [0x6b, "i32.sub"],
  [0x6c, "i32.mul"],
  ...["and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"].map((name, i) => [0x71 + i, `i32.${name}`]),
  [0x7b, "i64.popcnt"],
  [0x7c, "i64.add"],
  [0x7d, "i64.sub"],
  [0x7e, "i64.mul"],
  ...["and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"].map((name, i) => [0x83 + i, `i64.${name}`]),
  [0xa7, "i32.wrap_i64"],
  [0xac, "i64.extend_i32_s"],
  [0xad, "i64.extend_i32_u"],
]);

/** Opcode -> load or store, the width of the value, the bytes in memory, whether a narrower value is extended with its sign. */
const memory = new Map([
  [0x28, ["load", 32, 4, false]],
  [0x29, ["load", 64, 8, false]],
  [0x2c, ["load", 32, 1, true]],
  [0x2d, ["load", 32, 1, false]],
  [0x2e, ["load", 32, 2, true]],
  [0x2f, ["load", 32, 2, false]],
  [0x34, ["load", 64, 4, true]],
  [0x35, ["load", 64, 4, false]],
  [0x36, ["store", 32, 4, false]],
  [0x37, ["store", 64, 8, false]],
  [0x3a, ["store", 32, 1, false]],
  [0x3b, ["store", 32, 2, false]],
  [0x3c, ["store", 64, 1, false]],
  [0x3d, ["store", 64, 2, false]],
  [0x3e, ["store", 64, 4, false]],
]);

const STRUCTURES = { 2: "block", 3: "loop", 4: "if" };
const SIMPLE = { 15: "return", 26: "drop", 27: "select" };
const INDEXED = {
  12: "br",
  13: "br_if",
  16: "call",
  32: "local.get",
  33: "local.set",
  34: "local.tee",
  35: "global.get",
  36: "global.set",
};
const WIDTHS = { 127: 32, 126: 64 };

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  byte() {
    if (this.at >= this.bytes.length) throw new Error("the module ends too early");
    return this.bytes[this.at++];
  }
  /** LEB128, as a BigInt. */
  leb(signed) {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if ((byte & 0x80) === 0) return signed && (byte & 0x40) !== 0 ? value - (1n << shift) : value;
    }
  }
  number() {
    return Number(this.leb(false));
  }
  list(read) {
    return Array.from({ length: this.number() }, () => read());
  }
  text() {
    return String.fromCharCode(...this.list(() => this.byte()));
  }
  expect(what, ...allowed) {
    const byte = this.byte();
    if (!allowed.includes(byte)) throw new Error(`${what}: 0x${byte.toString(16)} is not in the subset`);
    return byte;
  }
  width() {
    return WIDTHS[this.expect("type", 0x7f, 0x7e)];
  }

  /** Instructions up to `end` or `else`. Structured ones have `body` and `other` (of an `if`). `loops` counts those of the function. */
  code(loops) {
    const list = [];
    for (;;) {
      const opcode = this.byte();
      if (opcode === 0x0b) return { list, ends: "end" };
      if (opcode === 0x05) return { list, ends: "else" };
      if (opcode === 0x01) continue;
      list.push(this.instruction(opcode, loops));
    }
  }
  instruction(opcode, loops) {
    if (STRUCTURES[opcode] !== undefined) {
      const op = STRUCTURES[opcode];
      const results = this.expect("block type", 0x40, 0x7f, 0x7e) === 0x40 ? 0 : 1;
      const loop = op === "loop" ? loops.count++ : undefined;
      const { list: body, ends } = this.code(loops);
      if (ends === "else" && op !== "if") throw new Error("else without if");
      const other = ends === "else" ? this.code(loops).list : [];
      return { op, results, body, other, loop };
    }
    if (SIMPLE[opcode] !== undefined) return { op: SIMPLE[opcode] };
    if (INDEXED[opcode] !== undefined) return { op: INDEXED[opcode], index: this.number() };
    if (opcode === 0x00) return { op: "unreachable" };
    if (opcode === 0x41) return { op: "const", width: 32, value: BigInt.asUintN(32, this.leb(true)) };
    if (opcode === 0x42) return { op: "const", width: 64, value: BigInt.asUintN(64, this.leb(true)) };
    if (memory.has(opcode)) {
      const [op, width, bytes, signed] = memory.get(opcode);
      this.leb(false); // The alignment is a hint.
      return { op, width, bytes, signed, offset: this.leb(false) };
    }
    if (opcode === 0xfc) {
      const which = this.expect("0xfc", 10, 11);
      for (let i = which === 10 ? 2 : 1; i > 0; i--) this.expect("memory index", 0);
      return { op: which === 10 ? "memory.copy" : "memory.fill" };
    }
    if (numeric.has(opcode)) return { op: numeric.get(opcode) };
    throw new Error(`opcode 0x${opcode.toString(16)} is not in the subset`);
  }
}

/**
 * Decodes a module.
 *
 * @returns `functions`: `parameters` and `results` (widths), `locals`, `body`; `globals`: `width`, `mutable`, `value`; `exports` by kind
 *   and name (an index); `memoryBytes`
 * @throws Error for anything outside of the subset
 */
export function decode(bytes) {
  const r = new Reader(bytes);
  if ([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0].some((byte) => r.byte() !== byte)) throw new Error("this is no Wasm module");
  const module = { functions: [], globals: [], exports: { function: {}, memory: {}, global: {} }, memoryBytes: 0 };
  let types = [];
  while (r.at < bytes.length) {
    const section = r.byte();
    const end = r.number() + r.at;
    if (section === 1)
      types = r.list(() => {
        r.expect("function type", 0x60);
        return { parameters: r.list(() => r.width()), results: r.list(() => r.width()) };
      });
    else if (section === 3) module.functions = r.list(() => ({ ...types[r.number()] }));
    else if (section === 5)
      r.list(() => {
        r.expect("memory without a maximum", 1);
        const [least, most] = [r.number(), r.number()];
        if (least !== most || module.memoryBytes !== 0) throw new Error("not one memory of a fixed size");
        module.memoryBytes = least * 0x10000;
      });
    else if (section === 6)
      module.globals = r.list(() => {
        const width = r.width();
        const mutable = r.expect("mutability", 0, 1) === 1;
        const { list } = r.code({ count: 0 });
        if (list.length !== 1 || list[0].op !== "const") throw new Error("a global is not initialized by a constant");
        return { width, mutable, value: list[0].value };
      });
    else if (section === 7)
      r.list(() => {
        const name = r.text();
        const kind = { 0: "function", 2: "memory", 3: "global" }[r.expect("kind of export", 0, 2, 3)];
        module.exports[kind][name] = r.number();
      });
    else if (section === 10) {
      const bodies = r.list(() => {
        const stop = r.number() + r.at;
        const locals = r.list(() => Array(r.number()).fill(r.width())).flat();
        const { list: body, ends } = r.code({ count: 0 });
        if (ends !== "end" || r.at !== stop) throw new Error("a function does not end where it should");
        return { locals, body };
      });
      for (const [i, f] of module.functions.entries()) Object.assign(f, bodies[i]);
    } else throw new Error(`section ${section} is not in the subset`);
    if (r.at !== end) throw new Error(`section ${section} does not end where it should`);
  }
  return module;
}

/**
 * A copy of the module that also exports its mutable globals, as `global N`: the very same code, started in any state.
 */
export function exposeGlobals(bytes) {
  const leb = (n) => (n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...leb(n >>> 7)]);
  const { globals } = decode(bytes);
  const added = globals.flatMap(({ mutable }, i) => {
    const name = [...`global ${i}`].map((c) => c.charCodeAt(0));
    return mutable ? [[...leb(name.length), ...name, 3, ...leb(i)]] : [];
  });
  const r = new Reader(bytes);
  r.at = 8;
  const out = [...bytes.subarray(0, 8)];
  while (r.at < bytes.length) {
    const section = r.byte();
    const size = r.number();
    let body = [...bytes.subarray(r.at, r.at + size)];
    r.at += size;
    if (section === 7) {
      const inner = new Reader(Uint8Array.from(body));
      const count = inner.number();
      body = [...leb(count + added.length), ...body.slice(inner.at), ...added.flat()];
    }
    out.push(section, ...leb(body.length), ...body);
  }
  return Uint8Array.from(out);
}
