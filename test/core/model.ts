/**
 * What `core.wasm` promises, written a second time in plain TypeScript, from docs/core-abi.md: every export, for any target, with every
 * byte of the memory that it changes. `module-checks.ts` compares both, call by call.
 */

import { MEMORY, REGISTER } from "../../src/core/core.wasm.ts";

export const { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY } = MEMORY;
const MAX = 0x7fffffff;

/** The arguments of `setLayout`, in its order. */
export interface Layout {
  headerBytes: number;
  lengthOffset: number;
  lengthBytes: number;
  levelOffset: number;
  typeOffset: number;
  dataOffset: number;
  alignBytes: number;
  headerAlignBytes: number;
  bigEndian: boolean;
}

/** The arguments of `setNumbers`, in its order. */
export interface Numbers {
  SOL_SOCKET: number;
  SCM_RIGHTS: number;
  SCM_PIDFD: number;
  SCM_SECURITY: number;
  MSG_TRUNC: number;
  MSG_CTRUNC: number;
  padLast: boolean;
  losesCtrunc: boolean;
}

/** The arguments of `setCredentials` behind the kind. */
export interface CredentialsLayout {
  type: number;
  bytes: number;
  pid: number;
  uid: number;
  gid: number;
}

interface Found {
  at: number;
  level: number;
  type: number;
  data: number;
  length: number;
  clamped: boolean;
}

const u32 = (n: number): number => n >>> 0;
const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;
const fits = (n: number): number => (n > MAX ? -1 : n);
const isAlignment = (n: number): boolean => [1, 2, 4, 8, 16, 32, 64].includes(n);

export class Model {
  /** The memory of the module. What a call leaves unspecified is in {@link unspecified} until the next call. */
  readonly memory: Buffer = Buffer.alloc(0x30000);
  /** Ranges of the memory that the last call may have changed to anything: [from, to). */
  unspecified: [number, number][] = [];
  /** Before `setLayout` the payload begins behind every buffer. */
  layout: Layout = {
    headerBytes: 0,
    lengthOffset: 0,
    lengthBytes: 4,
    levelOffset: 0,
    typeOffset: 0,
    dataOffset: 0x80000000,
    alignBytes: 1,
    headerAlignBytes: 1,
    bigEndian: false,
  };
  /** Before `setNumbers` the system has no message and no flag. */
  numbers: Numbers = {
    SOL_SOCKET: -1,
    SCM_RIGHTS: -1,
    SCM_PIDFD: -1,
    SCM_SECURITY: -1,
    MSG_TRUNC: 0,
    MSG_CTRUNC: 0,
    padLast: false,
    losesCtrunc: false,
  };
  readonly credentials: CredentialsLayout[] = Array.from({ length: 3 }, () => ({
    type: 0,
    bytes: 0,
    pid: 0,
    uid: 0,
    gid: 0,
  }));
  #walk: { at: number; end: number; clamps: boolean } = { at: 0, end: 0, clamps: false };
  #buffer: { at: number; reach: number; capacity: number } = { at: 0, reach: 0, capacity: 0 };

