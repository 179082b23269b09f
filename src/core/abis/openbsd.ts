/** OpenBSD. */

import { type AbiSystem, bsd, type Facts, type NamesOf, type TimestampLayout, time, timePadded } from "./abi.ts";
import { bsdFacts } from "./bsd.ts";

function facts(maxFdsPerMessage: number, timestamp: TimestampLayout): Facts {
  return {
    ...bsdFacts(),
    source: "OpenBSD sys/sys/socket.h 1.108, sys/kern/uipc_usrreq.c 1.221",
    SCM_TIMESTAMP: 4,
    MSG_NOSIGNAL: 0x400,
    MSG_CMSG_CLOEXEC: 0x800,
    MSG_CMSG_CLOFORK: 0x2000,
    SO_TIMESTAMP: 0x800,
    SO_PEERCRED: 0x1022,
    F_DUPFD_CLOEXEC: 10,
    // The kernel turns them into struct fdpass of 16 or 8 bytes: all of them are at most MCLBYTES, 2048.
    maxFdsPerMessage,
    maxControlBytes: 2048,
    severalRights: "refused",
    truncation: "openbsd",
    receiveNeeds: "len",
    peek: "omitted",
    emptyRecord: "lost",
    // Answered only where there is no control buffer.
    emptyReceive: "waits",
    credentials: [],
    // struct sockpeercred, sys/socket.h: uid, gid, pid.
    peerCredentials: { level: "SOL_SOCKET", option: "SO_PEERCRED", pid: 8, uid: 0, gid: 4, pidOption: null },
    timestamps: [timestamp],
    receiveMessages: [16],
  };
}

const USEC: TimestampLayout = time(4, "SCM_TIMESTAMP", "microseconds");

export const openbsd: AbiSystem<NamesOf<"openbsd">> = {
  os: "openbsd",
  platform: "openbsd",
  architectures: { x64: "amd64", ia32: "i386", arm: "arm", arm64: "arm64", riscv64: "riscv64" },
  rows: {
    "openbsd-amd64": () => ["amd64", null, "little", "compiled", bsd(8, 8), facts(127, USEC)],
    "openbsd-arm64": () => ["arm64", null, "little", "compiled", bsd(8, 8), facts(127, USEC)],
    "openbsd-riscv64": () => ["riscv64", null, "little", "tables", bsd(8, 8), facts(127, USEC)],
    "openbsd-i386": () => ["i386", null, "little", "compiled", bsd(4, 4), facts(254, timePadded(4, 12))],
    // sizeof(double), on these 32-bit architectures too.
    "openbsd-arm": () => ["arm", null, "little", "compiled", bsd(4, 8), facts(254, timePadded(4, 16))],
    "openbsd-powerpc": () => ["powerpc", null, "big", "tables", bsd(4, 8), facts(254, timePadded(4, 16))],
    "openbsd-sparc64": () => ["sparc64", null, "big", "tables", bsd(8, 16), facts(127, USEC)],
  },
};
