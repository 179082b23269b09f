/** Linux with glibc, musl and Android's bionic. */

import {
  type AbiSystem,
  type CredentialsLayout,
  type Facts,
  type Layout,
  layout,
  msghdr,
  type NamesOf,
  NO_LOCAL,
  type PeerCredentialsLayout,
  time,
  time32,
} from "./abi.ts";

const LINUX_SOURCE =
  "Linux 6.18 include/linux/socket.h, include/uapi/asm-generic/socket.h, net/core/scm.c, net/unix/af_unix.c";

/** 64 bit: the kernel's lengths are `size_t`. */
const linux64: Layout = layout(8, 8, 8, msghdr(8, 8));
const linux32: Layout = layout(4, 4, 4, msghdr(4, 4));

/** musl declares 4 bytes where the kernel has 8, with a pad behind them, or in front of them on big endian. */
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

/** `struct ucred`, include/linux/socket.h: the same on 32 and 64 bit. */
const UCRED: CredentialsLayout = { type: 2, name: "ucred", bytes: 12, pid: 0, uid: 4, gid: 8, sendable: true };

/** The same struct. */
const PEERCRED: PeerCredentialsLayout = {
  level: "SOL_SOCKET",
  option: "SO_PEERCRED",
  pid: 0,
  uid: 4,
  gid: 8,
  pidOption: null,
};

/**
 * Mainline versions. Read in the headers of 5.10, 6.1, 6.12, 6.16, 6.17 and 7.2, and tried on these kernels; the versions between
 * them are those of the commits. SO_INQ is older for TCP: this is for Unix sockets.
 */
const SINCE = {
  SO_PEERGROUPS: "4.13",
  // include/uapi/linux/fcntl.h; 6.3 has MFD_NOEXEC_SEAL too, include/uapi/linux/memfd.h.
  F_SEAL_FUTURE_WRITE: "5.1",
  F_SEAL_EXEC: "6.3",
  MFD_NOEXEC_SEAL: "6.3",
  SO_PASSPIDFD: "6.5",
  SO_PEERPIDFD: "6.5",
  SCM_PIDFD: "6.5",
  SO_PASSRIGHTS: "6.16",
  SO_INQ: "6.17",
  SCM_INQ: "6.17",
};

/**
 * The architectures' `asm/socket.h` have the generic numbers, but for powerpc and mips. SCM_TIMESTAMP is one of three kinds that
 * the kernel has, by the libc's choice, as SO_TIMESTAMP, which asks for it; all are decoded.
 */
function facts(
  bits: 32 | 64,
  overrides: Partial<Facts> = {},
  oldTimes: typeof time = bits === 64 ? time : time32,
): Facts {
  return {
    source: `${LINUX_SOURCE}; glibc bits/socket.h`,
    since: SINCE,
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
    ...NO_LOCAL,
    SO_TYPE: 3,
    SO_ERROR: 4,
    SO_SNDBUF: 7,
    SO_RCVBUF: 8,
    SO_NOSIGPIPE: null,
    SO_PASSCRED: 16,
    SO_PEERCRED: 17,
    SO_GET_FILTER: 26,
    SO_TIMESTAMP: 29,
    SO_ACCEPTCONN: 30,
    SO_PEERSEC: 31,
    SO_SNDBUFFORCE: 32,
    SO_RCVBUFFORCE: 33,
    SO_PASSSEC: 34,
    SO_TIMESTAMPNS: 35,
    SO_TIMESTAMPING: 37,
    SO_PEEK_OFF: 42,
    SO_PEERGROUPS: 59,
    SO_PASSPIDFD: 76,
    SO_PEERPIDFD: 77,
    SO_PASSRIGHTS: 83,
    SO_INQ: 84,
    SOCK_STREAM: 1,
    SOCK_DGRAM: 2,
    SOCK_SEQPACKET: 5,
    F_DUPFD_CLOEXEC: 1030,
    // SCM_MAX_FD, include/net/scm.h: of all SCM_RIGHTS of a message together.
    maxFdsPerMessage: 253,
    // The limit is net.core.optmem_max, which can be changed.
    maxControlBytes: null,
    sendControlLength: "space",
    severalRights: "merged",
    truncation: "linux",
    receiveNeeds: "len",
    tableFullErrno: null,
    datagramFullErrno: "EAGAIN",
    peek: "duplicates",
    inFlightErrno: null,
    controlFullErrno: null,
    losesCtrunc: false,
    // net/unix/af_unix.c, unix_stream_read_generic.
    rightsCarrier: "last",
    emptyStreamRights: "dropped",
    emptyRecord: "delivered",
    recordMark: false,
    emptyReceive: "waits",
    hidesListening: true,
    nextHeader: "glibc",
    credentials: [UCRED],
    peerCredentials: PEERCRED,
    // UNIX_PATH_MAX, include/uapi/linux/un.h.
    sunPathBytes: 108,
    // PATH_MAX, include/uapi/linux/limits.h.
    longPathBytes: 4096,
    abstractNames: true,
    // DEFAULT_OVERFLOWUID, kernel/sys.c; root may change it.
    overflowId: 65534,
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
  };
}

