// The public interface, one part for each entry point. Written by `npm run check:api -- --record`.

declare module "unix-ancillary/core" {
    /** One target. Offsets and sizes in bytes; a number that the system does not have is null. */
    export interface Abi {
        /** System, architecture and C library, joined by hyphens. */
        readonly name: AbiName;
        /** The system. */
        readonly os: "linux" | "darwin" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "illumos";
        /** The architecture, as the system itself calls it. */
        readonly arch: string;
        /** Linux only: whose C struct it is. The bytes on the wire are the kernel's, the same for all. */
        readonly libc: "glibc" | "musl" | "bionic" | null;
        /** `sizeof(void *)`. */
        readonly pointerBytes: 4 | 8;
        /** The byte order of every number in a control buffer. */
        readonly endian: "little" | "big";
        /** How the layout is known: run, compiled with the target's headers, read in them, or from other projects' tables. */
        readonly evidence: "measured" | "compiled" | "source" | "tables";
        /** The files that the row was read in. */
        readonly source: string;
        /** `sizeof(struct cmsghdr)`. */
        readonly headerBytes: number;
        /** `offsetof(struct cmsghdr, cmsg_len)`. */
        readonly lengthOffset: number;
        /** Bytes of `cmsg_len`: musl's has 4 and a pad; on the wire, with the pad zero, it is the kernel's 8. */
        readonly lengthBytes: 4 | 8;
        /** `offsetof(struct cmsghdr, cmsg_level)`; 4 bytes. */
        readonly levelOffset: number;
        /** `offsetof(struct cmsghdr, cmsg_type)`; 4 bytes. */
        readonly typeOffset: number;
        /** `CMSG_LEN(0)`. */
        readonly dataOffset: number;
        /** `CMSG_ALIGN` rounds up to it. */
        readonly alignBytes: number;
        /** Where the next header may begin; not `alignBytes` on illumos/sparcv9 only. */
        readonly headerAlignBytes: number;
        /** `struct msghdr`. */
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
        /** Every kind of credentials that the kernel sends. */
        readonly credentials: readonly CredentialsLayout[];
        /** Every kind of time that the kernel sends. */
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
    export type AbiName = `linux-${"x86_64" | "i386" | "armv7" | "aarch64" | "s390x" | "powerpc64" | "powerpc"}-${"glibc" | "musl"}` | `linux-${"riscv64" | "powerpc64le" | "mips" | "x32"}-glibc` | `linux-${"riscv64" | "powerpc64le"}-musl` | `android-${"aarch64" | "x86_64" | "armv7"}-bionic` | `darwin-${"arm64" | "x86_64"}` | `freebsd-${"amd64" | "arm64" | "riscv64" | "powerpc64" | "i386" | "armv7"}` | `openbsd-${"amd64" | "arm64" | "riscv64" | "i386" | "arm" | "powerpc" | "sparc64"}` | `netbsd-${"amd64" | "i386" | "arm-eabi" | "aarch64" | "sparc64"}` | "dragonfly-x86_64" | `illumos-${"amd64" | "sparcv9"}`;

    /** A condition that the kernel does not name. {@link code} says which; the message names the numbers. */
    export class AncillaryError extends Error {
        /** Stable; the message is not. */
        readonly code: AncillaryErrorCode;
        /** The bytes that a failed receive had brought. Its descriptors are closed, its bytes are not lost. */
        readonly data?: Uint8Array;
        /** Of `ERR_ANCILLARY_TRUNCATED`. */
        readonly reason?: TruncationReason;
        /** @param details what becomes {@link data} and {@link reason} */
        constructor(code: AncillaryErrorCode, message: string, details?: {
            data?: Uint8Array;
            reason?: TruncationReason;
        });
    }

    /** What {@link AncillaryError.code} can be. */
    export type AncillaryErrorCode = "ERR_ANCILLARY_RECEIVED" | "ERR_ANCILLARY_TRUNCATED" | "ERR_BUFFER_TOO_SMALL" | "ERR_DATA_TRUNCATED" | "ERR_EMPTY_PAYLOAD" | "ERR_FD_CLOSED" | "ERR_FD_COUNT" | "ERR_MALFORMED_CONTROL" | "ERR_NOT_UNIX_SOCKET" | "ERR_SOCKET_BUSY" | "ERR_SOCKET_CLOSED" | "ERR_TOO_LONG" | "ERR_TOO_MANY_FDS" | "ERR_UNEXPECTED_EOF";

    /** The codec of one ABI: one instance of the core. Its methods answer with copies and keep nothing between calls. */
    export class Codec {
        #private;
        /** The row of the ABI table it was made with. */
        readonly abi: Abi;
        /** @throws RangeError for a name that is not in the table, or a layout that cannot be walked */
        constructor(abi: Abi | AbiName);
        /** `CMSG_ALIGN(n)`. @throws RangeError beyond 2^31 - 1 */
        align(n: number): number;
        /** `CMSG_LEN(n)`: `cmsg_len` of a message with `n` bytes of payload. @throws RangeError beyond 2^31 - 1 */
        len(n: number): number;
        /** `CMSG_SPACE(n)`: bytes of a message with `n` bytes of payload and its padding. @throws RangeError beyond 2^31 - 1 */
        space(n: number): number;
        /**
         * A control buffer with these messages, as long as `msg_controllen` has to be on this system.
         *
         * @throws AncillaryError `ERR_BUFFER_TOO_SMALL` beyond 64 KiB, more than any kernel takes
         */
        encode(messages: readonly ControlMessage[]): Uint8Array;
        /**
         * {@link encode} into memory of the caller's; `msg_controllen`. What lies behind it is left alone.
         *
         * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`, nothing written
         */
        encodeInto(messages: readonly ControlMessage[], into: Uint8Array): number;
        /**
         * The messages in a control buffer of any length. Never throws on any bytes.
         *
         * @throws TypeError for what is no Uint8Array
         */
        decode(control: Uint8Array, options?: DecodeOptions): DecodedControl;
        /** An SCM_RIGHTS message. @throws RangeError for what is no `int`, or more than the system takes in one message */
        rights(fds: readonly number[]): ControlMessage;
        /** The slots of an SCM_RIGHTS message, in their places; of any other message none. */
        fdsOf(message: ControlMessage): number[];
        /**
         * A message with credentials, as a sender attaches them.
         *
         * @throws RangeError where a sender of this system attaches none
         */
        credentials({ pid, uid, gid }: PayloadCredentials): ControlMessage;
        /** What a message says; `"unknown"` for what the ABI table does not know. Never throws on any bytes. */
        payloadOf({ level, type, data }: ControlMessage): Payload;
        /**
         * What is kept and what is closed of a receive, as the library itself decides it.
         *
         * @throws RangeError beyond 64 KiB of control data, more than any kernel delivers
         */
        verdict({ control, flags, maxFds, exactly, allowTruncated }: VerdictInput): ReceiveVerdict;
    }

    /** One control message: a cmsghdr, and its payload in the target's byte order. */
    export interface ControlMessage {
        /** `cmsg_level`. */
        readonly level: number;
        /** `cmsg_type`. */
        readonly type: number;
        /** The payload, without padding. */
        readonly data: Uint8Array;
    }

