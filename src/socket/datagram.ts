/** AF_UNIX SOCK_DGRAM sockets. */

import { KEY, readOptions, wrongOwner, wrongType } from "../core/errors.ts";
import type { AsFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf, takeOver } from "../fd/owned-fd.ts";
import type { Payload } from "../message/iovec.ts";
import type { ReceivedFds } from "../message/receive.ts";
import { peerPath, resolvedPath } from "../system/address.ts";
import { peerError } from "../system/name-error.ts";
import { type Platform, type PlatformOptions, platformFrom, readPlatform } from "../system/platform.ts";
import { checkUnixSocket } from "../system/socket-type.ts";
import { BIND, type BindOptions, type BoundName, openBound } from "./bound-name.ts";
import { openSocket, otherSource, ownerOf, pairOf } from "./connect.ts";
import { MessageSocket, RECV_ASYNC, RECV_SYNC, type RecvOptions } from "./message-socket.ts";
import { type Line, SIGNAL, TIMEOUT, type WaitOptions } from "./waiting.ts";

/** A received datagram, and its sender's name. */
export interface ReceivedFrom extends ReceivedFds {
  /** The sender's name; null if it has none. An abstract name begins with `"\0"`. */
  readonly address: string | null;
}

/**
 * A Unix datagram socket that carries descriptors. A datagram longer than the receive buffer is `ERR_DATA_TRUNCATED`
 * unless `allowTruncated`; a datagram may be empty and carry descriptors.
 */
export class UnixDatagram extends MessageSocket {
  /** The name in the file system that this object made and will remove. */
  readonly #name: BoundName | null;

  private constructor(key: typeof KEY, platform: Platform, fd: number, name: BoundName | null) {
    super(key, platform, fd, "dgram", false);
    this.#name = name;
  }

  /** Two sockets connected with each other. */
  static pair(options?: PlatformOptions): [UnixDatagram, UnixDatagram] {
    return pairOf("dgram", options, (platform, fd) => new UnixDatagram(KEY, platform, fd, null));
  }

  /**
   * A socket with a name that others can send to. With `""`, Linux chooses an abstract name. {@link close} removes the name. A
   * socket at the path is replaced only when no process has it open.
   *
   * @throws SystemError `EADDRINUSE`: the message says what is at the path; `EACCES`, `ENOENT` ...
   */
  static override bind(path: string, options?: BindOptions): UnixDatagram {
    const { platform, mode } = readPlatform(options, BIND);
    const { abi } = platform;
    if (path === "" && !abi.abstractNames) throw wrongType("path", `a path: ${abi.os} chooses no name`, path);
    const { fd, name } = openBound(platform, "dgram", path, mode);
    return ownerOf(platform, fd, () => new UnixDatagram(KEY, platform, fd, name));
  }

  /** A socket without a name. It can send, and it can receive after {@link connect}. */
  static unbound(options?: PlatformOptions): UnixDatagram {
    const platform = platformFrom(options);
    return ownerOf(platform, openSocket(platform, "dgram"), (_, fd) => new UnixDatagram(KEY, platform, fd, null));
  }

  /** Takes over a Unix datagram socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
  static from(source: OwnedFd): UnixDatagram {
    if (!(source instanceof OwnedFd)) throw wrongOwner("source", "an OwnedFd", source, otherSource(source, "bind"));
    checkUnixSocket(platformOf(source), source.fd, "dgram");
    return takeOver(source, (platform, fd) => new UnixDatagram(KEY, platform, fd, null));
  }

  /**
   * Sets the peer: sends go to it, and only its datagrams are received.
   *
   * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EPROTOTYPE` ...
   */
  connect(path: string): void {
    const to = this.#to(path);
    const result = this.platform.system.connect(this.openFd(), to);
    if (result < 0) throw peerError(this.platform, result, "connect", path, "dgram");
  }

  /**
   * Sends a datagram and descriptors to the socket that is bound to `path`. Sends to one receiver are served in the order of the
   * calls. A send that waits for its receiver does not delay sends to other receivers. Receivers are told apart by their paths, as
   * `path.resolve` spells them at the call: two links to one socket are two receivers.
   *
   * @returns the number of bytes: a datagram is sent whole
   * @throws as `sendFds`, and SystemError `ENOENT`, `ECONNREFUSED`, `EMSGSIZE` ...
   */
  sendFdsTo(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "signal">): Promise<number> {
    try {
      const { signal } = readOptions("options", options, SIGNAL);
      const send = this.sendTo(data, fds, this.#to(path));
      return this.submit(lineTo(path), send, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link sendFdsTo}; blocks until it is done. */
  sendFdsToSync(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "timeout">): number {
    const { timeout } = readOptions("options", options, TIMEOUT);
    const send = this.sendTo(data, fds, this.#to(path));
    return this.runSync(lineTo(path), send, timeout);
  }

  /** {@link sendFdsTo} without waiting; null, and nothing is sent, when the receiver has no room. */
  trySendFdsTo(data: Payload, fds: readonly AsFd[], path: string): number | null {
    const send = this.sendTo(data, fds, this.#to(path));
    return this.tryNow(lineTo(path), send);
  }

  /** As `recvFds`, with the sender's name. */
  recvFdsFrom(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFrom> {
    try {
      const read = readOptions("options", options, RECV_ASYNC);
      return this.submit("reading", this.receiveFrom<ReceivedFrom>(maxFds, read), read.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link recvFdsFrom}, waiting in `poll(2)`. */
  recvFdsFromSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFrom {
    const read = readOptions("options", options, RECV_SYNC);
    return this.runSync("reading", this.receiveFrom<ReceivedFrom>(maxFds, read), read.timeout);
  }

  /** The name that it is bound to, as given to `bind`; null if it has none. An abstract name begins with `"\0"`. */
  override get address(): string | null {
    return this.closed ? super.address : (this.#name?.path ?? super.address);
  }

  override close(): void {
    if (this.closed) return;
    // Before the close: until then no other socket can be bound to the name.
    this.#name?.remove();
    super.close();
  }

  #to(path: string): Uint8Array {
    return peerPath(this.platform, path);
  }
}

/**
 * The line of the sends to one receiver. Its identity would need a system call for each send. Most paths are spelled in one way, and
 * `path.resolve` takes as long as half of a send.
 */
function lineTo(path: string): Line {
  const plain = path.startsWith("\0") || (path.startsWith("/") && !path.includes("/.") && !path.includes("//"));
  return `to ${plain ? path : resolvedPath(path)}`;
}
