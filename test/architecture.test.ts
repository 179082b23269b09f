/** The walls and the floors, read out of the sources; and what is promised of the files that ship. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const test = suite("architecture");

function sources(folder: string, ending = ".ts"): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

/** What a file imports, types included: paths of the project as they are, other packages by name. */
function imports(file: string): string[] {
  const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^;]*?from\s+"([^"]+)"/g)].map(([, specifier]) => {
    const name = specifier!;
    return name.startsWith(".") ? normalize(join(dirname(file), name)) : name;
  });
}

/** The rooms of `src`, lowest first: each imports from lower ones only. Types may look up: they are gone when it runs. */
const FLOORS: readonly (readonly string[])[] = [
  ["core/core.wasm", "core/errors"],
  ["core/abis/abi"],
  ["core/abis/bsd"],
  [
    "core/abis/linux",
    "core/abis/darwin",
    "core/abis/freebsd",
    "core/abis/openbsd",
    "core/abis/netbsd",
    "core/abis/dragonfly",
    "core/abis/illumos",
  ],
  ["core/abis/table"],
  ["core/wasm"],
  ["core/payloads"],
  ["core/codec"],
  ["core/inspect"],
  ["core/index"],
  ["system/builtins"],
  [
    "socket/operation",
    "socket/queue",
    "socket/aborts",
    "socket/turns",
    "system/errno",
    "fd/leak",
    "message/iovec",
    "system/receive-buffer",
    "system/system",
    "system/target",
  ],
  ["system/address"],
  ["system/native"],
  ["system/platform"],
  ["system/socket-type"],
  ["fd/describe"],
  ["fd/as-fd"],
  ["fd/owned-fd"],
  ["message/received", "message/credentials", "message/send"],
  ["message/receive", "socket/endpoint", "socket/send-all"],
  ["socket/fd-reader", "socket/connect"],
  ["socket/message-socket", "message/ancillary"],
  ["socket/sendmsg"],
  ["socket/connected"],
  ["socket/stream", "socket/seqpacket", "socket/datagram"],
  ["socket/listener", "systemd"],
  ["channel/errors"],
  ["channel/frame"],
  ["channel/channel"],
  ["channel/spawn"],
  ["index"],
  ["cli/failure"],
  ["cli/waiting", "cli/arguments"],
  ["cli/output"],
  ["cli/address", "cli/runner"],
  ["cli/sockets"],
  ["cli/send", "cli/receive", "cli/decode", "cli/doctor"],
  ["cli/main"],
  ["testing/random", "testing/files", "testing/errno"],
  ["testing/generators", "testing/systems", "testing/machine"],
  ["testing/constants", "testing/rules", "testing/system-call"],
  ["testing/descriptors", "testing/names", "testing/options"],
  ["testing/send", "testing/receive"],
  ["testing/connections", "testing/messages", "testing/readiness"],
  ["testing/virtual-system", "testing/scheduler"],
  ["testing/kernel"],
  ["testing/index"],
];

const floorOf = (file: string): number => {
  const room = file.replace(/^src\//, "").replace(/\.ts$/, "");
  return FLOORS.findIndex((rooms) => rooms.some((name) => name === room));
};

/** The imports that are there when the program runs. */
function runtimeImports(file: string): string[] {
  const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s+(?!type\b)([^;]*?)from\s+"(\.[^"]+)"/g)]
    .filter(([, names]) => !/^\{(\s*type [^,}]+,?)*\s*\}\s*$/.test(names!))
    .map(([, , specifier]) => normalize(join(dirname(file), specifier!)));
}

test("imports go down, never up and never in a circle", () => {
  for (const file of sources("src")) {
    const floor = floorOf(file);
    assert.is.not(floor, -1, `${file} has no floor: say in this test where it belongs`);
    for (const imported of runtimeImports(file)) {
      const other = floorOf(imported);
      // The public lists gather their own floor.
      const gathers = /\/(index|workerd)\.ts$/.test(file);
      assert.ok(other < floor || (gathers && other === floor), `${file} imports ${imported}, which is not below it`);
    }
  }
});

test("the core imports nothing of Node's", () => {
  for (const file of sources("src/core")) {
    for (const name of imports(file)) assert.ok(name.startsWith("src/core/"), `${file} imports ${name}`);
    const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    assert.not.match(code, /\b(Buffer|process)\./, file);
  }
});

test("one file a wall", () => {
  const code = (file: string) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  const saying = (pattern: RegExp) => sources("src").filter((file) => pattern.test(code(file)));
  assert.equal(saying(/\bnew WebAssembly\b/), ["src/core/wasm.ts"]);
  assert.equal(saying(/\.dlopen\(/), ["src/system/native.ts"]);
  assert.equal(saying(/getBuiltinModule/), ["src/system/builtins.ts"]);
  assert.equal(
    sources("native", ".cc").filter((file) => /CMSG_(?!CLO)/.test(readFileSync(file, "utf8"))),
    ["native/abi.cc"],
  );
});

test("the assembly imports only itself", () => {
  for (const file of sources("assembly")) {
    for (const name of imports(file)) assert.ok(name.startsWith("assembly/"), `${file} imports ${name}`);
  }
});

test("core.wasm: no imports, fixed memory, less than 4 KiB", () => {
  const bytes = readFileSync("dist/core/core.wasm");
  assert.ok(bytes.length < 4096, `${bytes.length} bytes`);
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: {
      Module: { new (bytes: Uint8Array): object; imports(module: object): unknown[] };
      Instance: new (module: object) => { exports: { memory: { buffer: ArrayBuffer; grow(pages: number): number } } };
    };
  };
  const module = new WebAssembly.Module(bytes);
  assert.equal(WebAssembly.Module.imports(module), []);
  const { memory } = new WebAssembly.Instance(module).exports;
  assert.is(memory.buffer.byteLength, 3 * 65536);
  assert.throws(() => memory.grow(1), "Maximum memory size exceeded");
});

test("the addon: less than 100 KiB", () => {
  const found = sources("prebuilds", ".node");
  assert.ok(found.length > 0);
  for (const file of found) assert.ok(statSync(file).size < 100 * 1024, `${file}: ${statSync(file).size} bytes`);
});

test("the package: no runtime dependencies, no install scripts, no binding.gyp where npm would find it", () => {
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  for (const field of ["dependencies", "optionalDependencies", "peerDependencies"])
    assert.is(manifest[field], undefined);
  for (const name of ["preinstall", "install", "postinstall", "prepare"]) assert.is(manifest.scripts[name], undefined);
  assert.not.ok(existsSync("binding.gyp"));
  assert.is(manifest.type, "module");
  for (const entry of Object.values(manifest.exports)) {
    if (typeof entry === "object") assert.is(Object.keys(entry as object)[0], "types");
  }
});

test.run();
