/**
 * Messages -> a control buffer. Every byte that is written is set: padding goes out as zeros, never as what lay there
 * before (musl and the kernel read an 8-byte length where the header declares 4 and a pad).
 */

import { abi } from "./abi";
import { space, writeHeader } from "./cmsghdr";
import { CONTROL, CONTROL_BYTES } from "./memory";

/** Where the next message goes, how far the last one reaches without its padding, and how far it may. */
let at: u32 = 0;
let reach: u32 = 0;
let capacity: u32 = 0;

/** Begins an empty control buffer of at most `bytes` (negative or more than the control area: all of it). */
export function begin(bytes: i32): void {
  at = 0;
  reach = 0;
  capacity = <u32>bytes > CONTROL_BYTES ? CONTROL_BYTES : bytes;
}

/**
 * Appends a message with room for `length` bytes of payload, zeroed. The payload's offset in the control area, or -1
 * when it does not fit; then nothing has changed.
 */
export function put(level: i32, type: i32, length: i32): i32 {
  const whole = space(length);
  if (whole < 0) return -1;
  const bare: u32 = abi.dataOffset + length;
  // `at` is at most the capacity: the difference cannot wrap. A former message's padding may have left no room at all.
  if ((abi.padLast ? <u32>whole : bare) > capacity - at) return -1;
  const header: usize = CONTROL + at;
  memory.fill(header, 0, min<u32>(whole, capacity - at));
  writeHeader(header, bare, level, type);
  const data = at + abi.dataOffset;
  reach = at + bare;
  at = min<u32>(at + whole, capacity);
  return data;
}

/** `msg_controllen` for what has been put: with or without the last message's padding, as the target's kernel wants it. */
export function length(): i32 {
  return abi.padLast ? at : reach;
}
