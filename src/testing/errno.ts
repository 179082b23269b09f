/** Errors of the virtual kernel, by name. */

import { outOfRange } from "../core/errors.ts";
import { os } from "../system/builtins.ts";

/** Names of errors, as `errno(3)` has them. */
export type ErrnoName =
  | "E2BIG"
  | "EACCES"
  | "EADDRINUSE"
  | "EAGAIN"
  | "EBADF"
  | "EBUSY"
  | "ECONNABORTED"
  | "ECONNREFUSED"
  | "ECONNRESET"
  | "EDEADLK"
  | "EDESTADDRREQ"
  | "EEXIST"
  | "EINTR"
  | "EINVAL"
  | "EIO"
  | "EISCONN"
  | "EMFILE"
  | "EMSGSIZE"
  | "ENFILE"
  | "ENOBUFS"
  | "ENODATA"
  | "ENOENT"
  | "ENOMEM"
  | "ENOPROTOOPT"
  | "ENOSYS"
  | "ENOTCONN"
  | "ENOTSOCK"
  | "EOPNOTSUPP"
  | "EPERM"
  | "EPIPE"
  | "EPROTOTYPE"
  | "ERANGE"
  | "ETOOMANYREFS"
  | "EWOULDBLOCK";

/** `-errno` by this host's numbers, which are those of the library. */
export function errnoOf(name: ErrnoName): number {
  const numbers = os.constants.errno as Readonly<Record<string, number>>;
  // Node lacks ETOOMANYREFS; this is Linux's number.
  const number = name === "ETOOMANYREFS" ? 109 : numbers[name];
  if (typeof number !== "number") throw outOfRange("errno", "a name of errno(3)", name);
  return -number;
}
