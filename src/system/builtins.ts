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

/** Taken once: what a program puts in their place later (jsdom, a polyfill) does not count. */
const NodeAbortSignal = AbortSignal;
const { addEventListener, removeEventListener } = EventTarget.prototype;
const call = Function.prototype.call;
const getter = (name: string): ((this: unknown) => never) =>
  Object.getOwnPropertyDescriptor(NodeAbortSignal.prototype, name)!.get as (this: unknown) => never;

const aborted: (signal: AbortSignal) => boolean = call.bind(getter("aborted"));
const reason: (signal: AbortSignal) => unknown = call.bind(getter("reason"));
const listen: (signal: AbortSignal, type: "abort", listener: () => void, options: { once: true }) => void = call.bind(
  addEventListener as (this: unknown, ...parameters: never[]) => void,
);
const unlisten: (signal: AbortSignal, type: "abort", listener: () => void) => void = call.bind(
  removeEventListener as (this: unknown, ...parameters: never[]) => void,
);

/** Signals that are not Node's, and the reason of those that have none: a signal is aborted with one reason. */
const foreign = new WeakMap<AbortSignal, { reason?: unknown }>();
let anyForeign = false;
const isForeign = (signal: AbortSignal): boolean => anyForeign && foreign.has(signal);

/**
 * Whether a value is an AbortSignal: Node's, or by its members one of another realm, of jsdom or of a polyfill. Of the latter the
 * code is the caller's.
 */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (value instanceof NodeAbortSignal) return true;
  if (typeof value !== "object" || value === null) return false;
  const signal = value as AbortSignal;
  if (
    typeof signal.aborted !== "boolean" ||
    typeof signal.addEventListener !== "function" ||
    typeof signal.removeEventListener !== "function"
  )
    return false;
  if (!foreign.has(signal)) foreign.set(signal, {});
  anyForeign = true;
  return true;
}

/** The reason of a foreign signal. Older polyfills have none: then it is the one that Node gives. */
function foreignReason(signal: AbortSignal): unknown {
  const known = foreign.get(signal)!;
  if ("reason" in known) return known.reason;
  try {
    known.reason = signal.reason ?? new DOMException("This operation was aborted", "AbortError");
  } catch (error) {
    // Thrown on, it would keep the operations behind this one from being cancelled.
    known.reason = error;
  }
  return known.reason;
}

/**
 * `signal.aborted`, `signal.reason` and the listeners of an AbortSignal that {@link isAbortSignal} has seen. What a signal of
 * Node's has of its own does not run.
 */
export const signals: {
  readonly aborted: (signal: AbortSignal) => boolean;
  readonly reason: (signal: AbortSignal) => unknown;
  readonly listen: (signal: AbortSignal, type: "abort", listener: () => void, options: { once: true }) => void;
  readonly unlisten: (signal: AbortSignal, type: "abort", listener: () => void) => void;
} = {
  aborted: (signal) => (isForeign(signal) ? signal.aborted : aborted(signal)),
  reason: (signal) => (isForeign(signal) ? foreignReason(signal) : reason(signal)),
  listen(signal, type, listener, options) {
    if (isForeign(signal)) signal.addEventListener(type, listener, options);
    else listen(signal, type, listener, options);
  },
  unlisten(signal, type, listener) {
    if (isForeign(signal)) signal.removeEventListener(type, listener);
    else unlisten(signal, type, listener);
  },
};
