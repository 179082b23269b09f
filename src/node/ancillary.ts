/** The low level: control messages of one's own choosing, on any Unix socket, one system call a function. */

import {
  AncillaryError,
  boolean,
  type Checks,
  options as checkOptions,
  integer,
  outOfRange,
  wrongType,
} from "../core/errors.ts";
import { type Payload as CorePayload, readPayload } from "../core/payloads.ts";
import { CONTROL_BYTES, REGISTER } from "../core/wasm.ts";
import { addressOf, sunPath } from "./address.ts";
import { type AsFd, resolveFd } from "./as-fd.ts";
import { isUint8Array } from "./builtins.ts";
import type { Credentials } from "./credentials.ts";
import { Endpoint } from "./endpoint.ts";
import { EAGAIN, ENOTSUP, ETIMEDOUT, EWOULDBLOCK, errnoError } from "./errors.ts";
import { adopt, adoptAll, closeAll, OwnedFd, platformOf } from "./owned-fd.ts";
import { buffers, byteLength, copyOf, type Iovec, iovec, type Payload, receiveInto } from "./payload.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom } from "./platform.ts";
import { receiveError } from "./receive.ts";
import { checkCarried, resolveFds, waitOrThrow } from "./send.ts";
import { checkAnyUnixSocket, isStream } from "./socket-kind.ts";
import { OUT, POLLIN, POLLOUT } from "./system.ts";

/** A control message as it lies in a control buffer. */
export interface ControlMessage {
  /** `cmsg_level`. */
  readonly level: number;
  /** `cmsg_type`. */
  readonly type: number;
  /** The payload, in the byte order of this host, without padding. */
  readonly data: Uint8Array;
}

/** What a received control message says, and what it handed over. Credentials are what the kernel wrote, unjudged. */
export type AncillaryData =
  | { readonly kind: "rights"; readonly fds: OwnedFd[] }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  | { readonly kind: "pidfd"; readonly pidfd: OwnedFd }
  | { readonly kind: "security"; readonly label: string }
  | { readonly kind: "timestamp"; readonly seconds: bigint; readonly nanoseconds: number }
  | { readonly kind: "unknown"; readonly level: number; readonly type: number; readonly data: Uint8Array };

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

/** What is to be sent: descriptors, as their owners; or the bytes of any other message. */
type Outgoing = { fds: AsFd[] } | ControlMessage;

const OUTGOING: Checks = {
  level: (name, value) => void integer(name, value, -0x80000000, 0x7fffffff),
  type: (name, value) => void integer(name, value, -0x80000000, 0x7fffffff),
  data(name, value) {
    if (!isUint8Array(value)) throw wrongType(name, "a Uint8Array", value);
  },
};

/** Takes over what a receive left in the control area; every descriptor has an owner then. */
let take: (ancillary: SocketAncillary, controlLength: number, truncated: boolean) => Received;
/** Writes what was added into the control area, with the numbers that its descriptors have now; the control length. */
let encode: (ancillary: SocketAncillary, numbers: readonly number[]) => number;
let carried: (ancillary: SocketAncillary) => readonly AsFd[];
/** @throws RangeError when the caller's memory is no longer there */
let checkMemory: (ancillary: SocketAncillary) => void;
let platformOfAncillary: (ancillary: SocketAncillary) => Platform;

/**
 * Control space: filled for a send, or filled by a receive.
 *
 * What a receive brought is owned by this object until {@link messages} hands it out; clearing it, using it again and
 * disposing of it close what was not taken.
 */
export class SocketAncillary implements Disposable {
  readonly #platform: Platform;
  /** The caller's memory, which shows the bytes that were sent or received; null: nobody sees them. */
  readonly #memory: Uint8Array | null;
  readonly #capacity: number;
  #length = 0;
  #truncated = false;
  #received = false;
  #outgoing: Outgoing[] = [];
  #incoming: AncillaryData[] = [];
  /** How many of them were handed out. */
  #taken = 0;

