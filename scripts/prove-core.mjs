#!/usr/bin/env node
// Proves what docs/audit.md says of the core, about the bytes of core.wasm. See proof/.
//
//   npm run prove:core                  all claims, for every layout; two solvers decide each obligation
//   npm run prove:core -- --only NAME   the claims with this in their name
//   npm run prove:core -- --row NAME    for one row of the ABI table
//   npm run prove:core -- --sample      the claims that are decided soon, as the gate does
//   npm run prove:core -- --record      writes the table of docs/audit.md; with --only the rows of these claims, while the module is the same
//   npm run prove:core -- --self-test   claims must be refuted for modules with planted faults; with --only these claims
//
// --runs N: as many concrete runs of the executor are compared with the engine. --solver NAME: this one alone, for development.
// --seconds N: how long a solver may take for one obligation. One that gives up fails the lane.
//
// It needs Debian's z3 and cvc5. The obligations stay in build/proof/*.smt2.

import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLAIMS } from "../proof/claims/index.mjs";
import { compare } from "../proof/compare.mjs";
import { Core } from "../proof/core.mjs";
import { FAULTS, refute } from "../proof/refute.mjs";
import { ROWS, rowOf } from "../proof/rows.mjs";
import { decide, SOLVERS, violations } from "../proof/solve.mjs";
import { hasTool, inParallel, readOptions, SKIP_MISSING, select, Tally, wholeNumber } from "./lane.mjs";
import { compileCore, PLANTED_BUGS } from "./planted-bugs.mjs";

const options = readOptions({
  only: { type: "string", multiple: true, default: [] },
  row: { type: "string" },
  sample: { type: "boolean", default: false },
  record: { type: "boolean", default: false },
  "self-test": { type: "boolean", default: false },
  solver: { type: "string", multiple: true, default: Object.keys(SOLVERS) },
  seconds: { type: "string", default: "300" },
  runs: { type: "string" },
  ...SKIP_MISSING,
});
const listed = (claim) => !options.sample || claim.soon;
const names = select(
  CLAIMS.filter(listed).map(({ name }) => name),
  options.only,
  "claim",
);
const [rowName] =
  options.row === undefined
    ? []
    : select(
        ROWS.map(({ name }) => name),
        [options.row],
        "row",
      );
const tally = new Tally(options);
const folder = join("build", options["self-test"] ? "proof-self-test" : "proof");
rmSync(folder, { recursive: true, force: true });
const limits = { solvers: options.solver, seconds: wholeNumber("seconds", options.seconds) };
const inSeconds = (seconds) => `${seconds.toFixed(1)} s`;
const since = (milliseconds) => (Date.now() - milliseconds) / 1000;

const missing = limits.solvers.filter((solver) => !hasTool(solver));
if (missing.length > 0) {
  tally.missing("the proof", `there is no ${missing.join(", ")}`);
  tally.end();
}

/** Compiles the core, with planted faults. The text of the compiler has the names of its globals. */
function compile(name, replacements = []) {
  const wasm = join(folder, `${name}.wasm`);
  compileCore(join(folder, "assembly"), wasm, replacements);
  return new Core(readFileSync(wasm), readFileSync(`${wasm}.wat`, "utf8"));
}

/** Runs one claim. @returns whether it is proven, and the figures of the run */
async function prove(core, claim, row) {
  const figures = {
    obligations: 0,
    folded: 0,
    times: Object.fromEntries(limits.solvers.map((s) => [s, 0])),
    failures: [],
  };
  const jobs = [];
  for (const [i, { ex, before }] of claim.run({ core, row }).entries()) {
    figures.folded += ex.folded;
    jobs.push(async () => {
      // With assumptions that cannot hold, anything could be shown.
      const possible = await decide(
        folder,
        `${claim.name}.${i}.possible`,
        `${claim.name}: what is assumed can hold: sat`,
        [before.condition()],
        { ...limits, solvers: limits.solvers.slice(0, 1) },
      );
      if (Object.values(possible)[0].answer !== "sat") figures.failures.push("what it assumes cannot hold");
    });
    for (const [n, { label, violation }] of violations(ex.obligations, claim.byPath).entries()) {
      figures.obligations++;
      const name = `${claim.name}.${i}.${String(n).padStart(3, "0")}`;
      jobs.push(async () => {
        const results = await decide(folder, name, `${claim.name}: ${label}\nunsat: it holds`, [violation], limits);
        for (const [solver, { answer, seconds }] of Object.entries(results)) {
          figures.times[solver] += seconds;
          if (answer !== "unsat")
            figures.failures.push(
              `${label}: ${solver}: ${answer === "sat" ? "there is a counterexample" : answer} (${name}.smt2)`,
            );
        }
      });
    }
  }
  await inParallel(jobs);
  return figures;
}

