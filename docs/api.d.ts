// The public interface, as the compiler emits it. Written by `npm run check:api -- --record`.

// unix-ancillary exports: AncillaryData, AncillaryError, AncillaryErrorCode, AsFd, ChannelError, ChannelErrorCode, ChannelOptions, ChannelSpawnOptions, ConnectOptions, ControlMessage, Credentials, FdChannel, FdDescription, FdRange, FdReader, FdReaderOptions, Frame, ListenFd, ListenFdsOptions, ListenOptions, MessageOptions, OwnedFd, Payload, PeerPolicy, Platform, PlatformOptions, ReceivedFds, ReceivedFdsInto, ReceivedFrom, RecvIntoOptions, RecvOptions, RecvResult, SendProgress, SocketAncillary, Spawned, SystemError, TruncationReason, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream, WaitOptions, listenFds, notify, notifyBarrier, recvmsg, sendmsg, spawn

// unix-ancillary/core exports: Abi, AbiName, AncillaryError, AncillaryErrorCode, Codec, ControlMessage, Credentials, CredentialsLayout, DecodeOptions, DecodedControl, DecodedMessage, DecodedPayload, MsghdrLayout, PeerCredentialsLayout, ReceiveVerdict, Timestamp, TimestampLayout, VerdictInput, abis, hostAbiName, inspect, provideCoreModule

// unix-ancillary/testing exports: Call, ErrnoName, Fault, GeneratedControl, GeneratorOptions, KernelOptions, ProcessOptions, VirtualKernel, VirtualProcess, controlBuffers

export interface Abi {
    readonly name: AbiName;
    readonly os: "linux" | "darwin" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "illumos";
    readonly arch: string;
    readonly libc: "glibc" | "musl" | "bionic" | null;
    readonly pointerBytes: 4 | 8;
    readonly endian: "little" | "big";
    readonly evidence: "measured" | "compiled" | "source" | "tables";
    readonly source: string;
    readonly headerBytes: number;
    readonly lengthOffset: number;
    readonly lengthBytes: 4 | 8;
    readonly levelOffset: number;
    readonly typeOffset: number;
    readonly dataOffset: number;
    readonly alignBytes: number;
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
    readonly SOCK_SEQPACKET: number | null;
    readonly F_DUPFD_CLOEXEC: number;
    readonly maxFdsPerMessage: number;
    readonly maxControlBytes: number | null;
    readonly sendControlLength: "space" | "len";
    readonly severalRights: "merged" | "separate" | "refused" | "first";
    readonly truncation: "linux" | "freebsd" | "openbsd" | "netbsd" | "dragonfly" | "xnu" | "illumos";
    readonly receiveNeeds: "space" | "len";
    readonly tableFullErrno: "EMFILE" | "EMSGSIZE" | null;
    readonly datagramFullErrno: "EAGAIN" | "ENOBUFS";
    readonly inFlightErrno: "EAGAIN" | null;
    readonly controlFullErrno: "EMSGSIZE" | null;
    readonly losesCtrunc: boolean;
    readonly rightsCarrier: "last" | "first";
    readonly peek: "duplicates" | "pointers" | "omitted" | "zeroed";
    readonly emptyStreamRights: "dropped" | "delivered";
    readonly nextHeader: "glibc" | "musl" | "bionic" | "bsd" | "illumos";
    readonly credentials: readonly CredentialsLayout[];
    readonly timestamps: readonly TimestampLayout[];
    readonly peerCredentials: PeerCredentialsLayout | null;
    readonly sunPathBytes: number;
    readonly abstractNames: boolean;
    readonly receiveMessages: readonly number[];
}

export type AbiName = `linux-${"x86_64" | "i386" | "armv7" | "aarch64" | "s390x" | "powerpc64" | "powerpc"}-${"glibc" | "musl"}` | `linux-${"riscv64" | "powerpc64le" | "mips" | "x32"}-glibc` | `linux-${"riscv64" | "powerpc64le"}-musl` | `android-${"aarch64" | "x86_64" | "armv7"}-bionic` | `darwin-${"arm64" | "x86_64"}` | `freebsd-${"amd64" | "arm64" | "riscv64" | "powerpc64" | "i386" | "armv7"}` | `openbsd-${"amd64" | "arm64" | "riscv64" | "i386" | "arm" | "powerpc" | "sparc64"}` | `netbsd-${"amd64" | "i386" | "arm-eabi" | "aarch64" | "sparc64"}` | "dragonfly-x86_64" | `illumos-${"amd64" | "sparcv9"}`;

