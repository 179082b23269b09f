// Terms over bit vectors and booleans: built once each (the same term is the same object), and folded where constants and ranges decide.
// smt.mjs prints and evaluates them.
//
// Every vector has a range, `lo` to `hi`, unsigned. The range of a variable is part of every obligation in which the variable is used:
// it is an assumption like others, and whoever makes such a variable has to justify it.

const known = new Map();
let made = 0;

/** width 0: a boolean. */
function node(op, width, args, extra = "", range = undefined) {
  const key = `${op} ${width} ${args.map((a) => a.id).join(" ")} ${extra}`;
  let term = known.get(key);
  if (term === undefined) {
    const [lo, hi] = range ?? [0n, (1n << BigInt(width)) - 1n];
    term = { op, width, args, extra, lo, hi, id: made++ };
    known.set(key, term);
  }
  return term;
}

export const isConst = (t) => t.op === "const";
/** Math.min and Math.max take no BigInt. */
function lesser(a, b) {
  if (a < b) return a;
  return b;
}
function greater(a, b) {
  if (a > b) return a;
  return b;
}

export const mask = (width) => (1n << BigInt(width)) - 1n;
export const signed = (value, width) => BigInt.asIntN(width, value);

export const TRUE = node("true", 0, []);
export const FALSE = node("false", 0, []);
export const truth = (is) => (is ? TRUE : FALSE);

/** A constant; a negative number is taken modulo 2^width. */
export function bv(value, width = 32) {
  const v = BigInt.asUintN(width, BigInt(value));
  return node("const", width, [], v, [v, v]);
}
/** A number or a term as a term. */
const term = (x, width) => (typeof x === "object" ? x : bv(x, width));

let fresh = 0;
/** A new variable. */
export function variable(name, width = 32, lo = 0n, hi = mask(width)) {
  return node("var", width, [], `${name.replace(/\W/g, "_")}.${fresh++}`, [BigInt(lo), BigInt(hi)]);
}
/** A new function of 32-bit arguments that nothing is known about. Its name. */
export const unknownFunction = (name) => `${name.replace(/\W/g, "_")}.${fresh++}`;
export const apply = (name, args, width) => node("app", width, args, name);

// ---- sums: linear combinations, modulo 2^width ----------------------------------------------------------------------------------

/** [constant, Map of atom -> coefficient] */
function linear(t) {
  if (isConst(t)) return [t.extra, new Map()];
  if (t.op === "sum") return [t.constant, t.terms];
  return [0n, new Map([[t, 1n]])];
}
function combine(width, parts) {
  let constant = 0n;
  const terms = new Map();
  for (const [t, factor] of parts) {
    const [c, m] = linear(t);
    constant += c * factor;
    for (const [atom, k] of m) terms.set(atom, (terms.get(atom) ?? 0n) + k * factor);
  }
  constant = BigInt.asUintN(width, constant);
  const list = [...terms]
    .map(([atom, k]) => [atom, BigInt.asUintN(width, k)])
    .filter(([, k]) => k !== 0n)
    .sort(([a], [b]) => a.id - b.id);
  if (list.length === 0) return bv(constant, width);
  if (list.length === 1 && list[0][1] === 1n) {
    const [[atom]] = list;
    if (constant === 0n) return atom;
    if (ofConstants(atom))
      return ite(atom.args[0], add(atom.args[1], bv(constant, width)), add(atom.args[2], bv(constant, width)));
  }
  const [lo, hi] = interval(width, constant, list);
  const range = lo >= 0n && hi <= mask(width) ? [lo, hi] : undefined;
  const args = list.map(([atom]) => atom);
  const sum = node("sum", width, args, `${list.map(([, k]) => k).join(",")}+${constant}`, range);
  sum.constant = constant;
  sum.terms = new Map(list);
  return sum;
}
/** Whether the value is one of a few constants. */
const ofConstants = (t) => t.op === "ite" && t.args.slice(1).every((arm) => isConst(arm) || ofConstants(arm));
/** Between which integers a sum lies when it is not reduced modulo 2^width; coefficients are taken as signed. */
function interval(width, constant, list) {
  let lo = signed(constant, width);
  let hi = lo;
  for (const [atom, k] of list) {
    const c = signed(k, width);
    lo += c > 0n ? c * atom.lo : c * atom.hi;
    hi += c > 0n ? c * atom.hi : c * atom.lo;
  }
  return [lo, hi];
}
export const add = (...ts) => {
  const width = ts.find((t) => typeof t === "object").width;
  return combine(
    width,
    ts.map((t) => [term(t, width), 1n]),
  );
};
export const sub = (a, b) => {
  const width = (typeof a === "object" ? a : b).width;
  return combine(width, [
    [term(a, width), 1n],
    [term(b, width), -1n],
  ]);
};
export const times = (a, k) => combine(a.width, [[a, BigInt(k)]]);

