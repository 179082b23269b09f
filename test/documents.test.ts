/** The documents: links lead somewhere, in the repository and from the page of the package. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { abis } from "unix-ancillary/core";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run, temporaryFolder } from "./support.ts";

const test = suite("documents");

const DOCUMENTS = [
  ...readdirSync(".").filter((name) => name.endsWith(".md")),
  ...["docs", "examples", "fuzz"].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(folder, name)),
  ),
];

/** The text without code, where brackets are no links. */
const withoutCode = (text: string): string => text.replace(/```[\s\S]*?```|`[^`\n]*`/g, "``");

/** The anchors that GitHub and npm make of headings. */
function anchors(path: string): Set<string> {
  const headings = readFileSync(path, "utf8")
    .replace(/```[\s\S]*?```/g, "")
    .matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replace(/ /g, "-"),
    ),
  );
}

test("every relative link leads to a file of the repository, and to a heading that is there", () => {
  let links = 0;
  for (const document of DOCUMENTS) {
    for (const [, target] of withoutCode(readFileSync(document, "utf8")).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      links++;
      const [path, anchor] = target!.split("#");
      // On npm, links are relative to the root of the repository, and must not leave it.
      const file = path === "" ? document : join(dirname(document), path!);
      assert.not.match(file, /^\.\./, `${document}: ${target}`);
      assert.ok(existsSync(file), `${document}: ${target}`);
      if (anchor !== undefined) assert.ok(anchors(file).has(anchor), `${document}: ${target}`);
    }
  }
  assert.ok(links > 40, `${links} links`);
});

test("the table of platforms has what the lanes recorded, and says nothing else", async () => {
  const { code, stdout } = await run("node", [resolve("scripts", "platforms.mjs")]);
  assert.is(code, 0, stdout);
  const { withTable } = await import(pathToFileURL(resolve("scripts", "platforms.mjs")).href);
  const page = "before\n<!-- made by scripts/platforms.mjs -->\nold\n<!-- end -->\nafter\n";
  const file = { on: "2026-11-30", passed: 3, failed: [], skipped: ["suite, title: needs x | y"] };
  const platform = {
    addon: "linux-s390x",
    how: "the machine emulated",
    kernel: "7.2.13",
    endianness: "BE",
    libc: "glibc 2.42",
  };
  const made = withTable(page, [
    { ...platform, runtime: "Node 24.22.2", of: 9, files: { a: file, b: { ...file, on: "2026-12-01" } } },
  ]);
  assert.match(
    made,
    "| `linux-s390x` (big-endian) | 7.2.13, the machine emulated | glibc 2.42, Node 24.22.2 | 2 of 9 | 6 | 0 | 2 | 2026-11-30 to 2026-12-01 |",
  );
  assert.match(made, "needs x \\| y | linux-s390x on 7.2.13");
  assert.ok(made.startsWith("before\n") && made.endsWith("after\n") && !made.includes("old"), made);
  assert.throws(() => withTable("no place\n", []), /no place/);
});

test("the versions of Linux in documents and docstrings are those of the ABI table, which the README and the page name", () => {
  const { since } = abis["linux-x86_64-glibc"];
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  let mentions = 0;
  for (const file of [...DOCUMENTS, ...sources.map((name) => join("src", name))]) {
    const text = readFileSync(file, "utf8").replaceAll("\n * ", " ");
    for (const [mention, name, version] of text.matchAll(
      /\b((?:SO|SCM|F_SEAL|MFD)_[A-Z_]+)\b[^.|;\n]{0,12}?Linux (\d+\.\d+)/g,
    )) {
      mentions++;
      assert.is(version, since[name!], `${file}: ${mention}`);
    }
  }
  assert.ok(mentions > 12, `${mentions} mentions`);
  const page = readFileSync(join("docs", "platforms.md"), "utf8");
  for (const name of Object.keys(since).filter((one) => one.startsWith("SO_"))) assert.match(page, name);
  for (const name of ["SO_PASSPIDFD", "SO_PEERPIDFD", "SO_PASSRIGHTS"])
    assert.match(readFileSync("README.md", "utf8"), name);
});

test("nothing is published without what the page on npm needs, and the error says where to read on", async () => {
  const script = resolve("scripts", "publishable.mjs");
  const folder = temporaryFolder();
  mkdirSync(folder, { recursive: true });
  const given = JSON.parse(readFileSync("package.json", "utf8"));
  const fields = ["repository", "homepage", "bugs", "author"];
  for (const name of fields) delete given[name];
  writeFileSync(join(folder, "package.json"), JSON.stringify(given));
  const refused = await run("node", [script], { cwd: folder });
  assert.is(refused.code, 1);
  assert.is(refused.stderr, `package.json has no ${fields.join(", ")}: see Publishing in CONTRIBUTING.md\n`);
  assert.ok(anchors("CONTRIBUTING.md").has("publishing"));
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ ...given, ...Object.fromEntries(fields.map((name) => [name, "x"])) }),
  );
  assert.is((await run("node", [script], { cwd: folder })).code, 0);
});

test.run();
