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
    // On the prototype, as for the language's errors, instead of on each instance.
    Object.defineProperty(AncillaryError.prototype, "name", {
      value: "AncillaryError",
      configurable: true,
      writable: true,
    });
  }
}

/** `TypeError: "fds" expected an array, got 3 (number)`. */
export function wrongType(name: string, expected: string, actual: unknown): TypeError {
  return Object.assign(new TypeError(`"${name}" expected ${expected}, got ${describe(actual)}`), {
    code: "ERR_INVALID_ARG_TYPE",
  });
}

/** Objects that own something, of every copy of this library in the process. */
const COPY = Symbol.for("unix-ancillary.copy");

/** Marks the objects of a class as this library's, which another copy of it can see. */
export function markAsOurs(prototype: object): void {
  Object.defineProperty(prototype, COPY, { value: true });
}

/** {@link wrongType}; for an object of another copy of this library it says that there are two. */
export function wrongOwner(name: string, expected: string, actual: unknown): TypeError {
  if (typeof actual !== "object" || actual === null || !(COPY in actual)) return wrongType(name, expected, actual);
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

/** Returns an integer from `least` to `most`. @throws TypeError, RangeError for anything else */
export function integer(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== "number") throw wrongType(name, "an integer", value);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw outOfRange(
      name,
      most === Infinity ? `an integer of at least ${least}` : `an integer from ${least} to ${most}`,
      value,
    );
  }
  return value;
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
  if (typeof value !== "object" || value === null) throw wrongType(name, "an object", value);
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(known, key)) {
      throw Object.assign(new TypeError(`"${name}" expected any of ${Object.keys(known).join(", ")}; got "${key}"`), {
        code: "ERR_INVALID_ARG_VALUE",
      });
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

/** Checks options that are read elsewhere. */
export function options(name: string, value: object | undefined, known: Checks): void {
  readOptions(name, value, known);
}
