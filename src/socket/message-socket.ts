/** Sending and receiving, shared by stream, datagram and seqpacket sockets. */

import { AncillaryError, boolean, type Checks, integer, type KEY, outOfRange, readOptions } from "../core/errors.ts";
import { type AsFd, checkNumbers, copyFds, NO_FDS, NO_NUMBERS, readNumbers } from "../fd/as-fd.ts";
import { buffers, byteLength, type Iovec, iovec, type Payload } from "../message/iovec.ts";
import {
  type Message,
  type ReceivedFds,
  type ReceivedFdsInto,
  type Receiver,
  type Request,
  receiveOnce,
} from "../message/receive.ts";
import { checkCarried, checkLength, type SendTarget, sendOnce, waitOrThrow } from "../message/send.ts";
import { EPIPE, fdError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { type SocketType, setFlag, shutError } from "../system/socket-type.ts";
import { Endpoint } from "./endpoint.ts";
import { Operation, WAIT } from "./operation.ts";
import { SIGNAL, TIMEOUT, type WaitOptions } from "./waiting.ts";

/** Options of a receive. */
export interface RecvOptions {
  /** The most bytes to receive. By default 4096 on a stream, 65536 on datagram and seqpacket sockets. */
  bufferSize?: number | undefined;
  /** Whether a datagram or record longer than the buffer is cut and delivered, instead of failing with `ERR_DATA_TRUNCATED`. */
  allowTruncated?: boolean | undefined;
}

/** Options of `recvFdsInto`: the buffers are the caller's. */
export type RecvIntoOptions = Pick<RecvOptions, "allowTruncated">;

/** Default sizes of receive buffers, in bytes. */
const STREAM_BYTES = 4096;
const DATAGRAM_BYTES = 65536;

/** Checks for the options of each kind of receive. */
const ALLOW_TRUNCATED: Checks = { allowTruncated: (name, value) => void boolean(name, value) };
const RECV: Checks = {
  bufferSize: (name, value) => void integer(name, value, 1, 0x7fffffff),
  ...ALLOW_TRUNCATED,
};
export const RECV_ASYNC: Checks = { ...RECV, ...SIGNAL };
export const RECV_SYNC: Checks = { ...RECV, ...TIMEOUT };
const RECV_INTO_ASYNC: Checks = { ...ALLOW_TRUNCATED, ...SIGNAL };
const RECV_INTO_SYNC: Checks = { ...ALLOW_TRUNCATED, ...TIMEOUT };

/** The state of a socket that its sends and receives use. */
interface SocketState extends Receiver, SendTarget {
  passesPidfd: boolean;
}

/**
 * The objects of operations that have succeeded are reused for the next call. A new object for each call costs two cache lines of
 * memory, and 4 % of a round trip with one descriptor (2026-11).
 */
let spareReceive: Receive<unknown> | null = null;
let spareSend: Send | null = null;

/** One `recvmsg`. `M` depends on the request: a message with `data`, or a message in the caller's buffers. */
class Receive<M> extends Operation<M> implements Request {
  readonly syscall = "recvmsg";
  #state: SocketState | null = null;
  maxFds = 0;
  exactly = -1;
  into: Iovec | null = null;
  bufferSize = 0;
  allowTruncated = false;
  wantAddress = false;
  /** The reader that asks for this receive; null if a caller does. */
  reader: object | null = null;

  /** A receive with the caller's options, already read. */
  static of<M>(state: SocketState, maxFds: number, { bufferSize, allowTruncated }: RecvOptions): Receive<M> {
    const receive = (spareReceive ?? new Receive()) as Receive<M>;
    spareReceive = null;
    receive.request(state, maxFds, bufferSize, allowTruncated);
    return receive;
  }

  protected request(
    state: SocketState,
    maxFds: number,
    bufferSize: number | undefined,
    allowTruncated: boolean | undefined,
  ): void {
    this.#state = state;
    this.maxFds = maxFds;
    this.bufferSize = bufferSize ?? (state.type === "stream" ? STREAM_BYTES : DATAGRAM_BYTES);
    this.allowTruncated = allowTruncated ?? false;
  }

  receiveInto(into: Iovec): this {
    this.into = into;
    this.bufferSize = byteLength(into);
    return this;
  }

  /** Before it waits, too: behind the reader's receive it would wait for as long as that. */
  override check(): void {
    if (this.#state!.reader !== this.reader)
      throw this.failed(new AncillaryError("ERR_SOCKET_BUSY", "the socket has a reader, which alone receives from it"));
  }

  perform(fd: number): M | typeof WAIT {
    const state = this.#state!;
    this.check();
    const message = receiveOnce(state, fd, this);
    // The reset is reported after everything that was sent before it.
    if (state.reset !== null && (message === null || message.eof)) throw takeReset(state);
    return message === null ? WAIT : this.result(message);
  }

  protected result(message: Message): M {
    return message as M;
  }

  override stuck(fd: number): Error | null {
    const { platform, type } = this.#state!;
    // A datagram socket that is shut down for reading polls readable, but never reports an end (Linux, unix_dgram_recvmsg).
    return type === "dgram" ? shutError(platform, fd, EPIPE, "recvmsg") : null;
  }

  override recycle(): void {
    this.#state = null;
    this.exactly = -1;
    this.into = null;
    this.wantAddress = false;
    this.reader = null;
    spareReceive = this;
  }
}

function takeReset(state: SocketState): Error {
  const { reset } = state;
  state.reset = null;
  return reset!;
}

const DONE = { done: true, value: undefined } as const;

type Result = IteratorResult<ReceivedFds, undefined>;
type ReceiveOptions = RecvOptions & Pick<WaitOptions, "signal">;

/** A receive for `messages()`. A class of its own, because a second promise for each receive would take as much memory as the socket. */
class ReceiveNext extends Receive<Result> {
  readonly #messages: Messages;

  constructor(state: SocketState, maxFds: number, { bufferSize, allowTruncated }: RecvOptions, messages: Messages) {
    super();
    this.request(state, maxFds, bufferSize, allowTruncated);
    this.#messages = messages;
  }

  /** The next receive of the loop has the same arguments. */
  override recycle(): void {
    this.#messages.spare = this;
  }

  override perform(fd: number): Result | typeof WAIT {
    try {
      return super.perform(fd);
    } catch (error) {
      throw this.failed(error as Error);
    }
  }

  protected override result(message: Message): Result {
    if (!message.eof) return { done: false, value: message as ReceivedFds };
    this.#messages.done = true;
    return DONE;
  }

  override withdrawn(reason: unknown): unknown {
    this.#messages.done = true;
    return reason;
  }

  override failed(error: Error): Error {
    this.#messages.done = true;
    return error;
  }
}

/** The messages of a socket until its peer finishes, or a receive fails. */
class Messages implements AsyncIterableIterator<ReceivedFds, undefined> {
  // In a closure they would take 126 bytes more, for each connection that waits (2026-12).
  readonly #socket: MessageSocket;
  readonly #maxFds: number;
  readonly #options: ReceiveOptions;
  done = false;
  /** A receive that has succeeded, for the next one. */
  spare: ReceiveNext | null = null;

  constructor(socket: MessageSocket, maxFds: number, options: ReceiveOptions) {
    this.#socket = socket;
    this.#maxFds = maxFds;
    this.#options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    return this.done ? Promise.resolve(DONE) : receiveNext(this, this.#socket, this.#maxFds, this.#options);
  }

  async return(): Promise<Result> {
    this.done = true;
    return DONE;
  }
}

// biome-ignore lint/correctness/useYield: it has no message.
async function* failing(error: unknown): AsyncGenerator<never, undefined> {
  throw error;
}

let receiveNext: (
  messages: Messages,
  socket: MessageSocket,
  maxFds: number,
  options: ReceiveOptions,
) => Promise<Result>;

/** One `sendmsg`. */
class Send extends Operation<number> {
  readonly syscall = "sendmsg";
  #target: SendTarget | null = null;
  #payload: Iovec | null = null;
  #length = 0;
  /** Whether code of the caller's may have run since the payload was measured. */
  #stale = false;
  /** The list of descriptors of a send with one, which is the usual case. */
  readonly #single: AsFd[] = [-1];
  #fds: readonly AsFd[] | null = null;
  #numbers = NO_NUMBERS;
  #to: Uint8Array | null = null;

  /** Checks the arguments of a send. `to` is the receiver's `sun_path` on a socket that is not connected. */
  static of(target: SendTarget, data: Payload, fds: readonly AsFd[] | undefined, to: Uint8Array | null): Send {
    const payload = iovec(data);
    const send = spareSend ?? new Send();
    spareSend = null;
    send.#target = target;
    send.#payload = payload;
    const list = fds === undefined ? NO_FDS : copyFds(fds, target.platform.abi.maxFdsPerMessage, send.#single);
    // After the list was copied: a Proxy's traps may detach the payload.
    const length = byteLength(payload);
    send.#fds = list;
    send.#length = length;
    send.#stale = false;
    send.#to = to;
    if (length === 0 && target.type === "stream") checkCarried(0, list);
    return send;
  }

  override prepare(): void {
    const fds = this.#fds!;
    if (fds.length === 0) return;
    const numbers = readNumbers(this.#target!.platform, fds);
    if (numbers === NO_NUMBERS) return;
    this.#numbers = numbers;
    this.#stale = true;
  }

  override check(): void {
    this.#stale = true;
    checkNumbers(this.#target!.platform, this.#fds!, this.#numbers);
  }

  override get runsCallersCode(): boolean {
    return this.#numbers !== NO_NUMBERS;
  }

  perform(fd: number): number | typeof WAIT {
    const target = this.#target!;
    const payload = this.#payload!;
    const fds = this.#fds!;
    if (this.#stale) checkLength(payload, this.#length);
    const sent = sendOnce(target, fd, payload, 0, this.#length, fds, this.#numbers, this.#to);
    if (sent >= 0) return sent;
    this.retryAfter = waitOrThrow(target, fd, sent, fds, this.#numbers, this.#to, this.retryAfter);
    this.#stale = true;
    return WAIT;
  }

  override recycle(): void {
    this.retryAfter = 0;
    this.#target = null;
    this.#payload = null;
    this.#single[0] = -1;
    this.#fds = null;
    if (this.#numbers !== NO_NUMBERS) this.#numbers = NO_NUMBERS;
    this.#to = null;
    spareSend = this;
  }
}

class Shutdown extends Operation<undefined> {
  readonly syscall = "shutdown";
  readonly #platform: Platform;
  readonly #how: number;
  /** Whether no send waits in the queue of a receiver. */
  readonly #isNext: () => boolean;

  constructor(platform: Platform, how: number, isNext: () => boolean) {
    super();
    this.#platform = platform;
    this.#how = how;
    this.#isNext = isNext;
  }

  perform(fd: number): undefined | typeof WAIT {
    if (!this.#isNext()) {
      this.retryAfter = 1;
      return WAIT;
    }
    const result = this.#platform.system.shutdown(fd, this.#how);
    if (result < 0) throw fdError(result, "shutdown", fd, true);
  }
}

/** The type of a socket of this library; null for anything else. No code of the caller's runs. */
export let typeOf: (source: unknown) => SocketType | null;

/** A socket that carries bytes and descriptors. */
export abstract class MessageSocket extends Endpoint {
  readonly #state: SocketState;

  static {
    typeOf = (source) =>
      typeof source === "object" && source !== null && #state in source ? (source as MessageSocket).#state.type : null;
    receiveNext = (messages, socket, maxFds, options) => {
      const receive = messages.spare ?? new ReceiveNext(socket.#state, maxFds, options, messages);
      messages.spare = null;
      return socket.submit("reading", receive, options.signal);
    };
  }

  /** @internal */
  protected constructor(key: typeof KEY, platform: Platform, fd: number, type: SocketType, passesPidfd: boolean) {
    super(key, platform, fd, type === "stream");
    this.#state = { platform, type, received: 0, passesPidfd, reset: null, reader: null };
  }

  /**
   * Sends bytes and descriptors with one `sendmsg`. The caller keeps owning the descriptors; their numbers are read when the system
   * call is made.
   *
   * @returns the number of bytes accepted. On a stream it may be smaller than the payload; the descriptors are sent with the first byte
   * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_SOCKET_CLOSED`; RangeError `ERR_TOO_MANY_FDS`;
   *   SystemError `EPIPE`, `EBADF`, `ETOOMANYREFS` ...
   */
  sendFds(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<number> {
    try {
      const { signal } = readOptions("options", options, SIGNAL);
      return this.submit("writing", Send.of(this.#state, data, fds, null), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link sendFds}, waiting in `poll(2)`. */
  sendFdsSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): number {
    const { timeout } = readOptions("options", options, TIMEOUT);
    return this.runSync("writing", Send.of(this.#state, data, fds, null), timeout);
  }

  /** {@link sendFds} without waiting; null, and nothing is sent, when it would have to wait. */
  trySendFds(data: Payload, fds?: readonly AsFd[]): number | null {
    return this.tryNow("writing", Send.of(this.#state, data, fds, null));
  }

  /**
   * Receives bytes and at most `maxFds` descriptors with one `recvmsg`. Descriptors beyond the limit are closed at once.
   *
   * On a stream, descriptors arrive with the first byte that they were sent with. Bytes sent earlier may precede that byte.
   *
   * @throws AncillaryError `ERR_ANCILLARY_TRUNCATED`, `ERR_DATA_TRUNCATED`, `ERR_MALFORMED_CONTROL`: the bytes are `data` of the
   *   error, every descriptor is closed, and the socket can still be used; `ERR_SOCKET_CLOSED`; SystemError `ECONNRESET` ...
   */
  recvFds(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds> {
    try {
      const read = readOptions("options", options, RECV_ASYNC);
      return this.submit("reading", this.#receive(maxFds, read), read.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link recvFds}, waiting in `poll(2)`. */
  recvFdsSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds {
    const read = readOptions("options", options, RECV_SYNC);
    return this.runSync("reading", this.#receive(maxFds, read), read.timeout);
  }

  /** {@link recvFds} without waiting; null when it would have to wait. */
  tryRecvFds(maxFds: number, options?: RecvOptions): ReceivedFds | null {
    const read = readOptions("options", options, RECV);
    return this.tryNow("reading", this.#receive(maxFds, read));
  }

  /** {@link recvFds} into the caller's buffers, which must not be used otherwise until the promise settles. */
  recvFdsInto(
    into: Uint8Array | readonly Uint8Array[],
    maxFds: number,
    options?: RecvIntoOptions & Pick<WaitOptions, "signal">,
  ): Promise<ReceivedFdsInto> {
    try {
      const read = readOptions("options", options, RECV_INTO_ASYNC);
      return this.submit("reading", this.#receiveInto(into, maxFds, read), read.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link recvFdsInto}, waiting in `poll(2)`. */
  recvFdsIntoSync(
    into: Uint8Array | readonly Uint8Array[],
    maxFds: number,
    options?: RecvIntoOptions & Pick<WaitOptions, "timeout">,
  ): ReceivedFdsInto {
    const read = readOptions("options", options, RECV_INTO_SYNC);
    return this.runSync("reading", this.#receiveInto(into, maxFds, read), read.timeout);
  }

  /**
   * {@link recvFds} of exactly `count` descriptors.
   *
   * @throws AncillaryError `ERR_FD_COUNT` when fewer or more arrive: all of them are closed, and the bytes are `data` of the error
   */
  recvFdsExact(count: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds> {
    try {
      const read = readOptions("options", options, RECV_ASYNC);
      return this.submit("reading", this.#receiveExact(count, read), read.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link recvFdsExact}, waiting in `poll(2)`. */
  recvFdsExactSync(count: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds {
    const read = readOptions("options", options, RECV_SYNC);
    return this.runSync("reading", this.#receiveExact(count, read), read.timeout);
  }

  /** Receives messages until the peer finishes. A datagram socket has no end, so there the loop does not end by itself. */
  messages(
    maxFds: number,
    options?: RecvOptions & Pick<WaitOptions, "signal">,
  ): AsyncIterableIterator<ReceivedFds, undefined> {
    try {
      const read = readOptions("options", options, RECV_ASYNC);
      limit("maxFds", maxFds);
      return new Messages(this, maxFds, read);
    } catch (error) {
      return failing(error);
    }
  }

  /**
   * Shuts down one direction or both. `"write"` and `"both"` take effect after the queued sends.
   *
   * @throws SystemError `ENOTCONN`
   */
  shutdown(how: "read" | "write" | "both" = "both"): void {
    const number = ["read", "write", "both"].indexOf(how);
    if (number === -1) throw outOfRange("how", '"read", "write" or "both"', how, "ERR_INVALID_ARG_VALUE");
    const operation = new Shutdown(this.platform, number, () => number === 0 || this.lanesIdle);
    const fd = this.openFd();
    if (number === 0 || (this.idle("writing") && this.lanesIdle)) operation.perform(fd);
    // A failure at this point has no caller to report to: the peer is gone, and the next operation fails for the same reason.
    else this.submit("writing", operation).catch(() => {});
  }

  /** Whether messages bring the sender's credentials (SO_PASSCRED). Data that the peer sent before have none. */
  setPassCredentials(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSCRED", on);
  }

  /** Whether messages bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
  setPassPidfd(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSPIDFD", on);
    this.#state.passesPidfd = on;
  }

  /** Whether messages bring the sender's security label (SO_PASSSEC, Linux). */
  setPassSecurity(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSSEC", on);
  }

  /**
   * Whether this socket takes descriptors (SO_PASSRIGHTS, Linux 6.16); true by default. If not, a send of descriptors to it fails with
   * `EPERM` at the sender; bytes alone are still received. So are descriptors that were sent before.
   *
   * @throws SystemError `ENOPROTOOPT` on older kernels, `ENOTSUP` on other systems
   */
  setPassRights(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSRIGHTS", on);
  }

  /** The state that sends and receives use. @internal */
  protected get state(): SocketState {
    return this.#state;
  }

  /** A send from a datagram socket to the socket that is bound to `to`. @internal */
  protected sendTo(data: Payload, fds: readonly AsFd[], to: Uint8Array): Operation<number> {
    return Send.of(this.#state, data, fds, to);
  }

  /** A receive with the sender's name. @internal */
  protected receiveFrom<M extends ReceivedFds>(maxFds: number, options: RecvOptions): Operation<M> {
    const receive = Receive.of<M>(this.#state, limit("maxFds", maxFds), options);
    receive.wantAddress = true;
    return receive;
  }

  /** A receive for the reader of this socket. @internal */
  protected receiveFor(reader: object, into: Iovec, maxFds: number): Operation<ReceivedFdsInto> {
    const none = readOptions<RecvOptions>("options", undefined, RECV);
    const receive = Receive.of<ReceivedFdsInto>(this.#state, maxFds, none).receiveInto(into);
    receive.reader = reader;
    return receive;
  }

  #receive(maxFds: number, options: RecvOptions): Operation<ReceivedFds> {
    return Receive.of<ReceivedFds>(this.#state, limit("maxFds", maxFds), options);
  }

  #receiveExact(count: number, options: RecvOptions): Operation<ReceivedFds> {
    const receive = Receive.of<ReceivedFds>(this.#state, limit("count", count), options);
    receive.exactly = count;
    return receive;
  }

  #receiveInto(into: unknown, maxFds: number, options: RecvIntoOptions): Operation<ReceivedFdsInto> {
    const iov = buffers(into);
    // On a stream the kernel would discard the descriptors and return 0, which means the end (measured on Linux 6.18).
    // Darwin, NetBSD and DragonFly would answer 0 on every socket, though nothing has come.
    const { type, platform } = this.#state;
    const answered = type === "stream" || platform.abi.emptyReceive === "answered";
    if (answered && byteLength(iov) === 0) throw outOfRange("buffers", "at least 1 byte", 0);
    return Receive.of<ReceivedFdsInto>(this.#state, limit("maxFds", maxFds), options).receiveInto(iov);
  }
}

/** Checks a number of descriptors. A limit above the kernel's own is no error: it is never reached. */
function limit(name: string, value: unknown): number {
  return integer(name, value, 0, 0x7fffffff);
}
