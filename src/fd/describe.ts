/** What a descriptor refers to. Looking changes nothing: no flag, no offset. */

import { addressOf } from "../system/address.ts";
import { fs, net } from "../system/builtins.ts";
import { OUT, type System } from "../system/system.ts";

/** The kinds of file that a descriptor can refer to. */
export type FdKind =
  | "file"
  | "directory"
  | "socket"
  | "pipe"
  | "character-device"
  | "block-device"
  | "symbolic-link"
  | "memfd"
  | "eventfd"
  | "epoll"
  | "pidfd"
  | "timerfd"
  | "signalfd"
  | "inotify"
  | "io_uring"
  | "userfaultfd"
  | "unknown";

/** Of a memfd: what can no longer be done to it (memfd_create(2), fcntl(2)). */
export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write" | "exec";

/** Of a socket. */
export interface SocketDescription {
  readonly family: "unix" | "inet" | "inet6" | "other";
  readonly type: "stream" | "dgram" | "seqpacket" | "other";
  /** Whether connections can be accepted from it. */
  readonly listening: boolean;
  /** What it is bound to: a path (an abstract one begins with `"\0"`), or an address and a port; null: nothing. */
  readonly address: string | { readonly address: string; readonly port: number } | null;
}

/** What a descriptor refers to. */
export interface FdDescription {
  readonly kind: FdKind;
  /** What may be done with it; `"path"`: nothing but naming (O_PATH). */
  readonly access: "read" | "write" | "read-write" | "path";
  /** O_NONBLOCK of the open file description, which other processes may share. */
  readonly nonblocking: boolean;
  /** Bytes, of a file or memfd. */
  readonly size?: number;
  /** Of a memfd; none: an empty list. */
  readonly seals?: readonly Seal[];
  /** Of a socket, unless it is the file that names one (O_PATH). */
  readonly socket?: SocketDescription;
}

/** Names of files that are in no file system, as /proc/self/fd shows them. */
const ANONYMOUS: Readonly<Record<string, FdKind>> = {
  "[eventfd]": "eventfd",
  "[eventpoll]": "epoll",
  "[pidfd]": "pidfd",
  "[timerfd]": "timerfd",
  "[signalfd]": "signalfd",
  inotify: "inotify",
  "[io_uring]": "io_uring",
  "[userfaultfd]": "userfaultfd",
};

const SEALS: readonly (readonly [string, Seal])[] = [
  ["F_SEAL_SEAL", "seal"],
  ["F_SEAL_SHRINK", "shrink"],
  ["F_SEAL_GROW", "grow"],
  ["F_SEAL_WRITE", "write"],
  ["F_SEAL_FUTURE_WRITE", "future-write"],
  ["F_SEAL_EXEC", "exec"],
];

/** The description, or `-errno`. */
export function describeFd(system: System, fd: number): FdDescription | number {
  const { constants } = system;
  const flags = system.fcntl(fd, constants.F_GETFL!, 0);
  if (flags < 0) return flags;
  const access = accessOf(flags, constants);
  const nonblocking = (flags & constants.O_NONBLOCK!) !== 0;
  const stat = fs.fstatSync(fd);
  const type = stat.mode & fs.constants.S_IFMT;
  if (type === fs.constants.S_IFSOCK) {
    // O_PATH opens the file that names a socket, which is none.
    return {
      kind: "socket",
      access,
      nonblocking,
      ...(access === "path" ? {} : { socket: describeSocket(system, fd) }),
    };
  }
  if (type === fs.constants.S_IFREG) {
    const seals = sealsOf(system, fd);
    const kind = seals === null ? (linkOf(fd)?.startsWith("pidfd:") ? "pidfd" : "file") : "memfd";
    if (kind === "pidfd") return { kind, access, nonblocking };
    return { kind, access, nonblocking, size: stat.size, ...(seals === null ? {} : { seals }) };
  }
  return { kind: kindOf(type, fd), access, nonblocking };
}

