/** Connected AF_UNIX SOCK_STREAM sockets. */

import { Socket, type SocketConstructorOpts } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { AncillaryError, options as checkOptions, wrongType } from "../core/errors.ts";
import { addressOf, sunPath } from "./address.ts";
import { type AsFd, resolveFd } from "./as-fd.ts";
import { Operation, SIGNAL, TIMEOUT, WAIT, type WaitOptions } from "./endpoint.ts";
import { EAGAIN, EINPROGRESS, ENOTCONN, errnoError } from "./errors.ts";
import { MessageSocket } from "./message-socket.ts";
import { OwnedFd, platformOf, takeOver } from "./owned-fd.ts";
import { byteLength, type Iovec, iovec, type Payload } from "./payload.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom } from "./platform.ts";
import type { ReceivedFds } from "./receive.ts";
import { checkCarried, checkFds, NO_FDS, type SendTarget, sendOnce, waitOrThrow } from "./send.ts";
import { checkConnected, getsockoptInt, socketType } from "./socket-kind.ts";
import { OUT, POLLOUT } from "./system.ts";

/** What an unfinished {@link UnixStream.sendFdsAll} leaves in its error. */
export interface SendProgress {
  /** Bytes that the kernel had accepted. */
  readonly bytesSent: number;
  /** Whether the descriptors went with them. They are never sent twice. */
  readonly fdsSent: boolean;
}

/** Descriptors with the first `sendmsg`, then every byte. */
class SendAll extends Operation<void> {
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

