/** Messages with descriptors attached, over a stream or a seqpacket socket: bounded, framed, authenticated. */

import { AncillaryError, type Checks, integer, outOfRange, readOptions, wrongType } from "../core/errors.ts";
import { type AsFd, copyFds, readNumbers } from "../fd/as-fd.ts";
import { OwnedFd } from "../fd/owned-fd.ts";
import type { Credentials } from "../message/credentials.ts";
import { SIGNAL, type WaitOptions } from "../socket/endpoint.ts";
import type { FdReader } from "../socket/fd-reader.ts";
import { abortedHalfWay, type SendProgress } from "../socket/send-all.ts";
import { UnixSeqpacket } from "../socket/seqpacket.ts";
import { UnixStream } from "../socket/stream.ts";
import { Turns } from "../socket/turns.ts";
import { byteLengthOf, isMainThread, isUint8Array } from "../system/builtins.ts";
import { errnoError } from "../system/errno.ts";
import { PLATFORM, type Platform } from "../system/platform.ts";
import type { Timer } from "../system/system.ts";
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

/** Who may be at the other end: these numbers, at least one of them, or whoever the function says `true` to, at once. */
export type PeerPolicy =
  | { readonly uid?: number | undefined; readonly gid?: number | undefined; readonly pid?: number | undefined }
  | ((credentials: Credentials) => boolean);

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

const POLICY: Checks = {
  uid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  gid: (name, value) => void integer(name, value, 0, 0xfffffffe),
  pid: (name, value) => void integer(name, value, 1, 0x7fffffff),
};

/** Checks for the options of everything that makes a channel. */
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

/** Reads the options of everything that makes a channel, the policy's too: each once. */
export function readChannelOptions(given: ChannelOptions | undefined): ChannelOptions {
  const options = readOptions("options", given, CHANNEL);
  const { peer } = options;
  if (typeof peer !== "object") return options;
  const policy = readOptions("options.peer", peer, POLICY);
  // A policy that was meant to name a peer and names none must not let every peer in.
  if (Object.keys(policy).length === 0)
    throw outOfRange(
      "options.peer",
      `at least one of ${Object.keys(POLICY).join(", ")}`,
      peer,
      "ERR_INVALID_ARG_VALUE",
    );
  return { ...options, peer: policy };
}

type SignalOption = Pick<WaitOptions, "signal">;

/** The variable that names the descriptor of a child's end. */
export const PARENT = "UNIX_ANCILLARY_CHANNEL_FD";

const DEFAULT_PAYLOAD = 16 * 1024 * 1024;

/** With what peer a channel is made whose socket does not name it. */
export let channelOver: (
  socket: UnixStream | UnixSeqpacket,
  options: ChannelOptions | undefined,
  peer: Credentials | null,
) => FdChannel;

/**
 * A channel of frames: a payload and descriptors each, in order, once.
 *
 * A frame that is half sent, or half received when the peer ends or breaks the protocol, poisons that direction: nothing goes on
 * behind it. Frames wait in the kernel until they are received.
 */
