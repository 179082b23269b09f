/**
 * Node's own modules, for everything below `src/node` and `src/channel`.
 *
 * They are asked for and not imported: of six of them `import` makes 2.1 ms of a program's start, since Node makes a module of all
 * that each exports, and this 0.2 ms. `node:net` and `node:child_process`, 1.6 ms more, are loaded when they are first needed
 * (Node 20.20, 2026-11).
 */

export const fs: typeof import("node:fs") = process.getBuiltinModule("node:fs");
export const os: typeof import("node:os") = process.getBuiltinModule("node:os");
export const url: typeof import("node:url") = process.getBuiltinModule("node:url");
export const util: typeof import("node:util") = process.getBuiltinModule("node:util");

/** Of any realm, and no Proxy of one: the memory is handed to the kernel. */
export const isUint8Array: (value: unknown) => value is Uint8Array = util.types.isUint8Array;

export function net(): typeof import("node:net") {
  return process.getBuiltinModule("node:net");
}

export function childProcess(): typeof import("node:child_process") {
  return process.getBuiltinModule("node:child_process");
}

export function isMainThread(): boolean {
  return process.getBuiltinModule("node:worker_threads").isMainThread;
}
