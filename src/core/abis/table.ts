/**
 * The ABI table: what every system and architecture makes of a control message. The one place of these facts; the core is
 * configured from it, the C headers of the host are compared with it, the oracles of `test/oracles` check its layouts.
 *
 * A row is a system's numbers, a layout, and what an architecture does differently. `source` says where each was read,
 * cross-checked with golang.org/x/sys (`ztypes`, `zerrors`) and the Rust libc crate where these have the target.
 */

import { outOfRange } from "../errors.ts";

/** Where the credentials lie in the payload of messages of a type. Effective ids where real and effective are told apart. */
export interface CredentialsLayout {
  /** `cmsg_type`, at level SOL_SOCKET. */
  readonly type: number;
  /** The C struct. */
  readonly name: string;
  /** Least bytes of the payload. */
  readonly bytes: number;
  /** Offsets of 4-byte fields; `pid` null: there is none. */
  readonly pid: number | null;
  readonly uid: number;
  readonly gid: number;
  /** Whether a sender may (or, for the kernel to fill them in, must) attach them. */
  readonly sendable: boolean;
}

/** Where a time lies in the payload of messages of a type. */
export interface TimestampLayout {
  /** `cmsg_type`, at level SOL_SOCKET. */
  readonly type: number;
  readonly name: string;
  /** What the fraction counts; `bintime`: units of 2^-64 s. */
  readonly unit: "microseconds" | "nanoseconds" | "bintime";
  /** How many times follow one another: 3 for SCM_TIMESTAMPING. */
  readonly times: number;
  /** Bytes of one time; of its seconds, at offset 0; where its fraction lies, and its bytes. */
  readonly bytes: number;
  readonly secondsBytes: 4 | 8;
  readonly fractionOffset: number;
  readonly fractionBytes: 4 | 8;
}

/** `struct msghdr`, whose control length the caller of a raw system call has to find. Offsets and sizes in bytes. */
export interface MsghdrLayout {
  readonly bytes: number;
  readonly iovlenOffset: number;
  readonly iovlenBytes: 4 | 8;
  readonly controlOffset: number;
  readonly controllenOffset: number;
  readonly controllenBytes: 4 | 8;
  readonly flagsOffset: number;
}

/** One target. Offsets and sizes in bytes; a number that the system does not have is null. */
export interface Abi {
  readonly name: AbiName;
  readonly os: "linux" | "darwin" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "illumos";
  readonly arch: string;
  /** Linux only: whose C struct it is. The bytes on the wire are the kernel's, the same for all. */
  readonly libc: "glibc" | "musl" | "bionic" | null;
  readonly pointerBytes: 4 | 8;
  readonly endian: "little" | "big";
  /** How the layout is known: run, compiled with the target's headers, read in them, or from other projects' tables. */
  readonly evidence: "measured" | "compiled" | "source" | "tables";
  /** The files that the row was read in. */
  readonly source: string;

  /** `sizeof(struct cmsghdr)`. */
  readonly headerBytes: number;
  /** `cmsg_len`. musl's has 4 bytes and a pad; on the wire, with the pad zero, it is the kernel's 8. */
  readonly lengthOffset: number;
  readonly lengthBytes: 4 | 8;
  readonly levelOffset: number;
  readonly typeOffset: number;
  /** `CMSG_LEN(0)`. */
  readonly dataOffset: number;
  /** `CMSG_ALIGN` rounds up to it. */
  readonly alignBytes: number;
  /** Where the next header may begin; not `alignBytes` on illumos/sparcv9 only. */
  readonly headerAlignBytes: number;
  readonly msghdr: MsghdrLayout;

  readonly SOL_SOCKET: number;
  readonly SCM_RIGHTS: number;
  readonly SCM_CREDENTIALS: number | null;
  readonly SCM_CREDS: number | null;
  readonly SCM_CREDS2: number | null;
  readonly SCM_UCRED: number | null;
  readonly SCM_SECURITY: number | null;
  readonly SCM_PIDFD: number | null;
  readonly SCM_INQ: number | null;
  readonly SCM_TIMESTAMP: number;

  readonly MSG_OOB: number;
  readonly MSG_PEEK: number;
  readonly MSG_TRUNC: number;
  readonly MSG_CTRUNC: number;
  readonly MSG_WAITALL: number;
  readonly MSG_EOR: number;
  readonly MSG_DONTWAIT: number;
  readonly MSG_NOSIGNAL: number | null;
  /** Null: received descriptors need `fcntl` to become CLOEXEC. */
  readonly MSG_CMSG_CLOEXEC: number | null;
  readonly MSG_CMSG_CLOFORK: number | null;

