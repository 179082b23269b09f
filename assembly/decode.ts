/**
 * A control buffer -> its messages, one after the other, or where and why it is malformed.
 *
 * The walk is stricter than `CMSG_FIRSTHDR` and `CMSG_NXTHDR` of any libc: those check neither the length of the first
 * message nor that of the last, and on the BSDs and Darwin a `cmsg_len` of 0 makes them return the same header for ever.
 * Here every message that is reported lies inside the buffer, and each step goes forward by at least a header.
 */

import { abi } from "./abi";
import { readLength, readLevel, readType, step } from "./cmsghdr";
import { CONTROL, CONTROL_BYTES, Register, set } from "./memory";

/** Fewer bytes are left than `CMSG_LEN(0)`. */
export const HEADER_TRUNCATED: i32 = 1;
/** `cmsg_len` is less than `CMSG_LEN(0)`. */
export const LENGTH_TOO_SMALL: i32 = 2;
/** `cmsg_len` reaches past the end of the buffer. */
export const LENGTH_OVERRUNS: i32 = 3;

let at: u32 = 0;
let end: u32 = 0;
let clamps: bool = false;

/**
 * Begins a walk over the first `length` bytes of the control area (negative: none; more than its capacity: all of it).
 * With `clamp`, a message that reaches past the end is cut there instead of being a fault: Darwin truncates the bytes
 * without shortening `cmsg_len` (XNU `bsd/kern/uipc_syscalls.c`, python/cpython #80931), and the descriptors that did arrive are open.
 */
export function open(length: i32, clamp: bool): void {
  at = 0;
  end = length < 0 ? 0 : min<u32>(length, CONTROL_BYTES);
  clamps = clamp;
  set(Register.FAULT, 0);
  set(Register.FAULT_OFFSET, 0);
}

/** Ends the walk at a fault. */
function fail(fault: i32): bool {
  set(Register.FAULT, fault);
  set(Register.FAULT_OFFSET, at);
  at = end;
  return false;
}

/**
 * Finds the next message and sets the registers OFFSET to CLAMPED. The result is false at the end of the buffer and at a
 * fault, whose number is in FAULT. The last message may lack its padding.
 */
export function next(): bool {
  const left: u32 = end - at;
  if (left === 0) return false;
  if (left < abi.dataOffset) return fail(HEADER_TRUNCATED);
  const header: usize = CONTROL + at;
  let length: u64 = readLength(header);
  if (length < abi.dataOffset) return fail(LENGTH_TOO_SMALL);
  const overruns: bool = length > left;
  if (overruns) {
    if (!clamps) return fail(LENGTH_OVERRUNS);
    length = left;
  }
  set(Register.OFFSET, at);
  set(Register.LEVEL, readLevel(header));
  set(Register.TYPE, readType(header));
  set(Register.DATA, at + abi.dataOffset);
  set(Register.DATA_LENGTH, <u32>length - abi.dataOffset);
  set(Register.CLAMPED, overruns ? 1 : 0);
  // Not past the end: the last message may lack its padding.
  at += <u32>min<u64>(step(length), left);
  return true;
}
