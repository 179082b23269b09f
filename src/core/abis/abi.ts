/** What a row of the ABI table says, and what the rows of several systems have in common. */

/** Where the credentials lie in the payload of messages of a type. Effective ids where real and effective are told apart. */
export interface CredentialsLayout {
  /** `cmsg_type`, at level SOL_SOCKET. */
  readonly type: number;
  /** The C struct. */
  readonly name: string;
  /** Least bytes of the payload. */
  readonly bytes: number;
  /** Offsets of 4-byte fields; `pid` null: there is none. */
  readonly pid: number | null;
  readonly uid: number;
  readonly gid: number;
  /** Whether a sender may (or, for the kernel to fill them in, must) attach them. */
  readonly sendable: boolean;
}

/** Where a time lies in the payload of messages of a type. */
export interface TimestampLayout {
  /** `cmsg_type`, at level SOL_SOCKET. */
  readonly type: number;
  readonly name: string;
  /** What the fraction counts; `bintime`: units of 2^-64 s. */
  readonly unit: "microseconds" | "nanoseconds" | "bintime";
  /** How many times follow one another: 3 for SCM_TIMESTAMPING. */
  readonly times: number;
  /** Bytes of one time; of its seconds, at offset 0; where its fraction lies, and its bytes. */
  readonly bytes: number;
  readonly secondsBytes: 4 | 8;
  readonly fractionOffset: number;
  readonly fractionBytes: 4 | 8;
}

/** `struct msghdr`, whose control length the caller of a raw system call has to find. Offsets and sizes in bytes. */
export interface MsghdrLayout {
  readonly bytes: number;
  readonly iovlenOffset: number;
  readonly iovlenBytes: 4 | 8;
  readonly controlOffset: number;
  readonly controllenOffset: number;
  readonly controllenBytes: 4 | 8;
  readonly flagsOffset: number;
}

/** A socket option that answers with the peer's credentials. Effective ids where real and effective are told apart. */
export interface PeerCredentialsLayout {
  readonly level: "SOL_SOCKET" | "SOL_LOCAL";
  /** Its name in the C headers. */
  readonly option: string;
  /** Offsets of 4-byte fields; `pid` null: there is none. */
  readonly pid: number | null;
  readonly uid: number;
  readonly gid: number;
  /** The option of the same level that answers with the pid, where `pid` is null; null: the system does not tell the pid. */
  readonly pidOption: string | null;
}

/** One target. Offsets and sizes in bytes; a number that the system does not have is null. */
export interface Abi {
  readonly name: AbiName;
  readonly os: "linux" | "darwin" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "illumos";
  readonly arch: string;
  /** Linux only: whose C struct it is. The bytes on the wire are the kernel's, the same for all. */
  readonly libc: "glibc" | "musl" | "bionic" | null;
  readonly pointerBytes: 4 | 8;
  readonly endian: "little" | "big";
  /** How the layout is known: run, compiled with the target's headers, read in them, or from other projects' tables. */
  readonly evidence: "measured" | "compiled" | "source" | "tables";
  /** The files that the row was read in. */
  readonly source: string;

  /** `sizeof(struct cmsghdr)`. */
  readonly headerBytes: number;
  /** `cmsg_len`. musl's has 4 bytes and a pad; on the wire, with the pad zero, it is the kernel's 8. */
  readonly lengthOffset: number;
  readonly lengthBytes: 4 | 8;
  readonly levelOffset: number;
  readonly typeOffset: number;
  /** `CMSG_LEN(0)`. */
  readonly dataOffset: number;
  /** `CMSG_ALIGN` rounds up to it. */
  readonly alignBytes: number;
  /** Where the next header may begin; not `alignBytes` on illumos/sparcv9 only. */
  readonly headerAlignBytes: number;
  readonly msghdr: MsghdrLayout;

  readonly SOL_SOCKET: number;
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
  /** Null: received descriptors need `fcntl` to become CLOEXEC. */
  readonly MSG_CMSG_CLOEXEC: number | null;
  readonly MSG_CMSG_CLOFORK: number | null;

  readonly SO_NOSIGPIPE: number | null;
  readonly SO_PASSCRED: number | null;
  readonly SO_PEERCRED: number | null;
  readonly SO_PASSSEC: number | null;
  readonly SO_PEERSEC: number | null;
  readonly SO_PEERGROUPS: number | null;
  readonly SO_PASSPIDFD: number | null;
  readonly SO_PEERPIDFD: number | null;
  readonly SO_PASSRIGHTS: number | null;

  readonly SOCK_STREAM: number;
  readonly SOCK_DGRAM: number;
  /** Null: AF_UNIX has none. */
  readonly SOCK_SEQPACKET: number | null;
  readonly F_DUPFD_CLOEXEC: number;