if (options["self-test"]) {
  const ours = compile("core");
  const asked = Object.entries(FAULTS).filter(([, { claims }]) => claims.some((claim) => names.includes(claim)));
  for (const [name, { fault, claims, row }] of asked) {
    const planted = compile("planted", [(fault ?? PLANTED_BUGS[name]).slice(0, 3)]);
    const found = await refute(folder, {
      ours,
      planted,
      claims: CLAIMS.filter((claim) => claims.includes(claim.name)),
      row,
      ...limits,
    });
    tally.result(found.real, `${name}: ${found.text}`);
  }
  tally.end();
}

const core = compile("core");
const shipped = readFileSync(join("dist", "core", "core.wasm"));
const sha256 = createHash("sha256").update(shipped).digest("hex");
tally.result(
  shipped.equals(core.bytes),
  `the module is what the sources compile to: ${shipped.length} bytes, SHA-256 ${sha256}`,
);

// Thousands of runs, unless a part is asked for.
const part = options.sample || rowName !== undefined || options.only.length > 0;
const runs = wholeNumber("runs", options.runs ?? (part ? "200" : "2000"));
const { counts, differences } = compare(core, runs);
tally.result(
  differences.length === 0,
  `the executor does what the engine does: ${runs} runs of ${Object.keys(counts).length} exports`,
  differences.map((line) => `      ${line}`).join("\n"),
);

const row = rowName === undefined ? undefined : rowOf(core, rowName);
const start = Date.now();
const table = new Map();
for (const claim of CLAIMS.filter(({ name }) => names.includes(name))) {
  const began = Date.now();
  const { obligations, folded, times, failures } = await prove(core, claim, row);
  const spent = limits.solvers.map((solver) => `${solver} ${inSeconds(times[solver])}`).join(", ");
  tally.result(
    failures.length === 0,
    `${claim.name}: ${obligations} obligations and ${folded} decided by folding; ${spent}; ${inSeconds(since(began))} in all`,
    failures.map((line) => `      ${line}`).join("\n"),
  );
  table.set(
    claim.name,
    `| \`${claim.name}\` | ${claim.text} | ${obligations} + ${folded} | ${limits.solvers.map((s) => inSeconds(times[s])).join(", ")} |`,
  );
}
console.log(`${inSeconds(since(start))}, for ${rowName ?? "every layout"}; the obligations are in ${folder}`);
if (options.record) {
  if (tally.failed > 0 || row !== undefined || limits.solvers.length < Object.keys(SOLVERS).length)
    throw new Error("only what both solvers have proven for every layout is recorded");
  const page = join("docs", "audit.md");
  const [head, rest] = readFileSync(page, "utf8").split("<!-- proof -->\n");
  const [old, tail] = rest.split("<!-- end of the proof -->\n");
  // Of claims that were not run, as long as the module is that of the table.
  if (old.includes(sha256))
    for (const [line, name] of old.matchAll(/^\| `(\w+)` .*$/gm)) if (!table.has(name)) table.set(name, line);
  const lines = CLAIMS.map(({ name }) => table.get(name));
  if (lines.includes(undefined)) throw new Error("the table is of another module: run all claims");
  const made = `${new Date().toISOString().slice(0, 10)}, ${shipped.length} bytes, SHA-256 \`${sha256}\`:`;
  const header = `| claim | what | obligations + folded | ${limits.solvers.join(", ")} |\n| --- | --- | --- | --- |`;
  writeFileSync(
    page,
    `${head}<!-- proof -->\n${made}\n\n${header}\n${lines.join("\n")}\n\n<!-- end of the proof -->\n${tail}`,
  );
}
tally.end();
