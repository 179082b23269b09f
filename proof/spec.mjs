// What the core has to do, written from its documentation and the C macros, not from its code.

import { CONTROL, CONTROL_BYTES, FDS_CAPACITY } from "./core.mjs";
import { readByte } from "./execute.mjs";
import * as T from "./terms.mjs";

/** The least multiple of `alignment`, a power of two up to 64, that is not below `n` (64 bits). */
export function roundUp(n, alignment) {
  let result = T.bv(0, 64);
  for (let k = 6; k >= 0; k--) {
    const up = T.and(T.add(n, (1 << k) - 1), T.bv(-(1n << BigInt(k)), 64));
    result = k === 6 ? up : T.ite(T.eq(alignment, 1 << k), up, result);
  }
  return result;
}

/** An integer in the target's byte order. */
export function field(memory, big, address, bytes) {
  const list = Array.from({ length: bytes }, (_, i) => readByte(memory, T.add(address, i)));
  return T.ite(T.eq(big, 1), T.concat(...list), T.concat(...[...list].reverse()));
}

export const FAULTS = { HEADER_TRUNCATED: 1, LENGTH_TOO_SMALL: 2, LENGTH_OVERRUNS: 3 };

/** `cmsg_len` of the header at the cursor `at`. */
export function lengthAt(memory, q, at) {
  const header = T.add(at, CONTROL);
  const bytes = (n) => field(memory, q("bigEndian"), T.add(header, q("lengthOffset")), n);
  return T.ite(T.eq(q("lengthBytes"), 4), T.zext(bytes(4), 64), bytes(8));
}

/**
 * One step of a walk: what is at the cursor `at` of the `end` bytes of control data.
 *
 * @param q the layout, by name
 * @param known what `cmsg_len` is proved to be
 */
export function step(memory, q, { at, end, clamps }, known) {
  const data = q("dataOffset");
  const left = T.sub(end, at);
  const header = T.add(at, CONTROL);
  const inHeader = (name, bytes) => field(memory, q("bigEndian"), T.add(header, q(name)), bytes);
  const length = known ?? lengthAt(memory, q, at);
  const done = T.eq(left, 0);
  const short = T.ult(left, data);
  const small = T.ult(length, T.zext(data, 64));
  const over = T.ugt(length, T.zext(left, 64));
  const cases = [
    [done, 0],
    [short, FAULTS.HEADER_TRUNCATED],
    [small, FAULTS.LENGTH_TOO_SMALL],
    [T.all(over, T.eq(clamps, 0)), FAULTS.LENGTH_OVERRUNS],
  ];
  const fault = cases.reduceRight((rest, [condition, number]) => T.ite(condition, T.bv(number), rest), T.bv(0));
  const found = T.not(T.any(...cases.map(([condition]) => condition)));
  const real = T.ite(over, left, T.extract(31, 0, length));
  const up = roundUp(T.zext(real, 64), q("headerAlignBytes"));
  return {
    found,
    fault,
    registers: {
      OFFSET: at,
      LEVEL: inHeader("levelOffset", 4),
      TYPE: inHeader("typeOffset", 4),
      DATA: T.add(at, data),
      DATA_LENGTH: T.sub(real, data),
      CLAMPED: T.fromBool(over),
    },
    /** Where the walk is afterwards: at the next header, but not past the end. */
    next: T.ite(found, T.ite(T.ult(up, T.zext(left, 64)), T.add(at, T.extract(31, 0, up)), end), end),
  };
}

/** How many of `count` ints a call of `readRights` takes. */
export function taken(from, data, count) {
  const room = T.umin(T.sub(FDS_CAPACITY, from), T.lshr(T.sub(CONTROL_BYTES, data), T.bv(2)));
  return T.ite(T.any(T.ugt(from, FDS_CAPACITY), T.ugt(data, CONTROL_BYTES)), T.bv(0), T.umin(count, room));
}

/** How many of the first so many ints at an address of the control area are negative, in the bytes that came. Defined where it is used. */
export const negatives = (address, count) => T.apply("negatives", [address, count], 32);
