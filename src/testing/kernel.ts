/**
 * A kernel in memory: processes with descriptor tables, Unix sockets of the three types, and each system's own rules for
 * control messages. Deterministic: what happens follows from the seed and from the faults that are asked for.
 */

import { type Abi, type AbiName, abiOf } from "../core/abis/table.ts";
import { type Checks, options as checkOptions, integer } from "../core/errors.ts";
import { adopt, type OwnedFd } from "../fd/owned-fd.ts";
import { Platform } from "../system/platform.ts";
import type { Timer, Watched } from "../system/system.ts";
import { CONSTANTS, POLLERR } from "./constants.ts";
import {
  type Descriptor,
  discard,
  OpenFile,
  type Segment,
  type Sender,
  type Socket,
  unreachable,
  unreference,
} from "./files.ts";
import { generator } from "./random.ts";
import { readiness } from "./readiness.ts";
import { type ErrnoName, errnoOf } from "./rules.ts";
import { virtualSystem } from "./virtual-system.ts";

/** A system call that is about to be made. */
export interface Call {
  /** How many were made before it, by all processes. */
  readonly index: number;
  readonly process: VirtualProcess;
  /** `"sendmsg"`, `"recvmsg"`, `"close"` ... */
  readonly name: string;
  /** Its descriptor; -1: it has none. */
  readonly fd: number;
}

/** What goes wrong at a call. */
export interface Fault {
  /**
   * It fails so. A `close` closes all the same, as kernels do; any other call that EINTR meets, a signal, is made again, as
   * the layer below the library does, and meets the fault of the new call. Of a call on several descriptors: from the `at`-th
   * on, 0 by default.
   */
  readonly errno?: ErrnoName;
  readonly at?: number;
  /** A send or receive on a stream moves at most so many bytes, at least 1. */
  readonly short?: number;
  /** There are so many free slots in the descriptor table. */
  readonly room?: number;
  /** A security module lets so many descriptors through (Linux). */
  readonly allowed?: number;
  /** This process dies first. */
  readonly dies?: VirtualProcess;
}

/** How a kernel is set up. */
export interface KernelOptions {
  /** In which order sockets become ready; 1 by default. */
  seed?: number | undefined;
  /** Bytes that a socket keeps for its reader; 8192 by default. */
  bufferBytes?: number | undefined;
  /** Datagrams that a socket keeps; 10 by default. */
  bufferMessages?: number | undefined;
  /**
   * Files that the system can have open, of which OpenBSD lets a tenth and NetBSD a half be in flight; 10000 by default. On
   * Linux it is the size of the sender's descriptor table, unless its user is root.
   */
  files?: number | undefined;
}

/** How a process is set up. */
export interface ProcessOptions {
  /** Size of the descriptor table (RLIMIT_NOFILE); 256 by default. */
  descriptors?: number | undefined;
  /** 1000 by default. */
  uid?: number | undefined;
  gid?: number | undefined;
}

const KERNEL: Checks = {
  seed: (name, value) => void integer(name, value, 0, 0xffffffff),
  bufferBytes: (name, value) => void integer(name, value, 1, 0x7fffffff),
  bufferMessages: (name, value) => void integer(name, value, 1, 0x7fffffff),
  files: (name, value) => void integer(name, value, 1, 0x7fffffff),
};
const PROCESS: Checks = {
  descriptors: (name, value) => void integer(name, value, 4, 65536),
  uid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  gid: (name, value) => void integer(name, value, 0, 0xfffffffe),
};

/** Turns of the microtask queue after which nothing more is expected from the program. */
const QUIET_TURNS = 64;
/** Notifications in a row that lead to nothing: the library would spin. */
const SPIN_LIMIT = 1000;

interface VirtualWatcher {
  readonly process: VirtualProcess;
  readonly fd: number;
  readonly watched: Watched;
  events: number;
}

/** A process of a {@link VirtualKernel}. */
export class VirtualProcess {
  readonly kernel: VirtualKernel;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Makes sockets that live here: `UnixStream.pair({ platform })`. */
  readonly platform: Platform;
  /** @internal The descriptor table, by number. */
  readonly table: (Descriptor | undefined)[] = [];
  /** @internal */
  readonly limit: number;
  /** @internal Which descriptors the library has recorded as its own. */
  readonly owned: Set<number> = new Set();
  /** @internal Descriptors that a child would inherit. */
  inheritable = 0;
  #alive = true;