const POWERPC = {
  source: `${LINUX_SOURCE}, arch/powerpc/include/uapi/asm/socket.h; glibc bits/socket.h`,
  SO_PASSCRED: 20,
  SO_PEERCRED: 21,
};
const MIPS = {
  source: `${LINUX_SOURCE}, arch/mips/include/uapi/asm/socket.h; glibc bits/socket.h`,
  SOL_SOCKET: 0xffff,
  SO_SNDBUF: 0x1001,
  SO_RCVBUF: 0x1002,
  SO_ERROR: 0x1007,
  SO_TYPE: 0x1008,
  SO_ACCEPTCONN: 0x1009,
  SO_PASSCRED: 17,
  SO_PEERCRED: 18,
  SO_PEERSEC: 30,
  SO_SNDBUFFORCE: 31,
  SOCK_STREAM: 2,
  SOCK_DGRAM: 1,
};
const MUSL = { source: `${LINUX_SOURCE}; musl include/sys/socket.h, arch/*/bits`, nextHeader: "musl" } as const;
/** musl on 32 bit has 64-bit times only. */
const MUSL32 = {
  ...MUSL,
  SCM_TIMESTAMP: 63,
  SO_TIMESTAMP: 63,
  SO_TIMESTAMPNS: 64,
  SO_TIMESTAMPING: 65,
  since: { ...SINCE, SCM_TIMESTAMP: "5.1", SO_TIMESTAMP: "5.1", SO_TIMESTAMPNS: "5.1", SO_TIMESTAMPING: "5.1" },
} as const;
const POWERPC_MUSL = `${LINUX_SOURCE}, arch/powerpc/include/uapi/asm/socket.h; musl include/sys/socket.h, arch/*/bits`;
const BIONIC = { source: `${LINUX_SOURCE}; bionic libc/include/sys/socket.h`, nextHeader: "bionic" } as const;

export const linux: AbiSystem<NamesOf<"linux">> = {
  os: "linux",
  platform: "linux",
  architectures: {
    x64: "x86_64",
    ia32: "i386",
    arm: "armv7",
    arm64: "aarch64",
    riscv64: "riscv64",
    s390x: "s390x",
    // Node itself has no big-endian Linux on powerpc since version 8; distributions with musl have.
    ppc64: ["powerpc64le", "powerpc64"],
    mips: "mips",
  },
  rows: {
    "linux-x86_64-glibc": () => ["x86_64", "glibc", "little", "measured", linux64, facts(64)],
    "linux-aarch64-glibc": () => ["aarch64", "glibc", "little", "compiled", linux64, facts(64)],
    "linux-riscv64-glibc": () => ["riscv64", "glibc", "little", "compiled", linux64, facts(64)],
    "linux-s390x-glibc": () => ["s390x", "glibc", "big", "compiled", linux64, facts(64)],
    "linux-powerpc64-glibc": () => ["powerpc64", "glibc", "big", "compiled", linux64, facts(64, POWERPC)],
    "linux-powerpc64le-glibc": () => ["powerpc64le", "glibc", "little", "compiled", linux64, facts(64, POWERPC)],
    "linux-x86_64-musl": () => ["x86_64", "musl", "little", "measured", musl64("little"), facts(64, MUSL)],
    "linux-aarch64-musl": () => ["aarch64", "musl", "little", "compiled", musl64("little"), facts(64, MUSL)],
    "linux-riscv64-musl": () => ["riscv64", "musl", "little", "compiled", musl64("little"), facts(64, MUSL)],
    "linux-s390x-musl": () => ["s390x", "musl", "big", "compiled", musl64("big"), facts(64, MUSL)],
    "linux-powerpc64-musl": () => [
      "powerpc64",
      "musl",
      "big",
      "compiled",
      musl64("big"),
      facts(64, { ...POWERPC, ...MUSL, source: POWERPC_MUSL }),
    ],
    "linux-powerpc64le-musl": () => [
      "powerpc64le",
      "musl",
      "little",
      "compiled",
      musl64("little"),
      facts(64, { ...POWERPC, ...MUSL, source: POWERPC_MUSL }),
    ],
    "linux-i386-glibc": () => ["i386", "glibc", "little", "measured", linux32, facts(32)],
    "linux-i386-musl": () => ["i386", "musl", "little", "compiled", linux32, facts(32, MUSL32)],
    "linux-armv7-glibc": () => ["armv7", "glibc", "little", "compiled", linux32, facts(32)],
    "linux-armv7-musl": () => ["armv7", "musl", "little", "compiled", linux32, facts(32, MUSL32)],
    "linux-powerpc-glibc": () => ["powerpc", "glibc", "big", "compiled", linux32, facts(32, POWERPC)],
    "linux-powerpc-musl": () => [
      "powerpc",
      "musl",
      "big",
      "compiled",
      linux32,
      facts(32, { ...POWERPC, ...MUSL32, source: POWERPC_MUSL }),
    ],
    "linux-mips-glibc": () => ["mips", "glibc", "big", "compiled", linux32, facts(32, MIPS)],
    // 32-bit pointers, 64-bit times (COMPAT_USE_64BIT_TIME).
    "linux-x32-glibc": () => ["x32", "glibc", "little", "compiled", linux32, facts(32, {}, time)],
  },
};

export const android: AbiSystem<NamesOf<"android">> = {
  os: "linux",
  platform: "android",
  architectures: { x64: "x86_64", arm: "armv7", arm64: "aarch64" },
  rows: {
    "android-aarch64-bionic": () => ["aarch64", "bionic", "little", "source", linux64, facts(64, BIONIC)],
    "android-x86_64-bionic": () => ["x86_64", "bionic", "little", "source", linux64, facts(64, BIONIC)],
    "android-armv7-bionic": () => ["armv7", "bionic", "little", "source", linux32, facts(32, BIONIC)],
  },
};
