/** The C headers of a virtual system. */

import type { Abi } from "../core/abis/table.ts";
import type { Constants } from "../system/system.ts";
import { rulesOf } from "./systems.ts";

/** Numbers that no row of the table has. Any will do: only the library sees them. */
export const CONSTANTS = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 30,
  SOL_LOCAL: 0,
  SO_TYPE: 0x10001,
  SO_ACCEPTCONN: 0x10002,
  SO_ERROR: 0x10003,
  F_GETFD: 1,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  FD_CLOEXEC: 1,
  O_ACCMODE: 3,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_NONBLOCK: 0x800,
  S_IFMT: 0xf000,
  S_IFSOCK: 0xc000,
  S_IFREG: 0x8000,
  S_IFDIR: 0x4000,
  POLLHUP: 16,
} as const;

/** Those that only some systems have. */
export const SOME_CONSTANTS = {
  LOCAL_PEERCRED: 0x10004,
  LOCAL_PEERPID: 0x10005,
  LOCAL_PEEREID: 0x10006,
  POLLRDHUP: 0x2000,
} as const;

/** Readiness bits beside those of the library. */
export const POLLERR = 8;
export const POLLNVAL = 32;

export function constantsOf(abi: Abi): Constants {
  return { ...CONSTANTS, ...Object.fromEntries(rulesOf(abi).headers.map((name) => [name, SOME_CONSTANTS[name]])) };
}
