/** One attempt to receive: one `recvmsg`, and a message of what it brought, or an error. */

import { outOfRange } from "../core/errors.ts";
import { type Core, REGISTER } from "../core/wasm.ts";
import { adopt, adoptAll, closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import { addressOf } from "../system/address.ts";
import { EAGAIN, ECONNRESET, EMFILE, EMSGSIZE, EWOULDBLOCK, errnoError, type SystemError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { OUT, POLLIN } from "../system/system.ts";
import { type Credentials, overflowId } from "./credentials.ts";
import { byteLength, copyOf, type Iovec, receiveInto } from "./iovec.ts";
import { closeDelivered, judge, makeCloexec, refusal } from "./received.ts";

/** What came beside the bytes. */
export interface Ancillary extends Disposable {
  /**
   * The peer has finished: a stream with no byte; a record with no byte and no descriptor from a peer whose end is shut.
   * Never on a datagram. A record behind it that has bytes tells that it is none; one that has none does not.
   */
  readonly eof: boolean;
  /** All CLOEXEC, at most `maxFds`. */
  readonly fds: OwnedFd[];
  /** Descriptors beyond `maxFds`, already closed. */
  readonly surplus: number;
  /** Streams: how many bytes had been received before these. 0 on other sockets. */
  readonly streamOffset: number;
  /** The datagram or record was longer than the buffer. Only ever true with `allowTruncated`. */
  readonly dataTruncated: boolean;
  /** Who sent it, when the socket passes credentials and they name somebody. */
  readonly credentials: Credentials | null;
  /** The sender's pidfd, when the socket passes pidfds (Linux). */
  readonly pidfd: OwnedFd | null;
  /** The sender's security label, when the socket passes it (Linux). */
  readonly security: string | null;
  /** Closes the descriptors that are still open. */
  [Symbol.dispose](): void;
}

/** A received message. Disposing of it closes the descriptors that are still open. */
export interface ReceivedFds extends Ancillary {
  /**
   * The bytes. No other message has them; as with Node's small Buffers, the memory behind `data.buffer` may hold other messages of
   * this process too, and is then not transferable. Give `Uint8Array.from(data)` to code that must not see them.
   */
  readonly data: Buffer;
}

/** A message received into the caller's buffers. */
export interface ReceivedFdsInto extends Ancillary {
  /** How many bytes of the buffers were filled, from the front. */
  readonly bytesRead: number;
}

/** What a receive is asked for. */
export interface Request {
  readonly maxFds: number;
  /** How many descriptors must come; -1: any number. */
  readonly exactly: number;
  /** Where the bytes go, which must still have `bufferSize` bytes then; null: into a buffer of so many. */
  readonly into: Iovec | null;
  readonly bufferSize: number;
  readonly allowTruncated: boolean;
  readonly wantAddress: boolean;
}

/** What a receive needs to know of its socket, and what it changes. */
export interface Receiver {
  readonly platform: Platform;
  readonly type: SocketType;
  /** Bytes received so far; counted on streams. */
  received: number;
  /** Whether pidfds were asked for. Others are closed. */
  readonly passesPidfd: boolean;
  /** The reset that the kernel has reported before the messages that are left; null: none. */
  reset: Error | null;
}

/** The class of both kinds of message: with `data`, or (then it is null) in the caller's buffers. */
export class Message implements Ancillary {
  readonly data: Buffer | null;
  readonly bytesRead: number;
  readonly eof: boolean;
  readonly fds: OwnedFd[];
  readonly surplus: number;
  readonly streamOffset: number;
  readonly dataTruncated: boolean;
  readonly credentials: Credentials | null;
  readonly pidfd: OwnedFd | null;
  readonly security: string | null;
  /** The sender's, where it was asked for. */
  readonly address: string | null;

  constructor(
    data: Buffer | null,
    bytesRead: number,
    eof: boolean,
    fds: OwnedFd[],
    surplus: number,
    streamOffset: number,
    dataTruncated: boolean,
    credentials: Credentials | null,
    pidfd: OwnedFd | null,
    security: string | null,
    address: string | null,
  ) {
    this.data = data;
    this.bytesRead = bytesRead;
    this.eof = eof;
    this.fds = fds;
    this.surplus = surplus;
    this.streamOffset = streamOffset;
    this.dataTruncated = dataTruncated;
    this.credentials = credentials;
    this.pidfd = pidfd;
    this.security = security;
    this.address = address;
  }

  [Symbol.dispose](): void {
    closeAll(this.pidfd === null ? this.fds : [...this.fds, this.pidfd]);
  }
}

/**
 * Attempts a receive.
 *
 * Short on purpose, with what is rare in functions of its own: it is the hot path, and V8 inlines only what is small.
 *
 * @returns the message, or null when there is none yet
 * @throws SystemError, or an AncillaryError that carries the bytes that came; no descriptor stays open then
 */
export function receiveOnce(receiver: Receiver, fd: number, request: Request): Message | null {
  const { platform } = receiver;
  const { system, core } = platform;
  const bytes = callRecvmsg(platform, fd, request);
  if (bytes < 0) return nothingCame(receiver, fd, request, bytes);

  const outcome = judge(platform, request.maxFds, request.exactly, request.allowTruncated);
  const streamOffset = receiver.received;
  if (receiver.type === "stream") receiver.received += bytes;
  const flags = system.out[OUT.FLAGS]!;
  if (outcome !== 0 || platform.needsCloexec) check(platform, fd, request, bytes, outcome);

  const { registers, fds: table } = core;
  const delivered = registers[REGISTER.COUNT]!;
  const kept = registers[REGISTER.KEEP]!;
  const fds = adoptAll(platform, table, kept);
  if (delivered > kept) system.closeAll(table, kept, delivered);
  return new Message(
    request.into === null ? platform.receiveBuffer.take(bytes) : null,
    bytes,
    bytes === 0 && delivered === 0 && isEnd(receiver, fd),
    fds,
    delivered - kept,
    streamOffset,
    (flags & platform.abi.MSG_TRUNC) !== 0,
    registers[REGISTER.CREDENTIALS]! > 0 ? credentialsOf(platform, bytes) : null,
    registers[REGISTER.HAS_PIDFD]! > 0 ? pidfdOf(receiver, registers[REGISTER.PIDFD]!) : null,
    registers[REGISTER.SECURITY_LENGTH]! < 0 ? null : securityOf(core),
    request.wantAddress ? addressOf(system) : null,
  );
}

/** MSG_TRUNC is never an input flag: the result would be longer than the buffer (CPython's `recv` had that). */
function callRecvmsg(platform: Platform, fd: number, { into, bufferSize, wantAddress }: Request): number {
  const { system, receiveBuffer, receiveCapacity, receiveFlags } = platform;
  if (into !== null) {
    // They can be detached while a receive waits: of a message the kernel would drop the rest, on a stream take the descriptors
    // and say 0, the end (measured on Linux 6.18).
    const bytes = byteLength(into);
    if (bytes < bufferSize)
      throw outOfRange("buffers", `the ${bufferSize} bytes that they had at the call`, `${bytes} bytes`);
    return receiveInto(system, fd, into, receiveCapacity, receiveFlags, wantAddress);
  }
  receiveBuffer.prepare(bufferSize);
  const { buffer, offset } = receiveBuffer;
  return system.recvmsg(fd, buffer, offset, bufferSize, receiveCapacity, receiveFlags, wantAddress);
}

/**
 * A receive that brought nothing: not yet, or never.
 *
 * Of messages a reset is reported once, before those that are left (Linux, __skb_try_recv_datagram), of a stream behind its bytes. It
 * is kept until they are received.
 */
function nothingCame(receiver: Receiver, fd: number, request: Request, errno: number): Message | null {
  if (errno === EAGAIN || errno === EWOULDBLOCK) return null;
  const error = receiveError(receiver.platform, errno);
  if (errno !== ECONNRESET || receiver.type === "stream" || receiver.reset !== null) throw error;
  receiver.reset = error;
  return receiveOnce(receiver, fd, request);
}

/** Throws what is wrong with a receive, its descriptors closed; the error carries the bytes that came. */
function check(platform: Platform, fd: number, request: Request, bytes: number, outcome: number): void {
  const error = refusal(platform, fd, outcome, request.exactly) ?? makeCloexec(platform);
  if (error === null) return;
  closeDelivered(platform);
  throw Object.assign(error, { data: bytesOf(platform, request, bytes) });
}

/** Whether a receive of no bytes and no descriptors says that the peer has finished. */
function isEnd({ platform, type }: Receiver, fd: number): boolean {
  return type === "stream" || (type === "seqpacket" && peerIsShut(platform, fd));
}

/** A pidfd that was not asked for is closed. */
function pidfdOf({ platform, passesPidfd }: Receiver, pidfd: number): OwnedFd | null {
  if (passesPidfd) return adopt(platform, pidfd);
  platform.system.close(pidfd);
  return null;
}

/** The bytes of a failed receive, for its error. */
function bytesOf(platform: Platform, { into }: Request, bytes: number): Buffer {
  return into === null ? platform.receiveBuffer.take(bytes) : copyOf(into, Math.min(bytes, byteLength(into)));
}

/** A record of no bytes may be the end, or a record of no bytes: the peer's end tells. */
function peerIsShut({ system, constants, abi }: Platform, fd: number): boolean {
  const { POLLHUP, POLLRDHUP } = constants as { POLLHUP: number; POLLRDHUP?: number };
  const shut = POLLHUP | (POLLRDHUP ?? 0);
  const ready = system.poll(fd, shut | POLLIN, 0);
  // If poll fails, it is taken for an empty record; the next receive reports the end again.
  if (ready < 0) return false;
  // Without POLLRDHUP nothing tells that a peer has shut its sending end alone, but that the socket stays readable.
  if ((ready & (POLLRDHUP === undefined ? shut | POLLIN : shut)) === 0) return false;
  // What was sent before may still be there: bytes or, as peeking has no room for them, descriptors.
  const bytes = system.recvmsg(fd, PEEKED, 0, PEEKED.length, 0, abi.MSG_PEEK | abi.MSG_DONTWAIT, false);
  return bytes === 0 && (system.out[OUT.FLAGS]! & abi.MSG_CTRUNC) === 0;
}

const PEEKED = new Uint8Array(1);

/**
 * The sender of a message of so many bytes. A pid of 0 beside a user is a sender outside of this pid namespace; at the end of a
 * stream, where there are no bytes, it is nobody (Linux, unix_stream_read_generic leaves zeros).
 */
function credentialsOf(platform: Platform, bytes: number): Credentials | null {
  const { registers } = platform.core;
  const known = registers[REGISTER.CREDENTIALS]!;
  if (known === 2 || (known === 3 && bytes === 0)) return null;
  const pid = registers[REGISTER.PID]!;
  const uid = registers[REGISTER.UID]! >>> 0;
  const gid = registers[REGISTER.GID]! >>> 0;
  // Without a pid: data sent before the option was on.
  const overflow = overflowId(platform, "uid");
  if (overflow !== null && uid === overflow.id && (overflow.unmapped || known === 3)) return null;
  return { pid: pid <= 0 ? null : pid, uid, gid };
}

/** The label's bytes: SELinux sends the closing NUL with them, AppArmor and Smack do not. */
function securityOf(core: Core): string {
  const from = core.registers[REGISTER.SECURITY]!;
  const label = Buffer.from(core.control.subarray(from, from + core.registers[REGISTER.SECURITY_LENGTH]!)).toString();
  return label.endsWith("\0") ? label.slice(0, -1) : label;
}

/** The error of a failed receive. */
export function receiveError(platform: Platform, errno: number): SystemError {
  const { tableFullErrno } = platform.abi;
  const tableFull = (tableFullErrno === "EMSGSIZE" && errno === EMSGSIZE) || errno === EMFILE;
  return errnoError(errno, "recvmsg", tableFull ? "the descriptor table may be full" : undefined);
}
