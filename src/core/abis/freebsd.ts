/** FreeBSD. */

import {
  type AbiSystem,
  bsd,
  type CredentialsLayout,
  type Facts,
  type NamesOf,
  type TimestampLayout,
  time,
  time32,
  timePadded,
} from "./abi.ts";
import { bsdFacts, CMSGCRED, XUCRED } from "./bsd.ts";

/**
 * `struct sockcred` of LOCAL_CREDS: uid, euid, gid, egid, number of groups, groups; no pid. Its least size is `SOCKCREDSIZE(0)`: since
 * FreeBSD 15 the groups are the supplementary ones alone, and there may be none (uipc_usrreq.c, unp_addsockcred). It has the type of
 * cmsgcred, and with 16 groups its size too: then it is taken for one. LOCAL_CREDS_PERSISTENT sends sockcred2, whose type is its own.
 */
const SOCKCRED: CredentialsLayout = {
  type: 3,
  name: "sockcred",
  bytes: 20,
  pid: null,
  uid: 4,
  gid: 12,
  sendable: false,
};

/** `struct sockcred2`: version, pid, uid, euid, gid, egid, number of groups, groups; likewise. `bintime`: a `time_t` and 64 bits of fraction. */
function facts(
  maxFdsPerMessage: number,
  timestamp: TimestampLayout,
  timespec: typeof time = time,
  bintime: TimestampLayout = time(4, "SCM_BINTIME", "bintime"),
): Facts {
  return {
    ...bsdFacts(),
    source: "FreeBSD 15-CURRENT sys/sys/socket.h, sys/sys/un.h, machine/_align.h, sys/kern/uipc_usrreq.c",
    since: { recordMark: "15.0" },
    SCM_CREDS: 3,
    SCM_CREDS2: 8,
    SCM_TIMESTAMP: 2,
    SOL_LOCAL: 0,
    LOCAL_PEERCRED: 1,
    LOCAL_CREDS: 2,
    LOCAL_CREDS_PERSISTENT: 3,
    MSG_NOSIGNAL: 0x20000,
    MSG_CMSG_CLOEXEC: 0x40000,
    MSG_CMSG_CLOFORK: 0x400000,
    SO_TIMESTAMP: 0x400,
    SO_NOSIGPIPE: 0x800,
    F_DUPFD_CLOEXEC: 17,
    // The kernel turns them into pointers: CMSG_SPACE of n pointers is at most MCLBYTES, 2048.
    maxFdsPerMessage,
    maxControlBytes: 2048,
    severalRights: "separate",
    truncation: "freebsd",
    receiveNeeds: "space",
    tableFullErrno: "EMFILE",
    peek: "pointers",
    // uipc_sosend_stream_or_seqpacket, uipc_soreceive_stream_or_seqpacket.
    emptyRecord: "dropped",
    // The same two functions: M_EOR is on the last mbuf of a send with MSG_EOR, and ends a receive. Before 15 each send was a record.
    recordMark: true,
    emptyReceive: "waits",
    credentials: [
      CMSGCRED,
      SOCKCRED,
      { type: 8, name: "sockcred2", bytes: 28, pid: 4, uid: 12, gid: 20, sendable: false },
    ],
    peerCredentials: XUCRED,
    timestamps: [
      timestamp,
      bintime,
      timespec(5, "SCM_REALTIME", "nanoseconds"),
      timespec(6, "SCM_MONOTONIC", "nanoseconds"),
    ],
    // sockcred2 with 16 groups (CMGROUP_MAX) and more; cmsgcred; a time.
    receiveMessages: [28 + 4 * 1024, 84, 16],
  };
}

/** `struct timespec` with an 8-byte second, a 4-byte nanosecond and a pad. */
function timespecPadded(type: number, name: string, unit: TimestampLayout["unit"]): TimestampLayout {
  return { ...time(type, name, unit), fractionBytes: 4 };
}

/** A `time_t` of 4 bytes, and the alignment of i386. */
const BINTIME32: TimestampLayout = {
  ...time(4, "SCM_BINTIME", "bintime"),
  bytes: 12,
  secondsBytes: 4,
  fractionOffset: 4,
};

const USEC: TimestampLayout = time(2, "SCM_TIMESTAMP", "microseconds");
const USEC32: TimestampLayout = time32(2, "SCM_TIMESTAMP", "microseconds");

export const freebsd: AbiSystem<NamesOf<"freebsd">> = {
  os: "freebsd",
  platform: "freebsd",
  architectures: { x64: "amd64", ia32: "i386", arm: "armv7", arm64: "arm64", riscv64: "riscv64", ppc64: "powerpc64" },
  rows: {
    "freebsd-amd64": () => ["amd64", null, "little", "compiled", bsd(8, 8), facts(254, USEC)],
    "freebsd-arm64": () => ["arm64", null, "little", "compiled", bsd(8, 8), facts(254, USEC)],
    "freebsd-riscv64": () => ["riscv64", null, "little", "compiled", bsd(8, 8), facts(254, USEC)],
    "freebsd-powerpc64": () => ["powerpc64", null, "big", "compiled", bsd(8, 8), facts(254, USEC)],
    "freebsd-i386": () => ["i386", null, "little", "compiled", bsd(4, 4), facts(509, USEC32, time32, BINTIME32)],
    "freebsd-armv7": () => [
      "armv7",
      null,
      "little",
      "compiled",
      bsd(4, 4),
      facts(509, timePadded(2, 16), timespecPadded),
    ],
  },
};