  #set(register: number, value: number): void {
    this.memory.writeInt32LE(value | 0, MEMORY.REGISTERS + 4 * register);
  }

  #readInt(at: number): number {
    return this.layout.bigEndian ? this.memory.readInt32BE(at) : this.memory.readInt32LE(at);
  }

  #writeInt(at: number, value: number): void {
    if (this.layout.bigEndian) this.memory.writeInt32BE(value | 0, at);
    else this.memory.writeInt32LE(value | 0, at);
  }

  #slot(position: number, fd: number): void {
    this.memory.writeInt32LE(fd, FDS + 4 * position);
  }

  /** Configuring writes a message with one descriptor and judges it. */
  #configured(): void {
    this.unspecified = [
      [0, 0x50],
      [0x100, 0x13c],
      [0x200, 0x210],
      [FDS, FDS + 4],
      [CONTROL, CONTROL + 128],
    ];
  }

  setLayout(layout: Layout): number {
    const { headerBytes, lengthBytes, dataOffset } = layout;
    const inside = (offset: number, width: number): boolean => u32(offset) + width <= u32(headerBytes);
    const good =
      headerBytes !== 0 &&
      u32(headerBytes) <= u32(dataOffset) &&
      u32(dataOffset) <= 64 &&
      (lengthBytes === 4 || lengthBytes === 8) &&
      inside(layout.lengthOffset, lengthBytes) &&
      inside(layout.levelOffset, 4) &&
      inside(layout.typeOffset, 4) &&
      isAlignment(layout.alignBytes) &&
      isAlignment(layout.headerAlignBytes);
    if (!good) return 0;
    this.layout = layout;
    this.#configured();
    return 1;
  }

  setNumbers(numbers: Numbers): void {
    this.numbers = numbers;
    this.#configured();
  }

  setCredentials(kind: number, layout: CredentialsLayout): number {
    const { bytes, pid, uid, gid } = layout;
    const inside = (offset: number): boolean => u32(offset) + 4 <= u32(bytes);
    if (u32(kind) >= 3) return 0;
    if (bytes !== 0 && !(u32(bytes) <= 256 && inside(uid) && inside(gid) && (pid === -1 || inside(pid)))) return 0;
    this.credentials[kind] = layout;
    this.unspecified = [[0x100, 0x13c]];
    return 1;
  }

  align(n: number): number {
    return n < 0 ? -1 : fits(roundUp(n, this.layout.alignBytes));
  }

  len(n: number): number {
    return n < 0 ? -1 : fits(this.layout.dataOffset + n);
  }

  space(n: number): number {
    return n < 0 ? -1 : fits(roundUp(this.layout.dataOffset + n, this.layout.headerAlignBytes));
  }

  open(length: number, clamps: boolean): void {
    this.#walk = { at: 0, end: length < 0 ? 0 : Math.min(length, CONTROL_BYTES), clamps };
    this.#set(REGISTER.FAULT, 0);
    this.#set(REGISTER.FAULT_OFFSET, 0);
  }

  /** The next message, or null, at the end or at a fault. */
  #find(): Found | null {
    const walk = this.#walk;
    const { at, end } = walk;
    const { dataOffset, lengthBytes, lengthOffset, levelOffset, typeOffset, headerAlignBytes, bigEndian } = this.layout;
    const left = end - at;
    if (left === 0) return null;
    const fault = (number: number): null => {
      this.#set(REGISTER.FAULT, number);
      this.#set(REGISTER.FAULT_OFFSET, at);
      walk.at = end;
      return null;
    };
    if (left < dataOffset) return fault(1);
    const field = CONTROL + at + lengthOffset;
    const words =
      lengthBytes === 4 ? [u32(this.#readInt(field))] : [field, field + 4].map((i) => u32(this.#readInt(i)));
    if (!bigEndian) words.reverse();
    const said = words.reduce((high, low) => high * 2 ** 32 + low, 0);
    if (said < dataOffset) return fault(2);
    if (said > left && !walk.clamps) return fault(3);
    const length = Math.min(said, left);
    walk.at = at + Math.min(roundUp(length, headerAlignBytes), left);
    return {
      at,
      level: this.#readInt(CONTROL + at + levelOffset),
      type: this.#readInt(CONTROL + at + typeOffset),
      data: at + dataOffset,
      length: length - dataOffset,
      clamped: said > left,
    };
  }

  next(): number {
    const found = this.#find();
    if (found === null) return 0;
    this.#set(REGISTER.OFFSET, found.at);
    this.#set(REGISTER.LEVEL, found.level);
    this.#set(REGISTER.TYPE, found.type);
    this.#set(REGISTER.DATA, found.data);
    this.#set(REGISTER.DATA_LENGTH, found.length);
    this.#set(REGISTER.CLAMPED, found.clamped ? 1 : 0);
    return 1;
  }

  begin(bytes: number): void {
    this.#buffer = { at: 0, reach: 0, capacity: bytes < 0 ? CONTROL_BYTES : Math.min(bytes, CONTROL_BYTES) };
  }

  put(level: number, type: number, length: number): number {
    const { at, capacity } = this.#buffer;
    const { dataOffset, lengthOffset, lengthBytes, levelOffset, typeOffset, bigEndian } = this.layout;
    const whole = this.space(length);
    if (whole < 0) return -1;
    const bare = dataOffset + length;
    if ((this.numbers.padLast ? whole : bare) > capacity - at) return -1;
    const header = CONTROL + at;
    this.memory.fill(0, header, header + Math.min(whole, capacity - at));
    this.#writeInt(header + lengthOffset + (bigEndian ? lengthBytes - 4 : 0), bare);
    this.#writeInt(header + levelOffset, level);
    this.#writeInt(header + typeOffset, type);
    this.#buffer = { at: Math.min(at + whole, capacity), reach: at + bare, capacity };
    return at + dataOffset;
  }

  length(): number {
    return this.numbers.padLast ? this.#buffer.at : this.#buffer.reach;
  }

  putRights(count: number): number {
    if (u32(count) > FDS_CAPACITY) return -1;
    const data = this.put(this.numbers.SOL_SOCKET, this.numbers.SCM_RIGHTS, 4 * count);
    if (data < 0) return -1;
    for (let i = 0; i < count; i++) this.#writeInt(CONTROL + data + 4 * i, this.memory.readInt32LE(FDS + 4 * i));
    return data;
  }

  /** Nothing can be appended afterwards. */
  encodeRights(count: number): number {
    this.begin(-1);
    return this.putRights(count) < 0 ? -1 : this.length();
  }

  putCredentials(pid: number, uid: number, gid: number): number {
    const kind = this.credentials[0]!;
    if (kind.bytes === 0) return -1;
    const data = this.put(this.numbers.SOL_SOCKET, kind.type, kind.bytes);
    if (data < 0) return -1;
    if (kind.pid >= 0) this.#writeInt(CONTROL + data + kind.pid, pid);
    this.#writeInt(CONTROL + data + kind.uid, uid);
    this.#writeInt(CONTROL + data + kind.gid, gid);
    return data;
  }

  readRights(from: number, data: number, count: number): number {
    if (u32(from) > FDS_CAPACITY || u32(data) > CONTROL_BYTES) return 0;
    const most = Math.min(u32(count), FDS_CAPACITY - from, (CONTROL_BYTES - data) >> 2);
    let negative = 0;
    for (let i = 0; i < most; i++) {
      const fd = this.#readInt(CONTROL + data + 4 * i);
      this.#slot(from + i, fd);
      if (fd < 0) negative++;
    }
    return negative;
  }

  /** Of the layouts for a type that of the payload's size, else the last. */
  #credentialsFor(type: number, length: number): CredentialsLayout | undefined {
    const kinds = this.credentials.filter((kind) => kind.bytes !== 0 && kind.type === type);
    return kinds.find(({ bytes }) => bytes === length) ?? kinds.at(-1);
  }

  #readCredentials(kind: CredentialsLayout, { data, length }: Found): void {
    this.#set(REGISTER.CREDENTIALS, 2);
    if (length < kind.bytes) return;
    const pid = kind.pid < 0 ? -1 : this.#readInt(CONTROL + data + kind.pid);
    const uid = this.#readInt(CONTROL + data + kind.uid);
    this.#set(REGISTER.PID, pid);
    this.#set(REGISTER.UID, uid);
    this.#set(REGISTER.GID, this.#readInt(CONTROL + data + kind.gid));
    if (uid === -1) return;
    if (kind.pid < 0 || pid > 0) this.#set(REGISTER.CREDENTIALS, 1);
    else if (pid === 0) this.#set(REGISTER.CREDENTIALS, 3);
  }

  verdict(length: number, flags: number, maxFds: number, exactly: number, allowTruncated: boolean): number {
    const { SOL_SOCKET, SCM_RIGHTS, SCM_PIDFD, SCM_SECURITY, MSG_TRUNC, MSG_CTRUNC, losesCtrunc } = this.numbers;
    let truncated = (flags & MSG_CTRUNC) !== 0;
    const pidfds: number[] = [];
    let count = 0;
    let leftover = 0;
    let invalid = 0;
    this.#set(REGISTER.HAS_PIDFD, 0);
    this.#set(REGISTER.CREDENTIALS, 0);
    this.#set(REGISTER.SECURITY_LENGTH, -1);
    this.open(length, truncated || losesCtrunc);
    for (let found = this.#find(); found !== null; found = this.#find()) {
      truncated ||= found.clamped;
      const { level, type, data, length: bytes } = found;
      if (level !== SOL_SOCKET || type < 0) continue;
      const kind = this.#credentialsFor(type, bytes);
      if (type === SCM_RIGHTS) {
        const slots = Math.floor(bytes / 4);
        invalid += this.readRights(count, data, slots);
        count += slots;
        leftover += bytes % 4;
      } else if (kind !== undefined) {
        this.#readCredentials(kind, found);
      } else if (type === SCM_PIDFD) {
        if (bytes < 4) continue;
        const pidfd = this.#readInt(CONTROL + data);
        // A second one is to be closed.
        if (pidfds.push(pidfd) > 1 && pidfd >= 0) this.#slot(count++, pidfd);
      } else if (type === SCM_SECURITY) {
        this.#set(REGISTER.SECURITY, data);
        this.#set(REGISTER.SECURITY_LENGTH, bytes);
      }
    }
    const fault = this.memory.readInt32LE(MEMORY.REGISTERS + 4 * REGISTER.FAULT);
    const outcome = truncated
      ? 1
      : fault !== 0 || leftover !== 0 || invalid !== 0 || pidfds.length > 1
        ? 2
        : (flags & MSG_TRUNC) !== 0 && !allowTruncated
          ? 3
          : exactly >= 0 && count !== exactly
            ? 4
            : 0;
    const [pidfd] = pidfds;
    if (pidfd !== undefined) {
      this.#set(REGISTER.PIDFD, pidfd);
      const moves = outcome !== 0 && pidfd >= 0;
      this.#set(REGISTER.HAS_PIDFD, moves ? 0 : pidfd < 0 ? -1 : 1);
      if (moves) this.#slot(count++, pidfd);
    }
    this.#set(REGISTER.COUNT, count);
    this.#set(REGISTER.KEEP, outcome === 0 ? Math.min(count, Math.max(maxFds, 0)) : 0);
    this.#set(REGISTER.LEFTOVER, leftover);
    this.#set(REGISTER.INVALID, invalid);
    // Those of `next`.
    this.unspecified = [[0, 4 * (REGISTER.CLAMPED + 1)]];
    return outcome;
  }
}
