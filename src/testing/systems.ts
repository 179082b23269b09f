/**
 * What distinguishes the kernels beside the control messages and the rows of the ABI table: one record for each system. A new
 * system does not compile until it has its own. Written from the kernels' sources (see `src/core/abis/`), and not with the core.
 */

import type { Abi } from "../core/abis/table.ts";
import type { ErrnoName } from "./errno.ts";
import type { Sender } from "./files.ts";

/** How many descriptors are in flight when more are sent, and the limits. */
export interface InFlight {
  /** Of all users. */
  readonly total: number;
  /** Of the sender's user. */
  readonly ofUser: number;
  /** The sender's RLIMIT_NOFILE; `Infinity`: the user may exceed it. */
  readonly descriptors: number;
  /** Files that the system can have open. */
  readonly files: number;
}

export interface SystemRules {
  /** Names that the C headers have, of those that not every system's have. */
  readonly headers: readonly ("LOCAL_PEERCRED" | "LOCAL_PEERPID" | "LOCAL_PEEREID" | "POLLRDHUP")[];

  /** On 64 bit the kernel reads `cmsg_len` as 8 bytes (`size_t`), whatever the libc declares. */
  readonly wideLengths: boolean;
  /** Whether the least `cmsg_len` ends behind the header or where the payload begins. */
  readonly leastLength: "header" | "payload";
  /** Whether bytes behind the last message that are too few for a header are refused; else they are ignored. */
  refusesTrailing(abi: Abi): boolean;
  /** Whether control data of fewer bytes than a header are refused. */
  readonly refusesShort: boolean;
  /** The errno for control data above `maxControlBytes`. */
  readonly tooLongErrno: ErrnoName;
  /** Whether each message of another level or type is ignored or refused by itself (Linux), or SCM_RIGHTS alone is known. */
  readonly reads: "each message" | "rights";
  /** Whether control data of `control` bytes, with `count` messages, the first of `first` bytes, have a form that is taken. */
  takes(abi: Abi, control: number, count: number, first: number): boolean;
  /** The kernel's room for the pointers to n files, where that limits a message: bytes a file, and the errno. */
  readonly pointerRoom: { bytes(abi: Abi): number; readonly errno: ErrnoName } | null;
  /** Whether an SCM_RIGHTS of no descriptors is delivered. */
  readonly deliversEmptyRights: boolean;
  /** The errno of a send of `count` descriptors when too many are in flight; null: it may. */
  refusesInFlight(count: number, inFlight: InFlight): ErrnoName | null;

  /** Whether `msg_controllen` counts the padding of the last message. */
  readonly countsPadding: boolean;
  /** Which input flags are in `msg_flags`. */
  readonly echoes: "none" | "MSG_CMSG_CLOEXEC" | "all";
  /** Whether a send waits for room in spite of MSG_DONTWAIT. */
  readonly sendIgnoresDontwait: boolean;

  /** Whether sockets of `socketpair` and `accept` block: MSG_DONTWAIT is enough there (native/socket.cc). */
  readonly connectedBlocks: boolean;
  /** Whether `connect` waits for a full backlog; else it is refused. */
  readonly connectWaits: boolean;
  /** Whether `shutdown` needs a peer. */
  readonly shutdownNeedsPeer: boolean;
  /** Whether a socket that is closed with unread messages resets its peer. */
  readonly resetsUnread: boolean;
  /** Whether the peer's name is known after the peer has closed. */
  readonly remembersPeer: boolean;
  /** The errno of a receive on a stream that is not connected. */
  readonly unconnectedStreamErrno: ErrnoName;
  /** Whether the system reports the inode of the file that a socket is bound to (sock_diag(7)). */
  readonly reportsBoundInode: boolean;
  /** Whether a receive on a stream names the sender. */
  readonly namesStreamSender: boolean;
  /**
   * Datagram sockets: one that is connected takes messages of its peer only; connecting it again drops what had come from the
   * former peer, which gets an error; two that are connected with each other have no limit of messages.
   */
  readonly connectedDatagrams: boolean;
  /** What SO_PEERCRED answers; null: there is no such option. */
  readonly peerCredentials: ((peer: Sender | null) => Int32Array | "ENOTCONN") | null;
}

