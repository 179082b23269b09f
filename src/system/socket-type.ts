/** Types of sockets, and checks of descriptors that callers give. */

import { AncillaryError, boolean } from "../core/errors.ts";
import { ENOTCONN, ENOTSUP, errnoError } from "./errno.ts";
import type { Platform } from "./platform.ts";

/** The kinds of Unix socket. */
export type SocketType = "stream" | "dgram" | "seqpacket";

/** The names of their constants in the C headers. */
const SOCK = { stream: "SOCK_STREAM", dgram: "SOCK_DGRAM", seqpacket: "SOCK_SEQPACKET" } as const;

/** This system's number of a type. @throws SystemError `ENOTSUP` where AF_UNIX has no such type (seqpacket on Darwin) */
export function socketType({ abi, constants }: Platform, type: SocketType): number {
  if (abi[SOCK[type]] === null)
    throw errnoError(ENOTSUP, "socket", `${abi.os} has no Unix sockets of type ${SOCK[type]}`);
  return constants[SOCK[type]]!;
}

/** An `int` option of SOL_SOCKET, or `-errno`. */
export function getsockoptInt({ system, constants }: Platform, fd: number, name: string): number {
  const length = system.getsockopt(fd, constants.SOL_SOCKET!, constants[name]!, INT);
  return length < 0 ? length : INT_VIEW[0]!;
}

const INT_VIEW = new Int32Array(1);
const INT = new Uint8Array(INT_VIEW.buffer);

/** Turns a SOL_SOCKET option on or off. @throws SystemError `ENOTSUP` where the system has no such option */
export function setFlag({ system, constants }: Platform, fd: number, name: string, on: unknown): void {
  const value = boolean("on", on) ? 1 : 0;
  const option = constants[name] ?? -1;
  if (option === -1) throw errnoError(ENOTSUP, "setsockopt", `this system has no ${name}`);
  const result = system.setsockopt(fd, constants.SOL_SOCKET!, option, value);
  if (result < 0) throw errnoError(result, "setsockopt", name);
}

/**
 * Checks that `fd` is a Unix socket of a type. Other sockets would accept descriptors and drop them: TCP reports success (measured
 * on Linux 6.18).
 *
 * @throws AncillaryError `ERR_NOT_UNIX_SOCKET`; SystemError `EBADF`
 */
export function checkUnixSocket(platform: Platform, fd: number, type: SocketType): void {
  checkAnyUnixSocket(platform, fd, type);
  const actual = getsockoptInt(platform, fd, "SO_TYPE");
  if (actual !== platform.constants[SOCK[type]]) throw notUnix(type, `a Unix socket of type ${actual}`);
}

/** Checks that `fd` is a Unix socket. `type` is only for the message. */
export function checkAnyUnixSocket(platform: Platform, fd: number, type: SocketType | null = null): void {
  const { system, constants } = platform;
  const family = system.getsockname(fd);
  if (family < 0) {
    if (system.fcntl(fd, constants.F_GETFD!, 0) < 0) throw errnoError(family, "getsockname");
    throw notUnix(type, "no socket");
  }
  if (family !== constants.AF_UNIX) throw notUnix(type, `a socket of address family ${family}`);
}

/** Whether `fd` is a stream socket. */
export function isStream(platform: Platform, fd: number): boolean {
  return getsockoptInt(platform, fd, "SO_TYPE") === platform.constants.SOCK_STREAM;
}

/** Checks that `fd` is a connected Unix socket of a type. */
export function checkConnected(platform: Platform, fd: number, type: SocketType): void {
  checkUnixSocket(platform, fd, type);
  if (isListening(platform, fd)) throw notUnix(type, "a listening socket");
  const peer = platform.system.getpeername(fd);
  if (peer === ENOTCONN) throw notUnix(type, "a socket that is not connected");
}

/** The type of a listening Unix socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` when `fd` is not one */
export function listeningType(platform: Platform, fd: number): "stream" | "seqpacket" {
  const actual = getsockoptInt(platform, fd, "SO_TYPE");
  const type = actual === platform.constants.SOCK_SEQPACKET ? "seqpacket" : "stream";
  checkUnixSocket(platform, fd, type);
  if (!isListening(platform, fd)) throw notUnix(type, "a socket that does not listen");
  return type;
}

export function isListening(platform: Platform, fd: number): boolean {
  return getsockoptInt(platform, fd, "SO_ACCEPTCONN") > 0;
}

function notUnix(type: SocketType | null, actual: string): AncillaryError {
  return new AncillaryError(
    "ERR_NOT_UNIX_SOCKET",
    `expected a Unix socket${type === null ? "" : ` of type ${SOCK[type]}`}, got ${actual}`,
  );
}
