/**
 * What distinguishes the kernels beside the control messages and the rows of the ABI table: one record for each system. A new
 * system does not compile until it has its own. Written from the kernels' sources (see `src/core/abis/`), and not with the core.
 */

import type { Abi } from "../core/abis/table.ts";
import { isOlder, lacks, type Version, versionOf } from "../core/abis/version.ts";
import type { ErrnoName } from "./errno.ts";
import type { Sender } from "./files.ts";

/** A row as a kernel has it: without the numbers that its version does not know. */
export interface KernelAbi extends Abi {
  /** The version of Linux; null on other systems. */
  readonly version: Version | null;
}

/** The newest Linux whose rules these are: both were tried, and nothing differs between them. */
const NEWEST = "6.18";
/** The oldest Linux that was tried. */
const OLDEST: Version = [5, 10];

/**
 * The row of a kernel.
 *
 * @param release as uname(2) says it; undefined: the newest Linux, or the only version of another system
 * @returns null: the rules of such a kernel are not known
 */
export function kernelAbi(abi: Abi, release: string | undefined): KernelAbi | null {
  if (abi.os !== "linux") return release === undefined ? { ...abi, version: null } : null;
  const version = versionOf(release ?? NEWEST);
  if (version === null || isOlder(version, OLDEST)) return null;
  const absent = Object.keys(abi.since).filter((name) => name in abi && lacks(abi.since, name, version));
  return { ...abi, ...Object.fromEntries(absent.map((name) => [name, null])), version };
}

/** Whether a kernel is too old for a number of the C headers. */
export function isAbsent({ since, version }: KernelAbi, name: string): boolean {
  return version !== null && lacks(since, name, version);
}

/** What uname(2) says. */
export function releaseOf(abi: Abi, release: string | undefined): string {
  return abi.os === "linux" ? (release ?? NEWEST) : "";
}

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
  /** Whether the C headers have what is Linux's own: POLLRDHUP, memfds and their seals. */
  readonly linuxHeaders: boolean;

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
  /** Whether a send after the end is EPIPE even if its control data are wrong; else the control data are read first. */
  readonly endBeforeControl: boolean;

  /** Whether sockets of `socketpair` and `accept` block: MSG_DONTWAIT is enough there (native/socket.cc). */
  readonly connectedBlocks: boolean;
  /** Whether `connect` waits for a full backlog; else it is refused. */
  readonly connectWaits: boolean;
  /** Whether `shutdown` needs a peer. */
  readonly shutdownNeedsPeer: boolean;
  /** Whether `shutdown` for reading drops what is queued. */
  readonly shutdownDrops: boolean;
  /**
   * The error of a connected datagram socket whose receiver is closed. ECONNREFUSED is of its next send, and what the socket itself
   * had received is lost (Linux, unix_dgram_disconnected). ECONNRESET is of its next send, or of its next receive that finds nothing.
   */
  readonly closedReceiverErrno: "ECONNREFUSED" | "ECONNRESET";
  /** Whether `poll` reports POLLHUP for a connection that is over. */
  readonly hangsUp: boolean;
  /**
   * Which sockets lose what they have received, while they are in flight: those that nothing can receive any more; or every socket
   * that only messages refer to, unless the socket that would receive it is in flight itself, and open (XNU).
   */
  readonly collects: "unreachable" | "only in flight";
  /** Whether a socket that is closed with unread messages resets its peer. */
  readonly resetsUnread: boolean;
  /** Whether a first message without bytes counts as unread. */
  readonly emptyFirstIsUnread: boolean;
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
  /**
   * The sender's SO_SNDBUF limits what a receiver keeps of it (Linux, sock_alloc_send_pskb), and the system reports twice the size that
   * was set (sk_setsockopt); else the receiver's SO_RCVBUF does.
   */
  readonly sendersBuffer: boolean;
  /** The options that a connection has from its listener: all of them, or those of which messages depend (Linux, unix_stream_connect). */
  readonly inheritsBuffers: boolean;
  /** When a connection gets the options of its listener. */
  readonly inheritsAt: "connect" | "accept";
  /** Whether a send on a datagram socket without a peer is ENOTCONN before all else: a pending error, or `shutdown`. */
  readonly notConnectedFirst: boolean;
  /** The errno of a datagram for which there is no receiver: the socket has no peer, and the call no address. */
  readonly noReceiverErrno: "ENOTCONN" | "EDESTADDRREQ";
  /** The errno of a datagram socket for the file of a socket that is closed. */
  readonly deadNameErrno: "ECONNREFUSED" | "EDESTADDRREQ";
  /** The errno of an option of a level that Unix sockets do not have. */
  readonly otherLevelErrno: ErrnoName;
  /** What SO_PEERCRED answers; null: there is no such option. */
  readonly peerCredentials: ((peer: Sender | null) => Int32Array | "ENOTCONN") | null;
}

/** Common to Darwin, the BSDs and illumos. */
const UNIX: Omit<SystemRules, "leastLength" | "countsPadding" | "echoes"> = {
  linuxHeaders: false,
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
  endBeforeControl: true,
  shutdownDrops: true,
  closedReceiverErrno: "ECONNRESET",
  hangsUp: true,
  collects: "unreachable",
  connectedBlocks: false,
  connectWaits: false,
  shutdownNeedsPeer: true,
  resetsUnread: false,
  emptyFirstIsUnread: false,
  remembersPeer: false,
  unconnectedStreamErrno: "ENOTCONN",
  reportsBoundInode: false,
  namesStreamSender: false,
  connectedDatagrams: false,
  sendersBuffer: false,
  inheritsBuffers: true,
  inheritsAt: "connect",
  notConnectedFirst: false,
  noReceiverErrno: "EDESTADDRREQ",
  deadNameErrno: "ECONNREFUSED",
  otherLevelErrno: "ENOPROTOOPT",
  peerCredentials: null,
};

