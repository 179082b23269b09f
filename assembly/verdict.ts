/**
 * What a receive brought -> which descriptors are kept, which are closed, and whether it is an error.
 *
 * All descriptors that were delivered are in the table afterwards, in the order of arrival. The first KEEP of them are
 * kept, the others are to be closed; unless the outcome is OK, KEEP is 0 and a pidfd is in the table too.
 */

import { abi, readInt } from "./abi";
import { readCredentials } from "./credentials";
import { next, open } from "./decode";
import { CONTROL, FDS, get, Register, set } from "./memory";
import { readRights } from "./rights";
import { readOne } from "./short";

/** Nothing is wrong with what came. */
export const OK: i32 = 0;
/** The kernel had more control data than it delivered. It outranks the rest: a cut message also looks malformed. */
export const ANCILLARY_TRUNCATED: i32 = 1;
/** The bytes are not a sequence of whole messages, or not all slots of SCM_RIGHTS are descriptors. */
export const MALFORMED: i32 = 2;
/** A datagram or record was longer than the buffer, and that is an error. */
export const DATA_TRUNCATED: i32 = 3;
/** Not exactly as many descriptors as asked for. */
export const FD_COUNT: i32 = 4;

/**
 * Judges what a receive left in the control area. The result is one of the outcomes above; the registers FAULT_OFFSET to
 * SECURITY_LENGTH are set. Those of `next`, OFFSET to CLAMPED, mean nothing afterwards, and `next` finds nothing.
 *
 * @param length `msg_controllen` as `recvmsg` left it
 * @param flags `msg_flags`, likewise: bits are tested, as several kernels echo input flags there
 * @param maxFds how many descriptors are kept at most
 * @param exactly how many must have come, or negative
 * @param allowTruncated whether truncated data are no error
 */
export function verdict(length: i32, flags: i32, maxFds: i32, exactly: i32, allowTruncated: bool): i32 {
  let truncated: bool = (flags & abi.MSG_CTRUNC) !== 0;
  let count: u32 = 0;
  let leftover: u32 = 0;
  let invalid: u32 = 0;
  let pidfds: u32 = 0;
  set(Register.HAS_PIDFD, 0);
  set(Register.CREDENTIALS, 0);
  set(Register.SECURITY_LENGTH, -1);

  const one = readOne(length);
  // After a verdict the walk has ended, by either way.
  open(one ? 0 : length, truncated || abi.losesCtrunc);
  if (one) {
    count = 1;
    invalid = load<u32>(FDS) >>> 31;
  }
  while (!one && next()) {
    if (get(Register.CLAMPED) !== 0) truncated = true;
    // Level and type are compared together: the same type numbers mean other things at other levels. A negative type stands
    // for what a system does not have, and never for a message.
    const type = get(Register.TYPE);
    if (get(Register.LEVEL) !== abi.SOL_SOCKET || type < 0) continue;
    const data: u32 = get(Register.DATA);
    const bytes: u32 = get(Register.DATA_LENGTH);
    if (type === abi.SCM_RIGHTS) {
      const fds = bytes >>> 2;
      invalid += readRights(count, data, fds);
      count += fds;
      leftover += bytes & 3;
    } else if (readCredentials(type, data, bytes)) {
    } else if (type === abi.SCM_PIDFD) {
      if (bytes < 4) continue;
      const pidfd = readInt(CONTROL + data);
      if (pidfds++ === 0) {
        set(Register.HAS_PIDFD, pidfd < 0 ? -1 : 1);
        set(Register.PIDFD, pidfd);
      } else if (pidfd >= 0) {
        // No kernel sends two. In the table it is closed: the outcome keeps nothing.
        store<i32>(FDS + ((<usize>count) << 2), pidfd);
        count++;
      }
    } else if (type === abi.SCM_SECURITY) {
      set(Register.SECURITY, data);
      set(Register.SECURITY_LENGTH, bytes);
    }
  }

  let outcome = OK;
  if (truncated) outcome = ANCILLARY_TRUNCATED;
  else if ((get(Register.FAULT) | leftover | invalid) !== 0 || pidfds > 1) outcome = MALFORMED;
  else if ((flags & abi.MSG_TRUNC) !== 0 && !allowTruncated) outcome = DATA_TRUNCATED;
  else if (exactly >= 0 && count !== exactly) outcome = FD_COUNT;

  let keep: u32 = 0;
  if (outcome === OK) keep = min<u32>(count, max(maxFds, 0));
  else if (get(Register.HAS_PIDFD) > 0) {
    store<i32>(FDS + ((<usize>count) << 2), get(Register.PIDFD));
    count++;
    set(Register.HAS_PIDFD, 0);
  }
  set(Register.COUNT, count);
  set(Register.KEEP, keep);
  set(Register.LEFTOVER, leftover);
  set(Register.INVALID, invalid);
  return outcome;
}
