/**
 * The wire format of a frame: a header of 20 bytes, big-endian, then the payload. The descriptors travel with the frame's first
 * bytes: as many as one message can carry with the first byte, the next ones with the second, and so on. A message with
 * descriptors has bytes of one frame only. Over a seqpacket socket a record has 1 to 65536 bytes.
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

import { closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import { RECEIVE_BYTES } from "../socket/fd-reader.ts";
import { ChannelError } from "./errors.ts";

export const HEADER_BYTES = 20;
const MAGIC: Buffer = Buffer.from("UANC");
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

export function writeHeader({ fds, payload, messageId }: Header): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt8(VERSION, 4);
  bytes.writeUInt16BE(fds, 6);
  bytes.writeUInt32BE(payload, 8);
  bytes.writeBigUInt64BE(messageId, 12);
  return bytes;
}

/** Parses a header. @throws ChannelError if it is not a header of this version, or exceeds the limits */
export function readHeader(bytes: Buffer, limits: Limits): Header {
  if (!bytes.subarray(0, 4).equals(MAGIC))
    throw new ChannelError(
      "ERR_CHANNEL_MAGIC",
      `expected a frame that begins with "UANC", got ${bytes.toString("hex", 0, 4)}`,
    );
  const version = bytes.readUInt8(4);
  if (version !== VERSION)
    throw new ChannelError("ERR_CHANNEL_VERSION", `expected version ${VERSION} of the protocol, got ${version}`);
  const flags = bytes.readUInt8(5);
  if (flags !== 0)
    throw new ChannelError("ERR_CHANNEL_FLAGS", `expected a frame without flags, got 0x${flags.toString(16)}`);
  const header = { fds: bytes.readUInt16BE(6), payload: bytes.readUInt32BE(8), messageId: bytes.readBigUInt64BE(12) };
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
