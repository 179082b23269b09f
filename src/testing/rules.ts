/**
 * What each kernel does with control messages: what it refuses, and what it delivers when there is too little room. Written
 * from the kernels' sources (see `src/core/abis/`), and not with the core, because the core is tested against it.
 */

import type { Abi } from "../core/abis/table.ts";
import type { ErrnoName } from "./errno.ts";
import { rulesOf } from "./systems.ts";

/** What a kernel knows of a sender when it reads the control data. */
export interface SenderChecks {
  /** Whether it has such a descriptor. */
  isOpen(fd: number): boolean;
  /** Whether it may send these credentials as its own. */
  mayClaim(credentials: { pid: number; uid: number; gid: number }): boolean;
}

/** What a sender attached. */
export interface SentControl {
  /** The numbers of each SCM_RIGHTS that counts. */
  readonly rights: number[][];
  /** The credentials that it sent; the kernel checks them (Linux). */
  readonly credentials: { pid: number; uid: number; gid: number } | null;
  /** Behind how many SCM_RIGHTS the kernel adds the credentials that the sender asked for (FreeBSD, DragonFly). */
  readonly credentialsAt: number | null;
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

/** Whether the kernel reads `cmsg_len` as 8 bytes. */
function isWide(abi: Abi): boolean {
  return rulesOf(abi).wideLengths && abi.pointerBytes === 8;
}

/** The messages of a control buffer; the last is null where the rest is not a message and is refused. */
function messagesOf(abi: Abi, control: Uint8Array): (Message | null)[] {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  const little = abi.endian === "little";
  const messages: (Message | null)[] = [];
  const rules = rulesOf(abi);
  const least = rules.leastLength === "payload" ? abi.dataOffset : abi.headerBytes;
  for (let at = 0; at < control.length; ) {
    if (at + abi.headerBytes > control.length) return rules.refusesTrailing(abi) ? [...messages, null] : messages;
    const length = isWide(abi) ? Number(view.getBigUint64(at, little)) : view.getUint32(at + abi.lengthOffset, little);
    if (length < least || length > control.length - at) return [...messages, null];
    const level = view.getInt32(at + abi.levelOffset, little);
    const type = view.getInt32(at + abi.typeOffset, little);
    const data = new DataView(
      control.buffer,
      control.byteOffset + Math.min(at + abi.dataOffset, at + length),
      Math.max(0, length - abi.dataOffset),
    );
    messages.push({ length, level, type, data });
    // NetBSD and DragonFly read the first only, and lose the others without an error.
    if (abi.severalRights === "first") return messages;
    at += roundUp(length, abi.headerAlignBytes);
  }
  return messages;
}

/** Reads what a sender attached, by the rules of its kernel; or the error with which the kernel refuses it. */
export function readSent(abi: Abi, control: Uint8Array, sender: SenderChecks): SentControl | ErrnoName {
  const none: SentControl = { rights: [], credentials: null, credentialsAt: null };
  const rules = rulesOf(abi);
  if (control.length === 0) return none;
  if (abi.maxControlBytes !== null && control.length > abi.maxControlBytes) return rules.tooLongErrno;
  if (rules.refusesShort && control.length < abi.headerBytes) return "EINVAL";
  const found = messagesOf(abi, control);
  const little = abi.endian === "little";
  const fdsOf = ({ data }: Message): number[] =>
    Array.from({ length: data.byteLength >> 2 }, (_, i) => data.getInt32(4 * i, little));
  const isRights = ({ level, type }: Message) => level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS;

  if (rules.reads === "each message") {
    const rights: number[] = [];
    let credentials: SentControl["credentials"] = null;
    for (const message of found) {
      if (message === null) return "EINVAL";
      // Other levels are for other layers.
      if (message.level !== abi.SOL_SOCKET) continue;
      if (isRights(message)) {
        rights.push(...fdsOf(message));
        if (rights.length > abi.maxFdsPerMessage) return "EINVAL";
        if (!rights.every(sender.isOpen)) return "EBADF";
      } else if (message.type === abi.SCM_CREDENTIALS && message.data.byteLength === 12) {
        const [pid, uid, gid] = [0, 4, 8].map((at) => message.data.getInt32(at, little)) as [number, number, number];
        credentials = { pid, uid, gid };
        if (!sender.mayClaim(credentials)) return "EPERM";
      } else return "EINVAL";
    }
    return { ...none, rights: rights.length > 0 ? [rights] : [], credentials };
  }

  const messages = found.filter((message) => message !== null);
  const [first] = messages;
  const asks = messages.findIndex(({ level, type }) => level === abi.SOL_SOCKET && type === abi.SCM_CREDS);
  // The kernel fills in SCM_CREDS that a sender attaches (FreeBSD, DragonFly). FreeBSD's times, filled in likewise, are not
  // simulated.
  const askable = asks !== -1 && abi.credentials.some(({ type, sendable }) => sendable && type === abi.SCM_CREDS);
  const known =
    messages.length === found.length && messages.every((message, i) => isRights(message) || (askable && i === asks));
  if (first === undefined || !known) return "EINVAL";
  if (!rules.takes(abi, control.length, messages.length, first.length)) return "EINVAL";
  const room = rules.pointerRoom;
  const rights = messages.filter(isRights).map(fdsOf);
  for (const fds of rights) {
    if (!fds.every(sender.isOpen)) return "EBADF";
    if (room !== null && spaceOf(abi, fds.length * room.bytes(abi)) > 2048) return room.errno;
  }
  return {
    rights: rules.deliversEmptyRights ? rights : rights.filter(({ length }) => length > 0),
    credentials: null,
    credentialsAt: askable ? messages.slice(0, asks).filter(isRights).length : null,
  };
}

/** A receiver's control buffer, as its kernel fills it. */
export class ControlWriter {
  readonly #abi: Abi;
  /** Empty: there is no control buffer. */
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

