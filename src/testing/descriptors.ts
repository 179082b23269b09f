/** Descriptors: owned, closed, duplicated, their flags and status. */

import { setBytes } from "../core/bytes.ts";
import { FILE_STATUS, type System } from "../system/system.ts";
import { CONSTANTS, LINUX_CONSTANTS } from "./constants.ts";
import { type ErrnoName, errnoOf } from "./errno.ts";
import { type Descriptor, MemoryFile } from "./files.ts";
import type { Process } from "./machine.ts";
import type { Caller, Fault } from "./system-call.ts";
import { isAbsent, type KernelAbi } from "./systems.ts";

type Calls =
  | "own"
  | "claim"
  | "disown"
  | "give"
  | "close"
  | "closeAll"
  | "discard"
  | "cloexecAll"
  | "fcntl"
  | "dup"
  | "fstat"
  | "memfd"
  | "pwrite"
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
  function closeOne(fd: number, waits: boolean): number {
    process.owned.delete(fd);
    if (process.table[fd] === undefined) {
      process.violate(`closed descriptor ${fd}, which is not open`);
      return errnoOf("EBADF");
    }
    process.remove(fd, waits);
    events.progressed();
    return 0;
  }

  /** A close that fails closes all the same. */
  const closed = (fault: Fault | null, result: number): number =>
    fault?.errno === undefined ? result : errnoOf(fault.errno);

  function closeEach(fds: ArrayLike<number>, from: number, to: number, waits: boolean): number {
    if (from >= to) return 0;
    const fault = caller.enter("close", fds[from]!, true);
    let first = 0;
    for (let i = from; i < to; i++) {
      const result = fds[i]! < 0 ? 0 : closeOne(fds[i]!, waits);
      if (first === 0) first = result;
    }
    return closed(fault, first);
  }

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

    close: (fd) => closed(caller.enter("close", fd, true), closeOne(fd, true)),

    closeAll: (fds, from, to) => closeEach(fds, from, to, true),

    discard: (fds, from, to) => closeEach(fds, from, to, false),

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
              return descriptor.file instanceof MemoryFile
                ? sealed(caller.machine.abi, descriptor.file, command, argument)
                : "EINVAL";
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
        if (file instanceof MemoryFile) into[FILE_STATUS.SIZE] = BigInt(file.bytes.length);
        return 0;
      }),

    memfd: (name, flags) =>
      caller.call("memfd_create", -1, () => {
        if (!caller.rules.linuxHeaders) return "ENOSYS";
        const { F_SEAL_EXEC, F_SEAL_SEAL, MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL } = LINUX_CONSTANTS;
        if ((flags & MFD_NOEXEC_SEAL) !== 0 && isAbsent(caller.machine.abi, "MFD_NOEXEC_SEAL")) return "EINVAL";
        const kept = (flags & MFD_ALLOW_SEALING) !== 0 ? 0 : F_SEAL_SEAL;
        return process.make(new MemoryFile(name, (flags & MFD_NOEXEC_SEAL) !== 0 ? F_SEAL_EXEC : kept));
      }),

    pwrite: (fd, bytes, from, position) =>
      caller.call("pwrite", fd, (fault) => {
        const file = process.table[fd]?.file;
        if (!(file instanceof MemoryFile)) return "EBADF";
        const { F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_WRITE } = LINUX_CONSTANTS;
        const length = Math.min(bytes.length - from, fault?.short ?? Infinity);
        if (length === 0) return 0;
        const grows = position + length > file.bytes.length;
        if ((file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0 || (grows && (file.seals & F_SEAL_GROW) !== 0))
          return "EPERM";
        if (grows) {
          const grown = new Uint8Array(position + length);
          setBytes(grown, file.bytes);
          file.bytes = grown;
        }
        setBytes(file.bytes, bytes.subarray(from, from + length), position);
        return length;
      }),

    fdLink(fd) {
      const file = process.table[fd]?.file;
      if (file === undefined) return null;
      return file.kind === "pidfd" ? "anon_inode:[pidfd]" : file.name;
    },
  };
}

/** F_ADD_SEALS and F_GET_SEALS (mm/memfd.c). */
function sealed(abi: KernelAbi, file: MemoryFile, command: number, argument: number): number | ErrnoName {
  const { F_ADD_SEALS, F_GET_SEALS, F_SEAL_EXEC, F_SEAL_SEAL } = LINUX_CONSTANTS;
  if (command === F_GET_SEALS) return file.seals;
  if (command !== F_ADD_SEALS) return "EINVAL";
  if ((argument & F_SEAL_EXEC) !== 0 && isAbsent(abi, "F_SEAL_EXEC")) return "EINVAL";
  if ((file.seals & F_SEAL_SEAL) !== 0) return "EPERM";
  file.seals |= argument;
  return 0;
}

function setCloexec(process: Process, descriptor: Descriptor, on: boolean): void {
  if (descriptor.cloexec !== on) process.inheritable += on ? -1 : 1;
  descriptor.cloexec = on;
}
