/**
 * What each kernel does with control messages: what it refuses, and what it delivers when there is too little room. Written
 * from the kernels' sources (see `src/core/abis.ts`), and not with the core: it is what the core is tested against.
 */

import type { Abi } from "../core/abis.ts";
import { os } from "../node/builtins.ts";

/** What a sender attached. */
export interface SentControl {
  /** The numbers of each SCM_RIGHTS that counts. */
  readonly rights: number[][];
  readonly credentials: { pid: number; uid: number; gid: number } | null;
}

/** Names of errors, as `errno(3)` has them. */
export type ErrnoName =
  | "E2BIG"
  | "EACCES"
  | "EADDRINUSE"
  | "EAGAIN"
  | "EBADF"
  | "ECONNABORTED"
  | "ECONNREFUSED"
  | "ECONNRESET"
  | "EDEADLK"
  | "EEXIST"
  | "EINTR"
  | "EINVAL"
  | "EIO"
  | "EISCONN"
  | "EMFILE"
  | "EMSGSIZE"
  | "ENFILE"
  | "ENOBUFS"
  | "ENOENT"
  | "ENOMEM"
  | "ENOPROTOOPT"
  | "ENOTCONN"
  | "ENOTSOCK"
  | "EOPNOTSUPP"
  | "EPERM"
  | "EPIPE"
  | "EPROTOTYPE"
  | "ETOOMANYREFS";

/** `-errno` of this host: the numbers that the library speaks. */
export function errnoOf(name: ErrnoName): number {
  const numbers = os.constants.errno as Readonly<Record<string, number>>;
  // Node has no name for it; Linux's number.
  return -(numbers[name] ?? 109);
}

function roundUp(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}

/** `CMSG_LEN` and `CMSG_SPACE`. */
function lengthOf({ dataOffset }: Abi, bytes: number): number {
  return dataOffset + bytes;
}
function spaceOf(abi: Abi, bytes: number): number {
  return roundUp(lengthOf(abi, bytes), abi.headerAlignBytes);
}

interface Message {
  readonly length: number;
  readonly level: number;
  readonly type: number;
  readonly data: DataView;
}

/** The messages of a control buffer, or "EINVAL". */
function messagesOf(abi: Abi, control: Uint8Array): Message[] | "EINVAL" {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  const little = abi.endian === "little";
  const messages: Message[] = [];
  // Less than a header is nothing at all (Linux), or refused before.
  for (let at = 0; at + abi.headerBytes <= control.length; ) {
    // The kernel's length has 8 bytes on 64-bit Linux, whatever the libc declares.
    const wide = abi.os === "linux" && abi.pointerBytes === 8;
    const length = wide ? Number(view.getBigUint64(at, little)) : view.getUint32(at + abi.lengthOffset, little);
    if (length < abi.headerBytes || length > control.length - at) return "EINVAL";
    const level = view.getInt32(at + abi.levelOffset, little);
    const type = view.getInt32(at + abi.typeOffset, little);
    const data = new DataView(
      control.buffer,
      control.byteOffset + Math.min(at + abi.dataOffset, at + length),
      Math.max(0, length - abi.dataOffset),
    );
    messages.push({ length, level, type, data });
    at += roundUp(length, abi.headerAlignBytes);
  }
  return messages;
}

/** Room in the kernel for the pointers to n files, where it is what limits a message. */
const POINTER_ROOM: Readonly<Partial<Record<Abi["os"], (abi: Abi) => number>>> = {
  freebsd: ({ pointerBytes }) => pointerBytes,
  // struct fdpass: a pointer and a flag.
  openbsd: ({ pointerBytes }) => 2 * pointerBytes,
};

/** Reads what a sender attached, by the rules of its kernel; or the error it refuses it with. */
export function readSent(abi: Abi, control: Uint8Array): SentControl | ErrnoName {
  const none: SentControl = { rights: [], credentials: null };
  const { os } = abi;
  if (control.length === 0) return none;
  if (abi.maxControlBytes !== null && control.length > abi.maxControlBytes)
    return os === "freebsd" ? "EMSGSIZE" : "EINVAL";
  if (os !== "linux" && control.length < abi.headerBytes) return "EINVAL";
  const messages = messagesOf(abi, control);
  if (typeof messages === "string") return messages;
  const little = abi.endian === "little";
  const fdsOf = ({ data }: Message): number[] =>
    Array.from({ length: data.byteLength >> 2 }, (_, i) => data.getInt32(4 * i, little));
  const isRights = ({ level, type }: Message) => level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS;

  if (os === "linux") {
    const rights: number[] = [];
    let credentials: SentControl["credentials"] = null;
    for (const message of messages) {
      // Other levels are for other layers.
      if (message.level !== abi.SOL_SOCKET) continue;
      if (isRights(message)) rights.push(...fdsOf(message));
      else if (message.type === abi.SCM_CREDENTIALS && message.data.byteLength === 12) {
        const [pid, uid, gid] = [0, 4, 8].map((at) => message.data.getInt32(at, little));
        credentials = { pid: pid!, uid: uid!, gid: gid! };
      } else return "EINVAL";
    }
    if (rights.length > abi.maxFdsPerMessage) return "EINVAL";
    return { rights: rights.length > 0 ? [rights] : [], credentials };
  }

  const [first, ...others] = messages;
  if (first === undefined || !messages.every((one) => isRights(one))) return "EINVAL";
  switch (os) {
    case "freebsd":
      break;
    case "openbsd":
      if (others.length > 0) return "EINVAL";
      if (control.length !== first.length && control.length !== roundUp(first.length, abi.alignBytes)) return "EINVAL";
      break;
    case "darwin":
      if (first.length !== control.length) return "EINVAL";
      if ((first.length - abi.headerBytes) * 2 + abi.headerBytes > 2048) return "EINVAL";
      break;
    case "netbsd":
      // Padding would be taken for descriptors.
      if (roundUp(first.length, 4) !== control.length && others.length === 0) return "EINVAL";
      break;
    case "illumos":
      if (others.length > 0) return "EINVAL";
      break;
    default:
      break;
  }
  const room = POINTER_ROOM[os]?.(abi);
  for (const message of messages) {
    if (room !== undefined && spaceOf(abi, fdsOf(message).length * room) > 2048)
      return os === "freebsd" ? "EMSGSIZE" : "E2BIG";
  }
  // NetBSD and DragonFly look at the first only, and lose the others in silence.
  const counted = abi.severalRights === "first" ? [first] : messages;
  return { rights: counted.map(fdsOf).filter((fds) => fds.length > 0), credentials: null };
}

