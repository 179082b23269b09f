/** The payload of SCM_RIGHTS: `int`s, here and in the descriptor table. */

import { abi, readInt } from "./abi";
import { begin, length, put } from "./encode";
import { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY } from "./memory";
import { encodeOne } from "./short";

/** Appends one SCM_RIGHTS message with the first `count` `int`s of the table. The result is its payload's offset; -1: no room. */
export function putRights(count: i32): i32 {
  if (<u32>count > FDS_CAPACITY) return -1;
  const data = put(abi.SOL_SOCKET, abi.SCM_RIGHTS, count << 2);
  if (data < 0) return -1;
  const to: usize = CONTROL + data;
  const bytes: usize = (<usize>count) << 2;
  if (!abi.bigEndian) memory.copy(to, FDS, bytes);
  else for (let i: usize = 0; i < bytes; i += 4) store<i32>(to + i, bswap<i32>(load<i32>(FDS + i)));
  return data;
}

/**
 * Makes a control buffer of one SCM_RIGHTS message with the first `count` `int`s of the table, to which nothing can be appended. The
 * result is its length; -1: no room.
 */
export function encodeRights(count: i32): i32 {
  if (count === 1) {
    const bytes = encodeOne();
    if (bytes > 0) return bytes;
  }
  begin(-1);
  return putRights(count) < 0 ? -1 : length();
}

/**
 * Copies `count` `int`s of a payload into the table, from position `from` on: no more than the table has room for and the
 * control area has. The result is how many of them are negative.
 */
export function readRights(from: u32, data: u32, count: u32): u32 {
  if (from > FDS_CAPACITY || data > CONTROL_BYTES) return 0;
  count = min<u32>(count, min<u32>(FDS_CAPACITY - from, (CONTROL_BYTES - data) >> 2));
  const to: usize = FDS + ((<usize>from) << 2);
  const source: usize = CONTROL + data;
  const bytes: usize = (<usize>count) << 2;
  let invalid: u32 = 0;
  let i: usize = 0;
  // Two at a time, and both signs.
  if (!abi.bigEndian)
    for (; i + 8 <= bytes; i += 8) {
      const pair = load<u64>(source + i);
      store<u64>(to + i, pair);
      invalid += <u32>popcnt<u64>(pair & 0x8000000080000000);
    }
  for (; i < bytes; i += 4) {
    const fd = readInt(source + i);
    store<i32>(to + i, fd);
    invalid += <u32>fd >>> 31;
  }
  return invalid;
}