  /** @internal */
  constructor(kernel: VirtualKernel, pid: number, options: ProcessOptions | undefined) {
    checkOptions("options", options, PROCESS);
    this.kernel = kernel;
    this.pid = pid;
    this.limit = options?.descriptors ?? 256;
    this.uid = options?.uid ?? 1000;
    this.gid = options?.gid ?? 1000;
    this.platform = new Platform(virtualSystem(this), kernel.abi);
  }

  /** Whether it was killed. */
  get alive(): boolean {
    return this.#alive;
  }

  /** Opens a file; what descriptors of it refer to is known by this name. */
  open(name: string): OwnedFd {
    const fd = this.install(new OpenFile("file", name), true);
    if (fd < 0) throw new Error(`the descriptor table of process ${this.pid} is full: ${this.limit}`);
    this.owned.add(fd);
    return adopt(this.platform, fd);
  }

  /** The descriptors that are open, and what they refer to. */
  get descriptors(): ReadonlyMap<number, string> {
    const open = new Map<number, string>();
    for (const [fd, descriptor] of this.table.entries())
      if (descriptor !== undefined) open.set(fd, descriptor.file.name);
    return open;
  }

  /** The name of the file behind a descriptor of this process; null: there is none. */
  nameOf(fd: number): string | null {
    return this.table[fd]?.file.name ?? null;
  }

  /** Kills it: everything it had open is closed, at once. */
  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const [fd, descriptor] of this.table.entries()) {
      if (descriptor === undefined) continue;
      this.table[fd] = undefined;
      unreference(descriptor.file);
    }
    this.owned.clear();
    this.inheritable = 0;
    this.kernel.collect();
    this.kernel.changed();
  }

  /** @internal */
  revive(): void {
    this.#alive = true;
  }

  /** @internal */
  get sender(): Sender {
    return { pid: this.pid, uid: this.uid, gid: this.gid };
  }

  /** @internal Free slots of the descriptor table. */
  get free(): number {
    let used = FIRST_FD;
    for (const descriptor of this.table) if (descriptor !== undefined) used++;
    return this.limit - used;
  }

  /** @internal The lowest free number; negative: the table is full. */
  install(file: OpenFile, cloexec: boolean): number {
    for (let fd = FIRST_FD; fd < this.limit; fd++) {
      if (this.table[fd] !== undefined) continue;
      file.references++;
      this.table[fd] = { file, cloexec };
      if (!cloexec) {
        this.inheritable++;
        if (this.kernel.abi.MSG_CMSG_CLOEXEC !== null)
          this.kernel.violate(this, `received descriptor ${fd} without MSG_CMSG_CLOEXEC: a child could inherit it`);
      }
      return fd;
    }
    return errnoOf("EMFILE");
  }

  /** @internal */
  remove(fd: number): void {
    const descriptor = this.table[fd]!;
    this.table[fd] = undefined;
    if (!descriptor.cloexec) this.inheritable--;
    unreference(descriptor.file);
    this.kernel.collect();
  }
}

/** 0, 1 and 2 are somebody's. */
const FIRST_FD = 3;

/**
 * A Unix system in memory, with the rules of the row of the ABI table that it is made with.
 *
 * ```js
 * const kernel = new VirtualKernel("darwin-arm64", { seed: 7 });
 * const [parent, child] = [kernel.process(), kernel.process()];
 * const listener = UnixListener.bind("/socket", { platform: parent.platform });
 * const stream = await UnixStream.connect("/socket", { platform: child.platform });
 * kernel.fault = (call) => (call.name === "recvmsg" && call.index === 9 ? { errno: "ENOMEM" } : null);
 * ...
 * kernel.check(); // throws when a descriptor leaked, was closed twice, used after its close, or could have been inherited
 * ```
 *
 * Differences from real kernels: time passes only when nothing else is left to do; a synchronous call that has to wait for
 * ever fails with EDEADLK, as nobody else can run meanwhile (see {@link VirtualKernel.whileWaiting}).
 */
