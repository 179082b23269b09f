/** Descriptors: owned, closed, duplicated, described, and what a child inherits of them. */

import { FILE_STATUS, type System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import type { Descriptor, OpenFile } from "./files.ts";
import type { VirtualProcess } from "./kernel.ts";
import { errnoOf } from "./rules.ts";
import { enter, violate } from "./system-call.ts";

/** `S_IFMT` of `st_mode`: a pidfd is in no file system and has none. */
const TYPES = { file: CONSTANTS.S_IFREG, socket: CONSTANTS.S_IFSOCK, pidfd: 0 } as const;

export function descriptorCalls(
  process: VirtualProcess,
): Pick<System, "own" | "disown" | "close" | "closeAll" | "cloexecAll" | "fcntl" | "dup" | "fstat" | "fdLink"> {
  return {
    own(fd) {
      if (fd >= 0) process.owned.add(fd);
    },

    disown(fd) {
      process.owned.delete(fd);
    },

    close(fd) {
      const fault = enter(process, "close", fd, true);
      const result = closeOne(process, fd);
      return fault?.errno !== undefined ? errnoOf(fault.errno) : result;
    },

    closeAll(fds, from, to) {
      if (from >= to) return 0;
      const fault = enter(process, "close", fds[from]!, true);
      let first = 0;
      for (let i = from; i < to; i++) {
        const fd = fds[i]!;
        if (fd < 0) continue;
        const result = closeOne(process, fd);
        if (first === 0) first = result;
      }
      return fault?.errno !== undefined ? errnoOf(fault.errno) : first;
    },

    cloexecAll(fds, from, to) {
      if (from >= to) return 0;
      const fault = enter(process, "fcntl", fds[from]!, true);
      for (let i = from; i < to; i++) {
        if (fault?.errno !== undefined && i - from >= (fault.at ?? 0)) return errnoOf(fault.errno);
        const descriptor = process.table[fds[i]!];
        if (fds[i]! < 0) continue;
        if (descriptor === undefined) return errnoOf("EBADF");
        setCloexec(process, descriptor, true);
      }
      return 0;
    },

    fcntl(fd, command, argument) {
      const fault = enter(process, "fcntl", fd, true);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const descriptor = process.table[fd];
      if (descriptor === undefined) return errnoOf("EBADF");
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
          return errnoOf("EINVAL");
      }
    },

    dup(fd) {
      const fault = enter(process, "fcntl", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const descriptor = process.table[fd];
      if (descriptor === undefined) return errnoOf("EBADF");
      return made(process, descriptor.file);
    },

    fstat(fd, into) {
      const file = process.table[fd]?.file;
      if (file === undefined) return errnoOf("EBADF");
      into.fill(0n);
      into[FILE_STATUS.MODE] = BigInt(TYPES[file.kind]);
      return 0;
    },

    fdLink(fd) {
      const file = process.table[fd]?.file;
      if (file === undefined) return null;
      return file.kind === "pidfd" ? "anon_inode:[pidfd]" : file.name;
    },
  };
}

function closeOne(process: VirtualProcess, fd: number): number {
  process.owned.delete(fd);
  if (process.table[fd] === undefined) {
    violate(process, `closed descriptor ${fd}, which is not open`);
    return errnoOf("EBADF");
  }
  process.remove(fd);
  process.kernel.progressed();
  return 0;
}

function setCloexec(process: VirtualProcess, descriptor: Descriptor, on: boolean): void {
  if (descriptor.cloexec !== on) process.inheritable += on ? -1 : 1;
  descriptor.cloexec = on;
}

/** The number of a new descriptor, which is owned. */
export function made(process: VirtualProcess, file: OpenFile): number {
  const fd = process.install(file, true);
  if (fd >= 0) process.owned.add(fd);
  return fd;
}