  readonly SO_NOSIGPIPE: number | null;
  readonly SO_PASSCRED: number | null;
  readonly SO_PEERCRED: number | null;
  readonly SO_PASSSEC: number | null;
  readonly SO_PEERSEC: number | null;
  readonly SO_PEERGROUPS: number | null;
  readonly SO_PASSPIDFD: number | null;
  readonly SO_PEERPIDFD: number | null;
  readonly SO_PASSRIGHTS: number | null;

  readonly SOCK_STREAM: number;
  readonly SOCK_DGRAM: number;
  /** Null: AF_UNIX has none. */
  readonly SOCK_SEQPACKET: number | null;
  readonly F_DUPFD_CLOEXEC: number;

  /** The most descriptors that one `sendmsg` takes. */
  readonly maxFdsPerMessage: number;
  /** The most control bytes that one `sendmsg` takes; null: no fixed limit. */
  readonly maxControlBytes: number | null;
  /** What `msg_controllen` has to be on a send: with the last message's padding (`CMSG_SPACE`) or without (`CMSG_LEN`). */
  readonly sendControlLength: "space" | "len";
  /** Several SCM_RIGHTS in one `sendmsg`: merged into one, kept apart, refused, or all but the first lost in silence. */
  readonly severalRights: "merged" | "separate" | "refused" | "first";
  /** What a receive does with descriptors that the control buffer, or the descriptor table, has no room for. */
  readonly truncation: "linux" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "xnu" | "illumos";
  /** Room that n descriptors need to be received: `CMSG_SPACE(4n)`, or `CMSG_LEN(4n)` is enough. */
  readonly receiveNeeds: "space" | "len";
  /** The errno of a receive with a full descriptor table; null: what fits is delivered, with MSG_CTRUNC. */
  readonly tableFullErrno: "EMFILE" | "EMSGSIZE" | null;
  /** The errno of a datagram for a full receiver. */
  readonly datagramFullErrno: "EAGAIN" | "ENOBUFS";
  /** What MSG_PEEK does with descriptors: new ones each time, kernel pointers, nothing, or zeros. */
  readonly peek: "duplicates" | "pointers" | "omitted" | "zeroed";
  /** Descriptors with no byte on a stream: lost in silence, or delivered with a receive of 0. */
  readonly emptyStreamRights: "dropped" | "delivered";
  /** The rule of `CMSG_NXTHDR`, which the core's walk is stricter than. */
  readonly nextHeader: "glibc" | "musl" | "bionic" | "bsd" | "illumos";
  readonly credentials: readonly CredentialsLayout[];
  readonly timestamps: readonly TimestampLayout[];
  /** Payload bytes of every message that can come beside SCM_RIGHTS with all socket options on, labels apart. */
  readonly receiveMessages: readonly number[];
}

/** The rows. On musl rows `lengthBytes` is that of musl's struct. */
export type AbiName =
  | `linux-${"x86_64" | "i386" | "armv7" | "aarch64" | "s390x" | "powerpc64" | "powerpc"}-${"glibc" | "musl"}`
  | `linux-${"riscv64" | "powerpc64le" | "mips" | "x32"}-glibc`
  | `linux-${"riscv64" | "powerpc64le"}-musl`
  | `android-${"aarch64" | "x86_64" | "armv7"}-bionic`
  | `darwin-${"arm64" | "x86_64"}`
  | `freebsd-${"amd64" | "arm64" | "riscv64" | "powerpc64" | "i386" | "armv7"}`
  | `openbsd-${"amd64" | "arm64" | "riscv64" | "i386" | "arm" | "powerpc" | "sparc64"}`
  | `netbsd-${"amd64" | "i386" | "arm-eabi" | "aarch64" | "sparc64"}`
  | "dragonfly-x86_64"
  | `illumos-${"amd64" | "sparcv9"}`;

type Layout = Pick<
  Abi,
  | "pointerBytes"
  | "headerBytes"
  | "lengthOffset"
  | "lengthBytes"
  | "levelOffset"
  | "typeOffset"
  | "dataOffset"
  | "alignBytes"
  | "headerAlignBytes"
  | "msghdr"
>;

/** A header whose fields follow one another, and a payload that begins at the next multiple of the alignment. */
function layout(pointerBytes: 4 | 8, lengthBytes: 4 | 8, alignBytes: number, msghdr: MsghdrLayout): Layout {
  const headerBytes = lengthBytes + 8;
  return {
    pointerBytes,
    headerBytes,
    lengthOffset: 0,
    lengthBytes,
    levelOffset: lengthBytes,
    typeOffset: lengthBytes + 4,
    dataOffset: Math.ceil(headerBytes / alignBytes) * alignBytes,
    alignBytes,
    headerAlignBytes: alignBytes,
    msghdr,
  };
}