export class VirtualKernel {
  readonly abi: Abi;
  /** Asked before each system call; null: nothing goes wrong. */
  fault: ((call: Call) => Fault | null) | null = null;
  /** Called while a synchronous call waits: another process can do something then. False: nothing is left to do. */
  whileWaiting: (() => boolean) | null = null;
  /** What was done that must not be. {@link check} throws for them. */
  readonly violations: string[] = [];
  /** @internal */
  readonly bufferBytes: number;
  /** @internal */
  readonly bufferMessages: number;
  /** @internal */
  readonly files: number;
  /** @internal What was sent with descriptors and neither received nor lost. */
  readonly inFlight: Set<Segment> = new Set();
  /** @internal Sockets by the name they are bound to, and a number that stands for the inode. */
  readonly names: Map<string, { socket: Socket | null; inode: number }> = new Map();
  readonly #processes: VirtualProcess[] = [];
  /** By their numbers. */
  readonly #watchers = new Map<number, VirtualWatcher>();
  #watcherNumbers = 0;
  readonly #timers = new Set<{ at: number; fired: () => void }>();
  readonly #idle: (() => void)[] = [];
  #random: (below: number) => number;
  #calls = 0;
  #now = 0;
  #scheduled = false;
  #quiet = 0;
  #spins = 0;
  #inodes = 0;

  /** @param abi a row of the ABI table, or its name: the system, and its byte order and layout */
  constructor(abi: Abi | AbiName, options?: KernelOptions) {
    checkOptions("options", options, KERNEL);
    this.abi = abiOf(abi);
    this.#random = generator(options?.seed ?? 1);
    this.bufferBytes = options?.bufferBytes ?? 8192;
    this.bufferMessages = options?.bufferMessages ?? 10;
    this.files = options?.files ?? 10000;
  }

