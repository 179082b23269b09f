/** Readiness and time. */

import { POLLIN, POLLOUT, type System } from "../system/system.ts";
import { CONSTANTS, POLLERR, POLLNVAL, POLLRDHUP } from "./constants.ts";
import { type Descriptor, Socket } from "./files.ts";
import type { VirtualKernel, VirtualProcess } from "./kernel.ts";
import { errnoOf } from "./rules.ts";
import { isFull } from "./send.ts";
import { enter, violate } from "./system-call.ts";

type Calls = "poll" | "watch" | "arm" | "keepAlive" | "unwatch" | "now" | "timer";

export function readinessCalls(process: VirtualProcess): Pick<System, Calls> {
  const { kernel } = process;
  return {
    poll(fd, events, timeout) {
      const fault = enter(process, "poll", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      for (;;) {
        const descriptor = process.table[fd];
        if (descriptor === undefined && fd >= 0) return POLLNVAL;
        const ready =
          descriptor === undefined ? 0 : readiness(kernel, descriptor) & (events | POLLERR | CONSTANTS.POLLHUP);
        if (ready !== 0) return ready;
        if (timeout === 0) return 0;
        if (!kernel.waits(timeout < 0 ? Infinity : timeout)) return timeout < 0 ? errnoOf("EDEADLK") : 0;
      }
    },

    watch(fd, watched) {
      const fault = enter(process, "watch", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      if (process.table[fd] === undefined) {
        violate(process, `watched descriptor ${fd}, which is not open`);
        return errnoOf("EBADF");
      }
      return kernel.watch(process, fd, watched);
    },

    arm(watcher, events) {
      kernel.arm(watcher, events);
    },

    keepAlive() {},

    unwatch(watcher) {
      kernel.unwatch(watcher);
    },

    now() {
      return kernel.now;
    },

    timer(milliseconds, fired) {
      return kernel.timer(milliseconds, fired);
    },
  };
}

/** What `poll(2)` says. */
export function readiness(kernel: VirtualKernel, { file }: Descriptor): number {
  if (!(file instanceof Socket)) return POLLIN | POLLOUT;
  if (file.backlog !== null) return file.backlog.length > 0 ? POLLIN : 0;
  let bits = 0;
  const connected = file.type === "dgram" || file.peerOwner !== null;
  if (file.queue.length > 0 || file.error !== 0 || (file.ended && connected)) bits |= POLLIN;
  if (file.error !== 0) bits |= POLLERR;
  if (file.shutRead) bits |= POLLRDHUP;
  if (!connected || (file.shutRead && file.shutWrite)) bits |= CONSTANTS.POLLHUP;
  const { peer } = file;
  // The BSDs and Darwin call a datagram socket writable whatever its receiver is like.
  const blind = file.type === "dgram" && kernel.abi.datagramFullErrno === "ENOBUFS";
  const full = peer !== null && isFull(kernel, file, peer, 1);
  if (peer === null || file.shutWrite || blind || !full) bits |= POLLOUT;
  return bits;
}
