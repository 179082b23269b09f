/**
 * The only file that loads the addon and uses its request block.
 *
 * The integers of `sendmsg`, `recvmsg` and `close` are passed in shared memory: a call writes them, calls a function with at most the
 * payload as an argument, and reads the result. That takes a tenth of the time of passing arguments (2026-11, Node 20: a send, receive
 * and close of a descriptor take 1.13 times as long as in a C program, and 1.18 times with arguments). All other calls take arguments
 * and return a number.
 */

import { isUint8Array, setBytes } from "../core/bytes.ts";
import { fs, max, min, now, timers, url } from "./builtins.ts";
import { ENOTSUP } from "./errno.ts";
import type { Constants, System, Timer, Watched } from "./system.ts";
import { target } from "./target.ts";

/** Words of the request block, as in native/environment.h; the first four are OUT of system.ts. */
const RESULT = 4;
const FD = 5;
const OFFSET = 6;
const LENGTH = 7;
const CONTROL = 8;
const FLAGS = 9;
const NAME = 10;
const ALIVE = 11;
const NOTIFYING = 12;
const WORDS = 16;

/** The largest word. A call uses at most this many bytes of a payload; no kernel accepts more in one call (read(2), NOTES). */
const WORD_MAX = 0x7fffffff;

/** The result of a call that was not made: kStackUnknown in native/environment.h. */
const STACK_UNKNOWN = -0x80000000;

/** Descriptors in one batch. */
const BATCH = 1024;

/** Milliseconds after which `poll(2)` returns to JavaScript: only there can a worker be terminated, or Ctrl-C interrupt the REPL. */
const POLL_MS = 100;

/** A call whose integers are in the request block. */
type BlockCall = () => void;
type BlockCallWith<T> = (argument: T) => void;

/** The layout of control messages in the C headers, which is checked against the ABI table. */
interface HeaderLayout {
  readonly pointerBytes: number;
  readonly littleEndian: number;
  readonly headerBytes: number;
  readonly lengthOffset: number;
  readonly lengthBytes: number;
  readonly levelOffset: number;
  readonly typeOffset: number;
  readonly dataOffset: number;
  readonly space0: number;
  readonly space1: number;
  readonly space4: number;
  readonly sunPathBytes: number;
  readonly longPathBytes: number;
  readonly openMax: number;
}

/** What the addon's `open` returns. */
interface Addon {
  readonly layout: HeaderLayout;
  readonly constants: Constants;
  bind(buffers: { words: ArrayBuffer; batch: ArrayBuffer; address: ArrayBuffer }): void;
  bindOwned(bits: ArrayBuffer): void;
  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void;
  onOrphan(callback: () => void): void;
  takeOrphan(into: Uint8Array): ArrayBuffer | undefined;
  settleOrphan(): void;
  give(fd: number): number;
  claim(fd: number): number;
  sendmsg: BlockCallWith<Uint8Array>;
  sendmsgv: BlockCallWith<readonly Uint8Array[]>;
  recvmsg: BlockCallWith<Uint8Array>;
  recvmsgv: BlockCallWith<readonly Uint8Array[]>;
  hasStack(): number;
  stackReached(): number;
  close: BlockCall;
  closeBatch: BlockCall;
  cloexecBatch: BlockCall;
  fcntl(fd: number, command: number, argument: number): number;
  dup(fd: number): number;
  fstat(fd: number, into: BigUint64Array): number;
  memfd(): number;
  socketpair(type: number, pair: Int32Array): number;
  socket(type: number): number;
  accept(fd: number): number;
  connect(fd: number, to: Uint8Array): number;
  bindSocket(fd: number, path: Uint8Array, mode: number): number;
  boundInode(fd: number, into: Uint32Array): number;
  lstat(path: string, into: BigUint64Array): number;
  unlink(path: string): number;
  rename(from: string, to: string): number;
  link(from: string, to: string): number;
  openFolder(path: string): number;
  flock(fd: number): number;
  keepPath(fd: number): number;
  listen(fd: number, backlog: number): number;
  shutdown(fd: number, how: number): number;
  getsockname(fd: number): number;
  getpeername(fd: number): number;
  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number;
  getsockoptFd(fd: number, level: number, name: number): number;
  setsockopt(fd: number, level: number, name: number, value: number): number;
  poll(fd: number, events: number, timeout: number): number;
  onReady(callback: (watcher: number, events: number) => void, thread: number): void;
  watch(fd: number): number;
  arm(watcher: number, events: number): void;
  anchor(): void;
  unwatch(watcher: number): void;
}

/** Called with the control data that a terminated worker had received (see native/addon.cc). Returns the descriptors in them. */
type OrphanCallback = (control: Uint8Array) => readonly number[];

