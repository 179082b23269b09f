// Decides obligations by solvers that know nothing of this project: each is a file, build/proof/*.smt2, that must be `unsat`.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../scripts/lane.mjs";
import { inOrder, script } from "./smt.mjs";
import * as T from "./terms.mjs";

/** Bits and clauses for z3; whatever this does not decide, its general procedure does. */
const TACTIC = `(or-else (then simplify propagate-values solve-eqs
  (using-params ackermannize_bv :div0_ackermann_limit 1000000) simplify max-bv-sharing bit-blast sat) smt)`;

export const SOLVERS = {
  z3: (file) => ["z3", `tactic.default_tactic=${TACTIC.replace(/\s+/g, " ")}`, file],
  cvc5: (file) => ["cvc5", "--quiet", file],
};

/** Limits and counts the processor time of a command: it is the same however busy the machine is. */
const COUNTED = 'ulimit -t "$0"; TIMEFORMAT="processor: %U %S"; time "$@"';

/**
 * What has to be `unsat`: that some path comes to a state in which what is claimed does not hold. One for each label, over all paths; or one
 * for each path, over all labels, where all paths together are too much for a solver.
 */
export function violations(obligations, byPath = false) {
  const groups = new Map();
  for (const { label, condition, claim } of obligations) {
    const key = byPath ? condition : label;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push({ label, violation: T.all(condition, T.not(claim)) });
  }
  return [...groups.values()].map((group) => ({
    label: [...new Set(group.map(({ label }) => label))].join("; "),
    violation: T.any(...group.map(({ violation }) => violation)),
  }));
}

async function ask(solver, file, seconds) {
  const { stdout, output, how } = await run("bash", ["-c", COUNTED, String(seconds), ...SOLVERS[solver](file)]);
  const [answer = ""] = stdout.split("\n");
  const [, user, system] = /^processor: (\S+) (\S+)$/m.exec(output) ?? [];
  const spent = Number(user) + Number(system);
  const ended = spent >= seconds ? `no answer after ${seconds} s` : how;
  return { answer: /^(unsat|sat|unknown)$/.test(answer) ? answer : `${answer || ended}`, stdout, seconds: spent };
}

/**
 * Decides one obligation, or whether assumptions can hold.
 *
 * @param name of the file, without its folder
 * @returns the answer and the processor time of each solver that was asked: all of them, until one finds a counterexample
 */
export async function decide(folder, name, comment, assertions, { solvers, seconds }) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.smt2`);
  writeFileSync(file, script(comment, assertions));
  const results = {};
  for (const solver of solvers) {
    results[solver] = await ask(solver, file, seconds);
    if (results[solver].answer === "sat") break;
  }
  return results;
}

/** Values that satisfy the assertions, by z3: a function from terms to their values. @returns undefined where there are none */
export async function model(folder, name, comment, assertions, { seconds }) {
  const terms = inOrder(assertions).filter((t) => t.op === "var" || t.op === "app");
  const wanted = [...new Set(terms.flatMap((t) => [t, ...t.args]))];
  const file = join(folder, `${name}.smt2`);
  writeFileSync(file, script(comment, assertions, wanted));
  const { answer, stdout } = await ask("z3", file, seconds);
  if (answer !== "sat") return undefined;
  const values = new Map();
  for (const [, i, text] of stdout.matchAll(/\(out\.(\d+)\s+(#x[0-9a-f]+|#b[01]+|true|false)\)/g))
    values.set(wanted[Number(i)], text[0] === "#" ? BigInt(`0${text.slice(1)}`) : text === "true");
  return values;
}
