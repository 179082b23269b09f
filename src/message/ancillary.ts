/** The low level: an ancillary buffer, filled with any control messages for a send, or by a receive. */

import { byteLengthOf, isUint8Array, setBytes } from "../core/bytes.ts";
import {
  AncillaryError,
  integer,
  markAsOurs,
  outOfRange,
  type TruncationReason,
  UNCLONEABLE,
  wrongOwner,
  wrongType,
} from "../core/errors.ts";
import { type ControlMessage, type Credentials, readPayload } from "../core/payloads.ts";
import { CONTROL_BYTES } from "../core/wasm.ts";
import { type AsFd, checkNumbers, copyFds, NO_FDS, NO_NUMBERS, numberOf, readNumbers, tooMany } from "../fd/as-fd.ts";
import { ENOTSUP, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom } from "../system/platform.ts";
import { showAs } from "../system/shown.ts";
import { OUT } from "../system/system.ts";
import { type AncillaryData, closeMessage, type Received, readControl } from "./received.ts";
import { putFds } from "./send.ts";

const NO_MESSAGES: readonly ControlMessage[] = [];

/** Takes over the control data that a receive on the socket `fd` left in the control area. Every descriptor has an owner afterwards. */
export let take: (ancillary: SocketAncillary, fd: number) => Received;
/** Reads the numbers of the added descriptors that need code of the caller's (getters). */
export let prepare: (ancillary: SocketAncillary) => readonly number[];
/** Writes the added messages to the control area. Returns the control length. `numbers` is the result of {@link prepare}. */
export let encode: (ancillary: SocketAncillary, numbers: readonly number[]) => number;
/** The added descriptors. */
export let fdsOf: (ancillary: SocketAncillary) => readonly AsFd[];
/** Whether messages without descriptors were added. */
export let hasOthers: (ancillary: SocketAncillary) => boolean;
/** @throws RangeError when the caller's memory was detached or has shrunk */
export let checkMemory: (ancillary: SocketAncillary) => void;
export let platformOfAncillary: (ancillary: SocketAncillary) => Platform;
/** Does what `clear()` does, even if a subclass overrides it. */
export let clearAncillary: (ancillary: SocketAncillary) => void;
/** @throws TypeError for anything else than an ancillary buffer, null or undefined */
export let checkAncillary: (ancillary: unknown) => SocketAncillary | null;
/** Hands out the next message. */
let next: (ancillary: SocketAncillary) => AncillaryData | undefined;
let closeRest: (ancillary: SocketAncillary) => void;

/**
 * Control messages: added for a send, or filled in by a receive.
 *
 * This object owns the received descriptors until {@link messages} hands them out. Clearing it, reusing it or disposing of it closes
 * the others.
 */
export class SocketAncillary implements Disposable {
  /** @internal Makes a structured clone fail. */
  readonly uncloneable: typeof UNCLONEABLE = UNCLONEABLE;
  readonly #platform: Platform;
  /** The caller's memory, to which the control buffer is copied; null if the caller gave none. */
  readonly #memory: Uint8Array | null;
  readonly #capacity: number;
  #length = 0;
  #reason: TruncationReason | null = null;
  #received = false;
  /** The descriptors to send, and the index in the other messages at which they are inserted. */
  #fds: readonly AsFd[] = NO_FDS;
  #fdsAt = 0;
  /** Whether any of the numbers needs code of the caller's to read. */
  #foreign = false;
  #others: readonly ControlMessage[] = NO_MESSAGES;
  #incoming: AncillaryData[] = [];
  /** How many of the incoming messages were handed out. */
  #taken = 0;

