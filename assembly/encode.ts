/**
 * Messages -> a control buffer. Every byte of it is written. Padding is zeros, never bytes of an earlier message (and the kernel
 * reads an 8-byte length where musl's header declares 4 and a pad).
 */

import { abi } from "./abi";
import { space, writeHeader } from "./cmsghdr";
import { CONTROL, CONTROL_BYTES } from "./memory";

/** Where the next message begins, where the last one ends without its padding, and the capacity. */
let at: u32 = 0;
let reach: u32 = 0;
let capacity: u32 = 0;

/** Begins an empty control buffer of at most `bytes` (negative, or more than the control area: all of it). */
export function begin(bytes: i32): void {
  at = 0;
  reach = 0;
  capacity = <u32>bytes > CONTROL_BYTES ? CONTROL_BYTES : bytes;
}

/**
 * Appends a message with `length` bytes of payload, all zero. The result is the payload's offset in the control area; -1, and
 * nothing changes, when the message does not fit.
 */
export function put(level: i32, type: i32, length: i32): i32 {
  const whole = space(length);
  if (whole < 0) return -1;
  const bare: u32 = abi.dataOffset + length;
  // `at` is at most the capacity: the difference cannot wrap. The padding of the message before may have left no room at all.
  if ((abi.padLast ? <u32>whole : bare) > capacity - at) return -1;
  const header: usize = CONTROL + at;
  memory.fill(header, 0, min<u32>(whole, capacity - at));
  writeHeader(header, bare, level, type);
  const data = at + abi.dataOffset;
  reach = at + bare;
  at = min<u32>(at + whole, capacity);
  return data;
}

/** `msg_controllen` for what has been put: with or without the last message's padding, as the target's kernel expects it. */
export function length(): i32 {
  return abi.padLast ? at : reach;
}
