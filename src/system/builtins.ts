/**
 * Node's own modules, for the library.
 *
 * `process.getBuiltinModule` takes 0.2 ms of a program's start where `import` of six modules takes 2.1 ms, because Node makes an
 * ES module with all exports of each. `node:net` and `node:child_process`, 1.6 ms more, are loaded when they are first needed
 * (Node 20.20, 2026-11).
 */

export const fs: typeof import("node:fs") = process.getBuiltinModule("node:fs");
export const os: typeof import("node:os") = process.getBuiltinModule("node:os");
export const url: typeof import("node:url") = process.getBuiltinModule("node:url");
export const util: typeof import("node:util") = process.getBuiltinModule("node:util");

/** True for arrays of any realm, and false for a Proxy of one: the kernel gets the memory. */
export const isUint8Array: (value: unknown) => value is Uint8Array = util.types.isUint8Array;

/** Taken once: what a caller puts in their place, or into a subclass, does not run. */
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
const { get: byteLength } = Object.getOwnPropertyDescriptor(typedArray, "byteLength")!;

/** `byteLength` of a Uint8Array; 0 when its memory is gone. No code of the caller's runs. */
export const byteLengthOf: (view: Uint8Array) => number = Function.prototype.call.bind(byteLength!);

/** `into.set(bytes, offset)`. No code of the caller's runs. */
export const setBytes: (into: Uint8Array, bytes: Uint8Array, offset?: number) => void = Function.prototype.call.bind(
  typedArray.set,
);

export function net(): typeof import("node:net") {
  return process.getBuiltinModule("node:net");
}

export function childProcess(): typeof import("node:child_process") {
  return process.getBuiltinModule("node:child_process");
}

export function isMainThread(): boolean {
  return process.getBuiltinModule("node:worker_threads").isMainThread;
}