  /** The credentials that the sender asked for: FreeBSD copies whole messages or stops, DragonFly cuts without MSG_CTRUNC. */
  senderCredentials(data: Uint8Array): void {
    const whole = lengthOf(this.#abi, data.length);
    if (this.#abi.truncation === "freebsd") this.#whole(this.#abi.SCM_CREDS!, data);
    else if (this.room > 0) this.#write(this.#abi.SCM_CREDS!, data, whole, Math.min(whole, this.room));
  }

  /** Writes a whole message; the first without room ends the control data (FreeBSD). */
  #whole(type: number, data: Uint8Array): boolean {
    if (this.truncated || this.room < spaceOf(this.#abi, data.length)) {
      this.truncated ||= this.#bytes.length > 0;
      return false;
    }
    const length = lengthOf(this.#abi, data.length);
    this.#write(type, data, length, length);
    return true;
  }

  /** Writes `delivered` bytes of a message whose header says `length`. */
  #write(type: number, data: Uint8Array, length: number, delivered: number): void {
    const abi = this.#abi;
    const little = abi.endian === "little";
    const at = this.length;
    const header = new DataView(new ArrayBuffer(abi.dataOffset));
    if (isWide(abi)) header.setBigUint64(0, BigInt(length), little);
    else header.setUint32(abi.lengthOffset, length, little);
    header.setInt32(abi.levelOffset, abi.SOL_SOCKET, little);
    header.setInt32(abi.typeOffset, type, little);
    const message = new Uint8Array(roundUp(Math.max(delivered, abi.dataOffset), abi.headerAlignBytes));
    message.set(new Uint8Array(header.buffer));
    message.set(data.subarray(0, Math.max(0, delivered - abi.dataOffset)), abi.dataOffset);
    this.#bytes.set(message.subarray(0, Math.min(delivered, this.room)), at);
    this.length =
      at + Math.min(rulesOf(abi).countsPadding ? roundUp(delivered, abi.headerAlignBytes) : delivered, this.room);
  }

  /** 4-byte numbers in the byte order of a target. */
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
    // Without a control buffer they are closed; only Linux and illumos set MSG_CTRUNC, and XNU leaves them open.
    const absent = this.#bytes.length === 0;
    switch (abi.truncation) {
      case "linux": {
        const k = Math.min(count, inside, free, refused);
        if (k < count) this.truncated = true;
        if (k > 0) this.#write(abi.SCM_RIGHTS, numbers(k), lengthOf(abi, 4 * k), lengthOf(abi, 4 * k));
        return null;
      }
      case "freebsd":
        if (absent) return null;
        if (free < count) return abi.tableFullErrno;
        // All are installed, and those that are not copied are closed again; the receiver sees no difference.
        if (!this.truncated && room >= spaceOf(abi, 4 * count)) this.#whole(abi.SCM_RIGHTS, numbers(count));
        else this.truncated = true;
        return null;
      case "netbsd":
        if (absent) return null;
        if (free < count) return abi.tableFullErrno;
        if (room >= spaceOf(abi, 4 * count)) this.#write(abi.SCM_RIGHTS, numbers(count), wanted, wanted);
        else this.truncated = true;
        return null;
      case "openbsd":
        if (absent) return null;
        if (free < count || count > inside) return "EMSGSIZE";
        this.#write(abi.SCM_RIGHTS, numbers(count), wanted, wanted);
        return null;
      case "dragonfly":
      case "xnu": {
        if (absent && abi.truncation === "dragonfly") return null;
        if (free < count) return "EMSGSIZE";
        // All are installed first: those that do not fit stay open, and their numbers are not delivered.
        const data = numbers(count);
        if (room > 0) this.#write(abi.SCM_RIGHTS, data, wanted, Math.min(room, wanted));
        if (abi.truncation === "xnu" && room > 0 && room < wanted) this.truncated = true;
        return null;
      }
      case "illumos": {
        if (room > 0 && free < count) return "EMFILE";
        const copied = Math.min(room, wanted);
        const k = Math.max(0, Math.floor((copied - abi.dataOffset) / 4));
        if (copied < wanted) this.truncated = true;
        if (copied > 0) this.#write(abi.SCM_RIGHTS, numbers(k), copied, copied);
        return null;
      }
      default:
        return abi.truncation satisfies never;
    }
  }

  /** What a peek that makes no descriptors shows of one SCM_RIGHTS: nothing, zeros, or kernel pointers. */
  peeked(count: number): void {
    const abi = this.#abi;
    if (abi.peek === "omitted" || this.#bytes.length === 0) return;
    const words = abi.peek === "zeroed" ? count : (count * abi.pointerBytes) / 4;
    const data = ControlWriter.int(abi, ...new Array(words).fill(abi.peek === "zeroed" ? 0 : 0x7ff0));
    const wanted = lengthOf(abi, data.length);
    if (abi.truncation === "freebsd") this.#whole(abi.SCM_RIGHTS, data);
    // Nothing of it (NetBSD uipc_syscalls.c#L885, copyout_msg_control, and measured).
    else if (abi.truncation === "netbsd" && this.room < spaceOf(abi, data.length)) this.truncated = true;
    else this.#write(abi.SCM_RIGHTS, data, wanted, Math.min(this.room, wanted));
    if (wanted > this.room && abi.truncation === "xnu") this.truncated = true;
  }
}
