/** Describes what a descriptor refers to. No flag and no offset changes. */

import { addressOf } from "../system/address.ts";
import { net, onBun } from "../system/builtins.ts";
import { EINVAL } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { getsockoptInt, isListening } from "../system/socket-type.ts";
import { type Constants, FILE_STATUS, OUT } from "../system/system.ts";

/**
 * The kinds of file that a descriptor can refer to. Linux has those from `"memfd"` on. `/dev/kvm` is a character device; the virtual
 * machine that it makes is `"kvm-vm"`.
 */
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
  | "fanotify"
  | "io_uring"
  | "userfaultfd"
  | "seccomp-notify"
  | "landlock-ruleset"
  | "kvm-vm"
  | "kvm-vcpu"
  | "kvm-guest-memfd"
  | "bpf-map"
  | "bpf-prog"
  | "perf_event"
  | "fscontext"
  | "namespace"
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
  /** The size of a file or memfd, in bytes. On a file system with a server (FUSE, NFS) it is what the kernel knew last. */
  readonly size?: number;
  /** The seals of a memfd; empty when it has none. */
  readonly seals?: readonly Seal[];
  /** The description of a socket; absent for the file of a socket opened with O_PATH. */
  readonly socket?: SocketDescription;
}

/** The kinds that the type in `st_mode` tells. */
const TYPES: Readonly<Record<string, FdKind>> = {
  S_IFDIR: "directory",
  S_IFIFO: "pipe",
  S_IFCHR: "character-device",
  S_IFBLK: "block-device",
  S_IFLNK: "symbolic-link",
};

/** The names that /proc/self/fd shows for anonymous files (anon_inode_getfd in the kernel's sources), without a number at the end. */
const ANONYMOUS: Readonly<Record<string, FdKind>> = {
  "[eventfd]": "eventfd",
  "[eventpoll]": "epoll",
  "[pidfd]": "pidfd",
  "[timerfd]": "timerfd",
  "[signalfd]": "signalfd",
  inotify: "inotify",
  "[fanotify]": "fanotify",
  "[io_uring]": "io_uring",
  "[userfaultfd]": "userfaultfd",
  "seccomp notify": "seccomp-notify",
  "[landlock-ruleset]": "landlock-ruleset",
  // Linux 5.13 to 5.17.
  "landlock-ruleset": "landlock-ruleset",
  "kvm-vm": "kvm-vm",
  "kvm-vcpu": "kvm-vcpu",
  "[kvm-gmem]": "kvm-guest-memfd",
  "bpf-map": "bpf-map",
  "bpf-prog": "bpf-prog",
  "[perf_event]": "perf_event",
  "[fscontext]": "fscontext",
};

/** The seals, and the names of their numbers. */
export const SEALS: readonly (readonly [string, Seal])[] = [
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
    // A path begins with "/", so no other files have such links: "pidfd:[5]", "net:[4026531840]", "anon_inode:[kvm-gmem]".
    if (/^(pidfd|anon_inode):/.test(link)) return { kind: kindOf(type, constants, link), access, nonblocking };
    if (/^\w+:\[\d+\]$/.test(link)) return { kind: "namespace", access, nonblocking };
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
  const mode = flags & constants.O_ACCMODE!;
  if (mode === constants.O_RDWR) return "read-write";
  return mode === constants.O_WRONLY ? "write" : "read";
}

function kindOf(type: number, constants: Constants, link: string): FdKind {
  const kind = nameOf(type, TYPES, constants);
  if (kind !== "other") return kind;
  // Linux: an anonymous file (anon_inodes) has no type in st_mode; its link names it.
  if (link.startsWith("pidfd:")) return "pidfd";
  return ANONYMOUS[link.replace(/^anon_inode:|:\d+$/g, "")] ?? "unknown";
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
  const fd = makeMemfd(platform, "");
  if (fd < 0) return null;
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  const result = system.fstat(fd, status);
  system.close(fd);
  if (result < 0) return null;
  const device = status[FILE_STATUS.DEVICE]!;
  memfdDevices.set(platform, device);
  return device;
}

/**
 * An empty memfd that may be sealed, and that nobody can make executable where the kernel knows that (Linux 6.3). There the kernel warns
 * about a memfd that says neither, and with `vm.memfd_noexec` 2 it makes none that could be executed (mm/memfd.c). The number, or `-errno`.
 */
export function makeMemfd({ system, constants }: Platform, name: string): number {
  const made = system.memfd(name, constants.MFD_NOEXEC_SEAL ?? 0);
  return made === EINVAL ? system.memfd(name, constants.MFD_ALLOW_SEALING ?? 0) : made;
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
    return { address: inet6Text(groups.join(":")), port: portOf(bytes) };
  }
  return null;
}

/** The address as RFC 5952 requires. SocketAddress writes it so, except that of Bun. */
function inet6Text(address: string): string {
  if (onBun) return new URL(`http://[${address}]`).hostname.slice(1, -1);
  return new (net().SocketAddress)({ address, family: "ipv6" }).address;
}

function portOf(bytes: Uint8Array): number {
  return (bytes[0]! << 8) | bytes[1]!;
}
