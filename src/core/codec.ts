/** Control messages <-> bytes, for one ABI. */

import { type Abi, type AbiName, abiOf, abis } from "./abis/table.ts";
import { byteLengthOf, isUint8Array, plainView, setBytes } from "./bytes.ts";
import { AncillaryError, boolean, type Checks, integer, outOfRange, readOptions, wrongType } from "./errors.ts";
import { type ControlMessage, type Credentials, type DecodedPayload, readPayload } from "./payloads.ts";
import { CONTROL_BYTES, Core, FAULTS, FDS_CAPACITY, OUTCOMES, REGISTER } from "./wasm.ts";

/** A message in a control buffer. */
export interface DecodedMessage extends ControlMessage {
  /** Offset of its header in the control buffer. */
  readonly offset: number;
  /** Whether its `cmsg_len` reaches past the end; `data` is what is there. Only with {@link DecodeOptions.flags}. */
  readonly clamped: boolean;
}

/** The contents of a control buffer. */
export interface DecodedControl {
  /** The whole messages, in order. Each `data` is a copy. */
  readonly messages: readonly DecodedMessage[];
  /**
   * Where and why the walk stopped; null: at the end. The messages before it are whole.
   *
   * - `header-truncated`: fewer bytes are left than `CMSG_LEN(0)`
   * - `length-too-small`: `cmsg_len` is less than `CMSG_LEN(0)`
   * - `length-overruns`: `cmsg_len` reaches past the end
   */
  readonly malformed: null | {
    /** Offset in the control buffer. */
    readonly offset: number;
    /** Why. */
    readonly reason: "header-truncated" | "length-too-small" | "length-overruns";
  };
}

/** Options of {@link Codec.decode}. */
export interface DecodeOptions {
  /**
   * `msg_flags` of the receive, in the ABI's numbers. With MSG_CTRUNC a message that reaches past the end is clamped instead of
   * malformed: Darwin does not shorten its `cmsg_len`. On DragonFly, which loses the flag, any flags do the same.
   */
  flags?: number | undefined;
}

/** The results of a receive, for {@link Codec.verdict}. */
export interface VerdictInput {
  /** The first `msg_controllen` bytes of the control buffer. */
  readonly control: Uint8Array;
  /** `msg_flags`, in the ABI's numbers. */
  readonly flags: number;
  /** The most descriptors to keep. */
  readonly maxFds: number;
  /** How many descriptors must have come. */
  readonly exactly?: number | undefined;
  /** Whether truncated data are no error. */
  readonly allowTruncated?: boolean | undefined;
}

/** Which descriptors to keep and which to close. More than `maxFds` are no error: the rest is in `close`. */
export interface ReceiveVerdict {
  /** Descriptors to keep, in order; empty unless the outcome is `"ok"`. */
  readonly keep: number[];
  /** Descriptors to close: every other one that was delivered; all of them unless the outcome is `"ok"`. */
  readonly close: number[];
  /** The pidfd that came; null unless the outcome is `"ok"`. */
  readonly pidfd: number | null;
  /** The credentials of the sender; null where none came, or where they name no process. */
  readonly credentials: Credentials | null;
  /**
   * - `ok`
   * - `ancillary-truncated`: the kernel had more control data than it delivered
   * - `malformed`: the bytes are not a sequence of whole messages, or a slot of SCM_RIGHTS holds no descriptor
   * - `data-truncated`: the message is longer than the buffer, without `allowTruncated`
   * - `fd-count`: not exactly as many descriptors as `exactly`
   *
   * Where several apply, it is the first of them in this order.
   */
  readonly outcome: "ok" | "ancillary-truncated" | "malformed" | "data-truncated" | "fd-count";
}

const DECODE: Checks = { flags: (name, value) => void integer(name, value, -0x80000000, 0xffffffff) };

/** The core of all codecs, and the configuration that it has: each instance reserves 8 GiB of addresses. */
let shared: Core | null = null;
let configured: Abi | null = null;

/**
 * The core, configured for `abi`. What is begun with it is finished before any code of the caller's runs, which may call another
 * codec: arguments are read before.
 */
function coreOf(abi: Abi): Core {
  if (shared !== null && configured === abi) return shared;
  configured = null;
  if (shared === null) shared = new Core(abi);
  else shared.configure(abi);
  configured = abi;
  return shared;
}

