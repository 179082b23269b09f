/** The scripts refuse what they do not know, and the checks behind them find what they are for. */

import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run, temporaryFolder } from "./support.ts";

const test = suite("scripts");
const folder = temporaryFolder();

const script = (name: string) => import(pathToFileURL(resolve("scripts", name)).href);

const programs = readdirSync("scripts")
  .filter((name) => name.endsWith(".mjs"))
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
    ["prebuilds.mjs", "no-such-processor"],
    ["emulated.mjs", "no-such-processor"],
    ["kernels.mjs", "6"],
    ["fuzz.mjs", "--seconds", "soon"],
    ["explore.mjs", "--schedules", "1e3"],
    ["mutate.mjs", "--only", "no-such-fault"],
    ["mutate.mjs", "--sample", "0"],
    ["mutate-core.mjs", "--only", "no-such-file"],
    ["mutate-core.mjs", "--sample", "0"],
    ["test-fuzzers.mjs", "--only", "no-such-build"],
    ["prove-core.mjs", "--only", "no-such-claim"],
    ["prove-core.mjs", "--row", "no-such-row"],
  ]) {
    const { code, stderr } = await run("node", [join("scripts", name!), ...args]);
    assert.is(code, 2, `${name}: exit code ${code}`);
    assert.match(stderr, args.at(-1)!, name);
  }
});

