/** Control messages <-> bytes, for one ABI, anywhere. */

import { type Abi, type AbiName, abiOf } from "./abis/table.ts";
import { AncillaryError, boolean, type Checks, integer, outOfRange, readOptions, wrongType } from "./errors.ts";
import { type ControlMessage, type Credentials, type DecodedPayload, readPayload } from "./payloads.ts";
import { CONTROL_BYTES, Core, FAULTS, FDS_CAPACITY, OUTCOMES, REGISTER } from "./wasm.ts";

/** A message as it was found. */
export interface DecodedMessage extends ControlMessage {
  /** Where its header begins. */
  readonly offset: number;
  /** Its `cmsg_len` said more than there is, and `data` is what there is. Only where {@link DecodeOptions.flags} allow it. */
  readonly clamped: boolean;
}

/** What a control buffer holds. */
export interface DecodedControl {
  /** The whole messages, in their order; `data` are copies. */
  readonly messages: readonly DecodedMessage[];
  /**
   * Where and why the walk stopped; null: at the end. The messages before stand.
   *
   * - `header-truncated`: fewer bytes are left than `CMSG_LEN(0)`
   * - `length-too-small`: `cmsg_len` is less than `CMSG_LEN(0)`
   * - `length-overruns`: `cmsg_len` reaches past the end
   */
  readonly malformed: null | {
    readonly offset: number;
    readonly reason: "header-truncated" | "length-too-small" | "length-overruns";
  };
}

/** How to decode. */
export interface DecodeOptions {
  /**
   * `msg_flags` of the receive, the ABI's own numbers. With MSG_CTRUNC (on DragonFly, which loses the flag, always) a message
   * that reaches past the end is clamped, not malformed: Darwin does not shorten its `cmsg_len`.
   */
  flags?: number | undefined;
}

/** What a receive brought, for {@link Codec.verdict}. */
export interface VerdictInput {
  /** The first `msg_controllen` bytes of the control buffer. */
  readonly control: Uint8Array;
  /** `msg_flags`, the ABI's own numbers. */
  readonly flags: number;
  /** How many descriptors are kept at most. */
  readonly maxFds: number;
  /** How many must have come. */
  readonly exactly?: number | undefined;
  /** Whether cut data are no error. */
  readonly allowTruncated?: boolean | undefined;
}

/** Which descriptors are kept and which are closed. A surplus is `"ok"`: its numbers are in `close`. */
export interface ReceiveVerdict {
  /** In their order; empty unless the outcome is `"ok"`. */
  readonly keep: number[];
  /** Every other descriptor that was delivered; all of them unless the outcome is `"ok"`. */
  readonly close: number[];
  /** A pidfd that came; null unless the outcome is `"ok"`. */
  readonly pidfd: number | null;
  /** Who sent it, where the message names somebody. */
  readonly credentials: Credentials | null;
  readonly outcome: (typeof OUTCOMES)[number];
}

const DECODE: Checks = { flags: (name, value) => void integer(name, value, -0x80000000, 0xffffffff) };

/** The codec of one ABI: one instance of the core. Its methods answer with copies and keep nothing between calls. */
export class Codec {
  /** The row of the ABI table it was made with. */
  readonly abi: Abi;
  readonly #core: Core;

