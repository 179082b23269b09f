// The public interface, one part for each entry point. Written by `npm run check:api -- --record`.

declare module "unix-ancillary/core" {
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
    export type AbiName = `linux-${"x86_64" | "i386" | "armv7" | "aarch64" | "s390x" | "powerpc64" | "powerpc"}-${"glibc" | "musl"}` | `linux-${"riscv64" | "powerpc64le" | "mips" | "x32"}-glibc` | `linux-${"riscv64" | "powerpc64le"}-musl` | `android-${"aarch64" | "x86_64" | "armv7"}-bionic` | `darwin-${"arm64" | "x86_64"}` | `freebsd-${"amd64" | "arm64" | "riscv64" | "powerpc64" | "i386" | "armv7"}` | `openbsd-${"amd64" | "arm64" | "riscv64" | "i386" | "arm" | "powerpc" | "sparc64"}` | `netbsd-${"amd64" | "i386" | "arm-eabi" | "aarch64" | "sparc64"}` | "dragonfly-x86_64" | `illumos-${"amd64" | "sparcv9"}`;

    /** An error without an errno. {@link code} says which; the message has the details. */
    export class AncillaryError extends Error {
        /** Which error. Codes are stable, messages are not. */
        readonly code: AncillaryErrorCode;
        /** The bytes that a failed receive took from the socket. Its descriptors are closed. */
        readonly data?: Uint8Array;
        /** Why, with `ERR_ANCILLARY_TRUNCATED`. */
        readonly reason?: TruncationReason;
        /** @param details what becomes {@link data} and {@link reason} */
        constructor(code: AncillaryErrorCode, message: string, details?: {
            data?: Uint8Array;
            reason?: TruncationReason;
        });
    }

    /** The values of {@link AncillaryError.code}. */
    export type AncillaryErrorCode = "ERR_ANCILLARY_RECEIVED" | "ERR_ANCILLARY_TRUNCATED" | "ERR_BUFFER_TOO_SMALL" | "ERR_DATA_TRUNCATED" | "ERR_EMPTY_PAYLOAD" | "ERR_FD_CLOSED" | "ERR_FD_COUNT" | "ERR_FD_OWNED" | "ERR_FOREIGN_PLATFORM" | "ERR_MALFORMED_CONTROL" | "ERR_NOT_UNIX_SOCKET" | "ERR_SOCKET_BUSY" | "ERR_SOCKET_CLOSED" | "ERR_TOO_LONG" | "ERR_TOO_MANY_FDS" | "ERR_UNEXPECTED_EOF" | "ERR_WASM_UNAVAILABLE";

    /**
     * The codec of one ABI. Its methods return copies and keep nothing between calls.
     *
     * ```js
     * import { Codec } from "unix-ancillary/core";
     * const codec = new Codec("linux-x86_64-glibc");
     * const control = codec.encode([codec.rights([7, 9])]);
     * const { messages } = codec.decode(control);
     * console.log(messages.map((message) => codec.payloadOf(message))); // [{ kind: "rights", fds: [ 7, 9 ], leftoverBytes: 0 }]
     * console.log(codec.verdict({ control, flags: 0, maxFds: 1 }).close); // [ 9 ]
     * ```
     */
    export class Codec {
        #private;
        /** The row of the ABI table that it was made with. */
        readonly abi: Abi;
        /** @throws RangeError for a name that is not in the table, or for a layout that cannot be walked */
        constructor(abi: Abi | AbiName);
        /** `CMSG_ALIGN(n)`. @throws RangeError beyond 2^31 - 1 */
        align(n: number): number;
        /** `CMSG_LEN(n)`: `cmsg_len` of a message with `n` bytes of payload. @throws RangeError beyond 2^31 - 1 */
        len(n: number): number;
        /** `CMSG_SPACE(n)`: bytes of a message with `n` bytes of payload and its padding. @throws RangeError beyond 2^31 - 1 */
        space(n: number): number;
        /**
         * A control buffer with these messages. Its length is `msg_controllen` for a send on this system.
         *
         * @throws AncillaryError `ERR_BUFFER_TOO_SMALL` beyond 64 KiB, more than any kernel takes
         */
        encode(messages: readonly ControlMessage[]): Uint8Array;
        /**
         * {@link encode} into memory of the caller's. The bytes behind the control buffer are not changed.
         *
         * @returns `msg_controllen`
         * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; then nothing is written
         */
        encodeInto(messages: readonly ControlMessage[], into: Uint8Array): number;
        /**
         * The messages in a control buffer of any length. Never throws on any bytes.
         *
         * @throws TypeError for anything but a Uint8Array
         */
        decode(control: Uint8Array, options?: DecodeOptions): DecodedControl;
        /**
         * An SCM_RIGHTS message.
         *
         * @throws RangeError for a number that is no `int`; `ERR_TOO_MANY_FDS` for more than one message takes on this system
         */
        rights(fds: readonly number[]): ControlMessage;
        /** The slots of an SCM_RIGHTS message, in order, with the negative ones; none of any other message. */
        fdsOf(message: ControlMessage): number[];
        /**
         * A message with credentials, as a sender attaches them.
         *
         * @throws RangeError where senders of this system attach none
         */
        credentials({ pid, uid, gid }: Credentials): ControlMessage;
        /**
         * What a message says; `"unknown"` for a type that the ABI table does not have. Never throws on any bytes.
         *
         * @throws TypeError for data that are no Uint8Array
         */
        payloadOf({ level, type, data }: ControlMessage): DecodedPayload;
        /**
         * Which descriptors of a receive to keep and which to close. The library decides by the same function.
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

    /** A process and its user. */
    export interface Credentials {
        /** Process id; null where the system sends none, or cannot name the process here. */
        readonly pid: number | null;
        /** Effective user id where the system tells real and effective apart. */
        readonly uid: number;
        /** Effective group id, likewise. */
        readonly gid: number;
    }

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

    /** Options of {@link Codec.decode}. */
    export interface DecodeOptions {
        /**
         * `msg_flags` of the receive, in the ABI's numbers. With MSG_CTRUNC a message that reaches past the end is clamped instead of
         * malformed: Darwin does not shorten its `cmsg_len`. On DragonFly, which loses the flag, any flags do the same.
         */
        flags?: number | undefined;
    }

    /** The contents of a control buffer. */
    export interface DecodedControl {
        /** The whole messages, in order. Each `data` is a copy. */
        readonly messages: readonly DecodedMessage[];
        /**
         * Where and why the walk stopped; null: at the end. The messages before it are whole.
         *
         * - `header-truncated`: fewer bytes are left than `CMSG_LEN(0)`
         * - `length-too-small`: `cmsg_len` is less than `CMSG_LEN(0)`
         * - `length-overruns`: `cmsg_len` reaches past the end
         */
        readonly malformed: null | {
            /** Offset in the control buffer. */
            readonly offset: number;
            /** Why. */
            readonly reason: "header-truncated" | "length-too-small" | "length-overruns";
        };
    }

    /** A message in a control buffer. */
    export interface DecodedMessage extends ControlMessage {
        /** Offset of its header in the control buffer. */
        readonly offset: number;
        /** Whether its `cmsg_len` reaches past the end; `data` is what is there. Only with {@link DecodeOptions.flags}. */
        readonly clamped: boolean;
    }

    /** What a message says. */
    export type DecodedPayload = {
        readonly kind: "rights";
        /** Every slot in its place; a negative one holds no descriptor. */
        readonly fds: readonly number[];
        /** Bytes behind the last whole `int`. */
        readonly leftoverBytes: number;
    }
    /** As the kernel wrote them: whether they name a process is decided by the verdict alone. Null: cut short. */
     | {
        readonly kind: "credentials";
        readonly credentials: Credentials | null;
    }
    /** A descriptor, or a negative errno where the kernel could not make one. Null: cut short. */
     | {
        readonly kind: "pidfd";
        readonly pidfd: number | null;
    }
    /** The bytes as text. SELinux ends them with a NUL, which is left out. */
     | {
        readonly kind: "security";
        readonly label: string;
    }
    /**
     * One time. SCM_TIMESTAMPING has three: by software, unused, by hardware (Linux Documentation/networking/timestamping.rst);
     * `AncillaryData` of the low level has the first alone. Fewer than the type has: cut short.
     */
     | {
        readonly kind: "timestamp";
        readonly name: string;
        readonly times: readonly Timestamp[];
    }
    /** A type that the ABI table does not have. */
     | {
        readonly kind: "unknown";
    };

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

    /** Which descriptors to keep and which to close. More than `maxFds` are no error: the rest is in `close`. */
    export interface ReceiveVerdict {
        /** Descriptors to keep, in order; empty unless the outcome is `"ok"`. */
        readonly keep: number[];
        /** Descriptors to close: every other one that was delivered; all of them unless the outcome is `"ok"`. */
        readonly close: number[];
        /** The pidfd that came; null unless the outcome is `"ok"`. */
        readonly pidfd: number | null;
        /** The credentials of the sender; null where none came, or where they name no process. */
        readonly credentials: Credentials | null;
        /**
         * - `ok`
         * - `ancillary-truncated`: the kernel had more control data than it delivered
         * - `malformed`: the bytes are not a sequence of whole messages, or a slot of SCM_RIGHTS holds no descriptor
         * - `data-truncated`: the message is longer than the buffer, without `allowTruncated`
         * - `fd-count`: not exactly as many descriptors as `exactly`
         *
         * Where several apply, it is the first of them in this order.
         */
        readonly outcome: "ok" | "ancillary-truncated" | "malformed" | "data-truncated" | "fd-count";
    }

    /** A point in time, or (SO_TIMESTAMPING) 0 for one that was not taken. */
    export interface Timestamp {
        /** Since 1970. */
        readonly seconds: bigint;
        /** 0 to 999,999,999 in what kernels send. Fractions finer than that are cut. */
        readonly nanoseconds: number;
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

