/** Options of sockets, by the names of the ABI table or by number. */

import type { Abi } from "../core/abis/table.ts";
import { byteLengthOf, isUint8Array } from "../core/bytes.ts";
import { integer, outOfRange, wrongType } from "../core/errors.ts";
import { ENOPROTOOPT, ENOTSUP, errnoError, needs, type SystemError } from "./errno.ts";
import type { Platform } from "./platform.ts";
import { INT_BYTES, intOf } from "./socket-type.ts";

/** The levels of {@link OptionName}, as the C headers name them. */
export type OptionLevel = "SOL_SOCKET" | "SOL_LOCAL";
/** The socket options of the ABI table, as the C headers name them: SO_ at level SOL_SOCKET, LOCAL_ at level SOL_LOCAL. */
export type OptionName = Extract<keyof Abi, `SO_${string}` | `LOCAL_${string}`>;

/** The most bytes of a value. */
const MOST_BYTES = 1 << 20;

/** Options at SOL_SOCKET whose value `getsockopt` cannot safely write to the caller's bytes, and why. */
const NOT_READ: readonly (readonly [OptionName, string])[] = [
  ["SO_PEERPIDFD", "its value is a new descriptor, which peerPidfd() owns"],
  ["SO_GET_FILTER", "its length counts instructions, and the kernel writes 8 bytes for each"],
];

/** Options at SOL_SOCKET on which the library relies, and what to call in place of `setOption`. */
const NOT_SET: readonly (readonly [OptionName, string])[] = [
  ["SO_PASSCRED", "call setPassCredentials()"],
  ["SO_PASSPIDFD", "call setPassPidfd()"],
  ["SO_PASSSEC", "call setPassSecurity()"],
  ["SO_PASSRIGHTS", "call setPassRights()"],
  ["SO_NOSIGPIPE", "the library sets it, so that a send to a closed peer is EPIPE"],
  ["SO_PEEK_OFF", "the library peeks, to tell an empty record from the end"],
];

interface Option {
  readonly level: number;
  readonly number: number;
  /** For messages. */
  readonly text: string;
}

/** @throws TypeError, RangeError for a level or a name that is neither known nor a number; SystemError `ENOTSUP` */
function optionOf({ abi }: Platform, syscall: string, level: unknown, name: unknown): Option {
  const level_ = numberOf(abi, syscall, "level", level, /^SOL_/);
  const number = numberOf(abi, syscall, "name", name, /^(SO|LOCAL)_/);
  if (typeof name !== "string") return { level: level_, number, text: `option ${number} of level ${level_}` };
  const of = name.startsWith("SO_") ? "SOL_SOCKET" : "SOL_LOCAL";
  if (level_ !== abi[of]) throw outOfRange("level", `${of} for ${name}`, level, "ERR_INVALID_ARG_VALUE");
  return { level: level_, number, text: name };
}

/** The number of a constant of the ABI table. */
function numberOf(abi: Abi, syscall: string, argument: string, given: unknown, names: RegExp): number {
  if (typeof given === "number") return integer(argument, given, -0x80000000, 0x7fffffff);
  if (typeof given !== "string") throw wrongType(argument, "a name or a number", given);
  const known = Object.keys(abi).filter((name) => names.test(name));
  if (argument === "level" && /^(SO|LOCAL)_/.test(given))
    throw outOfRange(
      argument,
      `the level of the option before its name, such as "SOL_SOCKET"`,
      given,
      "ERR_INVALID_ARG_VALUE",
    );
  if (!known.includes(given))
    throw outOfRange(argument, `a number or one of ${known.sort().join(", ")}`, given, "ERR_INVALID_ARG_VALUE");
  const number = abi[given as OptionName | OptionLevel];
  if (number === null) throw errnoError(ENOTSUP, syscall, `this system has no ${given}`);
  return number;
}

function refuse({ abi }: Platform, { level, number }: Option, refused: typeof NOT_READ, given: unknown): void {
  if (level !== abi.SOL_SOCKET) return;
  for (const [name, why] of refused)
    if (number === abi[name]) throw outOfRange("name", `no ${name}: ${why}`, given, "ERR_INVALID_ARG_VALUE");
}

/** `getsockopt(2)`: an int, or at most so many bytes. */
export function getOption(
  platform: Platform,
  fd: number,
  level: unknown,
  name: unknown,
  bytes: unknown,
): number | Buffer {
  const option = optionOf(platform, "getsockopt", level, name);
  refuse(platform, option, NOT_READ, name);
  // The kernel cuts a value that is longer than the room for it: with room for an int alone, every value would be one.
  const size = bytes === undefined ? 2 * INT_BYTES : integer("bytes", bytes, 1, MOST_BYTES);
  const into = new Uint8Array(size);
  const length = platform.system.getsockopt(fd, option.level, option.number, into);
  if (length < 0) throw optionError(platform, length, "getsockopt", option.text);
  if (bytes !== undefined) return Buffer.from(into.buffer, 0, Math.min(length, size));
  if (length !== INT_BYTES) {
    const got = length < INT_BYTES ? `${length} bytes` : `more than ${INT_BYTES} bytes`;
    throw outOfRange("bytes", `a number of bytes: the value of ${option.text} is no int`, got);
  }
  return intOf(into.subarray(0, INT_BYTES));
}

/** `setsockopt(2)`: an int, or bytes. */
export function setOption(platform: Platform, fd: number, level: unknown, name: unknown, value: unknown): void {
  const option = optionOf(platform, "setsockopt", level, name);
  refuse(platform, option, NOT_SET, name);
  if (typeof value === "number") integer("value", value, -0x80000000, 0x7fffffff);
  else if (!isUint8Array(value)) throw wrongType("value", "an integer or a Uint8Array", value);
  else if (byteLengthOf(value) > MOST_BYTES)
    throw outOfRange("value", `at most ${MOST_BYTES} bytes`, `${byteLengthOf(value)} bytes`);
  const result = platform.system.setsockopt(fd, option.level, option.number, value);
  if (result < 0) throw optionError(platform, result, "setsockopt", option.text);
}

/** ENOPROTOOPT says which kernel has the option, where this one is too old. */
function optionError(platform: Platform, errno: number, syscall: string, text: string): SystemError {
  return errnoError(errno, syscall, errno === ENOPROTOOPT ? needs(platform, text) : text);
}
