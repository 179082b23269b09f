/** The type of a row of the ABI table, and the layouts that several systems share. */

/** The payload of messages with credentials. The ids are the effective ones where a system tells real and effective apart. */
export interface CredentialsLayout {
  /** `cmsg_type`, at level SOL_SOCKET. */
  readonly type: number;
  /** Name of the C struct. */
  readonly name: string;
  /** Least bytes of the payload. */
  readonly bytes: number;
  /** Offset of the pid, 4 bytes as the others; null: there is none. */
  readonly pid: number | null;
  /** Offset of the uid. */
  readonly uid: number;
  /** Offset of the gid. */
  readonly gid: number;
  /** Whether a sender may (or, for the kernel to fill them in, must) attach them. */
  readonly sendable: boolean;
}

/** The payload of messages with a time. */
export interface TimestampLayout {
  /** `cmsg_type`, at level SOL_SOCKET. */
  readonly type: number;
  /** Name of the type. */
  readonly name: string;
  /** Unit of the fraction of a second; `bintime`: 2^-64 s. */
  readonly unit: "microseconds" | "nanoseconds" | "bintime";
  /** How many times the payload has: 3 for SCM_TIMESTAMPING. */
  readonly times: number;
  /** Bytes of one time. */
  readonly bytes: number;
  /** Bytes of its seconds, which are at offset 0. */
  readonly secondsBytes: 4 | 8;
  /** Offset of its fraction. */
  readonly fractionOffset: number;
  /** Bytes of its fraction. */
  readonly fractionBytes: 4 | 8;
}

/**
 * `struct msghdr`, for callers of the raw system call: the offsets and sizes of `msg_iovlen`, `msg_control`, `msg_controllen` and
 * `msg_flags`, in bytes.
 */
export interface MsghdrLayout {
  /** `sizeof(struct msghdr)`. */
  readonly bytes: number;
  /** `offsetof(struct msghdr, msg_iovlen)`. */
  readonly iovlenOffset: number;
  /** Bytes of `msg_iovlen`. */
  readonly iovlenBytes: 4 | 8;
  /** `offsetof(struct msghdr, msg_control)`. */
  readonly controlOffset: number;
  /** `offsetof(struct msghdr, msg_controllen)`. */
  readonly controllenOffset: number;
  /** Bytes of `msg_controllen`. */
  readonly controllenBytes: 4 | 8;
  /** `offsetof(struct msghdr, msg_flags)`; 4 bytes. */
  readonly flagsOffset: number;
}

/**
 * The answer of a socket option with the peer's credentials. The ids are the effective ones where a system tells real and
 * effective apart.
 */
export interface PeerCredentialsLayout {
  /** Name of the option's level in the C headers. */
  readonly level: "SOL_SOCKET" | "SOL_LOCAL";
  /** Name of the option in the C headers. */
  readonly option: string;
  /** Offset of the pid, 4 bytes as the others; null: there is none. */
  readonly pid: number | null;
  /** Offset of the uid. */
  readonly uid: number;
  /** Offset of the gid. */
  readonly gid: number;
  /** The option of the same level whose answer is the pid, where `pid` is null; null: there is none. */
  readonly pidOption: string | null;
}

/** One target: a row of the ABI table. Offsets and sizes in bytes; a number that the system does not have is null. */
export interface Abi {
  /** Key of the row. */
  readonly name: AbiName;
  /** The system whose kernel it is: Linux on Android too. */
  readonly os: "linux" | "darwin" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "illumos";
  /** The architecture, as the system names it. */
  readonly arch: string;
  /** The libc that declares the C structs, on Linux; null elsewhere. The control bytes are the kernel's, the same with each. */
  readonly libc: "glibc" | "musl" | "bionic" | null;
  /** `sizeof(void *)`. */
  readonly pointerBytes: 4 | 8;
  /** Byte order. */
  readonly endian: "little" | "big";
  /**
   * How the layout is known: `measured` by a program that ran on the target, `compiled` with its headers, read in its `source`,
   * or taken from the `tables` of other projects.
   */
  readonly evidence: "measured" | "compiled" | "source" | "tables";
  /** The files that the row was read in. */
  readonly source: string;
  /**
   * The first version of the kernel that has a number or a rule: `"6.5"`. By the name of a column here, or of a constant of another
   * header. What has none is in every kernel that this library was tried on.
   */
  readonly since: Readonly<Record<string, string>>;

