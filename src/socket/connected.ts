/** What connected sockets, streams and seqpacket, have beyond others. */

import { AncillaryError, options as checkOptions, wrongType } from "../core/errors.ts";
import { type AsFd, resolveFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf, takeOver } from "../fd/owned-fd.ts";
import { type Credentials, peerCredentials, peerPidfd } from "../message/credentials.ts";
import { byteLength, type Iovec, iovec, type Payload } from "../message/iovec.ts";
import type { ReceivedFds } from "../message/receive.ts";
import { checkCarried, checkFds, NO_FDS, type SendTarget, sendOnce, waitOrThrow } from "../message/send.ts";
import { addressOf, sunPath } from "../system/address.ts";
import { net } from "../system/builtins.ts";
import { EAGAIN, EINPROGRESS, ENOTCONN, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform } from "../system/platform.ts";
import { checkConnected, getsockoptInt, type SocketType, socketType } from "../system/socket-type.ts";
import { POLLOUT } from "../system/system.ts";
import { SIGNAL, TIMEOUT, type WaitOptions } from "./endpoint.ts";
import { FdReader, type FdReaderOptions, RECEIVE_BYTES, type ReaderSource } from "./fd-reader.ts";
import { MessageSocket } from "./message-socket.ts";
import { Operation, WAIT } from "./operation.ts";

/** What an unfinished `sendFdsAll` leaves in its error. */
export interface SendProgress {
  /** Bytes that the kernel had accepted. */
  readonly bytesSent: number;
  /** Whether the descriptors went with them. They are never sent twice. */
  readonly fdsSent: boolean;
}

/** Descriptors with the first `sendmsg`, then every byte. */
class SendAll extends Operation<void> {
  get syscall(): "sendmsg" {
    return "sendmsg";
  }
  readonly #target: SendTarget;
  readonly #payload: Iovec;
  readonly #length: number;
  #fds: readonly AsFd[];
  readonly #count: number;
  #sent = 0;

  constructor(target: SendTarget, payload: Iovec, fds: readonly AsFd[]) {
    super();
    this.#target = target;
    this.#payload = payload;
    this.#length = byteLength(payload);
    this.#fds = fds;
    this.#count = fds.length;
  }

