/** The C headers of a virtual system. */

import type { Abi } from "../core/abis/table.ts";
import type { Constants } from "../system/system.ts";
import { rulesOf } from "./systems.ts";

/** Numbers that no row of the table has. Any will do: only the library sees them. */
export const CONSTANTS = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 30,
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

/** Those that Linux alone has. */
export const LINUX_CONSTANTS = {
  POLLRDHUP: 0x2000,
  F_ADD_SEALS: 1033,
  F_GET_SEALS: 1034,
  F_SEAL_SEAL: 1,
  F_SEAL_SHRINK: 2,
  F_SEAL_GROW: 4,
  F_SEAL_WRITE: 8,
  F_SEAL_FUTURE_WRITE: 16,
  F_SEAL_EXEC: 32,
  MFD_ALLOW_SEALING: 2,
  MFD_NOEXEC_SEAL: 8,
} as const;

/** Readiness bits beside those of the library. */
export const POLLERR = 8;
export const POLLNVAL = 32;

export function constantsOf(abi: Abi): Constants {
  return { ...CONSTANTS, ...(rulesOf(abi).linuxHeaders ? LINUX_CONSTANTS : {}) };
}
