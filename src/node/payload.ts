/** The bytes of a message, as callers give them. */

import { wrongType } from "../core/errors.ts";

/** A list is sent as one iovec; a string is UTF-8. */
export type Payload = string | Uint8Array | readonly Uint8Array[];

/** What `sendmsg` takes. */
export type Iovec = Uint8Array | readonly Uint8Array[];

/** Pieces that one system call takes, on every system of the ABI table (limits.h). The kernel refuses more. */
const IOV_MAX = 1024;

/** A payload as an iovec. A list is copied, so that later changes to it (not to its bytes) change nothing. */
export function iovec(payload: Payload): Iovec {
  if (typeof payload === "string") return Buffer.from(payload);
  if (payload instanceof Uint8Array) return payload;
  const pieces = list("data", payload, "a string, a Uint8Array or an array of them");
  return pieces.length > IOV_MAX ? Buffer.concat(pieces) : pieces;
}

/** Where a receive puts its bytes: the same, less the strings. */
export function buffers(into: unknown): Iovec {
  if (into instanceof Uint8Array) return into;
  return list("buffers", into, "a Uint8Array or an array of them");
}

function list(name: string, value: unknown, expected: string): Uint8Array[] {
  if (!Array.isArray(value)) throw wrongType(name, expected, value);
  for (const [i, part] of value.entries()) {
    if (!(part instanceof Uint8Array)) throw wrongType(`${name}[${i}]`, "a Uint8Array", part);
  }
  return value.slice();
}

/** Bytes in an iovec. */
export function byteLength(iov: Iovec): number {
  if (iov instanceof Uint8Array) return iov.byteLength;
  let sum = 0;
  for (const part of iov) sum += part.byteLength;
  return sum;
}

/** A copy of the first `length` bytes of an iovec. */
export function copyOf(iov: Iovec, length: number): Buffer {
  if (iov instanceof Uint8Array) return Buffer.from(iov.subarray(0, length));
  return Buffer.concat(iov, length);
}
