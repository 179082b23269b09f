/** Names of Unix sockets: `sun_path` of `sockaddr_un`, without the family. */

import { outOfRange, wrongType } from "../core/errors.ts";
import type { Platform } from "./platform.ts";
import { FILE_STATUS, OUT, type System } from "./system.ts";

const encoder = new TextEncoder();

/**
 * The bytes of `sun_path` for a path. A leading NUL is Linux's abstract namespace, there every byte counts; elsewhere a
 * NUL would cut the path in silence and is refused, and so is one that is too long.
 */
export function sunPath({ system, abi }: Pick<Platform, "system" | "abi">, path: unknown): Uint8Array {
  if (typeof path !== "string") throw wrongType("path", "a string", path);
  if (path === "") throw outOfRange("path", "a path of at least 1 byte", path);
  const abstract = path.startsWith("\0");
  if (abstract && !abi.abstractNames)
    throw wrongType("path", `a path in the file system: ${abi.os} has no abstract names`, path);
  if (!abstract && path.includes("\0")) throw outOfRange("path", "a path without NUL", path, "ERR_INVALID_ARG_VALUE");
  const bytes = encoder.encode(path);
  // Both kinds fill sun_path to the end at most; a path in the file system needs its closing NUL on some systems.
  const most = system.address.length - (abstract ? 0 : 1);
  if (bytes.length > most) throw outOfRange("path", `at most ${most} bytes`, `${bytes.length} bytes`);
  return bytes;
}

/**
 * A name in the file system that a socket of ours made by binding. It is removed only while it still is that socket: it may
 * have been replaced by another program's since.
 */
export class BoundName {
  readonly #system: System;
  readonly #path: string;
  readonly #socket: string;

  private constructor(system: System, path: string, socket: string) {
    this.#system = system;
    this.#path = path;
    this.#socket = socket;
  }

  /** The name just bound; null where there is no file: an abstract one, or the kernel's choice. */
  static of(system: System, path: string): BoundName | null {
    if (path === "" || path.startsWith("\0")) return null;
    const socket = socketAt(system, path);
    return socket === null ? null : new BoundName(system, path, socket);
  }

  remove(): void {
    if (socketAt(this.#system, this.#path) === this.#socket) this.#system.unlink(this.#path);
  }
}

/** Which socket a path names now, by device and inode; null: none that can be reached. */
export function socketAt(system: System, path: string): string | null {
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  if (system.lstat(path, status) < 0) return null;
  const { S_IFMT, S_IFSOCK } = system.constants;
  if ((Number(status[FILE_STATUS.MODE]) & S_IFMT!) !== S_IFSOCK) return null;
  return `${status[FILE_STATUS.DEVICE]}:${status[FILE_STATUS.INODE]}`;
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
