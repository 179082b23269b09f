/**
 * The only file that uses the addon and its request block.
 *
 * The integers of `sendmsg`, `recvmsg` and `close` are passed in shared memory: a call writes them, calls a function with at most the
 * payload as an argument, and reads the result. That takes a tenth of the time of passing arguments (2026-11, Node 20: a send, receive
 * and close of a descriptor take 1.13 times as long as in a C program, and 1.18 times with arguments). All other calls take arguments
 * and return a number.
 *
 * The words are stored with `| 0`, which changes nothing: an Int32Array does the same. It tells V8 that they are small integers; it
 * converts other numbers through floating point.
 */

import { isView, setBytes } from "../core/bytes.ts";
import { type BlockCall, type HeaderLayout, loadAddon } from "./addon.ts";
import { fs, max, min, now, onBun, onDeno, release, timers } from "./builtins.ts";
import { EBUSY, ENOTSUP } from "./errno.ts";
import type { Constants, System, Timer, Watched } from "./system.ts";

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
const WATCHER = 13;
const READY = 14;
const WORDS = 16;

/** The largest word. A call uses at most this many bytes of a payload; no kernel accepts more in one call (read(2), NOTES). */
const WORD_MAX = 0x7fffffff;

/** The result of a call that was not made: kStackUnknown in native/environment.h. */
const STACK_UNKNOWN = -0x80000000;

/** Descriptors in one batch. */
const BATCH = 1024;

/** Milliseconds after which `poll(2)` returns to JavaScript: only there can a worker be terminated, or Ctrl-C interrupt the REPL. */
const POLL_MS = 100;

/** Called with the control data that a terminated worker had received (see native/addon.cc). Returns the descriptors in them. */
type OrphanCallback = (control: Uint8Array) => readonly number[];

/** Whether a copy of the library owns a descriptor. */
type Owns = (fd: number) => boolean;

/**
 * The copies of the library in this thread: a bundle beside the package, or two versions of it. Those that have one file as addon know of
 * each other in all threads (`claim` of native/addon.cc); here are those with several files. A frozen global object has no such list.
 */
const OWNERS: Owns[] = (() => {
  const key = Symbol.for("unix-ancillary.owners");
  const shared = globalThis as { readonly [key]?: Owns[] };
  if (shared[key] === undefined) Reflect.defineProperty(shared, key, { value: [] });
  return shared[key] ?? [];
})();

/** This process's system calls. */
export class NativeSystem implements System {
  readonly #loaded = loadAddon();
  /** The path of the addon. */
  readonly file: string = this.#loaded.file;
  readonly #addon = this.#loaded.addon;
  /** The functions that every message calls are in fields: V8 stores an object with many functions as a hash table. */
  readonly #sendmsg = this.#addon.sendmsg;
  readonly #recvmsg = this.#addon.recvmsg;
  readonly #close = this.#addon.close;
  readonly out: Int32Array = new Int32Array(WORDS);
  /** An int option, as bytes. */
  readonly #int = new Int32Array(1);
  readonly #intBytes = new Uint8Array(this.#int.buffer);
  /** Descriptors that the addon closes, or makes CLOEXEC, in one call. */
  readonly #batch = new Int32Array(BATCH);
  readonly constants: Constants = this.#addon.constants;
  readonly layout: HeaderLayout = this.#addon.layout;
  readonly address: Uint8Array = new Uint8Array(Math.max(this.layout.sunPathBytes, this.layout.longPathBytes));
  readonly release: string = release();
  /** One bit for each descriptor, set while this thread owns it. The addon reads the bits when the thread ends. */
  #owned = new Uint32Array(Math.ceil(Math.min(Math.max(this.layout.openMax, 1024), 1 << 20) / 32));
  /** The index is the watcher's number. */
  readonly #watchers: (Watched | null)[] = [];
  #watching = false;

