/**
 * One attempt to send: numbers now, header from the core, one `sendmsg`.
 *
 * After the kernel has accepted the first byte the descriptors are gone for good (measured on Linux 6.18: they travel with
 * the first byte of a partial write); what remains is plain bytes.
 */

import { AncillaryError, outOfRange, wrongType } from "../core/errors.ts";
import { type AsFd, resolveFd } from "./as-fd.ts";
import { EPERM, errnoError, type SystemError } from "./errors.ts";
import type { Iovec } from "./payload.ts";
import type { Platform } from "./platform.ts";

export const NO_FDS: readonly AsFd[] = [];

/**
 * Checks descriptors as far as that can be done before their turn comes, and copies the list.
 *
 * @throws RangeError `ERR_TOO_MANY_FDS`
 */
export function checkFds(platform: Platform, fds: unknown): readonly AsFd[] {
  if (fds === undefined) return NO_FDS;
  if (!Array.isArray(fds)) throw wrongType("fds", "an array of descriptors", fds);
  const most = platform.abi.maxFdsPerMessage;
  if (fds.length > most)
    throw outOfRange("fds", `at most ${most} descriptors in one message`, fds.length, "ERR_TOO_MANY_FDS");
  if (fds.length === 0) return NO_FDS;
  const copy = fds.slice() as AsFd[];
  // A refusal now is better than one when the queue gets there. The numbers are read again then: see AsFd.
  for (let i = 0; i < copy.length; i++) resolveFd(copy[i]!, "fds");
  return copy;
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

/**
 * Writes one SCM_RIGHTS message with the numbers that `fds` have now; the control length to send.
 *
 * Getters of the caller's run here and might send something themselves: all are read before the core is touched.
 */
function putFds(platform: Platform, fds: readonly AsFd[]): number {
  const { core } = platform;
  const { begin, putRights, length } = core.exports;
  if (fds.length === 1) {
    core.setFd(0, resolveFd(fds[0]!, "fds"));
  } else {
    const numbers = fds.map((fd) => resolveFd(fd, "fds"));
    for (let i = 0; i < numbers.length; i++) core.setFd(i, numbers[i]!);
  }
  begin(-1);
  putRights(fds.length);
  return length();
}

/**
 * @param offset bytes of the payload to skip, @param length how many to send of a single array
 * @returns bytes accepted, or `-errno`
 */
export function sendOnce(
  platform: Platform,
  fd: number,
  payload: Iovec,
  offset: number,
  length: number,
  fds: readonly AsFd[],
  to: Uint8Array | null,
): number {
  const control = fds.length === 0 ? 0 : putFds(platform, fds);
  return platform.system.sendmsg(fd, payload, offset, length, control, platform.sendFlags, to);
}

/** The error of a failed send. */
export function sendError(errno: number, fds: readonly AsFd[]): SystemError {
  // SO_PASSRIGHTS (Linux 6.16, net/unix/af_unix.c): the receiver's refusal is the sender's EPERM.
  const refused = errno === EPERM && fds.length > 0;
  return errnoError(errno, "sendmsg", refused ? "the peer may refuse descriptors: SO_PASSRIGHTS" : undefined);
}
