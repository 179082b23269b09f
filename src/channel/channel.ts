/** Frames with descriptors attached, over a stream or seqpacket socket: bounded, ordered, with a policy for the peer. */

import { byteLengthOf, isUint8Array, plainView } from "../core/bytes.ts";
import {
  AncillaryError,
  type Checks,
  integer,
  outOfRange,
  readOptions,
  wrongOwner,
  wrongType,
} from "../core/errors.ts";
import { type AsFd, checkNumbers, copyFds, readNumbers } from "../fd/as-fd.ts";
import { OwnedFd } from "../fd/owned-fd.ts";
import { type Credentials, isUnmapped } from "../message/credentials.ts";
import { isReason, onAbort } from "../socket/aborts.ts";
import { SIGNAL, type WaitOptions } from "../socket/endpoint.ts";
import type { FdReader } from "../socket/fd-reader.ts";
import { abortedHalfWay, type SendProgress } from "../socket/send-all.ts";
import { UnixSeqpacket } from "../socket/seqpacket.ts";
import { UnixStream } from "../socket/stream.ts";
import { Turns } from "../socket/turns.ts";
import { isMainThread, signals } from "../system/builtins.ts";
import { errnoError } from "../system/errno.ts";
import { hostPlatform, PLATFORM, type Platform } from "../system/platform.ts";
import { FILE_STATUS, type Timer } from "../system/system.ts";
import { ChannelError } from "./errors.ts";
import {
  checkLimits,
  type Frame,
  HEADER_BYTES,
  type Header,
  MAX_FDS,
  MAX_PAYLOAD,
  RECORD_BYTES,
  ReceivedFrame,
  readHeader,
  writeHeader,
} from "./frame.ts";

/**
 * The accepted peers: those with these numbers, of which at least one is given; or those for which the function returns `true`
 * (not a promise).
 */
export type PeerPolicy =
  | { readonly uid?: number | undefined; readonly gid?: number | undefined; readonly pid?: number | undefined }
  | ((credentials: Credentials) => boolean);

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
  /** For `pair`: the platform of the sockets, such as a virtual kernel in tests. */
  platform?: Platform | undefined;
}

const POLICY: Checks = {
  uid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  gid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  pid: (name, value) => void integer(name, value, 1, 0x7fffffff),
};

/** Checks for the options of every function that creates a channel. */
const CHANNEL: Checks = {
  maxPayload: (name, value) => void integer(name, value, 0, MAX_PAYLOAD),
  maxFds: (name, value) => void integer(name, value, 0, MAX_FDS),
  frameTimeout(name, value) {
    if (typeof value !== "number") throw wrongType(name, "a number of milliseconds", value);
    if (!(value >= 0)) throw outOfRange(name, "at least 0 milliseconds", value);
  },
  peer(name, value) {
    if (typeof value !== "function" && (typeof value !== "object" || value === null))
      throw wrongType(name, "an object of uid, gid and pid, or a function", value);
  },
  ...PLATFORM,
};

/** Reads the options of every function that creates a channel, those of the policy too, once each. */
export function readChannelOptions(given: ChannelOptions | undefined): ChannelOptions {
  const options = readOptions("options", given, CHANNEL);
  const { peer } = options;
  if (typeof peer !== "object") return options;
  const policy = readOptions("options.peer", peer, POLICY);
  // A policy whose numbers are all undefined is a mistake, and must not accept every peer.
  if (Object.keys(policy).length === 0)
    throw outOfRange(
      "options.peer",
      `at least one of ${Object.keys(POLICY).join(", ")}`,
      peer,
      "ERR_INVALID_ARG_VALUE",
    );
  return { ...options, peer: policy };
}

/** The environment variables with the number of the child's end, and with the socket that must be there: see {@link identityOf}. */
export const CHANNEL_VARIABLES = ["UNIX_ANCILLARY_CHANNEL_FD", "UNIX_ANCILLARY_CHANNEL_SOCKET"] as const;

/**
 * Device and inode of a descriptor's file. A child that takes no channel passes the variables on to programs of its own, and they
 * have another file at that number.
 */
