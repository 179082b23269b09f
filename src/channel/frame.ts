/**
 * The wire format of a frame, which docs/wire-format.md describes for programs in other languages: a header of 20 bytes, big-endian,
 * then the payload. The descriptors travel with the frame's first bytes: as many as one message can carry with the first byte, the
 * next ones with the second, and so on. A message with descriptors has bytes of one frame only. Over a seqpacket socket a record has 1 to 65536 bytes.
 *
 * | bytes | |
 * | --- | --- |
 * | 0 to 3 | `UANC` |
 * | 4 | version, 1 |
 * | 5 | flags, 0 |
 * | 6 and 7 | descriptors of this frame |
 * | 8 to 11 | bytes of payload |
 * | 12 to 19 | message id |
 */

import { byteLengthOf, partOf, setBytes } from "../core/bytes.ts";
import { closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import { RECEIVE_BYTES } from "../socket/fd-reader.ts";
import { ChannelError } from "./errors.ts";

export const HEADER_BYTES = 20;
/** `UANC`. */
const MAGIC = 0x55414e43;
const VERSION = 1;

/** The most descriptors that a header can announce. */
export const MAX_FDS = 0xffff;
/** The most bytes of payload: the layer below uses signed 32-bit offsets. */
export const MAX_PAYLOAD: number = 0x7fffffff - HEADER_BYTES;
/** The most bytes of a frame in one record. */
export const RECORD_BYTES: number = RECEIVE_BYTES.seqpacket;

/** The header of a frame. */
export interface Header {
  readonly fds: number;
  readonly payload: number;
  readonly messageId: bigint;
}

/** Limits of a frame. */
export interface Limits {
  readonly maxFds: number;
  readonly maxPayload: number;
}

/**
 * A payload of up to this size is copied behind its header: a message of one piece takes less time than one of two. Numbers are written
 * and read byte by byte: to write them, Buffer's methods took 3 % of the sender's time for a small frame, most of it for the bigint
 * (a sampling profile, 2026-11).
 */
const JOINED_BYTES = 1024;

function putInt(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function intAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** The pieces of a frame with the first `length` bytes of a payload, which is not copied unless it is small. */
export function frameOf(fds: number, payload: Uint8Array, length: number, messageId: number): Uint8Array[] {
  const joined = length <= JOINED_BYTES;
  const bytes = Buffer.allocUnsafe(joined ? HEADER_BYTES + length : HEADER_BYTES);
  putInt(bytes, 0, MAGIC);
  // The flags are 0.
  putInt(bytes, 4, (VERSION << 24) | fds);
  putInt(bytes, 8, length);
  putInt(bytes, 12, messageId / 2 ** 32);
  putInt(bytes, 16, messageId);
  const part = byteLengthOf(payload) === length ? payload : partOf(payload, 0, length);
  if (!joined) return [bytes, part];
  // An empty one may have no memory.
  if (length > 0) setBytes(bytes, part, HEADER_BYTES);
  return [bytes];
}

/** Parses the header at a position. @throws ChannelError if it is not a header of this version, or exceeds the limits */
export function readHeader(bytes: Buffer, at: number, limits: Limits): Header {
  if (intAt(bytes, at) !== MAGIC)
    throw new ChannelError(
      "ERR_CHANNEL_MAGIC",
      `expected a frame that begins with "UANC", got ${bytes.toString("hex", at, at + 4)}: the peer sends no frames of an FdChannel`,
    );
  const version = bytes[at + 4]!;
  if (version !== VERSION)
    throw new ChannelError("ERR_CHANNEL_VERSION", `expected version ${VERSION} of the protocol, got ${version}`);
  const flags = bytes[at + 5]!;
  if (flags !== 0)
    throw new ChannelError("ERR_CHANNEL_FLAGS", `expected a frame without flags, got 0x${flags.toString(16)}`);
  const high = intAt(bytes, at + 12);
  const low = intAt(bytes, at + 16);
  const messageId = high < 2 ** 21 ? BigInt(high * 2 ** 32 + low) : (BigInt(high) << 32n) | BigInt(low);
  const header = { fds: intAt(bytes, at + 4) & MAX_FDS, payload: intAt(bytes, at + 8), messageId };
  checkLimits(header, limits);
  return header;
}

/** Checks a frame, sent or received, against the limits. @throws ChannelError */
export function checkLimits({ fds, payload }: Pick<Header, "fds" | "payload">, { maxFds, maxPayload }: Limits): void {
  if (payload > maxPayload)
    throw new ChannelError(
      "ERR_CHANNEL_PAYLOAD_TOO_LARGE",
      `expected at most ${maxPayload} bytes of payload, got ${payload}`,
    );
  if (fds > maxFds)
    throw new ChannelError("ERR_CHANNEL_TOO_MANY_FDS", `expected at most ${maxFds} descriptors in a frame, got ${fds}`);
}

/** A received frame. Disposing of it closes the descriptors that are still open. */
export interface Frame extends Disposable {
  /** The number of the frame; the sender counts from 1. */
  readonly messageId: bigint;
  /** The bytes that the sender gave. */
  readonly payload: Buffer;
  /** All CLOEXEC, in the sender's order. */
  readonly fds: OwnedFd[];
}

export class ReceivedFrame implements Frame {
  readonly messageId: bigint;
  readonly payload: Buffer;
  readonly fds: OwnedFd[];

  constructor(messageId: bigint, payload: Buffer, fds: OwnedFd[]) {
    this.messageId = messageId;
    this.payload = payload;
    this.fds = fds;
  }

  [Symbol.dispose](): void {
    closeAll(this.fds);
  }
}