/** The same fields with one size for both lengths; `flags` follow the control length. */
function msghdr(pointerBytes: 4 | 8, lengthBytes: 4 | 8): MsghdrLayout {
  const iovlenOffset = 3 * pointerBytes;
  const controlOffset = iovlenOffset + pointerBytes;
  const controllenOffset = controlOffset + pointerBytes;
  const flagsOffset = controllenOffset + lengthBytes;
  return {
    bytes: Math.ceil((flagsOffset + 4) / pointerBytes) * pointerBytes,
    iovlenOffset,
    iovlenBytes: lengthBytes,
    controlOffset,
    controllenOffset,
    controllenBytes: lengthBytes,
    flagsOffset,
  };
}

/** Linux on 64 bit: the kernel's lengths are `size_t`. */
const linux64: Layout = layout(8, 8, 8, msghdr(8, 8));
const linux32: Layout = layout(4, 4, 4, msghdr(4, 4));

/** musl declares 4 bytes where the kernel has 8, and a pad behind them, or in front of them on big endian. */
function musl64(endian: "little" | "big"): Layout {
  const pad = endian === "little" ? 0 : 4;
  const { iovlenOffset, controllenOffset } = linux64.msghdr;
  return {
    ...linux64,
    lengthOffset: pad,
    lengthBytes: 4,
    msghdr: {
      ...linux64.msghdr,
      iovlenOffset: iovlenOffset + pad,
      iovlenBytes: 4,
      controllenOffset: controllenOffset + pad,
      controllenBytes: 4,
    },
  };
}

/** Darwin, the BSDs and illumos: lengths are `socklen_t`, of 4 bytes on 64 bit too, and the alignment differs. */
function bsd(pointerBytes: 4 | 8, alignBytes: number): Layout {
  return layout(pointerBytes, 4, alignBytes, msghdr(pointerBytes, 4));
}

type Numbers = Omit<Abi, keyof Layout | "name" | "arch" | "libc" | "endian" | "evidence">;

/** Numbers, made when their row is asked for: a process needs one row of all. */
type Later = () => Numbers;

const LINUX_SOURCE =
  "Linux 6.18 include/linux/socket.h, include/uapi/asm-generic/socket.h, net/core/scm.c, net/unix/af_unix.c";

/** What only Linux has, for the others. */
const NOT_LINUX = {
  SCM_CREDENTIALS: null,
  SCM_SECURITY: null,
  SCM_PIDFD: null,
  SCM_INQ: null,
  SO_PASSCRED: null,
  SO_PASSSEC: null,
  SO_PEERSEC: null,
  SO_PEERGROUPS: null,
  SO_PASSPIDFD: null,
  SO_PEERPIDFD: null,
  SO_PASSRIGHTS: null,
} as const;

/** What Darwin and the BSDs have in common. */
const BSD = {
  ...NOT_LINUX,
  SOL_SOCKET: 0xffff,
  SCM_RIGHTS: 1,
  SCM_CREDS: null,
  SCM_CREDS2: null,
  SCM_UCRED: null,
  MSG_OOB: 1,
  MSG_PEEK: 2,
  MSG_EOR: 8,
  MSG_TRUNC: 0x10,
  MSG_CTRUNC: 0x20,
  MSG_WAITALL: 0x40,
  MSG_DONTWAIT: 0x80,
  MSG_CMSG_CLOFORK: null,
  SO_NOSIGPIPE: null,
  SO_PEERCRED: null,
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_SEQPACKET: 5,
  sendControlLength: "space",
  tableFullErrno: "EMSGSIZE",
  datagramFullErrno: "ENOBUFS",
  emptyStreamRights: "delivered",
  nextHeader: "bsd",
} as const;

/** `struct timeval` or `timespec` of two 8-byte fields. */
function time(type: number, name: string, unit: TimestampLayout["unit"], times = 1): TimestampLayout {
  return { type, name, unit, times, bytes: 16, secondsBytes: 8, fractionOffset: 8, fractionBytes: 8 };
}

/** The same with 4-byte fields. */
function time32(type: number, name: string, unit: TimestampLayout["unit"], times = 1): TimestampLayout {
  return { type, name, unit, times, bytes: 8, secondsBytes: 4, fractionOffset: 4, fractionBytes: 4 };
}

/** `struct timespec` with an 8-byte second, a 4-byte nanosecond and a pad. */
function timespecPadded(type: number, name: string, unit: TimestampLayout["unit"]): TimestampLayout {
  return { ...time(type, name, unit), fractionBytes: 4 };
}