export class FdChannel implements Disposable, AsyncDisposable, AsyncIterable<Frame> {
  /** Who is at the other end, as the kernel recorded it; null: the system does not tell. */
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
  /** The most of a frame in one record, as far as is known. */
  #recordBytes = RECORD_BYTES;
  #nextId = 1n;
  #sendPoison: unknown = null;
  /** The frame that is being received: its header, where it began, and until when it has to be there. */
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
    // Behind a whole frame those of the next one's first message may have come.
    this.#reader = socket.reader({ maxQueuedFds: this.#maxFds + this.#most });
  }

  static {
    channelOver = (socket, options, peer) => new FdChannel(socket, options, peer);
  }

  /** Two channels connected with each other. */
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
   * A channel over a connected socket, which it owns from then on.
   *
   * @throws ChannelError `ERR_CHANNEL_PEER_REJECTED` when the policy says no; the socket is closed then.
   *   AncillaryError `ERR_SOCKET_CLOSED`, `ERR_SOCKET_BUSY`
   */
  static over(socket: UnixStream | UnixSeqpacket, given?: ChannelOptions): FdChannel {
    const options = readChannelOptions(given);
    if (!(socket instanceof UnixStream || socket instanceof UnixSeqpacket))
      throw wrongType("socket", "a UnixStream or a UnixSeqpacket", socket);
    if (socket.closed) throw new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
    let peer: Credentials | null = null;
    let cause: unknown;
    try {
      peer = socket.peerCredentials();
    } catch (error) {
      cause = error;
    }
    checkPeer(socket, options.peer, peer, cause);
    return new FdChannel(socket, options, peer);
  }

  /**
   * In a child that was started by {@link spawn}, on its main thread: the channel to its parent. It can be taken once;
   * what the child starts afterwards does not inherit it.
   *
   * @throws ChannelError `ERR_NO_PARENT` anywhere else, `ERR_CHANNEL_PEER_REJECTED`
   */
  static fromParent(given?: ChannelOptions): FdChannel {
    const options = readChannelOptions(given);
    // A worker has a copy of the environment: two threads would own one descriptor.
    if (!isMainThread()) throw new ChannelError("ERR_NO_PARENT", "expected the main thread, this is a worker");
    const named = process.env[PARENT];
    delete process.env[PARENT];
    if (named === undefined || !/^\d{1,9}$/.test(named))
      throw new ChannelError(
        "ERR_NO_PARENT",
        `expected a process that spawn() started, ${PARENT} is ${named ?? "not set"}`,
      );
    let owned: OwnedFd | null = null;
    let socket: UnixStream;
    try {
      owned = OwnedFd.fromRaw(Number(named));
      socket = UnixStream.from(owned);
    } catch (cause) {
      // Whatever it is, it is somebody else's.
      owned?.release();
      throw new ChannelError("ERR_NO_PARENT", `expected a connected socket at descriptor ${named}`, { cause });
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
   * Sends a frame, behind those before it; fulfilled with its id when the kernel has taken all of it, which is the
   * back-pressure: how many frames wait is up to the caller. Until then the payload must not be changed; the descriptors
   * stay the caller's, and must stay open.
   *
   * @throws ChannelError `ERR_CHANNEL_PAYLOAD_TOO_LARGE`, `ERR_CHANNEL_TOO_MANY_FDS`, nothing sent;
   *   `ERR_CHANNEL_POISONED` behind a frame that was half sent; `ERR_CHANNEL_CLOSED`. AncillaryError `ERR_FD_CLOSED`.
   *   SystemError `EPIPE` ... The error of a frame that was half sent tells how far it got ({@link SendProgress})
   */
  send(payload: string | Uint8Array, fds?: readonly AsFd[], options?: SignalOption): Promise<bigint> {
    try {
      const { signal } = readOptions("options", options, SIGNAL);
      if (typeof payload !== "string" && !isUint8Array(payload))
        throw wrongType("payload", "a string or a Uint8Array", payload);
      const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
      const length = byteLengthOf(bytes);
      const descriptors = fds === undefined ? [] : copyFds(fds);
      checkLimits({ fds: descriptors.length, payload: length }, this.#limits);
      if (descriptors.length > this.#most * (HEADER_BYTES + length)) {
        const text = `expected at most ${this.#most} descriptors for each byte of the frame, got ${descriptors.length}`;
        throw new ChannelError("ERR_CHANNEL_TOO_MANY_FDS", text);
      }
      // Refused now rather than when its turn comes; they are read again then.
      readNumbers(this.#socket.platform, descriptors);
      this.#throwIfUnusable(this.#sendPoison);
      return this.#sends.take(() => this.#transmit(bytes, length, descriptors, signal), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The next frame; null when the peer has finished between frames. An abort within a frame loses nothing: the next call goes
   * on with it.
   *
   * @throws ChannelError for a peer that breaks the protocol, with `ERR_CHANNEL_POISONED` from then on;
   *   `ERR_CHANNEL_TIMEOUT`, `ERR_CHANNEL_UNEXPECTED_EOF` likewise; `ERR_CHANNEL_CLOSED`. SystemError `ECONNRESET` ...,
   *   AncillaryError `ERR_ANCILLARY_TRUNCATED` when the descriptor table is full: these end the connection
   */
  recv(options?: SignalOption): Promise<Frame | null> {
    let signal: AbortSignal | undefined;
    try {
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#receives.take(() => this.#receive(signal), signal);
  }

  /** The frames until the peer finishes. Leaving the loop leaves the channel open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined> {
    for (let frame = await this.recv(); frame !== null; frame = await this.recv()) yield frame;
  }

  /** True after {@link close}. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Lets what waits keep the process alive (the default). */
  ref(): this {
    if (!this.#socket.closed) this.#socket.ref();
    return this;
  }

  /** Lets the process end although something waits. */
  unref(): this {
    if (!this.#socket.closed) this.#socket.unref();
    return this;
  }

  /**
   * Closes the channel and every descriptor that was not handed out. What waits fails with `ERR_CHANNEL_CLOSED`. Again: nothing
   * happens.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#header = null;
    // Closes the socket: what is being sent fails, and those behind it in their turn.
    this.#reader.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  get #limits(): { maxFds: number; maxPayload: number } {
    return { maxFds: this.#maxFds, maxPayload: this.#maxPayload };
  }

  #throwIfUnusable(poison: unknown): void {
    if (this.#closed) throw closedError();
    if (poison !== null) {
      const text = "a frame before was not sent or received whole: nothing can follow it";
      throw new ChannelError("ERR_CHANNEL_POISONED", text, { cause: poison });
    }
    // By its owner before, or by a failed receive.
    if (this.#socket.closed) throw closedError(this.#receivePoison);
  }

  /** Sends a frame in as many pieces as its descriptors, and on a seqpacket socket its bytes, need. */
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
        const now = fds.slice(fdsSent, fdsSent + this.#most);
        // Whoever has descriptors left sends one byte: the next ones go with the byte behind it.
        const most = fdsSent + now.length < fds.length ? 1 : whole - bytesSent;
        const bytes = byteLengthOf(payload);
        if (bytes < length)
          throw outOfRange("payload", `the ${length} bytes that it had at the call`, `${bytes} bytes`);
        const piece = (bytes: number) => slice(header, payload, bytesSent, bytesSent + bytes);
        if (this.#records) bytesSent += await this.#sendRecord(piece, most, now, signal);
        else {
          await this.#socket.sendFdsAll(piece(most), now, { signal });
          bytesSent += most;
        }
        fdsSent += now.length;
      }
    } catch (error) {
      const aborted = signal?.aborted === true && error === signal.reason;
      // A reason is the caller's: what it says of bytes is not of these.
      bytesSent += aborted ? 0 : ((error as Partial<SendProgress>).bytesSent ?? 0);
      if (bytesSent === 0) throw aborted ? error : asChannelError(error);
      const failure = aborted ? abortedHalfWay(error) : asChannelError(error);
      this.#sendPoison = Object.assign(failure as Error, { bytesSent, fdsSent: fds.length > 0 });
      throw failure;
    }
    this.#nextId++;
    return id;
  }

  /** Sends one record of at most so many bytes, and of fewer where the system takes no such record; how many they were. */
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
      if (signal?.aborted === true && error === signal.reason) throw error;
      const failure = asChannelError(error);
      if (failure instanceof ChannelError && failure.code === "ERR_CHANNEL_CLOSED") throw failure;
      this.#receivePoison = failure;
      this.#header = null;
      // What came with the bad frame, and behind it, nobody will take.
      this.#reader.discard();
      throw failure;
    }
  }

  /** The rest of a frame that has begun, in time. */
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
   * The descriptors of a frame that ends at an offset. They have to have come with its own bytes: none may be left that came
   * before its end, and none may be taken that came with the next frame.
   */
  #checkFds(count: number, end: number): OwnedFd[] {
    let own = 0;
    for (const { from, to, count: batch } of this.#reader.fdRanges) {
      if (from === to)
        throw new ChannelError(
          "ERR_CHANNEL_FD_COUNT",
          `expected descriptors on bytes of a frame, ${batch} came with none`,
        );
      const carrier = this.#socket.platform.abi.rightsCarrier === "last" ? to - 1 : from;
      if (carrier < end) own += batch;
    }
    if (own !== count) {
      const text = `expected the ${count} descriptors that the frame tells of, ${own} came with its bytes`;
      throw new ChannelError("ERR_CHANNEL_FD_COUNT", text);
    }
    return this.#reader.takeFds(count);
  }
}

/** A signal for what is aborted when a time has come, or by another signal. */
class Deadline {
  readonly signal: AbortSignal;
  readonly #outer: AbortSignal | undefined;
  readonly #timer: Timer;
  readonly #forward: () => void;

  constructor({ system }: Platform, deadline: number, outer: AbortSignal | undefined) {
    const controller = new AbortController();
    this.signal = controller.signal;
    this.#outer = outer;
    this.#forward = () => controller.abort(outer!.reason);
    outer?.addEventListener("abort", this.#forward, { once: true });
    // The event may have been, since what was waited for before came.
    if (outer?.aborted) this.#forward();
    // What has come already is looked at first, even if nobody did in time.
    const left = Math.min(Math.max(deadline - system.now(), 1), 0x7fffffff);
    this.#timer = system.timer(left, () =>
      controller.abort(new ChannelError("ERR_CHANNEL_TIMEOUT", "the frame was not complete in time")),
    );
    // Whoever waits for the frame keeps the process alive, or wants not to.
    this.#timer.keepAlive(false);
  }

  close(): void {
    this.#timer.close();
    this.#outer?.removeEventListener("abort", this.#forward);
  }
}

/** @throws ChannelError `ERR_CHANNEL_PEER_REJECTED`; the socket is closed then */
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
  const who =
    peer === null ? "a peer that the system does not name" : `pid ${peer.pid}, uid ${peer.uid}, gid ${peer.gid}`;
  throw new ChannelError("ERR_CHANNEL_PEER_REJECTED", `expected a peer that the policy allows, got ${who}`, { cause });
}

function isAllowed(policy: PeerPolicy, peer: Credentials): boolean {
  if (typeof policy !== "function")
    return (["uid", "gid", "pid"] as const).every((name) => policy[name] === undefined || policy[name] === peer[name]);
  const answer: unknown = policy(peer);
  // A promise is not a yes.
  if (typeof answer !== "boolean") throw wrongType("options.peer", "a function that returns a boolean", answer);
  return answer;
}

function closedError(cause: unknown = null): ChannelError {
  return new ChannelError("ERR_CHANNEL_CLOSED", "the channel was closed", cause === null ? undefined : { cause });
}

/** What the reader found, in the channel's words; failures of the system stay what they are. */
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

/** Bytes of a frame from `from` to `to`, uncopied. */
function slice(header: Uint8Array, payload: Uint8Array, from: number, to: number): Uint8Array | Uint8Array[] {
  const pieces: Uint8Array[] = [];
  if (from < HEADER_BYTES) pieces.push(header.subarray(from, Math.min(to, HEADER_BYTES)));
  if (to > HEADER_BYTES) pieces.push(payload.subarray(Math.max(0, from - HEADER_BYTES), to - HEADER_BYTES));
  return pieces.length === 1 ? pieces[0]! : pieces;
}
