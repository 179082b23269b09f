/** Darwin: macOS and its kernel, XNU. */

import { type AbiSystem, bsd, type Facts, type NamesOf, timePadded } from "./abi.ts";
import { bsdFacts, XUCRED } from "./bsd.ts";

/**
 * AF_UNIX never sends SCM_CREDS. uipc_usrreq.c takes a control buffer of exactly one cmsghdr, with (len - 12) * 2 + 12 <= 2048.
 */
const facts: () => Facts = () => ({
  ...bsdFacts(),
  source:
    "xnu-11417.101.15 bsd/sys/socket.h, bsd/sys/un.h, bsd/arm/_param.h, bsd/i386/_param.h, bsd/kern/uipc_{usrreq,syscalls}.c",
  SCM_CREDS: 3,
  SCM_TIMESTAMP: 2,
  SOL_LOCAL: 0,
  LOCAL_PEERCRED: 1,
  LOCAL_PEERPID: 2,
  MSG_NOSIGNAL: 0x80000,
  MSG_CMSG_CLOEXEC: null,
  SO_TIMESTAMP: 0x400,
  SO_NOSIGPIPE: 0x1022,
  SOCK_SEQPACKET: null,
  F_DUPFD_CLOEXEC: 67,
  maxFdsPerMessage: 254,
  maxControlBytes: 2048,
  sendControlLength: "len",
  severalRights: "refused",
  truncation: "xnu",
  receiveNeeds: "len",
  // The room for control data shrinks with what the peer has not read: libuv #1739.
  controlFullErrno: "EMSGSIZE",
  peek: "zeroed",
  credentials: [],
  peerCredentials: { ...XUCRED, pidOption: "LOCAL_PEERPID" },
  timestamps: [timePadded(2, 16)],
  receiveMessages: [16],
});

export const darwin: AbiSystem<NamesOf<"darwin">> = {
  os: "darwin",
  platform: "darwin",
  architectures: { x64: "x86_64", arm64: "arm64" },
  rows: {
    // __DARWIN_ALIGN32, on 64 bit too.
    "darwin-arm64": () => ["arm64", null, "little", "compiled", bsd(8, 4), facts()],
    "darwin-x86_64": () => ["x86_64", null, "little", "compiled", bsd(8, 4), facts()],
  },
};