/** `struct timeval` with an 8-byte second, a 4-byte microsecond and, where the alignment asks for it, a pad. */
function timePadded(type: number, bytes: 12 | 16): TimestampLayout {
  return { ...time(type, "SCM_TIMESTAMP", "microseconds"), bytes, fractionBytes: 4 };
}

/** `struct ucred`, include/linux/socket.h: the same on 32 and 64 bit. */
const UCRED: CredentialsLayout = { type: 2, name: "ucred", bytes: 12, pid: 0, uid: 4, gid: 8, sendable: true };

/** `struct cmsgcred`, sys/socket.h of FreeBSD and DragonFly: pid, uid, euid, gid, groups. The kernel fills it in. */
const CMSGCRED: CredentialsLayout = { type: 3, name: "cmsgcred", bytes: 84, pid: 0, uid: 8, gid: 12, sendable: true };

/**
 * Linux. The numbers of its own architectures' `asm/socket.h` are generic but for powerpc and mips. SCM_TIMESTAMP is the
 * libc's choice of three kinds that the kernel knows; all are decoded.
 */
function linux(
  bits: 32 | 64,
  overrides: Partial<Numbers> = {},
  oldTimes: typeof time = bits === 64 ? time : time32,
): Later {
  return () => ({
    os: "linux",
    source: `${LINUX_SOURCE}; glibc bits/socket.h`,
    SOL_SOCKET: 1,
    SCM_RIGHTS: 1,
    SCM_CREDENTIALS: 2,
    SCM_CREDS: null,
    SCM_CREDS2: null,
    SCM_UCRED: null,
    SCM_SECURITY: 3,
    SCM_PIDFD: 4,
    SCM_INQ: 84,
    SCM_TIMESTAMP: 29,
    MSG_OOB: 1,
    MSG_PEEK: 2,
    MSG_CTRUNC: 8,
    MSG_TRUNC: 0x20,
    MSG_DONTWAIT: 0x40,
    MSG_EOR: 0x80,
    MSG_WAITALL: 0x100,
    MSG_NOSIGNAL: 0x4000,
    MSG_CMSG_CLOEXEC: 0x40000000,
    MSG_CMSG_CLOFORK: null,
    SO_NOSIGPIPE: null,
    SO_PASSCRED: 16,
    SO_PEERCRED: 17,
    SO_PEERSEC: 31,
    SO_PASSSEC: 34,
    SO_PEERGROUPS: 59,
    SO_PASSPIDFD: 76,
    SO_PEERPIDFD: 77,
    SO_PASSRIGHTS: 83,
    SOCK_STREAM: 1,
    SOCK_DGRAM: 2,
    SOCK_SEQPACKET: 5,
    F_DUPFD_CLOEXEC: 1030,
    // SCM_MAX_FD, include/net/scm.h: over all SCM_RIGHTS of a message.
    maxFdsPerMessage: 253,
    // net.core.optmem_max limits it, and can be changed.
    maxControlBytes: null,
    sendControlLength: "space",
    severalRights: "merged",
    truncation: "linux",
    receiveNeeds: "len",
    tableFullErrno: null,
    datagramFullErrno: "EAGAIN",
    peek: "duplicates",
    emptyStreamRights: "dropped",
    nextHeader: "glibc",
    credentials: [UCRED],
    timestamps: [
      oldTimes(29, "SCM_TIMESTAMP_OLD", "microseconds"),
      oldTimes(35, "SCM_TIMESTAMPNS_OLD", "nanoseconds"),
      oldTimes(37, "SCM_TIMESTAMPING_OLD", "nanoseconds", 3),
      time(63, "SCM_TIMESTAMP_NEW", "microseconds"),
      time(64, "SCM_TIMESTAMPNS_NEW", "nanoseconds"),
      time(65, "SCM_TIMESTAMPING_NEW", "nanoseconds", 3),
    ],
    // ucred, pidfd, SO_INQ; the larger of either kind of SCM_TIMESTAMP and SCM_TIMESTAMPING.
    receiveMessages: [12, 4, 4, 16, 48],
    ...overrides,
  });
}

