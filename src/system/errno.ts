/** Errors of the kernel, with the properties of Node's system errors. */

import type { Abi } from "../core/abis/table.ts";
import { lacks, versionOf } from "../core/abis/version.ts";
import { os, util } from "./builtins.ts";

/** The error of a system call: `EPIPE: broken pipe, sendmsg`. */
export interface SystemError extends Error {
  /** The name, `"EPIPE"`. */
  readonly code: string;
  /** This host's number of the error, negative. */
  readonly errno: number;
  /** The system call, `"sendmsg"`. */
  readonly syscall: string;
  /**
   * The name of the socket in the call, of `bind`, `listen`, `connect` and sends to a name: an abstract name, or a path. That of a send
   * is absolute.
   */
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
export const EINVAL: number = -os.constants.errno.EINVAL;
export const ERANGE: number = -os.constants.errno.ERANGE;
export const ENOPROTOOPT: number = -os.constants.errno.ENOPROTOOPT;
export const EDESTADDRREQ: number = -os.constants.errno.EDESTADDRREQ;
export const ENOTCONN: number = -os.constants.errno.ENOTCONN;
export const EADDRINUSE: number = -os.constants.errno.EADDRINUSE;
export const ECONNABORTED: number = -os.constants.errno.ECONNABORTED;
export const ECONNRESET: number = -os.constants.errno.ECONNRESET;
export const EPIPE: number = -os.constants.errno.EPIPE;
export const ECONNREFUSED: number = -os.constants.errno.ECONNREFUSED;
export const EBUSY: number = -os.constants.errno.EBUSY;
export const EBADF: number = -os.constants.errno.EBADF;
export const ENOENT: number = -os.constants.errno.ENOENT;
export const ENOSYS: number = -os.constants.errno.ENOSYS;
export const EACCES: number = -os.constants.errno.EACCES;
export const ENOTSOCK: number = -os.constants.errno.ENOTSOCK;
export const ENOTDIR: number = -os.constants.errno.ENOTDIR;
export const EPROTOTYPE: number = -os.constants.errno.EPROTOTYPE;

/** Messages for errors that callers of this library can get, and that libuv and Node have no message for. */
const WORDS: Readonly<Record<string, string>> = {
  // A virtual kernel, for a call that would wait for ever.
  EDEADLK: "resource deadlock would occur: no other process can run meanwhile, see VirtualKernel.whileWaiting",
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
export function errnoError(errno: number, syscall: string, hint?: string | null, address?: string): SystemError {
  return systemError(describe(errno), errno, syscall, hint, address);
}

/**
 * {@link errnoError} of a call on a descriptor, which `EBADF` and `ENOTSOCK` name. `owned`: this library owns it, so only other code can
 * have closed it.
 */
export function fdError(errno: number, syscall: string, fd: number, owned = false, hint?: string | null): SystemError {
  const closed = `descriptor ${fd} is not open${owned ? ": other code has closed it" : ""}`;
  const text = errno === EBADF ? closed : errno === ENOTSOCK ? `descriptor ${fd} is no socket` : hint;
  return errnoError(errno, syscall, text);
}

/** The error of a call whose `timeout` has passed. The kernel's own text for this number, "connection timed out", is about networks. */
export function timedOut(syscall: string, timeout: number, hint?: string | null, address?: string): SystemError {
  return systemError(["ETIMEDOUT", `the timeout of ${timeout} ms has passed`], ETIMEDOUT, syscall, hint, address);
}

/**
 * What the error of a call with something that the kernel does not know says of it: which kernel has it, where this one is older.
 *
 * @param name the number's name in the C headers
 * @param what what the caller calls it; returned as it is where the kernel is not too old
 */
export function needs({ abi, system }: NeedsOf, name: string, what: string = name): string {
  const version = versionOf(system.release);
  return abi.os === "linux" && version !== null && lacks(abi.since, name, version)
    ? `${what} needs Linux ${abi.since[name]}; this is ${system.release}`
    : what;
}

/** A platform, of which {@link needs} asks these. */
interface NeedsOf {
  readonly abi: Pick<Abi, "os" | "since">;
  readonly system: { readonly release: string };
}

function systemError(
  [code, message]: readonly [string, string],
  errno: number,
  syscall: string,
  hint: string | null | undefined,
  address: string | undefined,
): SystemError {
  const where = address === undefined ? "" : ` ${util.inspect(address)}`;
  const error = new Error(`${code}: ${message}, ${syscall}${where}${hint == null ? "" : ` (${hint})`}`);
  return Object.assign(error, { code, errno, syscall }, address === undefined ? {} : { address });
}
