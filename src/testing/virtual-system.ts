/** The system calls of a virtual process: the seam of the library, answered by the kernel in memory. */

import type { System } from "../system/system.ts";
import { connectionCalls } from "./connections.ts";
import { constantsOf } from "./constants.ts";
import { descriptorCalls } from "./descriptors.ts";
import type { VirtualProcess } from "./kernel.ts";
import { messageCalls } from "./messages.ts";
import { nameCalls } from "./names.ts";
import { optionCalls } from "./options.ts";
import { readinessCalls } from "./readiness.ts";

export function virtualSystem(process: VirtualProcess): System {
  const { abi } = process.kernel;
  const buffers = {
    out: new Int32Array(4),
    // sun_path: 108 bytes on Linux and illumos, 104 on Darwin and the BSDs.
    address: new Uint8Array(["linux", "illumos"].includes(abi.os) ? 108 : 104),
  };
  return {
    constants: constantsOf(abi),
    ...buffers,
    ...messageCalls(process, buffers),
    ...descriptorCalls(process),
    ...connectionCalls(process),
    ...nameCalls(process, buffers),
    ...optionCalls(process),
    ...readinessCalls(process),
  };
}