interface Ancillary extends Disposable {
    readonly eof: boolean;
    readonly fds: OwnedFd[];
    readonly surplus: number;
    readonly streamOffset: number;
    readonly dataTruncated: boolean;
    readonly credentials: Credentials | null;
    readonly pidfd: OwnedFd | null;
    readonly security: string | null;
    [Symbol.dispose](): void;
}

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

export declare class AncillaryError extends Error {
    readonly code: AncillaryErrorCode;
    readonly data?: Uint8Array;
    readonly reason?: TruncationReason;
    constructor(code: AncillaryErrorCode, message: string, details?: {
        data?: Uint8Array;
        reason?: TruncationReason;
    });
}

export type AncillaryErrorCode = "ERR_ANCILLARY_RECEIVED" | "ERR_ANCILLARY_TRUNCATED" | "ERR_BUFFER_TOO_SMALL" | "ERR_DATA_TRUNCATED" | "ERR_EMPTY_PAYLOAD" | "ERR_FD_CLOSED" | "ERR_FD_COUNT" | "ERR_MALFORMED_CONTROL" | "ERR_NOT_UNIX_SOCKET" | "ERR_SOCKET_BUSY" | "ERR_SOCKET_CLOSED" | "ERR_TOO_LONG" | "ERR_TOO_MANY_FDS" | "ERR_UNEXPECTED_EOF";

export type AsFd = number | {
    readonly fd: number;
} | Socket | Server | DatagramSocket;

export interface Call {
    readonly index: number;
    readonly process: VirtualProcess;
    readonly name: string;
    readonly fd: number;
}

export declare class ChannelError extends Error {
    readonly code: ChannelErrorCode;
    constructor(code: ChannelErrorCode, message: string, options?: {
        cause?: unknown;
    });
}

export type ChannelErrorCode = "ERR_CHANNEL_CLOSED" | "ERR_CHANNEL_FD_COUNT" | "ERR_CHANNEL_FLAGS" | "ERR_CHANNEL_MAGIC" | "ERR_CHANNEL_PAYLOAD_TOO_LARGE" | "ERR_CHANNEL_PEER_REJECTED" | "ERR_CHANNEL_POISONED" | "ERR_CHANNEL_TIMEOUT" | "ERR_CHANNEL_TOO_MANY_FDS" | "ERR_CHANNEL_UNEXPECTED_EOF" | "ERR_CHANNEL_VERSION" | "ERR_NO_PARENT";

export interface ChannelOptions {
    maxPayload?: number | undefined;
    maxFds?: number | undefined;
    frameTimeout?: number | undefined;
    peer?: PeerPolicy | undefined;
    platform?: Platform | undefined;
}

export type ChannelSpawnOptions = SpawnOptions & Omit<ChannelOptions, "platform">;

export type Checks = Readonly<Record<string, (name: string, value: unknown) => void>>;

export declare class Codec {
    readonly abi: Abi;
    constructor(abi: Abi | AbiName);
    align(n: number): number;
    len(n: number): number;
    space(n: number): number;
    encode(messages: readonly ControlMessage[]): Uint8Array;
    encodeInto(messages: readonly ControlMessage[], into: Uint8Array): number;
    decode(control: Uint8Array, options?: DecodeOptions): DecodedControl;
    rights(fds: readonly number[]): ControlMessage;
    fdsOf(message: ControlMessage): number[];
    credentials({ pid, uid, gid }: Credentials): ControlMessage;
    payloadOf({ level, type, data }: ControlMessage): DecodedPayload;
    verdict({ control, flags, maxFds, exactly, allowTruncated }: VerdictInput): ReceiveVerdict;
}

export type ConnectOptions = Pick<WaitOptions, "signal">;