/** A row of the table; of any other row a copy, which has no getters. */
function settled(abi: Abi): Abi {
  if (Object.hasOwn(abis, abi.name) && abis[abi.name] === abi) return abi;
  return { ...abi, credentials: abi.credentials?.map((layout) => ({ ...layout })) };
}

/**
 * The codec of one ABI. Its methods return copies and keep nothing between calls.
 *
 * ```js
 * import { Codec } from "unix-ancillary/core";
 * const codec = new Codec("linux-x86_64-glibc");
 * const control = codec.encode([codec.rights([7, 9])]);
 * const { messages } = codec.decode(control);
 * console.log(messages.map((message) => codec.payloadOf(message))); // [{ kind: "rights", fds: [ 7, 9 ], leftoverBytes: 0 }]
 * console.log(codec.verdict({ control, flags: 0, maxFds: 1 }).close); // [ 9 ]
 * ```
 */
export class Codec {
  /** The row of the ABI table that it was made with. */
  readonly abi: Abi;
  readonly #layout: Abi;

  static {
    // What console.log shows in Node: the table has a hundred lines.
    Object.defineProperty(Codec.prototype, Symbol.for("nodejs.util.inspect.custom"), {
      configurable: true,
      writable: true,
      value(this: Codec) {
        return `Codec { abi: '${this.abi?.name}' }`;
      },
    });
  }