/** Whether `t`, a sum, is for certain not below `n` (unsigned). */
export function neverBelow(t, n) {
  if (t.lo >= n) return true;
  if (t.op !== "sum") return false;
  const [lo, hi] = interval(t.width, t.constant, [...t.terms]);
  const size = 1n << BigInt(t.width);
  return (lo >= n && hi < size) || (hi < 0n && lo >= n - size);
}

// ---- bits -------------------------------------------------------------------------------------------------------------------------

export function extract(high, low, t) {
  const width = high - low + 1;
  if (width === t.width) return t;
  if (isConst(t)) return bv(t.extra >> BigInt(low), width);
  if (t.op === "extract") return extract(high + t.extra, low + t.extra, t.args[0]);
  if (t.op === "ite") return ite(t.args[0], extract(high, low, t.args[1]), extract(high, low, t.args[2]));
  if (t.op === "zext") {
    const inner = t.args[0];
    if (low >= inner.width) return bv(0, width);
    return high < inner.width ? extract(high, low, inner) : zext(extract(inner.width - 1, low, inner), width);
  }
  if (t.op === "sum" && low === 0)
    return combine(width, [
      [bv(t.constant, width), 1n],
      ...[...t.terms].map(([atom, k]) => [extract(high, 0, atom), k]),
    ]);
  if (t.op === "concat") {
    const parts = [];
    let top = t.width;
    for (const part of t.args) {
      const bottom = top - part.width;
      if (high >= bottom && low < top)
        parts.push(extract(Math.min(high, top - 1) - bottom, Math.max(low, bottom) - bottom, part));
      top = bottom;
    }
    return concat(...parts);
  }
  // No bit is lost at the top.
  const range = t.hi >> BigInt(low) <= mask(width) ? [t.lo >> BigInt(low), t.hi >> BigInt(low)] : undefined;
  return node("extract", width, [t], low, range);
}
/** The most significant part is the first. */
export function concat(...given) {
  const parts = [];
  for (const part of given.flatMap((t) => (t.op === "concat" ? t.args : [t]))) {
    const last = parts.at(-1);
    if (last !== undefined && isConst(last) && isConst(part))
      parts[parts.length - 1] = bv((last.extra << BigInt(part.width)) | part.extra, last.width + part.width);
    else if (
      last?.op === "extract" &&
      part.op === "extract" &&
      last.args[0] === part.args[0] &&
      last.extra === part.extra + part.width
    )
      parts[parts.length - 1] = extract(last.extra + last.width - 1, part.extra, part.args[0]);
    else parts.push(part);
  }
  return parts.length === 1
    ? parts[0]
    : node(
        "concat",
        parts.reduce((sum, p) => sum + p.width, 0),
        parts,
      );
}
export function zext(t, width) {
  if (t.width === width) return t;
  if (isConst(t)) return bv(t.extra, width);
  if (t.op === "zext") return zext(t.args[0], width);
  return node("zext", width, [t], "", [t.lo, t.hi]);
}
export function sext(t, width) {
  if (t.width === width) return t;
  if (isConst(t)) return bv(signed(t.extra, t.width), width);
  if (t.hi < 1n << BigInt(t.width - 1)) return zext(t, width);
  return node("sext", width, [t]);
}

