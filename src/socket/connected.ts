/** What only connected sockets (stream and seqpacket) have. */

import { AncillaryError, KEY, readOptions } from "../core/errors.ts";
import { type AsFd, copyFds, NO_FDS } from "../fd/as-fd.ts";
import type { OwnedFd } from "../fd/owned-fd.ts";
import { type Credentials, peerCredentials, peerGroups, peerPidfd, peerSecurity } from "../message/credentials.ts";
import { byteLength, iovec, type Payload } from "../message/iovec.ts";
import type { ReceivedFds } from "../message/receive.ts";
import { checkCarried } from "../message/send.ts";
import { addressOf } from "../system/address.ts";
import { ENOTCONN, fdError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import type { SocketType } from "../system/socket-type.ts";
import { FdReader, type FdReaderOptions, RECEIVE_BYTES, type ReaderSource } from "./fd-reader.ts";
import { MessageSocket } from "./message-socket.ts";
import { SendAll } from "./send-all.ts";
import { SIGNAL, TIMEOUT, type WaitOptions } from "./waiting.ts";

/** Options of `connect`. */
export type ConnectOptions = Pick<WaitOptions, "signal">;

/** A socket with a peer. */
export abstract class ConnectedSocket extends MessageSocket implements AsyncIterable<ReceivedFds> {
  #reader: FdReader | null = null;

  /** @internal */
  protected constructor(key: typeof KEY, platform: Platform, fd: number, type: SocketType, passesPidfd: boolean) {
    super(key, platform, fd, type, passesPidfd);
  }

  /**
   * Sends the descriptors with the first `sendmsg` and then every byte.
   *
   * @throws as {@link sendFds}; the error says how much was sent ({@link SendProgress})
   */
  sendFdsAll(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<void> {
    try {
      const { signal } = readOptions("options", options, SIGNAL);
      return this.submit("writing", this.#sendAll(data, fds), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link sendFdsAll}, waiting in `poll(2)`. */
  sendFdsAllSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): void {
    const { timeout } = readOptions("options", options, TIMEOUT);
    this.runSync("writing", this.#sendAll(data, fds), timeout);
  }

  /** The messages until the peer finishes, each with at most as many descriptors as the system can send in one message. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedFds, undefined> {
    return this.messages(this.platform.abi.maxFdsPerMessage);
  }

  /**
   * A reader of bytes and descriptors as two queues, for protocols that count descriptors in their own messages. From then on only
   * the reader receives from this socket, and other receives fail with `ERR_SOCKET_BUSY`. Closing either closes both.
   *
   * @throws AncillaryError `ERR_SOCKET_BUSY` when the socket already has a reader, or receives wait
   */
  reader(options?: FdReaderOptions): FdReader {
    const { state } = this;
    const { maxFdsPerMessage } = state.platform.abi;
    const bytes = state.type === "seqpacket" ? RECEIVE_BYTES.seqpacket : RECEIVE_BYTES.stream;
    const source: ReaderSource = {
      turn: (reads) => this.handedOver(reads),
      receive: (into, maxFds, signal) => this.submit("reading", this.receiveFor(reader, into, maxFds), signal),
      close: () => this.close(),
      rightsCarrier: state.platform.abi.rightsCarrier,
    };
    const reader = new FdReader(KEY, source, options, maxFdsPerMessage, bytes, state.received);
    this.openFd();
    if (this.#reader !== null) throw new AncillaryError("ERR_SOCKET_BUSY", "the socket has a reader already");
    if (!this.idle("reading")) throw new AncillaryError("ERR_SOCKET_BUSY", "expected no receive that waits");
    state.reader = reader;
    this.#reader = reader;
    return reader;
  }

  override close(): void {
    try {
      super.close();
    } finally {
      this.#reader?.discard();
    }
  }

  protected override handOver<T>(take: (fd: number) => T): T {
    if (this.#reader?.busy) {
      const text = "expected a reader or channel without operations: what they have received would be lost";
      throw new AncillaryError("ERR_SOCKET_BUSY", text);
    }
    if (this.#reader !== null && this.#reader.queuedBytes + this.#reader.queuedFds > 0) {
      const { queuedBytes, queuedFds } = this.#reader;
      const text = `expected a reader with nothing left, it has ${queuedBytes} bytes and ${queuedFds} descriptors`;
      throw new AncillaryError("ERR_SOCKET_BUSY", text);
    }
    return super.handOver(take);
  }

  /** The name that the peer is bound to; null if it has none. */
  get peerAddress(): string | null {
    const { system } = this.platform;
    const family = system.getpeername(this.openFd());
    if (family === ENOTCONN) return null;
    if (family < 0) throw fdError(family, "getpeername", this.fd, true);
    return addressOf(system);
  }

  /**
   * The credentials of the peer, which the kernel recorded when the connection was made; for a pair, those of the process that made
   * it.
   *
   * @throws SystemError `ENOTSUP` where the system has no such option, or the peer's user is not mapped in this user namespace
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

  /**
   * The supplementary groups that the peer had when the connection was made (SO_PEERGROUPS, Linux). Groups that have no number in this
   * user namespace are left out. The group of {@link peerCredentials} need not be among them.
   *
   * @throws SystemError `ENOTSUP` on other systems
   */
  peerGroups(): number[] {
    return peerGroups(this.platform, this.openFd());
  }

  /**
   * The security label that the peer had when the connection was made (SO_PEERSEC, Linux).
   *
   * @throws SystemError `ENOPROTOOPT` where no security module labels sockets; `ENOTSUP` on other systems
   */
  peerSecurity(): string {
    return peerSecurity(this.platform, this.openFd());
  }

  #sendAll(data: Payload, fds: readonly AsFd[] | undefined): SendAll {
    const { state } = this;
    const payload = iovec(data);
    const checked = fds === undefined ? NO_FDS : copyFds(fds, state.platform.abi.maxFdsPerMessage);
    if (state.type === "stream") checkCarried(byteLength(payload), checked);
    return new SendAll(state, payload, checked);
  }
}
