/** The scripts refuse what they do not know, and the checks behind them find what they are for. */

import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run, temporaryFolder } from "./support.ts";

const test = suite("scripts");
const folder = temporaryFolder();

const script = (name: string) => import(pathToFileURL(resolve("scripts", name)).href);

const programs = readdirSync("scripts")
  .map((name) => join("scripts", name))
  .filter((path) => readFileSync(path, "utf8").startsWith("#!"));

test("a misspelt option is refused, never ignored", async () => {
  assert.ok(programs.length >= 11, programs.join(" "));
  for (const program of [...programs, join("build", "test", "explore", "main.js")]) {
    const { code, stdout, stderr } = await run("node", [program, "--unknown"]);
    assert.is(code, 2, `${program}: exit code ${code}`);
    assert.match(stderr, /^Unknown option '--unknown'/, program);
    assert.is(stdout, "", program);
  }
});

test("a name that selects nothing, and a number that is none, are refused", async () => {
  for (const [name, ...args] of [
    ["test.mjs", "no-such-file"],
    ["endurance.mjs", "no-such-program"],
    ["examples.mjs", "no-such-example"],
    ["sanitizers.mjs", "no-such-file"],
    ["fuzz.mjs", "--seconds", "soon"],
    ["explore.mjs", "--schedules", "1e3"],
  ]) {
    const { code, stderr } = await run("node", [join("scripts", name!), ...args]);
    assert.is(code, 2, `${name}: exit code ${code}`);
    assert.match(stderr, args.at(-1)!, name);
  }
});

test("a planted bug finds its place whatever the white space, and only one place", async () => {
  const { plant } = await script("planted-bugs.mjs");
  const file = join(folder, "source.js");
  const from = "if (a) close(first, second); return b;";
  writeFileSync(file, "if(a)\n\tclose(\n    first,\n    second,\n  );\n  return   b;\n");
  plant(folder, ["source.js"], from, "$& bug();");
  assert.match(readFileSync(file, "utf8"), /second,\n {2}\);\n {2}return {3}b; bug\(\);\n$/);
  assert.throws(() => plant(folder, ["source.js"], "returnb", ""), /0 places/);
  writeFileSync(file, `${from}\n${from}\n`);
  assert.throws(() => plant(folder, ["source.js"], from, ""), /2 places/);
});

/** The problems that the gate finds in what tsc emitted, one file of it changed. */
async function problemsOf(name: string, file: string, pattern: RegExp, to: string): Promise<string[]> {
  const { publicDeclarations } = await script("declarations.mjs");
  const copy = join(folder, name);
  cpSync(join("build", "types"), copy, { recursive: true });
  const text = readFileSync(join(copy, file), "utf8");
  assert.match(text, pattern);
  writeFileSync(join(copy, file), text.replace(pattern, to));
  return publicDeclarations(copy).problems;
}

test("the gate of the public declarations finds what is not exported, not documented, or not hidden", async () => {
  assert.equal(await problemsOf("as-it-is", "index.d.ts", /^/, ""), []);
  assert.equal(await problemsOf("not-exported", "index.d.ts", /\bFdDescription, /, ""), [
    "OwnedFd mentions FdDescription, which no entry point exports",
  ]);
  assert.equal(await problemsOf("not-documented", "fd/as-fd.d.ts", /\/\*\*[\s\S]*?\*\//g, ""), ["AsFd has no comment"]);
  const open = await problemsOf("not-hidden", "system/platform.d.ts", /@internal/g, "");
  assert.ok(open.includes("Platform mentions System, which no entry point exports"), open.join("\n"));
});

test("the demo ends without a stack when its reader stops early, as head does", async () => {
  const { stdout, stderr } = await run("sh", ["-c", `"${process.execPath}" build/examples/demo.js | head -n 1`]);
  assert.match(stdout, /^parent /);
  assert.is(stderr, "");
});

test.run();