  /** Starts a process. */
  process(options?: ProcessOptions): VirtualProcess {
    const process = new VirtualProcess(this, 1000 + this.#processes.length, options);
    this.#processes.push(process);
    return process;
  }

  /** How many system calls were made. */
  get calls(): number {
    return this.#calls;
  }

  /** Milliseconds since it was made. Time passes when nothing else is left to do. */
  get now(): number {
    return this.#now;
  }

  /** Starts again with another seed: no faults, no violations, no names; the processes stay, with nothing open. */
  reset(seed: number): void {
    integer("seed", seed, 0, 0xffffffff);
    for (const process of this.#processes) {
      process.kill();
      process.revive();
    }
    this.#random = generator(seed);
    this.#calls = 0;
    this.#now = 0;
    this.#watchers.clear();
    this.#timers.clear();
    this.fault = null;
    this.whileWaiting = null;
    this.violations.length = 0;
    this.names.clear();
    this.inFlight.clear();
  }

  /** Fulfilled when nothing is ready, no timer runs, and nothing has happened for a while: only a new call goes on. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.changed();
    });
  }

  /** Fulfilled when so many milliseconds have passed. */
  advance(milliseconds: number): Promise<void> {
    integer("milliseconds", milliseconds, 0, 0x7fffffff);
    return new Promise((resolve) => void this.timer(milliseconds, resolve));
  }

  /**
   * Throws for what went wrong: the violations, and every descriptor that is still open.
   *
   * @param options `open`: descriptors that may be open, by process
   */
  check(options?: { open?: ReadonlyMap<VirtualProcess, readonly number[]> | undefined }): void {
    const found = [...this.violations];
    for (const process of this.#processes) {
      const allowed = options?.open?.get(process) ?? [];
      if (process.inheritable > 0)
        found.push(`process ${process.pid} has ${process.inheritable} descriptors that a child would inherit`);
      for (const [fd, name] of process.descriptors) {
        if (!allowed.includes(fd)) found.push(`process ${process.pid} leaked descriptor ${fd}: ${name}`);
        else if (!process.owned.has(fd)) found.push(`process ${process.pid}: nobody owns descriptor ${fd}: ${name}`);
      }
    }
    if (found.length > 0) throw new Error(`the virtual kernel found:\n${found.map((line) => `  ${line}`).join("\n")}`);
  }

  /** @internal Called by every system call; the fault it meets. */
  enter(process: VirtualProcess, name: string, fd: number): Fault | null {
    this.#quiet = 0;
    const index = this.#calls++;
    if (this.fault === null) return null;
    const fault = this.fault({ index, process, name, fd });
    fault?.dies?.kill();
    return fault;
  }

  /** @internal */
  violate(process: VirtualProcess, what: string): void {
    this.violations.push(`process ${process.pid} ${what}`);
  }

  /** @internal Descriptors in flight: of everybody, and of one user. */
  inFlightOf(uid: number): { total: number; ofUser: number } {
    let total = 0;
    let ofUser = 0;
    for (const segment of this.inFlight) {
      if (segment.rights === null) this.inFlight.delete(segment);
      const count = segment.rights?.flat().length ?? 0;
      total += count;
      if (segment.owner.uid === uid) ofUser += count;
    }
    return { total, ofUser };
  }

  /** @internal Sockets that are only in the queues of one another go, and what is in those (net/unix/garbage.c, unp_gc). */
  collect(): void {
    if (this.inFlight.size === 0) return;
    let sockets = false;
    for (const segment of this.inFlight) {
      if (segment.rights === null) this.inFlight.delete(segment);
      else sockets ||= segment.rights.some((files) => files.some(({ kind }) => kind === "socket"));
    }
    if (!sockets) return;
    const roots = this.#processes.flatMap(({ table }) => table.flatMap((one) => (one === undefined ? [] : [one.file])));
    for (const socket of unreachable(roots, this.inFlight)) for (const one of socket.queue.splice(0)) discard(one);
  }

  /** @internal */
  nextInode(): number {
    return ++this.#inodes;
  }

  /** @internal A synchronous wait: others act, or time passes. False: nothing will ever happen. */
  waits(milliseconds: number): boolean {
    if (this.whileWaiting?.()) return true;
    if (milliseconds === Infinity) return false;
    this.#now += milliseconds;
    return false;
  }

  /** @internal */
  watch(process: VirtualProcess, fd: number, watched: Watched): number {
    this.#watchers.set(++this.#watcherNumbers, { process, fd, watched, events: 0 });
    return this.#watcherNumbers;
  }

  /** @internal */
  arm(watcher: number, events: number): void {
    const armed = this.#watchers.get(watcher);
    if (armed !== undefined) armed.events = events;
    this.changed();
  }

  /** @internal */
  unwatch(watcher: number): void {
    this.#watchers.delete(watcher);
  }

  /** @internal */
  timer(milliseconds: number, fired: () => void): Timer {
    const timer = { at: this.#now + milliseconds, fired };
    this.#timers.add(timer);
    this.changed();
    return { keepAlive() {}, close: () => void this.#timers.delete(timer) };
  }

  /** @internal A call did something. */
  progressed(): void {
    this.#spins = 0;
    this.changed();
  }

  /** @internal Something may have become ready. */
  changed(): void {
    this.#quiet = 0;
    if (this.#scheduled || (this.#watchers.size === 0 && this.#timers.size === 0 && this.#idle.length === 0)) return;
    this.#scheduled = true;
    queueMicrotask(this.#pump);
  }

  /** Tells one watcher, picked by the seed; when there is nothing to tell for a while, lets time pass. */
  readonly #pump = (): void => {
    this.#scheduled = false;
    for (const process of this.#processes) {
      if (process.inheritable > 0)
        this.violate(process, `went on with ${process.inheritable} descriptors that a child would inherit`);
    }
    const ready: [VirtualWatcher, number][] = [];
    for (const watcher of this.#watchers.values()) {
      if (watcher.events === 0 || !watcher.process.alive) continue;
      const descriptor = watcher.process.table[watcher.fd];
      const bits = descriptor === undefined ? 0 : readiness(this, descriptor);
      // As the addon says it: errors and hang-ups are both.
      const told = (bits & (POLLERR | CONSTANTS.POLLHUP)) !== 0 ? watcher.events : bits & watcher.events;
      if (told !== 0) ready.push([watcher, told]);
    }
    // One in four turns is let pass: things happen in between.
    if (ready.length > 0 && (this.#quiet > 8 || this.#random(4) !== 0)) {
      this.#quiet = 0;
      if (++this.#spins > SPIN_LIMIT) {
        this.violate(ready[0]![0].process, `was told ${SPIN_LIMIT} times that descriptor ${ready[0]![0].fd} is ready`);
        return;
      }
      const [watcher, bits] = ready[this.#random(ready.length)]!;
      watcher.watched.ready(bits);
    } else if (this.#quiet++ >= QUIET_TURNS && ready.length === 0) {
      this.#quiet = 0;
      const timer = [...this.#timers].reduce<{ at: number; fired: () => void } | null>(
        (first, one) => (first === null || one.at < first.at ? one : first),
        null,
      );
      if (timer === null) {
        for (const resolve of this.#idle.splice(0)) resolve();
        return;
      }
      this.#timers.delete(timer);
      this.#spins = 0;
      this.#now = Math.max(this.#now, timer.at);
      timer.fired();
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#pump);
  };
}
