/**
 * Errors without an errno, and the checks of arguments.
 *
 * As in Node, a wrong type is a `TypeError` and a wrong value a `RangeError`. Both have a `code`, and a message with what was
 * expected and what came. Every other error without an errno is an {@link AncillaryError}.
 */

/** The values of {@link AncillaryError.code}. */
export type AncillaryErrorCode =
  | "ERR_ANCILLARY_RECEIVED"
  | "ERR_ANCILLARY_TRUNCATED"
  | "ERR_BUFFER_TOO_SMALL"
  | "ERR_DATA_TRUNCATED"
  | "ERR_EMPTY_PAYLOAD"
  | "ERR_FD_CLOSED"
  | "ERR_FD_COUNT"
  | "ERR_FD_OWNED"
  | "ERR_FOREIGN_PLATFORM"
  | "ERR_MALFORMED_CONTROL"
  | "ERR_NOT_UNIX_SOCKET"
  | "ERR_SOCKET_BUSY"
  | "ERR_SOCKET_CLOSED"
  | "ERR_TOO_LONG"
  | "ERR_TOO_MANY_FDS"
  | "ERR_UNEXPECTED_EOF"
  | "ERR_WASM_UNAVAILABLE";

/** Why the kernel delivered less control data than it had. */
export type TruncationReason = "control-space" | "descriptor-limit" | "denied";

/** Gives the errors of a class their name: on the prototype, as for the language's errors, instead of on each instance. */
export function nameErrors(prototype: Error, name: string): void {
  Object.defineProperty(prototype, "name", { value: name, configurable: true, writable: true });
}

/** An error without an errno. {@link code} says which; the message has the details. */
export class AncillaryError extends Error {
  /** Which error. Codes are stable, messages are not. */
  readonly code: AncillaryErrorCode;
  /** The bytes that a failed receive took from the socket. Its descriptors are closed. */
  declare readonly data?: Uint8Array;
  /** Why, with `ERR_ANCILLARY_TRUNCATED`. */
  declare readonly reason?: TruncationReason;

  /** @param details what becomes {@link data} and {@link reason} */
  constructor(code: AncillaryErrorCode, message: string, details?: { data?: Uint8Array; reason?: TruncationReason }) {
    super(message);
    this.code = code;
    if (details !== undefined) Object.assign(this, details);
  }

  static {
    nameErrors(AncillaryError.prototype, "AncillaryError");
  }
}

/** `TypeError: "fds" expected an array, got 3 (number)`. `hint`: what to write instead. */
export function wrongType(name: string, expected: string, actual: unknown, hint?: string | null): TypeError {
  return Object.assign(new TypeError(`"${name}" expected ${expected}, got ${describe(actual)}${appended(hint)}`), {
    code: "ERR_INVALID_ARG_TYPE",
  });
}

const appended = (hint: string | null | undefined): string => (hint == null ? "" : `: ${hint}`);

/** Objects that own something, of every copy of this library in the process. */
const COPY = Symbol.for("unix-ancillary.copy");

/** Marks the objects of a class as this library's, which another copy of it can see. */
export function markAsOurs(prototype: object): void {
  Object.defineProperty(prototype, COPY, { value: true });
}

/** The first argument of the constructors that are not for callers. They would make objects that own nothing, and fail later. */
export const KEY: unique symbol = Symbol("unix-ancillary");

/**
 * A property of every owner. A structured clone, as by `postMessage`, would be an object without a descriptor; it fails at a symbol, with
 * this text. Node's `markAsUncloneable` takes 15 ns for each object (Node 24, 2026-11), and its module 2 ms to load.
 */
export const UNCLONEABLE: unique symbol = Symbol(
  "owner of a descriptor: post the number in its place, see docs/threads.md of unix-ancillary",
);

/** `"OwnedFd" has no public constructor: use OwnedFd.fromRaw, OwnedFd.from`. `instead`: what makes such objects; else static methods do. */
export function noConstructor(made: { readonly name: string }, instead?: string): TypeError {
  const methods = Object.getOwnPropertyNames(made).filter((name) => !["length", "name", "prototype"].includes(name));
  // A class of the caller's, derived from one of these.
  if (instead === undefined && methods.length === 0) return noConstructor(Object.getPrototypeOf(made));
  const ways = instead ?? methods.map((method) => `${made.name}.${method}`).join(", ");
  return Object.assign(new TypeError(`"${made.name}" has no public constructor: use ${ways}`), {
    code: "ERR_ILLEGAL_CONSTRUCTOR",
  });
}