  /** `sizeof(struct cmsghdr)`. */
  readonly headerBytes: number;
  /** Offset of `cmsg_len`. */
  readonly lengthOffset: number;
  /** Bytes of `cmsg_len`. musl declares 4 and a pad; with the pad zero they are the kernel's 8. */
  readonly lengthBytes: 4 | 8;
  /** Offset of `cmsg_level`, 4 bytes. */
  readonly levelOffset: number;
  /** Offset of `cmsg_type`, 4 bytes. */
  readonly typeOffset: number;
  /** `CMSG_LEN(0)`: offset of the payload. */
  readonly dataOffset: number;
  /** `CMSG_ALIGN` rounds up to a multiple of it. */
  readonly alignBytes: number;
  /** The next header begins at a multiple of it. It differs from `alignBytes` on illumos/sparcv9 only. */
  readonly headerAlignBytes: number;
  /** `struct msghdr`. */
  readonly msghdr: MsghdrLayout;

  readonly SOL_SOCKET: number;
  /** The level of the options of Unix sockets; null: there is none. */
  readonly SOL_LOCAL: number | null;
  readonly SCM_RIGHTS: number;
  readonly SCM_CREDENTIALS: number | null;
  readonly SCM_CREDS: number | null;
  readonly SCM_CREDS2: number | null;
  readonly SCM_UCRED: number | null;
  readonly SCM_SECURITY: number | null;
  readonly SCM_PIDFD: number | null;
  readonly SCM_INQ: number | null;
  readonly SCM_TIMESTAMP: number;

  readonly MSG_OOB: number;
  readonly MSG_PEEK: number;
  readonly MSG_TRUNC: number;
  readonly MSG_CTRUNC: number;
  readonly MSG_WAITALL: number;
  readonly MSG_EOR: number;
  readonly MSG_DONTWAIT: number;
  readonly MSG_NOSIGNAL: number | null;
  /** Null: `fcntl` makes received descriptors CLOEXEC. */
  readonly MSG_CMSG_CLOEXEC: number | null;
  readonly MSG_CMSG_CLOFORK: number | null;

  readonly SO_ACCEPTCONN: number;
  readonly SO_ERROR: number;
  readonly SO_RCVBUF: number;
  readonly SO_SNDBUF: number;
  readonly SO_TIMESTAMP: number;
  readonly SO_TYPE: number;
  readonly SO_GET_FILTER: number | null;
  readonly SO_INQ: number | null;
  readonly SO_NOSIGPIPE: number | null;
  readonly SO_PASSCRED: number | null;
  readonly SO_PEERCRED: number | null;
  readonly SO_PASSSEC: number | null;
  readonly SO_PEERSEC: number | null;
  readonly SO_PEERGROUPS: number | null;
  readonly SO_PASSPIDFD: number | null;
  readonly SO_PEERPIDFD: number | null;
  readonly SO_PASSRIGHTS: number | null;
  readonly SO_PEEK_OFF: number | null;
  readonly SO_RCVBUFFORCE: number | null;
  readonly SO_SNDBUFFORCE: number | null;
  readonly SO_TIMESTAMPING: number | null;
  readonly SO_TIMESTAMPNS: number | null;

  readonly LOCAL_CREDS: number | null;
  readonly LOCAL_CREDS_PERSISTENT: number | null;
  readonly LOCAL_PEERCRED: number | null;
  readonly LOCAL_PEEREID: number | null;
  readonly LOCAL_PEERPID: number | null;

