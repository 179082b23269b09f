/** What every system call of a virtual process begins with: the fault it meets, and the socket it is made on. */

import { Socket } from "./files.ts";
import type { Fault, VirtualProcess } from "./kernel.ts";
import { errnoOf } from "./rules.ts";

/** Signals in a row at one call. */
const SIGNAL_LIMIT = 1000;

/**
 * Before every call; what meets it, but for signals, after which it is made again. `mends`: a call that may follow a receive
 * whose descriptors are not CLOEXEC yet.
 */
export function enter(process: VirtualProcess, name: string, fd: number, mends = false): Fault | null {
  if (!mends && process.inheritable > 0) {
    violate(process, `called ${name} with ${process.inheritable} descriptors that a child would inherit`);
  }
  for (let signals = 0; ; signals++) {
    const fault = process.kernel.enter(process, name, fd);
    if (fault?.errno !== "EINTR" || name === "close") return fault;
    if (signals === SIGNAL_LIMIT) {
      violate(process, `was interrupted ${SIGNAL_LIMIT} times in ${name}`);
      return null;
    }
  }
}

/** The socket behind a descriptor; else the error. */
export function socketOf(process: VirtualProcess, fd: number, what: string): Socket | number {
  const file = process.table[fd]?.file;
  if (file === undefined) {
    violate(process, `${what} descriptor ${fd}, which is not open`);
    return errnoOf("EBADF");
  }
  return file instanceof Socket ? file : errnoOf("ENOTSOCK");
}

/** Notes what must not be done. */
export function violate(process: VirtualProcess, what: string): void {
  // A dead process does nothing any more; its code here only does not know yet.
  if (process.alive) process.kernel.violate(process, what);
}