  /** The most descriptors that one `sendmsg` takes. */
  readonly maxFdsPerMessage: number;
  /** The most control bytes that one `sendmsg` takes; null: no fixed limit. */
  readonly maxControlBytes: number | null;
  /** What `msg_controllen` has to be on a send: with the last message's padding (`CMSG_SPACE`) or without (`CMSG_LEN`). */
  readonly sendControlLength: "space" | "len";
  /** Several SCM_RIGHTS in one `sendmsg`: merged into one, kept apart, refused, or all but the first lost in silence. */
  readonly severalRights: "merged" | "separate" | "refused" | "first";
  /** What a receive does with descriptors that the control buffer, or the descriptor table, has no room for. */
  readonly truncation: "linux" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "xnu" | "illumos";
  /** Room that n descriptors need to be received: `CMSG_SPACE(4n)`, or `CMSG_LEN(4n)` is enough. */
  readonly receiveNeeds: "space" | "len";
  /** The errno of a receive with a full descriptor table; null: what fits is delivered, with MSG_CTRUNC. */
  readonly tableFullErrno: "EMFILE" | "EMSGSIZE" | null;
  /** The errno of a datagram for a full receiver. */
  readonly datagramFullErrno: "EAGAIN" | "ENOBUFS";
  /**
   * The errno of a send while too many descriptors are in flight, where it is that of a full socket: whether the socket is
   * writable says nothing then. Null: another errno, or no limit.
   */
  readonly inFlightErrno: "EAGAIN" | null;
  /** The errno of a send on a stream when the receiver has no room left for the control data; null: that of a full socket. */
  readonly controlFullErrno: "EMSGSIZE" | null;
  /** MSG_CTRUNC gets lost: a `cmsg_len` that reaches past the end is the only sign of a truncation. */
  readonly losesCtrunc: boolean;
  /**
   * The byte of a stream's receive that its descriptors came with. `last`: the kernel puts plain bytes of earlier sends in
   * front of those that carry descriptors. `first`: it puts plain bytes of later sends behind them.
   */
  readonly rightsCarrier: "last" | "first";
  /** What MSG_PEEK does with descriptors: new ones each time, kernel pointers, nothing, or zeros. */
  readonly peek: "duplicates" | "pointers" | "omitted" | "zeroed";
  /** Descriptors with no byte on a stream: lost in silence, or delivered with a receive of 0. */
  readonly emptyStreamRights: "dropped" | "delivered";
  /** The rule of `CMSG_NXTHDR`, which the core's walk is stricter than. */
  readonly nextHeader: "glibc" | "musl" | "bionic" | "bsd" | "illumos";
  readonly credentials: readonly CredentialsLayout[];
  readonly timestamps: readonly TimestampLayout[];
  /** The socket option that answers with the peer's credentials; null: the system has none. */
  readonly peerCredentials: PeerCredentialsLayout | null;
  /** Bytes of `sun_path` of `struct sockaddr_un`. */
  readonly sunPathBytes: number;
  /** Whether there are names outside the file system, which begin with a NUL; `bind` to an empty name chooses one. */
  readonly abstractNames: boolean;
  /** Payload bytes of every message that can come beside SCM_RIGHTS with all socket options on, labels apart. */
  readonly receiveMessages: readonly number[];
}

/** The rows. On musl rows `lengthBytes` is that of musl's struct. */
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

/** What names begin with, up to the first hyphen: the systems, and Android. */
export type PrefixOf<Name extends string> = Name extends `${infer Prefix}-${string}` ? Prefix : never;

/** The names that begin so. */
export type NamesOf<Prefix extends PrefixOf<AbiName>> = Extract<AbiName, `${Prefix}-${string}`>;

/** The part of a row that is the layout of its structs. */
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

/** A header whose fields follow one another, and a payload that begins at the next multiple of the alignment. */
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

/** The same fields with one size for both lengths; `flags` follow the control length. */
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

/** The numbers and rules of a system: what neither the name nor the layout says. */
export type Facts = Omit<Abi, keyof Layout | "name" | "os" | "arch" | "libc" | "endian" | "evidence">;

/** A row, whose facts are made when it is asked for: a process needs one row of all. */
export type Row = readonly [
  arch: string,
  libc: Abi["libc"],
  endian: Abi["endian"],
  evidence: Abi["evidence"],
  layout: Layout,
  facts: () => Facts,
];

/** What the file of a system states. */
export interface AbiSystem<Name extends string = string> {
  readonly os: Abi["os"];
  /** `process.platform` of Node there. */
  readonly platform: string;
  /** Architectures as Node names them (`process.arch`) -> as the rows do. */
  readonly architectures: Readonly<Record<string, string>>;
  readonly rows: Readonly<Record<Name, Row>>;
}

/** Darwin, the BSDs and illumos: lengths are `socklen_t`, of 4 bytes on 64 bit too, and the alignment differs. */
export function bsd(pointerBytes: 4 | 8, alignBytes: number): Layout {
  return layout(pointerBytes, 4, alignBytes, msghdr(pointerBytes, 4));
}

/** What only Linux has, for the others. */
export const NOT_LINUX = {
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
  abstractNames: false,
} as const;

/** `struct timeval` or `timespec` of two 8-byte fields. */
export function time(type: number, name: string, unit: TimestampLayout["unit"], times = 1): TimestampLayout {
  return { type, name, unit, times, bytes: 16, secondsBytes: 8, fractionOffset: 8, fractionBytes: 8 };
}

/** The same with 4-byte fields. */
export function time32(type: number, name: string, unit: TimestampLayout["unit"], times = 1): TimestampLayout {
  return { type, name, unit, times, bytes: 8, secondsBytes: 4, fractionOffset: 4, fractionBytes: 4 };
}

/** `struct timeval` with an 8-byte second, a 4-byte microsecond and, where the alignment asks for it, a pad. */
export function timePadded(type: number, bytes: 12 | 16): TimestampLayout {
  return { ...time(type, "SCM_TIMESTAMP", "microseconds"), bytes, fractionBytes: 4 };
}