  readonly SOCK_STREAM: number;
  readonly SOCK_DGRAM: number;
  /** Null: AF_UNIX does not have the type. */
  readonly SOCK_SEQPACKET: number | null;
  readonly F_DUPFD_CLOEXEC: number;

  /** Most descriptors of one `sendmsg`. */
  readonly maxFdsPerMessage: number;
  /** Most control bytes of one `sendmsg`; null: no fixed limit. */
  readonly maxControlBytes: number | null;
  /** `msg_controllen` of a send: with the last message's padding (`space`, as `CMSG_SPACE`) or without (`len`, as `CMSG_LEN`). */
  readonly sendControlLength: "space" | "len";
  /** Several SCM_RIGHTS in one `sendmsg`: merged into one, kept apart, refused, or all but the first lost without an error. */
  readonly severalRights: "merged" | "separate" | "refused" | "first";
  /** The kernel whose rule it is for descriptors that the control buffer, or the descriptor table, has no room for. */
  readonly truncation: "linux" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "xnu" | "illumos";
  /** Control bytes that a receive of n descriptors needs: `CMSG_SPACE(4n)` or `CMSG_LEN(4n)`. */
  readonly receiveNeeds: "space" | "len";
  /** The errno of a receive with a full descriptor table; null: the descriptors that fit are delivered, with MSG_CTRUNC. */
  readonly tableFullErrno: "EMFILE" | "EMSGSIZE" | null;
  /** The errno of a send of a datagram to a full receiver. */
  readonly datagramFullErrno: "EAGAIN" | "ENOBUFS";
  /**
   * The errno of a send while too many descriptors are in flight, where a full socket has the same: the socket may be writable
   * then. Null: another errno, or no limit.
   */
  readonly inFlightErrno: "EAGAIN" | null;
  /** The errno of a send on a stream when the receiver has no room for the control data; null: that of a full socket. */
  readonly controlFullErrno: "EMSGSIZE" | null;
  /** Whether MSG_CTRUNC gets lost: a `cmsg_len` that reaches past the end is the only sign of a truncation then. */
  readonly losesCtrunc: boolean;
  /**
   * Which byte of a stream's receive its descriptors came with. `last`: the receive may begin with plain bytes of earlier sends.
   * `first`: it may end with plain bytes of later sends.
   */
  readonly rightsCarrier: "last" | "first";
  /** What a receive with MSG_PEEK has in place of descriptors: new ones each time, kernel pointers, nothing, or zeros. */
  readonly peek: "duplicates" | "pointers" | "omitted" | "zeroed";
  /** Descriptors sent without a byte on a stream: lost without an error, or delivered with a receive of 0 bytes. */
  readonly emptyStreamRights: "dropped" | "delivered";
  /**
   * A record without bytes and control data on a seqpacket socket: delivered; not sent, without an error; or lost by the receive, without
   * an error, unless the sender has finished by then, and a receive with MSG_PEEK that meets one does not return.
   */
  readonly emptyRecord: "delivered" | "dropped" | "lost";
  /**
   * Whether a record on a seqpacket socket ends where its sender passed MSG_EOR, and not where each send ends. Then a send may take a part
   * of a record, and a receive gives a part, with MSG_EOR if it has the end.
   */
  readonly recordMark: boolean;
  /** A receive into no bytes when nothing has come: it waits as any other; or it is answered with 0 bytes, as an empty record would be. */
  readonly emptyReceive: "waits" | "answered";
  /** Whether a kernel with this ABI answers 0 for SO_ACCEPTCONN of every Unix socket, one that listens too (gVisor). */
  readonly hidesListening: boolean;
  /** The libc whose `CMSG_NXTHDR` it is. The core's walk is stricter than each. */
  readonly nextHeader: "glibc" | "musl" | "bionic" | "bsd" | "illumos";
  /** Payloads with credentials; the first is the one that senders attach. Layouts of one type are told apart by their size. */
  readonly credentials: readonly CredentialsLayout[];
  /** Payloads with times. */
  readonly timestamps: readonly TimestampLayout[];
  /** The socket option whose answer has the peer's credentials; null: there is none. */
  readonly peerCredentials: PeerCredentialsLayout | null;
  /** Bytes of `sun_path` of `struct sockaddr_un`. */
  readonly sunPathBytes: number;
  /**
   * Bytes of the longest path, with its NUL, where a path that is longer than `sun_path` is reached through a descriptor of its
   * folder, `/proc/self/fd/N/name`; null: no such path can be given.
   */
  readonly longPathBytes: number | null;
  /** Whether there are names outside the file system, which begin with a NUL; `bind` to an empty name chooses one. */
  readonly abstractNames: boolean;
  /** The user and group id for those that are not mapped in the user namespace, by default; null: there are no such. */
  readonly overflowId: number | null;
  /** Payload bytes of each message that can come beside SCM_RIGHTS with all socket options on, security labels left out. */
  readonly receiveMessages: readonly number[];
}

