/** All of the core, for the library: one file of `dist/`, which `unix-ancillary/core` and the library both are over. */

export * from "./abis.ts";
export * from "./codec.ts";
export * from "./errors.ts";
export * from "./inspect.ts";
export * from "./payloads.ts";
export * from "./wasm.ts";
