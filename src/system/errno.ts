/** Errors of the kernel, with the properties of Node's system errors. */

import { os, util } from "./builtins.ts";

/** The error of a system call: `EPIPE: broken pipe, sendmsg`. */
export interface SystemError extends Error {
  /** The name, `"EPIPE"`. */
  readonly code: string;
  /** This host's number of the error, negative. */
  readonly errno: number;
  /** The system call, `"sendmsg"`. */
  readonly syscall: string;
  /** The name of the socket in the call: a path, or an abstract name. Not every error has it. */
  readonly address?: string;
}

/** This host's numbers, negative, as a {@link System} returns them. The virtual kernel uses the same numbers. */
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

/** Messages for errors that callers of this library can get, and that libuv and Node have no message for. */
const WORDS: Readonly<Record<string, string>> = {
  EDEADLK: "resource deadlock would occur",
  // Linux: more descriptors in flight than the sender may have (unix(7)).
  ETOOMANYREFS: "too many references: too many descriptors are in flight",
};
/** Node has no constant for this error. */
const ETOOMANYREFS = process.platform === "linux" ? -109 : null;

/** Stored, because Node makes a new map for each call. */
let named: ReadonlyMap<number, [string, string]> | undefined;

/** The name and the message of `-errno`. */
function describe(errno: number): readonly [string, string] {
  named ??= util.getSystemErrorMap();
  const known = named.get(errno);
  if (known !== undefined) return known;
  const [name] =
    Object.entries(os.constants.errno).find(([, number]) => number === -errno) ??
    (errno === ETOOMANYREFS ? ["ETOOMANYREFS"] : [`E${-errno}`]);
  return [name!, WORDS[name!] ?? "unknown error"];
}

/** The error for `-errno`. `hint` is appended to the message. `address` is in the message and a property, as in Node's own errors. */
export function errnoError(errno: number, syscall: string, hint?: string, address?: string): SystemError {
  const [code, message] = describe(errno);
  const where = address === undefined ? "" : ` ${util.inspect(address)}`;
  const error = new Error(`${code}: ${message}, ${syscall}${where}${hint === undefined ? "" : ` (${hint})`}`);
  return Object.assign(error, { code, errno, syscall }, address === undefined ? {} : { address });
}
