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

/** Taken once, as node:net takes them: a test that puts fake timers in their place later does not stop a socket. */
export const timers: Readonly<
  Pick<typeof import("node:timers"), "setTimeout" | "clearTimeout" | "setImmediate" | "clearImmediate">
> = { ...process.getBuiltinModule("node:timers") };

const { hrtime } = process;

/** Milliseconds of a monotonic clock, that of `performance.now()`. Taken once, like {@link timers}. */
export function now(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** True for arrays of any realm, and false for a Proxy of one: the kernel gets the memory. */
export const isUint8Array: (value: unknown) => value is Uint8Array = util.types.isUint8Array;

/** Taken once: what a caller puts in their place, or into a subclass, does not run. */
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
const getter = (prototype: object, name: string): ((this: unknown) => never) =>
  Object.getOwnPropertyDescriptor(prototype, name)!.get as (this: unknown) => never;

/** `byteLength` of a Uint8Array; 0 when its memory is gone. No code of the caller's runs. */
export const byteLengthOf: (view: Uint8Array) => number = Function.prototype.call.bind(
  getter(typedArray, "byteLength"),
);
const bufferOf: (view: Uint8Array) => ArrayBuffer = Function.prototype.call.bind(getter(typedArray, "buffer"));
const byteOffsetOf: (view: Uint8Array) => number = Function.prototype.call.bind(getter(typedArray, "byteOffset"));

/** A Uint8Array of the same memory, without what the caller's has of its own. No code of the caller's runs. */
export function plainView(view: Uint8Array): Uint8Array {
  const bytes = byteLengthOf(view);
  return bytes === 0 ? new Uint8Array(0) : new Uint8Array(bufferOf(view), byteOffsetOf(view), bytes);
}

/** `into.set(bytes, offset)`. No code of the caller's runs. */
export const setBytes: (into: Uint8Array, bytes: Uint8Array, offset?: number) => void = Function.prototype.call.bind(
  typedArray.set,
);

/** `view.subarray(from, to)`, a Uint8Array even of a Buffer. No code of the caller's runs. */
export function partOf(view: Uint8Array, from: number, to: number): Uint8Array {
  const bytes = byteLengthOf(view);
  const end = min(to, bytes);
  return from < end ? new Uint8Array(bufferOf(view), byteOffsetOf(view) + from, end - from) : new Uint8Array(0);
}

/** Taken once: they stand between a check and a system call. */
export const min: (a: number, b: number) => number = Math.min;
export const max: (a: number, b: number) => number = Math.max;

export function net(): typeof import("node:net") {
  return process.getBuiltinModule("node:net");
}

export function childProcess(): typeof import("node:child_process") {
  return process.getBuiltinModule("node:child_process");
}

/** A function that runs in the asynchronous context of now: with the stores of AsyncLocalStorage that the caller has. */
export function inContextOfNow(run: () => void): () => void {
  return process.getBuiltinModule("node:async_hooks").AsyncResource.bind(run);
}

export function isMainThread(): boolean {
  return process.getBuiltinModule("node:worker_threads").isMainThread;
}

let mark: ((memory: object) => void) | null | undefined;

/** Makes it an error, or without effect, to transfer a buffer; null where the host cannot. Node marks its own pool so. */
export function markAsUntransferable(): ((memory: object) => void) | null {
  if (mark === undefined) {
    const node = !("Bun" in globalThis || "Deno" in globalThis);
    mark = (node ? process.getBuiltinModule("node:worker_threads").markAsUntransferable : null) ?? null;
  }
  return mark;
}

const { addEventListener, removeEventListener } = EventTarget.prototype;
const call = Function.prototype.call;

/** `signal.aborted`, `signal.reason` and the listeners of an AbortSignal. What it has of its own does not run. */
export const signals: {
  readonly aborted: (signal: AbortSignal) => boolean;
  readonly reason: (signal: AbortSignal) => unknown;
  readonly listen: (signal: AbortSignal, type: "abort", listener: () => void, options: { once: true }) => void;
  readonly unlisten: (signal: AbortSignal, type: "abort", listener: () => void) => void;
} = {
  aborted: call.bind(getter(AbortSignal.prototype, "aborted")),
  reason: call.bind(getter(AbortSignal.prototype, "reason")),
  listen: call.bind(addEventListener as (this: unknown, ...parameters: never[]) => void),
  unlisten: call.bind(removeEventListener as (this: unknown, ...parameters: never[]) => void),
};
