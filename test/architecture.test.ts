/** The walls and the floors, read from the sources, and the promises about the files that ship. */

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

/** What a file imports, types included: files of the project by their paths, packages by name. */
function imports(file: string): string[] {
  const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^;]*?from\s+"([^"]+)"/g)].map(([, specifier]) => {
    const name = specifier!;
    return name.startsWith(".") ? normalize(join(dirname(file), name)) : name;
  });
}

/**
 * The rooms of `src`, lowest floor first; rooms of one floor do not know each other. A file imports from its own room and from
 * the floors below, types included. Inside a room, Biome (noImportCycles) refuses circles.
 */
const FLOORS: readonly (readonly string[])[] = [
  ["core"],
  ["system"],
  ["fd"],
  ["message"],
  ["socket"],
  ["systemd"],
  ["channel", "stream"],
  ["index", "usocket", "handoff"],
  ["cli", "testing"],
];

/** A folder of `src`, or a file of its own there: `src/fd/leak.ts` is in `fd`. */
const roomOf = (file: string): string => /^src\/(\w+)/.exec(file)?.[1] ?? file;
const floorOf = (room: string): number => FLOORS.findIndex((rooms) => rooms.includes(room));

test("a room imports only from the floors below it, types included", () => {
  const up: string[] = [];
  for (const file of sources("src")) {
    const room = roomOf(file);
    assert.is.not(floorOf(room), -1, `${file} has no floor: add its room to the list in this test`);
    for (const imported of imports(file)) {
      const other = roomOf(imported);
      if (!imported.startsWith("src/") || other === room || floorOf(other) < floorOf(room)) continue;
      up.push(`${file} imports ${imported}, which is not below it`);
    }
  }
  assert.equal(up, []);
});

test("the core imports nothing of Node", () => {
  for (const file of sources("src/core")) {
    for (const name of imports(file)) assert.ok(name.startsWith("src/core/"), `${file} imports ${name}`);
    const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    assert.not.match(code, /\b(Buffer|process)\./, file);
  }
});

test("the files of the command that the site runs in a browser use nothing of Node", () => {
  for (const file of ["input", "escapes", "parts", "failure"].map((name) => `src/cli/${name}.ts`)) {
    for (const name of imports(file))
      assert.ok(
        name.startsWith("src/core/") || /^src\/cli\/(input|escapes|failure)\.ts$/.test(name),
        `${file} imports ${name}`,
      );
    const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    assert.not.match(code, /\bBuffer\.|\bprocess\./, file);
  }
});

test("each wall is one file", () => {
  const code = (file: string) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  const matching = (pattern: RegExp) => sources("src").filter((file) => pattern.test(code(file)));
  assert.equal(matching(/\bnew WebAssembly\b/), ["src/core/wasm.ts"]);
  assert.equal(matching(/\.dlopen\(/), ["src/system/addon.ts"]);
  assert.equal(matching(/getBuiltinModule/), ["src/system/builtins.ts"]);
  assert.equal(
    sources("native", ".cc").filter((file) => /CMSG_(?!CLO)/.test(readFileSync(file, "utf8"))),
    ["native/abi.cc"],
  );
});

test("an entry point of its own costs nothing when it is not imported", () => {
  const reached = new Set(["dist/index.js"]);
  for (const file of reached) {
    for (const [, name] of readFileSync(file, "utf8").matchAll(/\bfrom ?"(\.[^"]+)"/g))
      reached.add(normalize(join(dirname(file), name!)));
  }
  assert.equal([...reached].sort(), ["dist/core/internal.js", "dist/index.js", "dist/internal.js"]);
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
  for (const field of ["dependencies", "optionalDependencies"]) assert.is(manifest[field], undefined);
  // The declarations need it, the programs do not.
  assert.equal(Object.keys(manifest.peerDependencies), ["@types/node"]);
  assert.equal(manifest.peerDependenciesMeta, { "@types/node": { optional: true } });
  for (const name of ["preinstall", "install", "postinstall", "prepare"]) assert.is(manifest.scripts[name], undefined);
  assert.not.ok(existsSync("binding.gyp"));
  assert.is(manifest.type, "module");
  const scripts = Object.entries(manifest.exports).filter(([name]) => /^\.(\/\w+)?$/.test(name));
  for (const [, entry] of scripts as [string, Record<string, Record<string, string>>][]) {
    // Bundlers take "module" before "require": a bundle has one instance.
    assert.equal(Object.keys(entry), ["import", "module", "require"]);
    for (const kind of ["import", "require"]) assert.is(Object.keys(entry[kind]!)[0], "types");
  }
});

test.run();
