/**
 * One attempt to send: numbers now, header from the core, one `sendmsg`.
 *
 * After the kernel has accepted the first byte the descriptors are gone for good (measured on Linux 6.18: they travel with
 * the first byte of a partial write); what remains is plain bytes.
 */

import { AncillaryError, outOfRange, wrongType } from "../core/errors.ts";
import { type AsFd, resolveFd } from "../fd/as-fd.ts";
import { EAGAIN, EMSGSIZE, ENOBUFS, EPERM, EWOULDBLOCK, errnoError, type SystemError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { byteLength, type Iovec } from "./iovec.ts";

export const NO_FDS: readonly AsFd[] = [];

/**
 * Checks descriptors as far as that can be done before their turn comes, and copies the list.
 *
 * @throws RangeError `ERR_TOO_MANY_FDS`
 */
export function checkFds(platform: Platform, fds: unknown): readonly AsFd[] {
  if (fds === undefined) return NO_FDS;
  checkFdList(platform, fds);
  if (fds.length === 0) return NO_FDS;
  const copy = fds.slice();
  // A refusal now is better than one when the queue gets there. The numbers are read again then: see AsFd.
  for (let i = 0; i < copy.length; i++) resolveFd(copy[i]!, "fds");
  return copy;
}

/** @throws TypeError for what is no list; RangeError `ERR_TOO_MANY_FDS` */
export function checkFdList(platform: Platform, fds: unknown): asserts fds is readonly AsFd[] {
  if (!Array.isArray(fds)) throw wrongType("fds", "an array of descriptors", fds);
  const most = platform.abi.maxFdsPerMessage;
  if (fds.length > most) {
    throw outOfRange("fds", `at most ${most} descriptors in one message`, fds.length, "ERR_TOO_MANY_FDS");
  }
}

/** @throws AncillaryError `ERR_EMPTY_PAYLOAD`: on a stream the kernel drops descriptors that no byte carries (unix(7)). */
export function checkCarried(bytes: number, fds: readonly AsFd[]): void {
  if (bytes === 0 && fds.length > 0) {
    throw new AncillaryError(
      "ERR_EMPTY_PAYLOAD",
      `descriptors on a stream need at least 1 byte to travel with, got ${fds.length} with none`,
    );
  }
}

/** The numbers that these have now. Getters of the caller's run; one that changes the list changes nothing. */
export function resolveFds(fds: readonly AsFd[]): number[] {
  const numbers = new Array<number>(fds.length);
  for (let i = 0; i < numbers.length; i++) numbers[i] = resolveFd(fds[i]!, "fds");
  return numbers;
}

/**
 * Writes one SCM_RIGHTS message with the numbers that `fds` have now; the control length to send.
 *
 * Getters of the caller's run here and might send something themselves: all are read before the core is touched.
 */
export function putFds(platform: Platform, fds: readonly AsFd[]): number {
  const { core } = platform;
  // A getter may change the list: what is sent is as many as there were, each of them read.
  const count = fds.length;
  if (count === 1) core.fds[0] = resolveFd(fds[0]!, "fds");
  else core.fds.set(resolveFds(fds));
  return core.encodeRights(count);
}

/**
 * @param offset bytes of the payload to skip, @param length how many there are behind them
 * @returns bytes accepted, or `-errno`; EAGAIN also when something else is to be sent first
 * @throws RangeError when the payload was detached or shrunk since the call: the descriptors would travel without bytes
 */
export function sendOnce(
  target: SendTarget,
  payload: Iovec,
  offset: number,
  length: number,
  fds: readonly AsFd[],
): number {
  const { platform, to } = target;
  const control = fds.length === 0 ? 0 : putFds(platform, fds);
  // Only now: getters of the caller's have run.
  const fd = target.socket.turn();
  if (fd < 0) return fd;
  const bytes = byteLength(payload) - offset;
  if (bytes < length) throw outOfRange("data", `the ${length} bytes that it had at the call`, `${bytes} bytes`);
  return platform.system.sendmsg(fd, payload, offset, length, control, platform.sendFlags, to);
}

/** How long to wait at first, and at most, where readiness does not tell when there is room. */
const RETRY_MS = 1;
const RETRY_MAX_MS = 50;

/**
 * Whether a failed send has to wait: `"ready"` until the socket is writable, or so many milliseconds. Throws when it
 * failed for good.
 *
 * @param waited the milliseconds it waited last, 0 at first
 */
export function waitOrThrow(
  target: Omit<SendTarget, "socket">,
  errno: number,
  fds: readonly AsFd[],
  waited: number,
): "ready" | number {
  const { abi } = target.platform;
  const later = Math.min(RETRY_MAX_MS, waited === 0 ? RETRY_MS : 2 * waited);
  if (errno === EAGAIN || errno === EWOULDBLOCK) {
    // NetBSD says so too when too many descriptors are in flight, whatever room the socket has (uipc_usrreq.c,
    // unp_internalize).
    if (abi.os === "netbsd" && fds.length > 0) return later;
    // A datagram socket that is not connected is always writable (unix(7)): its full receiver cannot be watched.
    return target.to === null ? "ready" : later;
  }
  // The BSDs and Darwin report a receiver's full queue so, and call the socket writable (uipc_usrreq.c).
  if (errno === ENOBUFS && target.type === "dgram" && abi.datagramFullErrno === "ENOBUFS") return later;
  // Darwin's limit for control data shrinks with what the peer has not read: it means EAGAIN (libuv #1739). Alone, at
  // most 1 KiB of descriptors fits any socket buffer.
  if (errno === EMSGSIZE && abi.truncation === "xnu" && target.type === "stream" && fds.length > 0) return later;
  throw sendError(errno, fds);
}

/** A socket to send on. */
export interface SendTarget {
  readonly platform: Platform;
  readonly type: SocketType;
  readonly socket: {
    /** Its number; EAGAIN when something else is to be sent first. @throws AncillaryError `ERR_SOCKET_CLOSED` */
    turn(): number;
  };
  /** `sun_path` of the receiver, for a socket that is not connected. */
  readonly to: Uint8Array | null;
}

/** The error of a failed send. */
function sendError(errno: number, fds: readonly AsFd[]): SystemError {
  // SO_PASSRIGHTS (Linux 6.16, net/unix/af_unix.c): the receiver's refusal is the sender's EPERM.
  const refused = errno === EPERM && fds.length > 0;
  return errnoError(errno, "sendmsg", refused ? "the peer may refuse descriptors: SO_PASSRIGHTS" : undefined);
}
