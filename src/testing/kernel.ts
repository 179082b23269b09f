/**
 * A kernel in memory: processes with descriptor tables, Unix sockets of the three types, and each system's own rules for
 * control messages. Deterministic: everything follows from the seed and from the faults that are asked for.
 */

import { type Abi, type AbiName, abiOf } from "../core/abis/table.ts";
import {
  boolean,
  type Checks,
  integer,
  KEY,
  noConstructor,
  outOfRange,
  readOptions,
  wrongType,
} from "../core/errors.ts";
import { adopt, type OwnedFd } from "../fd/owned-fd.ts";
import { Platform } from "../system/platform.ts";
import { showAs } from "../system/shown.ts";
import { MemoryFile, OpenFile, SlowFile } from "./files.ts";
import { Machine, Process } from "./machine.ts";
import { Scheduler } from "./scheduler.ts";
import type { Fault } from "./system-call.ts";
import { kernelAbi, releaseOf } from "./systems.ts";
import { virtualSystem } from "./virtual-system.ts";

/** A system call that is about to be made. */
export interface Call {
  /** How many calls all processes made before it. */
  readonly index: number;
  /** The process that makes it. */
  readonly process: VirtualProcess;
  /** `"sendmsg"`, `"recvmsg"`, `"close"` ... */
  readonly name: string;
  /** Its descriptor; -1: it has none. */
  readonly fd: number;
}

/** How a kernel is set up. */
export interface KernelOptions {
  /** Decides the order in which sockets become ready; 1 by default. */
  seed?: number | undefined;
  /** Bytes that a socket keeps for its reader, unless an option of the socket says otherwise; 8192 by default. */
  bufferBytes?: number | undefined;
  /** Datagrams that a socket keeps; 10 by default. */
  bufferMessages?: number | undefined;
  /**
   * Files that the system can have open; 10000 by default. OpenBSD lets a tenth of them be in flight, NetBSD a half. On Linux
   * the limit is the size of the sender's descriptor table, unless its user is root.
   */
  files?: number | undefined;
  /**
   * The version of Linux, from 5.10 on: `"6.1"`, or a release as uname(2) says it. An older kernel lacks socket options, and differs in
   * other rules; its numbers and rules are those of the newest point release. 6.18 by default, which newer ones equal.
   */
  kernel?: string | undefined;
}

/** How a process is set up. */
export interface ProcessOptions {
  /** Size of the descriptor table (RLIMIT_NOFILE); 256 by default. */
  descriptors?: number | undefined;
  /** User id; 1000 by default. */
  uid?: number | undefined;
  /** 1000 by default. */
  gid?: number | undefined;
  /** Supplementary groups; none by default. */
  groups?: readonly number[] | undefined;
  /** The label that a security module gives it (Linux); none by default. */
  label?: string | undefined;
}

const KERNEL: Checks = {
  seed: (name, value) => void integer(name, value, 0, 0xffffffff),
  bufferBytes: (name, value) => void integer(name, value, 1, 0x7fffffff),
  bufferMessages: (name, value) => void integer(name, value, 1, 0x7fffffff),
  files: (name, value) => void integer(name, value, 1, 0x7fffffff),
  kernel(name, value) {
    if (typeof value !== "string") throw wrongType(name, "a version of Linux", value);
  },
};
const PROCESS: Checks = {
  descriptors: (name, value) => void integer(name, value, 4, 65536),
  uid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  gid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  groups(name, value) {
    if (!Array.isArray(value)) throw wrongType(name, "an array of group ids", value);
    for (const [i, gid] of value.entries()) integer(`${name}[${i}]`, gid, 0, 0xfffffffe);
  },
  label(name, value) {
    if (typeof value !== "string") throw wrongType(name, "a string", value);
  },
};

const CHECK: Checks = {
  open(name, value) {
    // A Map of another realm, as of a test runner, is none here.
    if (typeof (value as Map<unknown, unknown> | null)?.get !== "function")
      throw wrongType(name, "a Map of processes and their descriptors", value);
  },
};

const OPEN: Checks = { closeWaits: (name, value) => void boolean(name, value) };

/** A process of a {@link VirtualKernel}. */
export class VirtualProcess {
  /** The kernel that it runs on. */
  readonly kernel: VirtualKernel;
  /** Makes sockets of this process: `UnixStream.pair({ platform })`. */
  readonly platform: Platform;
  readonly #process: Process;
  readonly #scheduler: Scheduler;