export function identityOf({ system }: Platform, fd: number): string {
  const status = new BigUint64Array(FILE_STATUS.LENGTH);
  const result = system.fstat(fd, status);
  if (result < 0) throw errnoError(result, "fstat");
  return `${status[FILE_STATUS.DEVICE]}:${status[FILE_STATUS.INODE]}`;
}

const DEFAULT_PAYLOAD = 16 * 1024 * 1024;

/** Creates a channel with the credentials of the peer, where the socket cannot report them. */
export let channelOver: (
  socket: UnixStream | UnixSeqpacket,
  options: ChannelOptions | undefined,
  peer: Credentials | null,
) => FdChannel;

/**
 * A channel of frames. Each frame has a payload and descriptors, and arrives in order, exactly once.
 *
 * A frame that is sent in part, or received in part when the peer ends or breaks the protocol, poisons that direction: no frame
 * can follow it. Frames wait in the kernel until they are received.
 */
export class FdChannel implements Disposable, AsyncDisposable, AsyncIterable<Frame> {
  /** The credentials of the peer, as the kernel recorded them; null if the system does not report them. */
  readonly peer: Credentials | null;
  readonly #socket: UnixStream | UnixSeqpacket;
  readonly #reader: FdReader;
  readonly #maxPayload: number;
  readonly #maxFds: number;
  readonly #frameTimeout: number;
  readonly #most: number;
  readonly #records: boolean;
  readonly #sends: Turns = new Turns();
  readonly #receives: Turns = new Turns();
  /** The most bytes of a frame in one record, as found so far. */
  #recordBytes = RECORD_BYTES;
  #nextId = 1n;
  #sendPoison: unknown = null;
  /** The frame that is being received: whether it has begun, its header, and its deadline. */
  #begun = false;
  #header: Header | null = null;
  #deadline = Infinity;
  #receivePoison: unknown = null;
  #closed = false;

  private constructor(
    socket: UnixStream | UnixSeqpacket,
    options: ChannelOptions | undefined,
    peer: Credentials | null,
  ) {
    this.#socket = socket;
    this.peer = peer;
    this.#most = socket.platform.abi.maxFdsPerMessage;
    this.#records = socket instanceof UnixSeqpacket;
    this.#maxPayload = options?.maxPayload ?? DEFAULT_PAYLOAD;
    this.#maxFds = options?.maxFds ?? this.#most;
    this.#frameTimeout = options?.frameTimeout ?? Infinity;
    // After a whole frame, the descriptors of the next frame's first message may have arrived as well.
    this.#reader = socket.reader({ maxQueuedFds: this.#maxFds + this.#most });
    // Between the messages of a frame the socket has nothing to do.
    this.#reader.usedBy(() => this.#sends.idle && this.#receives.idle && !this.#begun);
  }

  static {
    channelOver = (socket, options, peer) => new FdChannel(socket, options, peer);
  }

  /** Two channels connected to each other. */
  static pair(given?: ChannelOptions): [FdChannel, FdChannel] {
    const options = readChannelOptions(given);
    const [a, b] = UnixStream.pair({ platform: options.platform });
    try {
      return [FdChannel.over(a, options), FdChannel.over(b, options)];
    } catch (error) {
      a.close();
      b.close();
      throw error;
    }
  }

  /**
   * A channel over a connected socket, which the channel owns from then on.
   *
   * @throws ChannelError `ERR_CHANNEL_PEER_REJECTED` when the policy rejects the peer; the socket is then closed.
   *   AncillaryError `ERR_SOCKET_CLOSED`, `ERR_SOCKET_BUSY`
   */
  static over(socket: UnixStream | UnixSeqpacket, given?: ChannelOptions): FdChannel {
    const options = readChannelOptions(given);
    if (!(socket instanceof UnixStream || socket instanceof UnixSeqpacket))
      throw wrongOwner("socket", "a UnixStream or a UnixSeqpacket", socket);
    if (socket.closed) throw new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
    let peer: Credentials | null = null;
    let cause: unknown;
    try {
      peer = socket.peerCredentials();
    } catch (error) {
      cause = error;
    }
    checkPeer(socket, options.peer, namesGroup(socket.platform, options.peer, peer) ? peer : null, cause);
    return new FdChannel(socket, options, peer);
  }