  /**
   * @param capacity bytes of control space of its own, or memory of the caller's, at any offset
   * @throws RangeError beyond 64 KiB
   */
  constructor(capacity: number | Uint8Array, options?: PlatformOptions) {
    this.#platform = platformFrom(options, {});
    this.#memory = isUint8Array(capacity) ? capacity : null;
    if (this.#memory === null && typeof capacity !== "number")
      throw wrongType("capacity", "a number of bytes or a Uint8Array", capacity);
    this.#capacity = integer("capacity", isUint8Array(capacity) ? capacity.byteLength : capacity, 0, CONTROL_BYTES);
  }

  static {
    take = (ancillary, controlLength, truncated) => ancillary.#take(controlLength, truncated);
    encode = (ancillary, numbers) => ancillary.#encode(numbers);
    carried = (ancillary) => {
      ancillary.#checkUnreceived();
      return ancillary.#fds();
    };
    checkMemory = (ancillary) => {
      const bytes = ancillary.#memory?.byteLength ?? ancillary.#capacity;
      if (bytes < ancillary.#capacity)
        throw outOfRange("ancillary", `the ${ancillary.#capacity} bytes of memory that it was made with`, bytes);
    };
    platformOfAncillary = (ancillary) => ancillary.#platform;
  }

  /** `CMSG_SPACE` of this many descriptors, in bytes. Alignment may leave room for one more. */
  static bufferSizeForRights(fds: number): number {
    integer("fds", fds, 0, CONTROL_BYTES);
    return hostPlatform().core.exports.space(4 * fds);
  }

  /** `CMSG_SPACE` of the largest credentials this system sends, in bytes; 0 where it sends none. */
  static bufferSizeForCredentials(): number {
    const { abi, core } = hostPlatform();
    return Math.max(0, ...abi.credentials.map(({ bytes }) => core.exports.space(bytes)));
  }

  /** Bytes of control space. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Bytes in use: those that would be sent, or that were received. */
  get length(): number {
    return this.#length;
  }

  /** Whether the last receive had more than there was room for. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /**
   * Adds descriptors. They stay their owners', which are kept alive; the numbers are read when the message is sent. However
   * often this is called, they go out as one SCM_RIGHTS: several systems take only one.
   *
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; `ERR_ANCILLARY_RECEIVED` after a receive, until cleared; `ERR_FD_CLOSED`;
   *   RangeError `ERR_TOO_MANY_FDS`
   */
  addFds(fds: readonly AsFd[]): void {
    this.#checkUnreceived();
    if (!Array.isArray(fds)) throw wrongType("fds", "an array of descriptors", fds);
    const more = fds.slice();
    // Refused now rather than when it is sent; the numbers are read again then. Getters of the caller's run, and might add.
    resolveFds(more);
    const added = this.#outgoing.find((one) => "fds" in one);
    const before = added?.fds.length ?? 0;
    const most = this.#platform.abi.maxFdsPerMessage;
    if (before + more.length > most)
      throw outOfRange("fds", `at most ${most} descriptors in one message`, before + more.length, "ERR_TOO_MANY_FDS");
    if (more.length === 0) return;
    if (added === undefined) this.#add({ fds: more });
    else {
      added.fds.push(...more);
      const missing = this.#measure();
      if (missing < 0) return;
      added.fds.splice(before);
      throw this.#noRoom(missing);
    }
  }

  /**
   * Adds credentials. The kernel checks them: a process without privileges can only tell the truth.
   *
   * @throws SystemError `ENOTSUP` where senders attach none, or nothing else beside it (DragonFly)
   */
  addCredentials(credentials: Credentials): void {
    this.#checkUnreceived();
    if (typeof credentials !== "object" || credentials === null)
      throw wrongType("credentials", "an object of pid, uid and gid", credentials);
    const { pid, uid, gid } = credentials;
    const { abi, core } = this.#platform;
    const [layout] = abi.credentials;
    if (layout === undefined || !layout.sendable)
      throw errnoError(ENOTSUP, "sendmsg", `senders attach no credentials on ${abi.os}`);
    const id = (name: string, value: number) => integer(name, value, 0, 0xffffffff) | 0;
    const sender = integer("pid", pid ?? process.pid, 0, 0x7fffffff);
    core.exports.begin(-1);
    const at = core.exports.putCredentials(sender, id("uid", uid), id("gid", gid));
    this.#add({ level: abi.SOL_SOCKET, type: layout.type, data: core.control.slice(at, at + layout.bytes) });
  }

  /**
   * Adds a message of any level and type; its bytes are copied. SCM_RIGHTS are descriptors: their numbers are added as by
   * {@link addFds}.
   */
  addMessage(message: ControlMessage): void {
    this.#checkUnreceived();
    if (typeof message !== "object" || message === null) throw wrongType("message", "a control message", message);
    for (const [name, check] of Object.entries(OUTGOING))
      check(`message.${name}`, message[name as keyof ControlMessage]);
    const { level, type } = message;
    // As it is now; of memory that is gone, nothing.
    const data = message.data.length === 0 ? new Uint8Array(0) : message.data.slice();
    const { abi } = this.#platform;
    if (level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS) {
      const payload = readPayload(abi, level, type, data);
      if (payload.kind !== "rights" || payload.leftoverBytes > 0)
        throw outOfRange("message.data", "whole ints, of SCM_RIGHTS", `${data.length} bytes`);
      this.addFds(payload.fds);
    } else this.#add({ level, type, data });
  }

  /**
   * What a receive brought, in the order of the buffer, each once: what it hands over is the caller's. What is not taken
   * when the loop is left is closed.
   */
  messages(): IterableIterator<AncillaryData, undefined> {
    return new Messages(
      () => this.#next(),
      () => this.#closeIncoming(),
    );
  }

  /** Empties it, for the next send or receive. */
  clear(): void {
    this.#closeIncoming();
    // Setting the length of an array costs more than a new one.
    if (this.#outgoing.length > 0) this.#outgoing = [];
    this.#length = 0;
    this.#truncated = false;
    this.#received = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  #checkUnreceived(): void {
    if (this.#received) {
      throw new AncillaryError("ERR_ANCILLARY_RECEIVED", "the ancillary buffer was received into: clear() it first");
    }
  }

  #fds(): readonly AsFd[] {
    for (const one of this.#outgoing) if ("fds" in one) return one.fds;
    return [];
  }

  #add(message: Outgoing): void {
    const { abi } = this.#platform;
    if (this.#outgoing.length > 0 && abi.severalRights === "first")
      throw errnoError(ENOTSUP, "sendmsg", `${abi.os} sends the first control message and loses the others in silence`);
    this.#outgoing.push(message);
    const missing = this.#measure();
    if (missing < 0) return;
    this.#outgoing.pop();
    throw this.#noRoom(missing);
  }

  /** Takes over the length of all that was added: -1, or the bytes of payload that there is no room for. */
  #measure(): number {
    const { core, abi } = this.#platform;
    core.exports.begin(this.#capacity);
    for (const message of this.#outgoing) {
      const bytes = "fds" in message ? 4 * message.fds.length : message.data.length;
      // Level and type do not matter for the length.
      if (core.exports.put(abi.SOL_SOCKET, abi.SCM_RIGHTS, bytes) < 0) return bytes;
    }
    this.#length = core.exports.length();
    return -1;
  }

  #noRoom(bytes: number): AncillaryError {
    const text = `expected messages that fit into ${this.#capacity} bytes, there is no room for ${bytes} more bytes of payload`;
    return new AncillaryError("ERR_BUFFER_TOO_SMALL", text);
  }

  /** The next message that was not handed out. */
  #next(): AncillaryData | undefined {
    return this.#taken < this.#incoming.length ? this.#incoming[this.#taken++] : undefined;
  }

  #encode(numbers: readonly number[]): number {
    const { core } = this.#platform;
    core.exports.begin(-1);
    for (const message of this.#outgoing) {
      if ("fds" in message) {
        core.fds.set(numbers);
        core.putRights(numbers.length);
      } else {
        const at = core.exports.put(message.level, message.type, message.data.length);
        core.control.set(message.data, at);
      }
    }
    const length = core.exports.length();
    this.#memory?.set(core.control.subarray(0, length));
    return length;
  }

