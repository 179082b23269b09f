/** What system calls act on: processes with their descriptor tables, names, what is in flight, and what was done wrong. */

import { errnoOf } from "./errno.ts";
import {
  type Descriptor,
  discard,
  type OpenFile,
  type Owner,
  onlyInFlight,
  type Segment,
  type Socket,
  unreachable,
  unreference,
} from "./files.ts";
import { type KernelAbi, rulesOf } from "./systems.ts";

/** The sizes of a machine. */
interface MachineLimits {
  /** Bytes that a socket keeps for its reader. */
  readonly bufferBytes: number;
  /** Datagrams that a socket keeps. */
  readonly bufferMessages: number;
  /** Files that the system can have open. */
  readonly files: number;
}

/** Standard input, output and error are taken. */
const FIRST_FD = 3;

/** A process. */
export class Process implements Owner {
  readonly machine: Machine;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly label: string | null;
  /** Size of the descriptor table. */
  readonly limit: number;
  /** The descriptor table, by number. */
  readonly table: (Descriptor | undefined)[] = [];
  /** Descriptors that the library has recorded as its own. */
  readonly owned: Set<number> = new Set();
  /** Descriptors that a child would inherit. */
  inheritable = 0;
  #alive = true;

  constructor(machine: Machine, owner: Owner, limit: number) {
    this.machine = machine;
    this.pid = owner.pid;
    this.uid = owner.uid;
    this.gid = owner.gid;
    this.groups = owner.groups;
    this.label = owner.label;
    this.limit = limit;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Free slots of the descriptor table. */
  get free(): number {
    let used = FIRST_FD;
    for (const descriptor of this.table) if (descriptor !== undefined) used++;
    return this.limit - used;
  }

  /** The lowest free number now refers to `file`; `-errno`: the table is full. */
  install(file: OpenFile, cloexec: boolean): number {
    for (let fd = FIRST_FD; fd < this.limit; fd++) {
      if (this.table[fd] !== undefined) continue;
      file.references++;
      this.table[fd] = { file, cloexec };
      if (!cloexec) {
        this.inheritable++;
        if (this.machine.abi.MSG_CMSG_CLOEXEC !== null)
          this.violate(`received descriptor ${fd} without MSG_CMSG_CLOEXEC: a child could inherit it`);
      }
      return fd;
    }
    return errnoOf("EMFILE");
  }

  /** {@link install}, CLOEXEC and owned. */
  make(file: OpenFile): number {
    const fd = this.install(file, true);
    if (fd >= 0) this.owned.add(fd);
    return fd;
  }

  /** Frees a number. `waits`: whether the event loop waits until the file is closed. */
  remove(fd: number, waits: boolean): void {
    const descriptor = this.table[fd]!;
    this.table[fd] = undefined;
    if (!descriptor.cloexec) this.inheritable--;
    this.machine.waiting = waits ? this : null;
    unreference(descriptor.file);
    this.machine.waiting = null;
    this.machine.collect(descriptor.file);
  }

  /** Ends it: everything that it had open is closed. */
  kill(): void {
    this.#alive = false;
    for (const [fd, descriptor] of this.table.entries()) {
      if (descriptor === undefined) continue;
      this.table[fd] = undefined;
      unreference(descriptor.file);
      this.machine.collect(descriptor.file);
    }
    this.owned.clear();
    this.inheritable = 0;
  }

  revive(): void {
    this.#alive = true;
  }

  /** Records what must not be done. The code of a dead process still runs here, without effect. */
  violate(what: string): void {
    if (this.#alive) this.machine.violations.push(`process ${this.pid} ${what}`);
  }
}

/** The file that a socket was bound to. */
export interface BoundFile {
  /** Null: the socket is closed. */
  socket: Socket | null;
  readonly inode: number;
}

/** A system, without its calls. */
export class Machine {
  readonly abi: KernelAbi;
  /** What uname(2) says; empty where nothing depends on it. */
  readonly release: string;
  readonly limits: MachineLimits;
  readonly processes: Process[] = [];
  /** What was done that must not be. */
  readonly violations: string[] = [];
  /** The process whose event loop waits for a close; null: none. */
  waiting: Process | null = null;
  /** What was sent with descriptors and neither received nor lost. */
  readonly inFlight: Set<Segment> = new Set();
  /** The files of sockets, and abstract names, by name. */
  readonly names: Map<string, BoundFile> = new Map();
  /** Those of open sockets, which keep their inodes whether they have a name or not. */
  readonly bound: Set<BoundFile> = new Set();
  /** The open file that has the lock of a folder, until it is closed. */
  readonly locks: Map<string, OpenFile> = new Map();
  #chosenNames = 0;

  constructor(abi: KernelAbi, release: string, limits: MachineLimits) {
    this.abi = abi;
    this.release = release;
    this.limits = limits;
  }

  /** The lowest number that no file has: the next file gets the number of a removed one, as on ext4. */
  freeInode(): number {
    const used = new Set([...this.names.values(), ...this.bound].map(({ inode }) => inode));
    let inode = 1;
    while (used.has(inode)) inode++;
    return inode;
  }

  /** The number of a name that the kernel chooses. */
  nextChosenName(): number {
    return ++this.#chosenNames;
  }

  /** Descriptors in flight: of all users, and of one. */
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

  /**
   * Drops sockets that are only in the queues of one another, with those queues (net/unix/garbage.c, unp_gc).
   *
   * @param closed a file of which a descriptor was closed
   */
  collect(closed: OpenFile | null): void {
    if (this.inFlight.size === 0) return;
    let sockets = false;
    for (const segment of this.inFlight) {
      if (segment.rights === null) this.inFlight.delete(segment);
      else sockets ||= segment.rights.some((files) => files.some(({ kind }) => kind === "socket"));
    }
    if (!sockets) return;
    if (rulesOf(this.abi).collects === "only in flight") {
      if (closed?.kind !== "socket" || closed.references > 0) return;
      for (const socket of onlyInFlight(this.inFlight)) {
        // sorflush: it can send, and receives the end.
        socket.shutRead = true;
        for (const segment of socket.queue.splice(0)) discard(segment);
      }
      return;
    }
    const roots = this.processes.flatMap(({ table }) =>
      table.flatMap((slot) => (slot === undefined ? [] : [slot.file])),
    );
    for (const socket of unreachable(roots, this.inFlight))
      for (const segment of socket.queue.splice(0)) discard(segment);
  }

  /** Revives the processes, which were killed; no names, nothing in flight, no violations. */
  reset(): void {
    for (const process of this.processes) process.revive();
    this.violations.length = 0;
    this.#chosenNames = 0;
    this.names.clear();
    this.bound.clear();
    this.locks.clear();
    this.inFlight.clear();
  }
}