/** This process's system calls. */
export class NativeSystem implements System {
  readonly #addon: Addon;
  /** The functions that every message calls are in fields: V8 stores an object with many functions as a hash table. */
  readonly #sendmsg: BlockCallWith<Uint8Array>;
  readonly #recvmsg: BlockCallWith<Uint8Array>;
  readonly #close: BlockCall;
  readonly out: Int32Array = new Int32Array(WORDS);
  /** Descriptors that the addon closes, or makes CLOEXEC, in one call. */
  readonly #batch = new Int32Array(BATCH);
  readonly address: Uint8Array;
  readonly constants: Constants;
  readonly layout: HeaderLayout;
  /** The path of the addon. */
  readonly file: string;
  /** One bit for each descriptor, set while this thread owns it. The addon reads the bits when the thread ends. */
  #owned: Uint32Array;
  /** The index is the watcher's number. */
  readonly #watchers: (Watched | null)[] = [];
  #watching = false;

  constructor() {
    const { addon, file } = load();
    this.#addon = addon;
    this.file = file;
    this.#sendmsg = addon.sendmsg;
    this.#recvmsg = addon.recvmsg;
    this.#close = addon.close;
    this.constants = addon.constants;
    this.layout = addon.layout;
    this.address = new Uint8Array(Math.max(addon.layout.sunPathBytes, addon.layout.longPathBytes));
    addon.bind({ words: bufferOf(this.out), batch: bufferOf(this.#batch), address: bufferOf(this.address) });
    const bits = Math.min(Math.max(addon.layout.openMax, 1024), 1 << 20);
    this.#owned = new Uint32Array(Math.ceil(bits / 32));
    addon.bindOwned(bufferOf(this.#owned));
  }

  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void {
    this.#addon.bindControl(memory, offset, capacity);
  }

  /**
   * Sets the callback for control data of terminated workers, and calls it for those that exist already. Descriptors that the worker's
   * clean-up has not closed are closed. This thread owns them first, because it may be terminated too.
   */
  onOrphan(callback: OrphanCallback): void {
    const control = new Uint8Array(65536);
    const take = () => {
      for (;;) {
        const closed = this.#addon.takeOrphan(control);
        const length = this.out[RESULT]!;
        if (length < 0 || closed === undefined) return;
        const bits = new Uint32Array(closed);
        const open = callback(control.subarray(0, length)).filter(
          (fd) => fd >= 0 && (((bits[fd >> 5] ?? 0) >>> (fd & 31)) & 1) === 0,
        );
        for (const fd of open) this.own(fd);
        this.#addon.settleOrphan();
        this.closeAll(open, 0, open.length);
      }
    };
    this.#addon.onOrphan(take);
    take();
  }

  sendmsg(
    fd: number,
    payload: Uint8Array | readonly Uint8Array[],
    offset: number,
    length: number,
    controlLength: number,
    flags: number,
    to: Uint8Array | null,
  ): number {
    const { out } = this;
    const rest = offset > WORD_MAX ? skipped(payload, offset) : payload;
    out[FD] = fd;
    out[OFFSET] = rest === payload ? offset : 0;
    out[LENGTH] = min(length, WORD_MAX);
    out[CONTROL] = controlLength;
    out[FLAGS] = flags;
    out[NAME] = 0;
    if (to !== null) {
      setBytes(this.address, to);
      out[NAME] = to.length + 1;
    }
    if (isUint8Array(rest)) this.#sendmsg(rest);
    else this.#addon.sendmsgv(rest);
    const result = out[RESULT]!;
    if (result !== STACK_UNKNOWN) return result;
    this.#reachStack();
    return this.sendmsg(fd, payload, offset, length, controlLength, flags, to);
  }

  recvmsg(
    fd: number,
    payload: Uint8Array | readonly Uint8Array[],
    offset: number,
    length: number,
    controlCapacity: number,
    flags: number,
    wantAddress: boolean,
  ): number {
    const { out } = this;
    out[FD] = fd;
    out[OFFSET] = offset;
    out[LENGTH] = min(length, WORD_MAX);
    out[CONTROL] = controlCapacity;
    out[FLAGS] = flags;
    out[NAME] = wantAddress ? 1 : 0;
    if (isUint8Array(payload)) this.#recvmsg(payload);
    else this.#addon.recvmsgv(payload);
    const result = out[RESULT]!;
    if (result !== STACK_UNKNOWN) return result;
    this.#reachStack();
    return this.recvmsg(fd, payload, offset, length, controlCapacity, flags, wantAddress);
  }

  own(fd: number): void {
    if (fd < 0) return;
    if (fd >>> 5 >= this.#owned.length) this.#growOwned(fd);
    this.#owned[fd >>> 5]! |= 1 << (fd & 31);
  }

  disown(fd: number): void {
    if (fd >>> 5 < this.#owned.length) this.#owned[fd >>> 5]! &= ~(1 << (fd & 31));
  }

  claim(fd: number): number {
    return this.#made(this.#addon.claim(fd), fd);
  }

  give(fd: number): number {
    return this.#addon.give(fd);
  }

  close(fd: number): number {
    this.out[FD] = fd;
    this.#close();
    return this.out[RESULT]!;
  }

  closeAll(fds: ArrayLike<number>, from: number, to: number): number {
    let first = 0;
    for (let i = from; i < to; i += BATCH) {
      const result = this.#callBatch(this.#addon.closeBatch, fds, i, to);
      if (first === 0) first = result;
    }
    return first;
  }

  cloexecAll(fds: ArrayLike<number>, from: number, to: number): number {
    for (let i = from; i < to; i += BATCH) {
      const result = this.#callBatch(this.#addon.cloexecBatch, fds, i, to);
      if (result < 0) return result;
    }
    return 0;
  }

  fcntl(fd: number, command: number, argument: number): number {
    return this.#addon.fcntl(fd, command, argument);
  }

  dup(fd: number): number {
    this.#needStack();
    return this.#made(this.#addon.dup(fd));
  }

  fstat(fd: number, into: BigUint64Array): number {
    return this.#addon.fstat(fd, into);
  }

  memfd(): number {
    return this.#made(this.#addon.memfd());
  }

  fdLink(fd: number): string | null {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // There is no such descriptor, or no /proc (other systems).
      return null;
    }
  }

  socketpair(type: number, pair: Int32Array): number {
    this.#needStack();
    const result = this.#addon.socketpair(type, pair);
    if (result === 0) {
      this.#made(pair[0]!);
      this.#made(pair[1]!);
    }
    return result;
  }

  socket(type: number): number {
    this.#needStack();
    return this.#made(this.#addon.socket(type));
  }

  connect(fd: number, to: Uint8Array): number {
    return this.#addon.connect(fd, to);
  }

  bind(fd: number, path: Uint8Array, mode: number): number {
    return this.#addon.bindSocket(fd, path, mode);
  }

  boundInode(fd: number, into: Uint32Array): number {
    return this.#addon.boundInode(fd, into);
  }

  lstat(path: string, into: BigUint64Array): number {
    return this.#addon.lstat(path, into);
  }

  unlink(path: string): number {
    return this.#addon.unlink(path);
  }

  rename(from: string, to: string): number {
    return this.#addon.rename(from, to);
  }

  link(from: string, to: string): number {
    return this.#addon.link(from, to);
  }

  openFolder(path: string): number {
    return this.#made(this.#addon.openFolder(path));
  }

  flock(fd: number): number {
    return this.#addon.flock(fd);
  }

  keepPath(fd: number): number {
    return hasLibuv() ? this.#addon.keepPath(fd) : ENOTSUP;
  }

  listen(fd: number, backlog: number): number {
    return this.#addon.listen(fd, backlog);
  }

  accept(fd: number): number {
    this.#needStack();
    return this.#made(this.#addon.accept(fd));
  }

  shutdown(fd: number, how: number): number {
    return this.#addon.shutdown(fd, how);
  }

  getsockname(fd: number): number {
    return this.#addon.getsockname(fd);
  }

  getpeername(fd: number): number {
    return this.#addon.getpeername(fd);
  }

  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number {
    // The value of some options is a descriptor.
    this.#needStack();
    return this.#addon.getsockopt(fd, level, name, into);
  }

  getsockoptFd(fd: number, level: number, name: number): number {
    return this.#made(this.#addon.getsockoptFd(fd, level, name));
  }

  setsockopt(fd: number, level: number, name: number, value: number): number {
    return this.#addon.setsockopt(fd, level, name, value);
  }

  poll(fd: number, events: number, timeout: number): number {
    for (let left = timeout < 0 ? Infinity : timeout; ; left -= POLL_MS) {
      const ready = this.#addon.poll(fd, events, min(left, POLL_MS));
      if (ready !== 0 || left <= POLL_MS) return ready;
    }
  }

  watch(fd: number, watched: Watched): number {
    const addon = this.#addon;
    if (!this.#watching) {
      this.#watching = true;
      const thread = readinessBackend() === "a thread" ? 1 : 0;
      addon.onReady((watcher, ready) => this.#watchers[watcher]?.ready(ready), thread);
    }
    const watcher = addon.watch(fd);
    if (watcher >= 0) this.#watchers[watcher] = watched;
    return watcher;
  }

  arm(watcher: number, events: number): void {
    this.#addon.arm(watcher, events);
  }

  keepAlive(on: boolean): void {
    const alive = this.out[ALIVE]! + (on ? 1 : -1);
    this.out[ALIVE] = alive;
    if (alive === (on ? 1 : 0) && this.out[NOTIFYING] === 0) this.#addon.anchor();
  }

  unwatch(watcher: number): void {
    this.#watchers[watcher] = null;
    this.#addon.unwatch(watcher);
  }

  now(): number {
    return now();
  }

  timer(milliseconds: number, fired: () => void): Timer {
    if (milliseconds === 0) {
      const immediate = timers.setImmediate(fired);
      return {
        keepAlive: (on) => void (on ? immediate.ref() : immediate.unref()),
        close: () => timers.clearImmediate(immediate),
      };
    }
    const timeout = timers.setTimeout(fired, milliseconds);
    return {
      keepAlive: (on) => void (on ? timeout.ref() : timeout.unref()),
      close: () => timers.clearTimeout(timeout),
    };
  }

  /**
   * Throws before a call that makes a descriptor, if too little stack is left to make the owner. For messages the addon checks this
   * itself, with one comparison of addresses.
   */
  #needStack(): void {
    if (this.#addon.hasStack() === 0) this.#reachStack();
  }

  /** Calls itself until the addon has found that there is enough stack. @throws RangeError when there is not */
  #reachStack(): void {
    if (this.#addon.stackReached() === 0) this.#reachStack();
  }

  /** Makes a call for `fds[from]` up to, not including, `fds[to]`, as far as they fit in the batch. */
  #callBatch(call: BlockCall, fds: ArrayLike<number>, from: number, to: number): number {
    const count = min(to - from, BATCH);
    for (let i = 0; i < count; i++) this.#batch[i] = fds[from + i]!;
    this.out[LENGTH] = count;
    call();
    return this.out[RESULT]!;
  }

  /** Adds ownership bits for a new descriptor if RLIMIT_NOFILE was raised. The addon has already recorded that this thread owns it. */
  #made(result: number, fd: number = result): number {
    if (fd >>> 5 >= this.#owned.length && result >= 0) this.own(fd);
    return result;
  }

  #growOwned(fd: number): void {
    const least = (fd >>> 5) + 1;
    const words = this.#owned.length;
    const larger = new Uint32Array(max(2 * words, least));
    for (let i = 0; i < words; i++) larger[i] = this.#owned[i]!;
    this.#owned = larger;
    this.#addon.bindOwned(bufferOf(larger));
  }
}

/** A payload without its first `offset` bytes. */
function skipped(payload: Uint8Array | readonly Uint8Array[], offset: number): Uint8Array | Uint8Array[] {
  if (ArrayBuffer.isView(payload)) return payload.subarray(offset);
  let skip = offset;
  return payload.map((piece) => {
    const rest = piece.subarray(skip);
    skip -= piece.length - rest.length;
    return rest;
  });
}

function bufferOf(view: { readonly buffer: ArrayBufferLike }): ArrayBuffer {
  return view.buffer as ArrayBuffer;
}

/** Whether the handles of Node's modules are libuv's. Bun and Deno have their own, and little of libuv works there. */
function hasLibuv(): boolean {
  return !("Bun" in globalThis || "Deno" in globalThis);
}

/**
 * The backend of readiness. On Bun, where `uv_poll` aborts the process, and on Deno, where it fires once, it is a thread. Elsewhere
 * UNIX_ANCILLARY_READINESS=thread selects the thread.
 */
export function readinessBackend(): "uv_poll" | "a thread" {
  return hasLibuv() && process.env.UNIX_ANCILLARY_READINESS !== "thread" ? "uv_poll" : "a thread";
}

/** Loads the addon. If there is none, the error lists the files that were tried, and what to do. */
function load(): { addon: Addon; file: string } {
  // The bundler puts this file into dist/.
  const prebuilds = url.fileURLToPath(new URL("../prebuilds", import.meta.url));
  const candidates = [process.env.UNIX_ANCILLARY_ADDON, `${prebuilds}/${target()}/unix-ancillary.node`];
  const failures: string[] = [];
  for (const path of candidates) {
    if (path === undefined || path === "") continue;
    try {
      const module = { exports: {} };
      // Like `require`, which takes 1 ms longer because it looks for packages.
      process.dlopen(module, path);
      return { addon: (module.exports as { open(): Addon }).open(), file: path };
    } catch (error) {
      failures.push(`  ${path}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  const message = `unix-ancillary found no addon for ${target()} (Node ${process.versions.node}). Tried:
${failures.join("\n")}
What helps:
  - a package with an addon for this machine; the folders of ${prebuilds} are those that this package has
  - an addon built here: in a clone of the repository, run npm ci && npm run build, then set UNIX_ANCILLARY_ADDON to the file
  - unix-ancillary/core, the codec, which needs no addon`;
  throw Object.assign(new Error(message), { code: "ERR_ADDON_NOT_FOUND" });
}