  /** The kernel was given more room than there is here: what would not have fitted is closed. */
  #take(controlLength: number, truncated: boolean): Received {
    const received = readControl(this.#platform, controlLength, truncated, this.#capacity);
    if (received.failure !== null) return received;
    this.#incoming = received.incoming;
    this.#taken = 0;
    this.#received = true;
    this.#length = Math.min(controlLength, this.#capacity);
    this.#truncated = received.truncated;
    this.#memory?.set(this.#platform.core.control.subarray(0, this.#length));
    return received;
  }

  #closeIncoming(): void {
    const incoming = this.#incoming;
    if (incoming.length === 0) return;
    this.#incoming = [];
    for (let i = this.#taken; i < incoming.length; i++) closeMessage(incoming[i]!);
  }
}

/** What {@link SocketAncillary.messages} answers: a generator would cost as much as a system call. */
class Messages implements IterableIterator<AncillaryData, undefined> {
  readonly #take: () => AncillaryData | undefined;
  readonly #close: () => void;
  #done = false;

  constructor(take: () => AncillaryData | undefined, close: () => void) {
    this.#take = take;
    this.#close = close;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<AncillaryData, undefined> {
    const value = this.#done ? undefined : this.#take();
    if (value !== undefined) return { done: false, value };
    this.#done = true;
    return { done: true, value: undefined };
  }