    /** Why the kernel delivered less control data than it had. */
    export type TruncationReason = "control-space" | "descriptor-limit" | "denied";

    /** The results of a receive, for {@link Codec.verdict}. */
    export interface VerdictInput {
        /** The first `msg_controllen` bytes of the control buffer. */
        readonly control: Uint8Array;
        /** `msg_flags`, in the ABI's numbers. */
        readonly flags: number;
        /** The most descriptors to keep. */
        readonly maxFds: number;
        /** How many descriptors must have come. */
        readonly exactly?: number | undefined;
        /** Whether truncated data are no error. */
        readonly allowTruncated?: boolean | undefined;
    }

    /** The ABI table, by name. */
    export const abis: Readonly<Record<AbiName, Abi>>;

    /**
     * The name of the row of a host.
     *
     * @param platform `process.platform`
     * @param arch `process.arch`
     * @param libc the libc on Linux, null elsewhere
     * @param endian the byte order, where `process.arch` leaves it open (`ppc64`); that of most machines by default
     * @returns null: there is no row
     */
    export function hostAbiName(platform: string, arch: string, libc: "glibc" | "musl" | null, endian?: "little" | "big"): AbiName | null;

    /**
     * A control buffer as text: each header, its bytes, and what the payload says.
     *
     * Never throws on any bytes.
     *
     * @throws RangeError for a name that is not in the ABI table
     */
    export function inspect(abi: Abi | AbiName, control: Uint8Array): string;

    /**
     * Provides the compiled module on hosts that compile no bytes at run time, for example workerd: import `unix-ancillary/core.wasm`
     * as a module and call this before the first {@link Codec}. Elsewhere the embedded bytes are compiled on first use.
     */
    export function provideCoreModule(module: object): void;
}

declare module "unix-ancillary" {
    import type { ChildProcess, SpawnOptions } from "node:child_process";
    import type { Socket as DatagramSocket } from "node:dgram";
    import type { Server, Socket, SocketConstructorOpts } from "node:net";
    import type { Abi, ControlMessage, Credentials, TruncationReason } from "unix-ancillary/core";
    export { AncillaryError, type AncillaryErrorCode, type ControlMessage, type Credentials, type TruncationReason } from "unix-ancillary/core";

    /** A received message without its bytes. */
    export interface Ancillary extends Disposable {
        /**
         * Whether the peer has finished: on a stream, no byte was received; on a seqpacket socket, a record without bytes and descriptors
         * was received, and the peer has shut down its end. Always false on a datagram socket. If the peer has
         * shut down its end, an empty record counts as the end, unless a record with bytes or descriptors follows it.
         */
        readonly eof: boolean;
        /** All CLOEXEC, at most `maxFds`. */
        readonly fds: OwnedFd[];
        /** Descriptors beyond `maxFds`, already closed. */
        readonly surplus: number;
        /** On a stream, how many bytes were received before these; 0 on other sockets. */
        readonly streamOffset: number;
        /** Whether the datagram or record was longer than the buffer. True only with `allowTruncated`. */
        readonly dataTruncated: boolean;
        /** The sender's credentials, when the socket passes them and the kernel knows the sender. */
        readonly credentials: Credentials | null;
        /** The sender's pidfd, when the socket passes pidfds (Linux). */
        readonly pidfd: OwnedFd | null;
        /** The sender's security label, when the socket passes it (Linux). */
        readonly security: string | null;
        /** Closes the descriptors that are still open. */
        [Symbol.dispose](): void;
    }

    /**
     * A received control message and its descriptors. Credentials are as the kernel wrote them, unchecked. A socket has timestamps once
     * SO_TIMESTAMP or SO_TIMESTAMPNS is set (`setOption`); on Linux a stream has none (unix_stream_read_generic).
     */
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
     * A descriptor that the caller keeps owning: a number, an object with an `fd` (OwnedFd, FileHandle, fs streams, the sockets of this
     * library), or a socket or server of Node. The number is read right before the system call. If the owner is closed while the send is
     * queued, the send fails with `ERR_FD_CLOSED`, and no other file with the same number is sent in its place. A bare number has no
     * such protection: it must stay open until the promise settles.
     *
     * A net.Socket with unread bytes and a TLSSocket are refused: the bytes, and the state of TLS, would not be sent.
     */
    export type AsFd = number | {
        readonly fd: number;
    } | Socket | Server | DatagramSocket;

    /** Options of every function that binds to a name. */
    export interface BindOptions extends PlatformOptions {
        /**
         * Permissions of the socket's file, for example `0o600`. The file is created with them. By default they follow from the umask.
         * Not allowed for abstract names, which have no permissions.
         */
        mode?: number | undefined;
    }

    /** An error of the channel's protocol, identified by {@link code}; the message has the details. */
    export class ChannelError extends Error {
        /** Stable across versions; the message is not. */
        readonly code: ChannelErrorCode;
        /** @param options `cause`: the error that led to this one */
        constructor(code: ChannelErrorCode, message: string, options?: {
            cause?: unknown;
        });
    }

    /** The values of {@link ChannelError.code}. */
    export type ChannelErrorCode = "ERR_CHANNEL_CLOSED" | "ERR_CHANNEL_FD_COUNT" | "ERR_CHANNEL_FLAGS" | "ERR_CHANNEL_MAGIC" | "ERR_CHANNEL_PAYLOAD_TOO_LARGE" | "ERR_CHANNEL_PEER_REJECTED" | "ERR_CHANNEL_POISONED" | "ERR_CHANNEL_TIMEOUT" | "ERR_CHANNEL_TOO_MANY_FDS" | "ERR_CHANNEL_UNEXPECTED_EOF" | "ERR_CHANNEL_VERSION" | "ERR_NO_PARENT";

    /** Limits of a channel, in both directions, and its policy. */
    export interface ChannelOptions {
        /** The most bytes of payload in a frame; 16 MiB by default. */
        maxPayload?: number | undefined;
        /** The most descriptors in a frame; by default as many as the system can send in one message. */
        maxFds?: number | undefined;
        /** The most milliseconds between the first and the last byte of a received frame; no limit by default. */
        frameTimeout?: number | undefined;
        /** The accepted peers; all by default. With a policy, a peer whose credentials the system does not report is rejected. */
        peer?: PeerPolicy | undefined;
        /**
         * Reads an acknowledgement of the peer's program from a received frame: the id of the last frame that the peer has received, as
         * `send` returned it here and `messageId` showed it there; null if the frame acknowledges nothing. With this option, the channel sends
         * duplicates of the descriptors, and keeps them until the frame is acknowledged or the channel is closed: macOS makes a socket useless
         * that was closed by its sender before it was received. At most 1024 (or `maxFds`) are kept.
         */
        acknowledges?: ((frame: Frame) => bigint | null) | undefined;
        /** For `pair`: the platform of the sockets, such as a virtual kernel in tests. */
        platform?: Platform | undefined;
    }

    /** The options of `child_process.spawn`, and the limits and policy of the channel. */
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
         * @throws as {@link sendFds}; the error says how much was sent ({@link SendProgress})
         */
        sendFdsAll(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<void>;
        /** {@link sendFdsAll}, waiting in `poll(2)`. */
        sendFdsAllSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): void;
        /** The messages until the peer finishes, each with at most as many descriptors as the system can send in one message. */
        [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedFds, undefined>;
        /**
         * A reader of bytes and descriptors as two queues, for protocols that count descriptors in their own messages. From then on only
         * the reader receives from this socket, and other receives fail with `ERR_SOCKET_BUSY`. Closing either closes both.
         *
         * @throws AncillaryError `ERR_SOCKET_BUSY` when the socket already has a reader, or receives wait
         */
        reader(options?: FdReaderOptions): FdReader;
        close(): void;
        /** The name that the peer is bound to; null if it has none. */
        get peerAddress(): string | null;
        /**
         * The credentials of the peer, which the kernel recorded when the connection was made; for a pair, those of the process that made
         * it.
         *
         * @throws SystemError `ENOTSUP` where the system has no such option, or the peer's user is not mapped in this user namespace
         */
        peerCredentials(): Credentials;
        /**
         * A pidfd of the peer (SO_PEERPIDFD, Linux 6.5).
         *
         * @throws SystemError `ENOTSUP`, `ENOPROTOOPT` on older kernels
         */
        peerPidfd(): OwnedFd;
        /**
         * The supplementary groups that the peer had when the connection was made (SO_PEERGROUPS, Linux). Groups that have no number in this
         * user namespace are left out. The group of {@link peerCredentials} need not be among them.
         *
         * @throws SystemError `ENOTSUP` on other systems
         */
        peerGroups(): number[];
        /**
         * The security label that the peer had when the connection was made (SO_PEERSEC, Linux).
         *
         * @throws SystemError `ENOPROTOOPT` where no security module labels sockets; `ENOTSUP` on other systems
         */
        peerSecurity(): string;
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
        /** The name that it is bound to; null if it has none. An abstract name begins with `"\0"`. */
        get address(): string | null;
        /**
         * A socket option, `getsockopt(2)`: an int or, with `bytes`, at most so many bytes of any value. Level and name are those of the C
         * headers, or numbers. To read SO_ERROR clears the error.
         *
         * @throws RangeError for options that make a descriptor, and without `bytes` if the value is no int; SystemError `ENOPROTOOPT` ...,
         *   `ENOTSUP` for a name that this system does not have
         */
        getOption(level: OptionLevel | number, name: OptionName | number): number;
        getOption(level: OptionLevel | number, name: OptionName | number, bytes: number): Buffer;
        /**
         * Sets a socket option, `setsockopt(2)`, to an int or to bytes.
         *
         * @throws RangeError for options that the library relies on: the message says what to call instead; SystemError `EPERM`,
         *   `ENOPROTOOPT` ..., `ENOTSUP` for a name that this system does not have
         */
        setOption(level: OptionLevel | number, name: OptionName | number, value: number | Uint8Array): void;
        /** Makes waiting operations keep the process alive (the default). */
        ref(): this;
        /** Lets the process end while operations wait. */
        unref(): this;
        /**
         * Closes the socket. The descriptor is closed when this returns, and waiting operations fail with `ERR_SOCKET_CLOSED`.
         * A second call does nothing.
         */
        close(): void;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
        /** {@link close}, for `await using`. */
        [Symbol.asyncDispose](): Promise<void>;
    }

