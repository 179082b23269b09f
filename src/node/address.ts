/** Names of Unix sockets: `sun_path` of `sockaddr_un`, without the family. */

import { outOfRange, wrongType } from "../core/errors.ts";
import { OUT, type System } from "./system.ts";

const encoder = new TextEncoder();

/**
 * The bytes of `sun_path` for a path. A leading NUL is Linux's abstract namespace, there every byte counts; elsewhere a
 * NUL would cut the path in silence and is refused, and so is one that is too long.
 */
export function sunPath(system: System, path: unknown): Uint8Array {
  if (typeof path !== "string") throw wrongType("path", "a string", path);
  if (path === "") throw outOfRange("path", "a path of at least 1 byte", path);
  const abstract = path.startsWith("\0");
  if (abstract && process.platform !== "linux")
    throw wrongType("path", "a path in the file system: only Linux has abstract names", path);
  if (!abstract && path.includes("\0")) throw outOfRange("path", "a path without NUL", path, "ERR_INVALID_ARG_VALUE");
  const bytes = encoder.encode(path);
  // Both kinds fill sun_path to the end at most; a path in the file system needs its closing NUL on some systems.
  const most = system.address.length - (abstract ? 0 : 1);
  if (bytes.length > most) throw outOfRange("path", `at most ${most} bytes`, `${bytes.length} bytes`);
  return bytes;
}

/** The name that the last call left; null: the socket has none. */
export function addressOf(system: System): string | null {
  const length = system.out[OUT.ADDRESS_LENGTH]!;
  if (length <= 0) return null;
  const bytes = system.address.subarray(0, length);
  // A path ends at its NUL, which is counted on some systems; an abstract name is all of its bytes.
  const end = bytes[0] === 0 ? -1 : bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString();
}