/** A receiver's control buffer, as its kernel fills it. */
export class ControlWriter {
  readonly #abi: Abi;
  readonly #bytes: Uint8Array;
  length = 0;
  truncated = false;

  constructor(abi: Abi, bytes: Uint8Array) {
    this.#abi = abi;
    this.#bytes = bytes;
  }

  get room(): number {
    return this.#bytes.length - this.length;
  }

  /** A message that is cut where the room ends (Linux, put_cmsg). */
  put(type: number, data: Uint8Array): void {
    const abi = this.#abi;
    if (this.room < abi.headerBytes) {
      this.truncated = true;
      return;
    }
    const whole = lengthOf(abi, data.length);
    if (whole > this.room) this.truncated = true;
    this.#write(type, data, Math.min(whole, this.room), Math.min(whole, this.room));
  }

  /** `delivered` bytes of a message that says it has `length`. */
  #write(type: number, data: Uint8Array, length: number, delivered: number): void {
    const abi = this.#abi;
    const little = abi.endian === "little";
    const at = this.length;
    const header = new DataView(new ArrayBuffer(abi.dataOffset));
    if (abi.os === "linux" && abi.pointerBytes === 8) header.setBigUint64(0, BigInt(length), little);
    else header.setUint32(abi.lengthOffset, length, little);
    header.setInt32(abi.levelOffset, abi.SOL_SOCKET, little);
    header.setInt32(abi.typeOffset, type, little);
    const message = new Uint8Array(roundUp(Math.max(delivered, abi.dataOffset), abi.headerAlignBytes));
    message.set(new Uint8Array(header.buffer));
    message.set(data.subarray(0, Math.max(0, delivered - abi.dataOffset)), abi.dataOffset);
    this.#bytes.set(message.subarray(0, Math.min(delivered, this.room)), at);
    const padded = abi.receiveNeeds === "space" || abi.os === "linux";
    this.length = at + Math.min(padded ? roundUp(delivered, abi.headerAlignBytes) : delivered, this.room);
  }

  /** A number of this target. */
  static int(abi: Abi, ...values: number[]): Uint8Array {
    const view = new DataView(new ArrayBuffer(4 * values.length));
    for (const [i, value] of values.entries()) view.setInt32(4 * i, value, abi.endian === "little");
    return new Uint8Array(view.buffer);
  }

  /**
   * Delivers the descriptors of one SCM_RIGHTS.
   *
   * @param count how many there are, @param free free slots of the descriptor table
   * @param install makes the descriptor of the i-th; its number
   * @param refused how many a security module lets through; Infinity: all
   * @returns the error of the whole receive; then nothing was installed
   */
  rights(count: number, free: number, install: (i: number) => number, refused: number = Infinity): ErrnoName | null {
    const abi = this.#abi;
    const wanted = lengthOf(abi, 4 * count);
    const { room } = this;
    const inside = Math.max(0, Math.floor((room - abi.dataOffset) / 4));
    const numbers = (to: number): Uint8Array =>
      ControlWriter.int(abi, ...Array.from({ length: to }, (_, i) => install(i)));
    switch (abi.truncation) {
      case "linux": {
        const k = Math.min(count, inside, free, refused);
        if (k < count) this.truncated = true;
        if (k > 0) this.#write(abi.SCM_RIGHTS, numbers(k), lengthOf(abi, 4 * k), lengthOf(abi, 4 * k));
        return null;
      }
      case "freebsd":
      case "netbsd":
        if (free < count) return abi.tableFullErrno;
        if (room >= spaceOf(abi, 4 * count)) this.#write(abi.SCM_RIGHTS, numbers(count), wanted, wanted);
        else if (room > 0 || abi.truncation === "freebsd") this.truncated = true;
        return null;
      case "openbsd":
        if (free < count || count > inside) return "EMSGSIZE";
        this.#write(abi.SCM_RIGHTS, numbers(count), wanted, wanted);
        return null;
      case "dragonfly":
      case "xnu": {
        if (free < count) return "EMSGSIZE";
        // All are installed first: what does not fit stays open, and nobody knows its number.
        const data = numbers(count);
        const copied = Math.min(room, wanted);
        if (copied >= abi.headerBytes) this.#write(abi.SCM_RIGHTS, data, wanted, copied);
        if (abi.truncation === "xnu" && room > 0 && room < wanted) this.truncated = true;
        return null;
      }
      default: {
        if (room > 0 && free < count) return "EMFILE";
        const copied = Math.min(room, wanted);
        const k = Math.max(0, Math.floor((copied - abi.dataOffset) / 4));
        if (copied < wanted) this.truncated = true;
        if (k > 0) this.#write(abi.SCM_RIGHTS, numbers(k), copied, copied);
        return null;
      }
    }
  }
}
