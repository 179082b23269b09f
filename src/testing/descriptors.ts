/** Descriptors: owned, closed, duplicated, their flags and status. */

import { FILE_STATUS, type System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import { errnoOf } from "./errno.ts";
import type { Descriptor } from "./files.ts";
import type { Process } from "./machine.ts";
import type { Caller, Fault } from "./system-call.ts";

type Calls =
  | "own"
  | "claim"
  | "disown"
  | "give"
  | "close"
  | "closeAll"
  | "cloexecAll"
  | "fcntl"
  | "dup"
  | "fstat"
  | "memfd"
  | "fdLink";

/** `S_IFMT` of `st_mode`. A pidfd is outside all file systems and has no type. */
const TYPES = {
  file: CONSTANTS.S_IFREG,
  directory: CONSTANTS.S_IFDIR,
  socket: CONSTANTS.S_IFSOCK,
  pidfd: 0,
} as const;

export function descriptorCalls(caller: Caller): Pick<System, Calls> {
  const { process, events } = caller;

  /** Closes one descriptor: 0, or `-errno`. */
  function closeOne(fd: number): number {
    process.owned.delete(fd);
    if (process.table[fd] === undefined) {
      process.violate(`closed descriptor ${fd}, which is not open`);
      return errnoOf("EBADF");
    }
    process.remove(fd);
    events.progressed();
    return 0;
  }

  /** A close that fails closes all the same. */
  const closed = (fault: Fault | null, result: number): number =>
    fault?.errno === undefined ? result : errnoOf(fault.errno);

  return {
    own(fd) {
      if (fd >= 0) process.owned.add(fd);
    },

    claim: (fd) =>
      caller.call("fcntl", fd, () => {
        const descriptor = process.table[fd];
        if (descriptor === undefined) return "EBADF";
        if (process.owned.has(fd)) return "EBUSY";
        process.owned.add(fd);
        return descriptor.cloexec ? CONSTANTS.FD_CLOEXEC : 0;
      }),

    disown(fd) {
      process.owned.delete(fd);
    },

    give(fd) {
      process.owned.delete(fd);
      return 0;
    },

    close: (fd) => closed(caller.enter("close", fd, true), closeOne(fd)),

    closeAll(fds, from, to) {
      if (from >= to) return 0;
      const fault = caller.enter("close", fds[from]!, true);
      let first = 0;
      for (let i = from; i < to; i++) {
        const result = fds[i]! < 0 ? 0 : closeOne(fds[i]!);
        if (first === 0) first = result;
      }
      return closed(fault, first);
    },

    cloexecAll(fds, from, to) {
      if (from >= to) return 0;
      const fault = caller.enter("fcntl", fds[from]!, true);
      for (let i = from; i < to; i++) {
        if (fault?.errno !== undefined && i - from >= (fault.at ?? 0)) return errnoOf(fault.errno);
        if (fds[i]! < 0) continue;
        const descriptor = process.table[fds[i]!];
        if (descriptor === undefined) return errnoOf("EBADF");
        setCloexec(process, descriptor, true);
      }
      return 0;
    },

    fcntl: (fd, command, argument) =>
      caller.call(
        "fcntl",
        fd,
        () => {
          const descriptor = process.table[fd];
          if (descriptor === undefined) return "EBADF";
          switch (command) {
            case CONSTANTS.F_GETFD:
              return descriptor.cloexec ? CONSTANTS.FD_CLOEXEC : 0;
            case CONSTANTS.F_SETFD:
              setCloexec(process, descriptor, (argument & CONSTANTS.FD_CLOEXEC) !== 0);
              return 0;
            case CONSTANTS.F_GETFL:
              return CONSTANTS.O_RDWR | (descriptor.file.nonblocking ? CONSTANTS.O_NONBLOCK : 0);
            case CONSTANTS.F_SETFL:
              descriptor.file.nonblocking = (argument & CONSTANTS.O_NONBLOCK) !== 0;
              return 0;
            default:
              return "EINVAL";
          }
        },
        true,
      ),

    dup: (fd) =>
      caller.call("fcntl", fd, () => {
        const descriptor = process.table[fd];
        return descriptor === undefined ? "EBADF" : process.make(descriptor.file);
      }),

    fstat: (fd, into) =>
      caller.call("fstat", fd, () => {
        const file = process.table[fd]?.file;
        if (file === undefined) return "EBADF";
        into.fill(0n);
        into[FILE_STATUS.MODE] = BigInt(TYPES[file.kind]);
        return 0;
      }),

    // No file of the virtual kernel has seals.
    memfd: () => errnoOf("EINVAL"),

    fdLink(fd) {
      const file = process.table[fd]?.file;
      if (file === undefined) return null;
      return file.kind === "pidfd" ? "anon_inode:[pidfd]" : file.name;
    },
  };
}

function setCloexec(process: Process, descriptor: Descriptor, on: boolean): void {
  if (descriptor.cloexec !== on) process.inheritable += on ? -1 : 1;
  descriptor.cloexec = on;
}
