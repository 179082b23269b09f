/** The low level: `sendmsg` and `recvmsg` on any Unix socket. */

import {
  boolean,
  type Checks,
  integer,
  outOfRange,
  readOptions,
  type TruncationReason,
  wrongType,
} from "../core/errors.ts";
import { type AsFd, NO_NUMBERS, type OwnerClass, ownedNumber, ownerClassOf, resolveFd } from "../fd/as-fd.ts";
import {
  checkAncillary,
  checkMemory,
  clearAncillary,
  encode,
  fdsOf,
  platformOfAncillary,
  prepare,
  type SocketAncillary,
  take,
} from "../message/ancillary.ts";
import { buffers, byteLength, copyOf, type Iovec, iovec, type Payload, receiveInto } from "../message/iovec.ts";
import { receiveError } from "../message/receive.ts";
import { readControl } from "../message/received.ts";
import { checkCarried, NO_FDS, waitOrThrow } from "../message/send.ts";
import { addressOf, peerPath } from "../system/address.ts";
import { EAGAIN, ETIMEDOUT, EWOULDBLOCK, errnoError } from "../system/errno.ts";
import { hostPlatform, PLATFORM, type Platform, type PlatformOptions } from "../system/platform.ts";
import { checkAnyUnixSocket, isStream } from "../system/socket-type.ts";
import { OUT, POLLIN, POLLOUT } from "../system/system.ts";
import { typeOf } from "./message-socket.ts";
import { pauseAfter } from "./operation.ts";

/** Options of {@link sendmsg} and {@link recvmsg}. */
export interface MessageOptions extends PlatformOptions {
  /** Waits in `poll(2)` instead of failing with `EAGAIN`; false by default. */
  wait?: boolean | undefined;
  /** Milliseconds after which a call with `wait` fails with `ETIMEDOUT`. */
  timeout?: number | undefined;
  /** `MSG_` flags of this system, in addition to the library's own. */
  flags?: number | undefined;
  /** The name of the receiving socket; for {@link sendmsg} only. */
  address?: string | undefined;
}

/** The result of {@link recvmsg}. */
export interface RecvResult {
  /** Bytes received; 0 at the end of a stream. */
  readonly bytesRead: number;
  /** Whether the ancillary buffer, or the kernel, had no room for all control data. Descriptors without room were closed. */
  readonly ancillaryTruncated: boolean;
  /** Why control data are missing; absent when all are there. */
  readonly reason?: TruncationReason;
  /** Whether the datagram or record was longer than the buffers. */
  readonly dataTruncated: boolean;
  /** The name of the sender of a datagram; null if it has none. */
  readonly address: string | null;
}

const MESSAGE: Checks = {
  ...PLATFORM,
  wait: (name, value) => void boolean(name, value),
  timeout(name, value) {
    if (typeof value !== "number") throw wrongType(name, "a number of milliseconds", value);
    if (!(value >= 0)) throw outOfRange(name, "at least 0 milliseconds", value);
  },
  flags: (name, value) => void integer(name, value, 0, 0x7fffffff),
};
const SEND_MESSAGE: Checks = {
  ...MESSAGE,
  address(name, value) {
    if (typeof value !== "string") throw wrongType(name, "a string", value);
  },
};

/** Reads the options of `sendmsg` or `recvmsg`. */
function readCall(given: MessageOptions | undefined, checks: Checks): MessageOptions {
  const options = readOptions("options", given, checks);
  if (options.timeout !== undefined && options.wait !== true)
    throw outOfRange("options.timeout", "options.wait to be true as well", options.timeout);
  return options;
}

/** The platform of a call: that of the options, else of the socket, else of the ancillary buffer. */
function platformOf(
  { platform: named }: MessageOptions,
  socket: AsFd,
  owner: OwnerClass | null,
  control: SocketAncillary | null,
): Platform {
  const platform =
    named ?? owner?.platform(socket as object) ?? (control === null ? hostPlatform() : platformOfAncillary(control));
  if (control !== null && platformOfAncillary(control) !== platform)
    throw outOfRange("ancillary", "a buffer of the platform of the socket", "a buffer of another platform");
  return platform;
}

