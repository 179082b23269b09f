/** Readiness and time. */

import { POLLIN, POLLOUT, type System } from "../system/system.ts";
import { CONSTANTS, LINUX_CONSTANTS, POLLERR, POLLNVAL } from "./constants.ts";
import { type Descriptor, isEmptyRecord, Socket } from "./files.ts";
import type { Machine } from "./machine.ts";
import { isFull, lostReceiver } from "./send.ts";
import type { Caller } from "./system-call.ts";
import { rulesOf } from "./systems.ts";

type Calls = "poll" | "watch" | "arm" | "keepAlive" | "unwatch" | "needStack" | "now" | "timer";

export function readinessCalls(caller: Caller): Pick<System, Calls> {
  const { process, machine, events } = caller;
  return {
    poll: (fd, wanted, timeout) =>
      caller.call("poll", fd, () => {
        for (;;) {
          const descriptor = process.table[fd];
          if (descriptor === undefined && fd >= 0) return POLLNVAL;
          const shown = wanted | POLLERR | CONSTANTS.POLLHUP;
          const ready = descriptor === undefined ? 0 : readiness(machine, descriptor) & shown;
          if (ready !== 0) return ready;
          if (timeout === 0) return 0;
          if (!events.waits(timeout < 0 ? Infinity : timeout)) return timeout < 0 ? "EDEADLK" : 0;
        }
      }),

    watch: (fd, watched) =>
      caller.call("watch", fd, () => {
        if (process.table[fd] !== undefined) return events.watch(process, fd, watched);
        process.violate(`watched descriptor ${fd}, which is not open`);
        return "EBADF";
      }),

    arm: (watcher, wanted) => events.arm(watcher, wanted),
    keepAlive() {},
    needStack() {},
    unwatch: (watcher) => events.unwatch(watcher),
    now: () => events.now,
    timer: (milliseconds, fired) => events.timer(milliseconds, fired),
  };
}

/** The bits of `poll(2)`. */
export function readiness(machine: Machine, { file }: Descriptor): number {
  if (!(file instanceof Socket)) return POLLIN | POLLOUT;
  if (file.backlog !== null) return file.backlog.length > 0 ? POLLIN : 0;
  let bits = 0;
  const connected = file.type === "dgram" || file.peerOwner !== null;
  const { abi } = machine;
  const { hangsUp, closedReceiverErrno } = rulesOf(abi);
  // Readable is what has bytes, of control data too.
  const queued =
    abi.emptyRecord === "lost" ? file.queue.some((one) => !isEmptyRecord(file, one)) : file.queue.length > 0;
  const reset = file.error !== 0 || (closedReceiverErrno === "ECONNRESET" && lostReceiver(file));
  if (queued || reset || (file.ended && connected)) bits |= POLLIN;
  if (file.error !== 0) bits |= POLLERR;
  if (file.shutRead) bits |= LINUX_CONSTANTS.POLLRDHUP;
  if (hangsUp && (!connected || (file.shutRead && file.shutWrite))) bits |= CONSTANTS.POLLHUP;
  const { peer } = file;
  // On the BSDs and Darwin a datagram socket is writable even if its receiver is full.
  const always = file.type === "dgram" && abi.datagramFullErrno === "ENOBUFS";
  const full = peer !== null && isFull(machine, file, peer, 1);
  if (peer === null || file.shutWrite || always || !full) bits |= POLLOUT;
  return bits;
}