test("mutants of the core are of every kind, each another text, and one can be noticed", async () => {
  const { generate, sources } = await script("core-mutants/generate.mjs");
  const { compile } = await script("core-mutants/compile.mjs");
  const mutants: { file: string; within: string; before: string; after: string; text: string }[] = generate();
  assert.is(new Set(mutants.map(({ file, text }) => file + text)).size, mutants.length);
  assert.not(mutants.some(({ file, text }) => text === sources().get(file)));
  const find = (file: string, after: string) => mutants.find((one) => one.file === file && one.after === after);
  for (const [file, after] of [
    ["target.ts", "return n !== 0 && n < LIMIT && (n & (n - 1)) === 0;"],
    ["target.ts", "const LIMIT: u32 = 65;"],
    ["decode.ts", "if (true) return fail(LENGTH_OVERRUNS);"],
    ["encode.ts", ";"],
    ["verdict.ts", "set(Register.HAS_PIDFD, 1);"],
    ["abi.ts", "export let padLast: bool = true;"],
    ["cmsghdr.ts", "return readInt(header + abi.typeOffset);"],
    ["memory.ts", "return load<u32>(REGISTERS + ((<usize>register) << 2));"],
    ["index.ts", 'export { align as len, len as align, space } from "./cmsghdr";'],
  ])
    assert.ok(find(file!, after!), `${file}: ${after}`);
  const plain = compile();
  const mutant = compile(find("target.ts", "const LIMIT: u32 = 65;"));
  assert.not(plain.bytes.equals(mutant.bytes));
  assert.is(compile({ file: "target.ts", text: "export const LIMIT: u32 = nothing;" }), null);
  // What came between changes nothing.
  assert.ok(compile().bytes.equals(plain.bytes));
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

test("a fault finds its place in the syntax tree, inside what is named, and only one place", async () => {
  const { replaceInTree } = await script("syntax-tree.mjs");
  const text = `
    class A { #close(fd) { if (fd > 0) this.system.close(fd); else return ( [ fd, ] ); } }
    class B { #close(fd) { this.system.close(fd); this.system.close(fd); } }
    let take; take = (fd) => { return A.from(fd).number; };`;
  const replaced = (...given: string[]) => replaceInTree(text, ...given).replace(/\s+/g, " ");
  assert.match(replaced("A.#close", "this.system.close(fd);", ""), "if (fd > 0) ; else return");
  assert.match(replaced("A.#close", "_ > 0", "!($&)"), "if (!(fd > 0)) this");
  assert.match(replaced("A.#close", "if (_) _; else _;", "f(); $&"), "{ f(); if (fd > 0)");
  assert.match(replaced("A.#close", "return [fd];", "return null;"), "else return null;");
  assert.match(replaced("take", "A.from(_)", "null"), "return null.number;");
  assert.throws(() => replaced("B.#close", "this.system.close(fd);", ""), /2 places in B.#close/);
  assert.throws(() => replaced("B.#close", "this.system.open(fd);", ""), /0 places/);
  assert.throws(() => replaced("C.#close", "fd", ""), /nothing is called C.#close/);
});

test("a fault finds its place in C++, inside what is named, and only one place", async () => {
  const { replaceInCode } = await script("planted-bugs.mjs");
  const text = `
    class A : public C { int Close(int fd) override { return close(fd); } };
    class B { B(int fd) : fd_(fd) { Close(fd); } int Close(int fd) { close( fd ); return close(fd); } };
    void D::Close() { Close(1); }`;
  assert.match(replaceInCode(text, "A.Close", "close(fd)", "0"), "override { return 0; }");
  assert.match(replaceInCode(text, "D::Close", "Close(1);", "$& $&"), "{ Close(1); Close(1); }");
  assert.match(replaceInCode(text, "B.Close", "return close(fd);", "return 0;"), "close( fd ); return 0;");
  assert.throws(() => replaceInCode(text, "B.Close", "close(fd)", ""), /2 places in B.Close/);
  assert.throws(() => replaceInCode(text, "E.Close", "close(fd)", ""), /nothing is called E.Close/);
});

const addonOf = (target: string): string => join("prebuilds", target, "unix-ancillary.node");

test("an addon asks the system for nothing but libc, of glibc 2.17 or musl, Node-API and libuv", async () => {
  const { ADDONS, wrongWithAddon } = await script("addon-files.mjs");
  const built = Object.keys(ADDONS).filter((target) => existsSync(addonOf(target)));
  assert.ok(built.includes(`${process.platform}-${process.arch}`), built.join(" "));
  const others = Object.keys(ADDONS).filter((target) => !built.includes(target));
  if (others.length > 0) console.log(`SKIPPED the addons that npm run prebuilds has not built: ${others.join(" ")}`);
  for (const target of built) assert.equal(wrongWithAddon(target, readFileSync(addonOf(target))), [], target);
});

/** A copy of an addon with a piece of text replaced by one of the same length. */
function changed(bytes: Buffer, from: string, to: string): Buffer {
  const copy = Buffer.from(bytes);
  assert.is(from.length, to.length);
  assert.ok(copy.write(to, copy.indexOf(`\0${from}`, 0, "latin1") + 1, "latin1"));
  return copy;
}

test("the check of an addon finds a symbol, a library, a glibc, an export and a processor that must not be", async () => {
  const { dropNeeded, wrongWithAddon } = await script("addon-files.mjs");
  const target = `${process.platform}-${process.arch}`;
  if (process.platform !== "linux") return console.log(`SKIPPED on ${target}: the addon here is no ELF file`);
  const addon = readFileSync(addonOf(target));
  const wrong = (from: string, to: string): string => wrongWithAddon(target, changed(addon, from, to)).join("; ");
  assert.is(wrong("uv_walk", "ux_walk"), "it needs the symbol ux_walk");
  assert.is(wrong("napi_create_object", "npai_create_object"), "it needs the symbol npai_create_object");
  assert.is(wrong("rename", "renamq"), "it needs the symbol renamq");
  const shell = readFileSync("/bin/sh");
  const needsLibc = (): boolean => wrongWithAddon(target, shell).includes("it needs libc.so.6");
  assert.ok(needsLibc());
  dropNeeded(shell);
  assert.not(needsLibc());
  assert.match(wrong("GLIBC_2.17", "GLIBC_2.34"), "clock_gettime is of glibc 2.34, newer than 2.17");
  assert.match(wrong("napi_register_module_v1", "napi_register_module_v2"), "it exports ");
  const other = target === "linux-s390x" ? "linux-x64" : "linux-s390x";
  assert.match(wrongWithAddon(other, addon)[0], "it is for another processor");
  assert.match(wrongWithAddon(target, Buffer.concat([addon, Buffer.alloc(100 * 1024)]))[0], "bytes");
});

test("the check of an addon for macOS finds a page that is not the signed one", async () => {
  const { wrongWithAddon } = await script("addon-files.mjs");
  if (!existsSync(addonOf("darwin-arm64"))) return console.log("SKIPPED: npm run prebuilds has not built darwin-arm64");
  const addon = readFileSync(addonOf("darwin-arm64"));
  assert.equal(wrongWithAddon("darwin-arm64", addon), []);
  const wrong = wrongWithAddon("darwin-arm64", changed(addon, "sendmsgv", "sendmsgw"));
  assert.is(wrong.length, 1);
  assert.match(wrong[0], /^its signature has a wrong hash of page \d+$/);
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

test("each row of the table of the audit names what checks it, and that is there", async () => {
  const { code, stdout } = await run("node", ["scripts/audit.mjs", "--list"]);
  assert.is(code, 0, stdout);
  assert.match(stdout, /^ok {4}a descriptor is kept or closed, once\n {8}npm run fuzz/m);
});

test("the demo ends without a stack when its reader stops early, as head does", async () => {
  const { stdout, stderr } = await run("sh", ["-c", `"${process.execPath}" build/examples/demo.js | head -n 1`]);
  assert.match(stdout, /^parent /);
  assert.is(stderr, "");
});

test.run();
