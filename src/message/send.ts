/**
 * One attempt to send: the numbers that the descriptors have now, a header from the core, one `sendmsg`.
 *
 * After the kernel has accepted the first byte the descriptors are gone for good (measured on Linux 6.18: they travel with
 * the first byte of a partial write); what remains is plain bytes.
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
 * Writes one SCM_RIGHTS message with the numbers that `fds` have now; the control length to send.
 *
 * @param numbers what `readNumbers` read of them
 */
export function putFds(platform: Platform, fds: readonly AsFd[], numbers: readonly number[]): number {
  const { core } = platform;
  const count = fds.length;
  for (let i = 0; i < count; i++) core.fds[i] = numberOf(platform, fds, numbers, i);
  return core.encodeRights(count);
}

/** What a send needs to know of its socket. */
export interface SendTarget {
  readonly platform: Platform;
  readonly type: SocketType;
}

/**
 * @param offset bytes of the payload to skip, @param length how many there are behind them
 * @param to `sun_path` of the receiver, on a socket that is not connected
 * @returns bytes accepted, or `-errno`
 * @throws RangeError when the payload was detached or shrunk since the call: the descriptors would travel without bytes
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

/** How long to wait at first, and at most, where readiness does not tell when there is room. */
const RETRY_MS = 1;
const RETRY_MAX_MS = 50;

/**
 * How long a failed send has to wait: 0 until the socket is writable, or so many milliseconds. Throws when it failed for good.
 *
 * @param waited the milliseconds it waited last, 0 at first
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
    // Some systems say so too when too many descriptors are in flight, whatever room the socket has.
    if (abi.inFlightErrno === "EAGAIN" && fds.length > 0) return later;
    // A datagram socket that is not connected is always writable (unix(7)): its full receiver cannot be watched.
    return to === null ? 0 : later;
  }
  // The BSDs and Darwin report a receiver's full queue so, and call the socket writable (uipc_usrreq.c).
  if (errno === ENOBUFS && type === "dgram" && abi.datagramFullErrno === "ENOBUFS") return later;
  // Darwin's limit for control data shrinks with what the peer has not read: it means EAGAIN (libuv #1739). Alone, at
  // most 1 KiB of descriptors fits any socket buffer.
  if (errno === EMSGSIZE && abi.controlFullErrno === "EMSGSIZE" && type === "stream" && fds.length > 0) return later;
  throw sendError(errno, fds);
}

/** The error of a failed send. */
function sendError(errno: number, fds: readonly AsFd[]): SystemError {
  // SO_PASSRIGHTS (Linux 6.16, net/unix/af_unix.c): the receiver's refusal is the sender's EPERM.
  const refused = errno === EPERM && fds.length > 0;
  return errnoError(errno, "sendmsg", refused ? "the peer may refuse descriptors: SO_PASSRIGHTS" : undefined);
}
