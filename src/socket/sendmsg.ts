/** The low level: `sendmsg` and `recvmsg` on any socket. */

import {
  boolean,
  type Checks,
  integer,
  outOfRange,
  readOptions,
  type TruncationReason,
  wrongType,
} from "../core/errors.ts";
import { type AsFd, NO_FDS, NO_NUMBERS, type OwnerClass, ownedNumber, resolveFd, socketClassOf } from "../fd/as-fd.ts";
import {
  checkAncillary,
  checkMemory,
  clearAncillary,
  encode,
  fdsOf,
  hasOthers,
  platformOfAncillary,
  prepare,
  type SocketAncillary,
  take,
} from "../message/ancillary.ts";
import { buffers, byteLength, copyOf, type Iovec, iovec, type Payload, receiveInto } from "../message/iovec.ts";
import { receiveError } from "../message/receive.ts";
import { readControl } from "../message/received.ts";
import { checkCarried, waitOrThrow } from "../message/send.ts";
import { addressOf, peerPath } from "../system/address.ts";
import { EAGAIN, EINVAL, EWOULDBLOCK, errnoError, timedOut } from "../system/errno.ts";
import { hostPlatform, PLATFORM, type Platform, type PlatformOptions } from "../system/platform.ts";
import { checkAnyUnixSocket, familyName, isOfType } from "../system/socket-type.ts";
import { OUT, POLLIN, POLLOUT } from "../system/system.ts";
import { typeOf } from "./message-socket.ts";
import { pauseAfter } from "./operation.ts";
import { TIMEOUT } from "./waiting.ts";

/** Options of {@link sendmsg} and {@link recvmsg}. */
export interface MessageOptions extends PlatformOptions {
  /** Waits in `poll(2)` instead of failing with `EAGAIN`; false by default. */
  wait?: boolean | undefined;
  /** Milliseconds after which a call with `wait` fails with `ETIMEDOUT`. */
  timeout?: number | undefined;
  /** `MSG_` flags of this system, in addition to the library's own. */
  flags?: number | undefined;
  /** The name of the receiving Unix socket; for {@link sendmsg} only. */
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
  /** The name of the sender of a datagram; null if it has none, or is no Unix socket. */
  readonly address: string | null;
}

