// A symbolic executor for the subset of Wasm: all paths at once, bit by bit. Given constants, it computes constants, as an engine does.
//
// Where paths meet again their states become one, whose values are chosen by the condition in which the paths differ. Every memory access
// is an obligation: it lies in the memory, and in what the claim says may be touched. A loop is cut at an invariant (see `loop`) or
// unrolled.

import * as T from "./terms.mjs";

// ---- memory: a chain of updates over bytes that nothing is known about -----------------------------------------------------------------
// Every update has a guard: the condition on which it happened.

/** The bytes before: a function of the address. */
export const unknownBytes = (name) => ({ kind: "unknown", name: T.unknownFunction(name) });
/** All bytes are zero. */
export const zeroBytes = () => ({ kind: "zero" });
/** Bytes that are known, read at constant addresses only. */
export const knownBytes = (bytes) => ({ kind: "known", bytes });
const store = (next, address, bytes, value, guard = T.TRUE) => ({ kind: "store", address, bytes, value, guard, next });
/** `length` bytes from `address` on; `value` gives the one at an offset. */
const block = (next, address, length, value) => ({ kind: "block", address, length, value, guard: T.TRUE, next });
/** Bytes where `inside` holds have become unknown. */
const forget = (next, inside, name) => ({ kind: "forget", inside, name: T.unknownFunction(name), guard: T.TRUE, next });
export const memory = { store, block, forget };

const readBytes = new WeakMap();
/** The byte at an address. */
export function readByte(memory, address) {
  if (address.op === "ite")
    return T.ite(address.args[0], readByte(memory, address.args[1]), readByte(memory, address.args[2]));
  // Down to the first update that may matter. Chains are long, so there is no recursion for those that cannot.
  let m = memory;
  let hit = T.FALSE;
  for (; m.next !== undefined; m = m.next) {
    hit = T.all(m.guard, reaches(m, address));
    if (hit !== T.FALSE) break;
  }
  if (m.kind === "zero") return T.bv(0, 8);
  if (m.kind === "known") return T.bv(m.bytes[Number(address.extra)], 8);
  if (m.next === undefined) return T.apply(m.name, [address], 8);
  if (!readBytes.has(m)) readBytes.set(m, new Map());
  const read = readBytes.get(m);
  if (!read.has(address))
    read.set(address, T.ite(hit, written(m, address), hit === T.TRUE ? T.bv(0, 8) : readByte(m.next, address)));
  return read.get(address);
}
/** Whether an update, if it happened, has written the byte at an address. */
function reaches(m, address) {
  if (m.kind === "forget") return m.inside(address);
  const offset = T.sub(address, m.address);
  if (m.kind === "store") return T.neverBelow(offset, BigInt(m.bytes)) ? T.FALSE : T.ult(offset, m.bytes);
  return T.neverBelow(offset, m.length.hi) ? T.FALSE : T.ult(offset, m.length);
}
/** The byte that it has written there. */
function written(m, address) {
  if (m.kind === "forget") return T.apply(m.name, [address], 8);
  const offset = T.sub(address, m.address);
  // Less than the length where this is used: so its range is that of the length.
  if (m.kind === "block") return m.value(T.umin(offset, T.bv(m.length.hi)));
  if (T.isConst(offset)) return T.extract(8 * Number(offset.extra) + 7, 8 * Number(offset.extra), m.value);
  let byte = T.extract(7, 0, m.value);
  for (let i = 1; i < m.bytes; i++) byte = T.ite(T.eq(offset, i), T.extract(8 * i + 7, 8 * i, m.value), byte);
  return byte;
}
/** A little-endian value of so many bytes. */
export function read(memory, address, bytes) {
  if (address.op === "ite")
    return T.ite(address.args[0], read(memory, address.args[1], bytes), read(memory, address.args[2], bytes));
  for (let m = memory; m.next !== undefined; m = m.next) {
    if (m.kind === "store" && m.bytes === bytes && m.address === address)
      return m.guard === T.TRUE ? m.value : T.ite(m.guard, m.value, read(m.next, address, bytes));
    let touched = false;
    for (let i = 0; i < bytes && !touched; i++) touched = T.all(m.guard, reaches(m, T.add(address, i))) !== T.FALSE;
    if (touched) return bytewise(m, address, bytes);
  }
  return bytewise(memory, address, bytes);
}
const bytewise = (memory, address, bytes) =>
  T.concat(...Array.from({ length: bytes }, (_, i) => readByte(memory, T.add(address, i))).reverse());