const bit = (t) =>
  t.op === "ite" && isConst(t.args[1]) && isConst(t.args[2]) && t.args[1].extra === 1n && t.args[2].extra === 0n;
export const fromBool = (b, width = 32) => ite(b, bv(1, width), bv(0, width));
/** Of a boolean, or of a vector that is one as far as Wasm is concerned. */
export const nonzero = (t) => not(eq(t, 0));

export function and(a, b) {
  const x = term(a, b.width);
  const y = term(b, a.width);
  if (isConst(y) && !isConst(x)) return and(y, x);
  if (isConst(x)) {
    if (isConst(y)) return bv(x.extra & y.extra, x.width);
    if (x.extra === 0n) return x;
    const low = (x.extra & (x.extra + 1n)) === 0n;
    if (low && y.hi <= x.extra) return y;
    if (low) return zext(extract(x.extra.toString(2).length - 1, 0, y), x.width);
    return node("bvand", x.width, [x, y], "", [0n, x.extra]);
  }
  if (x === y) return x;
  if (bit(x) && bit(y)) return fromBool(all(x.args[0], y.args[0]), x.width);
  return node("bvand", x.width, x.id < y.id ? [x, y] : [y, x], "", [0n, lesser(x.hi, y.hi)]);
}
export function or(a, b) {
  const x = term(a, b.width);
  const y = term(b, a.width);
  if (isConst(y) && !isConst(x)) return or(y, x);
  if (isConst(x)) {
    if (isConst(y)) return bv(x.extra | y.extra, x.width);
    if (x.extra === 0n) return y;
  }
  if (x === y) return x;
  if (bit(x) && bit(y)) return fromBool(any(x.args[0], y.args[0]), x.width);
  return node("bvor", x.width, x.id < y.id ? [x, y] : [y, x]);
}
export function xor(a, b) {
  const x = term(a, b.width);
  const y = term(b, a.width);
  if (isConst(x) && isConst(y)) return bv(x.extra ^ y.extra, x.width);
  if (isConst(x) && x.extra === mask(x.width)) return sub(-1, y);
  if (isConst(y) && y.extra === mask(y.width)) return sub(-1, x);
  const most = greater(x.hi, y.hi);
  return node("bvxor", x.width, x.id < y.id ? [x, y] : [y, x], "", [0n, (1n << BigInt(most.toString(2).length)) - 1n]);
}
/** The distance is taken as it is: the caller reduces it. */
export function shl(a, b) {
  if (isConst(b)) return b.extra >= BigInt(a.width) ? bv(0, a.width) : times(a, 1n << b.extra);
  return node("bvshl", a.width, [a, b]);
}
export function lshr(a, b) {
  if (isConst(b)) {
    const k = Number(b.extra);
    return k >= a.width ? bv(0, a.width) : zext(extract(a.width - 1, k, a), a.width);
  }
  return node("bvlshr", a.width, [a, b], "", [0n, a.hi]);
}
export function ashr(a, b) {
  if (isConst(b))
    return b.extra >= BigInt(a.width)
      ? node("bvashr", a.width, [a, b])
      : sext(extract(a.width - 1, Number(b.extra), a), a.width);
  return node("bvashr", a.width, [a, b]);
}
/** Only by constants. */
export function rotl(a, b) {
  if (!isConst(b)) throw new Error("a rotation by a variable distance is not in the subset");
  const k = Number(b.extra % BigInt(a.width));
  return k === 0 ? a : concat(extract(a.width - k - 1, 0, a), extract(a.width - 1, a.width - k, a));
}
export const rotr = (a, b) => rotl(a, sub(a.width, b));
export function popcnt(t) {
  // Only the bits that a constant mask lets through.
  const through = t.op === "bvand" && isConst(t.args[0]) ? t.args[0].extra : mask(t.width);
  const bits = [];
  for (let i = 0; i < t.width; i++)
    if ((through >> BigInt(i)) & 1n)
      bits.push(zext(extract(i, i, t.op === "bvand" && isConst(t.args[0]) ? t.args[1] : t), t.width));
  return bits.length === 0 ? bv(0, t.width) : add(...bits);
}

// ---- booleans ---------------------------------------------------------------------------------------------------------------------

