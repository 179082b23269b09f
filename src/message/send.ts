/**
 * One attempt to send: reads the current numbers of the descriptors, has the core write one control message, calls `sendmsg`.
 *
 * When the kernel has accepted the first byte, the descriptors are sent (measured on Linux 6.18: they travel with the first byte of a
 * partial write). The rest of the bytes is sent without them.
 */

import { AncillaryError, outOfRange } from "../core/errors.ts";
import { type AsFd, numberOf } from "../fd/as-fd.ts";
import { EAGAIN, EMSGSIZE, ENOBUFS, EPERM, EWOULDBLOCK, errnoError, type SystemError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { byteLength, type Iovec } from "./iovec.ts";

export const NO_FDS: readonly AsFd[] = [];

/** @throws AncillaryError `ERR_EMPTY_PAYLOAD`: on a stream the kernel drops descriptors that no byte carries (unix(7)). */
export function checkCarried(bytes: number, fds: readonly AsFd[]): void {
  if (bytes === 0 && fds.length > 0) {
    throw new AncillaryError(
      "ERR_EMPTY_PAYLOAD",
      `descriptors on a stream need at least 1 byte to travel with, got ${fds.length} with none`,
    );
  }
}

/**
 * Writes one SCM_RIGHTS message with the current numbers of `fds`. Returns the control length.
 *
 * @param numbers the result of `readNumbers` for them
 */
export function putFds(platform: Platform, fds: readonly AsFd[], numbers: readonly number[]): number {
  const { core } = platform;
  const count = fds.length;
  for (let i = 0; i < count; i++) core.fds[i] = numberOf(platform, fds, numbers, i);
  return core.encodeRights(count);
}

/** The properties of a socket that a send uses. */
export interface SendTarget {
  readonly platform: Platform;
  readonly type: SocketType;
}

/**
 * Attempts a send.
 *
 * @param offset bytes of the payload to skip
 * @param length bytes of the payload to send after them
 * @param to `sun_path` of the receiver, on a socket that is not connected
 * @returns bytes accepted, or `-errno`
 * @throws RangeError when the payload was detached or has shrunk since the call: the descriptors would be sent without bytes
 */
export function sendOnce(
  platform: Platform,
  fd: number,
  payload: Iovec,
  offset: number,
  length: number,
  fds: readonly AsFd[],
  numbers: readonly number[],
  to: Uint8Array | null,
): number {
  const bytes = byteLength(payload) - offset;
  if (bytes < length) throw outOfRange("data", `the ${length} bytes that it had at the call`, `${bytes} bytes`);
  const control = fds.length === 0 ? 0 : putFds(platform, fds, numbers);
  return platform.system.sendmsg(fd, payload, offset, length, control, platform.sendFlags, to);
}

/** The first and the longest pause, in milliseconds, where readiness does not report that there is room. */
const RETRY_MS = 1;
const RETRY_MAX_MS = 50;

/**
 * How long a failed send has to wait: the result in milliseconds, or 0 until the socket is writable. Throws for errors that waiting
 * does not solve.
 *
 * @param waited the result of the previous attempt, 0 at first
 */
export function waitOrThrow(
  { platform, type }: SendTarget,
  errno: number,
  fds: readonly AsFd[],
  to: Uint8Array | null,
  waited: number,
): number {
  const { abi } = platform;
  const later = Math.min(RETRY_MAX_MS, waited === 0 ? RETRY_MS : 2 * waited);
  if (errno === EAGAIN || errno === EWOULDBLOCK) {
    // Some systems return EAGAIN also when too many descriptors are in flight, even if the socket has room.
    if (abi.inFlightErrno === "EAGAIN" && fds.length > 0) return later;
    // A datagram socket that is not connected is always writable (unix(7)), even if its receiver is full.
    return to === null ? 0 : later;
  }
  // The BSDs and Darwin return ENOBUFS when the receiver's queue is full, and report the socket as writable (uipc_usrreq.c).
  if (errno === ENOBUFS && type === "dgram" && abi.datagramFullErrno === "ENOBUFS") return later;
  // On Darwin the limit for control data shrinks with the data that the peer has not read: EMSGSIZE then means EAGAIN (libuv #1739).
  // In an empty socket buffer of any size there is room for the descriptors of a message, at most 1 KiB.
  if (errno === EMSGSIZE && abi.controlFullErrno === "EMSGSIZE" && type === "stream" && fds.length > 0) return later;
  throw sendError(errno, fds);
}

/** The error of a failed send. */
function sendError(errno: number, fds: readonly AsFd[]): SystemError {
  // SO_PASSRIGHTS (Linux 6.16, net/unix/af_unix.c): when the receiver refuses descriptors, the send fails with EPERM.
  const refused = errno === EPERM && fds.length > 0;
  return errnoError(errno, "sendmsg", refused ? "the peer may refuse descriptors: SO_PASSRIGHTS" : undefined);
}
