/** The beginning of every system call: the fault that it meets, and the socket that it is made on. */

import type { Timer, Watched } from "../system/system.ts";
import { type ErrnoName, errnoOf } from "./errno.ts";
import { Socket } from "./files.ts";
import type { Machine, Process } from "./machine.ts";
import { rulesOf, type SystemRules } from "./systems.ts";

/** What goes wrong at a call. */
export interface Fault {
  /**
   * The call fails so. A `close` closes all the same, as kernels do. Any other call that EINTR meets, a signal, is made again,
   * as the addon does, and meets the fault of the new call. A call on several descriptors fails from the `at`-th on, 0 by
   * default.
   */
  readonly errno?: ErrnoName;
  /** Where a call on several descriptors fails first, counted from 0. */
  readonly at?: number;
  /** A send or receive on a stream, and a write into a memfd, moves at most so many bytes, at least 1. */
  readonly short?: number;
  /** The descriptor table has so many free slots. */
  readonly room?: number;
  /** A security module lets so many descriptors through (Linux). */
  readonly allowed?: number;
  /** This process, a {@link VirtualProcess}, dies first. */
  readonly dies?: { kill(): void };
}

/** What calls need from above: faults, time and the order of events. */
export interface Events {
  /** Announces a call; the fault that it meets. */
  enter(process: Process, name: string, fd: number): Fault | null;
  /** A call did something: sockets may have become ready. */
  progressed(): void;
  /** A synchronous wait: others act, or time passes. False: nothing more will happen. */
  waits(milliseconds: number): boolean;
  watch(process: Process, fd: number, watched: Watched): number;
  arm(watcher: number, events: number): void;
  unwatch(watcher: number): void;
  readonly now: number;
  timer(milliseconds: number, fired: () => void): Timer;
}

/** Signals in a row at one call. */
const SIGNAL_LIMIT = 1000;

/** Makes the calls of a process. */
export class Caller {
  readonly process: Process;
  readonly machine: Machine;
  readonly rules: SystemRules;
  readonly events: Events;

  constructor(process: Process, events: Events) {
    this.process = process;
    this.machine = process.machine;
    this.rules = rulesOf(process.machine.abi);
    this.events = events;
  }

  /**
   * The fault of a call. After a signal the call is made again.
   *
   * @param mends whether the call may follow a receive whose descriptors are not CLOEXEC yet
   */
  enter(name: string, fd: number, mends = false): Fault | null {
    const { process } = this;
    if (!mends && process.inheritable > 0)
      process.violate(`called ${name} with ${process.inheritable} descriptors that a child would inherit`);
    for (let signals = 0; ; signals++) {
      const fault = this.events.enter(process, name, fd);
      if (fault?.errno !== "EINTR" || name === "close") return fault;
      if (signals === SIGNAL_LIMIT) {
        process.violate(`was interrupted ${SIGNAL_LIMIT} times in ${name}`);
        return null;
      }
    }
  }

  /** A call: its result, or `-errno` of its fault or of the error that `run` returns. */
  call(name: string, fd: number, run: (fault: Fault | null) => number | ErrnoName, mends = false): number {
    const fault = this.enter(name, fd, mends);
    const result = fault?.errno ?? run(fault);
    return typeof result === "string" ? errnoOf(result) : result;
  }

  /** A call on a socket. `done` says what a program did that has no such descriptor: `"listened on"`. */
  socketCall(
    name: string,
    fd: number,
    done: string,
    run: (socket: Socket, fault: Fault | null) => number | ErrnoName,
  ): number {
    return this.call(name, fd, (fault) => {
      const socket = socketOf(this.process, fd);
      if (socket === "EBADF") this.process.violate(`${done} descriptor ${fd}, which is not open`);
      return typeof socket === "string" ? socket : run(socket, fault);
    });
  }
}

/** The socket behind a descriptor; else the error. */
export function socketOf({ table }: Process, fd: number): Socket | "EBADF" | "ENOTSOCK" {
  const file = table[fd]?.file;
  if (file === undefined) return "EBADF";
  return file instanceof Socket ? file : "ENOTSOCK";
}
