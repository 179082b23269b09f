/** The raw exports of the module that ships, call by call, against a second implementation. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { suite } from "uvu";
import { CHECKS } from "./module-bounds.ts";
import type { CoreExports } from "./module-checks.ts";

const test = suite("module");
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Module: new (bytes: Uint8Array) => object;
    Instance: new (module: object) => { exports: unknown };
  };
};
const file = createRequire(import.meta.url).resolve("unix-ancillary/core.wasm");
const module = new WebAssembly.Module(readFileSync(file));
const make = (): CoreExports => new WebAssembly.Instance(module).exports as CoreExports;

for (const [name, check] of Object.entries(CHECKS)) test(name, () => check(make));

test.run();
