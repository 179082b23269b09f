/** The low level: control space that is filled with messages of one's own choosing, or by a receive. */

import { byteLengthOf, isUint8Array, setBytes } from "../core/bytes.ts";
import {
  AncillaryError,
  integer,
  markAsOurs,
  outOfRange,
  type TruncationReason,
  wrongOwner,
  wrongType,
} from "../core/errors.ts";
import { type ControlMessage, type Credentials, readPayload } from "../core/payloads.ts";
import { CONTROL_BYTES } from "../core/wasm.ts";
import { type AsFd, checkNumbers, copyFds, NO_NUMBERS, numberOf, readNumbers, tooMany } from "../fd/as-fd.ts";
import { ENOTSUP, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom } from "../system/platform.ts";
import { OUT } from "../system/system.ts";
import { type AncillaryData, closeMessage, type Received, readControl } from "./received.ts";
import { NO_FDS, putFds } from "./send.ts";

const NO_MESSAGES: readonly ControlMessage[] = [];

/** Takes over what a receive on the socket `fd` left in the control area; every descriptor has an owner then. */
export let take: (ancillary: SocketAncillary, fd: number) => Received;
/** Reads the numbers of the descriptors that were added, as far as code of the caller's is needed for it. */
export let prepare: (ancillary: SocketAncillary) => readonly number[];
/** Writes what was added into the control area; the control length. `numbers`: of {@link prepare}, which came right before. */
export let encode: (ancillary: SocketAncillary, numbers: readonly number[]) => number;
/** The descriptors that were added. */
export let fdsOf: (ancillary: SocketAncillary) => readonly AsFd[];
/** @throws RangeError when the caller's memory is no longer there */
export let checkMemory: (ancillary: SocketAncillary) => void;
export let platformOfAncillary: (ancillary: SocketAncillary) => Platform;
/** What `clear()` does, whatever a subclass makes of it. */
export let clearAncillary: (ancillary: SocketAncillary) => void;
/** @throws TypeError for what is neither an ancillary buffer nor null or undefined */
export let checkAncillary: (ancillary: unknown) => SocketAncillary | null;
/** The next message that was not handed out. */
let next: (ancillary: SocketAncillary) => AncillaryData | undefined;
let closeRest: (ancillary: SocketAncillary) => void;

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
  #reason: TruncationReason | null = null;
  #received = false;
  /** The descriptors to be sent, and before which of the other messages they go. */
  #fds: readonly AsFd[] = NO_FDS;
  #fdsAt = 0;
  /** Whether the number of one of them is read by code of the caller's. */
  #foreign = false;
  #others: readonly ControlMessage[] = NO_MESSAGES;
  #incoming: AncillaryData[] = [];
  /** How many of them were handed out. */
  #taken = 0;

  /**
   * @param capacity bytes of control space of its own, or memory of the caller's, at any offset
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
    checkMemory = (ancillary) => {
      const bytes = ancillary.#memory === null ? ancillary.#capacity : byteLengthOf(ancillary.#memory);
      if (bytes < ancillary.#capacity)
        throw outOfRange("ancillary", `the ${ancillary.#capacity} bytes of memory that it was made with`, bytes);
    };
    markAsOurs(SocketAncillary.prototype);
    clearAncillary = (ancillary) => ancillary.#clear();
    checkAncillary = (ancillary) => {
      if (ancillary === undefined || ancillary === null) return null;
      if (typeof ancillary !== "object" || !(#platform in ancillary))
        throw wrongOwner("ancillary", "a SocketAncillary or null", ancillary);
      return ancillary as SocketAncillary;
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

  /** Whether control data of the last receive are missing: the kernel, or this buffer, had no room for them. */
  get truncated(): boolean {
    return this.#reason !== null;
  }

  /** Why control data of the last receive are missing; null: all of them are there. */
  get reason(): TruncationReason | null {
    return this.#reason;
  }

  /**
   * Adds descriptors. They stay their owners', which are kept alive; the numbers are read when the message is sent. However
   * often this is called, they go out as one SCM_RIGHTS: several systems take only one.
   *
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; `ERR_ANCILLARY_RECEIVED` after a receive, until cleared; `ERR_FD_CLOSED`;
   *   RangeError `ERR_TOO_MANY_FDS`
   */
  addFds(fds: readonly AsFd[]): void {
    const more = copyFds(fds);
    // Refused now rather than when it is sent; the numbers are read again then. Getters of the caller's run, and might add.
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
   * Adds credentials. The kernel checks them: a process without privileges can only tell the truth.
   *
   * @throws SystemError `ENOTSUP` where senders attach none, or nothing else beside it (DragonFly)
   */
  addCredentials(credentials: Credentials): void {
    if (typeof credentials !== "object" || credentials === null)
      throw wrongType("credentials", "an object of pid, uid and gid", credentials);
    const { pid, uid, gid } = credentials;
    const { abi, core } = this.#platform;
    const [layout] = abi.credentials;
    if (layout === undefined || !layout.sendable)
      throw errnoError(ENOTSUP, "sendmsg", `senders attach no credentials on ${abi.os}`);
    const id = (name: string, value: number) => integer(name, value, 0, 0xffffffff) | 0;
    const sender = integer("pid", pid ?? process.pid, 0, 0x7fffffff);
    this.#checkUnreceived();
    core.exports.begin(-1);
    const at = core.exports.putCredentials(sender, id("uid", uid), id("gid", gid));
    this.#add({ level: abi.SOL_SOCKET, type: layout.type, data: core.control.slice(at, at + layout.bytes) });
  }

  /**
   * Adds a message of any level and type; its bytes are copied. SCM_RIGHTS are descriptors: their numbers are added as by
   * {@link addFds}.
   */
  addMessage(message: ControlMessage): void {
    if (typeof message !== "object" || message === null) throw wrongType("message", "a control message", message);
    const { level, type, data } = message;
    integer("message.level", level, -0x80000000, 0x7fffffff);
    integer("message.type", type, -0x80000000, 0x7fffffff);
    if (!isUint8Array(data)) throw wrongType("message.data", "a Uint8Array", data);
    this.#checkUnreceived();
    // As it is now; of memory that is gone, nothing.
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
   * What a receive brought, in the order of the buffer, each once: what it hands over is the caller's. What is not taken
   * when the loop is left is closed.
   */
  messages(): IterableIterator<AncillaryData, undefined> {
    return new Messages(this);
  }

  /** Empties it, for the next send or receive. */
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

  #checkUnreceived(): void {
    if (this.#received) {
      throw new AncillaryError("ERR_ANCILLARY_RECEIVED", "the ancillary buffer was received into: clear() it first");
    }
  }

  #checkMayAdd(besideOthers: boolean): void {
    const { abi } = this.#platform;
    if (besideOthers && abi.severalRights === "first")
      throw errnoError(ENOTSUP, "sendmsg", `${abi.os} sends the first control message and loses the others in silence`);
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

  /** Takes over the length of all that was added: -1, or the bytes of payload that there is no room for. */
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
   * Calls `put` for all that was added, in the order of the buffer, with null for the descriptors; -1, or the bytes of payload
   * that it had no room for.
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
    const text = `expected messages that fit into ${this.#capacity} bytes, there is no room for ${bytes} more bytes of payload`;
    return new AncillaryError("ERR_BUFFER_TOO_SMALL", text);
  }

  #prepare(): readonly number[] {
    for (;;) {
      const fds = this.#fds;
      const numbers = this.#foreign ? readNumbers(this.#platform, fds) : NO_NUMBERS;
      // A getter may have received into it, or added to it.
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

  /** The kernel was given more room than there is here: what would not have fitted is closed. */
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
    this.#incoming = [];
    for (let i = this.#taken; i < incoming.length; i++) closeMessage(incoming[i]!);
  }
}

/** What {@link SocketAncillary.messages} answers: a generator would cost as much as a system call. */
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