    /**
     * A channel of frames. Each frame has a payload and descriptors, and arrives in order, exactly once.
     *
     * ```js
     * import { FdChannel } from "unix-ancillary";
     * const [left, right] = FdChannel.pair();
     * await left.send("this is my standard output", [1]);
     * left.close();
     * for await (const { payload, fds } of right) {
     *   console.log(payload.toString(), fds.length); // this is my standard output 1
     *   for (const fd of fds) fd.close();
     * }
     * right.close();
     * ```
     *
     * A frame that is sent in part, or received in part when the peer ends or breaks the protocol, poisons that direction: no frame
     * can follow it. Frames wait in the kernel until they are received.
     */
    export class FdChannel implements Disposable, AsyncDisposable, AsyncIterable<Frame> {
        #private;
        /** The credentials of the peer, as the kernel recorded them; null if the system does not report them. */
        readonly peer: Credentials | null;
        private constructor();
        /** Two channels connected to each other. */
        static pair(given?: ChannelOptions): [FdChannel, FdChannel];
        /**
         * A channel over a connected socket, which the channel owns from then on.
         *
         * @throws ChannelError `ERR_CHANNEL_PEER_REJECTED` when the policy rejects the peer; the socket is then closed.
         *   AncillaryError `ERR_SOCKET_CLOSED`, `ERR_SOCKET_BUSY`
         */
        static over(socket: UnixStream | UnixSeqpacket, given?: ChannelOptions): FdChannel;
        /**
         * In a child process started by {@link spawn}, on its main thread: the channel to its parent. It can be taken once;
         * processes that the child starts afterwards do not inherit it. The variables are removed from the environment.
         *
         * @throws ChannelError `ERR_NO_PARENT` anywhere else, `ERR_CHANNEL_PEER_REJECTED`
         */
        static fromParent(given?: ChannelOptions): FdChannel;
        /**
         * Sends a frame, after the frames sent before it. The promise is fulfilled with the id of the frame when the kernel has taken
         * all of it. This is the back-pressure: the channel does not limit how many frames wait. Until then the payload must not
         * change; the descriptors stay the caller's, and must stay open.
         *
         * @throws ChannelError `ERR_CHANNEL_PAYLOAD_TOO_LARGE`, `ERR_CHANNEL_TOO_MANY_FDS`, with nothing sent;
         *   `ERR_CHANNEL_POISONED` after a frame that was sent in part; `ERR_CHANNEL_CLOSED`. AncillaryError `ERR_FD_CLOSED`.
         *   SystemError `EPIPE` ... The error of a frame that was sent in part has its progress ({@link SendProgress})
         */
        send(payload: string | Uint8Array, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<bigint>;
        /**
         * The next frame; null when the peer has finished between frames. An abort within a frame loses nothing: the next call
         * continues with the same frame.
         *
         * @throws ChannelError when the peer breaks the protocol, `ERR_CHANNEL_TIMEOUT`, `ERR_CHANNEL_UNEXPECTED_EOF`: later calls
         *   fail with `ERR_CHANNEL_POISONED`; `ERR_CHANNEL_CLOSED`. SystemError `ECONNRESET` ..., AncillaryError
         *   `ERR_ANCILLARY_TRUNCATED` when the descriptor table is full: these end the connection
         */
        recv(options?: Pick<WaitOptions, "signal">): Promise<Frame | null>;
        /** Yields the frames until the peer finishes. Leaving the loop does not close the channel. */
        [Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined>;
        /** True after {@link close}. */
        get closed(): boolean;
        /** Waiting calls keep the process alive (the default). */
        ref(): this;
        /** Waiting calls do not keep the process alive. */
        unref(): this;
        /**
         * Closes the channel and every descriptor that has not been delivered. Waiting calls fail with `ERR_CHANNEL_CLOSED`. Closing
         * again has no effect.
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
        /** The access mode; `"path"` means that it was opened with O_PATH. */
        readonly access: "read" | "write" | "read-write" | "path";
        /** O_NONBLOCK of the open file description, which other processes may share. */
        readonly nonblocking: boolean;
        /** The size of a file or memfd, in bytes. On a file system with a server (FUSE, NFS) it is what the kernel knew last. */
        readonly size?: number;
        /** The seals of a memfd; empty when it has none. */
        readonly seals?: readonly Seal[];
        /** The description of a socket; absent for the file of a socket opened with O_PATH. */
        readonly socket?: SocketDescription;
    }

    /**
     * The kinds of file that a descriptor can refer to. Linux has those from `"memfd"` on. `/dev/kvm` is a character device; the virtual
     * machine that it makes is `"kvm-vm"`.
     */
    export type FdKind = "file" | "directory" | "socket" | "pipe" | "character-device" | "block-device" | "symbolic-link" | "memfd" | "eventfd" | "epoll" | "pidfd" | "timerfd" | "signalfd" | "inotify" | "fanotify" | "io_uring" | "userfaultfd" | "seccomp-notify" | "landlock-ruleset" | "kvm-vm" | "kvm-vcpu" | "kvm-guest-memfd" | "bpf-map" | "bpf-prog" | "perf_event" | "fscontext" | "namespace" | "unknown";

    /** The descriptors of one receive, and the bytes they arrived with. */
    export interface FdRange {
        /** Offset in the stream of the first byte of the receive. Linux joins earlier plain bytes into it. */
        readonly from: number;
        /** Offset after the last byte. */
        readonly to: number;
        /** How many of the descriptors are not yet taken. */
        readonly count: number;
    }

    /**
     * Reads a stream of bytes that carries descriptors. When a byte has been read, {@link takeFds} can return the descriptors that
     * arrived with it.
     *
     * It receives only during a read, and only within its limits: further data wait in the kernel. Reads are served in the order of
     * the calls. A peer that exceeds a limit, or any failure of the socket except an abort, closes the reader and the socket, after
     * everything that arrived before was read and a read asks for more. That read and later ones fail with the same error, which has the
     * unread bytes as `data`. The descriptors that exceed a limit are closed at once.
     */
    export class FdReader implements Disposable, AsyncDisposable {
        #private;
        private constructor();
        /**
         * Reads exactly this many bytes, and waits for them. After an abort, the bytes that have arrived are left for the next read.
         *
         * @throws AncillaryError `ERR_UNEXPECTED_EOF` when the peer finishes before, with the bytes that have arrived as `data`;
         *   `ERR_TOO_MANY_FDS`; `ERR_SOCKET_CLOSED`
         */
        read(bytes: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer>;
        /**
         * Reads the bytes up to and including a delimiter, at most `max` in total.
         *
         * @throws AncillaryError `ERR_TOO_LONG` when the delimiter is not within the next `max` bytes, which stay queued; as {@link read}
         */
        readUntil(delimiter: Uint8Array | string, max: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer>;
        /** Whether the peer has finished and all its bytes are read; waits until either the end or a byte arrives. */
        ended(options?: Pick<WaitOptions, "signal">): Promise<boolean>;
        /**
         * Takes the oldest descriptors that have arrived. The caller owns them from then on.
         *
         * @throws AncillaryError `ERR_FD_COUNT` when fewer have arrived; they stay queued. RangeError `ERR_TOO_MANY_FDS` when more would
         *   have arrived, but exceeded a limit
         */
        takeFds(count: number): OwnedFd[];
        /** The descriptors that are not yet taken, by receive, the oldest first, with the bytes they arrived with. */
        get fdRanges(): readonly FdRange[];
        /** How many descriptors have arrived and are not taken. */
        get queuedFds(): number;
        /** How many bytes have arrived and are not read. */
        get queuedBytes(): number;
        /** Offset in the stream of the next byte to read. */
        get offset(): number;
        /** Closes the socket and the descriptors that are not taken. Waiting reads fail with `ERR_SOCKET_CLOSED`. */
        close(): void;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
        /** {@link close}, for `await using`. */
        [Symbol.asyncDispose](): Promise<void>;
    }

    /** Limits of an {@link FdReader} on what a peer can make it hold. */
    export interface FdReaderOptions {
        /** The most descriptors in one message; by default as many as the system can send in one. */
        maxFds?: number | undefined;
        /** The most descriptors that have arrived and are not taken; 1024 by default. */
        maxQueuedFds?: number | undefined;
        /**
         * The most bytes received ahead of the current read; 65536 by default. On a seqpacket socket, the longest record that can be
         * received, at least 65536.
         */
        maxQueuedBytes?: number | undefined;
    }

    /** A received frame. Disposing of it closes the descriptors that are still open. */
    export interface Frame extends Disposable {
        /** The number of the frame; the sender counts from 1. */
        readonly messageId: bigint;
        /** The bytes that the sender gave. */
        readonly payload: Buffer;
        /** All CLOEXEC, in the sender's order. */
        readonly fds: OwnedFd[];
    }

    /** A descriptor passed by the service manager, and its name (`FileDescriptorName=`). */
    export interface ListenFd {
        /** The descriptor. */
        readonly fd: OwnedFd;
        /** The name; `"unknown"` when it has none. */
        readonly name: string;
    }

    /** Options of {@link listenFds}. */
    export interface ListenFdsOptions {
        /** Whether to remove the variables from the environment, so that child processes do not use them; true by default. */
        unset?: boolean | undefined;
    }

    /** Options of {@link UnixListener.bind}. */
    export interface ListenOptions extends BindOptions {
        /** The type of the sockets; `"stream"` by default. */
        type?: "stream" | "seqpacket" | undefined;
        /** The most connections that wait to be accepted; 511 by default. The system may have a lower limit. */
        backlog?: number | undefined;
    }

    /** Options of {@link memfd}. */
    export interface MemfdOptions extends PlatformOptions {
        /** The first bytes; a string is UTF-8. None by default. */
        data?: string | Uint8Array | undefined;
        /** The size in bytes; those behind `data` are 0. By default the size of `data`. */
        size?: number | undefined;
        /**
         * What nobody may do to it from now on, this process neither. `true`: nothing but read it (`"shrink"`, `"grow"`, `"write"`, `"seal"`).
         * A list: only these; without `"seal"` whoever has the memfd may add further seals, and `[]` leaves all to them. `false`, the
         * default: only `"seal"`, so that it can be written and resized, and no receiver can forbid that.
         */
        seal?: boolean | readonly Seal[] | undefined;
    }

    /** Options of {@link sendmsg} and {@link recvmsg}. */
    export interface MessageOptions extends PlatformOptions {
        /** Waits in `poll(2)` instead of failing with `EAGAIN`; false by default. */
        wait?: boolean | undefined;
        /** Milliseconds after which a call with `wait` fails with `ETIMEDOUT`. */
        timeout?: number | undefined;
        /** `MSG_` flags of this system, in addition to the library's own. */
        flags?: number | undefined;
        /** The name of the receiving Unix socket; for {@link sendmsg} only. */
        address?: string | undefined;
    }

    /** A socket that carries bytes and descriptors. */
    abstract class MessageSocket extends Endpoint {
        #private;
        protected constructor();
        /**
         * Sends bytes and descriptors with one `sendmsg`. The caller keeps owning the descriptors; their numbers are read when the system
         * call is made.
         *
         * @returns the number of bytes accepted. On a stream it may be smaller than the payload; the descriptors are sent with the first byte
         * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_SOCKET_CLOSED`; RangeError `ERR_TOO_MANY_FDS`;
         *   SystemError `EPIPE`, `EBADF`, `ETOOMANYREFS` ...
         */
        sendFds(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<number>;
        /** {@link sendFds}, waiting in `poll(2)`. */
        sendFdsSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): number;
        /** {@link sendFds} without waiting; null, and nothing is sent, when it would have to wait. */
        trySendFds(data: Payload, fds?: readonly AsFd[]): number | null;
        /**
         * Receives bytes and at most `maxFds` descriptors with one `recvmsg`. Descriptors beyond the limit are closed at once.
         *
         * On a stream, descriptors arrive with the first byte that they were sent with. Bytes sent earlier may precede that byte.
         *
         * @throws AncillaryError `ERR_ANCILLARY_TRUNCATED`, `ERR_DATA_TRUNCATED`, `ERR_MALFORMED_CONTROL`: the bytes are `data` of the
         *   error, every descriptor is closed, and the socket can still be used; `ERR_SOCKET_CLOSED`; SystemError `ECONNRESET` ...
         */
        recvFds(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds>;
        /** {@link recvFds}, waiting in `poll(2)`. */
        recvFdsSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds;
        /** {@link recvFds} without waiting; null when it would have to wait. */
        tryRecvFds(maxFds: number, options?: RecvOptions): ReceivedFds | null;
        /** {@link recvFds} into the caller's buffers, which must not be used otherwise until the promise settles. */
        recvFdsInto(into: Uint8Array | readonly Uint8Array[], maxFds: number, options?: RecvIntoOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFdsInto>;
        /** {@link recvFdsInto}, waiting in `poll(2)`. */
        recvFdsIntoSync(into: Uint8Array | readonly Uint8Array[], maxFds: number, options?: RecvIntoOptions & Pick<WaitOptions, "timeout">): ReceivedFdsInto;
        /**
         * {@link recvFds} of exactly `count` descriptors.
         *
         * @throws AncillaryError `ERR_FD_COUNT` when fewer or more arrive: all of them are closed, and the bytes are `data` of the error
         */
        recvFdsExact(count: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds>;
        /** {@link recvFdsExact}, waiting in `poll(2)`. */
        recvFdsExactSync(count: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds;
        /** Receives messages until the peer finishes. A datagram socket has no end, so there the loop does not end by itself. */
        messages(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): AsyncIterableIterator<ReceivedFds, undefined>;
        /**
         * Shuts down one direction or both. `"write"` and `"both"` take effect after the queued sends.
         *
         * @throws SystemError `ENOTCONN`
         */
        shutdown(how?: "read" | "write" | "both"): void;
        /** Whether messages bring the sender's credentials (SO_PASSCRED). Data that the peer sent before have none. */
        setPassCredentials(on: boolean): void;
        /** Whether messages bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
        setPassPidfd(on: boolean): void;
        /** Whether messages bring the sender's security label (SO_PASSSEC, Linux). */
        setPassSecurity(on: boolean): void;
        /**
         * Whether this socket takes descriptors (SO_PASSRIGHTS, Linux 6.16); true by default. If not, a send of descriptors to it fails with
         * `EPERM` at the sender; bytes alone are still received. So are descriptors that were sent before.
         *
         * @throws SystemError `ENOPROTOOPT` on older kernels, `ENOTSUP` on other systems
         */
        setPassRights(on: boolean): void;
    }

    /** The levels of {@link OptionName}, as the C headers name them. */
    export type OptionLevel = "SOL_SOCKET" | "SOL_LOCAL";

    /** The socket options of the ABI table, as the C headers name them: SO_ at level SOL_SOCKET, LOCAL_ at level SOL_LOCAL. */
    export type OptionName = Extract<keyof Abi, `SO_${string}` | `LOCAL_${string}`>;

    /**
     * Owns a descriptor: {@link close} or `using` closes it, once. If the object is garbage-collected while open, the descriptor is
     * closed too, with a process warning (code `UNIX_ANCILLARY_FD_LEAK`) that names it; with `UNIX_ANCILLARY_TRACE=1` in the environment it
     * shows where the owner was made.
     *
     * It belongs to its thread: `postMessage` refuses it. Post {@link fd}, and duplicate it there with {@link from} (docs/threads.md).
     */
    export class OwnedFd implements Disposable {
        #private;
        private constructor();
        /**
         * Takes ownership of an open descriptor.
         *
         * In a worker thread, do not use it for a descriptor of `fs.open`: Node closes that number when the thread ends, even if it is
         * another file's by then, unless the worker was made with `trackUnmanagedFds: false`. Use {@link from}, and `fs.close` the original.
         *
         * On Deno, a descriptor that `node:fs` opened is replaced by a duplicate, because `node:fs` must not have it any longer; {@link OwnedFd.fd} is
         * usually the same number.
         *
         * @throws SystemError `EBADF` when `fd` is not open; AncillaryError `ERR_FD_OWNED` when an object of this library owns it already,
         *   in any thread: it would be closed twice. Use {@link from} for a duplicate, or call the owner's `release` first
         */
        static fromRaw(fd: number): OwnedFd;
        /**
         * Makes a duplicate of a descriptor (`F_DUPFD_CLOEXEC`) and owns it. The original keeps its owner.
         *
         * @throws SystemError `EBADF`, `EMFILE`
         */
        static from(fd: AsFd): OwnedFd;
        /**
         * The number, for as long as this object is its owner.
         *
         * @throws AncillaryError `ERR_FD_CLOSED` after it was closed or released
         */
        get fd(): number;
        /** True after {@link close} and after {@link release}. */
        get closed(): boolean;
        /**
         * Closes the descriptor. A second call does nothing.
         *
         * @throws SystemError the error of `close(2)`, for example `EIO` of a network file system; the descriptor is closed anyway.
         *   `EBADF` means that other code closed the number
         */
        close(): void;
        /** Gives up ownership and returns the number, which the caller has to close. */
        release(): number;
        /** A duplicate (`F_DUPFD_CLOEXEC`), owned by a new object. */
        dup(): OwnedFd;
        /** Describes what the descriptor refers to, so that a receiver can check it before use. */
        describe(): FdDescription;
        /** {@link close}, for `using`. */
        [Symbol.dispose](): void;
    }

    /** A list is sent as one iovec; a string is UTF-8. */
    export type Payload = string | Uint8Array | readonly Uint8Array[];

    /**
     * The accepted peers: those with these numbers, of which at least one is given; or those for which the function returns `true`
     * (not a promise).
     */
    export type PeerPolicy = {
        readonly uid?: number | undefined;
        readonly gid?: number | undefined;
        readonly pid?: number | undefined;
    } | ((credentials: Credentials) => boolean);

    /** An operating system as the library uses it. Platforms share no state. */
    class Platform {
        #private;
        /** The row of the ABI table that its kernel follows. */
        readonly abi: Abi;
        private constructor();
    }

    /** Options of every function that makes a socket. */
    export interface PlatformOptions {
        /** The platform of the socket, for example of a virtual kernel in tests. By default that of this process. */
        platform?: Platform | undefined;
    }

    /** A received message. Disposing of it closes the descriptors that are still open. */
    export interface ReceivedFds extends Ancillary {
        /**
         * The bytes. No other message uses them. As with Node's small Buffers, `data.buffer` may hold other messages of this process too,
         * and then it is not transferable. Give `Uint8Array.from(data)` to code that must not see other messages.
         */
        readonly data: Buffer;
    }

    /** A message received into the caller's buffers. */
    export interface ReceivedFdsInto extends Ancillary {
        /** How many bytes were written to the buffers, from their start. */
        readonly bytesRead: number;
    }

    /** A received datagram, and its sender's name. */
    export interface ReceivedFrom extends ReceivedFds {
        /** The sender's name; null if it has none. An abstract name begins with `"\0"`. */
        readonly address: string | null;
    }

    /** Options of `recvFdsInto`: the buffers are the caller's. */
    export type RecvIntoOptions = Pick<RecvOptions, "allowTruncated">;

    /** Options of a receive. */
    export interface RecvOptions {
        /** The most bytes to receive. By default 4096 on a stream, 65536 on datagram and seqpacket sockets. */
        bufferSize?: number | undefined;
        /** Whether a datagram or record longer than the buffer is cut and delivered, instead of failing with `ERR_DATA_TRUNCATED`. */
        allowTruncated?: boolean | undefined;
    }

    /** The result of {@link recvmsg}. */
    export interface RecvResult {
        /** Bytes received; 0 at the end of a stream. */
        readonly bytesRead: number;
        /** Whether the ancillary buffer, or the kernel, had no room for all control data. Descriptors without room were closed. */
        readonly ancillaryTruncated: boolean;
        /** Why control data are missing; absent when all are there. */
        readonly reason?: TruncationReason;
        /** Whether the datagram or record was longer than the buffers. */
        readonly dataTruncated: boolean;
        /** The name of the sender of a datagram; null if it has none, or is no Unix socket. */
        readonly address: string | null;
    }

    /** A change that a memfd no longer allows (memfd_create(2), fcntl(2)). */
    export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write" | "exec";

    /** Properties of the error of an unfinished `sendFdsAll`. */
    export interface SendProgress {
        /** Bytes that the kernel had accepted. */
        readonly bytesSent: number;
        /** Whether the descriptors were sent with them. They are never sent twice. */
        readonly fdsSent: boolean;
    }

    /**
     * Control messages: added for a send, or filled in by a receive.
     *
     * This object owns the received descriptors until {@link messages} hands them out. Clearing it, reusing it or disposing of it closes
     * the others.
     */
    export class SocketAncillary implements Disposable {
        #private;
        /**
         * @param capacity the size of the control buffer in bytes, or the caller's memory for it, at any offset
         * @throws RangeError beyond 64 KiB
         */
        constructor(capacity: number | Uint8Array, options?: PlatformOptions);
        /** `CMSG_SPACE` of this many descriptors, in bytes. Alignment may leave room for one more descriptor. */
        static bufferSizeForRights(fds: number): number;
        /** `CMSG_SPACE` of the largest credentials this system sends, in bytes; 0 where it sends none. */
        static bufferSizeForCredentials(): number;
        /** The size of the control buffer, in bytes. */
        get capacity(): number;
        /** The bytes in use: those to be sent, or those received. */
        get length(): number;
        /** Whether control data of the last receive are missing: the kernel, or this buffer, had no room for them. */
        get truncated(): boolean;
        /** Why control data of the last receive are missing; null if all are there. */
        get reason(): TruncationReason | null;
        /**
         * Adds descriptors. Their owners keep them, and this object keeps the owners alive. The numbers are read when the message is sent.
         * The descriptors of all calls are sent in one SCM_RIGHTS message, because several systems accept only one.
         *
         * @throws AncillaryError `ERR_BUFFER_TOO_SMALL`; `ERR_ANCILLARY_RECEIVED` after a receive, until cleared; `ERR_FD_CLOSED`;
         *   RangeError `ERR_TOO_MANY_FDS`
         */
        addFds(fds: readonly AsFd[]): void;
        /**
         * Adds credentials. The kernel checks them: a process without privileges can only send its own.
         *
         * @throws SystemError `ENOTSUP` where senders cannot attach credentials, or not with other control messages (DragonFly)
         */
        addCredentials(credentials: Credentials): void;
        /**
         * Adds a control message of any level and type; its payload is copied. The descriptors of an SCM_RIGHTS message are added as by
         * {@link addFds}.
         */
        addMessage(message: ControlMessage): void;
        /**
         * The received messages in the order of the buffer, each once. The caller owns the descriptors of the messages that it gets. When
         * a loop ends early, the descriptors of the other messages are closed.
         */
        messages(): IterableIterator<AncillaryData, undefined>;
        /** Removes all messages, for the next send or receive. Closes the descriptors that were not handed out. */
        clear(): void;
        /** {@link clear}, for `using`. */
        [Symbol.dispose](): void;
    }

    /** The description of a socket. */
    export interface SocketDescription {
        /** `"other"`: any family that is not listed here. */
        readonly family: "unix" | "inet" | "inet6" | "other";
        /** `"other"`: any type that is not listed here. */
        readonly type: "stream" | "dgram" | "seqpacket" | "other";
        /** Whether it listens for connections. */
        readonly listening: boolean;
        /** The path (an abstract name begins with `"\0"`), or the address and port, that it is bound to; null if it is not bound. */
        readonly address: string | {
            readonly address: string;
            readonly port: number;
        } | null;
    }

    /** A child process, and the channel to it. */
    export interface Spawned {
        /** The process, as `child_process.spawn` returns it. */
        readonly child: ChildProcess;
        /** The `peer` of the channel is the child. */
        readonly channel: FdChannel;
    }

    /** The error of a system call: `EPIPE: broken pipe, sendmsg`. */
    export interface SystemError extends Error {
        /** The name, `"EPIPE"`. */
        readonly code: string;
        /** This host's number of the error, negative. */
        readonly errno: number;
        /** The system call, `"sendmsg"`. */
        readonly syscall: string;
        /**
         * The name of the socket in the call, of `bind`, `listen`, `connect` and sends to a name: an abstract name, or a path. That of a send
         * is absolute.
         */
        readonly address?: string;
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
         * A socket with a name that others can send to. With `""`, Linux chooses an abstract name. {@link close} removes the name. A
         * socket at the path is replaced only when no process has it open.
         *
         * @throws SystemError `EADDRINUSE`: the message says what is at the path; `EACCES`, `ENOENT` ...
         */
        static bind(path: string, options?: BindOptions): UnixDatagram;
        /** A socket without a name. It can send, and it can receive after {@link connect}. */
        static unbound(options?: PlatformOptions): UnixDatagram;
        /** Takes over a Unix datagram socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
        static from(source: OwnedFd): UnixDatagram;
        /**
         * Sets the peer: sends go to it, and only its datagrams are received.
         *
         * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EPROTOTYPE` ...
         */
        connect(path: string): void;
        /**
         * Sends a datagram and descriptors to the socket that is bound to `path`. Sends to one receiver are served in the order of the
         * calls. A send that waits for its receiver does not delay sends to other receivers. Receivers are told apart by their paths, as
         * `path.resolve` spells them at the call: two links to one socket are two receivers.
         *
         * @returns the number of bytes: a datagram is sent whole
         * @throws as `sendFds`, and SystemError `ENOENT`, `ECONNREFUSED`, `EMSGSIZE` ...
         */
        sendFdsTo(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "signal">): Promise<number>;
        /** {@link sendFdsTo}; blocks until it is done. */
        sendFdsToSync(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "timeout">): number;
        /** {@link sendFdsTo} without waiting; null, and nothing is sent, when the receiver has no room. */
        trySendFdsTo(data: Payload, fds: readonly AsFd[], path: string): number | null;
        /** As `recvFds`, with the sender's name. */
        recvFdsFrom(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFrom>;
        /** {@link recvFdsFrom}, waiting in `poll(2)`. */
        recvFdsFromSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFrom;
        /** The name that it is bound to, as given to `bind`; null if it has none. An abstract name begins with `"\0"`. */
        get address(): string | null;
        close(): void;
    }

    /** A listening Unix socket. {@link close} unlinks the path that it bound. */
    export class UnixListener<S extends UnixStream | UnixSeqpacket = UnixStream> extends Endpoint implements AsyncIterable<S> {
        #private;
        private constructor();
        /**
         * Listens at a path; a leading `\0` means the abstract namespace (Linux). A socket at the path is replaced only when no process has
         * it open. Other files, and sockets that are in use, listening or not, are never replaced.
         *
         * @throws SystemError `EADDRINUSE`: the message says what is at the path; `EACCES`, `ENOENT` ...
         */
        static bind(path: string, options: ListenOptions & {
            type: "seqpacket";
        }): UnixListener<UnixSeqpacket>;
        static bind(path: string, options?: ListenOptions): UnixListener<UnixStream>;
        /**
         * Takes over a listening Unix socket. A `net.Server` is closed; its connections and its path remain. If it listens at a relative
         * path, {@link close} removes the file there only if it is certainly the socket's: the process may have changed its working
         * directory since. O_NONBLOCK is set on the socket, which other processes may share: `accept` has no flag for one call.
         *
         * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else, which is not changed
         */
        static from<S extends UnixStream | UnixSeqpacket = UnixStream>(source: OwnedFd | Server): UnixListener<S>;
        /**
         * The next connection.
         *
         * @throws SystemError `EMFILE` when the descriptor table is full: the connection keeps waiting, and the next call pauses for 5 to
         *   100 ms before it tries; AncillaryError `ERR_SOCKET_CLOSED`
         */
        accept(options?: Pick<WaitOptions, "signal">): Promise<S>;
        /** {@link accept}, waiting in `poll(2)`. */
        acceptSync(options?: Pick<WaitOptions, "timeout">): S;
        /** Accepts until the listener is closed. */
        [Symbol.asyncIterator](): AsyncGenerator<S, void, undefined>;
        /** Whether messages on accepted sockets bring the sender's credentials, from the first message on (SO_PASSCRED). */
        setPassCredentials(on: boolean): void;
        /** Whether messages on accepted sockets bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
        setPassPidfd(on: boolean): void;
        /** Whether messages on accepted sockets bring the sender's security label (SO_PASSSEC, Linux). */
        setPassSecurity(on: boolean): void;
        /**
         * Whether accepted sockets take descriptors (SO_PASSRIGHTS, Linux 6.16); true by default. If not, a send of descriptors fails with
         * `EPERM` at the sender. Descriptors that were sent on a waiting connection before the option was off are still received.
         *
         * @throws SystemError `ENOPROTOOPT` on older kernels, `ENOTSUP` on other systems
         */
        setPassRights(on: boolean): void;
        /** The name that it is bound to, as given to `bind`; null if it has none. An abstract name begins with `"\0"`. */
        get address(): string | null;
        close(): void;
    }

    /**
     * A connected Unix socket that keeps message boundaries and carries descriptors. A record that is longer than the receive buffer is
     * `ERR_DATA_TRUNCATED` unless `allowTruncated`. A record is sent whole, or the send fails.
     *
     * FreeBSD 15 has a byte stream with marks instead (MSG_EOR, uipc_sosend_stream_or_seqpacket), which this class sets. There a send to a
     * receiver that has too little room takes a part, as on a stream: `sendFds` returns how many bytes, and `sendFdsAll` sends all. A
     * receive that does not have the end of a record counts as truncated, and the rest comes with the next one. So do records of programs
     * that do not pass MSG_EOR. A record longer than SO_SNDBUF becomes several.
     *
     * All functions that make such sockets fail with `ENOTSUP` where the system has none (Darwin).
     */
    export class UnixSeqpacket extends ConnectedSocket {
        private constructor();
        /** Two sockets connected with each other. */
        static pair(options?: PlatformOptions): [UnixSeqpacket, UnixSeqpacket];
        /** Connects to a listener; waits while its backlog is full. A leading `\0` means the abstract namespace (Linux). */
        static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixSeqpacket>;
        /** {@link connect}, waiting in `poll(2)`. */
        static connectSync(path: string, options?: Pick<WaitOptions, "timeout"> & PlatformOptions): UnixSeqpacket;
        /** Takes over a connected seqpacket socket. @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else */
        static from(source: OwnedFd | Socket): UnixSeqpacket;
    }

    /**
     * A connected Unix stream socket that carries descriptors.
     *
     * ```js
     * import { openSync } from "node:fs";
     * import { OwnedFd, UnixStream } from "unix-ancillary";
     * const [left, right] = UnixStream.pair();
     * const file = OwnedFd.fromRaw(openSync(process.execPath, "r"));
     * await left.sendFdsAll("hello", [file]);
     * file.close(); // what was sent is a duplicate
     * const { data, fds } = await right.recvFds(1);
     * console.log(data.toString(), fds[0].describe().kind); // hello file
     * for (const owner of [left, right, ...fds]) owner.close();
     * ```
     *
     * It owns its descriptor. If other code reads from the same socket without a control buffer (`net.Socket`, `read(2)`), the kernel
     * drops the descriptors that belong to the bytes.
     */
    export class UnixStream extends ConnectedSocket {
        private constructor();
        /** Two sockets connected with each other. */
        static pair(options?: PlatformOptions): [UnixStream, UnixStream];
        /**
         * Connects to a listener; waits while its backlog is full. A leading `\0` means the abstract namespace (Linux).
         *
         * @throws SystemError `ENOENT`, `ECONNREFUSED`, `EACCES` ...
         */
        static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixStream>;
        /** {@link connect}, waiting in `poll(2)`. */
        static connectSync(path: string, options?: Pick<WaitOptions, "timeout"> & PlatformOptions): UnixStream;
        /**
         * Takes over a connected Unix stream socket. A `net.Socket` must not have read anything yet, because its reads drop descriptors.
         * The `net.Socket` is destroyed; the connection stays open.
         *
         * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else (a listener, for example), which is not changed;
         *   `ERR_SOCKET_BUSY` for a net.Socket that has read bytes or still has bytes to write
         */
        static from(source: OwnedFd | Socket): UnixStream;
        /**
         * Makes a `net.Socket` of the connection. This object is closed; the connection stays open.
         *
         * @throws AncillaryError `ERR_SOCKET_BUSY` while operations wait, or a reader or a channel is in use; SystemError `ENOTSUP` on a
         *   virtual kernel
         */
        toSocket(options?: Omit<SocketConstructorOpts, "fd" | "signal">): Socket;
    }

    /** How long to wait: `signal` in asynchronous operations, `timeout` in synchronous ones and in `notifyBarrier`. */
    export interface WaitOptions {
        /**
         * Cancels the operation if it has not run yet, and rejects its promise with the signal's reason. A message that was already
         * received is still delivered.
         */
        signal?: AbortSignal | undefined;
        /** Milliseconds after which the operation fails with `ETIMEDOUT`; 0: now or never. No limit by default. */
        timeout?: number | undefined;
    }

    /**
     * Adopts the descriptors that the service manager passed to this process (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), and sets CLOEXEC on
     * them. The result is empty when it passed none, or passed them to another process. Descriptors that an object of this library owns
     * already, from an earlier call or in another thread, are left out.
     *
     * @throws RangeError when LISTEN_FDS is not a number of descriptors; SystemError `EBADF` when one of them is not open. Then no
     *   descriptor is adopted.
     */
    export function listenFds(options?: ListenFdsOptions): ListenFd[];

    /**
     * Makes a memfd: anonymous memory that is read, written, mapped and passed as a file. CLOEXEC; its file offset is 0.
     *
     * Linux 6.3 and later: nobody can execute it, so `describe()` lists the seal `"exec"` too. No other system of this library has a memfd
     * that can be sealed; the objects of `shm_open(3)` have a name that others can open until it is unlinked, and those of macOS can be
     * neither read nor written, only mapped. Use a file that is unlinked after it was opened.
     *
     * @param name what /proc shows as `/memfd:name`; two memfds may have the same. At most 249 bytes of UTF-8, without NUL
     * @throws SystemError `ENOSYS` on other systems than Linux; `EMFILE`, `ENFILE`, `ENOMEM`, `EFBIG`; `EINVAL` for a seal that the kernel
     *   does not know (`"future-write"` before Linux 5.1, `"exec"` before 6.3)
     */
    export function memfd(name: string, options?: MemfdOptions): OwnedFd;

    /**
     * Sends the state of this service to the service manager (NOTIFY_SOCKET), for example `"READY=1"` or
     * `{ READY: "1", STATUS: "serving" }`. Descriptors are sent for `FDSTORE=1`. Waits while the manager's queue is full.
     *
     * NOTIFY_SOCKET is an absolute path of any length, or `@` and an abstract name. The `vsock:` addresses of virtual machines (systemd
     * 254) are not supported: they are no Unix sockets, and carry no descriptors.
     *
     * @returns false when there is no service manager
     * @throws RangeError for a line break in a value; SystemError of the send, or `ENOTSUP` for any other address
     */
    export function notify(state: string | Record<string, string>, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<boolean>;

    /**
     * Waits until the service manager has processed all earlier notifications and their descriptors. The files of these descriptors must
     * exist until then. Without a service manager it returns at once. Both options apply to all of it.
     *
     * @throws as {@link notify}; SystemError `ETIMEDOUT` after `timeout`
     */
    export function notifyBarrier(options?: WaitOptions): Promise<void>;

    /**
     * `recvmsg(2)` into the caller's buffers. Control messages go to the ancillary buffer, which is cleared first. Descriptors are
     * closed if there is none, or if it has no room for them. The kernel always gets a control buffer that is large enough: some
     * systems leak descriptors that do not fit (Darwin, DragonFly). Sockets of every address family are accepted. Control messages that
     * the ABI table does not have are of the kind `"unknown"`, with their level, type and bytes.
     *
     * @throws RangeError for buffers of 0 bytes on a stream, and on every socket of Darwin, NetBSD and DragonFly (`abi.emptyReceive`: they
     *   answer 0 though nothing has come); for MSG_PEEK with an ancillary buffer (each peek would duplicate the descriptors), and on a seqpacket
     *   socket of OpenBSD, NetBSD and DragonFly (`abi.emptyRecord`: at an empty record the call would not return); for MSG_TRUNC (the
     *   result would be longer than the buffers); AncillaryError `ERR_MALFORMED_CONTROL` with the
     *   bytes as `data`; SystemError `EAGAIN`, `ECONNRESET`, `ENOTSOCK` ...
     */
    export function recvmsg(socket: AsFd, iov: Uint8Array | readonly Uint8Array[], ancillary?: SocketAncillary | null, options?: MessageOptions): RecvResult;

    /**
     * `sendmsg(2)`: sends bytes with the contents of an ancillary buffer, which stay in it. Never raises SIGPIPE, and waits only with
     * `wait`.
     *
     * It does not use the queues of {@link UnixStream} and the other sockets: it may overtake sends that wait there. Sockets of every
     * address family are accepted, as long as no descriptors are sent: other families drop them without an error.
     *
     * @returns the number of bytes accepted
     * @throws AncillaryError `ERR_EMPTY_PAYLOAD`, `ERR_FD_CLOSED`, `ERR_ANCILLARY_RECEIVED`, and `ERR_NOT_UNIX_SOCKET` for descriptors on
     *   another socket; SystemError `EAGAIN`, `EPIPE`, `EBADF`, `ENOTSOCK` ...
     */
    export function sendmsg(socket: AsFd, iov: Payload, ancillary?: SocketAncillary | null, options?: MessageOptions): number;

    /**
     * Starts a program as `child_process.spawn` does, with one end of a channel. In the child, `FdChannel.fromParent()` returns it.
     * The child inherits it as the first descriptor after those of `stdio`; the variable `UNIX_ANCILLARY_CHANNEL_FD` has its number, and
     * `UNIX_ANCILLARY_CHANNEL_SOCKET` says which socket it is. The child inherits no other descriptor than those of `stdio`.
     *
     * If the program cannot be started, the child emits `"error"`, as in Node, and its channel is at its end.
     *
     * @throws what `child_process.spawn` throws; ChannelError `ERR_CHANNEL_PEER_REJECTED`, after killing the child
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
        /** How many calls all processes made before it. */
        readonly index: number;
        /** The process that makes it. */
        readonly process: VirtualProcess;
        /** `"sendmsg"`, `"recvmsg"`, `"close"` ... */
        readonly name: string;
        /** Its descriptor; -1: it has none. */
        readonly fd: number;
    }

    /** Names of errors, as `errno(3)` has them. */
    export type ErrnoName = "E2BIG" | "EACCES" | "EADDRINUSE" | "EAGAIN" | "EBADF" | "EBUSY" | "ECONNABORTED" | "ECONNREFUSED" | "ECONNRESET" | "EDEADLK" | "EDESTADDRREQ" | "EEXIST" | "EINTR" | "EINVAL" | "EIO" | "EISCONN" | "EMFILE" | "EMSGSIZE" | "ENFILE" | "ENOBUFS" | "ENODATA" | "ENOENT" | "ENOMEM" | "ENOPROTOOPT" | "ENOSYS" | "ENOTCONN" | "ENOTSOCK" | "EOPNOTSUPP" | "EPERM" | "EPIPE" | "EPROTOTYPE" | "ERANGE" | "ETOOMANYREFS" | "EWOULDBLOCK";

    /** What goes wrong at a call. */
    export interface Fault {
        /**
         * The call fails so. A `close` closes all the same, as kernels do. Any other call that EINTR meets, a signal, is made again,
         * as the addon does, and meets the fault of the new call. A call on several descriptors fails from the `at`-th on, 0 by
         * default.
         */
        readonly errno?: ErrnoName;
        /** Where a call on several descriptors fails first, counted from 0. */
        readonly at?: number;
        /** A send or receive on a stream, and a write into a memfd, moves at most so many bytes, at least 1. */
        readonly short?: number;
        /** The descriptor table has so many free slots. */
        readonly room?: number;
        /** A security module lets so many descriptors through (Linux). */
        readonly allowed?: number;
        /** This process, a {@link VirtualProcess}, dies first. */
        readonly dies?: {
            kill(): void;
        };
    }

    /** A control buffer, and how it was made. */
    export interface GeneratedControl {
        /** The bytes; a new array each time. */
        readonly control: Uint8Array;
        /** The messages that were encoded. A canonical buffer decodes to exactly these; a hostile one was damaged afterwards. */
        readonly messages: readonly ControlMessage[];
        /** Whether it is as it was encoded, or damaged. */
        readonly kind: "canonical" | "hostile";
    }

    /** Options of {@link controlBuffers}. */
    export interface GeneratorOptions {
        /** Same seed, same buffers; 0 to 2^32 - 1, by default 1. */
        seed?: number | undefined;
        /** One kind only; both, mixed, by default. */
        kind?: "canonical" | "hostile" | undefined;
    }

    /** How a kernel is set up. */
    export interface KernelOptions {
        /** Decides the order in which sockets become ready; 1 by default. */
        seed?: number | undefined;
        /** Bytes that a socket keeps for its reader, unless an option of the socket says otherwise; 8192 by default. */
        bufferBytes?: number | undefined;
        /** Datagrams that a socket keeps; 10 by default. */
        bufferMessages?: number | undefined;
        /**
         * Files that the system can have open; 10000 by default. OpenBSD lets a tenth of them be in flight, NetBSD a half. On Linux
         * the limit is the size of the sender's descriptor table, unless its user is root.
         */
        files?: number | undefined;
        /**
         * The version of Linux, from 5.10 on: `"6.1"`, or a release as uname(2) says it. An older kernel lacks socket options, and differs in
         * other rules; its numbers and rules are those of the newest point release. 6.18 by default, which newer ones equal.
         */
        kernel?: string | undefined;
    }

    /** How a process is set up. */
    export interface ProcessOptions {
        /** Size of the descriptor table (RLIMIT_NOFILE); 256 by default. */
        descriptors?: number | undefined;
        /** User id; 1000 by default. */
        uid?: number | undefined;
        /** 1000 by default. */
        gid?: number | undefined;
        /** Supplementary groups; none by default. */
        groups?: readonly number[] | undefined;
        /** The label that a security module gives it (Linux); none by default. */
        label?: string | undefined;
    }

    /**
     * A Unix system in memory, with the rules of one row of the ABI table.
     *
     * ```js
     * import { UnixListener, UnixStream } from "unix-ancillary";
     * import { VirtualKernel } from "unix-ancillary/testing";
     * const kernel = new VirtualKernel("darwin-arm64", { seed: 7 });
     * const [parent, child] = [kernel.process(), kernel.process()];
     * const listener = UnixListener.bind("/socket", { platform: parent.platform });
     * const stream = await UnixStream.connect("/socket", { platform: child.platform });
     * kernel.fault = (call) => (call.name === "recvmsg" && call.index === 9 ? { errno: "ENOMEM" } : null);
     * for (const socket of [stream, listener]) socket.close(); // your protocol, in place of this line
     * kernel.check(); // throws when a descriptor leaked, was closed twice, used after its close, or could have been inherited
     * ```
     *
     * Differences from real kernels: time passes only when nothing else is left to do; a synchronous call that would wait for ever
     * fails with EDEADLK, because no other process can run meanwhile (see {@link VirtualKernel.whileWaiting}).
     */
    export class VirtualKernel {
        #private;
        /** The row of the ABI table that it follows. */
        readonly abi: Abi;
        /** What was done that must not be. {@link check} throws for each. */
        readonly violations: string[];
        /**
         * @param abi a row of the ABI table, or its name: the system, and its byte order and layout
         * @throws RangeError for a version of Linux that cannot be read, or is older than 5.10; and for one on another system
         */
        constructor(abi: Abi | AbiName, options?: KernelOptions);
        /** Called before each system call; it returns the call's fault, or null. Null in place of the function: no faults. */
        get fault(): ((call: Call) => Fault | null) | null;
        set fault(fault: ((call: Call) => Fault | null) | null);
        /** Called while a synchronous call waits: another process can act then. It returns false when nothing is left to do. */
        get whileWaiting(): (() => boolean) | null;
        set whileWaiting(act: (() => boolean) | null);
        /** Starts a process. */
        process(options?: ProcessOptions): VirtualProcess;
        /** How many system calls were made. */
        get calls(): number;
        /** Milliseconds since the start. Time passes when nothing else is left to do. */
        get now(): number;
        /** Starts again with another seed: no faults, no violations, no names. The processes stay, with nothing open. */
        reset(seed: number): void;
        /** Resolves when nothing is ready, no timer runs, and nothing has happened for a while: only a new call continues. */
        idle(): Promise<void>;
        /** Resolves when so many milliseconds have passed. */
        advance(milliseconds: number): Promise<void>;
        /**
         * Throws an error that lists the violations and every descriptor that is still open.
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
        /** Makes sockets of this process: `UnixStream.pair({ platform })`. */
        readonly platform: Platform;
        private constructor();
        /** Process id. */
        get pid(): number;
        /** User id. */
        get uid(): number;
        /** Group id. */
        get gid(): number;
        /** False once it was killed. */
        get alive(): boolean;
        /**
         * Opens a file. {@link descriptors} and {@link nameOf} report this name for every descriptor of it.
         *
         * @param options `closeWaits`: its last close waits, as that of a TCP socket with SO_LINGER can. It is a violation if the event loop of
         *   another process waits for it: a peer could stop it so
         */
        open(name: string, options?: {
            closeWaits?: boolean | undefined;
        }): OwnedFd;
        /** The open descriptors, and the names of their files. */
        get descriptors(): ReadonlyMap<number, string>;
        /** The name of the file behind a descriptor of this process; null: it is not open. */
        nameOf(fd: number): string | null;
        /** A copy of the bytes of a `memfd` behind a descriptor of this process; null for anything else. */
        contentOf(fd: number): Uint8Array | null;
        /** Kills it: everything that it has open is closed at once. */
        kill(): void;
    }

    /**
     * An endless sequence of control buffers:
     *
     * ```js
     * import { Codec } from "unix-ancillary/core";
     * import { controlBuffers } from "unix-ancillary/testing";
     * const codec = new Codec("darwin-arm64"); // your decoder, in its place
     * let rounds = 1000;
     * for (const { control } of controlBuffers("darwin-arm64", { seed: 7 })) {
     *   codec.decode(control);
     *   if (--rounds === 0) break;
     * }
     * ```
     */
    export function controlBuffers(abi: Abi | AbiName, options?: GeneratorOptions): Generator<GeneratedControl, never, undefined>;
}

declare module "unix-ancillary/stream" {
    import type { Duplex } from "node:stream";
    import type { AsFd, FdRange, FdReaderOptions, OwnedFd, UnixStream } from "unix-ancillary";

    /**
     * A `stream.Duplex` over a {@link UnixStream}: `pipeline`, `for await`, `Duplex.toWeb` and back-pressure, with descriptors beside the
     * bytes.
     *
     * The event `"fds"` has an {@link FdRange}: which bytes some descriptors arrived with. It is emitted before these bytes can be read.
     * The descriptors wait until {@link takeFds}; while 512 wait, nothing more is received until the consumer reads or takes something, or
     * asks for more bytes than there are. Exceeding a limit of a reader (`maxFds`, `maxQueuedFds`) destroys the stream with
     * `ERR_TOO_MANY_FDS`. When the stream is destroyed, the socket and the descriptors that wait are closed.
     */
    export class FdDuplex extends Duplex {
        #private;
        /**
         * Takes over the socket: only this stream receives from it, and closes it.
         *
         * @throws AncillaryError `ERR_SOCKET_BUSY` when the socket has a reader or receives wait; `ERR_SOCKET_CLOSED`
         */
        constructor(socket: UnixStream, options?: FdDuplexOptions);
        /**
         * Writes a chunk, and the descriptors beside it: once, with its first byte.
         *
         * @throws AncillaryError `ERR_EMPTY_PAYLOAD` for descriptors without bytes; RangeError `ERR_TOO_MANY_FDS`; TypeError
         */
        write(chunk: string | Uint8Array, callback?: (error: Error | null | undefined) => void): boolean;
        write(chunk: string | Uint8Array, options?: FdWriteOptions | BufferEncoding, callback?: (error: Error | null | undefined) => void): boolean;
        /**
         * Ends the stream, after a last chunk and the descriptors beside it if they are given.
         *
         * @throws as {@link write} does; then the stream has not ended
         */
        end(callback?: () => void): this;
        end(chunk: string | Uint8Array, callback?: () => void): this;
        end(chunk: string | Uint8Array, options?: FdWriteOptions | BufferEncoding, callback?: () => void): this;
        /** Reads as every stream does: a Buffer, a string after `setEncoding`, or null. */
        read(size?: number): any;
        /**
         * Takes the oldest descriptors that have arrived. The caller owns them from then on.
         *
         * @throws AncillaryError `ERR_FD_COUNT` when fewer have arrived; they stay queued
         */
        takeFds(count: number): OwnedFd[];
        /** The descriptors that are not yet taken, the oldest first, with the bytes they arrived with. */
        get fdRanges(): readonly FdRange[];
        /** How many descriptors have arrived and are not taken. */
        get queuedFds(): number;
        /** Offset in the stream of the next byte that is read, to compare with {@link fdRanges}. Of no use after `setEncoding`. */
        get position(): number;
    }

    /** Options of an {@link FdDuplex}. */
    export interface FdDuplexOptions extends Pick<FdReaderOptions, "maxFds" | "maxQueuedFds"> {
        /** Whether it stays writable when the peer has finished; true by default. */
        allowHalfOpen?: boolean | undefined;
        /** Bytes that it reads ahead of the consumer; Node's default. */
        readableHighWaterMark?: number | undefined;
        /** Bytes of waiting writes from which on `write` returns false; Node's default. */
        writableHighWaterMark?: number | undefined;
    }

    /** What goes beside a chunk. */
    export interface FdWriteOptions {
        /**
         * Descriptors to send with the first byte of the chunk. They stay the caller's. A bare number must stay open until the callback
         * of the write is called.
         */
        fds?: readonly AsFd[] | undefined;
        /** The encoding of a string; UTF-8 by default. */
        encoding?: BufferEncoding | undefined;
    }
}

declare module "unix-ancillary/usocket" {
    import type { EventEmitter } from "node:events";
    import type { Duplex } from "node:stream";
    import type { PlatformOptions } from "unix-ancillary";

    /** Options of {@link UServer.listen}. */
    export interface UListenOptions extends PlatformOptions {
        /** Where it listens; a leading `\0` means the abstract namespace (Linux). */
        path: string;
        /** The most connections that wait to be accepted; 16 by default. */
        backlog?: number | undefined;
    }

    /** What {@link USocket.read} returns when it is asked for descriptors. */
    export interface URead {
        /** The bytes; null if none were asked for. */
        data: Buffer | string | null;
        /** Descriptors, which the caller has to close. */
        fds: number[];
    }

    /**
     * usocket's UServer: emits `"connection"` with a {@link USocket} for each connection.
     *
     * What differs from usocket: a path where a live socket or any other file is emits `"error"` (`EADDRINUSE`); usocket removes what is
     * there.
     */
    export class UServer extends EventEmitter {
        #private;
        /** Whether it accepts no connections for now. */
        paused: boolean;
        /** Whether it listens. */
        listening: boolean;
        /** The number of the listening socket; undefined while it has none. */
        get fd(): number | undefined;
        /**
         * Listens. Emits `"listening"` or `"error"`.
         *
         * @throws Error when it listens already; TypeError when the path or the backlog is none
         */
        listen(to: string | UListenOptions, second?: number | (() => void), callback?: () => void): void;
        /** Accepts no further connections until {@link resume}. */
        pause(): void;
        /** Accepts connections again. */
        resume(): void;
        /** Stops listening. The file at the path stays, as with usocket. */
        close(): void;
    }

    /**
     * usocket's USocket: a Duplex stream that carries descriptors. Received descriptors are numbers that the caller owns.
     *
     * What differs from usocket: a partial write does not send descriptors twice, nor does a full socket drop them; descriptors
     * without bytes are an error, because the kernel would drop them; received descriptors are CLOEXEC; those that nobody has read are
     * closed with the socket; `read(n, null)` returns the descriptors that came with the bytes read so far, and leaves those of later
     * messages; `connect({ fd })` emits `"connected"` too.
     */
    export class USocket extends Duplex {
        #private;
        /** Connects at once when a path or a descriptor is given. */
        constructor(options?: string | USocketOptions | null, callback?: () => void);
        /** The number of the socket; undefined while it has none. */
        get fd(): number | undefined;
        /**
         * Connects. Emits `"connected"`, or `"error"` and `"close"`; after a failure it can be called again.
         *
         * @throws Error when the socket is connected already, or the destination is none
         */
        connect(to: string | USocketOptions, callback?: () => void): void;
        /**
         * Reads bytes, as every stream does. With a second argument it reads descriptors too.
         *
         * @param count how many descriptors; null: those that came with the bytes read so far
         * @returns null when there are fewer bytes or descriptors
         */
        read(size?: number | null): any;
        read(size: number | null | undefined, count: number | null): URead | null;
        /** Puts bytes and descriptors back; the list of descriptors is emptied. After `destroy` the descriptors stay the caller's. */
        unshift(chunk: unknown, fds?: BufferEncoding | number[]): void;
        /** Sends bytes, or bytes and descriptors. */
        write(chunk: string | Uint8Array | UWriteOptions | readonly number[], encoding?: BufferEncoding | ((error?: Error | null) => void) | null, callback?: (error?: Error | null) => void): boolean;
        /** Sends what is given, and then the end. The socket is closed when the peer has finished, too. */
        end(callback?: () => void): this;
        end(chunk: unknown, callback?: () => void): this;
        end(chunk: unknown, encoding?: BufferEncoding, callback?: () => void): this;
    }

    /** Where a {@link USocket} connects to: a path, or the descriptor of a connected socket, which it then owns. */
    export interface USocketOptions extends PlatformOptions {
        /** The path of a listener; a leading `\0` means the abstract namespace (Linux). */
        path?: string | undefined;
        /** A connected Unix stream socket of this process, whatever `platform` is. */
        fd?: number | undefined;
        /** Whether it stays writable when the peer has finished; true by default. */
        allowHalfOpen?: boolean | undefined;
    }

    /** What {@link USocket.write} takes besides bytes. */
    export interface UWriteOptions {
        /** The bytes. */
        data?: Uint8Array | undefined;
        /** Descriptors to send with the first byte. They must stay open until `callback` is called. */
        fds?: readonly number[] | undefined;
        /** Called when everything has been sent. */
        callback?: ((options: UWriteOptions) => void) | undefined;
    }
}

declare module "unix-ancillary/handoff" {
    import type { IncomingMessage } from "node:http";
    import type { Server, Socket } from "node:net";
    import type { Duplex } from "node:stream";
    import type { FdChannel } from "unix-ancillary";

    /** A connection that was not handed off: the worker ended, or the channel failed. It is still this process's: {@link takeBack}. */
    export class HandOffError extends Error {
        #private;
        /** Stable across versions; the message is not. */
        readonly code = "ERR_NOT_HANDED_OFF";
        private constructor();
        /**
         * The connection, with every byte that was read from it: for another worker, or for a server of this process
         * (`server.emit("connection", error.takeBack())`).
         *
         * @throws AncillaryError `ERR_FD_CLOSED` when it was taken back already
         */
        takeBack(): Socket;
    }

    /**
     * Hands a connection to the worker at the other end of a channel, which calls {@link takeConnections}. The worker gets `head`, then the
     * bytes that Node has read and the program has not, then what the client sends. The socket is destroyed, and the connection stays open.
     * From the first call on the channel is for connections alone. Those of one turn of the event loop share a frame, within the limits of
     * this channel: a worker's channel must not have lower ones.
     *
     * @param head bytes that the program has read, to be read again
     * @returns a promise that is fulfilled when the worker has the connection. A connection is lost by no end of the worker: until then
     *   this process has it, and no worker serves it. Close the channel when these promises are settled: if it is closed before, a worker
     *   may have taken a connection, and its acknowledgement is lost
     * @throws HandOffError when the worker ended before it took the connection, or the channel failed.
     *   TypeError, AncillaryError `ERR_SOCKET_BUSY` (bytes, an end or a response that are not written yet, or bytes that were decoded by
     *   `setEncoding`), `ERR_FD_CLOSED`: the socket is unchanged
     */
    export function handOff(channel: FdChannel, socket: Duplex, head?: Uint8Array): Promise<void>;

    /**
     * {@link handOff} in a listener of `"upgrade"` or `"connect"` of an HTTP server, with the listener's arguments: the head of the request
     * goes along, so that the worker's HTTP server has the same request.
     */
    export function handOffUpgrade(channel: FdChannel, request: IncomingMessage, socket: Duplex, head: Uint8Array): Promise<void>;

    /**
     * In a worker: takes the connections that are handed off over a channel, until the other end closes it. Each is acknowledged before it
     * is served. To stop, close the channel: connections that were not acknowledged return to the process that sent them.
     *
     * @param server what emits `"connection"` for each: an HTTP server, which need not listen; or a function that gets each socket
     * @throws what `FdChannel.recv` throws; ChannelError `ERR_CHANNEL_FD_COUNT` for a frame that `handOff` has not sent
     */
    export function takeConnections(channel: FdChannel, server: Server | ((socket: Socket) => void)): Promise<void>;
}