function accessOf(flags: number, constants: System["constants"]): FdDescription["access"] {
  const path = constants.O_PATH ?? -1;
  if (path > 0 && (flags & path) !== 0) return "path";
  switch (flags & constants.O_ACCMODE!) {
    case constants.O_WRONLY:
      return "write";
    case constants.O_RDWR:
      return "read-write";
    default:
      return "read";
  }
}

function kindOf(type: number, fd: number): FdKind {
  switch (type) {
    case fs.constants.S_IFDIR:
      return "directory";
    case fs.constants.S_IFIFO:
      return "pipe";
    case fs.constants.S_IFCHR:
      return "character-device";
    case fs.constants.S_IFBLK:
      return "block-device";
    case fs.constants.S_IFLNK:
      return "symbolic-link";
    default: {
      // Linux: files in no file system have no type; their name says what they are (anon_inodes).
      const link = linkOf(fd) ?? "";
      if (link.startsWith("pidfd:")) return "pidfd";
      return ANONYMOUS[link.replace(/^anon_inode:/, "")] ?? "unknown";
    }
  }
}

function linkOf(fd: number): string | null {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // No /proc, as on other systems.
    return null;
  }
}

/** Null: it is no memfd. F_GET_SEALS answers for files of tmpfs too, which are not anonymous. */
function sealsOf(system: System, fd: number): Seal[] | null {
  const { constants } = system;
  if (constants.F_GET_SEALS === undefined || !linkOf(fd)?.startsWith("/memfd:")) return null;
  const bits = system.fcntl(fd, constants.F_GET_SEALS, 0);
  if (bits < 0) return null;
  return SEALS.filter(([name]) => (bits & (constants[name] ?? 0)) !== 0).map(([, seal]) => seal);
}

function describeSocket(system: System, fd: number): SocketDescription {
  const { constants } = system;
  const family = system.getsockname(fd);
  const address = family === constants.AF_UNIX ? addressOf(system) : inetAddress(system, family);
  const option = (name: string): number => {
    const value = new Int32Array(1);
    const length = system.getsockopt(fd, constants.SOL_SOCKET!, constants[name]!, new Uint8Array(value.buffer));
    return length < 0 ? -1 : value[0]!;
  };
  return {
    family: nameOf(family, { AF_UNIX: "unix", AF_INET: "inet", AF_INET6: "inet6" }, constants),
    type: nameOf(
      option("SO_TYPE"),
      { SOCK_STREAM: "stream", SOCK_DGRAM: "dgram", SOCK_SEQPACKET: "seqpacket" },
      constants,
    ),
    listening: option("SO_ACCEPTCONN") > 0,
    address,
  };
}

function nameOf<T extends string>(
  value: number,
  names: Readonly<Record<string, T>>,
  constants: System["constants"],
): T | "other" {
  for (const [name, described] of Object.entries(names)) if (constants[name] === value) return described;
  return "other";
}

/**
 * From what lies behind the family: the port in network order, then the address; with IPv6 a flow label in between. All of it
 * zero: bound to nothing.
 */
function inetAddress(system: System, family: number): { address: string; port: number } | null {
  const { constants } = system;
  const length = system.out[OUT.ADDRESS_LENGTH]!;
  const bytes = system.address.subarray(0, Math.max(0, length));
  if (bytes.every((byte) => byte === 0)) return null;
  if (family === constants.AF_INET && length >= 6) {
    return { address: bytes.subarray(2, 6).join("."), port: portOf(bytes) };
  }
  if (family === constants.AF_INET6 && length >= 22) {
    const groups = Array.from({ length: 8 }, (_, i) => ((bytes[6 + 2 * i]! << 8) | bytes[7 + 2 * i]!).toString(16));
    // SocketAddress writes it as RFC 5952 has it.
    return {
      address: new (net().SocketAddress)({ address: groups.join(":"), family: "ipv6" }).address,
      port: portOf(bytes),
    };
  }
  return null;
}

function portOf(bytes: Uint8Array): number {
  return (bytes[0]! << 8) | bytes[1]!;
}
