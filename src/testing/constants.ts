/** What the C headers of a virtual system say. */

import type { Abi } from "../core/abis/table.ts";
import type { Constants } from "../system/system.ts";

/** Numbers that no row of the table has: any will do, as nobody but the library sees them. */
export const CONSTANTS = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 30,
  SOL_LOCAL: 0,
  SO_TYPE: 0x10001,
  SO_ACCEPTCONN: 0x10002,
  SO_ERROR: 0x10003,
  LOCAL_PEERCRED: 0x10004,
  LOCAL_PEERPID: 0x10005,
  LOCAL_PEEREID: 0x10006,
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
  POLLHUP: 16,
} as const;
export const POLLERR = 8;
export const POLLNVAL = 32;
export const POLLRDHUP = 0x2000;

/** Which of them a system has. */
export function constantsOf({ os }: Abi): Constants {
  const { LOCAL_PEERCRED, LOCAL_PEERPID, LOCAL_PEEREID, ...common } = CONSTANTS;
  switch (os) {
    case "linux":
      return { ...common, POLLRDHUP };
    case "darwin":
      return { ...common, LOCAL_PEERCRED, LOCAL_PEERPID };
    case "freebsd":
    case "dragonfly":
      return { ...common, LOCAL_PEERCRED };
    case "netbsd":
      return { ...common, LOCAL_PEEREID };
    default:
      return common;
  }
}
