/** Types of sockets, and checks of descriptors that callers give. */

import { AncillaryError, boolean } from "../core/errors.ts";
import { ENOPROTOOPT, ENOTCONN, ENOTSUP, errnoError, fdError, needs } from "./errno.ts";
import type { Platform } from "./platform.ts";
import { type Constants, POLLOUT } from "./system.ts";

/** The kinds of Unix socket. */
export type SocketType = "stream" | "dgram" | "seqpacket";

/** The names of their constants in the C headers. */
export const SOCK = { stream: "SOCK_STREAM", dgram: "SOCK_DGRAM", seqpacket: "SOCK_SEQPACKET" } as const;

/** This system's number of a type. @throws SystemError `ENOTSUP` where AF_UNIX has no such type (seqpacket on Darwin) */
export function socketType({ abi, constants }: Platform, type: SocketType): number {
  if (abi[SOCK[type]] === null)
    throw errnoError(ENOTSUP, "socket", `${abi.os} has no Unix sockets of type ${SOCK[type]}`);
  return constants[SOCK[type]]!;
}

/** An `int` option of SOL_SOCKET, or `-errno`. */
export function getsockoptInt({ system, constants }: Platform, fd: number, name: string): number {
  const length = system.getsockopt(fd, constants.SOL_SOCKET!, constants[name]!, INT);
  return length < 0 ? length : intOf(INT);
}

/** `sizeof(int)`. */
export const INT_BYTES = 4;
const INT_VIEW = new Int32Array(1);
const INT = new Uint8Array(INT_VIEW.buffer);

/** An int of this host. */
export function intOf(bytes: Uint8Array): number {
  if (bytes !== INT) INT.set(bytes);
  return INT_VIEW[0]!;
}

/** Turns a SOL_SOCKET option on or off. @throws SystemError `ENOTSUP` where the system has no such option */
export function setFlag(platform: Platform, fd: number, name: string, on: unknown): void {
  const { system, constants } = platform;
  const value = boolean("on", on) ? 1 : 0;
  const option = constants[name] ?? -1;
  if (option === -1) throw errnoError(ENOTSUP, "setsockopt", `this system has no ${name}`);
  const result = system.setsockopt(fd, constants.SOL_SOCKET!, option, value);
  if (result < 0) throw errnoError(result, "setsockopt", result === ENOPROTOOPT ? needs(platform, name) : name);
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
  if (actual !== platform.constants[SOCK[type]])
    throw notUnix(type, `one of ${nameOf(platform.constants, "SOCK_", actual)}`);
}

/** Checks that `fd` is a Unix socket. `type` is only for the message. */
export function checkAnyUnixSocket(platform: Platform, fd: number, type: SocketType | null = null): void {
  const { system, constants } = platform;
  const family = system.getsockname(fd);
  if (family < 0) {
    if (system.fcntl(fd, constants.F_GETFD!, 0) < 0) throw fdError(family, "getsockname", fd);
    throw notUnix(type, `descriptor ${fd}, which is no socket`);
  }
  if (family !== constants.AF_UNIX) throw notUnix(type, `a socket of ${familyName(platform, family)}`);
}

/** `AF_INET`; `address family 40` for one that the constants do not have. */
export function familyName({ constants }: Platform, family: number): string {
  return nameOf(constants, "AF_", family);
}

/** The name of a number in the C headers. */
function nameOf(constants: Constants, prefix: "AF_" | "SOCK_", number: number): string {
  const name = Object.keys(constants).find((key) => key.startsWith(prefix) && constants[key] === number);
  return name ?? `${prefix === "AF_" ? "address family" : "type"} ${number}`;
}

/** Whether `fd` is a socket of a type. */
export function isOfType(platform: Platform, fd: number, type: SocketType): boolean {
  return getsockoptInt(platform, fd, "SO_TYPE") === platform.constants[SOCK[type]];
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
  const type = isOfType(platform, fd, "seqpacket") ? "seqpacket" : "stream";
  checkUnixSocket(platform, fd, type);
  if (!isListening(platform, fd) && !listensUnreported(platform, fd))
    throw notUnix(type, "a socket that does not listen");
  return type;
}

/** The error of a socket that is shut down for reading, and does not say so; null if it is not. */
export function shutError({ system, constants }: Platform, fd: number, errno: number, syscall: string): Error | null {
  const shut = constants.POLLRDHUP;
  if (shut === undefined || (system.poll(fd, shut, 0) & shut) === 0) return null;
  return errnoError(errno, syscall, "the socket is shut down for reading");
}

export function isListening(platform: Platform, fd: number): boolean {
  return getsockoptInt(platform, fd, "SO_ACCEPTCONN") > 0;
}

/**
 * Whether a Unix socket of which SO_ACCEPTCONN is 0 may listen. gVisor answers 0 for every Unix socket: there, one that is neither
 * connected nor bound counts as listening too, and its `accept` fails. On Linux one that does not listen is writable until it is
 * connected (net/unix/af_unix.c, unix_writable).
 */
function listensUnreported({ system, abi }: Platform, fd: number): boolean {
  return abi.hidesListening && system.getpeername(fd) === ENOTCONN && system.poll(fd, POLLOUT, 0) === 0;
}

function notUnix(type: SocketType | null, actual: string): AncillaryError {
  return new AncillaryError(
    "ERR_NOT_UNIX_SOCKET",
    `expected a Unix socket${type === null ? "" : ` of type ${SOCK[type]}`}, got ${actual}`,
  );
}
