/** The packed tarball in an empty project, without scripts, and without a compiler in the PATH. */

import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import zopfli from "@gfx/zopfli";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run, SLOWNESS, temporaryFolder } from "./support.ts";

const test = suite("package");
const folder = temporaryFolder();
let tarball = "";
let installed = "";

/** The code blocks of the README's quick start: as JavaScript, and as TypeScript with `using`. */
const [, quickStart = "", withUsing = ""] =
  /## Quick start[\s\S]*?```js\n([\s\S]*?)```[\s\S]*?```ts\n([\s\S]*?)```/.exec(readFileSync("README.md", "utf8")) ??
  [];

/** The program in a loop. It fails if a descriptor is left open. */
const looped = (program: string): string => {
  const [imports, ...body] = program.split("\n\n");
  return `${imports}
import { readdirSync } from "node:fs";
const count = () => readdirSync("/proc/self/fd").length;
const turns = 1000;
let before = 0;
for (let turn = 0; turn <= turns; turn++) {
  // The first turn loads the addon.
  if (turn === 1) before = count();
${body.join("\n\n")}
}
if (count() !== before) throw new Error(\`\${before} descriptors became \${count()}\`);
`;
};

test.before(async () => {
  const packed = await run("node", ["scripts/pack.mjs", "--to", folder], { timeout: 120_000 });
  assert.is(packed.code, 0, packed.stderr);
  tarball = packed.stdout.trim();
  installed = join(folder, "project");
  mkdirSync(installed);
  writeFileSync(join(installed, "package.json"), "{}");
  const added = await run("npm", ["install", "--ignore-scripts", "--offline", tarball], { cwd: installed });
  assert.is(added.code, 0, added.stderr);
});

test("the tarball has one file of declarations for each entry point and each file of Wasm, and none of internals", () => {
  const dist = join(installed, "node_modules", "unix-ancillary", "dist");
  const declarations = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".d.ts"),
  );
  assert.equal(declarations.sort(), [
    "cmsgdump.wasm.d.ts",
    "core/core.wasm.d.ts",
    "core/index.d.ts",
    "handoff.d.ts",
    "index.d.ts",
    "stream.d.ts",
    "testing.d.ts",
    "usocket.d.ts",
  ]);
  for (const name of declarations.filter((name) => !name.endsWith(".wasm.d.ts"))) {
    const commonjs = name.replace(/ts$/, "cts");
    assert.is(readFileSync(join(dist, name), "utf8"), `export * from "./${basename(name, ".d.ts")}.cjs";\n`);
    assert.match(readFileSync(join(dist, commonjs), "utf8"), /^export declare /m);
  }
});

test("the tarball has what the package needs, and with one addon at most 189,000 bytes", async () => {
  const addons = readdirSync(join(installed, "node_modules", "unix-ancillary", "prebuilds"));
  const others = addons.filter((name) => name !== `${process.platform}-${process.arch}`);
  // npm run prebuilds checks the limit with all nine.
  const rest = await Promise.all(
    others.map((name) => zopfli.gzipAsync(readFileSync(join("prebuilds", name, "unix-ancillary.node")), {})),
  );
  const bytes = statSync(tarball).size - rest.reduce((sum, { length }) => sum + length, 0);
  console.log(`held: the tarball with one addon: ${bytes} bytes`);
  assert.ok(bytes <= 189_000, `${bytes} bytes`);
  const all = readdirSync(join(installed, "node_modules", "unix-ancillary"), { recursive: true, encoding: "utf8" });
  const folders = new Set(all.map((name) => name.split("/")[0]));
  const expected = [
    "LICENSE",
    "README.md",
    "asconfig.json",
    "assembly",
    "dist",
    "package.json",
    "prebuilds",
    "scripts",
  ];
  assert.equal([...folders].sort(), expected);
  const scripts = all.filter((name) => name.startsWith("scripts/"));
  assert.equal(scripts.sort(), ["scripts/audit-core.mjs", "scripts/tally.mjs"]);
});

