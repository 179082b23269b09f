/** DragonFly BSD. */

import { type AbiSystem, bsd, type Facts, type NamesOf, time } from "./abi.ts";
import { bsdFacts, CMSGCRED, XUCRED } from "./bsd.ts";

const facts: () => Facts = () => ({
  ...bsdFacts(),
  source:
    "DragonFly v5.8.1 sys/sys/socket.h, sys/sys/mbuf.h, sys/cpu/x86_64/include/alignbytes.h, sys/kern/uipc_usrreq.c",
  SCM_CREDS: 3,
  SCM_TIMESTAMP: 2,
  // The header has no name for it: getpeereid(3) uses 0.
  SOL_LOCAL: 0,
  LOCAL_PEERCRED: 1,
  MSG_NOSIGNAL: 0x400,
  MSG_CMSG_CLOEXEC: 0x1000,
  SO_TIMESTAMP: 0x400,
  SO_NOSIGPIPE: 0x800,
  F_DUPFD_CLOEXEC: 17,
  // The control buffer is at most MLEN, 352: computed by hand from sys/mbuf.h.
  maxFdsPerMessage: 84,
  maxControlBytes: 352,
  severalRights: "first",
  truncation: "dragonfly",
  losesCtrunc: true,
  receiveNeeds: "len",
  peek: "pointers",
  emptyRecord: "lost",
  credentials: [CMSGCRED],
  peerCredentials: XUCRED,
  timestamps: [time(2, "SCM_TIMESTAMP", "microseconds")],
  receiveMessages: [84, 16],
});

export const dragonfly: AbiSystem<NamesOf<"dragonfly">> = {
  os: "dragonfly",
  platform: "dragonfly",
  architectures: { x64: "x86_64" },
  rows: {
    "dragonfly-x86_64": () => ["x86_64", null, "little", "source", bsd(8, 8), facts()],
  },
};