const SYSTEMS: Readonly<Record<Abi["os"], SystemRules>> = {
  linux: {
    linuxHeaders: true,
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
    // unix_stream_sendmsg: scm_send comes first.
    endBeforeControl: false,
    shutdownDrops: false,
    closedReceiverErrno: "ECONNREFUSED",
    hangsUp: true,
    collects: "unreachable",
    connectedBlocks: true,
    connectWaits: true,
    // unix_shutdown.
    shutdownNeedsPeer: false,
    // unix_release_sock.
    resetsUnread: true,
    emptyFirstIsUnread: false,
    remembersPeer: true,
    unconnectedStreamErrno: "EINVAL",
    reportsBoundInode: true,
    namesStreamSender: true,
    // unix_may_send; unix_dgram_disconnected; unix_dgram_sendmsg.
    connectedDatagrams: true,
    sendersBuffer: true,
    inheritsBuffers: false,
    inheritsAt: "connect",
    notConnectedFirst: false,
    noReceiverErrno: "ENOTCONN",
    deadNameErrno: "ECONNREFUSED",
    otherLevelErrno: "EOPNOTSUPP",
    peerCredentials: (peer) => (peer === null ? Int32Array.of(0, -1, -1) : Int32Array.of(peer.pid, peer.uid, peer.gid)),
  },
  darwin: {
    ...UNIX,
    leastLength: "header",
    // uipc_usrreq.c: one message, exactly, and mbuf room for pointers of twice the size of the numbers.
    takes: ({ headerBytes }, control, _count, first) =>
      first === control && (first - headerBytes) * 2 + headerBytes <= 2048,
    countsPadding: false,
    echoes: "all",
    sendIgnoresDontwait: true,
    // uipc_usrreq.c#L2553, unp_gc: only sockets in flight are searched for messages; #L2910: after each close of a Unix socket.
    collects: "only in flight",
  },
  freebsd: {
    ...UNIX,
    leastLength: "payload",
    refusesTrailing: () => true,
    tooLongErrno: "EMSGSIZE",
    pointerRoom: { bytes: ({ pointerBytes }) => pointerBytes, errno: "EMSGSIZE" },
    countsPadding: true,
    echoes: "all",
    // uipc_sosend_stream_or_seqpacket calls unp_internalize first.
    endBeforeControl: false,
  },
  openbsd: {
    ...UNIX,
    shutdownNeedsPeer: false,
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
    shutdownNeedsPeer: false,
    leastLength: "payload",
    deliversEmptyRights: true,
    // Of all users, against a share of kern.maxfiles.
    refusesInFlight: (count, { total, files }) => (total + count > files / 2 ? "EAGAIN" : null),
    countsPadding: true,
    // uipc_syscalls.c#L974, uipc_socket.c#L1631, and measured.
    echoes: "all",
    // uipc_socket.c#L2359, sodopoll, and measured.
    hangsUp: false,
  },
  dragonfly: {
    ...UNIX,
    shutdownNeedsPeer: false,
    leastLength: "header",
    countsPadding: false,
    // uipc_socket.c#L1595.
    echoes: "all",
  },
  illumos: {
    ...UNIX,
    leastLength: "header",
    takes: (_abi, _control, count) => count === 1,
    deliversEmptyRights: true,
    countsPadding: false,
    echoes: "none",
    // socksubr.c, so_ux_lookup.
    deadNameErrno: "EDESTADDRREQ",
  },
};

/**
 * What older versions of Linux do differently: the rules of every version before the one that is named, but for the series that got the
 * change in a point release. A release of uname(2) need not have the number of that (Debian's has not), so the last of a series counts.
 */
const OLDER: readonly { before: Version; except?: readonly string[]; rules: Partial<SystemRules> }[] = [
  // unix_stream_connect, unix_accept: commit 3f84d577b79d.
  { before: [6, 16], rules: { inheritsAt: "accept" } },
  // unix_dgram_sendmsg: commit 62c6db251e66 looks for the peer behind sock_alloc_send_pskb, which reports the end and pending errors.
  { before: [6, 14], rules: { notConnectedFirst: true } },
  // unix_release_sock: commit 2a5a4841846b, for consumed bytes of MSG_OOB; also in 5.15.187, 6.1.143, 6.6.96, 6.12.36 and 6.15.5.
  {
    before: [6, 16],
    except: ["5.15", "6.1", "6.6", "6.12", "6.15"],
    rules: { emptyFirstIsUnread: true },
  },
];

const older = new Map<string, SystemRules>();

/** The rules of a kernel; of a row alone, those of the newest version. */
export function rulesOf({ os, version }: Pick<Abi, "os"> & { readonly version?: Version | null }): SystemRules {
  const newest = SYSTEMS[os];
  if (os !== "linux" || version == null) return newest;
  const key = version.join(".");
  const known = older.get(key);
  if (known !== undefined) return known;
  const changes = OLDER.filter(({ before, except = [] }) => isOlder(version, before) && !except.includes(key));
  const own: SystemRules = Object.assign({}, newest, ...changes.map(({ rules }) => rules));
  older.set(key, own);
  return own;
}