const POWERPC = {
  source: `${LINUX_SOURCE}, arch/powerpc/include/uapi/asm/socket.h; glibc bits/socket.h`,
  SO_PASSCRED: 20,
  SO_PEERCRED: 21,
};
const MIPS = {
  source: `${LINUX_SOURCE}, arch/mips/include/uapi/asm/socket.h; glibc bits/socket.h`,
  SOL_SOCKET: 0xffff,
  SO_PASSCRED: 17,
  SO_PEERCRED: 18,
  SO_PEERSEC: 30,
  SOCK_STREAM: 2,
  SOCK_DGRAM: 1,
};
const MUSL = { source: `${LINUX_SOURCE}; musl include/sys/socket.h, arch/*/bits`, nextHeader: "musl" } as const;
/** musl on 32 bit has 64-bit times only. */
const MUSL32 = { ...MUSL, SCM_TIMESTAMP: 63 } as const;
const POWERPC_MUSL = `${LINUX_SOURCE}, arch/powerpc/include/uapi/asm/socket.h; musl include/sys/socket.h, arch/*/bits`;
const BIONIC = { source: `${LINUX_SOURCE}; bionic libc/include/sys/socket.h`, nextHeader: "bionic" } as const;

/** AF_UNIX never sends SCM_CREDS. uipc_usrreq.c: (len - 12) * 2 + 12 <= 2048, of a message with one cmsghdr, exactly. */
const DARWIN: Later = () => ({
  ...BSD,
  os: "darwin",
  source:
    "xnu-11417 bsd/sys/socket.h, bsd/sys/un.h, bsd/arm/_param.h, bsd/i386/_param.h, bsd/kern/uipc_{usrreq,syscalls}.c",
  SCM_CREDS: 3,
  SCM_TIMESTAMP: 2,
  MSG_NOSIGNAL: 0x80000,
  MSG_CMSG_CLOEXEC: null,
  SO_NOSIGPIPE: 0x1022,
  SOCK_SEQPACKET: null,
  F_DUPFD_CLOEXEC: 67,
  maxFdsPerMessage: 254,
  maxControlBytes: 2048,
  sendControlLength: "len",
  severalRights: "refused",
  truncation: "xnu",
  receiveNeeds: "len",
  peek: "zeroed",
  credentials: [],
  timestamps: [timePadded(2, 16)],
  receiveMessages: [16],
});

/**
 * `struct sockcred` of FreeBSD's LOCAL_CREDS: uid, euid, gid, egid, groups. Of the same type as cmsgcred, and no pid; of 16
 * groups it has cmsgcred's size too, and is taken for one. LOCAL_CREDS_PERSISTENT has none of this: sockcred2.
 */
const SOCKCRED: CredentialsLayout = {
  type: 3,
  name: "sockcred",
  bytes: 24,
  pid: null,
  uid: 4,
  gid: 12,
  sendable: false,
};

/** `struct sockcred2`: version, pid, uid, euid, gid, egid, groups. `bintime`: a `time_t` and 64 bits of fraction. */
function freebsd(
  maxFdsPerMessage: number,
  timestamp: TimestampLayout,
  timespec: typeof time = time,
  bintime: TimestampLayout = time(4, "SCM_BINTIME", "bintime"),
): Later {
  return () => ({
    ...BSD,
    os: "freebsd",
    source: "FreeBSD 15-CURRENT sys/sys/socket.h, sys/sys/un.h, machine/_align.h, sys/kern/uipc_usrreq.c",
    SCM_CREDS: 3,
    SCM_CREDS2: 8,
    SCM_TIMESTAMP: 2,
    MSG_NOSIGNAL: 0x20000,
    MSG_CMSG_CLOEXEC: 0x40000,
    MSG_CMSG_CLOFORK: 0x400000,
    SO_NOSIGPIPE: 0x800,
    F_DUPFD_CLOEXEC: 17,
    // Pointers in the kernel: CMSG_SPACE(n pointers) within MCLBYTES, 2048.
    maxFdsPerMessage,
    maxControlBytes: 2048,
    severalRights: "separate",
    truncation: "freebsd",
    receiveNeeds: "space",
    tableFullErrno: "EMFILE",
    peek: "pointers",
    credentials: [
      CMSGCRED,
      SOCKCRED,
      { type: 8, name: "sockcred2", bytes: 32, pid: 4, uid: 12, gid: 20, sendable: false },
    ],
    timestamps: [
      timestamp,
      bintime,
      timespec(5, "SCM_REALTIME", "nanoseconds"),
      timespec(6, "SCM_MONOTONIC", "nanoseconds"),
    ],
    // sockcred2 with 16 groups (CMGROUP_MAX) and more; cmsgcred; a time.
    receiveMessages: [32 + 4 * 1023, 84, 16],
  });
}

