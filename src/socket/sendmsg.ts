/** The low level: one system call a function, on any Unix socket. */

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

/** How {@link sendmsg} and {@link recvmsg} behave. */
export interface MessageOptions extends PlatformOptions {
  /** Waits in `poll(2)` instead of failing with `EAGAIN`; false by default. */
  wait?: boolean | undefined;
  /** With `wait`: milliseconds after which it fails with `ETIMEDOUT`. */
  timeout?: number | undefined;
  /** `MSG_` flags of this system, added to the library's own. */
  flags?: number | undefined;
  /** Of {@link sendmsg}: the name of the receiving socket. */
  address?: string | undefined;
}

/** What {@link recvmsg} brought. */
export interface RecvResult {
  /** Bytes received; 0 at the end of a stream. */
  readonly bytesRead: number;
  /** More control data came than the ancillary buffer, or the kernel, had room for; descriptors in it were closed. */
  readonly ancillaryTruncated: boolean;
  /** Why control data are missing, when they are. */
  readonly reason?: TruncationReason;
  /** The datagram or record was longer than the buffers. */
  readonly dataTruncated: boolean;
  /** The sender's name, of a datagram; null: none. */
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

/** Reads the options of either call. */
function readCall(given: MessageOptions | undefined, checks: Checks): MessageOptions {
  const options = readOptions("options", given, checks);
  if (options.timeout !== undefined && options.wait !== true)
    throw outOfRange("options.timeout", "options.wait beside it", options.timeout);
  return options;
}

/** The platform of a call: the options name it, or the socket, or the ancillary buffer. */
function platformOf(
  { platform: named }: MessageOptions,
  socket: AsFd,
  owner: OwnerClass | null,
  control: SocketAncillary | null,
): Platform {
  const platform =
    named ?? owner?.platform(socket as object) ?? (control === null ? hostPlatform() : platformOfAncillary(control));
  if (control !== null && platformOfAncillary(control) !== platform)
    throw outOfRange("ancillary", "a buffer of the socket's own platform", "one of another");
  return platform;
}

/** Owners of sockets that were looked at: they do not change them. */
const checked = new WeakSet<object>();

/**
 * The number of a socket as far as code of the caller's is needed for it; -1: {@link unixSocket} reads it at the last moment.
 */
function readSocket(platform: Platform, socket: AsFd, owner: OwnerClass | null): number {
  return owner === null ? resolveFd(platform, socket, "socket") : -1;
}

/**
 * The number of a Unix socket now, without code of the caller's. On anything else the kernel would take descriptors and drop them.
 *
 * @param number what {@link readSocket} read of it
 * @throws AncillaryError `ERR_FD_CLOSED` when it was closed since, `ERR_NOT_UNIX_SOCKET`
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

/** When a call fails with `ETIMEDOUT`, by the system's clock. */
function deadlineOf({ system }: Platform, { timeout }: MessageOptions): number {
  return timeout === undefined ? Infinity : system.now() + timeout;
}

/** Waits until the socket is ready or, where readiness tells nothing, for a moment. @throws SystemError `ETIMEDOUT` */
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
 * `sendmsg(2)`: bytes with whatever an ancillary buffer holds, which keeps it. Never SIGPIPE; never waits unless `wait`.
 *
 * It stands beside the queues of {@link UnixStream} and its kind: it does not wait for their turn.
 *
 * @returns bytes accepted
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
    // The code of the caller's runs here; what it changes is seen, or refused, below.
    const numbers = control === null ? NO_NUMBERS : prepare(control);
    const number = readSocket(platform, socket, owner);
    const fd = unixSocket(platform, socket, owner, number);
    const fds = control === null ? NO_FDS : fdsOf(control);
    const length = byteLength(payload);
    if (length === 0 && fds.length > 0 && isStream(platform, fd)) checkCarried(length, fds);
    const controlLength = control === null ? 0 : encode(control, numbers);
    const sent = platform.system.sendmsg(fd, payload, 0, length, controlLength, flags, to);
    if (sent >= 0) return sent;
    // Which kind it is matters for what a full receiver looks like.
    const type = isStream(platform, fd) ? "stream" : "dgram";
    waited = waitOrThrow({ platform, type }, sent, fds, to, waited);
    if (read.wait !== true) throw errnoError(sent, "sendmsg");
    waitFor(platform, fd, POLLOUT, deadline, waited, "sendmsg");
  }
}

/**
 * `recvmsg(2)` into the caller's buffers. What comes beside the bytes goes into an ancillary buffer, which is cleared first;
 * without one, or where it is too small, descriptors are closed. The kernel is always given room enough: some systems leak what
 * does not fit (Darwin, DragonFly).
 *
 * @throws RangeError for no room at all on a stream, MSG_PEEK with control space (it would duplicate descriptors each time),
 *   and MSG_TRUNC (the result would be longer than the buffers); AncillaryError `ERR_MALFORMED_CONTROL` with the bytes as
 *   `data`, `ERR_NOT_UNIX_SOCKET`; SystemError `EAGAIN`, `ECONNRESET` ...
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
  // Whatever happens below, what was there is closed and the buffer is empty.
  if (control !== null) clearAncillary(control);
  // The kernel is not asked for what a connected socket does not tell, where that is known.
  const type = typeOf(socket);
  const named = type === null || type === "dgram";
  const capacity = peeks ? 0 : platform.receiveCapacity;
  const deadline = deadlineOf(platform, read);
  for (let futile = 0; ; futile++) {
    const fd = unixSocket(platform, socket, owner, readSocket(platform, socket, owner));
    const room = byteLength(into);
    if (room === 0 && isStream(platform, fd)) throw outOfRange("iov", "at least 1 byte", 0);
    // Before anything comes: it could not be shown.
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
