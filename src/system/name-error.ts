/** Errors of calls that name a socket: what is there instead of it. */

import {
  ECONNREFUSED,
  EMSGSIZE,
  ENOENT,
  ENOTDIR,
  ENOTSOCK,
  EPROTOTYPE,
  errnoError,
  type SystemError,
} from "./errno.ts";
import type { Platform } from "./platform.ts";
import { SOCK, type SocketType } from "./socket-type.ts";
import { FILE_STATUS, type System } from "./system.ts";

/** Other types of files, by the constant of the type. */
const KINDS: Readonly<Record<string, string>> = {
  S_IFIFO: "a FIFO",
  S_IFCHR: "a character device",
  S_IFDIR: "a directory",
  S_IFBLK: "a block device",
  S_IFREG: "a regular file",
  S_IFLNK: "a symbolic link",
};

/** What a file that is no socket is, from its mode; null for a socket. */
export function kindOfFile({ constants }: System, mode: bigint): string | null {
  const type = Number(mode) & constants.S_IFMT!;
  if (type === constants.S_IFSOCK) return null;
  const name = Object.keys(KINDS).find((kind) => constants[kind] === type);
  return name === undefined ? "a file that is no socket" : KINDS[name]!;
}

/** What the path names instead of a socket; null if that cannot be found out. A symbolic link may lead to a socket. */
function otherFile(system: System, path: string): string | null {
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  if (path.startsWith("\0") || system.lstat(path, status) < 0) return null;
  const kind = kindOfFile(system, status[FILE_STATUS.MODE]!);
  return kind === KINDS.S_IFLNK ? null : kind;
}

/** The error of a `bind` to a path. */
export function bindError(errno: number, path: string): SystemError {
  return errnoError(errno, "bind", errno === ENOENT ? "its folder does not exist" : throughFile(errno), path);
}

/**
 * The error of a `connect`, or of a send to the socket of a name or to the peer (no name).
 *
 * @param type that of the calling socket
 */
export function peerError(
  { system }: Platform,
  errno: number,
  syscall: string,
  name: string | undefined,
  type: SocketType,
): SystemError {
  return errnoError(errno, syscall, reasonOf(system, errno, name, type), name);
}

function reasonOf(system: System, errno: number, name: string | undefined, type: SocketType): string | null {
  if (errno === EMSGSIZE) return "the message is longer than this socket can send: see SO_SNDBUF";
  if (name === undefined) return null;
  switch (errno) {
    case EPROTOTYPE:
      return `the socket there is not of type ${SOCK[type]}`;
    case ECONNREFUSED:
    // Darwin and the BSDs return it for other files.
    case ENOTSOCK: {
      const kind = otherFile(system, name);
      if (kind !== null) return `${kind}, not a socket`;
      return type === "dgram" ? "no process has a socket of this name open" : "no process listens there";
    }
    case ENOENT:
      if (name.startsWith("@")) return 'an abstract name begins with "\\0", not with "@"';
      return /^(unix|file):/.test(name) ? "expected a path, not a URL" : null;
    default:
      return throughFile(errno);
  }
}

const throughFile = (errno: number): string | null =>
  errno === ENOTDIR ? "a component of the path is not a folder" : null;