/** What a consumer may write, and (`@ts-expect-error`) what is refused. */
const CONSUMER = `
import { type ConnectedSocket, type Endpoint, FdReader, type Platform, UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import { AncillaryError, Codec, provideCoreModule, type TruncationReason } from "unix-ancillary/core";
import coreModule from "unix-ancillary/core.wasm";
import cmsgdump from "unix-ancillary/cmsgdump.wasm";
import { AncillaryError as Same, SocketAncillary } from "unix-ancillary";
import { FdDuplex } from "unix-ancillary/stream";
import { VirtualKernel, VirtualProcess } from "unix-ancillary/testing";
import { UServer, USocket } from "unix-ancillary/usocket";

const kernel = new VirtualKernel("darwin-arm64", { seed: 7 });
const process = kernel.process();
const platform: Platform = process.platform;
const [a, b]: [UnixStream, UnixStream] = UnixStream.pair({ platform });
const sockets: Endpoint[] = [a, b, UnixDatagram.unbound({ platform }), UnixListener.bind("/socket", { platform })];
const connected: ConnectedSocket = a;
const same: typeof AncillaryError = Same;
const reason: TruncationReason | undefined = new AncillaryError("ERR_FD_COUNT", "").reason;
provideCoreModule(coreModule);
export const command: WebAssembly.Module = cmsgdump;
export const name: string = new Codec(platform.abi).abi.name;
export async function use(): Promise<void> {
  await connected.sendFds("x", [process.open("a file")]);
  for await (const { fds, data, credentials } of b) console.log(fds[0]?.fd, data.toString(), credentials?.uid);
  for (const socket of sockets) socket.close();
  console.log(same, reason, new SocketAncillary(64, { platform }));
  new FdDuplex(a).write("x", { fds: [0] });
  for await (const chunk of new FdDuplex(b).pipe(new FdDuplex(a))) console.log(chunk);
  const socket = new USocket({ path: "/socket" });
  socket.write({ data: Buffer.from("x"), fds: [0] });
  const fds: number[] | undefined = socket.read(1, null)?.fds;
  new UServer().on("connection", (accepted: USocket) => accepted.end(fds));
}
// @ts-expect-error a kernel is not a platform, though both have an abi
UnixStream.pair({ platform: kernel });
// @ts-expect-error neither is an object like it
UnixStream.pair({ platform: { abi: platform.abi } });
// @ts-expect-error what a platform consists of stays inside
platform.system;
// @ts-expect-error so does the queue of a socket
a.openFd();
// @ts-expect-error a reader comes from a socket
new FdReader();
// @ts-expect-error a process comes from a kernel
new VirtualProcess();
`;

for (const [module, moduleResolution] of [
  ["node16", "node16"],
  ["nodenext", "nodenext"],
  ["esnext", "bundler"],
]) {
  test(`the declarations type-check for a consumer, with nothing skipped: ${moduleResolution}`, async () => {
    const project = join(installed, `types-${moduleResolution}`);
    mkdirSync(project);
    const compilerOptions = {
      noEmit: true,
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      target: "es2022",
      lib: ["es2022", "esnext.disposable"],
      module,
      moduleResolution,
      typeRoots: [resolve("node_modules", "@types")],
      types: ["node"],
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions }));
    writeFileSync(join(project, "consumer.mts"), CONSUMER);
    const { code, stdout } = await run("node", [resolve("node_modules/typescript/bin/tsc"), "-p", project]);
    assert.is(code, 0, stdout);
  });
}

/** A PATH with Node and nothing else. */
function bare(): NodeJS.ProcessEnv {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  try {
    symlinkSync(process.execPath, join(bin, "node"));
  } catch {
    // It exists from an earlier test.
  }
  return { PATH: bin, HOME: folder };
}

