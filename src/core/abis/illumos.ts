/** illumos (Node: sunos). */

import {
  type AbiSystem,
  BSD_OPTIONS,
  bsd,
  type Facts,
  type Layout,
  type NamesOf,
  NO_LOCAL,
  NOT_LINUX,
  time,
} from "./abi.ts";

/** SCM_UCRED is an opaque `ucred_t`, which only ucred_get(3C) reads. */
const facts: () => Facts = () => ({
  ...NOT_LINUX,
  ...NO_LOCAL,
  ...BSD_OPTIONS,
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
  SO_TIMESTAMP: 0x1013,
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
  inFlightErrno: null,
  controlFullErrno: null,
  losesCtrunc: false,
  rightsCarrier: "first",
  peek: "duplicates",
  emptyStreamRights: "delivered",
  emptyRecord: "delivered",
  recordMark: false,
  emptyReceive: "waits",
  hidesListening: false,
  nextHeader: "illumos",
  credentials: [],
  // There is getpeerucred(3C), which is no socket option.
  peerCredentials: null,
  // sys/un.h.
  sunPathBytes: 108,
  timestamps: [time(0x1013, "SCM_TIMESTAMP", "microseconds")],
  // A ucred_t is no larger than a page, <sys/ucred.h>.
  receiveMessages: [4096, 16],
});

/** On sparc the header is aligned to 8: the next one begins at a multiple of 8, the payload right behind this one. */
const SPARCV9: Layout = { ...bsd(8, 4), headerAlignBytes: 8 };

export const illumos: AbiSystem<NamesOf<"illumos">> = {
  os: "illumos",
  platform: "sunos",
  architectures: { x64: "amd64" },
  rows: {
    "illumos-amd64": () => ["amd64", null, "little", "source", bsd(8, 4), facts()],
    "illumos-sparcv9": () => ["sparcv9", null, "big", "source", SPARCV9, facts()],
  },
};