function openbsd(maxFdsPerMessage: number, timestamp: TimestampLayout): Later {
  return () => ({
    ...BSD,
    os: "openbsd",
    source: "OpenBSD sys/sys/socket.h 1.108, sys/kern/uipc_usrreq.c 1.221",
    SCM_TIMESTAMP: 4,
    MSG_NOSIGNAL: 0x400,
    MSG_CMSG_CLOEXEC: 0x800,
    MSG_CMSG_CLOFORK: 0x2000,
    SO_PEERCRED: 0x1022,
    F_DUPFD_CLOEXEC: 10,
    // struct fdpass in the kernel, 16 or 8 bytes each, within MCLBYTES, 2048.
    maxFdsPerMessage,
    maxControlBytes: 2048,
    severalRights: "refused",
    truncation: "openbsd",
    receiveNeeds: "len",
    peek: "omitted",
    credentials: [],
    timestamps: [timestamp],
    receiveMessages: [16],
  });
}

/** `struct sockcred`: pid, uid, euid, gid, egid, groups. */
function netbsd(maxFdsPerMessage: number, timestamp: TimestampLayout): Later {
  return () => ({
    ...BSD,
    os: "netbsd",
    source: "NetBSD sys/sys/socket.h, sys/arch/arm/include/cdefs.h, sys/kern/uipc_usrreq.c 1.179",
    SCM_CREDS: 0x10,
    SCM_TIMESTAMP: 8,
    MSG_NOSIGNAL: 0x400,
    MSG_CMSG_CLOEXEC: 0x800,
    SO_NOSIGPIPE: 0x800,
    F_DUPFD_CLOEXEC: 12,
    // The control buffer is at most a page, 4096.
    maxFdsPerMessage,
    maxControlBytes: 4096,
    // Padding behind descriptors is refused.
    sendControlLength: "len",
    severalRights: "first",
    truncation: "netbsd",
    receiveNeeds: "space",
    peek: "pointers",
    credentials: [{ type: 0x10, name: "sockcred", bytes: 28, pid: 0, uid: 8, gid: 16, sendable: false }],
    timestamps: [timestamp],
    // sockcred with NGROUPS_MAX, 16, groups; a time.
    receiveMessages: [28 + 4 * 15, 16],
  });
}

const DRAGONFLY: Later = () => ({
  ...BSD,
  os: "dragonfly",
  source:
    "DragonFly (2020-07) sys/sys/socket.h, sys/sys/mbuf.h, sys/cpu/x86_64/include/alignbytes.h, sys/kern/uipc_usrreq.c",
  SCM_CREDS: 3,
  SCM_TIMESTAMP: 2,
  MSG_NOSIGNAL: 0x400,
  MSG_CMSG_CLOEXEC: 0x1000,
  SO_NOSIGPIPE: 0x800,
  F_DUPFD_CLOEXEC: 17,
  // The control buffer is at most MLEN, 352 by hand from sys/mbuf.h.
  maxFdsPerMessage: 84,
  maxControlBytes: 352,
  severalRights: "first",
  truncation: "dragonfly",
  receiveNeeds: "len",
  peek: "pointers",
  credentials: [CMSGCRED],
  timestamps: [time(2, "SCM_TIMESTAMP", "microseconds")],
  receiveMessages: [84, 16],
});

/** SCM_UCRED is an opaque `ucred_t`, read with ucred_get(3C) only. */
const ILLUMOS: Later = () => ({
  ...NOT_LINUX,
  os: "illumos",
  source: "illumos uts/common/sys/socket.h, uts/common/fs/sockfs/socksyscalls.c, socksubr.c",
  SOL_SOCKET: 0xffff,
  SCM_RIGHTS: 0x1010,
  SCM_CREDS: null,
  SCM_CREDS2: null,
  SCM_UCRED: 0x1012,
  SCM_TIMESTAMP: 0x1013,
  MSG_OOB: 1,
  MSG_PEEK: 2,
  MSG_EOR: 8,
  MSG_CTRUNC: 0x10,
  MSG_TRUNC: 0x20,
  MSG_WAITALL: 0x40,
  MSG_DONTWAIT: 0x80,
  MSG_NOSIGNAL: 0x200,
  MSG_CMSG_CLOEXEC: 0x1000,
  MSG_CMSG_CLOFORK: 0x2000,
  SO_NOSIGPIPE: null,
  SO_PEERCRED: null,
  SOCK_STREAM: 2,
  SOCK_DGRAM: 1,
  SOCK_SEQPACKET: 6,
  F_DUPFD_CLOEXEC: 37,
  // SO_MAXARGSIZE.
  maxFdsPerMessage: 2045,
  maxControlBytes: 8192,
  sendControlLength: "space",
  severalRights: "refused",
  truncation: "illumos",
  receiveNeeds: "len",
  tableFullErrno: "EMFILE",
  datagramFullErrno: "ENOBUFS",
  peek: "duplicates",
  emptyStreamRights: "delivered",
  nextHeader: "illumos",
  credentials: [],
  timestamps: [time(0x1013, "SCM_TIMESTAMP", "microseconds")],
  // A ucred_t is no larger than a page, <sys/ucred.h>.
  receiveMessages: [4096, 16],
});