  return(): IteratorResult<AncillaryData, undefined> {
    if (!this.#done) this.#close();
    this.#done = true;
    return { done: true, value: undefined };
  }
}

/** The descriptors that it handed over. */
function closeMessage(message: AncillaryData): void {
  if (message.kind === "rights") closeAll(message.fds);
  else if (message.kind === "pidfd") message.pidfd.close();
}

/** What the control area held. */
interface Received {
  readonly incoming: AncillaryData[];
  readonly truncated: boolean;
  /** Then everything that came is closed. */
  readonly failure: Error | null;
}

/**
 * Reads the control area. What would not have fitted into `capacity` bytes is closed: the kernel was given more. No descriptor
 * is left without an owner, and nothing throws.
 */
function readControl(platform: Platform, controlLength: number, cut: boolean, capacity: number): Received {
  const { system, core, abi } = platform;
  const { registers, fds: table } = core;
  const incoming: AncillaryData[] = [];
  const beyond: OwnedFd[] = [];
  let truncated = cut || controlLength > capacity;
  let whole = true;
  core.exports.open(controlLength, cut || abi.truncation === "dragonfly");
  while (core.next()) {
    const level = registers[REGISTER.LEVEL]!;
    const type = registers[REGISTER.TYPE]!;
    const at = registers[REGISTER.DATA]!;
    const length = registers[REGISTER.DATA_LENGTH]!;
    if (registers[REGISTER.CLAMPED] === 1) truncated = true;
    const room = Math.max(0, Math.min(length, capacity - at));
    if (level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS) {
      const slots = length >> 2;
      if (core.readRights(0, at, slots) > 0 || ((length & 3) !== 0 && !truncated)) whole = false;
      // Slots without a descriptor are passed over.
      let came = 0;
      let fitting = 0;
      for (let i = 0; i < slots; i++) {
        if (table[i]! < 0) continue;
        system.own(table[i]!);
        if (4 * (i + 1) <= room) fitting++;
        table[came++] = table[i]!;
      }
      const fds = adoptAll(platform, table, came);
      if (fitting < came) beyond.push(...fds.splice(fitting));
      if (fitting > 0) incoming.push({ kind: "rights", fds });
      continue;
    }
    const data = core.control.slice(at, at + length);
    const payload = readPayload(abi, level, type, data);
    const fits = room === length;
    if (payload.kind === "pidfd" && payload.pidfd !== null && payload.pidfd >= 0) {
      system.own(payload.pidfd);
      const pidfd = adopt(platform, payload.pidfd);
      if (fits) incoming.push({ kind: "pidfd", pidfd });
      else beyond.push(pidfd);
    } else if (fits) incoming.push(described(payload, { level, type, data }));
  }
  if (registers[REGISTER.FAULT] !== 0) whole = false;
  system.out[OUT.UNSETTLED] = 0;
  const uncloexec = platform.needsCloexec ? makeCloexec(platform, owned(incoming, beyond)) : 0;
  if (whole && uncloexec === 0) {
    closeAll(beyond);
    return { incoming, truncated, failure: null };
  }
  const all = owned(incoming, beyond);
  closeAll(all);
  const failure =
    uncloexec < 0
      ? errnoError(uncloexec, "fcntl")
      : new AncillaryError(
          "ERR_MALFORMED_CONTROL",
          `the control data are malformed; ${all.length} descriptors in them were closed`,
        );
  return { incoming: [], truncated, failure };
}

/** Every descriptor that came. */
function owned(incoming: readonly AncillaryData[], beyond: readonly OwnedFd[]): OwnedFd[] {
  const fds = [...beyond];
  for (const one of incoming) {
    if (one.kind === "rights") fds.push(...one.fds);
    else if (one.kind === "pidfd") fds.push(one.pidfd);
  }
  return fds;
}

/** Of a message that hands nothing over. A pidfd that the kernel could not make, a negative errno, is unknown. */
function described(payload: CorePayload, message: ControlMessage): AncillaryData {
  if (payload.kind === "credentials" && payload.credentials !== null)
    return { kind: "credentials", credentials: payload.credentials };
  if (payload.kind === "security") return { kind: "security", label: payload.label };
  if (payload.kind === "timestamp" && payload.times.length > 0) return { kind: "timestamp", ...payload.times[0]! };
  return { kind: "unknown", ...message };
}

/** 0, or the errno of the first that could not be made CLOEXEC. */
function makeCloexec({ system }: Platform, fds: readonly OwnedFd[]): number {
  for (let i = 0; i < fds.length; ) {
    let count = 0;
    while (i < fds.length && count < system.batch.length) system.batch[count++] = fds[i++]!.fd;
    const result = system.cloexecBatch(count);
    if (result < 0) return result;
  }
  return 0;
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
  const fd = resolveFd(socket, "socket");
  if (typeof socket === "object" && (socket instanceof Endpoint || known.has(socket))) return fd;
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
    // Getters of the caller's run first, those of the descriptors last; only then the core is touched.
    let fd = socketFd(platform, socket);
    const fds = ancillary ? carried(ancillary) : [];
    const numbers = resolveFds(fds);
    if (socket instanceof Endpoint || socket instanceof OwnedFd) fd = socket.fd;
    const length = byteLength(payload);
    if (length === 0 && fds.length > 0 && isStream(platform, fd)) checkCarried(length, fds);
    if (ancillary) {
      // A getter may have received into it.
      carried(ancillary);
      checkMemory(ancillary);
    }
    const control = ancillary ? encode(ancillary, numbers) : 0;
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
  const capacity = peeks ? 0 : platform.receiveCapacity;
  const flags = platform.receiveFlags | (options?.flags ?? 0);
  const deadline = options?.timeout === undefined ? Infinity : system.now() + options.timeout;
  for (;;) {
    const fd = socketFd(platform, socket);
    const room = byteLength(into);
    if (room === 0 && isStream(platform, fd)) throw outOfRange("iov", "at least 1 byte", 0);
    // Before anything comes: it could not be shown.
    if (ancillary) checkMemory(ancillary);
    const bytes = receiveInto(system, fd, into, capacity, flags, true);
    if (bytes >= 0) return received(platform, into, bytes, ancillary ?? null);
    if (bytes !== EAGAIN && bytes !== EWOULDBLOCK) throw receiveError(platform, bytes);
    if (options?.wait !== true) throw errnoError(bytes, "recvmsg");
    waitFor(platform, fd, POLLIN, deadline, 0, "recvmsg");
  }
}

function received(platform: Platform, into: Iovec, bytes: number, ancillary: SocketAncillary | null): RecvResult {
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
    address: addressOf(system),
  };
}
