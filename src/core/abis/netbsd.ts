/** NetBSD. */

import { type AbiSystem, bsd, type Facts, type NamesOf, type TimestampLayout, timePadded } from "./abi.ts";
import { bsdFacts } from "./bsd.ts";

/**
 * `struct sockcred`: pid, uid, euid, gid, egid, number of groups, groups. Its least size is `SOCKCREDSIZE(0)`: the groups are the
 * supplementary ones, and there may be none (uipc_usrreq.c, unp_addsockcred).
 */
function facts(maxFdsPerMessage: number, timestamp: TimestampLayout): Facts {
  return {
    ...bsdFacts(),
    source: "NetBSD sys/sys/socket.h, sys/sys/un.h, sys/arch/arm/include/cdefs.h, sys/kern/uipc_usrreq.c 1.179",
    SCM_CREDS: 0x10,
    SCM_TIMESTAMP: 8,
    SOL_LOCAL: 0,
    LOCAL_PEEREID: 3,
    // 1 is LOCAL_OCREDS: a sockcred without a pid.
    LOCAL_CREDS: 4,
    MSG_NOSIGNAL: 0x400,
    MSG_CMSG_CLOEXEC: 0x800,
    SO_NOSIGPIPE: 0x800,
    // 0x400 is SO_OTIMESTAMP.
    SO_TIMESTAMP: 0x2000,
    F_DUPFD_CLOEXEC: 12,
    // The control buffer is at most a page, 4096.
    maxFdsPerMessage,
    maxControlBytes: 4096,
    // Padding behind descriptors is refused.
    sendControlLength: "len",
    severalRights: "first",
    truncation: "netbsd",
    receiveNeeds: "space",
    // uipc_usrreq.c, unp_internalize: too many descriptors in flight.
    inFlightErrno: "EAGAIN",
    peek: "pointers",
    emptyRecord: "lost",
    credentials: [{ type: 0x10, name: "sockcred", bytes: 24, pid: 0, uid: 8, gid: 16, sendable: false }],
    // struct unpcbid, sys/un.h.
    peerCredentials: { level: "SOL_LOCAL", option: "LOCAL_PEEREID", pid: 0, uid: 4, gid: 8, pidOption: null },
    timestamps: [timestamp],
    // sockcred with NGROUPS_MAX, 16, groups; a time.
    receiveMessages: [24 + 4 * 16, 16],
  };
}

export const netbsd: AbiSystem<NamesOf<"netbsd">> = {
  os: "netbsd",
  platform: "netbsd",
  architectures: { x64: "amd64", ia32: "i386", arm: "arm-eabi", arm64: "aarch64" },
  rows: {
    "netbsd-amd64": () => ["amd64", null, "little", "compiled", bsd(8, 8), facts(1020, timePadded(8, 16))],
    "netbsd-i386": () => ["i386", null, "little", "compiled", bsd(4, 4), facts(1021, timePadded(8, 12))],
    "netbsd-arm-eabi": () => ["arm-eabi", null, "little", "compiled", bsd(4, 8), facts(1020, timePadded(8, 16))],
    // sizeof(__int128_t) - 1, sys/arch/arm/include/cdefs.h; the Rust libc crate says 4, golang.org/x/sys 16.
    "netbsd-aarch64": () => ["aarch64", null, "little", "compiled", bsd(8, 16), facts(1020, timePadded(8, 16))],
    "netbsd-sparc64": () => ["sparc64", null, "big", "tables", bsd(8, 16), facts(1020, timePadded(8, 16))],
  },
};
