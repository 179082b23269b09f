/**
 * The addon wall: the only file that loads the addon and knows its request block.
 *
 * Integers cross in shared memory: a call writes them, calls a function with at most the payload as an argument, and reads
 * the result. That costs a tenth of passing arguments (2026-11, Node 20: one send, receive and close of a descriptor take
 * 1.13 times a C program's time this way, 1.18 with arguments).
 */

import { describeFd, type FdDescription } from "../fd/describe.ts";
import { fs, url } from "./builtins.ts";
import type { Constants, System, Timer, Watched } from "./system.ts";
import { target } from "./target.ts";

/** Words of the request block, as in native/environment.h; the first four are OUT of system.ts. */
const RESULT = 4;
const FD = 5;
const OFFSET = 6;
const LENGTH = 7;
const CONTROL = 8;
const FLAGS = 9;
const A = 10;
const B = 11;
const C = 12;
const ALIVE = 13;
const TELLING = 14;
const WORDS = 16;

/** What a word holds: of longer payloads a call sees the front. No kernel takes more at a time (read(2), NOTES). */
const WORD_MAX = 0x7fffffff;

/** Descriptors in one batch. */
const BATCH = 1024;

/** Milliseconds in which `poll(2)` comes back to JavaScript: only there a worker can be terminated, Ctrl-C end a line of the REPL. */
const POLL_MS = 100;

type Call = () => void;
type CallWith<T> = (argument: T) => void;

/** What the C compiler's headers say about control messages; checked against the ABI table. */
export interface HeaderLayout {
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
  readonly openMax: number;
}

/** What the addon's `open` gives to each of its users. */
interface Addon {
  readonly layout: HeaderLayout;
  readonly constants: Constants;
  bind(buffers: { words: ArrayBuffer; batch: ArrayBuffer; address: ArrayBuffer }): void;
  bindOwned: CallWith<ArrayBuffer>;
  bindControl: CallWith<ArrayBuffer>;
  onOrphan: CallWith<() => void>;
  takeOrphan(into: Uint8Array): ArrayBuffer | undefined;
  sendmsg: CallWith<Uint8Array>;
  sendmsgv: CallWith<readonly Uint8Array[]>;
  recvmsg: CallWith<Uint8Array>;
  recvmsgv: CallWith<readonly Uint8Array[]>;
  close: Call;
  closeBatch: Call;
  cloexecBatch: Call;
  fcntl: Call;
  dup: Call;
  socketpair: Call;
  socket: Call;
  accept: Call;
  connect: Call;
  bindSocket: Call;
  listen: Call;
  shutdown: Call;
  getsockname: Call;
  getpeername: Call;
  getsockopt: CallWith<Uint8Array>;
  setsockopt: Call;
  poll: Call;
  onReady: CallWith<() => void>;
  watch: Call;
  arm: Call;
  anchor: Call;
  unwatch: Call;
}

/** What is done with control data that a terminated worker had received: see native/addon.cc. */
export type OrphanCallback = (control: Uint8Array, wasClosed: (fd: number) => boolean) => void;