/** {@link wrongType}; for an object of another copy of this library it says that there are two. */
export function wrongOwner(name: string, expected: string, actual: unknown, hint?: string | null): TypeError {
  if (typeof actual !== "object" || actual === null || !(COPY in actual))
    return wrongType(name, expected, actual, hint);
  const text = `"${name}" expected ${expected}, got ${describe(actual)} of another copy of unix-ancillary: this process has loaded two, see npm ls unix-ancillary`;
  return Object.assign(new TypeError(text), { code: "ERR_INVALID_ARG_TYPE" });
}

/** `RangeError: "fds" expected at most 253, got 300`. */
export function outOfRange(name: string, expected: string, actual: unknown, code = "ERR_OUT_OF_RANGE"): RangeError {
  return Object.assign(new RangeError(`"${name}" expected ${expected}, got ${describe(actual)}`), { code });
}

/** A value, as error messages show it. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
    case "number":
    case "bigint":
    case "boolean":
    case "undefined":
      return `${value} (${typeof value})`;
    case "object":
      return value === null ? "null" : `an instance of ${classOf(value)}`;
    default:
      return `a ${typeof value}`;
  }
}

function classOf(value: object): string {
  const made = value.constructor;
  return typeof made === "function" && typeof made.name === "string" ? made.name : "no class";
}

/** Read once at the start, as everything that checks arguments. */
const { isInteger } = Number;

/** Returns an integer from `least` to `most`. @throws TypeError, RangeError for anything else */
export function integer(name: string, value: unknown, least: number, most: number): number {
  if (isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
  throw notInteger(name, value, least, most);
}

/** A function of its own, so that V8 inlines {@link integer}. */
function notInteger(name: string, value: unknown, least: number, most: number): TypeError | RangeError {
  if (typeof value !== "number") return wrongType(name, "an integer", value);
  const expected = most === Infinity ? `an integer of at least ${least}` : `an integer from ${least} to ${most}`;
  return outOfRange(name, expected, value);
}

/** Returns a boolean. @throws TypeError for anything else */
export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw wrongType(name, "a boolean", value);
  return value;
}

/** The options of a call, and the check of each one's value. */
export type Checks = Readonly<Record<string, (name: string, value: unknown) => void>>;

/** Options as they were read. Nothing is inherited, not even from Object.prototype. */
class ReadOptions {
  [name: string]: unknown;

  static {
    Object.setPrototypeOf(ReadOptions.prototype, null);
  }
}

const NO_OPTIONS: object = Object.freeze(new ReadOptions());

/**
 * Reads the options of a call: each known option once, inherited or not, and checks its value. The caller's getters have run
 * then: the result is a copy. `undefined` counts as not given.
 *
 * @throws TypeError for what is not an object, and for an option that is not known, a misspelled one above all
 */
export function readOptions<T extends object>(name: string, value: T | undefined, known: Checks): T {
  return value === undefined ? (NO_OPTIONS as T) : read(name, value, known);
}

function read<T extends object>(name: string, value: T, known: Checks): T {
  if (typeof value !== "object" || value === null)
    throw wrongType(name, "an object", value, typeof value === "function" ? "no call takes a callback" : null);
  const keys = Object.keys(value);
  if (keys.length === 0) refuseSignal(name, value, known);
  for (const key of keys) {
    if (!Object.hasOwn(known, key)) {
      const text = `"${name}" expected any of ${Object.keys(known).join(", ")}; got "${key}"${appended(otherOption(key, known))}`;
      throw Object.assign(new TypeError(text), { code: "ERR_INVALID_ARG_VALUE" });
    }
  }
  const options = new ReadOptions();
  for (const key of Object.keys(known)) {
    const given = (value as Record<string, unknown>)[key];
    if (given === undefined) continue;
    known[key]!(`${name}.${key}`, given);
    options[key] = given;
  }
  return options as T;
}

/** An AbortSignal has no properties of its own: all options would count as not given, and the call would wait for ever. */
function refuseSignal(name: string, value: object, known: Checks): void {
  if ("aborted" in value && "addEventListener" in value)
    throw wrongType(name, "an object", value, "signal" in known ? "write { signal }" : otherOption("signal", known));
}

/** The option that does what an unknown one would do; null if there is none. */
function otherOption(key: string, known: Checks): string | null {
  if (key === "timeout" && "signal" in known)
    return "an asynchronous call takes signal: AbortSignal.timeout(milliseconds)";
  if (key === "signal" && "timeout" in known) return "a synchronous call takes timeout: milliseconds";
  return null;
}