  attempt(): undefined | typeof WAIT {
    try {
      // At least once: a record may be empty.
      do {
        const sent = sendOnce(this.#target, this.#payload, this.#sent, this.#length - this.#sent, this.#fds);
        if (sent < 0) {
          const wait = waitOrThrow(this.#target, sent, this.#fds, this.retryAfter);
          this.retryAfter = wait === "ready" ? 0 : wait;
          return WAIT;
        }
        this.#sent += sent;
        this.#fds = NO_FDS;
        this.retryAfter = 0;
      } while (this.#sent < this.#length);
    } catch (error) {
      throw this.#progress(error as Error);
    }
  }

  /** The caller's own reason when nothing went out; else an error of ours, as a reason may be shared by many operations. */
  override withdrawn(reason: unknown): unknown {
    return this.#sent === 0 ? reason : this.#progress(abortedHalfWay(reason));
  }

  override failed(error: Error): Error {
    return this.#progress(error);
  }

  #progress<E extends Error>(error: E): E & SendProgress {
    return Object.assign(error, { bytesSent: this.#sent, fdsSent: this.#sent > 0 && this.#count > 0 });
  }
}

/** The error of a send that was aborted when a part was on its way. */
export function abortedHalfWay(reason: unknown): Error {
  const error = new Error("the operation was aborted half-way", { cause: reason });
  return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}

/** Options of `connect`. */
export type ConnectOptions = Pick<WaitOptions, "signal">;

/** A socket with a peer. */
export abstract class ConnectedSocket extends MessageSocket implements AsyncIterable<ReceivedFds> {
  #reader: FdReader | null = null;
  /** While the reader itself calls. */
  #readerReceives = false;

  protected constructor(platform: Platform, fd: number, type: SocketType, passesPidfd: boolean) {
    super(platform, fd, type, passesPidfd);
  }

  /**
   * Sends the descriptors with the first `sendmsg` and then every byte.
   *
   * @throws as {@link sendFds}; the error carries how far it got ({@link SendProgress})
   */
  sendFdsAll(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<void> {
    try {
      checkOptions("options", options, SIGNAL);
      return this.submit("writing", this.#sendAll(data, fds), options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link sendFdsAll}, waiting in `poll(2)`. */
  sendFdsAllSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): void {
    checkOptions("options", options, TIMEOUT);
    this.runSync("writing", this.#sendAll(data, fds), options?.timeout);
  }

  /** The messages until the peer finishes, each with as many descriptors as the system can send in one. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedFds, undefined> {
    return this.messages(this.platform.abi.maxFdsPerMessage);
  }

  /**
   * A reader of bytes and descriptors as two queues, for protocols that count descriptors in their own messages. It is the
   * only one to receive from this socket from then on, other receives are `ERR_SOCKET_BUSY`; closing either closes both.
   *
   * @throws AncillaryError `ERR_SOCKET_BUSY` when there is one already, or receives wait
   */
  reader(options?: FdReaderOptions): FdReader {
    this.openFd();
    if (this.#reader !== null) throw new AncillaryError("ERR_SOCKET_BUSY", "the socket has a reader already");
    if (!this.idle("reading")) throw new AncillaryError("ERR_SOCKET_BUSY", "expected no receive that waits");
    const bytes = this.wire.type === "seqpacket" ? RECEIVE_BYTES.seqpacket : RECEIVE_BYTES.stream;
    const source: ReaderSource = {
      recvFdsInto: (...parameters) => {
        this.#readerReceives = true;
        try {
          return this.recvFdsInto(...parameters);
        } finally {
          this.#readerReceives = false;
        }
      },
      close: () => this.close(),
    };
    this.#reader = new FdReader(source, options, this.platform.abi.maxFdsPerMessage, bytes, this.received);
    return this.#reader;
  }

  protected override checkReceives(): void {
    super.checkReceives();
    if (this.#reader !== null && !this.#readerReceives)
      throw new AncillaryError("ERR_SOCKET_BUSY", "the socket has a reader, which alone receives from it");
  }

  override close(): void {
    try {
      super.close();
    } finally {
      this.#reader?.discard();
    }
  }

  protected override handOver(): number {
    if (this.#reader !== null && this.#reader.queuedBytes + this.#reader.queuedFds > 0) {
      const { queuedBytes, queuedFds } = this.#reader;
      const text = `expected a reader with nothing left, it has ${queuedBytes} bytes and ${queuedFds} descriptors`;
      throw new AncillaryError("ERR_SOCKET_BUSY", text);
    }
    return super.handOver();
  }

  /** The name the peer is bound to; null: none. */
  get peerAddress(): string | null {
    const { system } = this.platform;
    const family = system.getpeername(this.openFd());
    if (family === ENOTCONN) return null;
    if (family < 0) throw errnoError(family, "getpeername");
    return addressOf(system);
  }

  /**
   * Who connected, or was connected to, as the kernel recorded it then; of a pair: who made it.
   *
   * @throws SystemError `ENOTSUP` where the system does not tell
   */
  peerCredentials(): Credentials {
    return peerCredentials(this.platform, this.openFd());
  }

  /**
   * A pidfd of the peer (SO_PEERPIDFD, Linux 6.5).
   *
   * @throws SystemError `ENOTSUP`, `ENOPROTOOPT` on older kernels
   */
  peerPidfd(): OwnedFd {
    return peerPidfd(this.platform, this.openFd());
  }

  #sendAll(data: Payload, fds: readonly AsFd[] | undefined): SendAll {
    this.openFd();
    const payload = iovec(data);
    const checked = checkFds(this.platform, fds);
    if (this.wire.type === "stream") checkCarried(byteLength(payload), checked);
    return new SendAll(this.wire, payload, checked);
  }
}

/** Two sockets connected with each other. */
export function openPair(platform: Platform, type: SocketType): [number, number] {
  const { system } = platform;
  const pair = new Int32Array(2);
  const result = system.socketpair(socketType(platform, type), pair);
  if (result < 0) throw errnoError(result, "socketpair");
  return [pair[0]!, pair[1]!];
}

export function openSocket(platform: Platform, type: SocketType): number {
  const fd = platform.system.socket(socketType(platform, type));
  if (fd < 0) throw errnoError(fd, "socket");
  return fd;
}

/** Milliseconds until it is tried again to connect, at most. */
const CONNECT_MAX_MS = 50;

/** A socket connected to `path`, whenever the listener has room for it. */
export async function openConnected(
  platform: Platform,
  type: SocketType,
  path: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { system } = platform;
  const to = sunPath(platform, path);
  signal?.throwIfAborted();
  const fd = openSocket(platform, type);
  try {
    let result = system.connect(fd, to);
    for (let wait = 1; result < 0; wait = Math.min(2 * wait, CONNECT_MAX_MS)) {
      // Linux: the listener's backlog is full, and nothing tells when it no longer is (unix(7), connect(2)).
      if (result !== EAGAIN && result !== EINPROGRESS) throw errnoError(result, "connect");
      await pause(platform, wait, signal);
      result = result === EAGAIN ? system.connect(fd, to) : connected(platform, fd);
    }
    return fd;
  } catch (error) {
    system.close(fd);
    throw error;
  }
}

/** Waits; rejected with the signal's reason. */
function pause({ system }: Platform, milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = system.timer(milliseconds, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    const abort = () => {
      timer.close();
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** How a connection that is being made stands: 0, EINPROGRESS, or its error. */
function connected(platform: Platform, fd: number): number {
  if (platform.system.poll(fd, POLLOUT, 0) === 0) return EINPROGRESS;
  return -Math.abs(getsockoptInt(platform, fd, "SO_ERROR"));
}

/** {@link openConnected}, waiting in `poll(2)`. */
export function openConnectedSync(platform: Platform, type: SocketType, path: string): number {
  const { system } = platform;
  const to = sunPath(platform, path);
  const fd = openSocket(platform, type);
  let result = system.connect(fd, to);
  for (let wait = 1; result === EAGAIN || result === EINPROGRESS; wait = Math.min(2 * wait, CONNECT_MAX_MS)) {
    // On nothing: a pause.
    const ready = system.poll(-1, 0, wait);
    result = ready < 0 ? ready : result === EAGAIN ? system.connect(fd, to) : connected(platform, fd);
  }
  if (result < 0) {
    system.close(fd);
    throw errnoError(result, "connect");
  }
  return fd;
}

/** Takes a connected socket over from its owner. A refusal leaves the source as it was. */
export function takeConnected(source: unknown, type: SocketType): { platform: Platform; fd: number } {
  if (source instanceof OwnedFd) {
    checkConnected(platformOf(source), source.fd, type);
    const taken = takeOver(source);
    return taken;
  }
  if (!(source instanceof net().Socket)) throw wrongType("source", "an OwnedFd or a net.Socket", source);
  // Beneath it the bytes are TLS's, and some have been read.
  if ("encrypted" in source) throw wrongType("source", "a net.Socket without TLS", source);
  const fd = resolveFd(source, "source");
  checkConnected(hostPlatform(), fd, type);
  if (source.bytesRead > 0 || source.readableLength > 0) {
    throw new AncillaryError(
      "ERR_SOCKET_BUSY",
      `expected a socket that has read nothing, it has read ${source.bytesRead} bytes: descriptors that came with them are lost. Use pauseOnConnect`,
    );
  }
  if (source.writableLength > 0) {
    throw new AncillaryError(
      "ERR_SOCKET_BUSY",
      `expected a socket with nothing to write, it has ${source.writableLength} bytes`,
    );
  }
  const owned = OwnedFd.from(fd);
  // Closes its own descriptor only: the connection lives on in the duplicate.
  source.destroy();
  return takeOver(owned);
}
