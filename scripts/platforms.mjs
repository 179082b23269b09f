#!/usr/bin/env node
// The table of docs/platforms.md, made of docs/platforms.json, which the lanes of other processors and kernels write (`--record`). Without
// an option, fails when they differ. `--record` makes the table.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { readOptions, Tally } from "./tally.mjs";

const RESULTS = "docs/platforms.json";
const PAGE = "docs/platforms.md";
const BEGIN = "<!-- made by scripts/platforms.mjs -->\n";
const END = "<!-- end -->\n";

function readResults() {
  return existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")) : [];
}

/** Whether two runs were on the same platform. Their files are added up then. */
function samePlatform(a, b) {
  return ["addon", "how", "kernel", "libc", "runtime"].every((name) => a[name] === b[name]);
}

/**
 * Records the result of a file. That of an earlier run on the same platform is replaced. What is known of another release of the same
 * kernel, or with another C library or runtime, is dropped.
 *
 * @param run `addon`, `how`, and what the machine says of itself; `result`: one of `runListed`; `of`: how many files the suite has
 */
export function record({ addon, how, kernel, endianness, libc, runtime, result, of }) {
  const { file, title, good, passed, skips, ended } = result;
  // That of a test that ran alone says that the list is wrong. A file that did not end in time has no result.
  if (title !== undefined || !ended) return;
  const platform = { addon, how, kernel, endianness, libc, runtime };
  const all = readResults();
  const before = all.find((other) => samePlatform(platform, other));
  const minor = (release) => release.split(".", 2).join(".");
  const others = all.filter(
    (other) => !(other.addon === addon && other.how === how && minor(other.kernel) === minor(kernel)),
  );
  const failed = good || result.failed.length > 0 ? result.failed : ["the file, as a whole"];
  const on = new Date().toISOString().slice(0, 10);
  const files = { ...before?.files, [file]: { on, passed, failed, skipped: skips } };
  const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
  const after = [...others, { ...platform, of, files: sorted }].sort(
    (a, b) =>
      `${a.addon} ${a.how}`.localeCompare(`${b.addon} ${b.how}`) ||
      a.kernel.localeCompare(b.kernel, "en", { numeric: true }),
  );
  writeFileSync(RESULTS, `${JSON.stringify(after, null, 1)}\n`);
  writeFileSync(PAGE, withTable(readFileSync(PAGE, "utf8"), after));
}

const row = (cells) => `| ${cells.join(" | ")} |`;
const table = (head, rows) => [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");
const escaped = (text) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");

function platformRow({ addon, how, kernel, endianness, libc, runtime, of, files }) {
  const results = Object.values(files);
  const sum = (count) => results.reduce((all, result) => all + count(result), 0);
  const days = results.map(({ on }) => on).sort();
  const when = days[0] === days.at(-1) ? days[0] : `${days[0]} to ${days.at(-1)}`;
  return [
    `\`${addon}\`${endianness === "BE" ? " (big-endian)" : ""}`,
    `${kernel}, ${how}`,
    `${libc}, ${runtime}`,
    `${results.length} of ${of}`,
    sum(({ passed }) => passed),
    sum(({ failed }) => failed.length),
    sum(({ skipped }) => skipped.length),
    when,
  ];
}

/** What failed or was skipped, with the platforms. `kind`: `failed` or `skipped`. */
function named(results, kind) {
  const places = new Map();
  for (const { addon, how, kernel, files } of results) {
    for (const [file, result] of Object.entries(files)) {
      for (const text of result[kind]) {
        const name = kind === "failed" ? `${file}: ${text}` : text;
        if (!places.has(name)) places.set(name, []);
        // This machine's own kernel says nothing.
        const here = ["the processor itself", "the program emulated"].includes(how);
        places
          .get(name)
          .push(here ? `${addon}, ${how}` : `${addon} on ${kernel}${how === "gVisor" ? " (gVisor)" : ""}`);
      }
    }
  }
  return [...places].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, where]) => [escaped(name), where.join("; ")]);
}

/** The page with the tables of these results. */
export function withTable(page, results) {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`${PAGE} has no place for the table`);
  const head = ["addon", "Linux", "C library, runtime", "files", "passed", "failed", "skipped", "when"];
  const parts = [table(head, results.map(platformRow))];
  for (const [kind, title] of [
    ["failed", "Failed:"],
    ["skipped", "Skipped, by name:"],
  ]) {
    const rows = named(results, kind);
    if (rows.length > 0) parts.push(title, table(["test", "where"], rows));
  }
  return `${before}${BEGIN}\n${parts.join("\n\n")}\n\n${END}${after}`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const options = readOptions({ record: { type: "boolean", default: false } });
  const tally = new Tally();
  const page = readFileSync(PAGE, "utf8");
  const made = withTable(page, readResults());
  if (options.record) writeFileSync(PAGE, made);
  tally.result(
    options.record || made === page,
    `${PAGE} has the results of ${RESULTS}`,
    "npm run platforms -- --record",
  );
  tally.end();
}
