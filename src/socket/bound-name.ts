/**
 * Binding a socket to a name, and removing the name.
 *
 * The file of a socket remains after the socket is closed. If no process has the socket open, the name is replaced; anything else at
 * the path is EADDRINUSE. Two rules make that safe while other processes bind and remove names:
 *
 * - To learn whether a process has the socket open, a SOCK_DGRAM socket connects to it. Kernels look up the socket of the name
 *   before they compare types (Linux `unix_find_bsd`, XNU and the BSDs `unp_connect`). The result is ECONNREFUSED if there is no
 *   socket (illumos, `so_ux_lookup`: EDESTADDRREQ). It is EPROTOTYPE for a stream or seqpacket socket, listening or only bound, and
 *   nothing enters its backlog. It is 0 for a datagram socket, or EPERM when that is connected to another socket; its queue, readiness
 *   and SO_ERROR do not change (measured on Linux 6.18, ext4 and tmpfs, 2026-11-29).
 * - No system call removes a name only if it still refers to the file that was checked. Device and inode do not identify the file
 *   either: ext4 gives the inode of a removed file to the next file. Therefore the lock (flock(2)) of the folder is held from the
 *   check to the bind. Without the lock, this library only binds to names that do not exist, which is atomic, and only removes names
 *   of its own open sockets: a dead name does not change while the lock is held. A program that removes names without the lock can
 *   still act between the check and the removal.
 */

import { type Checks, integer, outOfRange, wrongType } from "../core/errors.ts";
import { absolutePath, sunPath } from "../system/address.ts";
import {
  EACCES,
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  EDESTADDRREQ,
  ENOENT,
  EWOULDBLOCK,
  errnoError,
  type SystemError,
} from "../system/errno.ts";
import { bindError, kindOfFile } from "../system/name-error.ts";
import type { Platform, PlatformOptions } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { FILE_STATUS, POLLOUT, type System } from "../system/system.ts";
import { openSocket } from "./connect.ts";

/** Options of every function that binds to a name. */
export interface BindOptions extends PlatformOptions {
  /**
   * Permissions of the socket's file, for example `0o600`. The file is created with them. By default they follow from the umask.
   * Not allowed for abstract names, which have no permissions.
   */
  mode?: number | undefined;
}

export const BIND: Checks = {
  mode(name, value) {
    if (typeof value !== "number") throw wrongType(name, "permissions, such as 0o600", value);
    if (value > 0o777) throw outOfRange(name, "permissions from 0 to 0o777 (octal numbers begin with 0o)", value);
    integer(name, value, 0, 0o777);
  },
};

const IN_USE = "a socket that is in use";
const UNKNOWN = "a socket, and gVisor does not tell whether a process has it open; remove it if none has";
const DEAD = "a socket that no process has open any more";

/** Milliseconds to wait for the lock of a folder, and the longest pause between two attempts. The lock is held for six system calls. */
const LOCK_MS = 1000;
const LOCK_WAIT_MAX_MS = 50;

/** A name in the file system that a socket of this library is bound to. */
export class BoundName {
  /** The path that the caller gave. The kernel reports another one for a path that is longer than `sun_path`. */
  readonly path: string;
  readonly #system: System;
  /** The absolute path at the time of the bind. */
  readonly #absolute: string;
  /** Device and inode. No other file gets the inode number while the socket is open. */
  readonly #identity: string;

  private constructor(system: System, path: string, absolute: string, identity: string) {
    this.#system = system;
    this.path = path;
    this.#absolute = absolute;
    this.#identity = identity;
  }

  /**
   * The name of an open socket; null if the path names another file. Without `absolute`, which was the path at the time of the bind,
   * a relative path may be of another folder: then it must be certain that its file is the socket's. Inodes alone do not say it, as
   * two file systems can have the same. In a btrfs subvolume it is never certain, because stat(2) reports another device there.
   */
  static of(system: System, fd: number, path: string, absolute?: string): BoundName | null {
    const now = absolute ?? absolutePath(path);
    const found = socketAt(system, now);
    if (found === null) return null;
    // Another program may have replaced the name after the bind.
    const bound = new Uint32Array(2);
    const known = system.boundInode(fd, bound) >= 0;
    const doubted = absolute === undefined && now !== path;
    const other = known ? bound[0] !== found.inode || (doubted && bound[1] !== found.device) : doubted;
    return other ? null : new BoundName(system, path, now, found.identity);
  }

