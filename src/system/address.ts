/** Names of Unix sockets: `sun_path` of `sockaddr_un`, without the family. */

import { outOfRange, wrongType } from "../core/errors.ts";
import type { Platform } from "./platform.ts";
import { OUT, type System } from "./system.ts";

const encoder = new TextEncoder();

/** The longest beginning of a path through a descriptor of its folder. */
const THROUGH_FOLDER = "/proc/self/fd/2147483647/".length;

/**
 * The bytes of `sun_path` for a path. A leading NUL is Linux's abstract namespace, there every byte counts; elsewhere a
 * NUL would cut the path in silence and is refused, and so is one that is too long.
 *
 * Where the table has `longPathBytes`, a path may be longer than `sun_path`: the {@link System} resolves it through a descriptor of
 * its folder, `/proc/self/fd/N/name`. The name at its end must be short enough for that.
 */
export function sunPath({ abi }: Pick<Platform, "abi">, path: unknown): Uint8Array {
  if (typeof path !== "string") throw wrongType("path", "a string", path);
  if (path === "") throw outOfRange("path", "a path of at least 1 byte", path);
  const abstract = path.startsWith("\0");
  if (abstract && !abi.abstractNames)
    throw wrongType("path", `a path in the file system: ${abi.os} has no abstract names`, path);
  if (!abstract && path.includes("\0")) throw outOfRange("path", "a path without NUL", path, "ERR_INVALID_ARG_VALUE");
  const bytes = encoder.encode(path);
  const { length } = bytes;
  // Both kinds fill sun_path to the end at most; a path in the file system needs its closing NUL on some systems.
  const most = abi.sunPathBytes - (abstract ? 0 : 1);
  if (length <= most) return bytes;
  const { longPathBytes } = abi;
  if (abstract || longPathBytes === null) throw outOfRange("path", `at most ${most} bytes`, `${length} bytes`);
  if (length >= longPathBytes) throw outOfRange("path", `at most ${longPathBytes - 1} bytes`, `${length} bytes`);
  const name = length - 1 - bytes.lastIndexOf("/".charCodeAt(0));
  const mostOfName = most - THROUGH_FOLDER;
  if (name > mostOfName) {
    const expected = `at most ${most} bytes, or a name of at most ${mostOfName} bytes in a folder`;
    throw outOfRange("path", expected, `${length} bytes, the name ${name}`);
  }
  return bytes;
}

/** A path that stays the same when the process changes its folder. Not normalised: `..` behind a symbolic link is elsewhere. */
export function absolutePath(path: string): string {
  return path.startsWith("/") ? path : `${process.cwd()}/${path}`;
}

/**
 * {@link sunPath} of another socket's name, for calls that may be made again when the process is in another folder. A relative path
 * stays relative only where the absolute path is too long, or the folder is removed.
 */
export function peerPath(platform: Pick<Platform, "abi">, path: unknown): Uint8Array {
  const bytes = sunPath(platform, path);
  if (bytes[0] === 0 || bytes[0] === "/".charCodeAt(0)) return bytes;
  try {
    return sunPath(platform, absolutePath(path as string));
  } catch {
    return bytes;
  }
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
