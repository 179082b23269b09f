/** Connecting sockets: pairs, `connect`, and taking over connected sockets. */

import { AncillaryError, wrongOwner, wrongType } from "../core/errors.ts";
import { resolveFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf, takeOver } from "../fd/owned-fd.ts";
import { peerPath, sunPath } from "../system/address.ts";
import { net, signals } from "../system/builtins.ts";
import { EAGAIN, EINPROGRESS, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform } from "../system/platform.ts";
import { checkConnected, getsockoptInt, type SocketType, socketType } from "../system/socket-type.ts";
import { POLLOUT } from "../system/system.ts";
import { onAbort } from "./aborts.ts";

/** Two sockets connected with each other. */
function openPair(platform: Platform, type: SocketType): [number, number] {
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

/** The longest pause between two attempts to connect, in milliseconds. */
const CONNECT_MAX_MS = 50;

/** A socket connected to `path`. Waits while the listener's backlog is full. */
export async function openConnected(
  platform: Platform,
  type: SocketType,
  path: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { system } = platform;
  const to = peerPath(platform, path);
  if (signal !== undefined && signals.aborted(signal)) throw signals.reason(signal);
  const fd = openSocket(platform, type);
  try {
    let result = system.connect(fd, to);
    for (let wait = 1; result < 0; wait = Math.min(2 * wait, CONNECT_MAX_MS)) {
      // Linux: EAGAIN means that the listener's backlog is full. No event reports that it has room again (unix(7), connect(2)).
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

/** Waits. An abort rejects the promise with the signal's reason. */
function pause({ system }: Platform, milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = system.timer(milliseconds, () => {
      unlisten?.();
      resolve();
    });
    const unlisten =
      signal &&
      onAbort(signal, () => {
        timer.close();
        reject(signals.reason(signal));
      });
  });
}

/** The state of a connection in progress: 0, EINPROGRESS, or its error. */
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
    // poll(2) without a descriptor pauses.
    const ready = system.poll(-1, 0, wait);
    result = ready < 0 ? ready : result === EAGAIN ? system.connect(fd, to) : connected(platform, fd);
  }
  if (result < 0) {
    system.close(fd);
    throw errnoError(result, "connect");
  }
  return fd;
}

/** Makes the owner of a new descriptor. If that throws, the descriptor is closed. */
export function ownerOf<S>(platform: Platform, fd: number, make: (platform: Platform, fd: number) => S): S {
  try {
    return make(platform, fd);
  } catch (error) {
    platform.system.close(fd);
    throw error;
  }
}

/** Makes a pair, and the owners of both ends. */
export function pairOf<S>(
  platform: Platform,
  type: SocketType,
  make: (platform: Platform, fd: number) => S & Disposable,
): [S, S] {
  const [first, second] = openPair(platform, type);
  let owner: S & Disposable;
  try {
    owner = ownerOf(platform, first, make);
  } catch (error) {
    platform.system.close(second);
    throw error;
  }
  try {
    return [owner, ownerOf(platform, second, make)];
  } catch (error) {
    owner[Symbol.dispose]();
    throw error;
  }
}

/** Takes over a connected socket from its owner. After an error the source is unchanged. */
export function takeConnected<S>(source: unknown, type: SocketType, make: (platform: Platform, fd: number) => S): S {
  if (source instanceof OwnedFd) {
    checkConnected(platformOf(source), source.fd, type);
    return takeOver(source, make);
  }
  if (!(source instanceof net().Socket)) throw wrongOwner("source", "an OwnedFd or a net.Socket", source);
  // The bytes of the connection are TLS records, and some have been read.
  if ("encrypted" in source) throw wrongType("source", "a net.Socket without TLS", source);
  if (!source.destroyed && (source.bytesRead > 0 || source.readableLength > 0)) {
    throw new AncillaryError(
      "ERR_SOCKET_BUSY",
      `expected a socket that has read nothing, it has read ${source.bytesRead} bytes: descriptors that came with them are lost. Use pauseOnConnect`,
    );
  }
  if (!source.destroyed && source.writableLength > 0) {
    throw new AncillaryError(
      "ERR_SOCKET_BUSY",
      `expected a socket with nothing to write, it has ${source.writableLength} bytes`,
    );
  }
  const fd = resolveFd(hostPlatform(), source, "source");
  checkConnected(hostPlatform(), fd, type);
  const owned = OwnedFd.from(fd);
  try {
    // This closes only Node's descriptor: the duplicate keeps the connection open.
    source.destroy();
    return takeOver(owned, make);
  } catch (error) {
    owned.close();
    throw error;
  }
}