  /**
   * In a child process started by {@link spawn}, on its main thread: the channel to its parent. It can be taken once;
   * processes that the child starts afterwards do not inherit it. The variables are removed from the environment.
   *
   * @throws ChannelError `ERR_NO_PARENT` anywhere else, `ERR_CHANNEL_PEER_REJECTED`
   */
  static fromParent(given?: ChannelOptions): FdChannel {
    const options = readChannelOptions(given);
    // A worker has a copy of the environment: two threads would own one descriptor.
    if (!isMainThread()) throw new ChannelError("ERR_NO_PARENT", "expected the main thread, got a worker thread");
    const [number, identity] = CHANNEL_VARIABLES.map((name) => {
      const value = process.env[name];
      delete process.env[name];
      return value;
    });
    const platform = hostPlatform();
    if (number === undefined || !/^\d{1,9}$/.test(number))
      throw new ChannelError(
        "ERR_NO_PARENT",
        `expected a process started by spawn(), but ${CHANNEL_VARIABLES[0]} is ${number ?? "not set"}`,
      );
    let owned: OwnedFd | null = null;
    let socket: UnixStream;
    try {
      const found = identityOf(platform, Number(number));
      if (found !== identity)
        throw new Error(
          `the variables are of another process: they name file ${identity ?? "none"}, there is ${found}`,
        );
      owned = OwnedFd.fromRaw(Number(number));
      socket = UnixStream.from(owned);
    } catch (cause) {
      // Another part of the program owns this descriptor.
      owned?.release();
      throw new ChannelError("ERR_NO_PARENT", `expected a connected socket at descriptor ${number}`, { cause });
    }
    // Inherited descriptors are not CLOEXEC.
    const { system, constants } = socket.platform;
    const result = system.fcntl(socket.fd, constants.F_SETFD!, constants.FD_CLOEXEC!);
    if (result < 0) {
      socket.close();
      throw errnoError(result, "fcntl");
    }
    return FdChannel.over(socket, options);
  }

