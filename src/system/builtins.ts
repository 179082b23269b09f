/**
 * Node's own modules, for the library.
 *
 * `process.getBuiltinModule` takes 0.2 ms at the start of a program; `import` of six modules takes 2.1 ms, because Node makes an ES
 * module with all exports of each. `node:net` and `node:child_process`, which take 1.6 ms more, are loaded when they are first
 * needed (Node 20.20, 2026-11).
 */

/** The first statement of the library that runs. Node 16.11 and later reach it; an older Node stops at the first line of the file. */
if (isTooOld(process)) {
  const text = `unix-ancillary needs Node 20.19 or later, and of 22 at least 22.3; this is Node ${process.versions.node}`;
  throw Object.assign(new Error(text), { code: "ERR_UNSUPPORTED_NODE" });
}

function isTooOld({ versions, getBuiltinModule }: Partial<NodeJS.Process>): boolean {
  const [major, minor] = versions!.node.split(".").map(Number) as [number, number];
  return major < 20 || (major === 20 && minor < 19) || getBuiltinModule === undefined;
}

export const fs: typeof import("node:fs") = process.getBuiltinModule("node:fs");
export const os: typeof import("node:os") = process.getBuiltinModule("node:os");
export const resolve: (...paths: string[]) => string = process.getBuiltinModule("node:path").posix.resolve;
export const url: typeof import("node:url") = process.getBuiltinModule("node:url");
export const util: typeof import("node:util") = process.getBuiltinModule("node:util");

const { setTimeout, clearTimeout, setImmediate, clearImmediate } = process.getBuiltinModule("node:timers");

/**
 * Read once at the start, as in node:net: a test that installs fake timers later does not stop a socket. By name: a copy of all of
 * node:timers loads node:timers/promises.
 */
export const timers: Readonly<
  Pick<typeof import("node:timers"), "setTimeout" | "clearTimeout" | "setImmediate" | "clearImmediate">
> = { setTimeout, clearTimeout, setImmediate, clearImmediate };

const { hrtime } = process;

/** Milliseconds of the monotonic clock of `performance.now()`. Read once at the start, like {@link timers}. */
export function now(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** Read once at the start: these functions run between a check and a system call. */
export const min: (a: number, b: number) => number = Math.min;
export const max: (a: number, b: number) => number = Math.max;

/** The kernel's release, as uname(2) says it. Read once at the start. */
export const release: () => string = os.release;

export function net(): typeof import("node:net") {
  return process.getBuiltinModule("node:net");
}

export function childProcess(): typeof import("node:child_process") {
  return process.getBuiltinModule("node:child_process");
}

/** Binds a function to the current asynchronous context: it sees the AsyncLocalStorage stores of the caller. */
export function inContextOfNow(run: () => void): () => void {
  return process.getBuiltinModule("node:async_hooks").AsyncResource.bind(run);
}

export function isMainThread(): boolean {
  return process.getBuiltinModule("node:worker_threads").isMainThread;
}

/** Bun and Deno have modules by the names of Node's. Their handles are not libuv's, and some functions differ. */
export const onBun: boolean = "Bun" in globalThis;
export const onDeno: boolean = "Deno" in globalThis;

let mark: ((memory: object) => void) | null | undefined;

/** Prevents the transfer of a buffer; null where the host cannot do that. Node marks its own pool in the same way. */
export function markAsUntransferable(): ((memory: object) => void) | null {
  if (mark === undefined) {
    mark = (!onBun && !onDeno ? process.getBuiltinModule("node:worker_threads").markAsUntransferable : null) ?? null;
  }
  return mark;
}

/**
 * Node's own class, which prints itself, even if the global is another one when the library is loaded (the jsdom environments of jest
 * and vitest, a polyfill). On other hosts it is the global. `transferableAbortController` takes 0.3 ms.
 */
const Controller: typeof AbortController = (() => {
  const { AbortController: given } = globalThis as Partial<typeof globalThis>;
  const { transferableAbortController: makeNodes, inspect } = util as Partial<typeof util>;
  const isNodes = given !== undefined && inspect !== undefined && inspect.custom in given.prototype;
  return isNodes || makeNodes === undefined ? given! : (makeNodes().constructor as typeof AbortController);
})();

export function newAbortController(): AbortController {
  return new Controller();
}

const signalPrototype: object = Object.getPrototypeOf(newAbortController().signal);
const { addEventListener, removeEventListener } = signalPrototype as EventTarget;
const call = Function.prototype.call;
const getter = (name: string): ((this: unknown) => never) =>
  Object.getOwnPropertyDescriptor(signalPrototype, name)!.get as (this: unknown) => never;

const aborted: (signal: AbortSignal) => boolean = call.bind(getter("aborted"));
const reason: (signal: AbortSignal) => unknown = call.bind(getter("reason"));
const listen: (signal: AbortSignal, type: "abort", listener: () => void, options: { once: true }) => void = call.bind(
  addEventListener as (this: unknown, ...parameters: never[]) => void,
);
const unlisten: (signal: AbortSignal, type: "abort", listener: () => void) => void = call.bind(
  removeEventListener as (this: unknown, ...parameters: never[]) => void,
);
const precedes: (prototype: object, value: unknown) => boolean = call.bind(Object.prototype.isPrototypeOf);

/** Signals that are not Node's, with their reasons. A reason is stored, so that all operations of a signal get the same one. */
const foreign = new WeakMap<AbortSignal, { reason?: unknown; unlisten?: () => void }>();
let anyForeign = false;
const isForeign = (signal: AbortSignal): boolean => anyForeign && foreign.has(signal);

/**
 * Whether a value is an AbortSignal: Node's own, or an object with the members of one, from another realm, jsdom or a polyfill. The
 * members of the latter are code of the caller's.
 */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (precedes(signalPrototype, value) && isGenuine(value as AbortSignal)) return true;
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

/** False for a Proxy of a signal, or an object that inherits from one, on Bun: its getters refuse it. */
function isGenuine(signal: AbortSignal): boolean {
  if (!onBun) return true;
  try {
    aborted(signal);
    return true;
  } catch {
    return false;
  }
}

/** The reason of a foreign signal. Older polyfills have no reason; then it is the error that Node uses. */
function foreignReason(signal: AbortSignal): unknown {
  const known = foreign.get(signal)!;
  if ("reason" in known) return known.reason;
  try {
    known.reason = signal.reason ?? new DOMException("This operation was aborted", "AbortError");
  } catch (error) {
    // If this threw, the other operations of the signal would not be cancelled.
    known.reason = error;
  }
  return known.reason;
}

/**
 * `signal.aborted`, `signal.reason` and the listeners of an AbortSignal that {@link isAbortSignal} has accepted. For Node's signals,
 * own properties of the object are ignored.
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
    if (!isForeign(signal)) return listen(signal, type, listener, options);
    signal.addEventListener(type, listener, options);
    // In the asynchronous context of the caller: it is called when a socket is ready, outside of any.
    foreign.get(signal)!.unlisten = inContextOfNow(() => signal.removeEventListener(type, listener));
  },
  unlisten(signal, type, listener) {
    if (isForeign(signal)) foreign.get(signal)!.unlisten?.();
    else unlisten(signal, type, listener);
  },
};
