/** Sending and receiving, as streams, datagram and seqpacket sockets share it. */

import { boolean, type Checks, options as checkOptions, integer, outOfRange } from "../core/errors.ts";
import type { AsFd } from "../fd/as-fd.ts";
import { buffers, byteLength, type Iovec, iovec, type Payload } from "../message/iovec.ts";
import { type ReceivedFds, type ReceivedFdsInto, type Request, receiveOnce, type Source } from "../message/receive.ts";
import {
  checkCarried,
  checkFdList,
  checkFds,
  NO_FDS,
  type SendTarget,
  sendOnce,
  waitOrThrow,
} from "../message/send.ts";
import { isUint8Array } from "../system/builtins.ts";
import { errnoError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { type SocketType, setFlag } from "../system/socket-type.ts";
import { Endpoint, SIGNAL, TIMEOUT, type WaitOptions } from "./endpoint.ts";
import { Operation, WAIT } from "./operation.ts";

/** What a receive can be told. */
export interface RecvOptions {
  /** Bytes to receive at most. 4096 on a stream, 65536 on datagram and seqpacket sockets. */
  bufferSize?: number | undefined;
  /** Whether a datagram or record longer than the buffer is delivered, cut, instead of `ERR_DATA_TRUNCATED`. */
  allowTruncated?: boolean | undefined;
}

/** Options of `recvFdsInto`: the buffers are the caller's. */
export type RecvIntoOptions = Pick<RecvOptions, "allowTruncated">;

/** Default sizes of receive buffers, in bytes. */
const STREAM_BYTES = 4096;
const DATAGRAM_BYTES = 65536;

/** Checks for the options of each kind of receive. */
const ALLOW_TRUNCATED: Checks = { allowTruncated: (name, value) => void boolean(name, value) };
export const RECV: Checks = {
  bufferSize: (name, value) => void integer(name, value, 1, 0x7fffffff),
  ...ALLOW_TRUNCATED,
};
export const RECV_ASYNC: Checks = { ...RECV, ...SIGNAL };
export const RECV_SYNC: Checks = { ...RECV, ...TIMEOUT };
const RECV_INTO_ASYNC: Checks = { ...ALLOW_TRUNCATED, ...SIGNAL };
const RECV_INTO_SYNC: Checks = { ...ALLOW_TRUNCATED, ...TIMEOUT };

/** `M` follows from the request: with `data`, or into the caller's buffers. */
class Receive<M extends ReceivedFds | ReceivedFdsInto> extends Operation<M> {
  get syscall(): "recvmsg" {
    return "recvmsg";
  }
  readonly #source: Source;
  readonly #request: Request;

  constructor(source: Source, request: Request) {
    super();
    this.#source = source;
    this.#request = request;
  }

  attempt(): M | typeof WAIT {
    const message: unknown = receiveOnce(this.#source, this.#request);
    return message === null ? WAIT : (message as M);
  }
}

/** One `sendmsg`. */
class Send extends Operation<number> {
  get syscall(): "sendmsg" {
    return "sendmsg";
  }
  readonly #target: SendTarget;
  readonly #payload: Iovec;
  readonly #length: number;
  readonly #fds: readonly AsFd[];

  constructor(target: SendTarget, payload: Iovec, length: number, fds: readonly AsFd[]) {
    super();
    this.#target = target;
    this.#payload = payload;
    this.#length = length;
    this.#fds = fds;
  }

  attempt(): number | typeof WAIT {
    const sent = sendOnce(this.#target, this.#payload, 0, this.#length, this.#fds);
    if (sent >= 0) return sent;
    const wait = waitOrThrow(this.#target, sent, this.#fds, this.retryAfter);
    this.retryAfter = wait === "ready" ? 0 : wait;
    return WAIT;
  }
}

class Shutdown extends Operation<void> {
  get syscall(): "shutdown" {
    return "shutdown";
  }
  readonly #platform: Platform;
  readonly #fd: number;
  readonly #how: number;

  constructor(platform: Platform, fd: number, how: number) {
    super();
    this.#platform = platform;
    this.#fd = fd;
    this.#how = how;
  }

  attempt(): void {
    const result = this.#platform.system.shutdown(this.#fd, this.#how);
    if (result < 0) throw errnoError(result, "shutdown");
  }
}

/** The last request without options. */
let usual: Request = {
  maxFds: 0,
  exactly: -1,
  into: null,
  bufferSize: STREAM_BYTES,
  allowTruncated: false,
  wantAddress: false,
};

const DONE = { done: true, value: undefined } as const;

type Result = IteratorResult<ReceivedFds, undefined>;

/** A receive for a loop: an operation of its own, as a promise behind the receive's would cost as much memory as the socket. */
class ReceiveNext extends Operation<Result> {
  get syscall(): "recvmsg" {
    return "recvmsg";
  }
  readonly #source: Source;
  readonly #request: Request;
  readonly #messages: Messages;

  constructor(source: Source, request: Request, messages: Messages) {
    super();
    this.#source = source;
    this.#request = request;
    this.#messages = messages;
  }

  attempt(): Result | typeof WAIT {
    let message: ReceivedFds | null;
    try {
      message = receiveOnce(this.#source, this.#request) as ReceivedFds | null;
    } catch (error) {
      throw this.failed(error as Error);
    }
    if (message === null) return WAIT;
    if (!message.eof) return { done: false, value: message };
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
  readonly socket: MessageSocket;
  readonly maxFds: number;
  readonly options: (RecvOptions & Pick<WaitOptions, "signal">) | undefined;
  done = false;

  constructor(socket: MessageSocket, maxFds: number, options: (RecvOptions & Pick<WaitOptions, "signal">) | undefined) {
    this.socket = socket;
    this.maxFds = maxFds;
    this.options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    return this.done ? Promise.resolve(DONE) : receiveNext(this);
  }

  async return(): Promise<Result> {
    this.done = true;
    return DONE;
  }
}

let receiveNext: (messages: Messages) => Promise<Result>;

/** A socket that carries bytes and descriptors. */
export abstract class MessageSocket extends Endpoint {
  /** What its receives, and its sends to the peer, need to know of it. */
  protected readonly wire: { -readonly [name in keyof Source]: Source[name] } & SendTarget;

  static {
    receiveNext = (messages) => {
      const { socket, maxFds, options } = messages;
      try {
        const request = socket.#request(limit("maxFds", maxFds), -1, options, RECV_ASYNC);
        return socket.submit("reading", new ReceiveNext(socket.wire, request, messages), options?.signal);
      } catch (error) {
        messages.done = true;
        return Promise.reject(error);
      }
    };
  }

  protected constructor(platform: Platform, fd: number, type: SocketType, passesPidfd: boolean) {
    super(platform, fd);
    this.wire = { platform, fd, type, received: 0, passesPidfd, socket: this, to: null };
  }

  /** @internal */
  get type(): SocketType {
    return this.wire.type;
  }

  /**
   * Sends bytes and descriptors with one `sendmsg`. The descriptors stay the caller's; they are read when the system call
   * is made.
   *
   * @returns the number of bytes accepted. On a stream that may be fewer than given; the descriptors went with the first
   * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_SOCKET_CLOSED`; RangeError `ERR_TOO_MANY_FDS`;
   *   SystemError `EPIPE`, `EBADF`, `ETOOMANYREFS` ...
   */
  sendFds(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<number> {
    try {
      checkOptions("options", options, SIGNAL);
      const signal = options?.signal;
      if (fds !== undefined && isUint8Array(data) && signal === undefined && this.mayAttempt("writing")) {
        const sent = this.#sendNow(data, fds);
        this.attempted("writing", sent !== null);
        if (sent !== null) return Promise.resolve(sent);
        return this.enqueue("writing", this.sendOperation(data, fds));
      }
      return this.submit("writing", this.sendOperation(data, fds), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link sendFds}, waiting in `poll(2)`. */
  sendFdsSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): number {
    checkOptions("options", options, TIMEOUT);
    if (this.idle("writing") && fds !== undefined && isUint8Array(data)) {
      // The common case costs no operation object and no copy of the list: nothing waits in between.
      const sent = this.#sendNow(data, fds);
      if (sent !== null) return sent;
    }
    return this.runSync("writing", this.sendOperation(data, fds), options?.timeout);
  }

  /** {@link sendFds} if it can be done at once; null, and nothing sent, when it would have to wait. */
  trySendFds(data: Payload, fds?: readonly AsFd[]): number | null {
    return this.tryNow("writing", this.sendOperation(data, fds));
  }

  /**
   * Receives bytes and at most `maxFds` descriptors with one `recvmsg`; descriptors beyond are closed at once.
   *
   * On a stream, descriptors come with the first byte they were sent with; bytes sent before may come in front of it.
   *
   * @throws AncillaryError `ERR_ANCILLARY_TRUNCATED`, `ERR_DATA_TRUNCATED`, `ERR_MALFORMED_CONTROL` with the bytes as
   *   `data`, every descriptor closed, the socket still usable; `ERR_SOCKET_CLOSED`; SystemError `ECONNRESET` ...
   */
  recvFds(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds> {
    try {
      const request = this.#request(limit("maxFds", maxFds), -1, options, RECV_ASYNC);
      return this.#receive<ReceivedFds>(request, options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link recvFds}, waiting in `poll(2)`. */
  recvFdsSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds {
    if (options === undefined && this.idle("reading")) {
      // As in sendFdsSync: nothing is allocated but the message.
      const message: unknown = receiveOnce(this.wire, this.#usualRequest(limit("maxFds", maxFds)));
      if (message !== null) return message as ReceivedFds;
    }
    const operation = this.receiveOperation(limit("maxFds", maxFds), -1, options, RECV_SYNC);
    return this.runSync("reading", operation, options?.timeout);
  }

  /** {@link recvFds} if something is there; null when it would have to wait. */
  tryRecvFds(maxFds: number, options?: RecvOptions): ReceivedFds | null {
    return this.tryNow("reading", this.receiveOperation(limit("maxFds", maxFds), -1, options, RECV));
  }

  /** {@link recvFds} into the caller's buffers. They must not be used for anything else until the promise settles. */
  recvFdsInto(
    into: Uint8Array | readonly Uint8Array[],
    maxFds: number,
    options?: RecvIntoOptions & Pick<WaitOptions, "signal">,
  ): Promise<ReceivedFdsInto> {
    try {
      const request = this.#requestInto(into, maxFds, options, RECV_INTO_ASYNC);
      return this.#receive<ReceivedFdsInto>(request, options?.signal);
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
    const request = this.#requestInto(into, maxFds, options, RECV_INTO_SYNC);
    return this.runSync("reading", new Receive<ReceivedFdsInto>(this.wire, request), options?.timeout);
  }

  /**
   * {@link recvFds} that insists on `count` descriptors.
   *
   * @throws AncillaryError `ERR_FD_COUNT` on fewer or more, all of them closed, the bytes as `data`
   */
  recvFdsExact(count: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds> {
    try {
      const request = this.#request(count, limit("count", count), options, RECV_ASYNC);
      return this.#receive<ReceivedFds>(request, options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link recvFdsExact}, waiting in `poll(2)`. */
  recvFdsExactSync(count: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds {
    const operation = this.receiveOperation(count, limit("count", count), options, RECV_SYNC);
    return this.runSync("reading", operation, options?.timeout);
  }

  /** Receives until the peer finishes. On a datagram socket that is never. */
  messages(
    maxFds: number,
    options?: RecvOptions & Pick<WaitOptions, "signal">,
  ): AsyncIterableIterator<ReceivedFds, undefined> {
    return new Messages(this, maxFds, options);
  }

  /**
   * Ends a direction. `"write"` takes effect behind the sends that are queued.
   *
   * @throws SystemError `ENOTCONN`
   */
  shutdown(how: "read" | "write" | "both" = "both"): void {
    const number = ["read", "write", "both"].indexOf(how);
    if (number === -1) throw outOfRange("how", '"read", "write" or "both"', how, "ERR_INVALID_ARG_VALUE");
    const operation = new Shutdown(this.platform, this.openFd(), number);
    if (number === 0 || this.idle("writing")) operation.attempt();
    // A failure so late has nobody to tell: the peer has gone, which the next operation says.
    else this.submit("writing", operation).catch(() => {});
  }

  /** Whether messages say who sent them (SO_PASSCRED); the peer's data sent before name nobody. */
  setPassCredentials(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSCRED", on);
  }

  /** Whether messages bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
  setPassPidfd(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSPIDFD", on);
    this.wire.passesPidfd = on;
  }

  /** Whether messages bring the sender's security label (SO_PASSSEC, Linux). */
  setPassSecurity(on: boolean): void {
    setFlag(this.platform, this.openFd(), "SO_PASSSEC", on);
  }

  /** Bytes received so far, of a stream. */
  protected get received(): number {
    return this.wire.received;
  }

  /** Receives at once if it can be, and makes an operation only of what has to wait. */
  #receive<M extends ReceivedFds | ReceivedFdsInto>(request: Request, signal: AbortSignal | undefined): Promise<M> {
    if (signal !== undefined) return this.submit("reading", new Receive<M>(this.wire, request), signal);
    if (this.mayAttempt("reading")) {
      const message: unknown = receiveOnce(this.wire, request);
      this.attempted("reading", message !== null);
      if (message !== null) return Promise.resolve(message as M);
    }
    // Not by way of submit, which would ask again whether to attempt it.
    return this.enqueue("reading", new Receive<M>(this.wire, request));
  }

  /** Whether a receive may be called. @throws AncillaryError `ERR_SOCKET_CLOSED` */
  protected checkReceives(): void {
    this.openFd();
  }

  /** One attempt; null when it has to wait. */
  #sendNow(data: Uint8Array, fds: readonly AsFd[]): number | null {
    this.openFd();
    checkFdList(this.platform, fds);
    if (this.wire.type === "stream") checkCarried(data.length, fds);
    const sent = sendOnce(this.wire, data, 0, data.length, fds);
    if (sent >= 0) return sent;
    waitOrThrow(this.wire, sent, fds, 0);
    return null;
  }

  /** Checks the arguments of a send; `to` is the receiver's `sun_path` on a socket that is not connected. */
  protected sendOperation(data: Payload, fds: readonly AsFd[] | undefined, to?: Uint8Array): Operation<number> {
    this.openFd();
    const payload = iovec(data);
    const checked = fds === undefined ? NO_FDS : checkFds(this.platform, fds);
    const length = byteLength(payload);
    if (this.wire.type === "stream") checkCarried(length, checked);
    return new Send(to === undefined ? this.wire : { ...this.wire, to }, payload, length, checked);
  }

  /** Checks the arguments of a receive; `exactly` is -1 for any number of descriptors. */
  protected receiveOperation(
    maxFds: number,
    exactly: number,
    options: RecvOptions | undefined,
    known: Checks,
    wantAddress = false,
  ): Operation<ReceivedFds> {
    return new Receive<ReceivedFds>(this.wire, this.#request(maxFds, exactly, options, known, wantAddress));
  }

  #request(
    maxFds: number,
    exactly: number,
    options: RecvOptions | undefined,
    known: Checks,
    wantAddress = false,
  ): Request {
    if (options === undefined && exactly === -1 && !wantAddress) return this.#usualRequest(maxFds);
    this.checkReceives();
    checkOptions("options", options, known);
    return {
      maxFds,
      exactly,
      into: null,
      bufferSize: options?.bufferSize ?? (this.wire.type === "stream" ? STREAM_BYTES : DATAGRAM_BYTES),
      allowTruncated: options?.allowTruncated ?? false,
      wantAddress,
    };
  }

  /** A request without options: the last one again, as a rule. */
  #usualRequest(maxFds: number): Request {
    this.checkReceives();
    const bufferSize = this.wire.type === "stream" ? STREAM_BYTES : DATAGRAM_BYTES;
    if (usual.maxFds !== maxFds || usual.bufferSize !== bufferSize)
      usual = { maxFds, exactly: -1, into: null, bufferSize, allowTruncated: false, wantAddress: false };
    return usual;
  }

  #requestInto(into: unknown, maxFds: number, options: RecvIntoOptions | undefined, known: Checks): Request {
    this.checkReceives();
    checkOptions("options", options, known);
    const iov = buffers(into);
    // On a stream the kernel would take the descriptors and say 0, the end (measured on Linux 6.18).
    const bufferSize = byteLength(iov);
    if (this.wire.type === "stream" && bufferSize === 0) throw outOfRange("buffers", "at least 1 byte", 0);
    return {
      maxFds: limit("maxFds", maxFds),
      exactly: -1,
      into: iov,
      bufferSize,
      allowTruncated: options?.allowTruncated ?? false,
      wantAddress: false,
    };
  }
}

/** A number of descriptors. The kernels have limits of their own; more is no error, it is never reached. */
export function limit(name: string, value: unknown): number {
  return integer(name, value, 0, 0x7fffffff);
}
