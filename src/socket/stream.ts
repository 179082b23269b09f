/** Connected AF_UNIX SOCK_STREAM sockets. */

import type { Socket, SocketConstructorOpts } from "node:net";
import { KEY, wrongType } from "../core/errors.ts";
import type { OwnedFd } from "../fd/owned-fd.ts";
import { net, onBun } from "../system/builtins.ts";
import { ENOTSUP, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions } from "../system/platform.ts";
import { openConnected, openConnectedSync, pairOf, takeConnected } from "./connect.ts";
import { ConnectedSocket, type ConnectOptions } from "./connected.ts";
import type { WaitOptions } from "./waiting.ts";

/** Makes a stream of a connected socket that this thread owns. */
export let streamOf: (platform: Platform, fd: number, passesPidfd: boolean) => UnixStream;

/**
 * A connected Unix stream socket that carries descriptors.
 *
 * ```js
 * import { openSync } from "node:fs";
 * import { OwnedFd, UnixStream } from "unix-ancillary";
 * const [left, right] = UnixStream.pair();
 * const file = OwnedFd.fromRaw(openSync(process.execPath, "r"));
 * await left.sendFdsAll("hello", [file]);
 * file.close(); // what was sent is a duplicate
 * const { data, fds } = await right.recvFds(1);
 * console.log(data.toString(), fds[0].describe().kind); // hello file
 * for (const owner of [left, right, ...fds]) owner.close();
 * ```
 *
 * It owns its descriptor. If other code reads from the same socket without a control buffer (`net.Socket`, `read(2)`), the kernel
 * drops the descriptors that belong to the bytes.
 */
export class UnixStream extends ConnectedSocket {
  private constructor(key: typeof KEY, platform: Platform, fd: number, passesPidfd: boolean) {
    super(key, platform, fd, "stream", passesPidfd);
  }

  static {
    streamOf = (platform, fd, passesPidfd) => new UnixStream(KEY, platform, fd, passesPidfd);
  }

  /** Two sockets connected with each other. */
  static pair(options?: PlatformOptions): [UnixStream, UnixStream] {
    return pairOf("stream", options, make);
  }

  /**
   * Connects to a listener; waits while its backlog is full. A leading `\0` means the abstract namespace (Linux).
   *
   * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EACCES` ...
   */
  static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixStream> {
    return openConnected("stream", path, options, make);
  }

  /** {@link connect}, waiting in `poll(2)`. */
  static connectSync(path: string, options?: Pick<WaitOptions, "timeout"> & PlatformOptions): UnixStream {
    return openConnectedSync("stream", path, options, make);
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
    if (typeof all.onread === "object" && all.onread !== null) all.onread = withFirstBuffer({ ...all.onread });
    new (net().Socket)({ ...all, fd: undefined as never });
    return this.handOver((fd) => socketOver(all, fd));
  }
}

/**
 * Makes the first buffer of `onread`. Node calls the function for it when the new socket has the descriptor: if it threw then, both would
 * have it.
 */
function withFirstBuffer(onread: { buffer?: unknown; callback?: unknown }): object {
  const { buffer, callback } = onread;
  if (typeof buffer !== "function" || typeof callback !== "function") return onread;
  let first: { readonly made: unknown } | null = { made: buffer() };
  onread.buffer = function (this: unknown): unknown {
    if (first === null) return buffer.call(this);
    const { made } = first;
    first = null;
    return made;
  };
  return onread;
}

/** A net.Socket over a descriptor. */
export function socketOver(options: SocketConstructorOpts, fd: number): Socket {
  const { Socket } = net();
  if (!onBun) return new Socket({ ...options, fd });
  // Bun's constructor ignores a descriptor, and its `connect` takes one. It reads even if the socket is not readable, and then fails.
  const socket = new Socket({ ...options, readable: true });
  if (options.readable === false) socket.pause();
  return socket.connect({ fd } as never);
}

const make = (platform: Platform, fd: number): UnixStream => streamOf(platform, fd, false);