    /** Where the credentials lie in the payload of messages of a type. Effective ids where real and effective are told apart. */
    export interface CredentialsLayout {
        /** `cmsg_type`, at level SOL_SOCKET. */
        readonly type: number;
        /** The C struct. */
        readonly name: string;
        /** Least bytes of the payload. */
        readonly bytes: number;
        /** Offset of the process id, 4 bytes; null: there is none. */
        readonly pid: number | null;
        /** Offset of the user id, 4 bytes. */
        readonly uid: number;
        /** Offset of the group id, 4 bytes. */
        readonly gid: number;
        /** Whether a sender may (or, for the kernel to fill them in, must) attach them. */
        readonly sendable: boolean;
    }

    /** How to decode. */
    export interface DecodeOptions {
        /**
         * `msg_flags` of the receive, the ABI's own numbers. With MSG_CTRUNC (on DragonFly, which loses the flag, always) a message
         * that reaches past the end is clamped, not malformed: Darwin does not shorten its `cmsg_len`.
         */
        flags?: number | undefined;
    }

    /** What a control buffer holds. */
    export interface DecodedControl {
        /** The whole messages, in their order; `data` are copies. */
        readonly messages: readonly DecodedMessage[];
        /**
         * Where and why the walk stopped; null: at the end. The messages before stand.
         *
         * - `header-truncated`: fewer bytes are left than `CMSG_LEN(0)`
         * - `length-too-small`: `cmsg_len` is less than `CMSG_LEN(0)`
         * - `length-overruns`: `cmsg_len` reaches past the end
         */
        readonly malformed: null | {
            readonly offset: number;
            readonly reason: "header-truncated" | "length-too-small" | "length-overruns";
        };
    }

    /** A message as it was found. */
    export interface DecodedMessage extends ControlMessage {
        /** Where its header begins. */
        readonly offset: number;
        /** Its `cmsg_len` said more than there is, and `data` is what there is. Only where {@link DecodeOptions.flags} allow it. */
        readonly clamped: boolean;
    }

    /** `struct msghdr`, whose control length the caller of a raw system call has to find. Offsets and sizes in bytes. */
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

    /** What a message says. */
    export type Payload = {
        readonly kind: "rights";
        /** Every slot in its place; a negative one holds no descriptor. */
        readonly fds: readonly number[];
        /** Bytes behind the last whole `int`. */
        readonly leftoverBytes: number;
    }
    /** What the kernel wrote, unjudged; null: cut short. Whom the receive path takes it for, the verdict says. */
     | {
        readonly kind: "credentials";
        readonly credentials: PayloadCredentials | null;
    }
    /** A descriptor, or a negative errno where the kernel could not make one; null: cut short. */
     | {
        readonly kind: "pidfd";
        readonly pidfd: number | null;
    }
    /** The bytes as text; SELinux ends them with a NUL, which is left out. */
     | {
        readonly kind: "security";
        readonly label: string;
    }
    /** One time, or the three of SCM_TIMESTAMPING; fewer: cut short. */
     | {
        readonly kind: "timestamp";
        readonly name: string;
        readonly times: readonly Timestamp[];
    } | {
        readonly kind: "unknown";
    };

    /** A process and its user, as a kernel wrote it into a message. */
    export interface PayloadCredentials {
        /** Process id; null: this system sends none. */
        readonly pid: number | null;
        /** User id. */
        readonly uid: number;
        /** Group id. */
        readonly gid: number;
    }

    /** A socket option that answers with the peer's credentials. Effective ids where real and effective are told apart. */
    export interface PeerCredentialsLayout {
        /** The level of the option, by its name in the C headers. */
        readonly level: "SOL_SOCKET" | "SOL_LOCAL";
        /** Its name in the C headers. */
        readonly option: string;
        /** Offset of the process id, 4 bytes; null: there is none. */
        readonly pid: number | null;
        /** Offset of the user id, 4 bytes. */
        readonly uid: number;
        /** Offset of the group id, 4 bytes. */
        readonly gid: number;
        /** The option of the same level that answers with the pid, where `pid` is null; null: the system does not tell the pid. */
        readonly pidOption: string | null;
    }

    /** Which descriptors are kept and which are closed. A surplus is `"ok"`: its numbers are in `close`. */
    export interface ReceiveVerdict {
        /** In their order; empty unless the outcome is `"ok"`. */
        readonly keep: number[];
        /** Every other descriptor that was delivered; all of them unless the outcome is `"ok"`. */
        readonly close: number[];
        /** A pidfd that came; null unless the outcome is `"ok"`. */
        readonly pidfd: number | null;
        /** Who sent it, where the message names somebody. */
        readonly credentials: PayloadCredentials | null;
        /** `"ok"`, or why nothing is kept. */
        readonly outcome: "ok" | "ancillary-truncated" | "malformed" | "data-truncated" | "fd-count";
    }

    /** A point in time, or (SO_TIMESTAMPING) 0 for one that was not taken. */
    export interface Timestamp {
        /** Whole seconds since 1970. */
        readonly seconds: bigint;
        /** 0 to 999,999,999 in what kernels send. Fractions finer than that are cut. */
        readonly nanoseconds: number;
    }

    /** Where a time lies in the payload of messages of a type. */
    export interface TimestampLayout {
        /** `cmsg_type`, at level SOL_SOCKET. */
        readonly type: number;
        /** The name of the message's type, `"SCM_TIMESTAMP"`. */
        readonly name: string;
        /** What the fraction counts; `bintime`: units of 2^-64 s. */
        readonly unit: "microseconds" | "nanoseconds" | "bintime";
        /** How many times follow one another: 3 for SCM_TIMESTAMPING. */
        readonly times: number;
        /** Bytes of one time. */
        readonly bytes: number;
        /** Bytes of its seconds, at offset 0. */
        readonly secondsBytes: 4 | 8;
        /** Offset of its fraction. */
        readonly fractionOffset: number;
        /** Bytes of its fraction. */
        readonly fractionBytes: 4 | 8;
    }

    /** Why the kernel delivered less control data than it had. */
    export type TruncationReason = "control-space" | "descriptor-limit" | "denied";

    /** What a receive brought, for {@link Codec.verdict}. */
    export interface VerdictInput {
        /** The first `msg_controllen` bytes of the control buffer. */
        readonly control: Uint8Array;
        /** `msg_flags`, the ABI's own numbers. */
        readonly flags: number;
        /** How many descriptors are kept at most. */
        readonly maxFds: number;
        /** How many must have come. */
        readonly exactly?: number | undefined;
        /** Whether cut data are no error. */
        readonly allowTruncated?: boolean | undefined;
    }

    /** Every ABI, by name. */
    export const abis: Readonly<Record<AbiName, Abi>>;

    /** The row for what Node says of a host (`process.platform`, `process.arch`); null: there is none. */
    export function hostAbiName(platform: string, arch: string, libc: "glibc" | "musl" | null): AbiName | null;

    /** A readable picture of the bytes. Never throws on any bytes. */
    export function inspect(abi: Abi | AbiName, control: Uint8Array): string;

    /**
     * Gives the module to hosts that do not compile bytes themselves, workerd for one: import `unix-ancillary/core.wasm` as
     * a module and hand it over before the first {@link Core} is made. Elsewhere the embedded bytes are compiled on first use.
     */
    export function provideCoreModule(module: object): void;
}

declare module "unix-ancillary" {
    import type { ChildProcess, SpawnOptions } from "node:child_process";
    import type { Socket as DatagramSocket } from "node:dgram";
    import type { Server, Socket, SocketConstructorOpts } from "node:net";
    import type { Abi } from "unix-ancillary/core";
    export { AncillaryError, type AncillaryErrorCode, type TruncationReason } from "unix-ancillary/core";

