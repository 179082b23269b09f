/** The system calls of a virtual process: the library's seam, answered in memory. */

import type { System } from "../system/system.ts";
import { connectionCalls } from "./connections.ts";
import { constantsOf } from "./constants.ts";
import { descriptorCalls } from "./descriptors.ts";
import type { Process } from "./machine.ts";
import { messageCalls } from "./messages.ts";
import { nameCalls } from "./names.ts";
import { optionCalls } from "./options.ts";
import { readinessCalls } from "./readiness.ts";
import { Caller, type Events } from "./system-call.ts";

export function virtualSystem(process: Process, events: Events): System {
  const { abi, release } = process.machine;
  const caller = new Caller(process, events);
  const buffers = {
    out: new Int32Array(4),
    address: new Uint8Array(Math.max(abi.sunPathBytes, abi.longPathBytes ?? 0)),
  };
  return {
    constants: constantsOf(abi),
    release,
    ...buffers,
    ...messageCalls(caller, buffers),
    ...descriptorCalls(caller),
    ...connectionCalls(caller),
    ...nameCalls(caller, buffers),
    ...optionCalls(caller),
    ...readinessCalls(caller),
  };
}