/** Two chains as one: the updates of `a` happened where `guard` holds, those of `b` where it does not. */
function mergeMemory(a, b, guard) {
  if (a === b) return a;
  const ofA = new Set();
  for (let m = a; m !== undefined; m = m.next) ofA.add(m);
  let common = b;
  while (!ofA.has(common)) common = common.next;
  const above = (chain, condition) => {
    const list = [];
    for (let m = chain; m !== common; m = m.next) list.unshift({ ...m, guard: T.all(condition, m.guard) });
    return list;
  };
  return [...above(b, T.not(guard)), ...above(a, guard)].reduce((next, m) => ({ ...m, next }), common);
}

// ---- states -----------------------------------------------------------------------------------------------------------------------

/** What a path has come to: locals and stack of the function, globals, memory, and the conditions under which it came there. */
export class State {
  constructor(globals, memory) {
    Object.assign(this, { globals, memory, locals: [], stack: [], path: [] });
  }
  copy() {
    const copy = new State([...this.globals], this.memory);
    return Object.assign(copy, { locals: [...this.locals], stack: [...this.stack], path: [...this.path] });
  }
  assume(...conditions) {
    for (const condition of conditions) if (condition !== T.TRUE) this.path.push(condition);
    return this;
  }
  condition() {
    return T.all(...this.path);
  }
}

/** A key for {@link Executor.apart}: states stay apart where their memory differs. */
export const byMemory = () => {
  const keys = new Map();
  return ({ memory }) => keys.get(memory) ?? keys.set(memory, keys.size).get(memory);
};

/** Two states in one place as one. They exclude each other. */
function mergeTwo(a, b) {
  let common = 0;
  while (common < a.path.length && a.path[common] === b.path[common]) common++;
  const [onlyA, onlyB] = [a, b].map(({ path }) => path.slice(common));
  // The branch at which they parted tells them apart.
  const guard = onlyA[0] === T.not(onlyB[0] ?? T.TRUE) ? onlyA[0] : T.all(...onlyA);
  if (guard === T.TRUE || onlyB.length === 0) throw new Error("two paths meet that do not exclude each other");
  const choose = (x, y) => (x === y ? x : T.ite(guard, x, y));
  const merged = new State(
    a.globals.map((x, i) => choose(x, b.globals[i])),
    mergeMemory(a.memory, b.memory, guard),
  );
  if (a.stack.length !== b.stack.length) throw new Error("two paths meet with different stacks");
  merged.locals = a.locals.map((x, i) => choose(x, b.locals[i]));
  merged.stack = a.stack.map((x, i) => choose(x, b.stack[i]));
  merged.path = a.path.slice(0, common);
  return merged.assume(T.any(T.all(...onlyA), T.all(...onlyB)));
}

// ---- the executor -------------------------------------------------------------------------------------------------------------------

export class Executor {
  /** What has to be shown: `label`, the path's `condition`, the `claim`. */
  obligations = [];
  /** How many the folding of terms has decided. */
  folded = 0;
  /** Loops by "function:loop", with an invariant. See `loop`. */
  loops = new Map();
  /** Functions of which a contract is used: (executor, state, arguments) -> states with their results, which exclude each other. */
  contracts = new Map();
  /** What may be touched: (kind, address, bytes) -> condition. */
  policy = () => T.TRUE;
  /** States with different keys are not merged. */
  apart = () => "";
  /** How often a loop without an invariant is unrolled. */
  most = 4;
  #calls = [];

  constructor(module) {
    this.module = module;
  }

  /** Adds an obligation. */
  show(state, label, claim) {
    const condition = state.condition();
    const whole = T.implies(condition, claim);
    if (whole === T.TRUE) this.folded++;
    else this.obligations.push({ label, condition, claim });
  }

