/**
 * One header: `CMSG_ALIGN`, `CMSG_LEN`, `CMSG_SPACE`, and reading and writing its three fields.
 *
 * Sums are 64 bits wide: a length of 32 bits plus an offset of at most 64 cannot wrap.
 */

import { abi, readInt, writeInt } from "./abi";

function roundUp(n: u64, to: u64): u64 {
  return (n + to - 1) & ~(to - 1);
}

/** A size is a C `int` and not negative; -1: this one does not fit. */
function size(n: u64): i32 {
  return n > <u64>i32.MAX_VALUE ? -1 : <i32>n;
}

/** `CMSG_ALIGN(n)`; -1 when `n` is negative or the result does not fit an `i32`. */
export function align(n: i32): i32 {
  return n < 0 ? -1 : size(roundUp(n, abi.alignBytes));
}

/** `CMSG_LEN(n)`; -1 likewise. */
export function len(n: i32): i32 {
  return n < 0 ? -1 : size(<u64>abi.dataOffset + n);
}

/**
 * `CMSG_SPACE(n)`; -1 likewise. It is the distance from this header to the next. Everywhere but on illumos/sparcv9 the payload begins
 * at a multiple of the alignment, so that this is also `dataOffset + CMSG_ALIGN(n)`.
 */
export function space(n: i32): i32 {
  return n < 0 ? -1 : size(step(<u64>abi.dataOffset + n));
}

/** The distance from a header with this `cmsg_len` to the next. */
export function step(length: u64): u64 {
  return roundUp(length, abi.headerAlignBytes);
}

/** `cmsg_len` of the header at an address. */
export function readLength(header: usize): u64 {
  if (abi.lengthBytes === 4) return <u64>(<u32>readInt(header + abi.lengthOffset));
  const value = load<u64>(header + abi.lengthOffset);
  return abi.bigEndian ? bswap<u64>(value) : value;
}

export function readLevel(header: usize): i32 {
  return readInt(header + abi.levelOffset);
}

export function readType(header: usize): i32 {
  return readInt(header + abi.typeOffset);
}

/** Writes the three fields. The caller has zeroed what lies between them (musl's pad), and the upper half of a length of 8 bytes. */
export function writeHeader(header: usize, length: u32, level: i32, type: i32): void {
  writeInt(header + abi.lengthOffset + (abi.bigEndian ? abi.lengthBytes - 4 : <u32>0), length);
  writeInt(header + abi.levelOffset, level);
  writeInt(header + abi.typeOffset, type);
}