export function not(b) {
  if (b === TRUE) return FALSE;
  if (b === FALSE) return TRUE;
  return b.op === "not" ? b.args[0] : node("not", 0, [b]);
}
function connective(op, neutral, given) {
  const absorbing = not(neutral);
  const set = new Set();
  for (const b of given.flatMap((t) => (t.op === op ? t.args : [t]))) {
    if (b === absorbing || set.has(not(b))) return absorbing;
    if (b !== neutral) set.add(b);
  }
  const list = [...set];
  if (list.length === 0) return neutral;
  return list.length === 1
    ? list[0]
    : node(
        op,
        0,
        list.sort((a, b) => a.id - b.id),
      );
}
export const all = (...bs) => connective("and", TRUE, bs);
export const any = (...bs) => connective("or", FALSE, bs);
export const implies = (a, b) => any(not(a), b);
export const iff = (a, b) => (a === b ? TRUE : any(all(a, b), all(not(a), not(b))));

/** Of vectors or booleans. */
export function ite(c, a, b) {
  if (c === TRUE || a === b) return a;
  if (c === FALSE) return b;
  if (c.op === "not") return ite(c.args[0], b, a);
  if (a.width === 0) {
    if (isBool(a) || isBool(b)) return all(implies(c, a), implies(not(c), b));
    return node("ite", 0, [c, a, b]);
  }
  if (a.op === "ite" && a.args[0] === c) return ite(c, a.args[1], b);
  if (b.op === "ite" && b.args[0] === c) return ite(c, a, b.args[2]);
  const least = lesser(a.lo, b.lo);
  const most = greater(a.hi, b.hi);
  // The smaller of two.
  const smaller = c.op === "bvult" && c.args[0] === a && c.args[1] === b;
  return node("ite", a.width, [c, a, b], "", [least, smaller ? lesser(a.hi, b.hi) : most]);
}
const isBool = (t) => t === TRUE || t === FALSE;

export function eq(x, y) {
  const a = term(x, y.width);
  const b = term(y, x.width);
  if (a === b) return TRUE;
  if (a.lo > b.hi || b.lo > a.hi) return FALSE;
  if (isConst(a)) return eq(b, a);
  if (isConst(b)) {
    if (a.op === "ite" && (isConst(a.args[1]) || isConst(a.args[2])))
      return ite(a.args[0], eq(a.args[1], b), eq(a.args[2], b));
    if (a.op === "zext") return eq(a.args[0], bv(b.extra, a.args[0].width));
  }
  if (a.op === "zext" && b.op === "zext" && a.args[0].width === b.args[0].width) return eq(a.args[0], b.args[0]);
  if (a.op === "sum" || b.op === "sum") {
    const difference = sub(a, b);
    if (isConst(difference)) return truth(difference.extra === 0n);
  }
  return node("=", 0, a.id < b.id ? [a, b] : [b, a]);
}
export const ne = (a, b) => not(eq(a, b));
export function ult(x, y) {
  const a = term(x, y.width);
  const b = term(y, x.width);
  if (a.hi < b.lo) return TRUE;
  if (a.lo >= b.hi) return FALSE;
  if (a.op === "zext" && b.op === "zext" && a.args[0].width === b.args[0].width) return ult(a.args[0], b.args[0]);
  if (isConst(b) && neverBelow(a, b.extra)) return FALSE;
  return node("bvult", 0, [a, b]);
}
export const ule = (a, b) => not(ult(b, a));
export const ugt = (a, b) => ult(b, a);
export const uge = (a, b) => not(ult(a, b));
export function slt(x, y) {
  const a = term(x, y.width);
  const b = term(y, x.width);
  const half = 1n << BigInt(a.width - 1);
  if (isConst(a) && isConst(b)) return truth(signed(a.extra, a.width) < signed(b.extra, b.width));
  if (a === b) return FALSE;
  if (a.hi < half && b.hi < half) return ult(a, b);
  return node("bvslt", 0, [a, b]);
}
export const sge = (a, b) => not(slt(a, b));

export const umin = (a, b) => ite(ult(a, b), a, b);