  merge(states) {
    const groups = new Map();
    for (const state of states) {
      if (state.path.includes(T.FALSE)) continue;
      const key = this.apart(state, this.#calls.at(-1));
      groups.set(key, groups.has(key) ? mergeTwo(groups.get(key), state) : state);
    }
    return [...groups.values()];
  }

  /** Calls a function, by index. @returns states with their results, most often one */
  call(index, args, state) {
    const contract = this.contracts.get(index);
    if (contract !== undefined && this.#calls.length > 0) return contract(this, state, args);
    const { locals, body, results } = this.module.functions[index];
    const inner = state.copy();
    inner.locals = [...args, ...locals.map((width) => T.bv(0, width))];
    inner.stack = [];
    this.#calls.push(index);
    const ended = this.sequence(body, inner).map(([, s]) => {
      s.stack = s.stack.slice(s.stack.length - results.length);
      return s;
    });
    const merged = this.merge(ended).map((s) => {
      const [result] = s.stack;
      s.locals = [...state.locals];
      s.stack = [...state.stack];
      return [s, result];
    });
    this.#calls.pop();
    return merged;
  }

  /** Runs instructions. @returns how and in which state they end: undefined (at their end), a label's depth, or "return" */
  sequence(list, from) {
    const outs = [];
    let states = [from];
    for (const instruction of list) {
      const after = [];
      for (const state of states)
        for (const [how, s] of this.instruction(instruction, state))
          (how === undefined ? after : outs).push(how === undefined ? s : [how, s]);
      states = after;
      if (states.length === 0) break;
    }
    return [...outs, ...states.map((s) => [undefined, s])];
  }

  instruction(x, state) {
    const { stack } = state;
    switch (x.op) {
      case "block":
        return this.leave(x, state.stack.length, this.sequence(x.body, state));
      case "loop":
        return this.loop(x, state);
      case "if": {
        const condition = T.nonzero(stack.pop());
        const height = stack.length;
        const outs = this.branch(state, condition).flatMap(([is, s]) => this.sequence(is ? x.body : x.other, s));
        return this.leave(x, height, outs);
      }
      case "br":
        return [[x.index, state]];
      case "br_if":
        return this.branch(state, T.nonzero(stack.pop())).map(([is, s]) => [is ? x.index : undefined, s]);
      case "return":
        return [["return", state]];
      case "unreachable":
        this.show(state, "no trap: unreachable", T.FALSE);
        return [];
      case "call": {
        const { parameters, results } = this.module.functions[x.index];
        const args = stack.splice(stack.length - parameters.length, parameters.length);
        return this.call(x.index, args, state).map(([s, result]) => {
          if (results.length > 0) s.stack.push(result);
          return [undefined, s];
        });
      }
      default:
        this.step(x, state);
        return [[undefined, state]];
    }
  }

  branch(state, condition) {
    const is = condition === T.TRUE || state.path.includes(condition);
    if (is || condition === T.FALSE || state.path.includes(T.not(condition))) return [[is, state]];
    return [
      [true, state.copy().assume(condition)],
      [false, state.assume(T.not(condition))],
    ];
  }

  /** The end of a block or an `if`: those that branch to its label go on behind it. */
  leave({ results }, height, outs) {
    const here = [];
    const beyond = [];
    for (const [how, s] of outs) {
      if (how === 0) s.stack = [...s.stack.slice(0, height), ...s.stack.slice(s.stack.length - results)];
      if (how === undefined || how === 0) here.push(s);
      else beyond.push([how === "return" ? how : how - 1, s]);
    }
    return [...this.merge(here).map((s) => [undefined, s]), ...this.mergeExits(beyond)];
  }
  mergeExits(exits) {
    const ways = new Map();
    for (const [how, s] of exits) ways.set(how, [...(ways.get(how) ?? []), s]);
    return [...ways].flatMap(([how, states]) =>
      // Below a label the stacks may differ in height; what is above is dropped there.
      states.every((s) => s.stack.length === states[0].stack.length)
        ? this.merge(states).map((s) => [how, s])
        : states.map((s) => [how, s]),
    );
  }

  /**
   * A loop. With an invariant: it holds at the entry; then everything that an iteration may change is forgotten, and the invariant is all
   * that is known; after one iteration it holds again, and the measure has gone down. So the loop ends, and what is shown about one
   * iteration holds for each. Without: it is unrolled, and that it ends in time is an obligation.
   */
  loop(x, state) {
    const name = `${this.#calls.at(-1)}:${x.loop}`;
    const cut = this.loops.get(name);
    if (cut === undefined || cut.applies?.(state) === false) return this.unroll(x, state);
    const entry = cut.enter?.(this, state) ?? {};
    if (cut.stops === true) return [];
    for (const [label, claim] of cut.invariant(this, state, entry)) this.show(state, `at the entry: ${label}`, claim);
    const head = state.copy();
    cut.forget(this, head, entry);
    head.assume(
      ...cut.invariant(this, head, entry).map(([, claim]) => claim),
      ...(cut.define?.(this, head, entry) ?? []),
    );
    const height = state.stack.length;
    const before = head.copy();
    const back = [];
    const outs = [];
    for (const [how, s] of this.sequence(x.body, head)) {
      if (how === 0) {
        s.stack = s.stack.slice(0, height);
        back.push(s);
      } else outs.push([how, s]);
    }
    for (const s of this.merge(back)) {
      for (const [label, claim] of cut.invariant(this, s, entry)) this.show(s, `kept: ${label}`, claim);
      this.show(s, "an iteration comes nearer to the end", T.ult(cut.measure(s, entry), cut.measure(before, entry)));
      cut.iteration?.(this, before, s, entry);
    }
    const left = this.leave(x, height, outs);
    for (const [, s] of left) cut.exit?.(this, before, s, entry);
    return left;
  }
  unroll(x, from) {
    const height = from.stack.length;
    const outs = [];
    let states = [from];
    for (let n = 0; states.length > 0; n++) {
      const symbolic = states.filter((s) => s.path.length > 0);
      if (n > this.most && symbolic.length > 0) {
        for (const s of states) this.show(s, "the loop has ended by now", T.FALSE);
        break;
      }
      const back = [];
      for (const s of states)
        for (const [how, after] of this.sequence(x.body, s)) {
          if (how === 0) {
            after.stack = after.stack.slice(0, height);
            back.push(after);
          } else outs.push([how, after]);
        }
      states = this.merge(back);
    }
    return this.leave(x, height, outs);
  }

  /** An access: `address` of 32 bits, an offset, so many bytes (a term). */
  access(state, kind, address, offset, bytes) {
    const wide = T.add(T.zext(address, 64), T.bv(offset, 64));
    this.show(state, `no trap: ${kind}`, T.ule(T.add(wide, T.zext(bytes, 64)), this.module.memoryBytes));
    const at = T.add(address, T.bv(offset));
    const allowed = this.policy(kind, at, bytes);
    this.show(state, `${kind}: what may be touched`, T.any(T.eq(bytes, 0), allowed));
    return at;
  }

  step(x, state) {
    const { stack } = state;
    switch (x.op) {
      case "const":
        stack.push(T.bv(x.value, x.width));
        break;
      case "local.get":
        stack.push(state.locals[x.index]);
        break;
      case "local.set":
        state.locals[x.index] = stack.pop();
        break;
      case "local.tee":
        state.locals[x.index] = stack.at(-1);
        break;
      case "global.get":
        stack.push(state.globals[x.index]);
        break;
      case "global.set":
        state.globals[x.index] = stack.pop();
        break;
      case "drop":
        stack.pop();
        break;
      case "select": {
        const condition = T.nonzero(stack.pop());
        const [a, b] = stack.splice(stack.length - 2, 2);
        stack.push(T.ite(condition, a, b));
        break;
      }
      case "load": {
        const at = this.access(state, "load", stack.pop(), x.offset, T.bv(x.bytes));
        const value = read(state.memory, at, x.bytes);
        stack.push(x.signed ? T.sext(value, x.width) : T.zext(value, x.width));
        break;
      }
      case "store": {
        const value = stack.pop();
        const at = this.access(state, "store", stack.pop(), x.offset, T.bv(x.bytes));
        state.memory = store(state.memory, at, x.bytes, T.extract(8 * x.bytes - 1, 0, value));
        break;
      }
      case "memory.fill": {
        const [to, value, bytes] = stack.splice(stack.length - 3, 3);
        this.access(state, "store", to, 0n, bytes);
        const byte = T.extract(7, 0, value);
        state.memory = block(state.memory, to, bytes, () => byte);
        break;
      }
      case "memory.copy": {
        const [to, from, bytes] = stack.splice(stack.length - 3, 3);
        this.access(state, "load", from, 0n, bytes);
        this.access(state, "store", to, 0n, bytes);
        const old = state.memory;
        state.memory = block(old, to, bytes, (offset) => readByte(old, T.add(from, offset)));
        break;
      }
      default:
        stack.push(arithmetic(x.op, stack));
    }
  }
}

const OPERATIONS = {
  add: T.add,
  sub: T.sub,
  mul: (a, b) => {
    if (T.isConst(b)) return T.times(a, b.extra);
    if (T.isConst(a)) return T.times(b, a.extra);
    throw new Error("a product of two variables is not in the subset");
  },
  and: T.and,
  or: T.or,
  xor: T.xor,
  shl: (a, b) => T.shl(a, T.and(b, a.width - 1)),
  shr_u: (a, b) => T.lshr(a, T.and(b, a.width - 1)),
  shr_s: (a, b) => T.ashr(a, T.and(b, a.width - 1)),
  rotl: T.rotl,
  rotr: T.rotr,
};
const COMPARISONS = {
  eq: T.eq,
  ne: T.ne,
  lt_u: T.ult,
  gt_u: T.ugt,
  le_u: T.ule,
  ge_u: T.uge,
  lt_s: T.slt,
  gt_s: (a, b) => T.slt(b, a),
  le_s: (a, b) => T.sge(b, a),
  ge_s: T.sge,
};
function arithmetic(op, stack) {
  const [, name] = op.split(".");
  if (op === "i32.wrap_i64") return T.extract(31, 0, stack.pop());
  if (op === "i64.extend_i32_u") return T.zext(stack.pop(), 64);
  if (op === "i64.extend_i32_s") return T.sext(stack.pop(), 64);
  if (name === "eqz") return T.fromBool(T.eq(stack.pop(), 0));
  if (name === "popcnt") return T.popcnt(stack.pop());
  const [a, b] = stack.splice(stack.length - 2, 2);
  if (COMPARISONS[name] !== undefined) return T.fromBool(COMPARISONS[name](a, b));
  return OPERATIONS[name](a, b);
}
