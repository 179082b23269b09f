/**
 * One attempt to send: reads the current numbers of the descriptors, has the core write one control message, calls `sendmsg`.
 *
 * When the kernel has accepted the first byte, the descriptors are sent (measured on Linux 6.18: they travel with the first byte of a
 * partial write). The rest of the bytes is sent without them.
 */

import { AncillaryError, outOfRange } from "../core/errors.ts";
import { type AsFd, numberOf } from "../fd/as-fd.ts";
import {
  EAGAIN,
  EBADF,
  EDESTADDRREQ,
  EMSGSIZE,
  ENOBUFS,
  ENOTCONN,
  ENOTSOCK,
  EPERM,
  EWOULDBLOCK,
  errnoError,
  fdError,
  type SystemError,
} from "../system/errno.ts";
import { peerError } from "../system/name-error.ts";
import { type Platform, UNIT_SHIFT } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { byteLength, type Iovec } from "./iovec.ts";

/** @throws AncillaryError `ERR_EMPTY_PAYLOAD`: on a stream the kernel drops descriptors that no byte carries (unix(7)). */
export function checkCarried(bytes: number, fds: readonly AsFd[]): void {
  if (bytes === 0 && fds.length > 0) {
    throw new AncillaryError(
      "ERR_EMPTY_PAYLOAD",
      `descriptors on a stream need at least 1 byte to travel with, got ${fds.length} with an empty payload`,
    );
  }
}

/**
 * Checks a payload again, when code of the caller's may have run since it was measured.
 *
 * @param length its bytes at the call
 * @throws RangeError when the payload was detached or has shrunk: descriptors would be sent without bytes
 */
export function checkLength(payload: Iovec, length: number): void {
  const bytes = byteLength(payload);
  if (bytes < length) throw outOfRange("data", `the ${length} bytes that it had at the call`, `${bytes} bytes`);
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
 * Attempts a send. The payload still has its bytes: see {@link checkLength}.
 *
 * @param offset bytes of the payload to skip
 * @param length bytes of the payload to send after them
 * @param to `sun_path` of the receiver, on a socket that is not connected
 * @returns bytes accepted, or `-errno`
 */
export function sendOnce(
  { platform, type }: SendTarget,
  fd: number,
  payload: Iovec,
  offset: number,
  length: number,
  fds: readonly AsFd[],
  numbers: readonly number[],
  to: Uint8Array | null,
): number {
  const control = fds.length === 0 ? 0 : putFds(platform, fds, numbers);
  const flags = type === "seqpacket" ? platform.recordFlags : platform.sendFlags;
  const sent = platform.system.sendmsg(fd, payload, offset, length, control, flags, to);
  if (sent > 0) platform.spent += fds.length + (sent >>> UNIT_SHIFT);
  return sent;
}

/** The first and the longest pause, in milliseconds, where readiness does not report that there is room. */
const RETRY_MS = 1;
const RETRY_MAX_MS = 50;

/**
 * How long a failed send has to wait: the result in milliseconds, or 0 until the socket is writable. Throws for errors that waiting
 * does not solve.
 *
 * @param fd the socket
 * @param numbers the result of `readNumbers` for the descriptors
 * @param waited the result of the previous attempt, 0 at first
 * @param besideFds whether the message has other control messages than the descriptors
 */
export function waitOrThrow(
  target: SendTarget,
  fd: number,
  errno: number,
  fds: readonly AsFd[],
  numbers: readonly number[],
  to: Uint8Array | null,
  waited: number,
  besideFds = false,
): number {
  const { platform, type } = target;
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
  throw sendError(target, fd, errno, fds, numbers, to, besideFds);
}

function sendError(
  { platform, type }: SendTarget,
  fd: number,
  errno: number,
  fds: readonly AsFd[],
  numbers: readonly number[],
  to: Uint8Array | null,
  besideFds: boolean,
): SystemError {
  const name = to === null ? undefined : Buffer.from(to).toString();
  if (errno === EBADF) return errnoError(errno, "sendmsg", notOpen(platform, fd, fds, numbers), name);
  if (errno === EPERM && fds.length > 0 && platform.abi.SO_PASSRIGHTS !== null)
    return errnoError(errno, "sendmsg", refusalOf(type, besideFds), name);
  if (errno === ENOTSOCK && to === null) return fdError(errno, "sendmsg", fd);
  // Linux; other systems.
  if ((errno === ENOTCONN || errno === EDESTADDRREQ) && type === "dgram" && to === null)
    return errnoError(errno, "sendmsg", "a datagram socket sends with sendFdsTo, or after connect");
  return peerError(platform, errno, "sendmsg", name, type);
}

/** Which descriptor of a send is not open: one of those to send, or the socket. */
function notOpen(platform: Platform, socket: number, fds: readonly AsFd[], numbers: readonly number[]): string {
  const { system, constants } = platform;
  for (let i = 0; i < fds.length; i++) {
    const number = numberOf(platform, fds, numbers, i);
    if (system.fcntl(number, constants.F_GETFD!, 0) < 0) return `fds[${i}], descriptor ${number}, is not open`;
  }
  return `the socket, descriptor ${socket}, is not open`;
}

/**
 * Why a send of descriptors is EPERM. SO_PASSRIGHTS (Linux 6.16, net/unix/af_unix.c) is off at the receiver; unix_may_send and
 * scm_check_creds have the same errno.
 */
function refusalOf(type: SocketType, besideFds: boolean): string {
  const causes = ["the peer takes no descriptors (SO_PASSRIGHTS is off on its socket)"];
  if (type === "dgram") causes.push("takes datagrams of another peer only");
  if (besideFds) causes.push("the attached credentials are not those of this process");
  return causes.join(", or ");
}