  /**
   * Sends a frame, after the frames sent before it. The promise is fulfilled with the id of the frame when the kernel has taken
   * all of it. This is the back-pressure: the channel does not limit how many frames wait. Until then the payload must not
   * change; the descriptors stay the caller's, and must stay open.
   *
   * @throws ChannelError `ERR_CHANNEL_PAYLOAD_TOO_LARGE`, `ERR_CHANNEL_TOO_MANY_FDS`, with nothing sent;
   *   `ERR_CHANNEL_POISONED` after a frame that was sent in part; `ERR_CHANNEL_CLOSED`. AncillaryError `ERR_FD_CLOSED`.
   *   SystemError `EPIPE` ... The error of a frame that was sent in part has its progress ({@link SendProgress})
   */
  send(payload: string | Uint8Array, fds?: readonly AsFd[], options?: Pick<WaitOptions, "signal">): Promise<bigint> {
    try {
      const { signal } = readOptions("options", options, SIGNAL);
      if (typeof payload !== "string" && !isUint8Array(payload))
        throw wrongType("payload", "a string or a Uint8Array", payload);
      const bytes = typeof payload === "string" ? Buffer.from(payload) : plainView(payload);
      const length = byteLengthOf(bytes);
      const descriptors = fds === undefined ? [] : copyFds(fds);
      checkLimits({ fds: descriptors.length, payload: length }, this.#limits);
      if (descriptors.length > this.#most * (HEADER_BYTES + length)) {
        const text = `expected at most ${this.#most} descriptors for each byte of the frame, got ${descriptors.length}`;
        throw new ChannelError("ERR_CHANNEL_TOO_MANY_FDS", text);
      }
      // Rejects bad descriptors now. They are read again when the frame is sent.
      const { platform } = this.#socket;
      checkNumbers(platform, descriptors, readNumbers(platform, descriptors));
      this.#throwIfUnusable(this.#sendPoison);
      return this.#sends.take(() => this.#transmit(bytes, length, descriptors, signal), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The next frame; null when the peer has finished between frames. An abort within a frame loses nothing: the next call
   * continues with the same frame.
   *
   * @throws ChannelError when the peer breaks the protocol, `ERR_CHANNEL_TIMEOUT`, `ERR_CHANNEL_UNEXPECTED_EOF`: later calls
   *   fail with `ERR_CHANNEL_POISONED`; `ERR_CHANNEL_CLOSED`. SystemError `ECONNRESET` ..., AncillaryError
   *   `ERR_ANCILLARY_TRUNCATED` when the descriptor table is full: these end the connection
   */
  recv(options?: Pick<WaitOptions, "signal">): Promise<Frame | null> {
    let signal: AbortSignal | undefined;
    try {
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#receives.take(() => this.#receive(signal), signal);
  }

  /** Yields the frames until the peer finishes. Leaving the loop does not close the channel. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined> {
    for (let frame = await this.recv(); frame !== null; frame = await this.recv()) yield frame;
  }

  /** True after {@link close}. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Waiting calls keep the process alive (the default). */
  ref(): this {
    if (!this.#socket.closed) this.#socket.ref();
    return this;
  }

  /** Waiting calls do not keep the process alive. */
  unref(): this {
    if (!this.#socket.closed) this.#socket.unref();
    return this;
  }

  /**
   * Closes the channel and every descriptor that has not been delivered. Waiting calls fail with `ERR_CHANNEL_CLOSED`. Closing
   * again has no effect.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#header = null;
    // Closes the socket: the current send fails, then the queued ones.
    this.#reader.close();
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  get #limits(): { maxFds: number; maxPayload: number } {
    return { maxFds: this.#maxFds, maxPayload: this.#maxPayload };
  }

  #throwIfUnusable(poison: unknown): void {
    if (this.#closed) throw closedError();
    if (poison !== null) {
      const text = "an earlier frame was sent or received in part: no frame can follow it";
      throw new ChannelError("ERR_CHANNEL_POISONED", text, { cause: poison });
    }
    // The socket was closed by its earlier owner, or by a failed receive.
    if (this.#socket.closed) throw closedError(this.#receivePoison);
  }

  /** Sends a frame in as many messages as its descriptors need, and on a seqpacket socket its bytes. */
  async #transmit(
    payload: Uint8Array,
    length: number,
    fds: readonly AsFd[],
    signal: AbortSignal | undefined,
  ): Promise<bigint> {
    const id = this.#nextId;
    const header = writeHeader({ fds: fds.length, payload: length, messageId: id });
    const whole = HEADER_BYTES + length;
    let bytesSent = 0;
    let fdsSent = 0;
    try {
      this.#throwIfUnusable(this.#sendPoison);
      while (bytesSent < whole) {
        const batch = fds.slice(fdsSent, fdsSent + this.#most);
        // A message sends one byte while descriptors remain: the next descriptors go with the next byte.
        const most = fdsSent + batch.length < fds.length ? 1 : whole - bytesSent;
        const bytes = byteLengthOf(payload);
        if (bytes < length) throw outOfRange("payload", `the same ${length} bytes as at the call`, `${bytes} bytes`);
        const piece = (bytes: number) => slice(header, payload, bytesSent, bytesSent + bytes);
        if (this.#records) bytesSent += await this.#sendRecord(piece, most, batch, signal);
        else {
          await this.#socket.sendFdsAll(piece(most), batch, { signal });
          bytesSent += most;
        }
        fdsSent += batch.length;
      }
    } catch (error) {
      const aborted = isReason(error, signal);
      // An abort reason is the caller's value: a `bytesSent` in it does not count this frame.
      bytesSent += aborted ? 0 : ((error as Partial<SendProgress>).bytesSent ?? 0);
      if (bytesSent === 0) throw aborted ? error : asChannelError(error);
      const failure = aborted ? abortedHalfWay(error) : asChannelError(error);
      this.#sendPoison = Object.assign(failure as Error, { bytesSent, fdsSent: fds.length > 0 });
      throw failure;
    }
    this.#nextId++;
    return id;
  }

  /** Sends one record of at most `most` bytes, or fewer if the system refuses a record of that size; returns its bytes. */
  async #sendRecord(
    piece: (bytes: number) => Uint8Array | Uint8Array[],
    most: number,
    fds: readonly AsFd[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    for (let bytes = Math.min(most, this.#recordBytes); ; bytes = Math.ceil(bytes / 2)) {
      try {
        await this.#socket.sendFdsAll(piece(bytes), fds, { signal });
        if (bytes < Math.min(most, this.#recordBytes)) this.#recordBytes = bytes;
        return bytes;
      } catch (error) {
        // The limit is the size of the socket's buffer: 8 KiB on the BSDs, SO_SNDBUF on Linux.
        if (bytes === 1 || (error as Partial<NodeJS.ErrnoException> | null)?.code !== "EMSGSIZE") throw error;
      }
    }
  }

  async #receive(signal: AbortSignal | undefined): Promise<Frame | null> {
    const turn = this.#reader.turn();
    if (turn !== null) await turn;
    this.#throwIfUnusable(this.#receivePoison);
    try {
      if (!this.#begun) {
        if (this.#reader.queuedBytes === 0 && (await this.#reader.ended({ signal }))) {
          this.#checkFds(0, this.#reader.offset);
          return null;
        }
        this.#begun = true;
        this.#deadline = this.#socket.platform.system.now() + this.#frameTimeout;
      }
      return await this.#frameInTime(signal);
    } catch (error) {
      if (this.#closed) throw closedError();
      if (isReason(error, signal)) throw error;
      const failure = asChannelError(error);
      if (failure instanceof ChannelError && failure.code === "ERR_CHANNEL_CLOSED") throw failure;
      this.#receivePoison = failure;
      this.#header = null;
      // The descriptors of the bad frame, and of everything after it, will not be delivered: close them.
      this.#reader.discard();
      throw failure;
    }
  }

  /** The rest of a frame that has begun, before its deadline. */
  async #frameInTime(signal: AbortSignal | undefined): Promise<Frame> {
    if (this.#deadline === Infinity) return this.#frame(signal);
    const deadline = new Deadline(this.#socket.platform, this.#deadline, signal);
    try {
      return await this.#frame(deadline.signal);
    } finally {
      deadline.close();
    }
  }

  async #frame(signal: AbortSignal | undefined): Promise<Frame> {
    this.#header ??= readHeader(await this.#read(HEADER_BYTES, signal), this.#limits);
    const { fds, messageId, payload } = this.#header;
    const bytes = await this.#read(payload, signal);
    const frame = new ReceivedFrame(messageId, bytes, this.#checkFds(fds, this.#reader.offset));
    this.#header = null;
    this.#begun = false;
    return frame;
  }

  #read(bytes: number, signal: AbortSignal | undefined): Buffer | Promise<Buffer> {
    return this.#reader.readNow(bytes) ?? this.#reader.read(bytes, signal === undefined ? {} : { signal });
  }

  /**
   * The descriptors of a frame that ends at offset `end`. They must have arrived with the frame's own bytes: no descriptor that
   * arrived before `end` may be left, and none of the next frame may be taken.
   */
  #checkFds(count: number, end: number): OwnedFd[] {
    let own = 0;
    for (const { from, to, count: batch } of this.#reader.fdRanges) {
      if (from === to)
        throw new ChannelError(
          "ERR_CHANNEL_FD_COUNT",
          `expected descriptors with bytes of a frame, got ${batch} without bytes`,
        );
      const carrier = this.#socket.platform.abi.rightsCarrier === "last" ? to - 1 : from;
      if (carrier < end) own += batch;
    }
    if (own !== count) {
      const text = `expected the ${count} descriptors that the header announces, got ${own} with the bytes of the frame`;
      throw new ChannelError("ERR_CHANNEL_FD_COUNT", text);
    }
    return this.#reader.takeFds(count);
  }
}

/** A signal that is aborted at a deadline, or by another signal. */
class Deadline {
  readonly signal: AbortSignal;
  readonly #timer: Timer;
  readonly #unlisten: (() => void) | undefined;

  constructor({ system }: Platform, deadline: number, outer: AbortSignal | undefined) {
    const controller = new AbortController();
    this.signal = controller.signal;
    if (outer !== undefined) {
      const forward = () => controller.abort(signals.reason(outer));
      this.#unlisten = onAbort(outer, forward);
      // The outer signal may have been aborted before the listener was added.
      if (signals.aborted(outer)) forward();
    }
    // At least 1 ms: data that have already arrived are read before the deadline is checked.
    const left = Math.min(Math.max(deadline - system.now(), 1), 0x7fffffff);
    this.#timer = system.timer(left, () =>
      controller.abort(new ChannelError("ERR_CHANNEL_TIMEOUT", "the frame was not complete in time")),
    );
    // Only the receive decides whether the process stays alive.
    this.#timer.keepAlive(false);
  }

  close(): void {
    this.#timer.close();
    this.#unlisten?.();
  }
}

/** Applies a policy. @throws ChannelError `ERR_CHANNEL_PEER_REJECTED`, after closing the socket */
export function checkPeer(
  socket: { close(): void },
  policy: PeerPolicy | undefined,
  peer: Credentials | null,
  cause?: unknown,
): void {
  if (policy === undefined) return;
  let allowed: boolean;
  try {
    allowed = peer !== null && isAllowed(policy, peer);
  } catch (error) {
    socket.close();
    throw error;
  }
  if (allowed) return;
  socket.close();
  const description =
    peer === null
      ? "a peer whose credentials the system does not report"
      : `pid ${peer.pid}, uid ${peer.uid}, gid ${peer.gid}`;
  throw new ChannelError("ERR_CHANNEL_PEER_REJECTED", `expected a peer that the policy allows, got ${description}`, {
    cause,
  });
}

/** False if the policy asks for a group and the peer's is the one that stands for those that are not mapped here. */
function namesGroup(platform: Platform, policy: PeerPolicy | undefined, peer: Credentials | null): boolean {
  return (
    typeof policy !== "object" || policy.gid === undefined || peer === null || !isUnmapped(platform, "gid", peer.gid)
  );
}

function isAllowed(policy: PeerPolicy, peer: Credentials): boolean {
  if (typeof policy !== "function")
    return (["uid", "gid", "pid"] as const).every((name) => policy[name] === undefined || policy[name] === peer[name]);
  const allowed: unknown = policy(peer);
  // A promise would be truthy.
  if (typeof allowed !== "boolean") throw wrongType("options.peer", "a function that returns a boolean", allowed);
  return allowed;
}

function closedError(cause: unknown = null): ChannelError {
  return new ChannelError("ERR_CHANNEL_CLOSED", "the channel was closed", cause === null ? undefined : { cause });
}

/** An error of the reader as a ChannelError; errors of the system are unchanged. */
function asChannelError(error: unknown): unknown {
  switch ((error as Partial<AncillaryError>).code) {
    case "ERR_UNEXPECTED_EOF":
      return new ChannelError("ERR_CHANNEL_UNEXPECTED_EOF", "the peer finished in the middle of a frame", {
        cause: error,
      });
    case "ERR_TOO_MANY_FDS":
      return new ChannelError("ERR_CHANNEL_TOO_MANY_FDS", (error as Error).message, { cause: error });
    case "ERR_SOCKET_CLOSED":
      return closedError();
    default:
      return error;
  }
}

/** The bytes of a frame from `from` to `to`, not copied. */
function slice(header: Uint8Array, payload: Uint8Array, from: number, to: number): Uint8Array | Uint8Array[] {
  const pieces: Uint8Array[] = [];
  if (from < HEADER_BYTES) pieces.push(header.subarray(from, Math.min(to, HEADER_BYTES)));
  if (to > HEADER_BYTES) pieces.push(payload.subarray(Math.max(0, from - HEADER_BYTES), to - HEADER_BYTES));
  return pieces.length === 1 ? pieces[0]! : pieces;
}
