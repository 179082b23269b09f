/** Errors from the kernel, shaped as Node's own. */

import { os, util } from "./builtins.ts";

/** What the kernel refused: `EPIPE: broken pipe, sendmsg`. */
export interface SystemError extends Error {
  /** The name, `"EPIPE"`. */
  readonly code: string;
  /** The number, negative, of this host. */
  readonly errno: number;
  /** The system call, `"sendmsg"`. */
  readonly syscall: string;
  /** The name of the socket that the call was about: a path, or an abstract name. Not every error has it. */
  readonly address?: string;
}

/** Numbers of this host, negative as the {@link System} returns them. The virtual kernel uses the same ones. */
export const EAGAIN: number = -os.constants.errno.EAGAIN;
export const EWOULDBLOCK: number = -os.constants.errno.EWOULDBLOCK;
export const EPERM: number = -os.constants.errno.EPERM;
export const ENOTSUP: number = -os.constants.errno.ENOTSUP;
export const ETIMEDOUT: number = -os.constants.errno.ETIMEDOUT;
export const EINPROGRESS: number = -os.constants.errno.EINPROGRESS;
export const EMFILE: number = -os.constants.errno.EMFILE;
export const ENFILE: number = -os.constants.errno.ENFILE;
export const EMSGSIZE: number = -os.constants.errno.EMSGSIZE;
export const ENOBUFS: number = -os.constants.errno.ENOBUFS;
export const ENOTCONN: number = -os.constants.errno.ENOTCONN;
export const EADDRINUSE: number = -os.constants.errno.EADDRINUSE;
export const ECONNABORTED: number = -os.constants.errno.ECONNABORTED;
export const ECONNRESET: number = -os.constants.errno.ECONNRESET;
export const EPIPE: number = -os.constants.errno.EPIPE;
export const ECONNREFUSED: number = -os.constants.errno.ECONNREFUSED;
export const EBUSY: number = -os.constants.errno.EBUSY;
export const EBADF: number = -os.constants.errno.EBADF;
export const ENOENT: number = -os.constants.errno.ENOENT;
export const EACCES: number = -os.constants.errno.EACCES;

/** What libuv, and so Node's table, has no words for but this library's callers meet. */
const WORDS: Readonly<Record<string, string>> = {
  EDEADLK: "resource deadlock would occur",
  // Linux: more descriptors in flight than the sender may have (unix(7)).
  ETOOMANYREFS: "too many references: too many descriptors are in flight",
};
/** Node has no name for it. */
const ETOOMANYREFS = process.platform === "linux" ? -109 : null;

/** Node builds it anew for each call. */
let named: ReadonlyMap<number, [string, string]> | undefined;

/** The name and the words of `-errno`. */
function describe(errno: number): readonly [string, string] {
  named ??= util.getSystemErrorMap();
  const known = named.get(errno);
  if (known !== undefined) return known;
  const [name] =
    Object.entries(os.constants.errno).find(([, number]) => number === -errno) ??
    (errno === ETOOMANYREFS ? ["ETOOMANYREFS"] : [`E${-errno}`]);
  return [name!, WORDS[name!] ?? "unknown error"];
}

/** The error for `-errno`. `hint` is appended to the message; `address` is in it, and a property, as of Node's own errors. */
export function errnoError(errno: number, syscall: string, hint?: string, address?: string): SystemError {
  const [code, message] = describe(errno);
  const where = address === undefined ? "" : ` ${util.inspect(address)}`;
  const error = new Error(`${code}: ${message}, ${syscall}${where}${hint === undefined ? "" : ` (${hint})`}`);
  return Object.assign(error, { code, errno, syscall }, address === undefined ? {} : { address });
}
