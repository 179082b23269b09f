/** Connected AF_UNIX SOCK_STREAM sockets. */

import type { Socket, SocketConstructorOpts } from "node:net";
import { wrongType } from "../core/errors.ts";
import type { OwnedFd } from "../fd/owned-fd.ts";
import { net } from "../system/builtins.ts";
import { ENOTSUP, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom, readPlatform } from "../system/platform.ts";
import { openConnected, openConnectedSync, ownerOf, pairOf, takeConnected } from "./connect.ts";
import { ConnectedSocket, type ConnectOptions } from "./connected.ts";
import { SIGNAL } from "./endpoint.ts";

/** Makes a stream of a connected socket that this thread owns. */
export let streamOf: (platform: Platform, fd: number, passesPidfd: boolean) => UnixStream;

/**
 * A connected Unix stream socket that carries descriptors.
 *
 * It owns its descriptor. If other code reads from the same socket without a control buffer (`net.Socket`, `read(2)`), the kernel
 * drops the descriptors that belong to the bytes.
 */
export class UnixStream extends ConnectedSocket {
  private constructor(platform: Platform, fd: number, passesPidfd = false) {
    super(platform, fd, "stream", passesPidfd);
  }

  static {
    streamOf = (platform, fd, passesPidfd) => new UnixStream(platform, fd, passesPidfd);
  }

  /** Two sockets connected with each other. */
  static pair(options?: PlatformOptions): [UnixStream, UnixStream] {
    const platform = platformFrom(options);
    return pairOf(platform, "stream", make);
  }

  /**
   * Connects to a listener; waits while its backlog is full. A leading `\0` means the abstract namespace (Linux).
   *
   * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EACCES` ...
   */
  static async connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixStream> {
    const {
      platform,
      options: { signal },
    } = readPlatform(options, SIGNAL);
    return ownerOf(platform, await openConnected(platform, "stream", path, signal), make);
  }

  /** {@link connect}, waiting in `connect(2)`. */
  static connectSync(path: string, options?: PlatformOptions): UnixStream {
    const platform = platformFrom(options);
    return ownerOf(platform, openConnectedSync(platform, "stream", path), make);
  }

  /**
   * Takes over a connected Unix stream socket. A `net.Socket` must not have read anything yet, because its reads drop descriptors.
   * The `net.Socket` is destroyed; the connection stays open.
   *
   * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else (a listener, for example), which is not changed;
   *   `ERR_SOCKET_BUSY` for a net.Socket that has read bytes or still has bytes to write
   */
  static from(source: OwnedFd | Socket): UnixStream {
    return takeConnected(source, "stream", make);
  }

  /**
   * Makes a `net.Socket` of the connection. This object is closed; the connection stays open.
   *
   * @throws AncillaryError `ERR_SOCKET_BUSY` while operations wait, or a reader or a channel is in use; SystemError `ENOTSUP` on a
   *   virtual kernel
   */
  toSocket(options?: Omit<SocketConstructorOpts, "fd" | "signal">): Socket {
    if (options !== undefined && (typeof options !== "object" || options === null))
      throw wrongType("options", "an object", options);
    if (this.platform !== hostPlatform())
      throw errnoError(ENOTSUP, "socket", "a net.Socket cannot use a socket of a virtual kernel");
    const all: SocketConstructorOpts & { onread?: object | null } = { readable: true, writable: true, ...options };
    // Node's constructor runs code of the caller's and may throw. Both happen here first, before the descriptor is handed over.
    if (typeof all.onread === "object" && all.onread !== null) all.onread = { ...all.onread };
    new (net().Socket)({ ...all, fd: undefined as never });
    return this.handOver((fd) => new (net().Socket)({ ...all, fd }));
  }
}

const make = (platform: Platform, fd: number): UnixStream => streamOf(platform, fd, false);