/** The names of the rows. */
export type AbiName =
  | `linux-${"x86_64" | "i386" | "armv7" | "aarch64" | "s390x" | "powerpc64" | "powerpc"}-${"glibc" | "musl"}`
  | `linux-${"riscv64" | "powerpc64le" | "mips" | "x32"}-glibc`
  | `linux-${"riscv64" | "powerpc64le"}-musl`
  | `android-${"aarch64" | "x86_64" | "armv7"}-bionic`
  | `darwin-${"arm64" | "x86_64"}`
  | `freebsd-${"amd64" | "arm64" | "riscv64" | "powerpc64" | "i386" | "armv7"}`
  | `openbsd-${"amd64" | "arm64" | "riscv64" | "i386" | "arm" | "powerpc" | "sparc64"}`
  | `netbsd-${"amd64" | "i386" | "arm-eabi" | "aarch64" | "sparc64"}`
  | "dragonfly-x86_64"
  | `illumos-${"amd64" | "sparcv9"}`;

/** The part of a name before the first hyphen: a system, or Android. */
export type PrefixOf<Name extends string> = Name extends `${infer Prefix}-${string}` ? Prefix : never;

/** The names with a prefix. */
export type NamesOf<Prefix extends PrefixOf<AbiName>> = Extract<AbiName, `${Prefix}-${string}`>;

/** The columns with the layout of C structs. */
export type Layout = Pick<
  Abi,
  | "pointerBytes"
  | "headerBytes"
  | "lengthOffset"
  | "lengthBytes"
  | "levelOffset"
  | "typeOffset"
  | "dataOffset"
  | "alignBytes"
  | "headerAlignBytes"
  | "msghdr"
>;

/** A header whose fields follow one another, with the payload at the next multiple of the alignment. */
export function layout(pointerBytes: 4 | 8, lengthBytes: 4 | 8, alignBytes: number, msghdr: MsghdrLayout): Layout {
  const headerBytes = lengthBytes + 8;
  return {
    pointerBytes,
    headerBytes,
    lengthOffset: 0,
    lengthBytes,
    levelOffset: lengthBytes,
    typeOffset: lengthBytes + 4,
    dataOffset: Math.ceil(headerBytes / alignBytes) * alignBytes,
    alignBytes,
    headerAlignBytes: alignBytes,
    msghdr,
  };
}

/** A `struct msghdr` whose two lengths have one size; `msg_flags` follows the control length. */
export function msghdr(pointerBytes: 4 | 8, lengthBytes: 4 | 8): MsghdrLayout {
  const iovlenOffset = 3 * pointerBytes;
  const controlOffset = iovlenOffset + pointerBytes;
  const controllenOffset = controlOffset + pointerBytes;
  const flagsOffset = controllenOffset + lengthBytes;
  return {
    bytes: Math.ceil((flagsOffset + 4) / pointerBytes) * pointerBytes,
    iovlenOffset,
    iovlenBytes: lengthBytes,
    controlOffset,
    controllenOffset,
    controllenBytes: lengthBytes,
    flagsOffset,
  };
}

