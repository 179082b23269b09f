/** Connecting sockets: pairs, `connect`, and taking over connected sockets. */

import { AncillaryError, wrongOwner, wrongType } from "../core/errors.ts";
import { resolveFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf, takeOver } from "../fd/owned-fd.ts";
import { peerPath } from "../system/address.ts";
import { net, signals } from "../system/builtins.ts";
import { EAGAIN, EINPROGRESS, errnoError, timedOut } from "../system/errno.ts";
import { peerError } from "../system/name-error.ts";
import {
  CONNECTION,
  hostPlatform,
  type Platform,
  type PlatformOptions,
  platformFrom,
  readPlatform,
  TURN,
} from "../system/platform.ts";
import { checkConnected, getsockoptInt, type SocketType, socketType } from "../system/socket-type.ts";
import { POLLOUT } from "../system/system.ts";
import { onAbort } from "./aborts.ts";
import { SIGNAL, TIMEOUT, type WaitOptions } from "./waiting.ts";

export function openSocket(platform: Platform, type: SocketType): number {
  const fd = platform.system.socket(socketType(platform, type));
  if (fd < 0) throw errnoError(fd, "socket");
  return fd;
}

/** The longest pause between two attempts to connect, in milliseconds. */
const CONNECT_MAX_MS = 50;

type Make<S> = (platform: Platform, fd: number) => S;

/** Makes a socket that is connected to `path`. Waits while the listener's backlog is full. */
export async function openConnected<S>(
  type: SocketType,
  path: string,
  options: (Pick<WaitOptions, "signal"> & PlatformOptions) | undefined,
  make: Make<S>,
): Promise<S> {
  const { platform, signal } = readPlatform(options, SIGNAL);
  const { system } = platform;
  const to = peerPath(platform, path);
  // A loop of connects, also one that catches their errors, would block the event loop.
  platform.spent += CONNECTION;
  if (platform.spent >= TURN) await new Promise<void>((resolve) => platform.rest(resolve));
  if (signal !== undefined && signals.aborted(signal)) throw signals.reason(signal);
  const fd = openSocket(platform, type);
  try {
    let result = system.connect(fd, to);
    for (let wait = 1; result < 0; wait = Math.min(2 * wait, CONNECT_MAX_MS)) {
      // Linux: EAGAIN means that the listener's backlog is full. No event reports that it has room again (unix(7), connect(2)).
      if (result !== EAGAIN && result !== EINPROGRESS) throw peerError(platform, result, "connect", path, type);
      await pause(platform, wait, signal);
      result = result === EAGAIN ? system.connect(fd, to) : connected(platform, fd);
    }
    return make(platform, fd);
  } catch (error) {
    system.close(fd);
    throw error;
  }
}

/** Waits. An abort rejects the promise with the signal's reason. */
function pause({ system }: Platform, milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let unlisten: (() => void) | undefined;
    const timer = system.timer(milliseconds, () => {
      unlisten?.();
      resolve();
    });
    if (signal === undefined) return;
    try {
      unlisten = onAbort(signal, () => {
        timer.close();
        reject(signals.reason(signal));
      });
    } catch (error) {
      // A signal that is not Node's may throw.
      timer.close();
      reject(error);
    }
  });
}

/** The state of a connection in progress: 0, EINPROGRESS, or its error. */
function connected(platform: Platform, fd: number): number {
  if (platform.system.poll(fd, POLLOUT, 0) === 0) return EINPROGRESS;
  return -Math.abs(getsockoptInt(platform, fd, "SO_ERROR"));
}

/** {@link openConnected}, waiting in `poll(2)`, for at most `timeout` milliseconds. */
export function openConnectedSync<S>(
  type: SocketType,
  path: string,
  options: (Pick<WaitOptions, "timeout"> & PlatformOptions) | undefined,
  make: Make<S>,
): S {
  const { platform, timeout } = readPlatform(options, TIMEOUT);
  const { system } = platform;
  const to = peerPath(platform, path);
  const deadline = timeout === undefined ? Infinity : system.now() + timeout;
  const fd = openSocket(platform, type);
  try {
    let result = system.connect(fd, to);
    for (let wait = 1; result < 0; wait = Math.min(2 * wait, CONNECT_MAX_MS)) {
      if (result !== EAGAIN && result !== EINPROGRESS) throw peerError(platform, result, "connect", path, type);
      const left = deadline - system.now();
      if (left <= 0) throw timedOut("connect", timeout!, "the backlog of the listener is full", path);
      // poll(2) without a descriptor pauses.
      const ready = system.poll(-1, 0, Math.min(wait, Math.ceil(left)));
      if (ready < 0) throw errnoError(ready, "poll");
      result = result === EAGAIN ? system.connect(fd, to) : connected(platform, fd);
    }
    return make(platform, fd);
  } catch (error) {
    system.close(fd);
    throw error;
  }
}

/** Makes the owner of a new descriptor. If that throws, the descriptor is closed. */
export function ownerOf<S>(platform: Platform, fd: number, make: Make<S>): S {
  try {
    return make(platform, fd);
  } catch (error) {
    platform.system.close(fd);
    throw error;
  }
}

/** Makes two sockets that are connected with each other. */
export function pairOf<S extends Disposable>(
  type: SocketType,
  options: PlatformOptions | undefined,
  make: Make<S>,
): [S, S] {
  const platform = platformFrom(options);
  const { system } = platform;
  const pair = new Int32Array(2);
  const result = system.socketpair(socketType(platform, type), pair);
  if (result < 0) throw errnoError(result, "socketpair");
  let first: S | null = null;
  try {
    first = make(platform, pair[0]!);
    return [first, make(platform, pair[1]!)];
  } catch (error) {
    system.close(pair[1]!);
    if (first === null) system.close(pair[0]!);
    else first[Symbol.dispose]();
    throw error;
  }
}

/** Takes over a connected socket from its owner. After an error the source is unchanged. */
export function takeConnected<S>(source: unknown, type: SocketType, make: Make<S>): S {
  if (source instanceof OwnedFd) {
    checkConnected(platformOf(source), source.fd, type);
    return takeOver(source, make);
  }
  if (!(source instanceof net().Socket))
    throw wrongOwner("source", "an OwnedFd or a net.Socket", source, otherSource(source, "connect"));
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

/** What makes a socket of a value that is no owner of one. */
export function otherSource(source: unknown, withPath: "connect" | "bind"): string | null {
  if (typeof source === "number") return "take ownership of it first, with OwnedFd.fromRaw";
  if (typeof source === "string") return `${withPath} takes a path`;
  return source instanceof net().Server ? "UnixListener.from takes a server" : null;
}