/** Owners whose descriptor was found to be a Unix socket. An owner never changes its descriptor. */
const checked = new WeakSet<object>();

/**
 * The number of a socket, where code of the caller's is needed to read it. Else -1, and {@link unixSocket} reads the number right
 * before the system call.
 */
function readSocket(platform: Platform, socket: AsFd, owner: OwnerClass | null): number {
  return owner === null ? resolveFd(platform, socket, "socket") : -1;
}

/**
 * The current number of a Unix socket. Runs no code of the caller's. Other sockets are refused: the kernel would accept
 * descriptors and drop them.
 *
 * @param number the result of {@link readSocket}
 * @throws AncillaryError `ERR_FD_CLOSED` when it was closed meanwhile, `ERR_NOT_UNIX_SOCKET`
 */
function unixSocket(platform: Platform, socket: AsFd, owner: OwnerClass | null, number: number): number {
  if (owner === null) {
    checkAnyUnixSocket(platform, number);
    return number;
  }
  const fd = ownedNumber(platform, owner, socket as object, "socket");
  if (typeOf(socket) === null && !checked.has(socket as object)) {
    checkAnyUnixSocket(platform, fd);
    checked.add(socket as object);
  }
  return fd;
}

/** The time of the system's clock at which a call fails with `ETIMEDOUT`. */
function deadlineOf({ system }: Platform, { timeout }: MessageOptions): number {
  return timeout === undefined ? Infinity : system.now() + timeout;
}

/** Waits until the socket is ready or, with `retry`, for that many milliseconds. @throws SystemError `ETIMEDOUT` */
function waitFor(
  { system }: Platform,
  fd: number,
  events: number,
  deadline: number,
  retry: number,
  syscall: string,
): void {
  const left = deadline - system.now();
  if (left <= 0) throw errnoError(ETIMEDOUT, syscall);
  const wait = retry > 0 ? Math.min(retry, left) : left;
  const ready = system.poll(fd, retry > 0 ? 0 : events, wait === Infinity ? -1 : Math.min(Math.ceil(wait), 0x7fffffff));
  if (ready < 0) throw errnoError(ready, "poll");
}

/**
 * `sendmsg(2)`: sends bytes with the contents of an ancillary buffer, which stay in it. Never raises SIGPIPE, and waits only with
 * `wait`.
 *
 * It does not use the queues of {@link UnixStream} and the other sockets: it may overtake sends that wait there.
 *
 * @returns the number of bytes accepted
 * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_ANCILLARY_RECEIVED`, `ERR_NOT_UNIX_SOCKET`;
 *   SystemError `EAGAIN`, `EPIPE`, `EBADF` ...
 */
export function sendmsg(
  socket: AsFd,
  iov: Payload,
  ancillary?: SocketAncillary | null,
  options?: MessageOptions,
): number {
  const read = readCall(options, SEND_MESSAGE);
  const control = checkAncillary(ancillary);
  const owner = ownerClassOf(socket);
  const platform = platformOf(read, socket, owner, control);
  const payload = iovec(iov);
  const to = read.address === undefined ? null : peerPath(platform, read.address);
  const flags = platform.sendFlags | (read.flags ?? 0);
  const deadline = deadlineOf(platform, read);
  for (let waited = 0; ; ) {
    // Code of the caller's runs here. The code below sees its changes, or refuses them.
    const numbers = control === null ? NO_NUMBERS : prepare(control);
    const number = readSocket(platform, socket, owner);
    const fd = unixSocket(platform, socket, owner, number);
    const fds = control === null ? NO_FDS : fdsOf(control);
    const length = byteLength(payload);
    if (length === 0 && fds.length > 0 && isStream(platform, fd)) checkCarried(length, fds);
    const controlLength = control === null ? 0 : encode(control, numbers);
    const sent = platform.system.sendmsg(fd, payload, 0, length, controlLength, flags, to);
    if (sent >= 0) return sent;
    // The error of a full receiver depends on the type of the socket.
    const type = isStream(platform, fd) ? "stream" : "dgram";
    waited = waitOrThrow({ platform, type }, sent, fds, to, waited);
    if (read.wait !== true) throw errnoError(sent, "sendmsg");
    waitFor(platform, fd, POLLOUT, deadline, waited, "sendmsg");
  }
}