  static {
    showAs(VirtualProcess.prototype, (self) => {
      if (!(#process in self)) return null;
      const { pid, uid, gid, alive, kernel } = self;
      return { pid, uid, gid, state: alive ? "alive" : "killed", abi: kernel.abi.name };
    });
  }

  /** @internal */
  constructor(key: typeof KEY, kernel: VirtualKernel, process: Process, scheduler: Scheduler) {
    if (key !== KEY) throw noConstructor(VirtualProcess, "the process() of a VirtualKernel");
    this.kernel = kernel;
    this.#process = process;
    this.#scheduler = scheduler;
    this.platform = new Platform(virtualSystem(process, scheduler), kernel.abi);
  }

  /** Process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** User id. */
  get uid(): number {
    return this.#process.uid;
  }

  /** Group id. */
  get gid(): number {
    return this.#process.gid;
  }

  /** False once it was killed. */
  get alive(): boolean {
    return this.#process.alive;
  }

  /**
   * Opens a file. {@link descriptors} and {@link nameOf} report this name for every descriptor of it.
   *
   * @param options `closeWaits`: its last close waits, as that of a TCP socket with SO_LINGER can. It is a violation if the event loop of
   *   another process waits for it: a peer could stop it so
   */
  open(name: string, options?: { closeWaits?: boolean | undefined }): OwnedFd {
    if (typeof name !== "string") throw wrongType("name", "a string", name);
    const { closeWaits } = readOptions("options", options, OPEN);
    const file = closeWaits ? new SlowFile(name, () => this.#waited(name)) : new OpenFile("file", name);
    const fd = this.#process.make(file);
    if (fd < 0) throw new Error(`the descriptor table of process ${this.pid} is full: ${this.#process.limit}`);
    return adopt(this.platform, fd);
  }

  /** A slow file of this process was closed. */
  #waited(name: string): void {
    const { waiting } = this.#process.machine;
    if (waiting !== null && waiting !== this.#process)
      waiting.violate(`waited in its event loop for the close of ${name}, which a peer had sent`);
  }

  /** The open descriptors, and the names of their files. */
  get descriptors(): ReadonlyMap<number, string> {
    const open = new Map<number, string>();
    for (const [fd, descriptor] of this.#process.table.entries())
      if (descriptor !== undefined) open.set(fd, descriptor.file.name);
    return open;
  }

  /** The name of the file behind a descriptor of this process; null: it is not open. */
  nameOf(fd: number): string | null {
    return this.#process.table[fd]?.file.name ?? null;
  }

  /** A copy of the bytes of a `memfd` behind a descriptor of this process; null for anything else. */
  contentOf(fd: number): Uint8Array | null {
    const file = this.#process.table[fd]?.file;
    return file instanceof MemoryFile ? file.bytes.slice() : null;
  }

  /** Kills it: everything that it has open is closed at once. */
  kill(): void {
    if (!this.alive) return;
    this.#process.kill();
    this.#scheduler.changed();
  }
}

/**
 * A Unix system in memory, with the rules of one row of the ABI table.
 *
 * ```js
 * import { UnixListener, UnixStream } from "unix-ancillary";
 * import { VirtualKernel } from "unix-ancillary/testing";
 * const kernel = new VirtualKernel("darwin-arm64", { seed: 7 });
 * const [parent, child] = [kernel.process(), kernel.process()];
 * const listener = UnixListener.bind("/socket", { platform: parent.platform });
 * const stream = await UnixStream.connect("/socket", { platform: child.platform });
 * kernel.fault = (call) => (call.name === "recvmsg" && call.index === 9 ? { errno: "ENOMEM" } : null);
 * for (const socket of [stream, listener]) socket.close(); // your protocol, in place of this line
 * kernel.check(); // throws when a descriptor leaked, was closed twice, used after its close, or could have been inherited
 * ```
 *
 * Differences from real kernels: time passes only when nothing else is left to do; a synchronous call that would wait for ever
 * fails with EDEADLK, because no other process can run meanwhile (see {@link VirtualKernel.whileWaiting}).
 */
export class VirtualKernel {
  /** The row of the ABI table that it follows. */
  readonly abi: Abi;
  /** What was done that must not be. {@link check} throws for each. */
  readonly violations: string[];
  readonly #machine: Machine;
  readonly #scheduler: Scheduler;
  readonly #processes = new Map<Process, VirtualProcess>();
  #fault: ((call: Call) => Fault | null) | null = null;

  static {
    showAs(VirtualKernel.prototype, (self) =>
      #machine in self
        ? { abi: self.abi.name, processes: [...self.#processes.values()], violations: self.violations }
        : null,
    );
  }

  /**
   * @param abi a row of the ABI table, or its name: the system, and its byte order and layout
   * @throws RangeError for a version of Linux that cannot be read, or is older than 5.10; and for one on another system
   */
  constructor(abi: Abi | AbiName, options?: KernelOptions) {
    const given = readOptions("options", options, KERNEL);
    const { seed = 1, bufferBytes = 8192, bufferMessages = 10, files = 10000, kernel } = given;
    this.abi = abiOf(abi);
    const own = kernelAbi(this.abi, kernel);
    if (own === null) {
      const linux = this.abi.os === "linux";
      const expected = linux ? 'a version of Linux from 5.10 on, such as "6.1"' : `none for ${this.abi.os}`;
      throw outOfRange("options.kernel", expected, kernel, "ERR_INVALID_ARG_VALUE");
    }
    this.#machine = new Machine(own, releaseOf(own, kernel), { bufferBytes, bufferMessages, files });
    this.#scheduler = new Scheduler(this.#machine, seed);
    this.violations = this.#machine.violations;
  }

  /** Called before each system call; it returns the call's fault, or null. Null in place of the function: no faults. */
  get fault(): ((call: Call) => Fault | null) | null {
    return this.#fault;
  }

  set fault(fault: ((call: Call) => Fault | null) | null) {
    this.#fault = fault;
    this.#scheduler.fault =
      fault && ((index, process, name, fd) => fault({ index, process: this.#processes.get(process)!, name, fd }));
  }

  /** Called while a synchronous call waits: another process can act then. It returns false when nothing is left to do. */
  get whileWaiting(): (() => boolean) | null {
    return this.#scheduler.whileWaiting;
  }

  set whileWaiting(act: (() => boolean) | null) {
    this.#scheduler.whileWaiting = act;
  }

  /** Starts a process. */
  process(options?: ProcessOptions): VirtualProcess {
    const given = readOptions("options", options, PROCESS);
    const { descriptors = 256, uid = 1000, gid = 1000, groups = [], label = null } = given;
    const pid = 1000 + this.#machine.processes.length;
    const process = new Process(this.#machine, { pid, uid, gid, groups: [...groups], label }, descriptors);
    const started = new VirtualProcess(KEY, this, process, this.#scheduler);
    this.#machine.processes.push(process);
    this.#processes.set(process, started);
    return started;
  }

  /** How many system calls were made. */
  get calls(): number {
    return this.#scheduler.calls;
  }

  /** Milliseconds since the start. Time passes when nothing else is left to do. */
  get now(): number {
    return this.#scheduler.now;
  }

  /** Starts again with another seed: no faults, no violations, no names. The processes stay, with nothing open. */
  reset(seed: number): void {
    integer("seed", seed, 0, 0xffffffff);
    for (const process of this.#processes.values()) {
      process.kill();
      process.platform.forgetTurn();
    }
    this.#machine.reset();
    this.#scheduler.reset(seed);
    this.#fault = null;
  }

  /** Resolves when nothing is ready, no timer runs, and nothing has happened for a while: only a new call continues. */
  idle(): Promise<void> {
    return new Promise((resolve) => this.#scheduler.onIdle(resolve));
  }

  /** Resolves when so many milliseconds have passed. */
  advance(milliseconds: number): Promise<void> {
    integer("milliseconds", milliseconds, 0, 0x7fffffff);
    return new Promise((resolve) => void this.#scheduler.timer(milliseconds, resolve));
  }

  /**
   * Throws an error that lists the violations and every descriptor that is still open.
   *
   * @param options `open`: descriptors that may be open, by process
   */
  check(options?: { open?: ReadonlyMap<VirtualProcess, readonly number[]> | undefined }): void {
    const { open } = readOptions("options", options, CHECK);
    const found = [...this.violations];
    for (const [{ pid, inheritable, owned }, process] of this.#processes) {
      const allowed = open?.get(process) ?? [];
      if (inheritable > 0) found.push(`process ${pid} has ${inheritable} descriptors that a child would inherit`);
      for (const [fd, name] of process.descriptors) {
        if (!allowed.includes(fd)) found.push(`process ${pid} leaked descriptor ${fd}: ${name}`);
        else if (!owned.has(fd)) found.push(`process ${pid} does not own descriptor ${fd}: ${name}`);
      }
    }
    if (found.length > 0) throw new Error(`the virtual kernel found:\n${found.map((line) => `  ${line}`).join("\n")}`);
  }
}
