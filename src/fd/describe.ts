/** Describes what a descriptor refers to. No flag and no offset changes. */

import { addressOf } from "../system/address.ts";
import { net } from "../system/builtins.ts";
import type { Platform } from "../system/platform.ts";
import { getsockoptInt, isListening } from "../system/socket-type.ts";
import { type Constants, FILE_STATUS, OUT } from "../system/system.ts";

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

/** A change that a memfd no longer allows (memfd_create(2), fcntl(2)). */
export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write" | "exec";

/** The description of a socket. */
export interface SocketDescription {
  /** `"other"`: any family that is not listed here. */
  readonly family: "unix" | "inet" | "inet6" | "other";
  /** `"other"`: any type that is not listed here. */
  readonly type: "stream" | "dgram" | "seqpacket" | "other";
  /** Whether it listens for connections. */
  readonly listening: boolean;
  /** The path (an abstract name begins with `"\0"`), or the address and port, that it is bound to; null if it is not bound. */
  readonly address: string | { readonly address: string; readonly port: number } | null;
}

/** What a descriptor refers to. */
export interface FdDescription {
  /** The kind of file. */
  readonly kind: FdKind;
  /** The access mode; `"path"` means that it was opened with O_PATH. */
  readonly access: "read" | "write" | "read-write" | "path";
  /** O_NONBLOCK of the open file description, which other processes may share. */
  readonly nonblocking: boolean;
  /** The size of a file or memfd, in bytes. */
  readonly size?: number;
  /** The seals of a memfd; empty when it has none. */
  readonly seals?: readonly Seal[];
  /** The description of a socket; absent for the file of a socket opened with O_PATH. */
  readonly socket?: SocketDescription;
}

/** The names that /proc/self/fd shows for anonymous files. */
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
export function describeFd(platform: Platform, fd: number): FdDescription | number {
  const { system, constants } = platform;
  const flags = system.fcntl(fd, constants.F_GETFL!, 0);
  if (flags < 0) return flags;
  const access = accessOf(flags, constants);
  const nonblocking = (flags & constants.O_NONBLOCK!) !== 0;
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  const result = system.fstat(fd, status);
  if (result < 0) return result;
  const type = Number(status[FILE_STATUS.MODE]) & constants.S_IFMT!;
  if (type === constants.S_IFSOCK) {
    // O_PATH opens the file of a socket, not the socket.
    return {
      kind: "socket",
      access,
      nonblocking,
      ...(access === "path" ? {} : { socket: describeSocket(platform, fd) }),
    };
  }
  const link = system.fdLink(fd) ?? "";
  if (type === constants.S_IFREG) {
    // A path begins with "/", so no other file has such a link.
    if (link.startsWith("pidfd:")) return { kind: "pidfd", access, nonblocking };
    const seals = sealsOf(platform, fd, status[FILE_STATUS.DEVICE]!);
    const size = Number(status[FILE_STATUS.SIZE]);
    if (seals === null) return { kind: "file", access, nonblocking, size };
    return { kind: "memfd", access, nonblocking, size, seals };
  }
  return { kind: kindOf(type, constants, link), access, nonblocking };
}

function accessOf(flags: number, constants: Constants): FdDescription["access"] {
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

function kindOf(type: number, constants: Constants, link: string): FdKind {
  switch (type) {
    case constants.S_IFDIR:
      return "directory";
    case constants.S_IFIFO:
      return "pipe";
    case constants.S_IFCHR:
      return "character-device";
    case constants.S_IFBLK:
      return "block-device";
    case constants.S_IFLNK:
      return "symbolic-link";
    default: {
      // Linux: an anonymous file (anon_inodes) has no type in st_mode; its link names it.
      if (link.startsWith("pidfd:")) return "pidfd";
      return ANONYMOUS[link.replace(/^anon_inode:/, "")] ?? "unknown";
    }
  }
}

/**
 * The seals of a memfd; null if the file is not a memfd. The name is no proof: a file of a tmpfs can be called "memfd:x".
 * F_GET_SEALS works on files of tmpfs and hugetlbfs too; they have F_SEAL_SEAL from the start and can get no other seal
 * (mm/memfd.c). A memfd with only that seal differs from them by its device: the kernel's internal mount.
 */
function sealsOf(platform: Platform, fd: number, device: bigint): Seal[] | null {
  const { system, constants } = platform;
  if (constants.F_GET_SEALS === undefined) return null;
  const bits = system.fcntl(fd, constants.F_GET_SEALS, 0);
  if (bits < 0 || (bits === constants.F_SEAL_SEAL && device !== memfdDevice(platform))) return null;
  return SEALS.filter(([name]) => (bits & (constants[name] ?? 0)) !== 0).map(([, seal]) => seal);
}

const memfdDevices = new WeakMap<Platform, bigint>();

/** `st_dev` of all memfds without huge pages; null if no memfd can be made, for example because the descriptor table is full. */
function memfdDevice(platform: Platform): bigint | null {
  const known = memfdDevices.get(platform);
  if (known !== undefined) return known;
  const { system } = platform;
  const fd = system.memfd();
  if (fd < 0) return null;
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  const result = system.fstat(fd, status);
  system.close(fd);
  if (result < 0) return null;
  const device = status[FILE_STATUS.DEVICE]!;
  memfdDevices.set(platform, device);
  return device;
}

function describeSocket(platform: Platform, fd: number): SocketDescription {
  const { system, constants } = platform;
  const family = system.getsockname(fd);
  const address = family === constants.AF_UNIX ? addressOf(system) : inetAddress(platform, family);
  return {
    family: nameOf(family, { AF_UNIX: "unix", AF_INET: "inet", AF_INET6: "inet6" }, constants),
    type: nameOf(
      getsockoptInt(platform, fd, "SO_TYPE"),
      { SOCK_STREAM: "stream", SOCK_DGRAM: "dgram", SOCK_SEQPACKET: "seqpacket" },
      constants,
    ),
    listening: isListening(platform, fd),
    address,
  };
}

function nameOf<T extends string>(
  value: number,
  names: Readonly<Record<string, T>>,
  constants: Constants,
): T | "other" {
  for (const [name, described] of Object.entries(names)) if (constants[name] === value) return described;
  return "other";
}

/**
 * Reads the bytes after the address family: the port in network order, then for IPv6 the flow label, then the address. If all are
 * zero, the socket is not bound.
 */
function inetAddress({ system, constants }: Platform, family: number): { address: string; port: number } | null {
  const length = system.out[OUT.ADDRESS_LENGTH]!;
  const bytes = system.address.subarray(0, Math.max(0, length));
  if (bytes.every((byte) => byte === 0)) return null;
  if (family === constants.AF_INET && length >= 6) {
    return { address: bytes.subarray(2, 6).join("."), port: portOf(bytes) };
  }
  if (family === constants.AF_INET6 && length >= 22) {
    const groups = Array.from({ length: 8 }, (_, i) => ((bytes[6 + 2 * i]! << 8) | bytes[7 + 2 * i]!).toString(16));
    // SocketAddress formats the address as RFC 5952 requires.
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