    /** What came beside the bytes. */
    export interface Ancillary extends Disposable {
        /**
         * The peer has finished: a stream with no byte; a record with no byte and no descriptor from a peer whose end is shut.
         * Never on a datagram. A record behind it that has bytes tells that it is none; one that has none does not.
         */
        readonly eof: boolean;
        /** All CLOEXEC, at most `maxFds`. */
        readonly fds: OwnedFd[];
        /** Descriptors beyond `maxFds`, already closed. */
        readonly surplus: number;
        /** Streams: how many bytes had been received before these. 0 on other sockets. */
        readonly streamOffset: number;
        /** The datagram or record was longer than the buffer. Only ever true with `allowTruncated`. */
        readonly dataTruncated: boolean;
        /** Who sent it, when the socket passes credentials and they name somebody. */
        readonly credentials: Credentials | null;
        /** The sender's pidfd, when the socket passes pidfds (Linux). */
        readonly pidfd: OwnedFd | null;
        /** The sender's security label, when the socket passes it (Linux). */
        readonly security: string | null;
        /** Closes the descriptors that are still open. */
        [Symbol.dispose](): void;
    }

    /** What a received control message says, and what it handed over. Credentials are what the kernel wrote, unjudged. */
    export type AncillaryData = {
        readonly kind: "rights";
        readonly fds: OwnedFd[];
    } | {
        readonly kind: "credentials";
        readonly credentials: Credentials;
    } | {
        readonly kind: "pidfd";
        readonly pidfd: OwnedFd;
    } | {
        readonly kind: "security";
        readonly label: string;
    } | {
        readonly kind: "timestamp";
        readonly seconds: bigint;
        readonly nanoseconds: number;
    } | {
        readonly kind: "unknown";
        readonly level: number;
        readonly type: number;
        readonly data: Uint8Array;
    };

    /**
     * A descriptor its caller keeps owning: a number, or anything with an `fd` (OwnedFd, FileHandle, fs streams, the sockets
     * of this library), or a Node handle. It is read at the moment of the system call, never earlier: an owner that is closed
     * while its send is still queued makes that send fail with `ERR_FD_CLOSED`, and another file that got the same number is
     * never sent in its place. A bare number cannot be guarded so: it must stay open until the promise settles.
     */
    export type AsFd = number | {
        readonly fd: number;
    } | Socket | Server | DatagramSocket;

    /** A condition of the protocol. {@link code} says which; the message names the numbers. */
    export class ChannelError extends Error {
        /** Stable; the message is not. */
        readonly code: ChannelErrorCode;
        /** @param options `cause`: the error that led to this one */
        constructor(code: ChannelErrorCode, message: string, options?: {
            cause?: unknown;
        });
    }

    /** What {@link ChannelError.code} can be. */
    export type ChannelErrorCode = "ERR_CHANNEL_CLOSED" | "ERR_CHANNEL_FD_COUNT" | "ERR_CHANNEL_FLAGS" | "ERR_CHANNEL_MAGIC" | "ERR_CHANNEL_PAYLOAD_TOO_LARGE" | "ERR_CHANNEL_PEER_REJECTED" | "ERR_CHANNEL_POISONED" | "ERR_CHANNEL_TIMEOUT" | "ERR_CHANNEL_TOO_MANY_FDS" | "ERR_CHANNEL_UNEXPECTED_EOF" | "ERR_CHANNEL_VERSION" | "ERR_NO_PARENT";

    /** Limits of a channel, in both directions, and its policy. */
    export interface ChannelOptions {
        /** Bytes of payload in a frame at most; 16 MiB by default. */
        maxPayload?: number | undefined;
        /** Descriptors in a frame at most; by default as many as the system can send in one message. */
        maxFds?: number | undefined;
        /** Milliseconds from the first byte of a frame that is received to its last; for ever by default. */
        frameTimeout?: number | undefined;
        /** Who may be at the other end; anybody by default. A peer that the system does not name is rejected. */
        peer?: PeerPolicy | undefined;
        /** Of `pair`: where the sockets live; a virtual kernel, in tests. */
        platform?: Platform | undefined;
    }

    /** Of `child_process.spawn`, and the limits and the policy of the channel. */
    export type ChannelSpawnOptions = SpawnOptions & Omit<ChannelOptions, "platform">;

    /** Options of `connect`. */
    export type ConnectOptions = Pick<WaitOptions, "signal">;

    /** A socket with a peer. */
    abstract class ConnectedSocket extends MessageSocket implements AsyncIterable<ReceivedFds> {
        #private;
        protected constructor();
        /**
         * Sends the descriptors with the first `sendmsg` and then every byte.
         *
         * @throws as {@link sendFds}; the error carries how far it got ({@link SendProgress})
         */
        sendFdsAll(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<void>;
        /** {@link sendFdsAll}, waiting in `poll(2)`. */
        sendFdsAllSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): void;
        /** The messages until the peer finishes, each with as many descriptors as the system can send in one. */
        [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedFds, undefined>;
        /**
         * A reader of bytes and descriptors as two queues, for protocols that count descriptors in their own messages. It is the
         * only one to receive from this socket from then on, other receives are `ERR_SOCKET_BUSY`; closing either closes both.
         *
         * @throws AncillaryError `ERR_SOCKET_BUSY` when there is one already, or receives wait
         */
        reader(options?: FdReaderOptions): FdReader;
        close(): void;
        /** The name the peer is bound to; null: none. */
        get peerAddress(): string | null;
        /**
         * Who connected, or was connected to, as the kernel recorded it then; of a pair: who made it.
         *
         * @throws SystemError `ENOTSUP` where the system does not tell
         */
        peerCredentials(): Credentials;
        /**
         * A pidfd of the peer (SO_PEERPIDFD, Linux 6.5).
         *
         * @throws SystemError `ENOTSUP`, `ENOPROTOOPT` on older kernels
         */
        peerPidfd(): OwnedFd;
    }

    /** A control message as it lies in a control buffer. */
    export interface ControlMessage {
        /** `cmsg_level`. */
        readonly level: number;
        /** `cmsg_type`. */
        readonly type: number;
        /** The payload, in the byte order of this host, without padding. */
        readonly data: Uint8Array;
    }

    /**
     * A process and its user. Facts: what names nobody (see `assembly/credentials.ts`) is `null` in its place, never a user.
     */
    export interface Credentials {
        /** Null where the system sends no pid. */
        readonly pid: number | null;
        /** Effective user id where the system tells real and effective apart. */
        readonly uid: number;
        /** Effective group id, likewise. */
        readonly gid: number;
    }

    /** A socket of this library. */
    abstract class Endpoint implements Disposable, AsyncDisposable {
        #private;
        protected constructor();
        /**
         * The number of the socket, for as long as this object is its owner.
         *
         * @throws AncillaryError `ERR_FD_CLOSED` once closed
         */
        get fd(): number;
        /** True after {@link close}. */
        get closed(): boolean;
        /** The name it is bound to; null: none. An abstract one begins with `"\0"`. */
        get address(): string | null;
        /** Lets operations that wait keep the process alive (the default). */
        ref(): this;
        /** Lets the process end although operations wait. */
        unref(): this;
        /**
         * Closes the socket: the descriptor is closed when this returns, and operations that wait fail with `ERR_SOCKET_CLOSED`.
         * Again: nothing happens.
         */
        close(): void;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
        /** {@link close}, for `await using`. */
        [Symbol.asyncDispose](): Promise<void>;
    }

