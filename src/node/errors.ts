/** Errors from the kernel, shaped as Node's own. */

import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";

/** What the kernel refused: `EPIPE: broken pipe, sendmsg`. */
export interface SystemError extends Error {
  /** The name, `"EPIPE"`. */
  readonly code: string;
  /** The number, negative, of this host. */
  readonly errno: number;
  /** The system call, `"sendmsg"`. */
  readonly syscall: string;
}

/** Numbers of this host, negative as the {@link System} returns them. The virtual kernel uses the same ones. */
export const EAGAIN: number = -constants.errno.EAGAIN;
export const EWOULDBLOCK: number = -constants.errno.EWOULDBLOCK;
export const EPERM: number = -constants.errno.EPERM;
export const ENOTSUP: number = -constants.errno.ENOTSUP;
export const ETIMEDOUT: number = -constants.errno.ETIMEDOUT;
export const EINPROGRESS: number = -constants.errno.EINPROGRESS;
export const EMFILE: number = -constants.errno.EMFILE;
export const ENFILE: number = -constants.errno.ENFILE;
export const EMSGSIZE: number = -constants.errno.EMSGSIZE;
export const ENOBUFS: number = -constants.errno.ENOBUFS;
export const ENOTCONN: number = -constants.errno.ENOTCONN;
export const EADDRINUSE: number = -constants.errno.EADDRINUSE;
export const ECONNABORTED: number = -constants.errno.ECONNABORTED;
export const ECONNREFUSED: number = -constants.errno.ECONNREFUSED;
export const EBADF: number = -constants.errno.EBADF;

/** What libuv, and so Node's table, has no words for but this library's callers meet. */
const WORDS: Readonly<Record<string, string>> = {
  EDEADLK: "resource deadlock would occur",
  // Linux: more descriptors in flight than the sender may have (unix(7)).
  ETOOMANYREFS: "too many references: too many descriptors are in flight",
};
/** Node has no name for it. */
const ETOOMANYREFS = process.platform === "linux" ? -109 : null;

/** The name and the words of `-errno`. */
function describe(errno: number): readonly [string, string] {
  const known = getSystemErrorMap().get(errno);
  if (known !== undefined) return known;
  const [name] =
    Object.entries(constants.errno).find(([, number]) => number === -errno) ??
    (errno === ETOOMANYREFS ? ["ETOOMANYREFS"] : [`E${-errno}`]);
  return [name!, WORDS[name!] ?? "unknown error"];
}

/** The error for `-errno`. `hint` is appended to the message. */
export function errnoError(errno: number, syscall: string, hint?: string): SystemError {
  const [code, message] = describe(errno);
  const error = new Error(`${code}: ${message}, ${syscall}${hint === undefined ? "" : ` (${hint})`}`);
  return Object.assign(error, { code, errno, syscall });
}