test("the README's quick start runs as an ES module", async () => {
  assert.match(quickStart, "unix-ancillary");
  writeFileSync(join(installed, "quick-start.mjs"), quickStart);
  const { code, stdout, stderr } = await run("node", ["quick-start.mjs"], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.is(stderr, "");
  assert.match(stdout, "hello");
});

for (const [what, program] of [
  ["quick start", quickStart],
  ["quick start with using", withUsing],
] as const) {
  test(`the README's ${what} can be copied into a loop: 1000 times, and no descriptor is left`, async () => {
    const name = what.replaceAll(" ", "-");
    const source = join(installed, `${name}.mts`);
    writeFileSync(source, looped(program));
    // Node 20 has no `using`.
    const flags = [
      "--target",
      "es2022",
      "--module",
      "nodenext",
      "--lib",
      "es2022,esnext.disposable",
      "--types",
      "node",
    ];
    const roots = ["--typeRoots", resolve("node_modules", "@types"), "--strict", "--noUncheckedIndexedAccess", "false"];
    const tsc = resolve("node_modules/typescript/bin/tsc");
    const compiled = await run("node", [tsc, "--ignoreConfig", ...flags, ...roots, source], { cwd: installed });
    assert.is(compiled.code, 0, compiled.stdout);
    const { code, stdout, stderr } = await run("node", [`${name}.mjs`], { cwd: installed, env: bare() });
    assert.is(code, 0, stderr);
    assert.is(stderr, "");
    assert.is(stdout.match(/^(hello|take this) /gm)?.length, 1001);
  });
}

test("the README's quick start runs from CommonJS, with require", async () => {
  const asRequire = quickStart.replace(/import (.*) from (".*?");/g, "const $1 = require($2);");
  writeFileSync(join(installed, "quick-start.cjs"), `(async () => {\n${asRequire}\n})();`);
  const { code, stdout, stderr } = await run("node", ["quick-start.cjs"], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.match(stdout, "hello");
});

test("the programs of docs/threads.md run: a socket reaches a worker thread, and its first owner is closed", async () => {
  const page = readFileSync("docs/threads.md", "utf8");
  const programs = [...page.matchAll(/```js\n\/\/ (\S+)\n([\s\S]*?)```/g)];
  assert.equal(
    programs.map(([, name]) => name),
    ["main.mjs", "worker.mjs"],
  );
  for (const [, name, text] of programs) writeFileSync(join(installed, name!), text!);
  const { code, stdout, stderr } = await run("node", ["main.mjs"], { cwd: installed, env: bare() });
  assert.equal([code, stdout, stderr], [0, "hello from the worker\n", ""]);
});

test("old Node: each file begins with a line that it cannot parse, and that says which Node is needed", () => {
  const dist = join(installed, "node_modules", "unix-ancillary", "dist");
  const files = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
  assert.ok(files.length >= 6, files.join());
  for (const name of files) {
    const [first] = readFileSync(join(dist, name), "utf8")
      .replace(/^#!.*\n/, "")
      .split("\n");
    assert.match(first!, /static \{\} .*\/\/ unix-ancillary needs Node 20\.19 or later/, name);
  }
});

/** The output of a program that imports the library in a process that believes to be another one. */
async function elsewhere(pretend: string, program: string): Promise<string> {
  const before = `data:text/javascript,${encodeURIComponent(pretend)}`;
  const script = `import("unix-ancillary").then((library) => { ${program} }).catch((error) => console.log(error.code, error.message))`;
  const { stdout, stderr, code } = await run("node", ["--import", before, "-e", script], {
    cwd: installed,
    env: bare(),
  });
  assert.is(code, 0, stderr);
  return stdout;
}

test("unknown systems: one sentence and a code, and not before something is used", async () => {
  const pair = "library.UnixStream.pair()";
  const windows = 'Object.defineProperty(process, "platform", { value: "win32" })';
  assert.match(await elsewhere(windows, pair), /^ERR_UNSUPPORTED_PLATFORM .*Windows[^\n]*\n$/);
  const aix = 'Object.defineProperty(process, "platform", { value: "aix" })';
  const text = await elsewhere(aix, pair);
  assert.match(text, /^ERR_UNSUPPORTED_PLATFORM .*aix on .*docs\/platforms\.md/);
  assert.ok(text.length < 200, text);
  assert.is(await elsewhere(aix, 'console.log("imported")'), "imported\n");
});

test("old Node: the import says which Node is needed, whatever it lacks", async () => {
  const version = (number: string) =>
    `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${number}" } });`;
  for (const number of ["16.20.2", "18.20.8", "20.18.3"])
    assert.match(await elsewhere(version(number), ""), "ERR_UNSUPPORTED_NODE unix-ancillary needs Node 20.19 or later");
  const without = `${version("21.7.3")} process.getBuiltinModule = undefined;`;
  assert.match(await elsewhere(without, ""), "this is Node 21.7.3");
  for (const number of ["20.19.0", "22.3.0", "26.1.0"])
    assert.is(await elsewhere(version(number), 'console.log("imported")'), "imported\n");
});

test("the start: of Node's modules the import and the first message load os alone, beside what every ES module loads", async () => {
  const loads = async (program: string): Promise<string[]> => {
    const list = "process.moduleLoadList.filter((name) => name.startsWith('NativeModule '))";
    writeFileSync(join(installed, "loads.mjs"), `${program}\nconsole.log(JSON.stringify(${list}));`);
    const { code, stdout, stderr } = await run("node", ["loads.mjs"], { cwd: installed, env: bare() });
    assert.is(code, 0, stderr);
    return JSON.parse(stdout) as string[];
  };
  const empty = new Set(await loads("export {};"));
  const ours = await loads(`
    const { UnixStream } = await import("unix-ancillary");
    const [left, right] = UnixStream.pair();
    left.sendFdsSync("x", [0]);
    right.recvFdsSync(1);
  `);
  const more = ours.map((name) => name.replace("NativeModule ", "")).filter((name) => !name.startsWith("internal/"));
  assert.equal(
    more.filter((name) => !empty.has(`NativeModule ${name}`)),
    ["os"],
  );
});

test("the virtual kernel: the programs of the README and of docs/testing.md run, with no addon", async () => {
  const program = (page: string): string =>
    /# Testing your own protocol[\s\S]*?```js\n([\s\S]*?)```/.exec(readFileSync(page, "utf8"))?.[1] ?? "";
  const env = { ...bare(), UNIX_ANCILLARY_ADDON: "/nowhere" };
  writeFileSync(join(installed, "readme.mjs"), program("README.md"));
  const readme = await run("node", ["readme.mjs"], { cwd: installed, env });
  assert.is(readme.code, 0, readme.stderr);
  const page = program("docs/testing.md");
  writeFileSync(join(installed, "testing.mjs"), page);
  const { code, stdout, stderr } = await run("node", ["testing.mjs"], { cwd: installed, env });
  assert.is(code, 0, stderr);
  const [, schedules] = /^(\d+) schedules, nothing found$/m.exec(stdout) ?? [];
  assert.ok(Number(schedules) > 100, stdout);
  // The same program with a leak after an error, which must be found.
  const leaky = page.replace("open.push(file);", "");
  assert.is.not(leaky, page);
  writeFileSync(join(installed, "leaky.mjs"), leaky);
  const found = await run("node", ["leaky.mjs"], { cwd: installed, env });
  assert.is(found.code, 1);
  assert.match(found.stderr, /leaked descriptor \d+: the file/);
});

test("UNIX_ANCILLARY_ADDON comes first: a wrong one is an error, and is not passed over", async () => {
  const script = `
    process.chdir("/");
    const { UnixStream } = require(${JSON.stringify(join(installed, "node_modules", "unix-ancillary"))});
    // Read at the first use: a program may set it after it has loaded the library.
    process.env.UNIX_ANCILLARY_ADDON = process.argv[1];
    try { for (const socket of UnixStream.pair()) socket.close(); console.log("works"); }
    catch (error) { console.log(error.code, error.message); }
  `;
  const use = async (path: string) => (await run("node", ["-e", script, path], { env: bare() })).stdout;
  const wrong = await use("none.node");
  assert.match(wrong, /^ERR_ADDON_NOT_FOUND .*UNIX_ANCILLARY_ADDON names, \/none\.node: /);
  const right = resolve("prebuilds", `${process.platform}-${process.arch}`, "unix-ancillary.node");
  assert.is(await use(right), "works\n");
  // Relative to the current folder, and not a name that dlopen(3) looks for elsewhere.
  assert.is(await use(right.slice(1)), "works\n");
  assert.is(await use(""), "works\n");
});

test("two copies in one process, each with its addon: one of them owns a descriptor", async () => {
  const copies = ["one", "two"].map((name) => {
    cpSync(join(installed, "node_modules", "unix-ancillary"), join(folder, name), { recursive: true });
    return JSON.stringify(join(folder, name));
  });
  const script = `
    const [{ OwnedFd: One }, { OwnedFd: Two }] = [require(${copies[0]}), require(${copies[1]})];
    const owned = (act) => { try { act(); return "twice"; } catch (error) { return error.code; } };
    const fd = require("node:fs").openSync("/dev/null", "r");
    const first = One.fromRaw(fd);
    console.log(owned(() => Two.fromRaw(fd)));
    first.release();
    const second = Two.fromRaw(fd);
    console.log(owned(() => One.fromRaw(fd)));
    second.close();
    console.log(owned(() => One.fromRaw(fd)));
  `;
  const { code, stdout, stderr } = await run("node", ["-e", script], { env: bare() });
  assert.is(code, 0, stderr);
  assert.is(stdout, "ERR_FD_OWNED\nERR_FD_OWNED\nEBADF\n");
});

test("short names: public functions, classes and methods keep theirs, so that a stack says where an error came from", async () => {
  const entries = [
    "unix-ancillary",
    ...["core", "testing", "stream", "usocket", "handoff"].map((name) => `unix-ancillary/${name}`),
  ];
  const script = `
    for (const entry of ${JSON.stringify(entries)})
      for (const [name, value] of Object.entries(require(entry)))
        if (typeof value === "function" && value.name !== name) console.log(entry, name, value.name);
    const { memfd, UnixStream } = require("unix-ancillary");
    const [socket] = UnixStream.pair();
    for (const wrong of [() => memfd(3), () => socket.sendFdsSync(3, [])]) try { wrong(); } catch (error) { console.log(error.stack); }
  `;
  const { code, stdout, stderr } = await run("node", ["-e", script], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.match(
    stdout,
    /^TypeError: "name" [\s\S]* at (\w+\.)?memfd \([\s\S]*^TypeError: "data" [\s\S]* at UnixStream\.sendFdsSync \(/m,
  );
  assert.match(stdout, /^TypeError/);
});

test("the codec alone needs no addon", async () => {
  const script = `
    process.env.UNIX_ANCILLARY_ADDON = "/nowhere";
    const { abis } = require("unix-ancillary/core");
    console.log(Object.keys(abis).length);
    require.resolve("unix-ancillary/core.wasm");
  `;
  const { code, stdout, stderr } = await run("node", ["-e", script], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.ok(Number(stdout) >= 43);
});

test("a global installation has the command and its manual page", async () => {
  const prefix = join(folder, "global");
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  const args = ["install", "--global", "--prefix", prefix, "--ignore-scripts", "--offline", join(folder, tarball)];
  const added = await run("npm", args);
  assert.is(added.code, 0, added.stderr);
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.is((await run(join(prefix, "bin", "unix-ancillary"), ["--version"])).stdout, `${version}\n`);
  const page = readFileSync(join(prefix, "share", "man", "man1", "unix-ancillary.1"), "utf8");
  assert.match(page, `"unix-ancillary ${version}"`);
  for (const name of ["core.h", "abis.json"])
    assert.ok(existsSync(join(prefix, "lib", "node_modules", "unix-ancillary", "dist", "core", name)));
});

test("the audit runs from the tarball alone, with the compiler, and notices that another module runs, and nothing else", async () => {
  const audited = join(installed, "node_modules", "unix-ancillary");
  // npx would fetch it.
  mkdirSync(join(audited, "node_modules"));
  symlinkSync(resolve("node_modules", "assemblyscript"), join(audited, "node_modules", "assemblyscript"));
  const file = join(audited, "dist", "core", "internal.js");
  const text = readFileSync(file, "utf8");
  // A valid module in base64: an empty one.
  writeFileSync(file, text.replace(/AGFzbQEAAAA[\w+/=]*/, "AGFzbQEAAAA="));
  try {
    const script = join(audited, "scripts", "audit-core.mjs");
    const { code, stdout, stderr } = await run("node", [script], { cwd: folder, timeout: 100_000 });
    assert.is(code, 1, stdout + stderr);
    assert.match(stdout, /^ok {4}built from the sources in a clean folder/m);
    const failed = [...stdout.matchAll(/^FAIL {2}([^:]*)/gm)].map(([, what]) => what);
    assert.equal(failed, ["embedded", "run"], stdout);
  } finally {
    writeFileSync(file, text);
  }
});

test("without an addon the error is a help page", async () => {
  const script = `
    require("node:fs").renameSync("node_modules/unix-ancillary/prebuilds", "prebuilds");
    try { require("unix-ancillary").UnixStream.pair(); } catch (error) { console.log(error.code, error.message); }
    require("node:fs").renameSync("prebuilds", "node_modules/unix-ancillary/prebuilds");
  `;
  const { code, stdout, stderr } = await run("node", ["-e", script], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.match(stdout, "ERR_ADDON_NOT_FOUND");
  assert.match(stdout, `${process.platform}-${process.arch}`);
  assert.match(stdout, "node-gyp rebuild -C ");
  const sources = readdirSync(/ -C (.*)$/m.exec(stdout)![1]!);
  for (const name of ["binding.gyp", "addon.cc", "plain.h"]) assert.ok(sources.includes(name), sources.join(" "));
});

/** The commands in the README's "From the shell", with a socket and files of this test: first the setup, then pairs of commands. */
function shellCommands(): { before: string; pairs: [string, string][] } {
  const section = /## From the shell\n([\s\S]*?)\n## /.exec(readFileSync("README.md", "utf8"))![1]!;
  const [before, ...commands] = [...section.matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap(([, block]) => block!.trim().split("\n"))
    .map((line) => line.replaceAll("/tmp/demo", `${folder}/demo`));
  return {
    before: before!,
    pairs: Array.from({ length: commands.length / 2 }, (_, i) => [commands[2 * i]!, commands[2 * i + 1]!]),
  };
}

test("the README's commands for the shell: recv in one terminal, send in the other", async () => {
  const { before, pairs } = shellCommands();
  assert.is(pairs.length, 3);
  const outputs: string[] = [];
  for (const [recv, send] of pairs) {
    const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
    const receiver = spawn("sh", ["-c", `${before}; exec ${recv}`], {
      cwd: installed,
      stdio,
      timeout: 30_000 * SLOWNESS,
    });
    let output = "";
    receiver.stdout.on("data", (bytes) => (output += bytes));
    const ended = new Promise((resolve) => receiver.on("close", resolve));
    // recv reports on stderr that it listens.
    await new Promise((resolve) => receiver.stderr.once("data", resolve));
    const sent = await run("sh", ["-c", `${before}; ${send}`], { cwd: installed });
    if (sent.code !== 0) receiver.kill("SIGKILL");
    assert.is(sent.code, 0, sent.stderr);
    assert.is(await ended, 0);
    outputs.push(output);
  }
  assert.is(Number(outputs[0]), readFileSync("/etc/passwd", "utf8").split("\n").length - 1);
  assert.match(outputs[1]!, "[0] file, read");
  assert.match(outputs[1]!, 'data "a file and a folder"');
  assert.is(readFileSync(join(folder, "demo.log"), "utf8"), "1 named log\n");
});

test("npx does not pass descriptors of the shell on, and the hint says so", async () => {
  const send = `npx --offline unix-ancillary send ${folder}/none fd:5 5</dev/null`;
  const { code, stderr } = await run("sh", ["-c", send], { cwd: installed });
  assert.is(code, 1);
  assert.match(stderr, "npx passes on only 0, 1 and 2");
});

test("the command without an addon: it decodes, and doctor reports what is missing", async () => {
  const addons = join(installed, "node_modules/unix-ancillary/prebuilds");
  renameSync(addons, join(folder, "prebuilds"));
  try {
    const bin = join(installed, "node_modules/.bin/unix-ancillary");
    const doctor = await run(bin, ["doctor"]);
    assert.is(doctor.code, 1);
    assert.match(doctor.stdout, /^FAIL {2}addon +.*found no addon/m);
    const decoded = await run("sh", [
      "-c",
      `echo 14000000000000000100000001000000 07000000 | ${bin} decode --abi linux-x86_64-glibc --hex`,
    ]);
    assert.is(decoded.code, 0, decoded.stderr);
    assert.match(decoded.stdout, "rights: 7");
  } finally {
    renameSync(join(folder, "prebuilds"), addons);
  }
});

test.run();