  /** Removes the name if it still refers to this socket. Must be called before the socket is closed. */
  remove(): void {
    if (socketAt(this.#system, this.#absolute)?.identity === this.#identity) this.#system.unlink(this.#absolute);
  }
}

/** Makes a socket bound to a path or an abstract name (`"\0..."`). For a datagram socket and `""`, Linux chooses a name. */
export function openBound(
  platform: Platform,
  type: SocketType,
  path: string,
  mode: number | undefined,
): { fd: number; name: BoundName | null } {
  const { system } = platform;
  const to = path === "" && type === "dgram" ? new Uint8Array(0) : sunPath(platform, path);
  const inFiles = path !== "" && !path.startsWith("\0");
  if (!inFiles && mode !== undefined) throw outOfRange("options.mode", "no mode for an abstract name", mode);
  const absolute = inFiles ? absolutePath(path) : "";
  const fd = openSocket(platform, type);
  try {
    let result = system.bind(fd, to, mode ?? -1);
    if (result === EADDRINUSE) {
      if (!inFiles) throw inUse(path, "an abstract name that is in use");
      result = replaceDead(platform, fd, to, path, mode ?? -1);
    }
    if (result < 0) throw bindError(result, path);
    return { fd, name: inFiles ? BoundName.of(system, fd, path, absolute) : null };
  } catch (error) {
    system.close(fd);
    throw error;
  }
}

/** Binds to the name of a socket that no process has open. @throws SystemError `EADDRINUSE` for anything else */
function replaceDead(platform: Platform, fd: number, to: Uint8Array, path: string, mode: number): number {
  const { system } = platform;
  // First without the lock: it is not needed to find that a name is in use, and another program may hold it.
  checkReplaceable(platform, to, path);
  const lock = lockFolder(system, path);
  try {
    if (checkReplaceable(platform, to, path) === "dead") {
      if (refusesLiving(platform, path)) throw inUse(path, UNKNOWN);
      const removed = system.unlink(path);
      if (removed < 0 && removed !== ENOENT) throw notReplaced(path, errnoError(removed, "unlink"));
    }
    const result = system.bind(fd, to, mode);
    // The name did not exist, and another socket was bound to it meanwhile, without the lock.
    if (result === EADDRINUSE) throw inUse(path, IN_USE);
    return result;
  } finally {
    system.close(lock);
  }
}

/** Whether the path names a dead socket, or nothing. @throws SystemError `EADDRINUSE` for anything else; the message names it */
function checkReplaceable(platform: Platform, to: Uint8Array, path: string): "dead" | "nothing" {
  const { system } = platform;
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  const found = system.lstat(path, status);
  if (found === ENOENT) return "nothing";
  if (found < 0) throw errnoError(found, "lstat", undefined, path);
  const kind = kindOfFile(system, status[FILE_STATUS.MODE]!);
  if (kind !== null) throw inUse(path, kind);
  const probe = openSocket(platform, "dgram");
  const answer = system.connect(probe, to);
  system.close(probe);
  if (answer === ECONNREFUSED || answer === EDESTADDRREQ) return "dead";
  if (answer === ENOENT) return "nothing";
  throw inUse(path, answer === EACCES ? "a socket that this process has no permission to connect to" : IN_USE);
}

/**
 * Whether ECONNREFUSED is also the answer for a stream or seqpacket socket that a process has open: gVisor (2022-12,
 * `connectionedEndpoint.UnidirectionalConnect`). Linux reports each stream socket that is not connected as writable (`unix_writable`),
 * gVisor none.
 */
function refusesLiving(platform: Platform, path: string): boolean {
  const { system, abi } = platform;
  if (!abi.hidesListening) return false;
  const fd = openSocket(platform, "stream");
  const ready = system.poll(fd, POLLOUT, 0);
  system.close(fd);
  if (ready < 0) throw notReplaced(path, errnoError(ready, "poll"));
  return ready === 0;
}

/** Locks the folder of a path. Returns a descriptor; closing it releases the lock. */
function lockFolder(system: System, path: string): number {
  const slash = path.lastIndexOf("/");
  const folder = system.openFolder(slash === -1 ? "." : path.slice(0, slash + 1));
  if (folder < 0) throw notReplaced(path, errnoError(folder, "open"));
  for (let waited = 0, wait = 1; ; waited += wait, wait = Math.min(2 * wait, LOCK_WAIT_MAX_MS)) {
    const result = system.flock(folder);
    if (result >= 0) return folder;
    if ((result !== EAGAIN && result !== EWOULDBLOCK) || waited >= LOCK_MS) {
      system.close(folder);
      throw notReplaced(path, errnoError(result, "flock", "the lock of its folder"));
    }
    // poll(2) without a descriptor pauses.
    system.poll(-1, 0, wait);
  }
}

function inUse(path: string, what: string): SystemError {
  return errnoError(EADDRINUSE, "bind", what, path);
}

function notReplaced(path: string, cause: SystemError): SystemError {
  const text = `${DEAD}, which could not be replaced: ${cause.message}; remove it`;
  return Object.assign(inUse(path, text), { cause });
}

/** Device and inode of the socket that a path names, and the low 32 bits of each; null if it names no socket. */
function socketAt(system: System, path: string): { identity: string; device: number; inode: number } | null {
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  if (system.lstat(path, status) < 0) return null;
  const { S_IFMT, S_IFSOCK } = system.constants;
  if ((Number(status[FILE_STATUS.MODE]) & S_IFMT!) !== S_IFSOCK) return null;
  const { [FILE_STATUS.DEVICE]: device, [FILE_STATUS.INODE]: inode } = status as unknown as bigint[];
  const low = (of: bigint) => Number(BigInt.asUintN(32, of));
  return { identity: `${device}:${inode}`, device: low(device!), inode: low(inode!) };
}
