/** The packed tarball in an empty project, without scripts, and without a compiler in the PATH. */

import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { run, temporaryFolder } from "./support.ts";

const test = suite("package");
const folder = temporaryFolder();
let installed = "";

/** The first code block of the README's quick start. */
const quickStart = /## Quick start[\s\S]*?```js\n([\s\S]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";

test.before(async () => {
  const packed = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder]);
  assert.is(packed.code, 0, packed.stderr);
  const tarball = resolve(folder, packed.stdout.trim().split("\n").at(-1)!);
  installed = join(folder, "project");
  mkdirSync(installed);
  writeFileSync(join(installed, "package.json"), "{}");
  const added = await run("npm", ["install", "--ignore-scripts", "--offline", tarball], { cwd: installed });
  assert.is(added.code, 0, added.stderr);
});

test("the tarball has one file of declarations for each entry point, and none of internals", () => {
  const dist = join(installed, "node_modules", "unix-ancillary", "dist");
  const declarations = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".d.ts"),
  );
  assert.equal(declarations.sort(), ["core/index.d.ts", "index.d.ts", "testing.d.ts"]);
});

/** What a consumer may write, and (`@ts-expect-error`) what is refused. */
const CONSUMER = `
import { type ConnectedSocket, type Endpoint, FdReader, type Platform, UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import { AncillaryError, Codec, type TruncationReason } from "unix-ancillary/core";
import { AncillaryError as Same, SocketAncillary } from "unix-ancillary";
import { VirtualKernel, VirtualProcess } from "unix-ancillary/testing";

const kernel = new VirtualKernel("darwin-arm64", { seed: 7 });
const process = kernel.process();
const platform: Platform = process.platform;
const [a, b]: [UnixStream, UnixStream] = UnixStream.pair({ platform });
const sockets: Endpoint[] = [a, b, UnixDatagram.unbound({ platform }), UnixListener.bind("/socket", { platform })];
const connected: ConnectedSocket = a;
const same: typeof AncillaryError = Same;
const reason: TruncationReason | undefined = new AncillaryError("ERR_FD_COUNT", "").reason;
export const name: string = new Codec(platform.abi).abi.name;
export async function use(): Promise<void> {
  await connected.sendFds("x", [process.open("a file")]);
  for await (const { fds, data, credentials } of b) console.log(fds[0]?.fd, data.toString(), credentials?.uid);
  for (const socket of sockets) socket.close();
  console.log(same, reason, new SocketAncillary(64, { platform }));
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

test("the README's quick start runs from CommonJS, with require", async () => {
  const asRequire = quickStart.replace(/import (.*) from (".*?");/g, "const $1 = require($2);");
  writeFileSync(join(installed, "quick-start.cjs"), `(async () => {\n${asRequire}\n})();`);
  const { code, stdout, stderr } = await run("node", ["quick-start.cjs"], { cwd: installed, env: bare() });
  assert.is(code, 0, stderr);
  assert.match(stdout, "hello");
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
  assert.match(stdout, "npm run build");
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
    const receiver = spawn("sh", ["-c", `${before}; exec ${recv}`], { cwd: installed, stdio, timeout: 30_000 });
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