export declare abstract class ConnectedSocket extends MessageSocket implements AsyncIterable<ReceivedFds> {
    protected constructor(platform: Platform, fd: number, type: SocketType, passesPidfd: boolean);
    sendFdsAll(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<void>;
    sendFdsAllSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): void;
    [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedFds, undefined>;
    reader(options?: FdReaderOptions): FdReader;
    protected checkReceives(): void;
    close(): void;
    protected handOver(): number;
    get peerAddress(): string | null;
    peerCredentials(): Credentials;
    peerPidfd(): OwnedFd;
}

export interface Constants {
    readonly [name: string]: number;
}

export interface ControlMessage {
    readonly level: number;
    readonly type: number;
    readonly data: Uint8Array;
}

export declare class Core {
    readonly exports: CoreExports;
    readonly memory: ArrayBuffer;
    readonly control: Uint8Array;
    readonly controlOffset: number;
    readonly registers: Int32Array;
    readonly fds: Int32Array;
    constructor(abi: Abi);
    verdict(length: number, flags: number, maxFds: number, exactly: number, allowTruncated: boolean): number;
    next(): boolean;
    encodeRights(count: number): number;
    putRights(count: number): number;
    readRights(from: number, data: number, count: number): number;
}

interface CoreExports {
    readonly memory: WebAssembly.Memory;
    setLayout(headerBytes: number, lengthOffset: number, lengthBytes: number, levelOffset: number, typeOffset: number, dataOffset: number, alignBytes: number, headerAlignBytes: number, bigEndian: boolean): number;
    setNumbers(SOL_SOCKET: number, SCM_RIGHTS: number, SCM_PIDFD: number, SCM_SECURITY: number, MSG_TRUNC: number, MSG_CTRUNC: number, padLast: boolean, losesCtrunc: boolean): void;
    setCredentials(kind: number, type: number, bytes: number, pid: number, uid: number, gid: number): number;
    align(n: number): number;
    len(n: number): number;
    space(n: number): number;
    begin(capacity: number): void;
    put(level: number, type: number, length: number): number;
    encodeRights(count: number): number;
    readRights(from: number, data: number, count: number): number;
    putRights(count: number): number;
    putCredentials(pid: number, uid: number, gid: number): number;
    length(): number;
    open(length: number, clamp: boolean): void;
    next(): number;
    verdict(length: number, flags: number, maxFds: number, exactly: number, allowTruncated: boolean): number;
}

export interface Credentials {
    readonly pid: number | null;
    readonly uid: number;
    readonly gid: number;
}

export interface CredentialsLayout {
    readonly type: number;
    readonly name: string;
    readonly bytes: number;
    readonly pid: number | null;
    readonly uid: number;
    readonly gid: number;
    readonly sendable: boolean;
}

export interface DecodeOptions {
    flags?: number | undefined;
}

export interface DecodedControl {
    readonly messages: readonly DecodedMessage[];
    readonly malformed: null | {
        readonly offset: number;
        readonly reason: "header-truncated" | "length-too-small" | "length-overruns";
    };
}

export interface DecodedMessage extends ControlMessage {
    readonly offset: number;
    readonly clamped: boolean;
}

export type DecodedPayload = {
    readonly kind: "rights";
    readonly fds: readonly number[];
    readonly leftoverBytes: number;
}
 | {
    readonly kind: "credentials";
    readonly credentials: Credentials | null;
}
 | {
    readonly kind: "pidfd";
    readonly pidfd: number | null;
}
 | {
    readonly kind: "security";
    readonly label: string;
}
 | {
    readonly kind: "timestamp";
    readonly name: string;
    readonly times: readonly Timestamp[];
}
 | {
    readonly kind: "unknown";
};

type Direction = "reading" | "writing";

export declare const EADDRINUSE: number;

export declare const EAGAIN: number;

export declare const EBADF: number;

export declare const ECONNABORTED: number;

export declare const ECONNREFUSED: number;

export declare const EMFILE: number;

export declare const EMSGSIZE: number;

export declare const ENFILE: number;

export declare const ENOBUFS: number;

export declare const ENOTCONN: number;

export declare const EPERM: number;

export declare abstract class Endpoint implements Disposable, AsyncDisposable {
    protected constructor(platform: Platform, fd: number);
    get fd(): number;
    get closed(): boolean;
    get address(): string | null;
    ref(): this;
    unref(): this;
    close(): void;
    [Symbol.dispose](): void;
    [Symbol.asyncDispose](): Promise<void>;
    protected openFd(): number;
    protected handOver(): number;
    protected idle(direction: Direction): boolean;
    protected runSync<T>(direction: Direction, operation: Operation<T>, timeout: number | undefined): T;
    protected mayAttempt(direction: Direction): boolean;
    protected attempted(direction: Direction, settled: boolean): void;
    protected submit<T>(direction: Direction, operation: Operation<T>, signal?: AbortSignal): Promise<T>;
    protected enqueue<T>(direction: Direction, operation: Operation<T>, signal?: AbortSignal): Promise<T>;
    protected tryNow<T>(direction: Direction, operation: Operation<T>): T | null;
}

export type ErrnoName = "E2BIG" | "EACCES" | "EADDRINUSE" | "EAGAIN" | "EBADF" | "ECONNABORTED" | "ECONNREFUSED" | "ECONNRESET" | "EDEADLK" | "EEXIST" | "EINTR" | "EINVAL" | "EIO" | "EISCONN" | "EMFILE" | "EMSGSIZE" | "ENFILE" | "ENOBUFS" | "ENOENT" | "ENOMEM" | "ENOPROTOOPT" | "ENOTCONN" | "ENOTSOCK" | "EOPNOTSUPP" | "EPERM" | "EPIPE" | "EPROTOTYPE" | "ETOOMANYREFS";

export interface Fault {
    readonly errno?: ErrnoName;
    readonly at?: number;
    readonly short?: number;
    readonly room?: number;
    readonly allowed?: number;
    readonly dies?: {
        kill(): void;
    };
}

export declare class FdChannel implements Disposable, AsyncDisposable, AsyncIterable<Frame> {
    readonly peer: Credentials | null;
    private constructor();
    static pair(options?: ChannelOptions): [FdChannel, FdChannel];
    static over(socket: UnixStream | UnixSeqpacket, options?: ChannelOptions): FdChannel;
    static fromParent(options?: ChannelOptions): FdChannel;
    send(payload: string | Uint8Array, fds?: readonly AsFd[], options?: SignalOption): Promise<bigint>;
    recv(options?: SignalOption): Promise<Frame | null>;
    [Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined>;
    get closed(): boolean;
    ref(): this;
    unref(): this;
    close(): void;
    [Symbol.dispose](): void;
    [Symbol.asyncDispose](): Promise<void>;
}

export interface FdDescription {
    readonly kind: FdKind;
    readonly access: "read" | "write" | "read-write" | "path";
    readonly nonblocking: boolean;
    readonly size?: number;
    readonly seals?: readonly Seal[];
    readonly socket?: SocketDescription;
}

export type FdKind = "file" | "directory" | "socket" | "pipe" | "character-device" | "block-device" | "symbolic-link" | "memfd" | "eventfd" | "epoll" | "pidfd" | "timerfd" | "signalfd" | "inotify" | "io_uring" | "userfaultfd" | "unknown";

export interface FdRange {
    readonly from: number;
    readonly to: number;
    readonly count: number;
}

export declare class FdReader implements Disposable, AsyncDisposable {
    read(bytes: number, options?: ReadOptions): Promise<Buffer>;
    readUntil(delimiter: Uint8Array | string, max: number, options?: ReadOptions): Promise<Buffer>;
    ended(options?: ReadOptions): Promise<boolean>;
    takeFds(count: number): OwnedFd[];
    get fdRanges(): readonly FdRange[];
    get queuedFds(): number;
    get queuedBytes(): number;
    get offset(): number;
    close(): void;
    [Symbol.dispose](): void;
    [Symbol.asyncDispose](): Promise<void>;
}

export interface FdReaderOptions {
    maxFds?: number | undefined;
    maxQueuedFds?: number | undefined;
    maxQueuedBytes?: number | undefined;
}

export interface Frame extends Disposable {
    readonly messageId: bigint;
    readonly payload: Buffer;
    readonly fds: OwnedFd[];
}

export interface GeneratedControl {
    readonly control: Uint8Array;
    readonly messages: readonly ControlMessage[];
    readonly kind: "canonical" | "hostile";
}

export interface GeneratorOptions {
    seed?: number | undefined;
    kind?: "canonical" | "hostile" | undefined;
}

export interface KernelOptions {
    seed?: number | undefined;
    bufferBytes?: number | undefined;
    bufferMessages?: number | undefined;
    files?: number | undefined;
}

export interface ListenFd {
    readonly fd: OwnedFd;
    readonly name: string;
}

export interface ListenFdsOptions {
    unset?: boolean | undefined;
}

export interface ListenOptions extends PlatformOptions {
    type?: "stream" | "seqpacket" | undefined;
    backlog?: number | undefined;
    mode?: number | undefined;
}

export interface MessageOptions extends PlatformOptions {
    wait?: boolean | undefined;
    timeout?: number | undefined;
    flags?: number | undefined;
    address?: string | undefined;
}

export declare abstract class MessageSocket extends Endpoint {
    protected readonly wire: {
        -readonly [name in keyof Source]: Source[name];
    } & SendTarget;
    protected constructor(platform: Platform, fd: number, type: SocketType, passesPidfd: boolean);
    sendFds(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<number>;
    sendFdsSync(data: Payload, fds?: readonly AsFd[], options?: Pick<WaitOptions, "timeout">): number;
    trySendFds(data: Payload, fds?: readonly AsFd[]): number | null;
    recvFds(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds>;
    recvFdsSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds;
    tryRecvFds(maxFds: number, options?: RecvOptions): ReceivedFds | null;
    recvFdsInto(into: Uint8Array | readonly Uint8Array[], maxFds: number, options?: RecvIntoOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFdsInto>;
    recvFdsIntoSync(into: Uint8Array | readonly Uint8Array[], maxFds: number, options?: RecvIntoOptions & Pick<WaitOptions, "timeout">): ReceivedFdsInto;
    recvFdsExact(count: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFds>;
    recvFdsExactSync(count: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFds;
    messages(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): AsyncIterableIterator<ReceivedFds, undefined>;
    shutdown(how?: "read" | "write" | "both"): void;
    setPassCredentials(on: boolean): void;
    setPassPidfd(on: boolean): void;
    setPassSecurity(on: boolean): void;
    protected get received(): number;
    protected checkReceives(): void;
    protected sendOperation(data: Payload, fds: readonly AsFd[] | undefined, to?: Uint8Array): Operation<number>;
    protected receiveOperation(maxFds: number, exactly: number, options: RecvOptions | undefined, known: Checks, wantAddress?: boolean): Operation<ReceivedFds>;
}

export interface MsghdrLayout {
    readonly bytes: number;
    readonly iovlenOffset: number;
    readonly iovlenBytes: 4 | 8;
    readonly controlOffset: number;
    readonly controllenOffset: number;
    readonly controllenBytes: 4 | 8;
    readonly flagsOffset: number;
}

export declare const OUTCOMES: readonly ["ok", "ancillary-truncated", "malformed", "data-truncated", "fd-count"];

export declare class OpenFile {
    readonly kind: "file" | "socket" | "pidfd";
    readonly name: string;
    nonblocking: boolean;
    references: number;
    constructor(kind: OpenFile["kind"], name: string);
    released(): void;
}

export declare abstract class Operation<T> {
    next: Operation<unknown> | null;
    resolve?(value: T): void;
    reject?(error: unknown): void;
    unlisten: (() => void) | null;
    attempting: boolean;
    outcome: {
        value: T;
    } | {
        error: unknown;
    } | null;
    abstract get syscall(): string;
    retryAfter: number;
    abstract attempt(): T | typeof WAIT;
    withdrawn(reason: unknown): unknown;
    failed(error: Error): Error;
}

export declare class OwnedFd implements Disposable {
    private constructor();
    static fromRaw(fd: number): OwnedFd;
    static from(fd: AsFd): OwnedFd;
    get fd(): number;
    get closed(): boolean;
    close(): void;
    release(): number;
    dup(): OwnedFd;
    describe(): FdDescription;
    [Symbol.dispose](): void;
}

export type Payload = string | Uint8Array | readonly Uint8Array[];

export interface PeerCredentialsLayout {
    readonly level: "SOL_SOCKET" | "SOL_LOCAL";
    readonly option: string;
    readonly pid: number | null;
    readonly uid: number;
    readonly gid: number;
    readonly pidOption: string | null;
}

export type PeerPolicy = {
    readonly uid?: number | undefined;
    readonly gid?: number | undefined;
    readonly pid?: number | undefined;
} | ((credentials: Credentials) => boolean);

export declare class Platform {
    readonly abi: Abi;
    readonly core: Core;
    readonly system: System;
    readonly sendFlags: number;
    readonly receiveFlags: number;
    readonly needsCloexec: boolean;
    readonly receiveCapacity: number;
    readonly constants: Constants;
    readonly receiveBuffer: ReceiveBuffer;
    constructor(system: System, abi: Abi);
}

export interface PlatformOptions {
    platform?: Platform | undefined;
}

export interface ProcessOptions {
    descriptors?: number | undefined;
    uid?: number | undefined;
    gid?: number | undefined;
}

type ReadOptions = Pick<WaitOptions, "signal">;

export declare class ReceiveBuffer {
    buffer: Buffer;
    offset: number;
    prepare(size: number): void;
    take(bytes: number): Buffer;
}

export interface ReceiveVerdict {
    readonly keep: number[];
    readonly close: number[];
    readonly pidfd: number | null;
    readonly credentials: Credentials | null;
    readonly outcome: (typeof OUTCOMES)[number];
}

export interface ReceivedFds extends Ancillary {
    readonly data: Buffer;
}

export interface ReceivedFdsInto extends Ancillary {
    readonly bytesRead: number;
}

export interface ReceivedFrom extends ReceivedFds {
    readonly address: string | null;
}

export type RecvIntoOptions = Pick<RecvOptions, "allowTruncated">;

export interface RecvOptions {
    bufferSize?: number | undefined;
    allowTruncated?: boolean | undefined;
}

export interface RecvResult {
    readonly bytesRead: number;
    readonly ancillaryTruncated: boolean;
    readonly dataTruncated: boolean;
    readonly address: string | null;
}

export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write" | "exec";

export interface Segment {
    readonly bytes: Uint8Array;
    taken: number;
    rights: OpenFile[][] | null;
    credentialsAt: number | null;
    readonly sender: Sender | null;
    readonly owner: Sender;
    readonly from: Socket;
}

export interface SendProgress {
    readonly bytesSent: number;
    readonly fdsSent: boolean;
}

export interface SendTarget {
    readonly platform: Platform;
    readonly type: SocketType;
    readonly socket: {
        turn(): number;
    };
    readonly to: Uint8Array | null;
}

export interface Sender {
    readonly pid: number;
    readonly uid: number;
    readonly gid: number;
}

type SignalOption = Pick<WaitOptions, "signal">;

export declare class Socket extends OpenFile {
    readonly type: SocketType;
    readonly owner: Sender;
    peer: Socket | null;
    peerOwner: Sender | null;
    lastPeerPath: Uint8Array | null;
    readonly queue: Segment[];
    backlog: Socket[] | null;
    backlogLimit: number;
    path: Uint8Array | null;
    shutRead: boolean;
    shutWrite: boolean;
    error: number;
    readonly options: Map<number, number>;
    constructor(type: SocketType, owner: Sender, unbind: (socket: Socket) => void);
    get queuedBytes(): number;
    get ended(): boolean;
    connect(peer: Socket): void;
    shut(read: boolean, write: boolean): void;
    released(): void;
    resetError: number;
    resetsUnread: boolean;
    peerNotAccepted: boolean;
}

export declare class SocketAncillary implements Disposable {
    constructor(capacity: number | Uint8Array, options?: PlatformOptions);
    static bufferSizeForRights(fds: number): number;
    static bufferSizeForCredentials(): number;
    get capacity(): number;
    get length(): number;
    get truncated(): boolean;
    addFds(fds: readonly AsFd[]): void;
    addCredentials(credentials: Credentials): void;
    addMessage(message: ControlMessage): void;
    messages(): IterableIterator<AncillaryData, undefined>;
    clear(): void;
    [Symbol.dispose](): void;
}

export interface SocketDescription {
    readonly family: "unix" | "inet" | "inet6" | "other";
    readonly type: "stream" | "dgram" | "seqpacket" | "other";
    readonly listening: boolean;
    readonly address: string | {
        readonly address: string;
        readonly port: number;
    } | null;
}

export type SocketType = "stream" | "dgram" | "seqpacket";

export interface Source {
    readonly platform: Platform;
    readonly fd: number;
    readonly type: "stream" | "dgram" | "seqpacket";
    received: number;
    readonly passesPidfd: boolean;
}

export interface Spawned {
    readonly child: ChildProcess;
    readonly channel: FdChannel;
}

export interface System {
    readonly constants: Constants;
    readonly out: Int32Array;
    readonly address: Uint8Array;
    bindControl(memory: ArrayBuffer, offset: number, capacity: number): void;
    sendmsg(fd: number, payload: Uint8Array | readonly Uint8Array[], offset: number, length: number, controlLength: number, flags: number, to: Uint8Array | null): number;
    recvmsg(fd: number, payload: Uint8Array | readonly Uint8Array[], offset: number, length: number, controlCapacity: number, flags: number, wantAddress: boolean): number;
    own(fd: number): void;
    disown(fd: number): void;
    close(fd: number): number;
    closeAll(fds: ArrayLike<number>, from: number, to: number): number;
    cloexecAll(fds: ArrayLike<number>, from: number, to: number): number;
    fcntl(fd: number, command: number, argument: number): number;
    dup(fd: number): number;
    fstat(fd: number, into: BigUint64Array): number;
    fdLink(fd: number): string | null;
    socketpair(type: number, pair: Int32Array): number;
    socket(type: number): number;
    connect(fd: number, to: Uint8Array): number;
    bind(fd: number, path: Uint8Array): number;
    lstat(path: string, into: BigUint64Array): number;
    unlink(path: string): number;
    rename(from: string, to: string): number;
    link(from: string, to: string): number;
    chmod(path: string, mode: number): number;
    listen(fd: number, backlog: number): number;
    accept(fd: number): number;
    shutdown(fd: number, how: number): number;
    getsockname(fd: number): number;
    getpeername(fd: number): number;
    getsockopt(fd: number, level: number, name: number, into: Uint8Array): number;
    setsockopt(fd: number, level: number, name: number, value: number): number;
    poll(fd: number, events: number, timeout: number): number;
    watch(fd: number, watched: Watched): number;
    arm(watcher: number, events: number): void;
    keepAlive(on: boolean): void;
    unwatch(watcher: number): void;
    now(): number;
    timer(milliseconds: number, fired: () => void): Timer;
}

export interface SystemError extends Error {
    readonly code: string;
    readonly errno: number;
    readonly syscall: string;
}

export interface Timer {
    keepAlive(on: boolean): void;
    close(): void;
}

export interface Timestamp {
    readonly seconds: bigint;
    readonly nanoseconds: number;
}

export interface TimestampLayout {
    readonly type: number;
    readonly name: string;
    readonly unit: "microseconds" | "nanoseconds" | "bintime";
    readonly times: number;
    readonly bytes: number;
    readonly secondsBytes: 4 | 8;
    readonly fractionOffset: number;
    readonly fractionBytes: 4 | 8;
}

export type TruncationReason = "control-space" | "descriptor-limit" | "denied";

export declare class UnixDatagram extends MessageSocket {
    private constructor();
    static pair(options?: PlatformOptions): [UnixDatagram, UnixDatagram];
    static bind(path: string, options?: PlatformOptions): UnixDatagram;
    static unbound(options?: PlatformOptions): UnixDatagram;
    static from(source: OwnedFd): UnixDatagram;
    connect(path: string): void;
    sendFdsTo(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "signal">): Promise<number>;
    sendFdsToSync(data: Payload, fds: readonly AsFd[], path: string, options?: Pick<WaitOptions, "timeout">): number;
    recvFdsFrom(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "signal">): Promise<ReceivedFrom>;
    recvFdsFromSync(maxFds: number, options?: RecvOptions & Pick<WaitOptions, "timeout">): ReceivedFrom;
    close(): void;
}

export declare class UnixListener<S extends UnixStream | UnixSeqpacket = UnixStream> extends Endpoint implements AsyncIterable<S> {
    private constructor();
    static bind(path: string, options: ListenOptions & {
        type: "seqpacket";
    }): UnixListener<UnixSeqpacket>;
    static bind(path: string, options?: ListenOptions): UnixListener<UnixStream>;
    static from<S extends UnixStream | UnixSeqpacket = UnixStream>(source: OwnedFd | Server): UnixListener<S>;
    accept(options?: Pick<WaitOptions, "signal">): Promise<S>;
    acceptSync(options?: Pick<WaitOptions, "timeout">): S;
    [Symbol.asyncIterator](): AsyncGenerator<S, void, undefined>;
    setPassCredentials(on: boolean): void;
    setPassPidfd(on: boolean): void;
    setPassSecurity(on: boolean): void;
    close(): void;
}

export declare class UnixSeqpacket extends ConnectedSocket {
    private constructor();
    static pair(options?: PlatformOptions): [UnixSeqpacket, UnixSeqpacket];
    static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixSeqpacket>;
    static connectSync(path: string, options?: PlatformOptions): UnixSeqpacket;
    static from(source: OwnedFd | Socket): UnixSeqpacket;
}

export declare class UnixStream extends ConnectedSocket {
    private constructor();
    static pair(options?: PlatformOptions): [UnixStream, UnixStream];
    static connect(path: string, options?: ConnectOptions & PlatformOptions): Promise<UnixStream>;
    static connectSync(path: string, options?: PlatformOptions): UnixStream;
    static from(source: OwnedFd | Socket): UnixStream;
    toSocket(options?: Omit<SocketConstructorOpts, "fd" | "signal">): Socket;
}

export interface VerdictInput {
    readonly control: Uint8Array;
    readonly flags: number;
    readonly maxFds: number;
    readonly exactly?: number | undefined;
    readonly allowTruncated?: boolean | undefined;
}

export declare class VirtualKernel {
    readonly abi: Abi;
    readonly violations: string[];
    constructor(abi: Abi | AbiName, options?: KernelOptions);
    get fault(): ((call: Call) => Fault | null) | null;
    set fault(fault: ((call: Call) => Fault | null) | null);
    get whileWaiting(): (() => boolean) | null;
    set whileWaiting(act: (() => boolean) | null);
    process(options?: ProcessOptions): VirtualProcess;
    get calls(): number;
    get now(): number;
    reset(seed: number): void;
    idle(): Promise<void>;
    advance(milliseconds: number): Promise<void>;
    check(options?: {
        open?: ReadonlyMap<VirtualProcess, readonly number[]> | undefined;
    }): void;
}

export declare class VirtualProcess {
    readonly kernel: VirtualKernel;
    readonly platform: Platform;
    get pid(): number;
    get uid(): number;
    get gid(): number;
    get alive(): boolean;
    open(name: string): OwnedFd;
    get descriptors(): ReadonlyMap<number, string>;
    nameOf(fd: number): string | null;
    kill(): void;
}

export declare const WAIT: unique symbol;

export interface WaitOptions {
    signal?: AbortSignal | undefined;
    timeout?: number | undefined;
}

export interface Watched {
    ready(events: number): void;
}

export declare const abis: Readonly<Record<AbiName, Abi>>;

export declare function controlBuffers(abi: Abi | AbiName, options?: GeneratorOptions): Generator<GeneratedControl, never, undefined>;

export declare function hostAbiName(platform: string, arch: string, libc: "glibc" | "musl" | null): AbiName | null;

export declare function inspect(abi: Abi | AbiName, control: Uint8Array): string;

export declare function listenFds(options?: ListenFdsOptions): ListenFd[];

export declare function notify(state: string | Record<string, string>, fds?: readonly AsFd[]): Promise<boolean>;

export declare function notifyBarrier(options?: {
    timeout?: number | undefined;
}): Promise<void>;

export declare function provideCoreModule(module: WebAssembly.Module): void;

export declare function recvmsg(socket: AsFd, iov: Uint8Array | readonly Uint8Array[], ancillary?: SocketAncillary | null, options?: MessageOptions): RecvResult;

export declare function sendmsg(socket: AsFd, iov: Payload, ancillary?: SocketAncillary | null, options?: MessageOptions): number;

export declare function spawn(command: string, args?: readonly string[], options?: ChannelSpawnOptions): Spawned;

export declare function spawn(command: string, options?: ChannelSpawnOptions): Spawned;
