/** The low level: one system call a function, on any Unix socket. */

import { boolean, type Checks, options as checkOptions, integer, outOfRange, wrongType } from "../core/errors.ts";
import { type AsFd, resolveFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf } from "../fd/owned-fd.ts";
import { carried, checkMemory, encode, platformOfAncillary, SocketAncillary, take } from "../message/ancillary.ts";
import { buffers, byteLength, copyOf, type Iovec, iovec, type Payload, receiveInto } from "../message/iovec.ts";
import { receiveError } from "../message/receive.ts";
import { readControl } from "../message/received.ts";
import { checkCarried, NO_FDS, waitOrThrow } from "../message/send.ts";
import { addressOf, sunPath } from "../system/address.ts";
import { EAGAIN, ETIMEDOUT, EWOULDBLOCK, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom } from "../system/platform.ts";
import { checkAnyUnixSocket, isStream } from "../system/socket-type.ts";
import { OUT, POLLIN, POLLOUT } from "../system/system.ts";
import { Endpoint } from "./endpoint.ts";
import { MessageSocket } from "./message-socket.ts";

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
  /** The datagram or record was longer than the buffers. */
  readonly dataTruncated: boolean;
  /** The sender's name, of a datagram; null: none. */
  readonly address: string | null;
}

const MESSAGE: Checks = {
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

/** Sockets that were looked at: their owners do not change them. */
const known = new WeakSet<object>();

/**
 * The number of a Unix socket. On anything else the kernel would take descriptors and drop them.
 *
 * @throws AncillaryError `ERR_NOT_UNIX_SOCKET`
 */
function socketFd(platform: Platform, socket: AsFd): number {
  if (socket instanceof Endpoint) return socket.fd;
  const fd = resolveFd(socket, "socket");
  if (typeof socket === "object" && known.has(socket)) return fd;
  checkAnyUnixSocket(platform, fd);
  if (socket instanceof OwnedFd) known.add(socket);
  return fd;
}

function platformFor(
  socket: AsFd,
  ancillary: SocketAncillary | null | undefined,
  options: MessageOptions | undefined,
): Platform {
  if (options?.platform !== undefined) return options.platform;
  if (socket instanceof Endpoint) return socket.platform;
  if (socket instanceof OwnedFd) return platformOf(socket);
  return ancillary ? platformOfAncillary(ancillary) : hostPlatform();
}

function checkAncillary(platform: Platform, ancillary: unknown): void {
  if (ancillary === undefined || ancillary === null) return;
  if (!(ancillary instanceof SocketAncillary)) throw wrongType("ancillary", "a SocketAncillary or null", ancillary);
  if (platformOfAncillary(ancillary) !== platform)
    throw outOfRange("ancillary", "a buffer of the socket's own platform", "one of another");
}

function checkWait(options: MessageOptions | undefined, known: Checks): void {
  if (options === undefined) return;
  checkOptions("options", options, { ...known, platform: () => {} });
  platformFrom({ platform: options.platform }, {});
  if (options.timeout !== undefined && options.wait !== true)
    throw outOfRange("options.timeout", "options.wait beside it", options.timeout);
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
  checkWait(options, SEND_MESSAGE);
  const platform = platformFor(socket, ancillary, options);
  checkAncillary(platform, ancillary);
  const { system, sendFlags } = platform;
  const payload = iovec(iov);
  const to = options?.address === undefined ? null : sunPath(platform, options.address);
  const flags = sendFlags | (options?.flags ?? 0);
  const deadline = options?.timeout === undefined ? Infinity : system.now() + options.timeout;
  for (let waited = 0; ; ) {
    // Getters of the caller's run first, those of the descriptors last; what they change is seen, or refused.
    let fd = socketFd(platform, socket);
    const fds = ancillary ? carried(ancillary) : NO_FDS;
    const control = ancillary ? encode(ancillary) : 0;
    if (socket instanceof Endpoint || socket instanceof OwnedFd) fd = socket.fd;
    const length = byteLength(payload);
    if (length === 0 && fds.length > 0 && isStream(platform, fd)) checkCarried(length, fds);
    const sent = system.sendmsg(fd, payload, 0, length, control, flags, to);
    if (sent >= 0) return sent;
    // Which kind it is matters for what a full receiver looks like.
    const type = isStream(platform, fd) ? "stream" : "dgram";
    const wait = waitOrThrow({ platform, type, to }, sent, fds, waited);
    if (options?.wait !== true) throw errnoError(sent, "sendmsg");
    waited = wait === "ready" ? 0 : wait;
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
  checkWait(options, MESSAGE);
  const platform = platformFor(socket, ancillary, options);
  checkAncillary(platform, ancillary);
  const { system, abi } = platform;
  const into = buffers(iov);
  const peeks = ((options?.flags ?? 0) & abi.MSG_PEEK) !== 0;
  if (peeks && ancillary)
    throw outOfRange("options.flags", "no MSG_PEEK with control space: it duplicates descriptors", options!.flags);
  if (((options?.flags ?? 0) & abi.MSG_TRUNC) !== 0)
    throw outOfRange("options.flags", "no MSG_TRUNC: the result would be longer than the buffers", options!.flags);
  // Whatever happens below, what was there is closed and the buffer is empty.
  ancillary?.clear();
  // The kernel is not asked for what a connected socket does not tell, where that is known.
  const named = !(socket instanceof MessageSocket) || socket.type === "dgram";
  const capacity = peeks ? 0 : platform.receiveCapacity;
  const flags = platform.receiveFlags | (options?.flags ?? 0);
  const deadline = options?.timeout === undefined ? Infinity : system.now() + options.timeout;
  for (;;) {
    const fd = socketFd(platform, socket);
    const room = byteLength(into);
    if (room === 0 && isStream(platform, fd)) throw outOfRange("iov", "at least 1 byte", 0);
    // Before anything comes: it could not be shown.
    if (ancillary) checkMemory(ancillary);
    const bytes = receiveInto(system, fd, into, capacity, flags, named);
    if (bytes >= 0) return received(platform, into, bytes, ancillary ?? null, named);
    if (bytes !== EAGAIN && bytes !== EWOULDBLOCK) throw receiveError(platform, bytes);
    if (options?.wait !== true) throw errnoError(bytes, "recvmsg");
    waitFor(platform, fd, POLLIN, deadline, 0, "recvmsg");
  }
}

function received(
  platform: Platform,
  into: Iovec,
  bytes: number,
  ancillary: SocketAncillary | null,
  named: boolean,
): RecvResult {
  const { system, abi } = platform;
  const flags = system.out[OUT.FLAGS]!;
  const controlLength = system.out[OUT.CONTROL_LENGTH]!;
  const cut = (flags & abi.MSG_CTRUNC) !== 0;
  const { truncated, failure } =
    ancillary === null ? readControl(platform, controlLength, cut, 0) : take(ancillary, controlLength, cut);
  if (failure !== null) throw Object.assign(failure, { data: copyOf(into, Math.min(bytes, byteLength(into))) });
  return {
    bytesRead: bytes,
    ancillaryTruncated: truncated,
    dataTruncated: (flags & abi.MSG_TRUNC) !== 0,
    address: named ? addressOf(system) : null,
  };
}