/** Common to Darwin, the BSDs and illumos. */
const UNIX: Omit<SystemRules, "headers" | "leastLength" | "countsPadding" | "echoes"> = {
  wideLengths: false,
  refusesTrailing: () => false,
  refusesShort: true,
  tooLongErrno: "EINVAL",
  reads: "rights",
  takes: () => true,
  pointerRoom: null,
  deliversEmptyRights: false,
  refusesInFlight: () => null,
  sendIgnoresDontwait: false,
  connectedBlocks: false,
  connectWaits: false,
  shutdownNeedsPeer: true,
  resetsUnread: false,
  remembersPeer: false,
  unconnectedStreamErrno: "ENOTCONN",
  reportsBoundInode: false,
  namesStreamSender: false,
  connectedDatagrams: false,
  peerCredentials: null,
};

const SYSTEMS: Readonly<Record<Abi["os"], SystemRules>> = {
  linux: {
    headers: ["POLLRDHUP"],
    wideLengths: true,
    leastLength: "header",
    // The compat layer under 32-bit programs refuses them (net/compat.c).
    refusesTrailing: ({ pointerBytes }) => pointerBytes === 4,
    refusesShort: false,
    tooLongErrno: "EINVAL",
    reads: "each message",
    takes: () => true,
    pointerRoom: null,
    deliversEmptyRights: false,
    // Of one user, against RLIMIT_NOFILE, before these are added (net/core/scm.c, too_many_unix_fds).
    refusesInFlight: (_count, { ofUser, descriptors }) => (ofUser > descriptors ? "ETOOMANYREFS" : null),
    countsPadding: true,
    echoes: "MSG_CMSG_CLOEXEC",
    sendIgnoresDontwait: false,
    connectedBlocks: true,
    connectWaits: true,
    // unix_shutdown.
    shutdownNeedsPeer: false,
    // unix_release_sock.
    resetsUnread: true,
    remembersPeer: true,
    unconnectedStreamErrno: "EINVAL",
    reportsBoundInode: true,
    namesStreamSender: true,
    // unix_may_send; unix_dgram_disconnected; unix_dgram_sendmsg.
    connectedDatagrams: true,
    peerCredentials: (peer) => (peer === null ? Int32Array.of(0, -1, -1) : Int32Array.of(peer.pid, peer.uid, peer.gid)),
  },
  darwin: {
    ...UNIX,
    headers: ["LOCAL_PEERCRED", "LOCAL_PEERPID"],
    leastLength: "header",
    // uipc_usrreq.c: one message, exactly, and mbuf room for pointers of twice the size of the numbers.
    takes: ({ headerBytes }, control, _count, first) =>
      first === control && (first - headerBytes) * 2 + headerBytes <= 2048,
    countsPadding: false,
    echoes: "all",
    sendIgnoresDontwait: true,
  },
  freebsd: {
    ...UNIX,
    headers: ["LOCAL_PEERCRED"],
    leastLength: "payload",
    refusesTrailing: () => true,
    tooLongErrno: "EMSGSIZE",
    pointerRoom: { bytes: ({ pointerBytes }) => pointerBytes, errno: "EMSGSIZE" },
    countsPadding: true,
    echoes: "all",
  },
  openbsd: {
    ...UNIX,
    headers: [],
    leastLength: "payload",
    takes: ({ alignBytes }, control, count, first) =>
      count === 1 && (control === first || control === Math.ceil(first / alignBytes) * alignBytes),
    // struct fdpass: a pointer and a flag.
    pointerRoom: { bytes: ({ pointerBytes }) => 2 * pointerBytes, errno: "E2BIG" },
    // Of all users, against a share of kern.maxfiles.
    refusesInFlight: (count, { total, files }) => (total + count > files / 10 ? "EMFILE" : null),
    countsPadding: false,
    echoes: "all",
    // struct sockpeercred.
    peerCredentials: (peer) => (peer === null ? "ENOTCONN" : Int32Array.of(peer.uid, peer.gid, peer.pid)),
  },
  netbsd: {
    ...UNIX,
    headers: ["LOCAL_PEEREID"],
    leastLength: "payload",
    deliversEmptyRights: true,
    // Of all users, against a share of kern.maxfiles.
    refusesInFlight: (count, { total, files }) => (total + count > files / 2 ? "EAGAIN" : null),
    countsPadding: true,
    echoes: "none",
  },
  dragonfly: {
    ...UNIX,
    headers: ["LOCAL_PEERCRED"],
    leastLength: "header",
    countsPadding: false,
    echoes: "none",
  },
  illumos: {
    ...UNIX,
    headers: [],
    leastLength: "header",
    takes: (_abi, _control, count) => count === 1,
    countsPadding: false,
    echoes: "none",
  },
};

export function rulesOf({ os }: Abi): SystemRules {
  return SYSTEMS[os];
}
