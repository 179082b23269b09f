/** Names of Unix sockets: `sun_path` of `sockaddr_un`, without the family. */

import { outOfRange, wrongType } from "../core/errors.ts";
import { resolve } from "./builtins.ts";
import type { Platform } from "./platform.ts";
import { OUT, type System } from "./system.ts";

/** The length of the longest prefix that leads through a descriptor of the folder. */
const THROUGH_FOLDER = "/proc/self/fd/2147483647/".length;

/**
 * The bytes of `sun_path` for a path. A leading NUL means Linux's abstract namespace, where every byte counts. Any other NUL is
 * refused, because the kernel would end the path there without an error. A path that is too long is refused too.
 *
 * Where the table has `longPathBytes`, a path may be longer than `sun_path`: the {@link System} resolves it through a descriptor of
 * its folder, `/proc/self/fd/N/name`. The last component of the path must be short enough for that.
 */
export function sunPath({ abi }: Pick<Platform, "abi">, path: unknown): Uint8Array {
  if (typeof path !== "string") throw wrongType("path", "a string", path);
  if (path === "") throw outOfRange("path", "a path of at least 1 byte", path);
  const abstract = path.startsWith("\0");
  if (abstract && !abi.abstractNames)
    throw wrongType("path", `a path in the file system: ${abi.os} has no abstract names`, path);
  if (!abstract && path.includes("\0")) throw outOfRange("path", "a path without NUL", path, "ERR_INVALID_ARG_VALUE");
  const bytes = Buffer.from(path);
  const { length } = bytes;
  // An abstract name may fill sun_path. A path in the file system needs a terminating NUL on some systems.
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

/**
 * The absolute path, which a change of the working directory does not affect. Not normalised: `a/..` is another folder if `a` is a
 * symbolic link.
 */
export function absolutePath(path: string): string {
  return path.startsWith("/") ? path : `${process.cwd()}/${path}`;
}

/** The absolute path without `.`, `..` and double slashes; symbolic links are not followed. The path itself if there is no folder. */
export function resolvedPath(path: string): string {
  try {
    return resolve(path);
  } catch {
    // The working directory was removed.
    return path;
  }
}

/**
 * {@link sunPath} of the name of another socket, for calls that may be repeated after the process has changed its working directory.
 * A relative path is made absolute, unless the result is too long or the working directory was removed.
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

/** The name that the last call reported; null if the socket has none. */
export function addressOf(system: System): string | null {
  const length = system.out[OUT.ADDRESS_LENGTH]!;
  if (length <= 0) return null;
  const bytes = system.address.subarray(0, length);
  // A path ends at its NUL, which some systems include in the length. In an abstract name every byte counts.
  const end = bytes[0] === 0 ? -1 : bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString();
}