/** CMSG_SPACE needs 8 for the header on sparc: the next one begins there, the payload right behind this one. */
const SPARCV9: Layout = { ...bsd(8, 4), headerAlignBytes: 8 };

const usec = (type: number): TimestampLayout => time(type, "SCM_TIMESTAMP", "microseconds");
const usec32 = (type: number): TimestampLayout => time32(type, "SCM_TIMESTAMP", "microseconds");

/** A `time_t` of 4 bytes, and the alignment of i386. */
const BINTIME32: TimestampLayout = {
  ...time(4, "SCM_BINTIME", "bintime"),
  bytes: 12,
  secondsBytes: 4,
  fractionOffset: 4,
};

type Row = readonly [AbiName, "little" | "big", Abi["evidence"], Layout, Later];

const rows: readonly Row[] = [
  ["linux-x86_64-glibc", "little", "measured", linux64, linux(64)],
  ["linux-aarch64-glibc", "little", "compiled", linux64, linux(64)],
  ["linux-riscv64-glibc", "little", "compiled", linux64, linux(64)],
  ["linux-s390x-glibc", "big", "compiled", linux64, linux(64)],
  ["linux-powerpc64-glibc", "big", "compiled", linux64, linux(64, POWERPC)],
  ["linux-powerpc64le-glibc", "little", "compiled", linux64, linux(64, POWERPC)],
  ["linux-x86_64-musl", "little", "measured", musl64("little"), linux(64, MUSL)],
  ["linux-aarch64-musl", "little", "compiled", musl64("little"), linux(64, MUSL)],
  ["linux-riscv64-musl", "little", "compiled", musl64("little"), linux(64, MUSL)],
  ["linux-s390x-musl", "big", "compiled", musl64("big"), linux(64, MUSL)],
  ["linux-powerpc64-musl", "big", "compiled", musl64("big"), linux(64, { ...POWERPC, ...MUSL, source: POWERPC_MUSL })],
  [
    "linux-powerpc64le-musl",
    "little",
    "compiled",
    musl64("little"),
    linux(64, { ...POWERPC, ...MUSL, source: POWERPC_MUSL }),
  ],
  ["linux-i386-glibc", "little", "measured", linux32, linux(32)],
  ["linux-i386-musl", "little", "compiled", linux32, linux(32, MUSL32)],
  ["linux-armv7-glibc", "little", "compiled", linux32, linux(32)],
  ["linux-armv7-musl", "little", "compiled", linux32, linux(32, MUSL32)],
  ["linux-powerpc-glibc", "big", "compiled", linux32, linux(32, POWERPC)],
  ["linux-powerpc-musl", "big", "compiled", linux32, linux(32, { ...POWERPC, ...MUSL32, source: POWERPC_MUSL })],
  ["linux-mips-glibc", "big", "compiled", linux32, linux(32, MIPS)],
  // 32-bit pointers, 64-bit times (COMPAT_USE_64BIT_TIME).
  ["linux-x32-glibc", "little", "compiled", linux32, linux(32, {}, time)],
  ["android-aarch64-bionic", "little", "source", linux64, linux(64, BIONIC)],
  ["android-x86_64-bionic", "little", "source", linux64, linux(64, BIONIC)],
  ["android-armv7-bionic", "little", "source", linux32, linux(32, BIONIC)],
  // __DARWIN_ALIGN32, on 64 bit too.
  ["darwin-arm64", "little", "compiled", bsd(8, 4), DARWIN],
  ["darwin-x86_64", "little", "compiled", bsd(8, 4), DARWIN],
  ["freebsd-amd64", "little", "source", bsd(8, 8), freebsd(254, usec(2))],
  ["freebsd-arm64", "little", "source", bsd(8, 8), freebsd(254, usec(2))],
  ["freebsd-riscv64", "little", "source", bsd(8, 8), freebsd(254, usec(2))],
  ["freebsd-powerpc64", "big", "tables", bsd(8, 8), freebsd(254, usec(2))],
  ["freebsd-i386", "little", "source", bsd(4, 4), freebsd(509, usec32(2), time32, BINTIME32)],
  ["freebsd-armv7", "little", "tables", bsd(4, 4), freebsd(509, timePadded(2, 16), timespecPadded)],
  ["openbsd-amd64", "little", "source", bsd(8, 8), openbsd(127, usec(4))],
  ["openbsd-arm64", "little", "tables", bsd(8, 8), openbsd(127, usec(4))],
  ["openbsd-riscv64", "little", "tables", bsd(8, 8), openbsd(127, usec(4))],
  ["openbsd-i386", "little", "tables", bsd(4, 4), openbsd(254, timePadded(4, 12))],
  // sizeof(double), on these 32-bit architectures too.
  ["openbsd-arm", "little", "tables", bsd(4, 8), openbsd(254, timePadded(4, 16))],
  ["openbsd-powerpc", "big", "tables", bsd(4, 8), openbsd(254, timePadded(4, 16))],
  ["openbsd-sparc64", "big", "tables", bsd(8, 16), openbsd(127, usec(4))],
  ["netbsd-amd64", "little", "tables", bsd(8, 8), netbsd(1020, timePadded(8, 16))],
  ["netbsd-i386", "little", "tables", bsd(4, 4), netbsd(1021, timePadded(8, 12))],
  ["netbsd-arm-eabi", "little", "source", bsd(4, 8), netbsd(1020, timePadded(8, 16))],
  // sizeof(__int128_t) - 1, sys/arch/arm/include/cdefs.h; the Rust libc crate says 4, golang.org/x/sys 16.
  ["netbsd-aarch64", "little", "source", bsd(8, 16), netbsd(1020, timePadded(8, 16))],
  ["netbsd-sparc64", "big", "tables", bsd(8, 16), netbsd(1020, timePadded(8, 16))],
  ["dragonfly-x86_64", "little", "source", bsd(8, 8), DRAGONFLY],
  ["illumos-amd64", "little", "source", bsd(8, 4), ILLUMOS],
  ["illumos-sparcv9", "big", "source", SPARCV9, ILLUMOS],
];