/** The columns with the numbers and rules of a system. */
export type Facts = Omit<Abi, keyof Layout | "name" | "os" | "arch" | "libc" | "endian" | "evidence">;

/** Makes a row when it is first needed: a process needs one. */
export type Row = () => readonly [
  arch: string,
  libc: Abi["libc"],
  endian: Abi["endian"],
  evidence: Abi["evidence"],
  layout: Layout,
  facts: Facts,
];

/** The rows of a system, as its file exports them. */
export interface AbiSystem<Name extends string = string> {
  readonly os: Abi["os"];
  /** Node's `process.platform` there. */
  readonly platform: string;
  /** Node's `process.arch` -> the architecture of rows; several, where the byte orders of one have names of their own. */
  readonly architectures: Readonly<Record<string, string | readonly string[]>>;
  readonly rows: Readonly<Record<Name, Row>>;
}

/** Darwin, the BSDs and illumos: lengths are `socklen_t`, of 4 bytes on 64 bit too, and the alignment differs. */
export function bsd(pointerBytes: 4 | 8, alignBytes: number): Layout {
  return layout(pointerBytes, 4, alignBytes, msghdr(pointerBytes, 4));
}

/** Columns that only Linux has a value for. */
export const NOT_LINUX = {
  since: {},
  SCM_CREDENTIALS: null,
  SCM_SECURITY: null,
  SCM_PIDFD: null,
  SCM_INQ: null,
  SO_PASSCRED: null,
  SO_PASSSEC: null,
  SO_PEERSEC: null,
  SO_PEERGROUPS: null,
  SO_PASSPIDFD: null,
  SO_PEERPIDFD: null,
  SO_PASSRIGHTS: null,
  SO_GET_FILTER: null,
  SO_INQ: null,
  SO_PEEK_OFF: null,
  SO_RCVBUFFORCE: null,
  SO_SNDBUFFORCE: null,
  SO_TIMESTAMPING: null,
  SO_TIMESTAMPNS: null,
  longPathBytes: null,
  abstractNames: false,
  overflowId: null,
} as const;

/** The numbers of these options since 4.2BSD, sys/socket.h, which Darwin, the BSDs and illumos share. */
export const BSD_OPTIONS = {
  SO_ACCEPTCONN: 2,
  SO_SNDBUF: 0x1001,
  SO_RCVBUF: 0x1002,
  SO_ERROR: 0x1007,
  SO_TYPE: 0x1008,
} as const;

/** Columns of the options of Unix sockets, where there are none. */
export const NO_LOCAL = {
  SOL_LOCAL: null,
  LOCAL_CREDS: null,
  LOCAL_CREDS_PERSISTENT: null,
  LOCAL_PEERCRED: null,
  LOCAL_PEEREID: null,
  LOCAL_PEERPID: null,
} as const;

/** `struct timeval` or `struct timespec` of two 8-byte fields. */
export function time(type: number, name: string, unit: TimestampLayout["unit"], times = 1): TimestampLayout {
  return { type, name, unit, times, bytes: 16, secondsBytes: 8, fractionOffset: 8, fractionBytes: 8 };
}

/** The same of two 4-byte fields. */
export function time32(type: number, name: string, unit: TimestampLayout["unit"], times = 1): TimestampLayout {
  return { type, name, unit, times, bytes: 8, secondsBytes: 4, fractionOffset: 4, fractionBytes: 4 };
}

/** `struct timeval` with an 8-byte second, a 4-byte microsecond and, where the alignment needs it, a pad. */
export function timePadded(type: number, bytes: 12 | 16): TimestampLayout {
  return { ...time(type, "SCM_TIMESTAMP", "microseconds"), bytes, fractionBytes: 4 };
}