  attempt(): void | typeof WAIT {
    try {
      while (this.#sent < this.#length) {
        const sent = sendOnce(this.#target, this.#payload, this.#sent, this.#length - this.#sent, this.#fds);
        if (sent < 0) {
          const wait = waitOrThrow(this.#target, sent, this.#fds, this.retryAfter);
          this.retryAfter = wait === "ready" ? 0 : wait;
          return WAIT;
        }
        this.#sent += sent;
        this.#fds = NO_FDS;
        this.retryAfter = 0;
      }
    } catch (error) {
      throw this.#progress(error as Error);
    }
  }

  /** The caller's own reason when nothing went out; else an error of ours, as a reason may be shared by many operations. */
  override withdrawn(reason: unknown): unknown {
    if (this.#sent === 0) return reason;
    const error = new Error("the operation was aborted half-way", { cause: reason });
    return this.#progress(Object.assign(error, { name: "AbortError", code: "ABORT_ERR" }));
  }

  override failed(error: Error): Error {
    return this.#progress(error);
  }

  #progress<E extends Error>(error: E): E & SendProgress {
    return Object.assign(error, { bytesSent: this.#sent, fdsSent: this.#sent > 0 && this.#count > 0 });
  }
}

/** A connection that is being made; settled when the socket becomes writable. */
class Connected extends Operation<void> {
  readonly #platform: Platform;
  readonly #fd: number;

  constructor(platform: Platform, fd: number) {
    super();
    this.#platform = platform;
    this.#fd = fd;
  }

  attempt(): undefined | typeof WAIT {
    const { system } = this.#platform;
    if (system.poll(this.#fd, POLLOUT, 0) === 0) return WAIT;
    const error = getsockoptInt(system, this.#fd, system.constants.SO_ERROR!);
    if (error !== 0) throw errnoError(-Math.abs(error), "connect");
  }
}

/** Options of {@link UnixStream.connect}. */
export type ConnectOptions = Pick<WaitOptions, "signal">;

/**
 * A connected Unix stream socket that carries descriptors.
 *
 * It owns its descriptor. A plain read by other code on the same socket (`net.Socket`, `read(2)`) makes the kernel drop the
 * descriptors that came with the bytes.
 */
export class UnixStream extends MessageSocket implements AsyncIterable<ReceivedFds> {
  private constructor(platform: Platform, fd: number) {
    super(platform, fd, "stream");
  }

  /** Two sockets connected with each other. */
  static pair(options?: PlatformOptions): [UnixStream, UnixStream] {
    const platform = platformFrom(options, {});
    const { system } = platform;
    const result = system.socketpair(socketType(platform, "stream"));
    if (result < 0) throw errnoError(result, "socketpair");
    const [first, second] = [system.out[OUT.CONTROL_LENGTH]!, system.out[OUT.FLAGS]!];
    return [new UnixStream(platform, first), new UnixStream(platform, second)];
  }

  /**
   * Connects to a listener. A leading `\0` is the abstract namespace (Linux).
   *
   * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EACCES` ...
   */
  static async connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixStream> {
    const platform = platformFrom(options, SIGNAL);
    const { system } = platform;
    const to = sunPath(system, path);
    options?.signal?.throwIfAborted();
    const fd = system.socket(socketType(platform, "stream"));
    if (fd < 0) throw errnoError(fd, "socket");
    const stream = new UnixStream(platform, fd);
    try {
      for (let wait = 1; ; wait = Math.min(2 * wait, 50)) {
        const result = system.connect(fd, to);
        if (result >= 0) return stream;
        if (result === EINPROGRESS) {
          await stream.submit("writing", new Connected(platform, fd), options?.signal);
          return stream;
        }
        if (result !== EAGAIN) throw errnoError(result, "connect");
        // Linux: the listener's backlog is full, and nothing tells when it no longer is (unix(7), connect(2)).
        await sleep(wait, undefined, { signal: options?.signal }).catch(() => options?.signal?.throwIfAborted());
      }
    } catch (error) {
      stream.close();
      throw error;
    }
  }

  /** {@link connect}, waiting in `connect(2)`. */
  static connectSync(path: string, options?: PlatformOptions): UnixStream {
    const platform = platformFrom(options, {});
    const { system } = platform;
    const { F_GETFL, F_SETFL, O_NONBLOCK } = system.constants as {
      F_GETFL: number;
      F_SETFL: number;
      O_NONBLOCK: number;
    };
    const to = sunPath(system, path);
    const fd = system.socket(socketType(platform, "stream"));
    if (fd < 0) throw errnoError(fd, "socket");
    const stream = new UnixStream(platform, fd);
    // Nobody else has this socket yet: that it blocks for as long as it connects disturbs nobody.
    const flags = system.fcntl(fd, F_GETFL, 0);
    system.fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    const result = system.connect(fd, to);
    if (result < 0) {
      stream.close();
      throw errnoError(result, "connect");
    }
    system.fcntl(fd, F_SETFL, flags);
    return stream;
  }

  /**
   * Takes over a connected Unix stream socket. A `net.Socket` must not have read anything yet: it drops the descriptors
   * that come with the bytes. The socket is destroyed, the connection is not ended.
   *
   * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else (a listener, say), which stays as it was;
   *   `ERR_SOCKET_BUSY` for a net.Socket that has read or has yet to write
   */
  static from(source: OwnedFd | Socket): UnixStream {
    if (source instanceof OwnedFd) {
      checkConnected(platformOf(source), source.fd, "stream");
      const { platform, fd } = takeOver(source);
      return new UnixStream(platform, fd);
    }
    if (!(source instanceof Socket)) throw wrongType("source", "an OwnedFd or a net.Socket", source);
    const fd = resolveFd(source, "source");
    const platform = hostPlatform();
    checkConnected(platform, fd, "stream");
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
    source.destroy();
    return UnixStream.from(owned);
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
  [Symbol.asyncIterator](): AsyncGenerator<ReceivedFds, void, undefined> {
    return this.messages(this.platform.abi.maxFdsPerMessage);
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
   * Hands the connection to Node's own streams. This object is closed then; the connection is not.
   *
   * @throws AncillaryError `ERR_SOCKET_BUSY` while operations wait
   */
  toSocket(options?: Omit<SocketConstructorOpts, "fd" | "signal">): Socket {
    const fd = this.handOver();
    return new Socket({ readable: true, writable: true, ...options, fd });
  }

  #sendAll(data: Payload, fds: readonly AsFd[] | undefined): SendAll {
    const payload = iovec(data);
    const checked = checkFds(this.platform, fds);
    checkCarried(byteLength(payload), checked);
    return new SendAll({ platform: this.platform, fd: this.openFd(), type: "stream", to: null }, payload, checked);
  }
}