  /** @throws RangeError for a name that is not in the table, or for a layout that cannot be walked */
  constructor(abi: Abi | AbiName) {
    this.abi = abiOf(abi);
    this.#layout = settled(this.abi);
    coreOf(this.#layout);
  }

  get #core(): Core {
    return coreOf(this.#layout);
  }

  /** `CMSG_ALIGN(n)`. @throws RangeError beyond 2^31 - 1 */
  align(n: number): number {
    return this.#size("align", n);
  }

  /** `CMSG_LEN(n)`: `cmsg_len` of a message with `n` bytes of payload. @throws RangeError beyond 2^31 - 1 */
  len(n: number): number {
    return this.#size("len", n);
  }

  /** `CMSG_SPACE(n)`: bytes of a message with `n` bytes of payload and its padding. @throws RangeError beyond 2^31 - 1 */
  space(n: number): number {
    return this.#size("space", n);
  }

  /**
   * A control buffer with these messages. Its length is `msg_controllen` for a send on this system.
   *
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL` beyond 64 KiB, more than any kernel takes
   */
  encode(messages: readonly ControlMessage[]): Uint8Array {
    const length = this.#encode(messages, CONTROL_BYTES);
    return this.#core.control.slice(0, length);
  }

  /**
   * {@link encode} into memory of the caller's. The bytes behind the control buffer are not changed.
   *
   * @returns `msg_controllen`
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; then nothing is written
   */
  encodeInto(messages: readonly ControlMessage[], into: Uint8Array): number {
    if (!isUint8Array(into)) throw wrongType("into", "a Uint8Array", into);
    const length = this.#encode(messages, byteLengthOf(into));
    setBytes(into, this.#core.control.subarray(0, length));
    return length;
  }

  /**
   * The messages in a control buffer of any length. Never throws on any bytes.
   *
   * @throws TypeError for anything but a Uint8Array
   */
  decode(control: Uint8Array, options?: DecodeOptions): DecodedControl {
    if (!isUint8Array(control)) throw wrongType("control", "a Uint8Array", control);
    const { flags } = readOptions("options", options, DECODE);
    const bytes = plainView(control);
    const clamp = flags !== undefined && ((flags & this.#layout.MSG_CTRUNC) !== 0 || this.#layout.losesCtrunc);
    const { exports } = this.#core;
    const messages: DecodedMessage[] = [];
    // A window of the control area's size at a time. A message across its end begins the next window. Control buffers of kernels
    // fit into one.
    for (let start = 0; ; ) {
      const fault = this.#walk(bytes, start, clamp, messages);
      if (fault === null) return { messages, malformed: null };
      if (start + CONTROL_BYTES >= bytes.length) return { messages, malformed: fault };
      if (fault.offset > start) {
        // The message was cut off by the window, or is malformed: then the next window begins with it, and finds it so again.
        start = fault.offset;
        continue;
      }
      if (fault.reason !== "length-overruns") return { messages, malformed: fault };
      // A message longer than a window, which its header begins.
      const length = this.#length();
      const left = bytes.length - start;
      if (length > left && !clamp) return { messages, malformed: fault };
      const end = start + Math.min(length, left);
      exports.open(CONTROL_BYTES, true);
      this.#core.next();
      const data = new Uint8Array(bytes.subarray(start + this.#layout.dataOffset, end));
      messages.push({ ...this.#message(start, data), clamped: length > left });
      const step = exports.space(data.length);
      start += step < 0 ? left : Math.min(step, left);
    }
  }

  /** Walks over one window of a control buffer. Where and why it stopped; null: at the end of the buffer. */
  #walk(control: Uint8Array, start: number, clamp: boolean, messages: DecodedMessage[]): DecodedControl["malformed"] {
    const length = this.#load(control, start);
    const last = start + length === control.length;
    const { exports, registers } = this.#core;
    exports.open(length, clamp && last);
    while (this.#core.next()) {
      const data = registers[REGISTER.DATA]!;
      messages.push(this.#message(start, this.#core.control.slice(data, data + registers[REGISTER.DATA_LENGTH]!)));
    }
    const reason = FAULTS[registers[REGISTER.FAULT]!] ?? null;
    if (reason !== null) return { offset: start + registers[REGISTER.FAULT_OFFSET]!, reason };
    if (last) return null;
    // The window ends with a message, or within its padding.
    const end = start + registers[REGISTER.OFFSET]! + exports.space(registers[REGISTER.DATA_LENGTH]!);
    return end < control.length ? { offset: end, reason: "header-truncated" } : null;
  }

  /** The message in the registers, of a window that begins at `start`. */
  #message(start: number, data: Uint8Array): DecodedMessage {
    const { registers } = this.#core;
    return {
      offset: start + registers[REGISTER.OFFSET]!,
      level: registers[REGISTER.LEVEL]!,
      type: registers[REGISTER.TYPE]!,
      data,
      clamped: registers[REGISTER.CLAMPED] === 1,
    };
  }

  /** `cmsg_len` of the header at the beginning of the control area. */
  #length(): number {
    const { lengthOffset, lengthBytes, endian } = this.#layout;
    const view = new DataView(this.#core.memory, this.#core.controlOffset + lengthOffset, lengthBytes);
    const little = endian === "little";
    return lengthBytes === 4 ? view.getUint32(0, little) : Number(view.getBigUint64(0, little));
  }

  /**
   * An SCM_RIGHTS message.
   *
   * @throws RangeError for a number that is no `int`; `ERR_TOO_MANY_FDS` for more than one message takes on this system
   */
  rights(fds: readonly number[]): ControlMessage {
    if (!Array.isArray(fds)) throw wrongType("fds", "an array of numbers", fds);
    const most = Math.min(this.#layout.maxFdsPerMessage, FDS_CAPACITY);
    if (fds.length > most) throw outOfRange("fds", `at most ${most}`, fds.length, "ERR_TOO_MANY_FDS");
    const numbers = new Array<number>(fds.length);
    for (let i = 0; i < numbers.length; i++) {
      // An `int` comes out of `| 0` unchanged.
      const fd = fds[i]!;
      numbers[i] = (fd | 0) === fd ? fd : integer(`fds[${i}]`, fd, -0x80000000, 0x7fffffff);
    }
    const core = this.#core;
    for (let i = 0; i < numbers.length; i++) core.fds[i] = numbers[i]!;
    core.exports.begin(-1);
    const data = core.putRights(numbers.length);
    const { SOL_SOCKET: level, SCM_RIGHTS: type } = this.#layout;
    return { level, type, data: core.control.slice(data, data + 4 * numbers.length) };
  }

  /** The slots of an SCM_RIGHTS message, in order, with the negative ones; none of any other message. */
  fdsOf(message: ControlMessage): number[] {
    const payload = this.payloadOf(message);
    return payload.kind === "rights" ? payload.fds.slice() : [];
  }

  /**
   * A message with credentials, as a sender attaches them.
   *
   * @throws RangeError where senders of this system attach none
   */
  credentials({ pid, uid, gid }: Credentials): ControlMessage {
    const [layout] = this.#layout.credentials;
    if (layout === undefined || !layout.sendable)
      throw outOfRange("abi", "a system whose senders attach credentials", this.#layout.name);
    const id = (name: string, value: number) => integer(name, value, 0, 0xffffffff) | 0;
    const process = pid === null ? 0 : integer("pid", pid, 0, 0x7fffffff);
    const user = id("uid", uid);
    const group = id("gid", gid);
    const { exports, control } = this.#core;
    exports.begin(-1);
    const data = exports.putCredentials(process, user, group);
    const { SOL_SOCKET: level } = this.#layout;
    return { level, type: layout.type, data: control.slice(data, data + layout.bytes) };
  }

  /**
   * What a message says; `"unknown"` for a type that the ABI table does not have. Never throws on any bytes.
   *
   * @throws TypeError for data that are no Uint8Array
   */
  payloadOf({ level, type, data }: ControlMessage): DecodedPayload {
    if (!isUint8Array(data)) throw wrongType("message.data", "a Uint8Array", data);
    return readPayload(this.#layout, level, type, data);
  }

  /**
   * Which descriptors of a receive to keep and which to close. The library decides by the same function.
   *
   * @throws RangeError beyond 64 KiB of control data, more than any kernel delivers
   */
  verdict({ control, flags, maxFds, exactly, allowTruncated }: VerdictInput): ReceiveVerdict {
    integer("flags", flags, -0x80000000, 0xffffffff);
    integer("maxFds", maxFds, 0, 0x7fffffff);
    if (exactly !== undefined) integer("exactly", exactly, 0, 0x7fffffff);
    if (allowTruncated !== undefined) boolean("allowTruncated", allowTruncated);
    if (!isUint8Array(control)) throw wrongType("control", "a Uint8Array", control);
    // Cut to the capacity, descriptors behind it would be neither kept nor closed.
    if (byteLengthOf(control) > CONTROL_BYTES)
      throw outOfRange("control.length", `at most ${CONTROL_BYTES}`, byteLengthOf(control));
    const length = this.#load(plainView(control));
    const outcome = OUTCOMES[this.#core.verdict(length, flags, maxFds, exactly ?? -1, allowTruncated ?? false)]!;
    const { registers, fds } = this.#core;
    const kept = registers[REGISTER.KEEP]!;
    const pid = registers[REGISTER.PID]!;
    return {
      keep: numbers(fds, 0, kept),
      // There is nothing to close in a slot without a descriptor.
      close: numbers(fds, kept, registers[REGISTER.COUNT]!).filter((fd) => fd >= 0),
      pidfd: registers[REGISTER.HAS_PIDFD]! > 0 ? registers[REGISTER.PIDFD]! : null,
      credentials:
        registers[REGISTER.CREDENTIALS] === 1
          ? { pid: pid < 0 ? null : pid, uid: registers[REGISTER.UID]! >>> 0, gid: registers[REGISTER.GID]! >>> 0 }
          : null,
      outcome,
    };
  }

  #size(name: "align" | "len" | "space", n: number): number {
    integer("n", n, 0, 0x7fffffff);
    const size = this.#core.exports[name](n);
    if (size < 0) throw outOfRange("n", `a size whose CMSG_${name.toUpperCase()} is at most 2^31 - 1`, n);
    return size;
  }

  /** Copies as much of a control buffer, from an offset on, as fits into the core; how many bytes. */
  #load(control: Uint8Array, from = 0): number {
    const length = Math.min(control.length - from, CONTROL_BYTES);
    this.#core.control.set(length === control.length ? control : control.subarray(from, from + length));
    return length;
  }

  #encode(messages: readonly ControlMessage[], capacity: number): number {
    if (!Array.isArray(messages)) throw wrongType("messages", "an array of control messages", messages);
    const read = new Array<ControlMessage>(messages.length);
    for (let i = 0; i < read.length; i++) {
      const { level, type, data } = messages[i]!;
      integer(`messages[${i}].level`, level, -0x80000000, 0x7fffffff);
      integer(`messages[${i}].type`, type, -0x80000000, 0x7fffffff);
      if (!isUint8Array(data)) throw wrongType(`messages[${i}].data`, "a Uint8Array", data);
      read[i] = { level, type, data };
    }
    const { exports, control } = this.#core;
    exports.begin(Math.min(capacity, CONTROL_BYTES));
    for (let i = 0; i < read.length; i++) {
      const { level, type, data } = read[i]!;
      const bytes = byteLengthOf(data);
      const at = exports.put(level, type, bytes);
      if (at < 0) {
        const text = `${read.length} messages do not fit into ${capacity} bytes: message ${i} needs ${bytes} bytes of payload`;
        throw new AncillaryError("ERR_BUFFER_TOO_SMALL", text);
      }
      setBytes(control, data, at);
    }
    return exports.length();
  }
}

function numbers(table: Int32Array, from: number, to: number): number[] {
  const list: number[] = [];
  for (let i = from; i < to; i++) list.push(table[i]!);
  return list;
}