  // Calls for which there is nothing to do here.
  readonly bindControl: System["bindControl"] = this.#addon.bindControl;
  readonly give: System["give"] = this.#addon.give;
  readonly fcntl: System["fcntl"] = this.#addon.fcntl;
  readonly fstat: System["fstat"] = this.#addon.fstat;
  readonly pwrite: System["pwrite"] = this.#addon.pwrite;
  readonly connect: System["connect"] = this.#addon.connect;
  readonly bind: System["bind"] = this.#addon.bindSocket;
  readonly boundInode: System["boundInode"] = this.#addon.boundInode;
  readonly lstat: System["lstat"] = this.#addon.lstat;
  readonly unlink: System["unlink"] = this.#addon.unlink;
  readonly rename: System["rename"] = this.#addon.rename;
  readonly link: System["link"] = this.#addon.link;
  readonly flock: System["flock"] = this.#addon.flock;
  readonly listen: System["listen"] = this.#addon.listen;
  readonly shutdown: System["shutdown"] = this.#addon.shutdown;
  readonly getsockname: System["getsockname"] = this.#addon.getsockname;
  readonly getpeername: System["getpeername"] = this.#addon.getpeername;
  readonly arm: System["arm"] = this.#addon.arm;

  constructor() {
    const addon = this.#addon;
    addon.bind({ words: bufferOf(this.out), batch: bufferOf(this.#batch), address: bufferOf(this.address) });
    addon.bindOwned(bufferOf(this.#owned));
    OWNERS.push((fd) => this.#owns(fd));
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
        this.discard(open, 0, open.length);
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
    out[FD] = fd | 0;
    out[OFFSET] = rest === payload ? offset | 0 : 0;
    out[LENGTH] = length > WORD_MAX ? WORD_MAX : length | 0;
    out[CONTROL] = controlLength | 0;
    out[FLAGS] = flags | 0;
    out[NAME] = 0;
    if (to !== null) {
      setBytes(this.address, to);
      out[NAME] = to.length + 1;
    }
    if (isView(rest)) this.#sendmsg(rest);
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
    out[FD] = fd | 0;
    out[OFFSET] = offset | 0;
    out[LENGTH] = length > WORD_MAX ? WORD_MAX : length | 0;
    out[CONTROL] = controlCapacity | 0;
    out[FLAGS] = flags | 0;
    out[NAME] = wantAddress ? 1 : 0;
    if (isView(payload)) this.#recvmsg(payload);
    else this.#addon.recvmsgv(payload);
    const result = out[RESULT]!;
    if (result !== STACK_UNKNOWN) return result;
    this.#reachStack();
    return this.recvmsg(fd, payload, offset, length, controlCapacity, flags, wantAddress);
  }

  own(fd: number): void {
    const word = fd >>> 5;
    // A negative number is one of the largest words.
    if (word >= this.#owned.length && !this.#growOwned(fd)) return;
    this.#owned[word]! |= 1 << (fd & 31);
  }

  #owns(fd: number): boolean {
    return fd >>> 5 < this.#owned.length && ((this.#owned[fd >>> 5]! >>> (fd & 31)) & 1) !== 0;
  }

  disown(fd: number): void {
    if (fd >>> 5 < this.#owned.length) this.#owned[fd >>> 5]! &= ~(1 << (fd & 31));
  }

  claim(fd: number): number {
    for (let i = 0; i < OWNERS.length; i++) if (OWNERS[i]!(fd)) return EBUSY;
    return this.#made(this.#addon.claim(fd), fd);
  }

  close(fd: number): number {
    this.out[FD] = fd | 0;
    this.#close();
    return this.out[RESULT]!;
  }

  closeAll(fds: ArrayLike<number>, from: number, to: number): number {
    return this.#callBatches(this.#addon.closeBatch, fds, from, to);
  }

  discard(fds: ArrayLike<number>, from: number, to: number): number {
    return this.#callBatches(this.#addon.discardBatch, fds, from, to);
  }

  cloexecAll(fds: ArrayLike<number>, from: number, to: number): number {
    return this.#callBatches(this.#addon.cloexecBatch, fds, from, to, true);
  }

  dup(fd: number): number {
    this.needStack();
    return this.#made(this.#addon.dup(fd));
  }

  memfd(name: string, flags: number): number {
    this.needStack();
    return this.#made(this.#addon.memfd(name, flags));
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
    this.needStack();
    const result = this.#addon.socketpair(type, pair);
    if (result === 0) {
      this.#made(pair[0]!);
      this.#made(pair[1]!);
    }
    return result;
  }

  socket(type: number): number {
    this.needStack();
    return this.#made(this.#addon.socket(type));
  }

  openFolder(path: string): number {
    return this.#made(this.#addon.openFolder(path));
  }

  keepPath(fd: number): number {
    return hasLibuv() ? this.#addon.keepPath(fd) : ENOTSUP;
  }

  accept(fd: number): number {
    this.needStack();
    return this.#made(this.#addon.accept(fd));
  }

  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number {
    // The value of some options is a descriptor.
    this.needStack();
    return this.#addon.getsockopt(fd, level, name, into);
  }

  getsockoptFd(fd: number, level: number, name: number): number {
    return this.#made(this.#addon.getsockoptFd(fd, level, name));
  }

  setsockopt(fd: number, level: number, name: number, value: number | Uint8Array): number {
    if (typeof value !== "number") return this.#addon.setsockopt(fd, level, name, value);
    this.#int[0] = value;
    return this.#addon.setsockopt(fd, level, name, this.#intBytes);
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
      const { out } = this;
      addon.onReady(() => this.#watchers[out[WATCHER]!]?.ready(out[READY]!), thread);
    }
    const watcher = addon.watch(fd);
    if (watcher >= 0) this.#watchers[watcher] = watched;
    return watcher;
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
    if (milliseconds === 0) return timerOf(timers.setImmediate(fired), timers.clearImmediate);
    return timerOf(timers.setTimeout(fired, milliseconds), timers.clearTimeout);
  }

  /** Called before a call that makes a descriptor, too. For messages the addon checks this itself, with one comparison of addresses. */
  needStack(): void {
    if (this.#addon.hasStack() === 0) this.#reachStack();
  }

  /** Calls itself until the addon has found that there is enough stack. @throws RangeError when there is not */
  #reachStack(): void {
    if (this.#addon.stackReached() === 0) this.#reachStack();
  }

  /** Makes a call for `fds[from]` up to, not including, `fds[to]`, in batches. Returns the first error, at once if it `stops`, or after all. */
  #callBatches(call: BlockCall, fds: ArrayLike<number>, from: number, to: number, stops = false): number {
    let first = 0;
    for (let i = from; i < to && !(stops && first < 0); i += BATCH) {
      const result = this.#callBatch(call, fds, i, to);
      if (first === 0) first = result;
    }
    return first;
  }

  /** Makes a call for `fds[from]` up to, not including, `fds[to]`, as far as they fit in the batch. */
  #callBatch(call: BlockCall, fds: ArrayLike<number>, from: number, to: number): number {
    const count = min(to - from, BATCH);
    for (let i = 0; i < count; i++) this.#batch[i] = fds[from + i]!;
    this.out[LENGTH] = count;
    call();
    const result = this.out[RESULT]!;
    if (result !== STACK_UNKNOWN) return result;
    this.#reachStack();
    return this.#callBatch(call, fds, from, to);
  }

  /** Adds ownership bits for a new descriptor if RLIMIT_NOFILE was raised. The addon has already recorded that this thread owns it. */
  #made(result: number, fd: number = result): number {
    if (fd >>> 5 >= this.#owned.length && result >= 0) this.own(fd);
    return result;
  }

  #growOwned(fd: number): boolean {
    if (fd < 0) return false;
    const least = (fd >>> 5) + 1;
    const words = this.#owned.length;
    const larger = new Uint32Array(max(2 * words, least));
    for (let i = 0; i < words; i++) larger[i] = this.#owned[i]!;
    this.#owned = larger;
    this.#addon.bindOwned(bufferOf(larger));
    return true;
  }
}

function timerOf<T extends NodeJS.Timeout | NodeJS.Immediate>(timer: T, clear: (timer: T) => void): Timer {
  return { keepAlive: (on) => void (on ? timer.ref() : timer.unref()), close: () => clear(timer) };
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
  return !onBun && !onDeno;
}

/**
 * The backend of readiness. On Bun, where `uv_poll` aborts the process, and on Deno, where it fires once, it is a thread. Elsewhere
 * UNIX_ANCILLARY_READINESS=thread selects the thread.
 */
export function readinessBackend(): "uv_poll" | "a thread" {
  return hasLibuv() && process.env.UNIX_ANCILLARY_READINESS !== "thread" ? "uv_poll" : "a thread";
}
