/** The bytes of a message: a string, a buffer or a list of buffers. */

import { byteLengthOf, isUint8Array, isView, partOf, setBytes } from "../core/bytes.ts";
import { wrongType } from "../core/errors.ts";
import { min } from "../system/builtins.ts";
import type { System } from "../system/system.ts";

/** A list is sent as one iovec; a string is UTF-8. */
export type Payload = string | Uint8Array | readonly Uint8Array[];

/** What `sendmsg` takes. A list is this library's own array. */
export type Iovec = Uint8Array | readonly Uint8Array[];

/**
 * The most buffers of one system call, on every system of the ABI table (limits.h). The kernel refuses more, so longer lists are
 * copied through one buffer.
 */
const IOV_MAX = 1024;

/** A payload as an iovec. A list is copied, so that later changes to it have no effect; its bytes are not copied. */
export function iovec(payload: Payload): Iovec {
  return isUint8Array(payload) ? payload : otherIovec(payload);
}

// Functions of the hot path are short, so that V8 inlines them: the rare cases are in others.
function otherIovec(payload: Payload): Iovec {
  if (typeof payload === "string") return Buffer.from(payload);
  const pieces = list("data", payload, "a string, a Uint8Array or an array of them");
  return pieces.length > IOV_MAX ? copyOf(pieces, byteLength(pieces)) : pieces;
}

/** The buffers of a receive, as an iovec. */
export function buffers(into: unknown): Iovec {
  if (isUint8Array(into)) return into;
  return list("buffers", into, "a Uint8Array or an array of them");
}

function list(name: string, value: unknown, expected: string): Uint8Array[] {
  if (!Array.isArray(value)) throw wrongType(name, expected, value);
  const pieces = new Array<Uint8Array>(value.length);
  for (let i = 0; i < pieces.length; i++) {
    const piece: unknown = value[i];
    if (!isUint8Array(piece)) throw wrongType(`${name}[${i}]`, "a Uint8Array", piece);
    pieces[i] = piece;
  }
  return pieces;
}

/** `recvmsg` into an iovec. */
export function receiveInto(
  system: System,
  fd: number,
  iov: Iovec,
  controlCapacity: number,
  flags: number,
  wantAddress: boolean,
): number {
  const length = byteLength(iov);
  if (isView(iov) || iov.length <= IOV_MAX)
    return system.recvmsg(fd, iov, 0, length, controlCapacity, flags, wantAddress);
  const whole = Buffer.allocUnsafe(length);
  const bytes = system.recvmsg(fd, whole, 0, length, controlCapacity, flags, wantAddress);
  for (let at = 0, i = 0; at < bytes; i++) {
    const piece = iov[i]!;
    const end = at + byteLengthOf(piece);
    setBytes(piece, partOf(whole, at, min(end, bytes)));
    at = end;
  }
  return bytes;
}

/** The number of bytes in an iovec. Runs no code of the caller's. */
export function byteLength(iov: Iovec): number {
  return isView(iov) ? byteLengthOf(iov) : sumOf(iov);
}

function sumOf(pieces: readonly Uint8Array[]): number {
  let sum = 0;
  for (let i = 0; i < pieces.length; i++) sum += byteLengthOf(pieces[i]!);
  return sum;
}

/** A copy of the first `length` bytes of an iovec. Runs no code of the caller's. */
export function copyOf(iov: Iovec, length: number): Buffer {
  const copy = Buffer.alloc(length);
  const pieces = isView(iov) ? [iov] : iov;
  for (let at = 0, i = 0; at < length; i++) {
    const bytes = partOf(pieces[i]!, 0, length - at);
    setBytes(copy, bytes, at);
    at += byteLengthOf(bytes);
  }
  return copy;
}