/** This process's system calls. */
export class NativeSystem implements System {
  readonly #addon: Addon;
  /** The hot calls, out of the exports: an object of many functions is a hash table. */
  readonly #sendmsg: CallWith<Uint8Array>;
  readonly #recvmsg: CallWith<Uint8Array>;
  readonly #close: Call;
  readonly out: Int32Array = new Int32Array(WORDS);
  readonly batch: Int32Array = new Int32Array(BATCH);
  readonly address: Uint8Array;
  readonly constants: Constants;
  readonly layout: HeaderLayout;
  /** Where the addon was found. */
  readonly file: string;
  /** One bit a descriptor that this thread owns; the addon reads it when the thread ends. */
  #owned: Uint32Array;
  /** By their numbers. */
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
    this.address = new Uint8Array(addon.layout.sunPathBytes);
    addon.bind({ words: bufferOf(this.out), batch: bufferOf(this.batch), address: bufferOf(this.address) });
    const bits = Math.min(Math.max(addon.layout.openMax, 1024), 1 << 20);
    this.#owned = new Uint32Array(Math.ceil(bits / 32));
    addon.bindOwned(bufferOf(this.#owned));
  }

  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void {
    this.out[OFFSET] = offset;
    this.out[LENGTH] = capacity;
    this.#addon.bindControl(memory);
  }

  /** Sets what is done with what terminated workers leave behind, and does it with what is there already. */
  onOrphan(callback: OrphanCallback): void {
    const control = new Uint8Array(65536);
    const take = () => {
      for (;;) {
        const closed = this.#addon.takeOrphan(control);
        const length = this.out[RESULT]!;
        if (length < 0 || closed === undefined) return;
        const bits = new Uint32Array(closed);
        callback(control.subarray(0, length), (fd) => (((bits[fd >> 5] ?? 0) >>> (fd & 31)) & 1) === 1);
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
    out[LENGTH] = Math.min(length, WORD_MAX);
    out[CONTROL] = controlLength;
    out[FLAGS] = flags;
    out[A] = 0;
    if (to !== null) {
      this.address.set(to);
      out[A] = to.length + 1;
    }
    if (ArrayBuffer.isView(rest)) this.#sendmsg(rest);
    else this.#addon.sendmsgv(rest);
    return out[RESULT]!;
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
    out[LENGTH] = Math.min(length, WORD_MAX);
    out[CONTROL] = controlCapacity;
    out[FLAGS] = flags;
    out[A] = wantAddress ? 1 : 0;
    if (ArrayBuffer.isView(payload)) this.#recvmsg(payload);
    else this.#addon.recvmsgv(payload);
    return out[RESULT]!;
  }

  own(fd: number): void {
    if (fd < 0) return;
    if (fd >>> 5 >= this.#owned.length) this.#growOwned(fd);
    this.#owned[fd >>> 5]! |= 1 << (fd & 31);
  }

  disown(fd: number): void {
    if (fd >>> 5 < this.#owned.length) this.#owned[fd >>> 5]! &= ~(1 << (fd & 31));
  }

  close(fd: number): number {
    this.out[FD] = fd;
    this.#close();
    return this.out[RESULT]!;
  }

  closeBatch(count: number): number {
    this.out[LENGTH] = count;
    this.#addon.closeBatch();
    return this.out[RESULT]!;
  }

  cloexecBatch(count: number): number {
    this.out[LENGTH] = count;
    this.#addon.cloexecBatch();
    return this.out[RESULT]!;
  }

  fcntl(fd: number, command: number, argument: number): number {
    return this.#call(this.#addon.fcntl, fd, command, argument);
  }

  dup(fd: number): number {
    return this.#made(this.#call(this.#addon.dup, fd));
  }

  describe(fd: number): FdDescription | number {
    return describeFd(this, fd);
  }

  socketpair(type: number): number {
    const result = this.#call(this.#addon.socketpair, 0, type);
    if (result === 0) {
      this.#made(this.out[0]!);
      this.#made(this.out[1]!);
    }
    return result;
  }

  socket(type: number): number {
    return this.#made(this.#call(this.#addon.socket, 0, type));
  }

  connect(fd: number, to: Uint8Array): number {
    return this.#callNamed(this.#addon.connect, fd, to);
  }

  bind(fd: number, path: Uint8Array): number {
    return this.#callNamed(this.#addon.bindSocket, fd, path);
  }

  socketAt(path: string): string | null {
    try {
      const found = fs.lstatSync(path, { bigint: true });
      return found.isSocket() ? `${found.dev}:${found.ino}` : null;
    } catch {
      // None, or none that can be reached any more.
      return null;
    }
  }

  unlink(path: string): number {
    return fileCall(() => fs.unlinkSync(path));
  }

  rename(from: string, to: string): number {
    return fileCall(() => fs.renameSync(from, to));
  }

  link(from: string, to: string): number {
    return fileCall(() => fs.linkSync(from, to));
  }

  chmod(path: string, mode: number): number {
    return fileCall(() => fs.chmodSync(path, mode));
  }

  listen(fd: number, backlog: number): number {
    return this.#call(this.#addon.listen, fd, backlog);
  }

  accept(fd: number): number {
    return this.#made(this.#call(this.#addon.accept, fd));
  }

  shutdown(fd: number, how: number): number {
    return this.#call(this.#addon.shutdown, fd, how);
  }

  getsockname(fd: number): number {
    return this.#call(this.#addon.getsockname, fd);
  }

  getpeername(fd: number): number {
    return this.#call(this.#addon.getpeername, fd);
  }

  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number {
    this.out[FD] = fd;
    this.out[A] = level;
    this.out[B] = name;
    this.#addon.getsockopt(into);
    return this.out[RESULT]!;
  }

  setsockopt(fd: number, level: number, name: number, value: number): number {
    this.out[C] = value;
    return this.#call(this.#addon.setsockopt, fd, level, name);
  }

  poll(fd: number, events: number, timeout: number): number {
    for (let left = timeout < 0 ? Infinity : timeout; ; left -= POLL_MS) {
      const ready = this.#call(this.#addon.poll, fd, events, Math.min(left, POLL_MS));
      if (ready !== 0 || left <= POLL_MS) return ready;
    }
  }

  watch(fd: number, watched: Watched): number {
    const addon = this.#addon;
    if (!this.#watching) {
      this.#watching = true;
      this.out[A] = readinessDoor() === "a thread" ? 1 : 0;
      addon.onReady(() => this.#watchers[this.out[FD]!]?.ready(this.out[A]!));
    }
    const watcher = this.#call(addon.watch, fd);
    if (watcher >= 0) this.#watchers[watcher] = watched;
    return watcher;
  }

  arm(watcher: number, events: number): void {
    this.#call(this.#addon.arm, watcher, events);
  }

  keepAlive(on: boolean): void {
    const alive = this.out[ALIVE]! + (on ? 1 : -1);
    this.out[ALIVE] = alive;
    if (alive === (on ? 1 : 0) && this.out[TELLING] === 0) this.#addon.anchor();
  }

  unwatch(watcher: number): void {
    this.#watchers[watcher] = null;
    this.#call(this.#addon.unwatch, watcher);
  }

  now(): number {
    return performance.now();
  }

  timer(milliseconds: number, fired: () => void): Timer {
    if (milliseconds === 0) {
      const immediate = setImmediate(fired);
      return {
        keepAlive: (on) => void (on ? immediate.ref() : immediate.unref()),
        close: () => clearImmediate(immediate),
      };
    }
    const timeout = setTimeout(fired, milliseconds);
    return { keepAlive: (on) => void (on ? timeout.ref() : timeout.unref()), close: () => clearTimeout(timeout) };
  }

  #call(call: Call, fd: number, a = 0, b = 0): number {
    const { out } = this;
    out[FD] = fd;
    out[A] = a;
    out[B] = b;
    call();
    return out[RESULT]!;
  }

  #callNamed(call: Call, fd: number, name: Uint8Array): number {
    this.address.set(name);
    this.out[LENGTH] = name.length;
    return this.#call(call, fd);
  }

  /** The addon has recorded it, unless the limit was raised after the start. */
  #made(fd: number): number {
    if (fd >>> 5 >= this.#owned.length && fd >= 0) this.own(fd);
    return fd;
  }

  #growOwned(fd: number): void {
    const larger = new Uint32Array(Math.max(2 * this.#owned.length, (fd >>> 5) + 1));
    larger.set(this.#owned);
    this.#owned = larger;
    this.#addon.bindOwned(bufferOf(larger));
  }
}

/** A call of node:fs, answered as a system call is. */
function fileCall(call: () => void): number {
  try {
    call();
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

/** A payload without its first bytes. */
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

/**
 * Which door readiness uses: `uv_poll` aborts the process on Bun and fires once on Deno, so there it is a thread.
 * UNIX_ANCILLARY_READINESS=thread asks for it elsewhere.
 */
export function readinessDoor(): "uv_poll" | "a thread" {
  const thread = "Bun" in globalThis || "Deno" in globalThis || process.env.UNIX_ANCILLARY_READINESS === "thread";
  return thread ? "a thread" : "uv_poll";
}

/** Loads the addon; what it throws is a help page. */
function load(): { addon: Addon; file: string } {
  // Whatever the bundler makes of this file lies in dist/.
  const prebuilds = url.fileURLToPath(new URL("../prebuilds", import.meta.url));
  const candidates = [process.env.UNIX_ANCILLARY_ADDON, `${prebuilds}/${target()}/unix-ancillary.node`];
  const failures: string[] = [];
  for (const path of candidates) {
    if (path === undefined || path === "") continue;
    try {
      const module = { exports: {} };
      // What `require` does behind 1 ms of looking for packages.
      process.dlopen(module, path);
      return { addon: (module.exports as { open(): Addon }).open(), file: path };
    } catch (error) {
      failures.push(`  ${path}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  const message = `unix-ancillary found no addon for ${target()} (Node ${process.versions.node}). Tried:
${failures.join("\n")}
What helps:
  - a package that has one for this machine: those in it are the folders of ${prebuilds}
  - building it: in a clone of the repository, npm ci && npm run build, then set UNIX_ANCILLARY_ADDON to the file
  - unix-ancillary/core, the codec, needs no addon`;
  throw Object.assign(new Error(message), { code: "ERR_ADDON_NOT_FOUND" });
}
