// Terms as SMT-LIB 2, and their values.

import { mask, signed } from "./terms.mjs";

const hex = (value, width) =>
  width % 4 === 0 ? `#x${value.toString(16).padStart(width / 4, "0")}` : `#b${value.toString(2).padStart(width, "0")}`;
const name = (text) => `|${text}|`;
const sort = (width) => (width === 0 ? "Bool" : `(_ BitVec ${width})`);

/** Every term below these, arguments first. */
export function inOrder(roots) {
  const order = [];
  const seen = new Set();
  const stack = [...roots].reverse().map((t) => [t, false]);
  while (stack.length > 0) {
    const [t, entered] = stack.pop();
    if (entered) order.push(t);
    else if (!seen.has(t)) {
      seen.add(t);
      stack.push([t, true]);
      for (const arg of t.args) if (!seen.has(arg)) stack.push([arg, false]);
    }
  }
  return [...new Set(order)];
}

/** One term, its arguments given as text. */
function print(t, args) {
  switch (t.op) {
    case "const":
      return hex(t.extra, t.width);
    case "var":
      return name(t.extra);
    case "app":
      return `(${name(t.extra)} ${args.join(" ")})`;
    case "extract":
      return `((_ extract ${t.extra + t.width - 1} ${t.extra}) ${args[0]})`;
    case "zext":
      return `((_ zero_extend ${t.width - t.args[0].width}) ${args[0]})`;
    case "sext":
      return `((_ sign_extend ${t.width - t.args[0].width}) ${args[0]})`;
    case "sum": {
      const parts = [...t.terms.values()].map((k, i) => {
        const power = k.toString(2).length - 1;
        if (k === 1n) return args[i];
        if (k === mask(t.width)) return `(bvneg ${args[i]})`;
        if (k === 1n << BigInt(power)) return `(bvshl ${args[i]} ${hex(BigInt(power), t.width)})`;
        return `(bvmul ${args[i]} ${hex(k, t.width)})`;
      });
      if (t.constant !== 0n) parts.push(hex(t.constant, t.width));
      return parts.reduce((sum, part) => `(bvadd ${sum} ${part})`);
    }
    case "concat":
      return args.reduce((left, right) => `(concat ${left} ${right})`);
    case "true":
    case "false":
      return t.op;
    default:
      return `(${t.op} ${args.join(" ")})`;
  }
}

/**
 * SMT-LIB 2: declarations with the ranges of variables, definitions of what is used more than once, and the assertions.
 *
 * @param show terms whose values a model is asked for
 */
export function script(comment, assertions, show = []) {
  const order = inOrder([...assertions, ...show]);
  const uses = new Map();
  for (const t of order) for (const arg of t.args) uses.set(arg, (uses.get(arg) ?? 0) + 1);
  const lines = [
    ...comment.split("\n").map((line) => `; ${line}`),
    "(set-logic QF_UFBV)",
    "(set-option :produce-models true)",
  ];
  const text = new Map();
  const functions = new Map();
  for (const t of order) {
    if (t.op === "var") {
      lines.push(`(declare-fun ${name(t.extra)} () ${sort(t.width)})`);
      const v = name(t.extra);
      if (t.lo > 0n) lines.push(`(assert (bvuge ${v} ${hex(t.lo, t.width)}))`);
      if (t.hi < mask(t.width)) lines.push(`(assert (bvule ${v} ${hex(t.hi, t.width)}))`);
    }
    if (t.op === "app" && !functions.has(t.extra)) {
      functions.set(t.extra, true);
      lines.push(`(declare-fun ${name(t.extra)} (${t.args.map((a) => sort(a.width)).join(" ")}) ${sort(t.width)})`);
    }
    const printed = print(
      t,
      t.args.map((a) => text.get(a)),
    );
    if (t.args.length > 0 && (uses.get(t) ?? 0) > 1) {
      lines.push(`(define-fun t${t.id} () ${sort(t.width)} ${printed})`);
      text.set(t, `t${t.id}`);
    } else text.set(t, printed);
  }
  for (const t of assertions) lines.push(`(assert ${text.get(t)})`);
  for (const [i, t] of show.entries()) lines.push(`(define-fun out.${i} () ${sort(t.width)} ${text.get(t)})`);
  lines.push("(check-sat)");
  if (show.length > 0) lines.push(`(get-value (${show.map((_, i) => `out.${i}`).join(" ")}))`);
  return `${lines.join("\n")}\n`;
}

// ---- evaluating -------------------------------------------------------------------------------------------------------------------

/**
 * The value of a term (a BigInt, or a boolean).
 *
 * @param values of variables, by term
 * @param call the value of an application: its name and arguments
 * @param memo what has been evaluated for these values already
 */
export function evaluate(root, values, call, memo = new Map()) {
  for (const t of inOrder(memo.has(root) ? [] : [root])) {
    if (memo.has(t)) continue;
    const a = t.args.map((arg) => memo.get(arg));
    if (t.op === "var") {
      const value = values.get(t);
      if (value === undefined) throw new Error(`${t.extra} has no value`);
      memo.set(t, value);
    } else memo.set(t, t.width === 0 ? truthOf(t, a) : BigInt.asUintN(t.width, vectorOf(t, a, call)));
  }
  return memo.get(root);
}
function truthOf(t, values) {
  const [a, b, c] = values;
  const width = t.args[0]?.width;
  switch (t.op) {
    case "true":
      return true;
    case "false":
      return false;
    case "not":
      return !a;
    case "=":
      return a === b;
    case "bvult":
      return a < b;
    case "bvslt":
      return signed(a, width) < signed(b, width);
    case "and":
      return values.every((value) => value);
    case "or":
      return values.some((value) => value);
    case "ite":
      return a ? b : c;
    default:
      throw new Error(t.op);
  }
}
function vectorOf(t, a, call) {
  switch (t.op) {
    case "const":
      return t.extra;
    case "app":
      return call(t.extra, a);
    case "sum":
      return [...t.terms.values()].reduce((sum, k, i) => sum + k * a[i], t.constant);
    case "extract":
      return a[0] >> BigInt(t.extra);
    case "concat":
      return t.args.reduce((value, arg, i) => (value << BigInt(arg.width)) | a[i], 0n);
    case "zext":
      return a[0];
    case "sext":
      return signed(a[0], t.args[0].width);
    case "bvand":
      return a[0] & a[1];
    case "bvor":
      return a[0] | a[1];
    case "bvxor":
      return a[0] ^ a[1];
    case "bvshl":
      return a[1] >= BigInt(t.width) ? 0n : a[0] << a[1];
    case "bvlshr":
      return a[1] >= BigInt(t.width) ? 0n : a[0] >> a[1];
    case "bvashr":
      return signed(a[0], t.width) >> (a[1] >= BigInt(t.width) ? BigInt(t.width - 1) : a[1]);
    case "ite":
      return a[0] ? a[1] : a[2];
    default:
      throw new Error(t.op);
  }
}
