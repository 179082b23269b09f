/** The low level: control space that is filled with messages of one's own choosing, or by a receive. */

import { AncillaryError, type Checks, integer, outOfRange, wrongType } from "../core/errors.ts";
import { readPayload } from "../core/payloads.ts";
import { CONTROL_BYTES } from "../core/wasm.ts";
import { type AsFd, resolveFd } from "../fd/as-fd.ts";
import { isUint8Array } from "../system/builtins.ts";
import { ENOTSUP, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions, platformFrom } from "../system/platform.ts";
import type { Credentials } from "./credentials.ts";
import { type AncillaryData, type ControlMessage, closeMessage, type Received, readControl } from "./received.ts";
import { NO_FDS, putFds, resolveFds } from "./send.ts";

/** What is to be sent: descriptors, as their owners; or the bytes of any other message. */
type Outgoing = { readonly fds: readonly AsFd[] } | ControlMessage;

const NO_MESSAGES: readonly ControlMessage[] = [];

const OUTGOING: Checks = {
  level: (name, value) => void integer(name, value, -0x80000000, 0x7fffffff),
  type: (name, value) => void integer(name, value, -0x80000000, 0x7fffffff),
  data(name, value) {
    if (!isUint8Array(value)) throw wrongType(name, "a Uint8Array", value);
  },
};

/** Takes over what a receive left in the control area; every descriptor has an owner then. */
export let take: (ancillary: SocketAncillary, controlLength: number, truncated: boolean) => Received;
/**
 * Writes what was added into the control area, with the numbers that its descriptors have now; the control length. Getters of
 * the caller's run first.
 */
export let encode: (ancillary: SocketAncillary) => number;
/** The descriptors that were added. @throws AncillaryError `ERR_ANCILLARY_RECEIVED` */
export let carried: (ancillary: SocketAncillary) => readonly AsFd[];
/** @throws RangeError when the caller's memory is no longer there */
export let checkMemory: (ancillary: SocketAncillary) => void;
export let platformOfAncillary: (ancillary: SocketAncillary) => Platform;
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
  #truncated = false;
  #received = false;
  /** The descriptors to be sent, and before which of the other messages they go. */
  #fds: readonly AsFd[] = NO_FDS;
  #fdsAt = 0;
  #others: readonly ControlMessage[] = NO_MESSAGES;
  #incoming: AncillaryData[] = [];
  /** How many of them were handed out. */
  #taken = 0;
  /** How long a message of so many descriptors and nothing else is: the last one measured. */
  #measuredFds = -1;
  #measuredLength = 0;

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
    encode = (ancillary) => ancillary.#encode();
    next = (ancillary) =>
      ancillary.#taken < ancillary.#incoming.length ? ancillary.#incoming[ancillary.#taken++] : undefined;
    closeRest = (ancillary) => ancillary.#closeIncoming();
    carried = (ancillary) => {
      ancillary.#checkUnreceived();
      return ancillary.#fds;
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
    for (let i = 0; i < more.length; i++) resolveFd(more[i], "fds");
    const former = this.#fds;
    const count = former.length + more.length;
    const most = this.#platform.abi.maxFdsPerMessage;
    if (count > most) throw outOfRange("fds", `at most ${most} descriptors in one message`, count, "ERR_TOO_MANY_FDS");
    if (more.length === 0) return;
    if (former.length === 0) {
      this.#checkMayAdd(this.#others.length > 0);
      this.#fdsAt = this.#others.length;
    }
    this.#fds = former.length === 0 ? more : [...former, ...more];
    const missing = this.#measure();
    if (missing < 0) return;
    this.#fds = former;
    throw this.#noRoom(missing);
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
    return new Messages(this);
  }

  /** Empties it, for the next send or receive. */
  clear(): void {
    this.#closeIncoming();
    this.#fds = NO_FDS;
    this.#others = NO_MESSAGES;
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

  /** All that was added, in the order of the buffer. */
  #outgoing(): Outgoing[] {
    const messages: Outgoing[] = [...this.#others];
    if (this.#fds.length > 0) messages.splice(this.#fdsAt, 0, { fds: this.#fds });
    return messages;
  }

  /** Takes over the length of all that was added: -1, or the bytes of payload that there is no room for. */
  #measure(): number {
    const { core, abi } = this.#platform;
    const alone = this.#others.length === 0;
    if (alone && this.#fds.length === this.#measuredFds) {
      this.#length = this.#measuredLength;
      return -1;
    }
    core.exports.begin(this.#capacity);
    for (const message of this.#outgoing()) {
      const bytes = "fds" in message ? 4 * message.fds.length : message.data.length;
      // Level and type do not matter for the length.
      if (core.exports.put(abi.SOL_SOCKET, abi.SCM_RIGHTS, bytes) < 0) return bytes;
    }
    this.#length = core.exports.length();
    if (alone) {
      this.#measuredFds = this.#fds.length;
      this.#measuredLength = this.#length;
    }
    return -1;
  }

  #noRoom(bytes: number): AncillaryError {
    const text = `expected messages that fit into ${this.#capacity} bytes, there is no room for ${bytes} more bytes of payload`;
    return new AncillaryError("ERR_BUFFER_TOO_SMALL", text);
  }

  #encode(): number {
    const { core } = this.#platform;
    const length = this.#others.length === 0 ? this.#encodeFds() : this.#encodeAll();
    // A getter may have received into it.
    this.#checkUnreceived();
    checkMemory(this);
    this.#memory?.set(core.control.subarray(0, length));
    return length;
  }

  #encodeFds(): number {
    return this.#fds.length === 0 ? 0 : putFds(this.#platform, this.#fds);
  }

  #encodeAll(): number {
    const { core } = this.#platform;
    const messages = this.#outgoing();
    const numbers = resolveFds(this.#fds);
    core.exports.begin(-1);
    for (const message of messages) {
      if ("fds" in message) {
        core.fds.set(numbers);
        core.putRights(numbers.length);
      } else {
        const at = core.exports.put(message.level, message.type, message.data.length);
        core.control.set(message.data, at);
      }
    }
    return core.exports.length();
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