  /** @throws RangeError for a name that is not in the table, or a layout that cannot be walked */
  constructor(abi: Abi | AbiName) {
    this.abi = abiOf(abi);
    this.#core = new Core(this.abi);
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
   * A control buffer with these messages, as long as `msg_controllen` has to be on this system.
   *
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL` beyond 64 KiB, more than any kernel takes
   */
  encode(messages: readonly ControlMessage[]): Uint8Array {
    return this.#core.control.slice(0, this.#encode(messages, CONTROL_BYTES));
  }

  /**
   * {@link encode} into memory of the caller's; `msg_controllen`. What lies behind it is left alone.
   *
   * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`, nothing written
   */
  encodeInto(messages: readonly ControlMessage[], into: Uint8Array): number {
    if (!(into instanceof Uint8Array)) throw wrongType("into", "a Uint8Array", into);
    const length = this.#encode(messages, into.length);
    into.set(this.#core.control.subarray(0, length));
    return length;
  }

  /**
   * The messages in a control buffer of any length. Never throws on any bytes.
   *
   * @throws TypeError for what is no Uint8Array
   */
  decode(control: Uint8Array, options?: DecodeOptions): DecodedControl {
    checkControl(control);
    const { flags } = readOptions("options", options, DECODE);
    const clamp = flags !== undefined && ((flags & this.abi.MSG_CTRUNC) !== 0 || this.abi.losesCtrunc);
    const { exports } = this.#core;
    const messages: DecodedMessage[] = [];
    // A window of the control area's size at a time; what straddles its end begins the next one. No kernel makes a second one.
    for (let start = 0; ; ) {
      const fault = this.#walk(control, start, clamp, messages);
      if (fault === null) return { messages, malformed: null };
      if (start + CONTROL_BYTES >= control.length) return { messages, malformed: fault };
      if (fault.offset > start) {
        // It was cut off by the window, or is malformed and will be found so again, at the beginning of the next.
        start = fault.offset;
        continue;
      }
      if (fault.reason !== "length-overruns") return { messages, malformed: fault };
      // One message longer than a window. Its header is the window's first.
      const length = this.#length();
      const left = control.length - start;
      if (length > left && !clamp) return { messages, malformed: fault };
      const end = start + Math.min(length, left);
      exports.open(CONTROL_BYTES, true);
      this.#core.next();
      const data = new Uint8Array(control.subarray(start + this.abi.dataOffset, end));
      messages.push({ ...this.#message(start, data), clamped: length > left });
      const step = exports.space(data.length);
      start += step < 0 ? left : Math.min(step, left);
    }
  }

  /** Walks over one window of a control buffer; where and why it stopped, null: at the end of the buffer. */
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
    // The window ended with a message, or within its padding.
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

  /** `cmsg_len` of the header that the control area begins with. */
  #length(): number {
    const { lengthOffset, lengthBytes, endian } = this.abi;
    const view = new DataView(this.#core.memory, this.#core.controlOffset + lengthOffset, lengthBytes);
    const little = endian === "little";
    return lengthBytes === 4 ? view.getUint32(0, little) : Number(view.getBigUint64(0, little));
  }

  /** An SCM_RIGHTS message. @throws RangeError for what is no `int`, or more than the system takes in one message */
  rights(fds: readonly number[]): ControlMessage {
    if (!Array.isArray(fds)) throw wrongType("fds", "an array of numbers", fds);
    const most = Math.min(this.abi.maxFdsPerMessage, FDS_CAPACITY);
    if (fds.length > most) throw outOfRange("fds", `at most ${most}`, fds.length, "ERR_TOO_MANY_FDS");
    for (let i = 0; i < fds.length; i++) {
      // Not `int` unless it comes out as it went in.
      const fd = fds[i]!;
      this.#core.fds[i] = (fd | 0) === fd ? fd : integer(`fds[${i}]`, fd, -0x80000000, 0x7fffffff);
    }
    this.#core.exports.begin(-1);
    const data = this.#core.putRights(fds.length);
    const { SOL_SOCKET: level, SCM_RIGHTS: type } = this.abi;
    return { level, type, data: this.#core.control.slice(data, data + 4 * fds.length) };
  }

  /** The slots of an SCM_RIGHTS message, in their places; of any other message none. */
  fdsOf(message: ControlMessage): number[] {
    const payload = this.payloadOf(message);
    return payload.kind === "rights" ? payload.fds.slice() : [];
  }

  /**
   * A message with credentials, as a sender attaches them.
   *
   * @throws RangeError where a sender of this system attaches none
   */
  credentials({ pid, uid, gid }: Credentials): ControlMessage {
    const [layout] = this.abi.credentials;
    if (layout === undefined || !layout.sendable)
      throw outOfRange("abi", "a system whose senders attach credentials", this.abi.name);
    const id = (name: string, value: number) => integer(name, value, 0, 0xffffffff) | 0;
    const process = pid === null ? 0 : integer("pid", pid, 0, 0x7fffffff);
    this.#core.exports.begin(-1);
    const data = this.#core.exports.putCredentials(process, id("uid", uid), id("gid", gid));
    const { SOL_SOCKET: level } = this.abi;
    return { level, type: layout.type, data: this.#core.control.slice(data, data + layout.bytes) };
  }

  /** What a message says; `"unknown"` for what the ABI table does not know. Never throws on any bytes. */
  payloadOf({ level, type, data }: ControlMessage): DecodedPayload {
    return readPayload(this.abi, level, type, data);
  }

  /**
   * What is kept and what is closed of a receive, as the library itself decides it.
   *
   * @throws RangeError beyond 64 KiB of control data, more than any kernel delivers
   */
  verdict({ control, flags, maxFds, exactly, allowTruncated }: VerdictInput): ReceiveVerdict {
    integer("flags", flags, -0x80000000, 0xffffffff);
    integer("maxFds", maxFds, 0, 0x7fffffff);
    if (exactly !== undefined) integer("exactly", exactly, 0, 0x7fffffff);
    if (allowTruncated !== undefined) boolean("allowTruncated", allowTruncated);
    checkControl(control);
    // Cut to what fits, descriptors behind it would be neither kept nor closed.
    if (control.length > CONTROL_BYTES) throw outOfRange("control.length", `at most ${CONTROL_BYTES}`, control.length);
    const length = this.#load(control);
    const outcome = OUTCOMES[this.#core.verdict(length, flags, maxFds, exactly ?? -1, allowTruncated ?? false)]!;
    const { registers, fds } = this.#core;
    const kept = registers[REGISTER.KEEP]!;
    const pid = registers[REGISTER.PID]!;
    return {
      keep: numbers(fds, 0, kept),
      // A slot without a descriptor has nothing to close.
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

  /** Copies a control buffer into the core from an offset on, as much as fits; how much. */
  #load(control: Uint8Array, from = 0): number {
    const length = Math.min(control.length - from, CONTROL_BYTES);
    this.#core.control.set(length === control.length ? control : control.subarray(from, from + length));
    return length;
  }

  #encode(messages: readonly ControlMessage[], capacity: number): number {
    if (!Array.isArray(messages)) throw wrongType("messages", "an array of control messages", messages);
    const { exports, control } = this.#core;
    exports.begin(Math.min(capacity, CONTROL_BYTES));
    for (const [i, { level, type, data }] of (messages as readonly ControlMessage[]).entries()) {
      integer(`messages[${i}].level`, level, -0x80000000, 0x7fffffff);
      integer(`messages[${i}].type`, type, -0x80000000, 0x7fffffff);
      if (!(data instanceof Uint8Array)) throw wrongType(`messages[${i}].data`, "a Uint8Array", data);
      const at = exports.put(level, type, data.length);
      if (at < 0) {
        const text = `${messages.length} messages do not fit into ${capacity} bytes: message ${i} needs ${data.length} bytes of payload`;
        throw new AncillaryError("ERR_BUFFER_TOO_SMALL", text);
      }
      control.set(data, at);
    }
    return exports.length();
  }
}

function checkControl(control: unknown): void {
  if (!(control instanceof Uint8Array)) throw wrongType("control", "a Uint8Array", control);
}

function numbers(table: Int32Array, from: number, to: number): number[] {
  const list: number[] = [];
  for (let i = from; i < to; i++) list.push(table[i]!);
  return list;
}