  /**
   * @param capacity the size of the control buffer in bytes, or the caller's memory for it, at any offset
   * @throws RangeError beyond 64 KiB
   */
  constructor(capacity: number | Uint8Array, options?: PlatformOptions) {
    this.#platform = platformFrom(options);
    this.#memory = isUint8Array(capacity) ? capacity : null;
    if (this.#memory === null && typeof capacity !== "number")
      throw wrongType("capacity", "a number of bytes or a Uint8Array", capacity);
    this.#capacity = integer("capacity", isUint8Array(capacity) ? byteLengthOf(capacity) : capacity, 0, CONTROL_BYTES);
  }

  static {
    take = (ancillary, fd) => ancillary.#take(fd);
    prepare = (ancillary) => ancillary.#prepare();
    encode = (ancillary, numbers) => ancillary.#encode(numbers);
    next = (ancillary) =>
      ancillary.#taken < ancillary.#incoming.length ? ancillary.#incoming[ancillary.#taken++] : undefined;
    closeRest = (ancillary) => ancillary.#closeIncoming();
    fdsOf = (ancillary) => ancillary.#fds;
    hasOthers = (ancillary) => ancillary.#others.length > 0;
    checkMemory = (ancillary) => {
      const bytes = ancillary.#memory === null ? ancillary.#capacity : byteLengthOf(ancillary.#memory);
      if (bytes < ancillary.#capacity)
        throw outOfRange("ancillary", `the ${ancillary.#capacity} bytes of memory that it was made with`, bytes);
    };
    markAsOurs(SocketAncillary.prototype);
    showAs(SocketAncillary.prototype, (self) => (#platform in self ? self.#shown() : null));
    clearAncillary = (ancillary) => ancillary.#clear();
    checkAncillary = (ancillary) => {
      if (ancillary === undefined || ancillary === null) return null;
      if (typeof ancillary !== "object" || !(#platform in ancillary))
        throw wrongOwner("ancillary", "a SocketAncillary or null", ancillary, otherAncillary(ancillary));
      return ancillary as SocketAncillary;
    };
    platformOfAncillary = (ancillary) => ancillary.#platform;
  }

  /** `CMSG_SPACE` of this many descriptors, in bytes. Alignment may leave room for one more descriptor. */
  static bufferSizeForRights(fds: number): number {
    integer("fds", fds, 0, CONTROL_BYTES);
    return hostPlatform().core.exports.space(4 * fds);
  }

  /** `CMSG_SPACE` of the largest credentials this system sends, in bytes; 0 where it sends none. */
  static bufferSizeForCredentials(): number {
    const { abi, core } = hostPlatform();
    return Math.max(0, ...abi.credentials.map(({ bytes }) => core.exports.space(bytes)));
  }

  /** The size of the control buffer, in bytes. */
  get capacity(): number {
    return this.#capacity;
  }

  /** The bytes in use: those to be sent, or those received. */
  get length(): number {
    return this.#length;
  }

  /** Whether control data of the last receive are missing: the kernel, or this buffer, had no room for them. */
  get truncated(): boolean {
    return this.#reason !== null;
  }

  /** Why control data of the last receive are missing; null if all are there. */
  get reason(): TruncationReason | null {
    return this.#reason;
  }

  /**
   * Adds descriptors. Their owners keep them, and this object keeps the owners alive. The numbers are read when the message is sent.
   * The descriptors of all calls are sent in one SCM_RIGHTS message, because several systems accept only one.
   *
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; `ERR_ANCILLARY_RECEIVED` after a receive, until cleared; `ERR_FD_CLOSED`;
   *   RangeError `ERR_TOO_MANY_FDS`
   */
  addFds(fds: readonly AsFd[]): void {
    const more = copyFds(fds);
    // Refuses closed descriptors now; the numbers are read again at the send. Getters of the caller's run here, and may change this
    // object: so its state is checked after them.
    const numbers = readNumbers(this.#platform, more);
    checkNumbers(this.#platform, more, numbers);
    this.#checkUnreceived();
    const former = this.#fds;
    const count = former.length + more.length;
    const { maxFdsPerMessage } = this.#platform.abi;
    if (count > maxFdsPerMessage) throw tooMany(maxFdsPerMessage, count);
    if (more.length === 0) return;
    if (former.length === 0) {
      this.#checkMayAdd(this.#others.length > 0);
      this.#fdsAt = this.#others.length;
    }
    this.#fds = former.length === 0 ? more : [...former, ...more];
    const missing = this.#measure();
    if (missing < 0) {
      this.#foreign ||= numbers !== NO_NUMBERS;
      return;
    }
    this.#fds = former;
    throw this.#noRoom(missing);
  }

  /**
   * Adds credentials. The kernel checks them: a process without privileges can only send its own.
   *
   * @throws SystemError `ENOTSUP` where senders cannot attach credentials, or not with other control messages (DragonFly)
   */
  addCredentials(credentials: Credentials): void {
    if (typeof credentials !== "object" || credentials === null)
      throw wrongType("credentials", "an object of pid, uid and gid", credentials);
    const { pid, uid, gid } = credentials;
    const { abi, core } = this.#platform;
    const [layout] = abi.credentials;
    if (layout === undefined || !layout.sendable)
      throw errnoError(ENOTSUP, "sendmsg", `${abi.os} has no credentials that a sender can attach`);
    const id = (name: string, value: number) => integer(name, value, 0, 0xffffffff) | 0;
    const sender = integer("pid", pid ?? process.pid, 0, 0x7fffffff);
    this.#checkUnreceived();
    core.exports.begin(-1);
    const at = core.exports.putCredentials(sender, id("uid", uid), id("gid", gid));
    this.#add({ level: abi.SOL_SOCKET, type: layout.type, data: core.control.slice(at, at + layout.bytes) });
  }

  /**
   * Adds a control message of any level and type; its payload is copied. The descriptors of an SCM_RIGHTS message are added as by
   * {@link addFds}.
   */
  addMessage(message: ControlMessage): void {
    if (typeof message !== "object" || message === null) throw wrongType("message", "a control message", message);
    const { level, type, data } = message;
    integer("message.level", level, -0x80000000, 0x7fffffff);
    integer("message.type", type, -0x80000000, 0x7fffffff);
    if (!isUint8Array(data)) throw wrongType("message.data", "a Uint8Array", data);
    this.#checkUnreceived();
    // A copy of the current contents; detached memory is empty.
    const copy = new Uint8Array(byteLengthOf(data));
    if (copy.length > 0) setBytes(copy, data);
    const { abi } = this.#platform;
    if (level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS) {
      const payload = readPayload(abi, level, type, copy);
      if (payload.kind !== "rights" || payload.leftoverBytes > 0)
        throw outOfRange("message.data", "whole ints, of SCM_RIGHTS", `${copy.length} bytes`);
      this.addFds(payload.fds);
    } else this.#add({ level, type, data: copy });
  }

  /**
   * The received messages in the order of the buffer, each once. The caller owns the descriptors of the messages that it gets. When
   * a loop ends early, the descriptors of the other messages are closed.
   */
  messages(): IterableIterator<AncillaryData, undefined> {
    return new Messages(this);
  }

  /** Removes all messages, for the next send or receive. Closes the descriptors that were not handed out. */
  clear(): void {
    this.#clear();
  }

  #clear(): void {
    this.#closeIncoming();
    this.#fds = NO_FDS;
    this.#foreign = false;
    this.#others = NO_MESSAGES;
    this.#length = 0;
    this.#reason = null;
    this.#received = false;
  }

  /** {@link clear}, for `using`. */
  [Symbol.dispose](): void {
    this.#clear();
  }

  #shown(): object {
    const state = this.#received ? "received" : this.#length === 0 ? "empty" : "to send";
    const shown = { state, capacity: this.#capacity, length: this.#length };
    if (this.#received) return { ...shown, reason: this.#reason, messages: this.#incoming.slice(this.#taken) };
    return { ...shown, fds: this.#fds, otherMessages: this.#others };
  }

  #checkUnreceived(): void {
    if (this.#received) {
      throw new AncillaryError("ERR_ANCILLARY_RECEIVED", "the ancillary buffer was received into: clear() it first");
    }
  }

  #checkMayAdd(besideOthers: boolean): void {
    const { abi } = this.#platform;
    if (besideOthers && abi.severalRights === "first")
      throw errnoError(ENOTSUP, "sendmsg", `${abi.os} sends the first control message and drops the others silently`);
  }

  #add(message: ControlMessage): void {
    this.#checkMayAdd(this.#others.length > 0 || this.#fds.length > 0);
    const former = this.#others;
    this.#others = [...former, message];
    const missing = this.#measure();
    if (missing < 0) return;
    this.#others = former;
    throw this.#noRoom(missing);
  }

  /** Updates the length. Returns -1, or the size of the payload that does not fit. */
  #measure(): number {
    const { core, abi } = this.#platform;
    const { space, len, begin, put, length } = core.exports;
    if (this.#others.length === 0) {
      const bytes = 4 * this.#fds.length;
      const needed = abi.sendControlLength === "space" ? space(bytes) : len(bytes);
      if (needed > this.#capacity) return bytes;
      this.#length = needed;
      return -1;
    }
    begin(this.#capacity);
    const missing = this.#put((_, bytes) => put(0, 0, bytes));
    if (missing < 0) this.#length = length();
    return missing;
  }

  /**
   * Calls `put` for each added message in the order of the buffer, with null for the descriptors. Returns -1, or the size of the
   * payload that does not fit.
   */
  #put(put: (message: ControlMessage | null, bytes: number) => number): number {
    const count = this.#others.length;
    for (let i = 0; i <= count; i++) {
      const fds = i === this.#fdsAt ? 4 * this.#fds.length : 0;
      if (fds > 0 && put(null, fds) < 0) return fds;
      const message = i < count ? this.#others[i]! : null;
      if (message !== null && put(message, message.data.length) < 0) return message.data.length;
    }
    return -1;
  }

  #noRoom(bytes: number): AncillaryError {
    const text = `expected messages that fit in ${this.#capacity} bytes, got one with a payload of ${bytes} bytes that does not fit: see bufferSizeForRights and bufferSizeForCredentials`;
    return new AncillaryError("ERR_BUFFER_TOO_SMALL", text);
  }

  #prepare(): readonly number[] {
    for (;;) {
      const fds = this.#fds;
      const numbers = this.#foreign ? readNumbers(this.#platform, fds) : NO_NUMBERS;
      // A getter may have received into this object, or added to it.
      this.#checkUnreceived();
      if (this.#fds === fds) return numbers;
    }
  }

  #encode(numbers: readonly number[]): number {
    const platform = this.#platform;
    checkMemory(this);
    const length =
      this.#others.length > 0
        ? this.#encodeAll(numbers)
        : this.#fds.length > 0
          ? putFds(platform, this.#fds, numbers)
          : 0;
    if (this.#memory !== null) setBytes(this.#memory, platform.core.control.subarray(0, length));
    return length;
  }

  #encodeAll(numbers: readonly number[]): number {
    const { core } = this.#platform;
    for (let i = 0; i < this.#fds.length; i++) core.fds[i] = numberOf(this.#platform, this.#fds, numbers, i);
    core.exports.begin(-1);
    this.#put((message) => {
      if (message === null) return core.putRights(this.#fds.length);
      const at = core.exports.put(message.level, message.type, message.data.length);
      setBytes(core.control, message.data, at);
      return at;
    });
    return core.exports.length();
  }

  /** The kernel had a larger control buffer than `capacity`: descriptors that would not have fitted are closed. */
  #take(fd: number): Received {
    const { system, core } = this.#platform;
    const controlLength = system.out[OUT.CONTROL_LENGTH]!;
    const received = readControl(this.#platform, fd, this.#capacity);
    this.#closeIncoming();
    if (received.failure !== null) return received;
    this.#incoming = received.incoming;
    this.#taken = 0;
    this.#received = true;
    this.#length = Math.min(controlLength, this.#capacity);
    this.#reason = received.reason;
    if (this.#memory !== null) setBytes(this.#memory, core.control.subarray(0, this.#length));
    return received;
  }

  #closeIncoming(): void {
    const incoming = this.#incoming;
    if (incoming.length === 0) return;
    // Forgotten when it is closed: near the end of the stack, closing throws.
    for (; this.#taken < incoming.length; this.#taken++) closeMessage(incoming[this.#taken]!);
    this.#incoming = [];
  }
}

/** What is meant by a value that is no ancillary buffer. */
function otherAncillary(value: unknown): string | null {
  if (typeof value === "number") return "new SocketAncillary(bytes) has room for them";
  return Array.isArray(value) ? "descriptors are added to one with addFds, or sent with UnixStream.sendFds" : null;
}

/** The iterator of {@link SocketAncillary.messages}. Not a generator, which would take as long as a system call. */
class Messages implements IterableIterator<AncillaryData, undefined> {
  readonly #ancillary: SocketAncillary;
  #done = false;

  constructor(ancillary: SocketAncillary) {
    this.#ancillary = ancillary;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<AncillaryData, undefined> {
    const value = this.#done ? undefined : next(this.#ancillary);
    if (value !== undefined) return { done: false, value };
    this.#done = true;
    return { done: true, value: undefined };
  }

  return(): IteratorResult<AncillaryData, undefined> {
    if (!this.#done) closeRest(this.#ancillary);
    this.#done = true;
    return { done: true, value: undefined };
  }
}
