/** What Darwin and the BSDs, or several of them, have in common. */

import {
  BSD_OPTIONS,
  type CredentialsLayout,
  type Facts,
  NO_LOCAL,
  NOT_LINUX,
  type PeerCredentialsLayout,
} from "./abi.ts";

/** What Darwin and the BSDs have in common. */
export const bsdFacts = (): Omit<
  Facts,
  | "source"
  | "SCM_TIMESTAMP"
  | "SO_TIMESTAMP"
  | "MSG_NOSIGNAL"
  | "MSG_CMSG_CLOEXEC"
  | "F_DUPFD_CLOEXEC"
  | "maxFdsPerMessage"
  | "maxControlBytes"
  | "severalRights"
  | "truncation"
  | "receiveNeeds"
  | "peek"
  | "credentials"
  | "peerCredentials"
  | "timestamps"
  | "receiveMessages"
> => ({
  ...NOT_LINUX,
  ...NO_LOCAL,
  ...BSD_OPTIONS,
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
  inFlightErrno: null,
  controlFullErrno: null,
  losesCtrunc: false,
  rightsCarrier: "first",
  emptyStreamRights: "delivered",
  emptyRecord: "delivered",
  recordMark: false,
  emptyReceive: "answered",
  hidesListening: false,
  nextHeader: "bsd",
  // sys/un.h.
  sunPathBytes: 104,
});

/**
 * `struct cmsgcred`, sys/socket.h of FreeBSD and DragonFly: pid, uid, euid, gid, number of groups (2 bytes and a pad), 16 groups. The
 * kernel fills it in (uipc_usrreq.c, unp_internalize): `cmcred_gid` is the real gid, `cmcred_groups[0]` the effective one, which is
 * always there.
 */
export const CMSGCRED: CredentialsLayout = {
  type: 3,
  name: "cmsgcred",
  bytes: 84,
  pid: 0,
  uid: 8,
  gid: 20,
  sendable: true,
};

/**
 * `struct xucred`, sys/ucred.h of Darwin, FreeBSD and DragonFly: version, uid, number of groups (2 bytes and a pad), groups, of
 * which the first is the effective one.
 */
export const XUCRED: PeerCredentialsLayout = {
  level: "SOL_LOCAL",
  option: "LOCAL_PEERCRED",
  pid: null,
  uid: 4,
  gid: 12,
  pidOption: null,
};
