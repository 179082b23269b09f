/** One attempt to receive: one `recvmsg`, which results in a message or an error. */

import { outOfRange } from "../core/errors.ts";
import { labelOf } from "../core/payloads.ts";
import { type Core, REGISTER } from "../core/wasm.ts";
import { adopt, adoptAll, closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import { addressOf } from "../system/address.ts";
import { EAGAIN, ECONNRESET, EMFILE, EMSGSIZE, EWOULDBLOCK, fdError, type SystemError } from "../system/errno.ts";
import { type Platform, UNIT_SHIFT } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { OUT, POLLIN } from "../system/system.ts";
import { type Credentials, overflowId } from "./credentials.ts";
import { byteLength, copyOf, type Iovec, receiveInto } from "./iovec.ts";
import { closeDelivered, type Expected, judge, makeCloexec, refusal } from "./received.ts";

/** A received message without its bytes. */
export interface Ancillary extends Disposable {
  /**
   * Whether the peer has finished: on a stream, no byte was received; on a seqpacket socket, a record without bytes and descriptors
   * was received, and the peer has shut down its end. Always false on a datagram socket. If the peer has
   * shut down its end, an empty record counts as the end, unless a record with bytes or descriptors follows it.
   */
  readonly eof: boolean;
  /** All CLOEXEC, at most `maxFds`. */
  readonly fds: OwnedFd[];
  /** Descriptors beyond `maxFds`, already closed. */
  readonly surplus: number;
  /** On a stream, how many bytes were received before these; 0 on other sockets. */
  readonly streamOffset: number;
  /** Whether the datagram or record was longer than the buffer. True only with `allowTruncated`. */
  readonly dataTruncated: boolean;
  /** The sender's credentials, when the socket passes them and the kernel knows the sender. */
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
   * The bytes. No other message uses them. As with Node's small Buffers, `data.buffer` may hold other messages of this process too,
   * and then it is not transferable. Give `Uint8Array.from(data)` to code that must not see other messages.
   */
  readonly data: Buffer;
}

/** A message received into the caller's buffers. */
export interface ReceivedFdsInto extends Ancillary {
  /** How many bytes were written to the buffers, from their start. */
  readonly bytesRead: number;
}

/** The parameters of a receive. */
export interface Request extends Expected {
  readonly maxFds: number;
  /** The caller's buffers, which must still have `bufferSize` bytes at the attempt; null for a new buffer of that size. */
  readonly into: Iovec | null;
  readonly allowTruncated: boolean;
  readonly wantAddress: boolean;
}

/** The state of a socket that a receive uses and changes. */
export interface Receiver {
  readonly platform: Platform;
  readonly type: SocketType;
  /** Bytes received so far; counted on streams. */
  received: number;
  /** Whether the socket passes pidfds to the program. If not, they are closed. */
  readonly passesPidfd: boolean;
  /** A reset that the kernel has reported before the last messages were received; null if there is none. */
  reset: Error | null;
  /** The reader, which alone receives from the socket, and joins the parts of records; null if there is none. */
  reader: object | null;
}

/** The class of both kinds of message. `data` is null when the bytes are in the caller's buffers. */
export class Message implements Ancillary {
  readonly data: Buffer | null;
  readonly bytesRead: number;
  readonly fds: OwnedFd[];
  readonly surplus: number;
  readonly streamOffset: number;
  readonly dataTruncated: boolean;
  // What few messages have is set afterwards.
  eof = false;
  credentials: Credentials | null = null;
  pidfd: OwnedFd | null = null;
  security: string | null = null;
  /** The sender's name, if it was asked for. */
  address: string | null = null;

  constructor(
    data: Buffer | null,
    bytesRead: number,
    fds: OwnedFd[],
    surplus: number,
    streamOffset: number,
    dataTruncated: boolean,
  ) {
    this.data = data;
    this.bytesRead = bytesRead;
    this.fds = fds;
    this.surplus = surplus;
    this.streamOffset = streamOffset;
    this.dataTruncated = dataTruncated;
  }

  [Symbol.dispose](): void {
    closeAll(this.pidfd === null ? this.fds : [...this.fds, this.pidfd]);
  }
}

/**
 * Attempts a receive.
 *
 * This is the hot path. Rare cases are in other functions, because V8 inlines only short functions.
 *
 * @returns the message, or null when there is none yet
 * @throws SystemError, or an AncillaryError with the received bytes as `data`; in both cases no descriptor stays open
 */
export function receiveOnce(receiver: Receiver, fd: number, request: Request): Message | null {
  const { platform } = receiver;
  const { system, core } = platform;
  const bytes = callRecvmsg(platform, fd, request);
  if (bytes < 0) return nothingCame(receiver, fd, request, bytes);
  if (platform.marksRecords && receiver.type === "seqpacket" && receiver.reader === null) tellPart(platform, bytes);

  const outcome = judge(platform, request.maxFds, request.exactly, request.allowTruncated);
  const streamOffset = receiver.received;
  if (receiver.type === "stream") receiver.received += bytes;
  const flags = system.out[OUT.FLAGS]!;
  if (outcome !== 0 || platform.needsCloexec) check(platform, fd, request, bytes, outcome);

  const { registers, fds: table } = core;
  const delivered = registers[REGISTER.COUNT]!;
  const kept = registers[REGISTER.KEEP]!;
  const fds = adoptAll(platform, table, kept);
  platform.spent += delivered + (bytes >>> UNIT_SHIFT);
  if (delivered > kept) system.discard(table, kept, delivered);
  const message = new Message(
    request.into === null ? platform.receiveBuffer.take(bytes) : null,
    bytes,
    fds,
    delivered - kept,
    streamOffset,
    (flags & platform.abi.MSG_TRUNC) !== 0,
  );
  if (bytes === 0 && delivered === 0 && !message.dataTruncated) message.eof = isEnd(receiver, fd);
  if (
    registers[REGISTER.CREDENTIALS]! > 0 ||
    registers[REGISTER.HAS_PIDFD]! > 0 ||
    registers[REGISTER.SECURITY_LENGTH]! >= 0
  )
    addSender(message, receiver);
  if (request.wantAddress) message.address = addressOf(system);
  return message;
}

/** A record whose end has not come is cut. The kernel says so by the absence of MSG_EOR, and gives the rest to the next receive. */
function tellPart({ system: { out }, abi }: Platform, bytes: number): void {
  if (bytes > 0 && (out[OUT.FLAGS]! & abi.MSG_EOR) === 0) out[OUT.FLAGS]! |= abi.MSG_TRUNC;
}

/** What the kernel says of the sender, as the last verdict found it. */
function addSender(message: Message, receiver: Receiver): void {
  const { platform } = receiver;
  const { core } = platform;
  const { registers } = core;
  if (registers[REGISTER.CREDENTIALS]! > 0) message.credentials = credentialsOf(platform, message.bytesRead);
  if (registers[REGISTER.HAS_PIDFD]! > 0) message.pidfd = pidfdOf(receiver, registers[REGISTER.PIDFD]!);
  if (registers[REGISTER.SECURITY_LENGTH]! >= 0) message.security = securityOf(core);
}

/** MSG_TRUNC is never an input flag: the result would be longer than the buffer (CPython's `recv` had that bug). */
function callRecvmsg(platform: Platform, fd: number, request: Request): number {
  if (request.into !== null) return callRecvmsgInto(platform, fd, request.into, request);
  const { system, receiveBuffer } = platform;
  const { bufferSize } = request;
  receiveBuffer.prepare(bufferSize);
  return system.recvmsg(
    fd,
    receiveBuffer.buffer,
    receiveBuffer.offset,
    bufferSize,
    platform.receiveCapacity,
    platform.receiveFlags,
    request.wantAddress,
  );
}

function callRecvmsgInto(platform: Platform, fd: number, into: Iovec, { bufferSize, wantAddress }: Request): number {
  // The buffers can be detached while a receive waits. The kernel would then drop the rest of a record; on a stream it would
  // discard the descriptors and return 0, which means the end (measured on Linux 6.18).
  const bytes = byteLength(into);
  if (bytes < bufferSize)
    throw outOfRange("buffers", `the ${bufferSize} bytes that they had at the call`, `${bytes} bytes`);
  const { system, receiveCapacity, receiveFlags } = platform;
  return receiveInto(system, fd, into, receiveCapacity, receiveFlags, wantAddress);
}

/**
 * Handles a failed `recvmsg`: null if there is no message yet, else an error.
 *
 * On datagram and seqpacket sockets Linux reports a reset once, before the messages that are still queued
 * (__skb_try_recv_datagram); on a stream it reports it after the bytes. The reset is stored until the messages are received.
 */
function nothingCame(receiver: Receiver, fd: number, request: Request, errno: number): Message | null {
  if (errno === EAGAIN || errno === EWOULDBLOCK) return null;
  const error = receiveError(receiver.platform, fd, errno);
  if (errno !== ECONNRESET || receiver.type === "stream" || receiver.reset !== null) throw error;
  receiver.reset = error;
  return receiveOnce(receiver, fd, request);
}

/** Throws the error of a refused message, if there is one. Its descriptors are closed, and the error has the received bytes. */
function check(platform: Platform, fd: number, request: Request, bytes: number, outcome: number): void {
  const error = refusal(platform, fd, outcome, request) ?? makeCloexec(platform);
  if (error === null) return;
  closeDelivered(platform);
  throw Object.assign(error, { data: bytesOf(platform, request, bytes) });
}

/** Whether a receive without bytes and descriptors means that the peer has finished. */
function isEnd({ platform, type }: Receiver, fd: number): boolean {
  return type === "stream" || (type === "seqpacket" && peerIsShut(platform, fd));
}

/** The owner of a received pidfd; closes it if the program did not ask for pidfds. */
function pidfdOf({ platform, passesPidfd }: Receiver, pidfd: number): OwnedFd | null {
  if (passesPidfd) return adopt(platform, pidfd);
  platform.system.close(pidfd);
  return null;
}

/** The bytes of a failed receive, for its error. */
function bytesOf(platform: Platform, { into }: Request, bytes: number): Buffer {
  return into === null ? platform.receiveBuffer.take(bytes) : copyOf(into, Math.min(bytes, byteLength(into)));
}

/** Whether a receive of 0 bytes is the end and not an empty record: the peer has shut down its end, and nothing is left. */
function peerIsShut({ system, constants, abi }: Platform, fd: number): boolean {
  const { POLLHUP, POLLRDHUP } = constants as { POLLHUP: number; POLLRDHUP?: number };
  const shut = POLLHUP | (POLLRDHUP ?? 0);
  const ready = system.poll(fd, shut | POLLIN, 0);
  // If poll fails, this counts as an empty record; the next receive reports the end again.
  if (ready < 0) return false;
  // Without POLLRDHUP, the only sign that a peer has shut down just its sending end is that the socket stays readable.
  if ((ready & (POLLRDHUP === undefined ? shut | POLLIN : shut)) === 0) return false;
  // Earlier records may still be queued, with bytes or with descriptors. This peek has no control buffer, so descriptors set MSG_CTRUNC.
  const bytes = system.recvmsg(fd, PEEKED, 0, PEEKED.length, 0, abi.MSG_PEEK | abi.MSG_DONTWAIT, false);
  return bytes === 0 && (system.out[OUT.FLAGS]! & abi.MSG_CTRUNC) === 0;
}

const PEEKED = new Uint8Array(1);

/**
 * The credentials of the sender of a message. A pid of 0 with a user means a sender outside of this pid namespace. At the end of a
 * stream, where there are no bytes, it means that there is no sender (Linux: unix_stream_read_generic leaves zeros).
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

function securityOf(core: Core): string {
  const from = core.registers[REGISTER.SECURITY]!;
  return labelOf(core.control.subarray(from, from + core.registers[REGISTER.SECURITY_LENGTH]!));
}

/** The error of a failed receive. */
export function receiveError(platform: Platform, fd: number, errno: number): SystemError {
  const { tableFullErrno } = platform.abi;
  const tableFull = (tableFullErrno === "EMSGSIZE" && errno === EMSGSIZE) || errno === EMFILE;
  return fdError(errno, "recvmsg", fd, false, tableFull ? "the descriptor table may be full" : null);
}