    /**
     * A channel of frames: a payload and descriptors each, in order, once.
     *
     * A frame that is half sent, or half received when the peer ends or breaks the protocol, poisons that direction: nothing goes on
     * behind it. Frames wait in the kernel until they are received.
     */
    export class FdChannel implements Disposable, AsyncDisposable, AsyncIterable<Frame> {
        #private;
        /** Who is at the other end, as the kernel recorded it; null: the system does not tell. */
        readonly peer: Credentials | null;
        private constructor();
        /** Two channels connected with each other. */
        static pair(options?: ChannelOptions): [FdChannel, FdChannel];
        /**
         * A channel over a connected socket, which it owns from then on.
         *
         * @throws ChannelError `ERR_CHANNEL_PEER_REJECTED` when the policy says no; the socket is closed then.
         *   AncillaryError `ERR_SOCKET_CLOSED`, `ERR_SOCKET_BUSY`
         */
        static over(socket: UnixStream | UnixSeqpacket, options?: ChannelOptions): FdChannel;
        /**
         * In a child that was started by {@link spawn}, on its main thread: the channel to its parent. It can be taken once;
         * what the child starts afterwards does not inherit it.
         *
         * @throws ChannelError `ERR_NO_PARENT` anywhere else, `ERR_CHANNEL_PEER_REJECTED`
         */
        static fromParent(options?: ChannelOptions): FdChannel;
        /**
         * Sends a frame, behind those before it; fulfilled with its id when the kernel has taken all of it, which is the
         * back-pressure: how many frames wait is up to the caller. Until then the payload must not be changed; the descriptors
         * stay the caller's, and must stay open.
         *
         * @throws ChannelError `ERR_CHANNEL_PAYLOAD_TOO_LARGE`, `ERR_CHANNEL_TOO_MANY_FDS`, nothing sent;
         *   `ERR_CHANNEL_POISONED` behind a frame that was half sent; `ERR_CHANNEL_CLOSED`. AncillaryError `ERR_FD_CLOSED`.
         *   SystemError `EPIPE` ... The error of a frame that was half sent tells how far it got ({@link SendProgress})
         */
        send(payload: string | Uint8Array, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<bigint>;
        /**
         * The next frame; null when the peer has finished between frames. An abort within a frame loses nothing: the next call goes
         * on with it.
         *
         * @throws ChannelError for a peer that breaks the protocol, with `ERR_CHANNEL_POISONED` from then on;
         *   `ERR_CHANNEL_TIMEOUT`, `ERR_CHANNEL_UNEXPECTED_EOF` likewise; `ERR_CHANNEL_CLOSED`. SystemError `ECONNRESET` ...,
         *   AncillaryError `ERR_ANCILLARY_TRUNCATED` when the descriptor table is full: these end the connection
         */
        recv(options?: Pick<WaitOptions, "signal">): Promise<Frame | null>;
        /** The frames until the peer finishes. Leaving the loop leaves the channel open. */
        [Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined>;
        /** True after {@link close}. */
        get closed(): boolean;
        /** Lets what waits keep the process alive (the default). */
        ref(): this;
        /** Lets the process end although something waits. */
        unref(): this;
        /**
         * Closes the channel and every descriptor that was not handed out. What waits fails with `ERR_CHANNEL_CLOSED`. Again: nothing
         * happens.
         */
        close(): void;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
        /** {@link close}, for `await using`. */
        [Symbol.asyncDispose](): Promise<void>;
    }

    /** What a descriptor refers to. */
    export interface FdDescription {
        /** The kind of file. */
        readonly kind: FdKind;
        /** The access mode; `"path"`: it only names a file (O_PATH). */
        readonly access: "read" | "write" | "read-write" | "path";
        /** O_NONBLOCK of the open file description; other processes may share it. */
        readonly nonblocking: boolean;
        /** The bytes of a file or memfd. */
        readonly size?: number;
        /** The seals of a memfd; empty when it has none. */
        readonly seals?: readonly Seal[];
        /** The socket's own description, but for a file that names a socket (O_PATH). */
        readonly socket?: SocketDescription;
    }

    /** The kinds of file that a descriptor can refer to. */
    export type FdKind = "file" | "directory" | "socket" | "pipe" | "character-device" | "block-device" | "symbolic-link" | "memfd" | "eventfd" | "epoll" | "pidfd" | "timerfd" | "signalfd" | "inotify" | "io_uring" | "userfaultfd" | "unknown";

    /** A batch of descriptors, and the bytes it arrived with. */
    export interface FdRange {
        /** Offset in the stream of the first byte of the receive that brought it. Linux glues plain bytes in front. */
        readonly from: number;
        /** Offset behind the last byte. */
        readonly to: number;
        /** How many of its descriptors are not yet taken. */
        readonly count: number;
    }

    /**
     * Reads a stream of bytes with descriptors in it. The descriptors that came with a byte are in {@link takeFds} when that
     * byte has been read.
     *
     * It receives only while somebody reads, and not more than its limits: what a peer sends beyond waits in the kernel. Reads are
     * served in the order of the calls. A peer that breaks a limit, and any failure of the socket but an abort, closes the reader
     * and the socket; what is read afterwards fails with the same error.
     */
    export class FdReader implements Disposable, AsyncDisposable {
        #private;
        private constructor();
        /**
         * Exactly so many bytes, as soon as they have come. An abort leaves those that have come to the next read.
         *
         * @throws AncillaryError `ERR_UNEXPECTED_EOF` when the peer finishes before, with what had come as `data`;
         *   `ERR_TOO_MANY_FDS`; `ERR_SOCKET_CLOSED`
         */
        read(bytes: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer>;
        /**
         * The bytes up to and including a delimiter, at most `max` with it.
         *
         * @throws AncillaryError `ERR_TOO_LONG` when it is not within the next `max` bytes, which stay; as {@link read}
         */
        readUntil(delimiter: Uint8Array | string, max: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer>;
        /** Whether the peer has finished and all its bytes are read; waits until that or at least a byte is known. */
        ended(options?: Pick<WaitOptions, "signal">): Promise<boolean>;
        /**
         * The oldest descriptors that have come, the caller's from now on.
         *
         * @throws AncillaryError `ERR_FD_COUNT` when fewer have come; they stay
         */
        takeFds(count: number): OwnedFd[];
        /** The batches that are not yet taken, the oldest first, and the bytes they arrived with. */
        get fdRanges(): readonly FdRange[];
        /** Descriptors that have come and were not taken. */
        get queuedFds(): number;
        /** Bytes that have come and were not read. */
        get queuedBytes(): number;
        /** Offset in the stream of the byte that is read next. */
        get offset(): number;
        /** Closes the descriptors that were not taken, and the socket. Reads that wait fail with `ERR_SOCKET_CLOSED`. */
        close(): void;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
        /** {@link close}, for `await using`. */
        [Symbol.asyncDispose](): Promise<void>;
    }

    /** Limits of an {@link FdReader}: what a peer can make it hold. */
    export interface FdReaderOptions {
        /** Descriptors in one message at most; by default as many as the system can send in one. */
        maxFds?: number | undefined;
        /** Descriptors that have come and were not taken, at most; 1024 by default. */
        maxQueuedFds?: number | undefined;
        /**
         * Bytes that are received ahead of what was asked for, at most; 65536 by default. On a seqpacket socket the longest record
         * that can come, and not less than 65536.
         */
        maxQueuedBytes?: number | undefined;
    }

    /** A received message. Disposing of it closes the descriptors that are still open. */
    export interface Frame extends Disposable {
        /** Which message it is; the sender numbers them from 1. */
        readonly messageId: bigint;
        /** The bytes that the sender gave. */
        readonly payload: Buffer;
        /** All CLOEXEC, in the sender's order. */
        readonly fds: OwnedFd[];
    }

    /** A descriptor that was passed by the service manager, and its name (`FileDescriptorName=`). */
    export interface ListenFd {
        /** The descriptor. */
        readonly fd: OwnedFd;
        /** `"unknown"` when it was given none. */
        readonly name: string;
    }

    /** Options of {@link listenFds}. */
    export interface ListenFdsOptions {
        /** Whether the variables are taken out of the environment, so that children do not believe them; true by default. */
        unset?: boolean | undefined;
    }

    /** Options of {@link UnixListener.bind}. */
    export interface ListenOptions extends PlatformOptions {
        /** What is accepted; `"stream"` by default. */
        type?: "stream" | "seqpacket" | undefined;
        /** Connections that may wait to be accepted; 511 by default, the system may have a lower limit. */
        backlog?: number | undefined;
        /** Permissions of the socket file, `0o600` for instance, set before anybody can connect; else the umask decides. */
        mode?: number | undefined;
    }

    /** How {@link sendmsg} and {@link recvmsg} behave. */
    export interface MessageOptions extends PlatformOptions {
        /** Waits in `poll(2)` instead of failing with `EAGAIN`; false by default. */
        wait?: boolean | undefined;
        /** With `wait`: milliseconds after which it fails with `ETIMEDOUT`. */
        timeout?: number | undefined;
        /** `MSG_` flags of this system, added to the library's own. */
        flags?: number | undefined;
        /** Of {@link sendmsg}: the name of the receiving socket. */
        address?: string | undefined;
    }

    /** A socket that carries bytes and descriptors. */
    abstract class MessageSocket extends Endpoint {
        #private;
        protected constructor();
        /**
         * Sends bytes and descriptors with one `sendmsg`. The descriptors stay the caller's; they are read when the system call
         * is made.
         *
         * @returns the number of bytes accepted. On a stream that may be fewer than given; the descriptors went with the first
         * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_SOCKET_CLOSED`; RangeError `ERR_TOO_MANY_FDS`;
         *   SystemError `EPIPE`, `EBADF`, `ETOOMANYREFS` ...
         */
        sendFds(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<number>;
        /** {@link sendFds}, waiting in `poll(2)`. */
        sendFdsSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): number;
        /** {@link sendFds} if it can be done at once; null, and nothing sent, when it would have to wait. */
        trySendFds(data: Payload, fds?: readonly AsFd[]): number | null;
        /**
         * Receives bytes and at most `maxFds` descriptors with one `recvmsg`; descriptors beyond are closed at once.
         *
         * On a stream, descriptors come with the first byte they were sent with; bytes sent before may come in front of it.
         *
         * @throws AncillaryError `ERR_ANCILLARY_TRUNCATED`, `ERR_DATA_TRUNCATED`, `ERR_MALFORMED_CONTROL` with the bytes as
         *   `data`, every descriptor closed, the socket still usable; `ERR_SOCKET_CLOSED`; SystemError `ECONNRESET` ...
         */
        recvFds(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds>;
        /** {@link recvFds}, waiting in `poll(2)`. */
        recvFdsSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds;
        /** {@link recvFds} if something is there; null when it would have to wait. */
        tryRecvFds(maxFds: number, options?: RecvOptions): ReceivedFds | null;
        /** {@link recvFds} into the caller's buffers. They must not be used for anything else until the promise settles. */
        recvFdsInto(into: Uint8Array | readonly Uint8Array[], maxFds: number, options?: RecvIntoOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFdsInto>;
        /** {@link recvFdsInto}, waiting in `poll(2)`. */
        recvFdsIntoSync(into: Uint8Array | readonly Uint8Array[], maxFds: number, options?: RecvIntoOptions & Pick<WaitOptions, "timeout">): ReceivedFdsInto;
        /**
         * {@link recvFds} that insists on `count` descriptors.
         *
         * @throws AncillaryError `ERR_FD_COUNT` on fewer or more, all of them closed, the bytes as `data`
         */
        recvFdsExact(count: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds>;
        /** {@link recvFdsExact}, waiting in `poll(2)`. */
        recvFdsExactSync(count: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds;
        /** Receives until the peer finishes. On a datagram socket that is never. */
        messages(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): AsyncIterableIterator<ReceivedFds, undefined>;
        /**
         * Ends a direction. `"write"` takes effect behind the sends that are queued.
         *
         * @throws SystemError `ENOTCONN`
         */
        shutdown(how?: "read" | "write" | "both"): void;
        /** Whether messages say who sent them (SO_PASSCRED); the peer's data sent before name nobody. */
        setPassCredentials(on: boolean): void;
        /** Whether messages bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
        setPassPidfd(on: boolean): void;
        /** Whether messages bring the sender's security label (SO_PASSSEC, Linux). */
        setPassSecurity(on: boolean): void;
    }

    /**
     * Owns a descriptor: it is closed by {@link close} or `using`, once. One that is garbage-collected while open is closed
     * too, with a process warning (code `UNIX_ANCILLARY_FD_LEAK`).
     */
    export class OwnedFd implements Disposable {
        #private;
        private constructor();
        /**
         * Takes ownership of an open descriptor.
         *
         * In a worker thread, not of one that `fs.open` gave: Node closes those again when the thread ends, whoever has the number
         * then, unless the worker was made with `trackUnmanagedFds: false`. {@link from} it, and `fs.close` the original.
         *
         * @throws SystemError `EBADF` when `fd` is not open
         */
        static fromRaw(fd: number): OwnedFd;
        /**
         * Owns a duplicate of a descriptor (`F_DUPFD_CLOEXEC`); the original stays its owner's.
         *
         * @throws SystemError `EBADF`, `EMFILE`
         */
        static from(fd: AsFd): OwnedFd;
        /**
         * The number, for as long as this object is its owner.
         *
         * @throws AncillaryError `ERR_FD_CLOSED` once closed or released
         */
        get fd(): number;
        /** True after {@link close} and after {@link release}. */
        get closed(): boolean;
        /**
         * Closes the descriptor. Again: nothing happens.
         *
         * @throws SystemError what `close(2)` reports late, `EIO` of a network file system for one; the number is free all the
         *   same. `EBADF`: somebody else closed it behind this object's back.
         */
        close(): void;
        /** Gives ownership up: the number is the caller's to close. */
        release(): number;
        /** A duplicate (`F_DUPFD_CLOEXEC`) with an owner of its own. */
        dup(): OwnedFd;
        /** What the descriptor refers to, so that a receiver can check what came before it trusts it. */
        describe(): FdDescription;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
    }

    /** A list is sent as one iovec; a string is UTF-8. */
    export type Payload = string | Uint8Array | readonly Uint8Array[];

    /** Who may be at the other end: these numbers, at least one of them, or whoever the function says `true` to, at once. */
    export type PeerPolicy = {
        readonly uid?: number | undefined;
        readonly gid?: number | undefined;
        readonly pid?: number | undefined;
    } | ((credentials: Credentials) => boolean);

    /** An operating system as the library sees it. Two platforms share nothing. */
    class Platform {
        #private;
        /** The row of the ABI table that its kernel follows. */
        readonly abi: Abi;
        private constructor();
    }

    /** What everything that makes a socket also takes. */
    export interface PlatformOptions {
        /** Where the socket lives: a virtual kernel, in tests. This process's system by default. */
        platform?: Platform | undefined;
    }

    /** A received message. Disposing of it closes the descriptors that are still open. */
    export interface ReceivedFds extends Ancillary {
        /** The bytes. Not shared with any other message. */
        readonly data: Buffer;
    }

    /** A message received into the caller's buffers. */
    export interface ReceivedFdsInto extends Ancillary {
        /** How many bytes of the buffers were filled, from the front. */
        readonly bytesRead: number;
    }

    /** A received datagram, and whose it is. */
    export interface ReceivedFrom extends ReceivedFds {
        /** The sender's name; null: it has none. An abstract one begins with `"\0"`. */
        readonly address: string | null;
    }

    /** Options of `recvFdsInto`: the buffers are the caller's. */
    export type RecvIntoOptions = Pick<RecvOptions, "allowTruncated">;

    /** What a receive can be told. */
    export interface RecvOptions {
        /** Bytes to receive at most. 4096 on a stream, 65536 on datagram and seqpacket sockets. */
        bufferSize?: number | undefined;
        /** Whether a datagram or record longer than the buffer is delivered, cut, instead of `ERR_DATA_TRUNCATED`. */
        allowTruncated?: boolean | undefined;
    }

    /** What {@link recvmsg} brought. */
    export interface RecvResult {
        /** Bytes received; 0 at the end of a stream. */
        readonly bytesRead: number;
        /** More control data came than the ancillary buffer, or the kernel, had room for; descriptors in it were closed. */
        readonly ancillaryTruncated: boolean;
        /** The datagram or record was longer than the buffers. */
        readonly dataTruncated: boolean;
        /** The sender's name, of a datagram; null: none. */
        readonly address: string | null;
    }

    /** What a memfd no longer allows (memfd_create(2), fcntl(2)). */
    export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write" | "exec";

    /** What an unfinished `sendFdsAll` leaves in its error. */
    export interface SendProgress {
        /** Bytes that the kernel had accepted. */
        readonly bytesSent: number;
        /** Whether the descriptors went with them. They are never sent twice. */
        readonly fdsSent: boolean;
    }

    /**
     * Control space: filled for a send, or filled by a receive.
     *
     * What a receive brought is owned by this object until {@link messages} hands it out; clearing it, using it again and
     * disposing of it close what was not taken.
     */
    export class SocketAncillary implements Disposable {
        #private;
        /**
         * @param capacity bytes of control space of its own, or memory of the caller's, at any offset
         * @throws RangeError beyond 64 KiB
         */
        constructor(capacity: number | Uint8Array, options?: PlatformOptions);
        /** `CMSG_SPACE` of this many descriptors, in bytes. Alignment may leave room for one more. */
        static bufferSizeForRights(fds: number): number;
        /** `CMSG_SPACE` of the largest credentials this system sends, in bytes; 0 where it sends none. */
        static bufferSizeForCredentials(): number;
        /** Bytes of control space. */
        get capacity(): number;
        /** Bytes in use: those that would be sent, or that were received. */
        get length(): number;
        /** Whether the last receive had more than there was room for. */
        get truncated(): boolean;
        /**
         * Adds descriptors. They stay their owners', which are kept alive; the numbers are read when the message is sent. However
         * often this is called, they go out as one SCM_RIGHTS: several systems take only one.
         *
         * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; `ERR_ANCILLARY_RECEIVED` after a receive, until cleared; `ERR_FD_CLOSED`;
         *   RangeError `ERR_TOO_MANY_FDS`
         */
        addFds(fds: readonly AsFd[]): void;
        /**
         * Adds credentials. The kernel checks them: a process without privileges can only tell the truth.
         *
         * @throws SystemError `ENOTSUP` where senders attach none, or nothing else beside it (DragonFly)
         */
        addCredentials(credentials: Credentials): void;
        /**
         * Adds a message of any level and type; its bytes are copied. SCM_RIGHTS are descriptors: their numbers are added as by
         * {@link addFds}.
         */
        addMessage(message: ControlMessage): void;
        /**
         * What a receive brought, in the order of the buffer, each once: what it hands over is the caller's. What is not taken
         * when the loop is left is closed.
         */
        messages(): IterableIterator<AncillaryData, undefined>;
        /** Empties it, for the next send or receive. */
        clear(): void;
        /** {@link clear}, for `using`. */
        [Symbol.dispose](): void;
    }

    /** What a socket is. */
    export interface SocketDescription {
        /** `"other"`: any family that is not listed here. */
        readonly family: "unix" | "inet" | "inet6" | "other";
        /** `"other"`: any type that is not listed here. */
        readonly type: "stream" | "dgram" | "seqpacket" | "other";
        /** Whether it listens for connections. */
        readonly listening: boolean;
        /** Where it is bound: a path (an abstract one begins with `"\0"`), or an address and a port; null: it is not bound. */
        readonly address: string | {
            readonly address: string;
            readonly port: number;
        } | null;
    }

    /** A child that was started, and the channel to it. */
    export interface Spawned {
        /** The process, as `child_process.spawn` returns it. */
        readonly child: ChildProcess;
        /** Its `peer` is the child. */
        readonly channel: FdChannel;
    }

    /** What the kernel refused: `EPIPE: broken pipe, sendmsg`. */
    export interface SystemError extends Error {
        /** The name, `"EPIPE"`. */
        readonly code: string;
        /** The number, negative, of this host. */
        readonly errno: number;
        /** The system call, `"sendmsg"`. */
        readonly syscall: string;
    }

    /**
     * A Unix datagram socket that carries descriptors. A datagram longer than the receive buffer is `ERR_DATA_TRUNCATED`
     * unless `allowTruncated`; a datagram may be empty and carry descriptors.
     */
    export class UnixDatagram extends MessageSocket {
        #private;
        private constructor();
        /** Two sockets connected with each other. */
        static pair(options?: PlatformOptions): [UnixDatagram, UnixDatagram];
        /**
         * A socket with a name, which others send to. `""` lets Linux choose an abstract name. {@link close} removes the name.
         *
         * @throws SystemError `EADDRINUSE`, `EACCES` ...
         */
        static bind(path: string, options?: PlatformOptions): UnixDatagram;
        /** A socket without a name: it can send, and receive once {@link connect}ed. */
        static unbound(options?: PlatformOptions): UnixDatagram;
        /** Takes over a Unix datagram socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
        static from(source: OwnedFd): UnixDatagram;
        /**
         * Sets the peer: where sends go, and the only one received from.
         *
         * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EPROTOTYPE` ...
         */
        connect(path: string): void;
        /**
         * Sends a datagram and descriptors to the socket that is bound to `path`.
         *
         * @returns its bytes: a datagram is sent whole
         * @throws as `sendFds`, and SystemError `ENOENT`, `ECONNREFUSED`, `EMSGSIZE` ...
         */
        sendFdsTo(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "signal">): Promise<number>;
        /** {@link sendFdsTo}, waiting. */
        sendFdsToSync(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "timeout">): number;
        /** As `recvFds`, with the sender's name. */
        recvFdsFrom(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFrom>;
        /** {@link recvFdsFrom}, waiting in `poll(2)`. */
        recvFdsFromSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFrom;
        close(): void;
    }

    /** A listening Unix socket. {@link close} unlinks the path that it bound. */
    export class UnixListener<S extends UnixStream | UnixSeqpacket = UnixStream> extends Endpoint implements AsyncIterable<S> {
        #private;
        private constructor();
        /**
         * Listens at a path; a leading `\0` is the abstract namespace (Linux). What is at the path is replaced only when it is the
         * socket of a process that has gone: never a file, never a socket that somebody listens at.
         *
         * @throws SystemError `EADDRINUSE`, `EACCES`, `ENOENT` ...
         */
        static bind(path: string, options: ListenOptions & {
            type: "seqpacket";
        }): UnixListener<UnixSeqpacket>;
        static bind(path: string, options?: ListenOptions): UnixListener<UnixStream>;
        /**
         * Takes over a listening Unix socket. Of a `net.Server` the connections stay, and so does the path; the server is closed.
         * O_NONBLOCK is set on the socket, which others may share: accepting has no flag of its own for it.
         *
         * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else, which stays as it was
         */
        static from<S extends UnixStream | UnixSeqpacket = UnixStream>(source: OwnedFd | Server): UnixListener<S>;
        /**
         * The next connection.
         *
         * @throws SystemError `EMFILE` when the descriptor table is full; the connection goes on waiting. AncillaryError
         *   `ERR_SOCKET_CLOSED`
         */
        accept(options?: Pick<WaitOptions, "signal">): Promise<S>;
        /** {@link accept}, waiting in `poll(2)`. */
        acceptSync(options?: Pick<WaitOptions, "timeout">): S;
        /** Accepts until the listener is closed. */
        [Symbol.asyncIterator](): AsyncGenerator<S, void, undefined>;
        /** Whether the messages of what it accepts say who sent them, from the first on (SO_PASSCRED). */
        setPassCredentials(on: boolean): void;
        /** Whether the messages of what it accepts bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
        setPassPidfd(on: boolean): void;
        /** Whether the messages of what it accepts bring the sender's security label (SO_PASSSEC, Linux). */
        setPassSecurity(on: boolean): void;
        close(): void;
    }

    /**
     * A connected Unix socket that keeps the boundaries of messages and carries descriptors. A record that is longer than the
     * receive buffer is `ERR_DATA_TRUNCATED` unless `allowTruncated`. A send is whole or fails.
     *
     * Every way to make one fails with `ENOTSUP` where the system has no such sockets (Darwin).
     */
    export class UnixSeqpacket extends ConnectedSocket {
        private constructor();
        /** Two sockets connected with each other. */
        static pair(options?: PlatformOptions): [UnixSeqpacket, UnixSeqpacket];
        /** Connects to a listener; waits while its backlog is full. A leading `\0` is the abstract namespace (Linux). */
        static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixSeqpacket>;
        /** {@link connect}, waiting in `connect(2)`. */
        static connectSync(path: string, options?: PlatformOptions): UnixSeqpacket;
        /** Takes over a connected seqpacket socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
        static from(source: OwnedFd | Socket): UnixSeqpacket;
    }

    /**
     * A connected Unix stream socket that carries descriptors.
     *
     * It owns its descriptor. A plain read by other code on the same socket (`net.Socket`, `read(2)`) makes the kernel drop the
     * descriptors that came with the bytes.
     */
    export class UnixStream extends ConnectedSocket {
        private constructor();
        /** Two sockets connected with each other. */
        static pair(options?: PlatformOptions): [UnixStream, UnixStream];
        /**
         * Connects to a listener; waits while its backlog is full. A leading `\0` is the abstract namespace (Linux).
         *
         * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EACCES` ...
         */
        static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixStream>;
        /** {@link connect}, waiting in `connect(2)`. */
        static connectSync(path: string, options?: PlatformOptions): UnixStream;
        /**
         * Takes over a connected Unix stream socket. A `net.Socket` must not have read anything yet: it drops the descriptors
         * that come with the bytes. It is destroyed, the connection is not ended.
         *
         * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else (a listener, say), which stays as it was;
         *   `ERR_SOCKET_BUSY` for a net.Socket that has read or has yet to write
         */
        static from(source: OwnedFd | Socket): UnixStream;
        /**
         * Hands the connection to Node's own streams. This object is closed then; the connection is not.
         *
         * @throws AncillaryError `ERR_SOCKET_BUSY` while operations wait; SystemError `ENOTSUP` on another platform than this process's
         */
        toSocket(options?: Omit<SocketConstructorOpts, "fd" | "signal">): Socket;
    }

    /** How long to wait: `signal` in asynchronous operations, `timeout` in synchronous ones. */
    export interface WaitOptions {
        /** Withdraws the operation, or is too late: nothing received is lost. The promise is rejected with its reason. */
        signal?: AbortSignal | undefined;
        /** Milliseconds after which a synchronous operation fails with `ETIMEDOUT`; 0: now or never. For ever by default. */
        timeout?: number | undefined;
    }

    /**
     * The descriptors that the service manager passed to this process (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), now owned and
     * CLOEXEC. None when it passed none, or passed them to another process.
     *
     * @throws RangeError when LISTEN_FDS is no number of descriptors; SystemError `EBADF` when one of them is not open. Nothing is
     *   taken over then.
     */
    export function listenFds(options?: ListenFdsOptions): ListenFd[];

    /**
     * Tells the service manager (NOTIFY_SOCKET) how this service is: `"READY=1"`, `{ READY: "1", STATUS: "serving" }`. Descriptors are
     * for `FDSTORE=1`.
     *
     * @returns false when there is no manager to tell
     * @throws RangeError for a line break in a value; SystemError as of a send, `ENOTSUP` for a vsock address
     */
    export function notify(state: string | Record<string, string>, fds?: readonly AsFd[]): Promise<boolean>;

    /**
     * Waits until the service manager has worked off what it was told before, descriptors among it: only then may what they refer
     * to go away. Without a manager there is nothing to wait for.
     *
     * @param options `timeout`: milliseconds after which it is rejected with `ETIMEDOUT`; for ever by default
     */
    export function notifyBarrier(options?: {
        timeout?: number | undefined;
    }): Promise<void>;

    /**
     * `recvmsg(2)` into the caller's buffers. What comes beside the bytes goes into an ancillary buffer, which is cleared first;
     * without one, or where it is too small, descriptors are closed. The kernel is always given room enough: some systems leak what
     * does not fit (Darwin, DragonFly).
     *
     * @throws RangeError for no room at all on a stream, MSG_PEEK with control space (it would duplicate descriptors each time),
     *   and MSG_TRUNC (the result would be longer than the buffers); AncillaryError `ERR_MALFORMED_CONTROL` with the bytes as
     *   `data`, `ERR_NOT_UNIX_SOCKET`; SystemError `EAGAIN`, `ECONNRESET` ...
     */
    export function recvmsg(socket: AsFd, iov: Uint8Array | readonly Uint8Array[], ancillary?: SocketAncillary | null, options?: MessageOptions): RecvResult;

    /**
     * `sendmsg(2)`: bytes with whatever an ancillary buffer holds, which keeps it. Never SIGPIPE; never waits unless `wait`.
     *
     * It stands beside the queues of {@link UnixStream} and its kind: it does not wait for their turn.
     *
     * @returns bytes accepted
     * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_ANCILLARY_RECEIVED`, `ERR_NOT_UNIX_SOCKET`;
     *   SystemError `EAGAIN`, `EPIPE`, `EBADF` ...
     */
    export function sendmsg(socket: AsFd, iov: Payload, ancillary?: SocketAncillary | null, options?: MessageOptions): number;

    /**
     * Starts a program as `child_process.spawn` does, with one end of a channel: `FdChannel.fromParent()` there. The child inherits
     * it at the first descriptor behind those of `stdio`, which the variable `UNIX_ANCILLARY_CHANNEL_FD` names, and nothing else.
     *
     * A program that cannot be started is the child's `"error"` event, as ever; its channel is at its end then.
     *
     * @throws what `child_process.spawn` throws; ChannelError `ERR_CHANNEL_PEER_REJECTED`, the child is killed then
     */
    export function spawn(command: string, args?: readonly string[], options?: ChannelSpawnOptions): Spawned;

    export function spawn(command: string, options?: ChannelSpawnOptions): Spawned;

    export type { ConnectedSocket, Endpoint, MessageSocket, Platform };
}

declare module "unix-ancillary/testing" {
    import type { OwnedFd, Platform } from "unix-ancillary";
    import type { Abi, AbiName, ControlMessage } from "unix-ancillary/core";

    /** A system call that is about to be made. */
    export interface Call {
        /** How many were made before it, by all processes. */
        readonly index: number;
        /** The process that makes it. */
        readonly process: VirtualProcess;
        /** `"sendmsg"`, `"recvmsg"`, `"close"` ... */
        readonly name: string;
        /** Its descriptor; -1: it has none. */
        readonly fd: number;
    }

    /** Names of errors, as `errno(3)` has them. */
    export type ErrnoName = "E2BIG" | "EACCES" | "EADDRINUSE" | "EAGAIN" | "EBADF" | "ECONNABORTED" | "ECONNREFUSED" | "ECONNRESET" | "EDEADLK" | "EEXIST" | "EINTR" | "EINVAL" | "EIO" | "EISCONN" | "EMFILE" | "EMSGSIZE" | "ENFILE" | "ENOBUFS" | "ENOENT" | "ENOMEM" | "ENOPROTOOPT" | "ENOTCONN" | "ENOTSOCK" | "EOPNOTSUPP" | "EPERM" | "EPIPE" | "EPROTOTYPE" | "ETOOMANYREFS";

    /** What goes wrong at a call. */
    export interface Fault {
        /**
         * It fails so. A `close` closes all the same, as kernels do; any other call that EINTR meets, a signal, is made again, as
         * the layer below the library does, and meets the fault of the new call. Of a call on several descriptors: from the `at`-th
         * on, 0 by default.
         */
        readonly errno?: ErrnoName;
        /** The number of the descriptor, counted from 0, where a call on several begins to fail. */
        readonly at?: number;
        /** A send or receive on a stream moves at most so many bytes, at least 1. */
        readonly short?: number;
        /** There are so many free slots in the descriptor table. */
        readonly room?: number;
        /** A security module lets so many descriptors through (Linux). */
        readonly allowed?: number;
        /** This process dies first. */
        readonly dies?: VirtualProcess;
    }

    /** A control buffer, and how it was made. */
    export interface GeneratedControl {
        /** The bytes; a new array each time. */
        readonly control: Uint8Array;
        /** What was encoded. Of a canonical buffer exactly this can be decoded; a hostile one was damaged afterwards. */
        readonly messages: readonly ControlMessage[];
        /** Whether it is as it was encoded, or damaged. */
        readonly kind: "canonical" | "hostile";
    }

    /** What to generate. */
    export interface GeneratorOptions {
        /** Same seed, same buffers; 0 to 2^32 - 1, by default 1. */
        seed?: number | undefined;
        /** One kind only; both, mixed, by default. */
        kind?: "canonical" | "hostile" | undefined;
    }

    /** How a kernel is set up. */
    export interface KernelOptions {
        /** In which order sockets become ready; 1 by default. */
        seed?: number | undefined;
        /** Bytes that a socket keeps for its reader; 8192 by default. */
        bufferBytes?: number | undefined;
        /** Datagrams that a socket keeps; 10 by default. */
        bufferMessages?: number | undefined;
        /**
         * Files that the system can have open, of which OpenBSD lets a tenth and NetBSD a half be in flight; 10000 by default. On
         * Linux it is the size of the sender's descriptor table, unless its user is root.
         */
        files?: number | undefined;
    }

    /** How a process is set up. */
    export interface ProcessOptions {
        /** Size of the descriptor table (RLIMIT_NOFILE); 256 by default. */
        descriptors?: number | undefined;
        /** User id; 1000 by default. */
        uid?: number | undefined;
        /** Group id; 1000 by default. */
        gid?: number | undefined;
    }

    /**
     * A Unix system in memory, with the rules of the row of the ABI table that it is made with.
     *
     * ```js
     * const kernel = new VirtualKernel("darwin-arm64", { seed: 7 });
     * const [parent, child] = [kernel.process(), kernel.process()];
     * const listener = UnixListener.bind("/socket", { platform: parent.platform });
     * const stream = await UnixStream.connect("/socket", { platform: child.platform });
     * kernel.fault = (call) => (call.name === "recvmsg" && call.index === 9 ? { errno: "ENOMEM" } : null);
     * ...
     * kernel.check(); // throws when a descriptor leaked, was closed twice, used after its close, or could have been inherited
     * ```
     *
     * Differences from real kernels: time passes only when nothing else is left to do; a synchronous call that has to wait for
     * ever fails with EDEADLK, as nobody else can run meanwhile (see {@link VirtualKernel.whileWaiting}).
     */
    export class VirtualKernel {
        #private;
        /** The row of the ABI table that it follows. */
        readonly abi: Abi;
        /** Asked before each system call; null: nothing goes wrong. */
        fault: ((call: Call) => Fault | null) | null;
        /** Called while a synchronous call waits: another process can do something then. False: nothing is left to do. */
        whileWaiting: (() => boolean) | null;
        /** What was done that must not be. {@link check} throws for them. */
        readonly violations: string[];
        /** @param abi a row of the ABI table, or its name: the system, and its byte order and layout */
        constructor(abi: Abi | AbiName, options?: KernelOptions);
        /** Starts a process. */
        process(options?: ProcessOptions): VirtualProcess;
        /** How many system calls were made. */
        get calls(): number;
        /** Milliseconds since it was made. Time passes when nothing else is left to do. */
        get now(): number;
        /** Starts again with another seed: no faults, no violations, no names; the processes stay, with nothing open. */
        reset(seed: number): void;
        /** Fulfilled when nothing is ready, no timer runs, and nothing has happened for a while: only a new call goes on. */
        idle(): Promise<void>;
        /** Fulfilled when so many milliseconds have passed. */
        advance(milliseconds: number): Promise<void>;
        /**
         * Throws for what went wrong: the violations, and every descriptor that is still open.
         *
         * @param options `open`: descriptors that may be open, by process
         */
        check(options?: {
            open?: ReadonlyMap<VirtualProcess, readonly number[]> | undefined;
        }): void;
    }

    /** A process of a {@link VirtualKernel}. */
    export class VirtualProcess {
        #private;
        /** The kernel that it runs on. */
        readonly kernel: VirtualKernel;
        /** Process id. */
        readonly pid: number;
        /** User id. */
        readonly uid: number;
        /** Group id. */
        readonly gid: number;
        /** Makes sockets that live here: `UnixStream.pair({ platform })`. */
        readonly platform: Platform;
        private constructor();
        /** Whether it was killed. */
        get alive(): boolean;
        /** Opens a file; what descriptors of it refer to is known by this name. */
        open(name: string): OwnedFd;
        /** The descriptors that are open, and what they refer to. */
        get descriptors(): ReadonlyMap<number, string>;
        /** The name of the file behind a descriptor of this process; null: there is none. */
        nameOf(fd: number): string | null;
        /** Kills it: everything it had open is closed, at once. */
        kill(): void;
    }

    /**
     * Control buffers without end. Take as many as you like:
     *
     * ```js
     * for (const { control } of controlBuffers("darwin-arm64", { seed: 7 })) yourDecoder(control);
     * ```
     */
    export function controlBuffers(abi: Abi | AbiName, options?: GeneratorOptions): Generator<GeneratedControl, never, undefined>;
}