/**
 * `recvmsg(2)` into the caller's buffers. Control messages go to the ancillary buffer, which is cleared first. Descriptors are
 * closed if there is none, or if it has no room for them. The kernel always gets a control buffer that is large enough: some
 * systems leak descriptors that do not fit (Darwin, DragonFly).
 *
 * @throws RangeError for buffers of 0 bytes on a stream, for MSG_PEEK with an ancillary buffer (each peek would duplicate the
 *   descriptors), and for MSG_TRUNC (the result would be longer than the buffers); AncillaryError `ERR_MALFORMED_CONTROL` with the
 *   bytes as `data`, `ERR_NOT_UNIX_SOCKET`; SystemError `EAGAIN`, `ECONNRESET` ...
 */
export function recvmsg(
  socket: AsFd,
  iov: Uint8Array | readonly Uint8Array[],
  ancillary?: SocketAncillary | null,
  options?: MessageOptions,
): RecvResult {
  const read = readCall(options, MESSAGE);
  const control = checkAncillary(ancillary);
  const owner = ownerClassOf(socket);
  const platform = platformOf(read, socket, owner, control);
  const { system, abi } = platform;
  const into = buffers(iov);
  const more = read.flags ?? 0;
  const peeks = (more & abi.MSG_PEEK) !== 0;
  if (peeks && control !== null)
    throw outOfRange("options.flags", "no MSG_PEEK with control space: it duplicates descriptors", more);
  if ((more & abi.MSG_TRUNC) !== 0)
    throw outOfRange("options.flags", "no MSG_TRUNC: the result would be longer than the buffers", more);
  // The earlier contents are closed, and the buffer is empty, even if the receive fails.
  if (control !== null) clearAncillary(control);
  // Connected sockets report no sender's name, so it is asked for only on datagram sockets and where the type is unknown.
  const type = typeOf(socket);
  const named = type === null || type === "dgram";
  const capacity = peeks ? 0 : platform.receiveCapacity;
  const deadline = deadlineOf(platform, read);
  for (let futile = 0; ; futile++) {
    const fd = unixSocket(platform, socket, owner, readSocket(platform, socket, owner));
    const room = byteLength(into);
    if (room === 0 && isStream(platform, fd)) throw outOfRange("iov", "at least 1 byte", 0);
    // Before the receive: afterwards there would be no memory to copy the control data to.
    if (control !== null) checkMemory(control);
    const bytes = receiveInto(system, fd, into, capacity, platform.receiveFlags | more, named);
    if (bytes >= 0) return result(platform, fd, into, bytes, control, named);
    if (bytes !== EAGAIN && bytes !== EWOULDBLOCK) throw receiveError(platform, bytes);
    if (read.wait !== true) throw errnoError(bytes, "recvmsg");
    waitFor(platform, fd, POLLIN, deadline, pauseAfter(futile), "recvmsg");
  }
}

function result(
  platform: Platform,
  fd: number,
  into: Iovec,
  bytes: number,
  ancillary: SocketAncillary | null,
  named: boolean,
): RecvResult {
  const { system, abi } = platform;
  const flags = system.out[OUT.FLAGS]!;
  const { reason, failure } = ancillary === null ? readControl(platform, fd, 0) : take(ancillary, fd);
  if (failure !== null) throw Object.assign(failure, { data: copyOf(into, Math.min(bytes, byteLength(into))) });
  const result = {
    bytesRead: bytes,
    ancillaryTruncated: reason !== null,
    dataTruncated: (flags & abi.MSG_TRUNC) !== 0,
    address: named ? addressOf(system) : null,
  };
  return reason === null ? result : { ...result, reason };
}