function abi([name, endian, evidence, layout, numbers]: Row): Abi {
  const [, arch, libc] = /^[a-z]+-(.+?)(?:-(glibc|musl|bionic))?$/.exec(name) as unknown as [
    string,
    string,
    Abi["libc"],
  ];
  return Object.freeze({ name, arch, libc: libc ?? null, endian, evidence, ...numbers(), ...layout });
}

/** A property that makes its row when it is first read (all of them at once cost 2 ms of a program's start, 2026-11). */
function lazily(row: Row): PropertyDescriptor {
  let made: Abi | undefined;
  return { enumerable: true, get: () => (made ??= abi(row)) };
}

/** Every ABI, by name. */
export const abis: Readonly<Record<AbiName, Abi>> = Object.freeze(
  Object.defineProperties({}, Object.fromEntries(rows.map((row) => [row[0], lazily(row)]))) as Record<AbiName, Abi>,
);

/** The row of a name; an Abi passes through. @throws RangeError for an unknown name, naming those of the same system */
export function abiOf(abi: Abi | AbiName): Abi {
  if (typeof abi !== "string") return abi;
  if (Object.hasOwn(abis, abi)) return abis[abi];
  const [os] = String(abi).split("-");
  const near = Object.keys(abis).filter((name) => name.startsWith(`${os}-`));
  throw outOfRange("abi", `one of ${(near.length > 0 ? near : Object.keys(abis)).join(", ")}`, abi);
}

/** Architectures as Node names them -> as the rows of a system do. */
const ARCHITECTURES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  linux: {
    x64: "x86_64",
    ia32: "i386",
    arm: "armv7",
    arm64: "aarch64",
    riscv64: "riscv64",
    s390x: "s390x",
    // Node has no big-endian Linux on powerpc since version 8.
    ppc64: "powerpc64le",
    mips: "mips",
  },
  android: { x64: "x86_64", arm: "armv7", arm64: "aarch64" },
  darwin: { x64: "x86_64", arm64: "arm64" },
  freebsd: { x64: "amd64", ia32: "i386", arm: "armv7", arm64: "arm64", riscv64: "riscv64", ppc64: "powerpc64" },
  openbsd: { x64: "amd64", ia32: "i386", arm: "arm", arm64: "arm64", riscv64: "riscv64" },
  netbsd: { x64: "amd64", ia32: "i386", arm: "arm-eabi", arm64: "aarch64" },
  dragonfly: { x64: "x86_64" },
  sunos: { x64: "amd64" },
};

/** The row for what Node says of a host (`process.platform`, `process.arch`); null: there is none. */
export function hostAbiName(platform: string, arch: string, libc: "glibc" | "musl" | null): AbiName | null {
  const named = ARCHITECTURES[platform]?.[arch];
  if (named === undefined) return null;
  const os = platform === "sunos" ? "illumos" : platform;
  const suffix = platform === "android" ? "-bionic" : libc === null ? "" : `-${libc}`;
  const name = `${os}-${named}${suffix}`;
  return Object.hasOwn(abis, name) ? (name as AbiName) : null;
}