const MESSAGE: Checks = {
  ...PLATFORM,
  wait: (name, value) => void boolean(name, value),
  ...TIMEOUT,
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

/** The current number of a socket. Runs code of the caller's only where it is no owner of this library. */
function socketNumber(platform: Platform, socket: AsFd, owner: OwnerClass | null): number {
  if (owner === null) return resolveFd(platform, socket, "socket");
  return ownedNumber(platform, owner, socket as object, "socket");
}

/**
 * Refuses descriptors, and the name of a receiver, on other sockets than Unix sockets: the kernel would accept descriptors and drop
 * them, or read the name as an address of another family.
 *
 * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for descriptors; RangeError for a name
 */
function checkUnix(
  platform: Platform,
  socket: AsFd,
  owner: OwnerClass | null,
  fd: number,
  sendsFds: boolean,
  name: string | undefined,
): void {
  if (typeOf(socket) !== null || (owner !== null && checked.has(socket as object))) return;
  if (sendsFds) checkAnyUnixSocket(platform, fd);
  else {
    const family = platform.system.getsockname(fd);
    // The kernel reports that it is no socket.
    if (family < 0) return;
    const expected = `no name of a Unix socket for a socket of ${familyName(platform, family)}`;
    if (family !== platform.constants.AF_UNIX)
      throw outOfRange("options.address", expected, name, "ERR_INVALID_ARG_VALUE");
  }
  if (owner !== null) checked.add(socket as object);
}

/** Whether a socket refuses MSG_CMSG_CLOEXEC: packet sockets do (Linux, packet_recvmsg). Only Unix sockets deliver descriptors. */
function refusesCloexec({ system, constants, abi }: Platform, fd: number, errno: number): boolean {
  if (errno !== EINVAL || abi.MSG_CMSG_CLOEXEC === null) return false;
  const family = system.getsockname(fd);
  return family >= 0 && family !== constants.AF_UNIX;
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
  { timeout, address }: MessageOptions,
): void {
  const left = deadline - system.now();
  if (left <= 0) throw timedOut(syscall, timeout!, null, address);
  const wait = retry > 0 ? Math.min(retry, left) : left;
  const ready = system.poll(fd, retry > 0 ? 0 : events, wait === Infinity ? -1 : Math.min(Math.ceil(wait), 0x7fffffff));
  if (ready < 0) throw errnoError(ready, "poll");
}

/**
 * `sendmsg(2)`: sends bytes with the contents of an ancillary buffer, which stay in it. Never raises SIGPIPE, and waits only with
 * `wait`.
 *
 * It does not use the queues of {@link UnixStream} and the other sockets: it may overtake sends that wait there. Sockets of every
 * address family are accepted, as long as no descriptors are sent: other families drop them without an error.
 *
 * @returns the number of bytes accepted
 * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_ANCILLARY_RECEIVED`, and `ERR_NOT_UNIX_SOCKET` for descriptors on
 *   another socket; SystemError `EAGAIN`, `EPIPE`, `EBADF`, `ENOTSOCK` ...
 */
export function sendmsg(
  socket: AsFd,
  iov: Payload,
  ancillary?: SocketAncillary | null,
  options?: MessageOptions,
): number {
  const read = readCall(options, SEND_MESSAGE);
  const control = checkAncillary(ancillary);
  const owner = socketClassOf(socket);
  const platform = platformOf(read, socket, owner, control);
  const payload = iovec(iov);
  const to = read.address === undefined ? null : peerPath(platform, read.address);
  const flags = platform.sendFlags | (read.flags ?? 0);
  const deadline = deadlineOf(platform, read);
  for (let waited = 0; ; ) {
    // Code of the caller's runs here. The code below sees its changes, or refuses them.
    const numbers = control === null ? NO_NUMBERS : prepare(control);
    const fd = socketNumber(platform, socket, owner);
    const fds = control === null ? NO_FDS : fdsOf(control);
    if (fds.length > 0 || to !== null) checkUnix(platform, socket, owner, fd, fds.length > 0, read.address);
    const length = byteLength(payload);
    if (length === 0 && fds.length > 0 && isOfType(platform, fd, "stream")) checkCarried(length, fds);
    const controlLength = control === null ? 0 : encode(control, numbers);
    const sent = platform.system.sendmsg(fd, payload, 0, length, controlLength, flags, to);
    if (sent >= 0) return sent;
    // The error of a full receiver depends on the type of the socket.
    const type = isOfType(platform, fd, "stream") ? "stream" : "dgram";
    const besideFds = control !== null && hasOthers(control);
    waited = waitOrThrow({ platform, type }, fd, sent, fds, numbers, to, waited, besideFds);
    if (read.wait !== true) throw errnoError(sent, "sendmsg", "it waits with options.wait", read.address);
    waitFor(platform, fd, POLLOUT, deadline, waited, "sendmsg", read);
  }
}

/**
 * `recvmsg(2)` into the caller's buffers. Control messages go to the ancillary buffer, which is cleared first. Descriptors are
 * closed if there is none, or if it has no room for them. The kernel always gets a control buffer that is large enough: some
 * systems leak descriptors that do not fit (Darwin, DragonFly). Sockets of every address family are accepted. Control messages that
 * the ABI table does not have are of the kind `"unknown"`, with their level, type and bytes.
 *
 * @throws RangeError for buffers of 0 bytes on a stream, and on every socket of Darwin, NetBSD and DragonFly (`abi.emptyReceive`: they
 *   answer 0 though nothing has come); for MSG_PEEK with an ancillary buffer (each peek would duplicate the descriptors), and on a seqpacket
 *   socket of OpenBSD, NetBSD and DragonFly (`abi.emptyRecord`: at an empty record the call would not return); for MSG_TRUNC (the
 *   result would be longer than the buffers); AncillaryError `ERR_MALFORMED_CONTROL` with the
 *   bytes as `data`; SystemError `EAGAIN`, `ECONNRESET`, `ENOTSOCK` ...
 */
export function recvmsg(
  socket: AsFd,
  iov: Uint8Array | readonly Uint8Array[],
  ancillary?: SocketAncillary | null,
  options?: MessageOptions,
): RecvResult {
  const read = readCall(options, MESSAGE);
  const control = checkAncillary(ancillary);
  const owner = socketClassOf(socket);
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
  const flags = platform.receiveFlags | more;
  for (let futile = 0; ; futile++) {
    const fd = socketNumber(platform, socket, owner);
    const room = byteLength(into);
    if (room === 0 && (abi.emptyReceive === "answered" || isOfType(platform, fd, "stream")))
      throw outOfRange("iov", "at least 1 byte", 0);
    if (peeks && abi.emptyRecord === "lost" && isOfType(platform, fd, "seqpacket"))
      throw outOfRange("options.flags", "no MSG_PEEK on a seqpacket socket: at an empty record it never returns", more);
    // Before the receive: afterwards there would be no memory to copy the control data to.
    if (control !== null) checkMemory(control);
    let bytes = receiveInto(system, fd, into, capacity, flags, named);
    if (refusesCloexec(platform, fd, bytes))
      bytes = receiveInto(system, fd, into, capacity, flags & ~abi.MSG_CMSG_CLOEXEC!, named);
    if (bytes >= 0) return result(platform, fd, into, bytes, control, named);
    if (bytes !== EAGAIN && bytes !== EWOULDBLOCK) throw receiveError(platform, fd, bytes);
    if (read.wait !== true) throw errnoError(bytes, "recvmsg", "it waits with options.wait");
    waitFor(platform, fd, POLLIN, deadline, pauseAfter(futile), "recvmsg", read);
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
