/** Descriptors: owned, closed, duplicated, described, and what a child inherits of them. */

import type { System } from "../system/system.ts";
import { CONSTANTS } from "./constants.ts";
import { type Descriptor, type OpenFile, Socket } from "./files.ts";
import type { VirtualProcess } from "./kernel.ts";
import { errnoOf } from "./rules.ts";
import { enter, violate } from "./system-call.ts";

export function descriptorCalls(
  process: VirtualProcess,
  { batch }: Pick<System, "batch">,
): Pick<System, "own" | "disown" | "close" | "closeBatch" | "cloexecBatch" | "fcntl" | "dup" | "describe"> {
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

    closeBatch(count) {
      const fault = enter(process, "close", batch[0]!, true);
      let first = 0;
      for (let i = 0; i < count; i++) {
        const fd = batch[i]!;
        if (fd < 0) continue;
        const result = closeOne(process, fd);
        if (first === 0) first = result;
      }
      return fault?.errno !== undefined ? errnoOf(fault.errno) : first;
    },

    cloexecBatch(count) {
      const fault = enter(process, "fcntl", batch[0]!, true);
      for (let i = 0; i < count; i++) {
        if (fault?.errno !== undefined && i >= (fault.at ?? 0)) return errnoOf(fault.errno);
        const descriptor = process.table[batch[i]!];
        if (batch[i]! < 0) continue;
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

    describe(fd) {
      const descriptor = process.table[fd];
      if (descriptor === undefined) return errnoOf("EBADF");
      const { file } = descriptor;
      const common = { access: "read-write", nonblocking: file.nonblocking } as const;
      if (!(file instanceof Socket)) return { kind: file.kind, ...common };
      const address = file.path === null ? null : Buffer.from(file.path).toString();
      return {
        kind: "socket",
        ...common,
        socket: { family: "unix", type: file.type, listening: file.backlog !== null, address },
      };
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
