/** Frames with descriptors attached, over a stream or seqpacket socket: bounded, ordered, with a policy for the peer. */

import { byteLengthOf, isUint8Array, partOf } from "../core/bytes.ts";
import {
  AncillaryError,
  KEY,
  noConstructor,
  outOfRange,
  readOptions,
  UNCLONEABLE,
  wrongOwner,
  wrongType,
} from "../core/errors.ts";
import { type AsFd, checkNumbers, copyFds, readNumbers } from "../fd/as-fd.ts";
import { OwnedFd } from "../fd/owned-fd.ts";
import type { Credentials } from "../message/credentials.ts";
import { Deadline, isReason } from "../socket/aborts.ts";
import type { FdReader } from "../socket/fd-reader.ts";
import { typeOf } from "../socket/message-socket.ts";
import { abortedHalfWay, type SendProgress } from "../socket/send-all.ts";
import type { UnixSeqpacket } from "../socket/seqpacket.ts";
import { UnixStream } from "../socket/stream.ts";
import { Turns } from "../socket/turns.ts";
import { SIGNAL, type WaitOptions } from "../socket/waiting.ts";
import { isMainThread } from "../system/builtins.ts";
import { errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform } from "../system/platform.ts";
import { showAs } from "../system/shown.ts";
import { FILE_STATUS } from "../system/system.ts";
import { ChannelError } from "./errors.ts";
import {
  checkLimits,
  type Frame,
  frameOf,
  HEADER_BYTES,
  type Header,
  type Limits,
  RECORD_BYTES,
  ReceivedFrame,
  readHeader,
} from "./frame.ts";
import { KeptFds } from "./kept.ts";
import { type ChannelOptions, checkPeer, namesGroup, readChannelOptions } from "./options.ts";

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

/** The limits of a channel. */
export let limitsOf: (channel: FdChannel) => Limits;

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
  /** The credentials of the peer, as the kernel recorded them; null if the system does not report them. */
  readonly peer: Credentials | null;
  /** @internal Makes a structured clone fail. */
  readonly uncloneable: typeof UNCLONEABLE = UNCLONEABLE;
  readonly #socket: UnixStream | UnixSeqpacket;
  readonly #reader: FdReader;
  readonly #limits: Limits;
  readonly #frameTimeout: number;
  /** Duplicates of sent descriptors; null without the option `acknowledges`. */
  readonly #kept: KeptFds | null;
  readonly #most: number;
  readonly #records: boolean;
  readonly #sends: Turns = new Turns(() => this.#reader.turn());
  readonly #receives: Turns = new Turns(() => this.#reader.turn());
  /** The most bytes of a frame in one record, as found so far. */
  #recordBytes = RECORD_BYTES;
  #nextId = 1;
  #sendPoison: unknown = null;
  /** The frame that is being received: whether it has begun, its header, and its deadline. */
  #begun = false;
  #header: Header | null = null;
  #deadline = Infinity;
  #receivePoison: unknown = null;
  #closed = false;

  private constructor(
    key: typeof KEY,
    socket: UnixStream | UnixSeqpacket,
    options: ChannelOptions | undefined,
    peer: Credentials | null,
  ) {
    if (key !== KEY) throw noConstructor(FdChannel);
    this.#socket = socket;
    this.peer = peer;
    this.#most = socket.platform.abi.maxFdsPerMessage;
    this.#records = typeOf(socket) === "seqpacket";
    const maxFds = options?.maxFds ?? this.#most;
    this.#limits = { maxFds, maxPayload: options?.maxPayload ?? DEFAULT_PAYLOAD };
    this.#frameTimeout = options?.frameTimeout ?? Infinity;
    const acknowledges = options?.acknowledges;
    this.#kept = acknowledges === undefined ? null : new KeptFds(socket.platform, maxFds, acknowledges);
    // After a whole frame, the descriptors of the next frame's first message may have arrived as well.
    this.#reader = socket.reader({ maxQueuedFds: maxFds + this.#most });
    // Between the messages of a frame the socket has nothing to do.
    this.#reader.usedBy(() => this.#sends.idle && this.#receives.idle && !this.#begun);
  }

  static {
    showAs(FdChannel.prototype, (self) => (#socket in self ? self.#shown() : null));
    limitsOf = (channel) => channel.#limits;
    channelOver = (socket, options, peer) => new FdChannel(KEY, socket, options, peer);
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
    const type = typeOf(socket);
    if (type !== "stream" && type !== "seqpacket")
      throw wrongOwner("socket", "a UnixStream (UnixStream.from makes one of a net.Socket) or a UnixSeqpacket", socket);
    if (socket.closed) throw new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
    let peer: Credentials | null = null;
    let cause: unknown;
    try {
      peer = socket.peerCredentials();
    } catch (error) {
      cause = error;
    }
    checkPeer(socket, options.peer, namesGroup(socket.platform, options.peer, peer) ? peer : null, cause);
    return new FdChannel(KEY, socket, options, peer);
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
      const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
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
      return this.#transmit(bytes, length, descriptors, signal);
    } catch (error) {
      return this.#refuse(error);
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
  async recv(options?: Pick<WaitOptions, "signal">): Promise<Frame | null> {
    const { signal } = readOptions("options", options, SIGNAL);
    const earlier = this.#receives.begin(signal);
    if (earlier !== null) await earlier;
    try {
      const turn = this.#reader.turn();
      if (turn !== null) await turn;
      this.#throwIfUnusable(this.#receivePoison);
      let frame: Frame;
      try {
        if (!this.#begun) {
          while (this.#reader.queuedBytes === 0) {
            if (await this.#reader.receive(signal)) continue;
            this.#checkFds(0, this.#reader.offset);
            return null;
          }
          this.#begun = true;
          if (this.#frameTimeout !== Infinity) this.#deadline = this.#socket.platform.system.now() + this.#frameTimeout;
        }
        frame = this.#frameNow() ?? (await this.#frameInTime(signal));
      } catch (error) {
        throw this.#receiveFailure(error, signal);
      }
      this.#kept?.acknowledge(frame);
      return frame;
    } finally {
      this.#receives.end();
    }
  }

  /** Yields the frames until the peer finishes. Leaving the loop does not close the channel. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined> {
    for (let frame = await this.recv(); frame !== null; frame = await this.recv()) yield frame;
  }

  /** True after {@link close}. */
  get closed(): boolean {
    return this.#closed;
  }

  #shown(): object {
    const poisoned = [this.#sendPoison === null ? "" : "sending", this.#receivePoison === null ? "" : "receiving"];
    const state = this.#closed ? "closed" : "open";
    return { state, socket: this.#socket, peer: this.peer, poisoned: poisoned.filter((direction) => direction !== "") };
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
    // Otherwise it could throw half way, and a second call would do nothing.
    this.#socket.platform.system.needStack();
    this.#closed = true;
    this.#header = null;
    // Closes the socket: the current send fails, then the queued ones.
    try {
      this.#reader.close();
    } finally {
      this.#kept?.close();
    }
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
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

  /** Counts as a read: a loop that catches the error would block the event loop. */
  async #refuse(error: unknown): Promise<never> {
    const turn = this.#reader.turn();
    if (turn !== null) await turn;
    throw error;
  }

  /** Sends a frame in its turn, in as many messages as its descriptors need, and on a seqpacket socket its bytes. */
  async #transmit(
    payload: Uint8Array,
    length: number,
    given: readonly AsFd[],
    signal: AbortSignal | undefined,
  ): Promise<bigint> {
    const earlier = this.#sends.begin(signal);
    if (earlier !== null) await earlier;
    const id = BigInt(this.#nextId);
    const whole = HEADER_BYTES + length;
    let fds = given;
    let bytesSent = 0;
    let fdsSent = 0;
    try {
      this.#throwIfUnusable(this.#sendPoison);
      let frame: readonly Uint8Array[] | null = null;
      if (this.#kept !== null) fds = this.#kept.keep(id, given, () => this.#throwIfUnusable(this.#sendPoison));
      while (bytesSent < whole) {
        const batch = fdsSent === 0 && fds.length <= this.#most ? fds : fds.slice(fdsSent, fdsSent + this.#most);
        // A message sends one byte while descriptors remain: the next descriptors go with the next byte.
        const most = fdsSent + batch.length < fds.length ? 1 : whole - bytesSent;
        const bytes = byteLengthOf(payload);
        if (bytes < length) throw outOfRange("payload", `the same ${length} bytes as at the call`, `${bytes} bytes`);
        frame ??= frameOf(given.length, payload, length, this.#nextId);
        if (this.#records) bytesSent += await this.#sendRecord(frame, bytesSent, most, batch, signal);
        else {
          await this.#socket.sendFdsAll(slice(frame, bytesSent, bytesSent + most), batch, signal && { signal });
          bytesSent += most;
        }
        fdsSent += batch.length;
      }
      this.#nextId++;
      return id;
    } catch (error) {
      const aborted = isReason(error, signal);
      // An abort reason is the caller's value: a `bytesSent` in it does not count this frame.
      bytesSent += aborted ? 0 : ((error as Partial<SendProgress>).bytesSent ?? 0);
      if (bytesSent === 0) {
        this.#kept?.withdraw(id);
        throw aborted ? error : asChannelError(error);
      }
      const failure = aborted ? abortedHalfWay(error) : asChannelError(error);
      this.#sendPoison = Object.assign(failure as Error, { bytesSent, fdsSent: fds.length > 0 });
      throw failure;
    } finally {
      this.#sends.end();
    }
  }

  /** Sends one record of at most `most` bytes, or fewer if the system refuses a record of that size; returns its bytes. */
  async #sendRecord(
    frame: readonly Uint8Array[],
    from: number,
    most: number,
    fds: readonly AsFd[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    for (let bytes = Math.min(most, this.#recordBytes); ; bytes = Math.ceil(bytes / 2)) {
      try {
        await this.#socket.sendFdsAll(slice(frame, from, from + bytes), fds, signal && { signal });
        if (bytes < Math.min(most, this.#recordBytes)) this.#recordBytes = bytes;
        return bytes;
      } catch (error) {
        // The limit is the size of the socket's buffer: 8 KiB on the BSDs, SO_SNDBUF on Linux.
        // FreeBSD 15 may have taken a part of the record, which is not sent again.
        const failure = error as Partial<NodeJS.ErrnoException & SendProgress> | null;
        if (bytes === 1 || failure?.code !== "EMSGSIZE" || failure.bytesSent !== 0) throw error;
      }
    }
  }

  /** The error of a receive that has failed. Nothing can be received after it, unless it was aborted. */
  #receiveFailure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (this.#closed) return closedError();
    if (isReason(error, signal)) return error;
    const failure = asChannelError(error);
    if (failure instanceof ChannelError && failure.code === "ERR_CHANNEL_CLOSED") return failure;
    this.#receivePoison = failure;
    this.#header = null;
    // The descriptors of the bad frame, and of everything after it, will not be delivered: close them.
    this.#reader.discard();
    return failure;
  }

  /** The rest of a frame that has begun, before its deadline. */
  async #frameInTime(signal: AbortSignal | undefined): Promise<Frame> {
    if (this.#deadline === Infinity) return this.#frame(signal);
    const expired = () => new ChannelError("ERR_CHANNEL_TIMEOUT", "the frame was not complete in time");
    const deadline = new Deadline(this.#socket.platform.system, this.#deadline, signal, expired);
    try {
      return await this.#frame(deadline.signal);
    } finally {
      deadline.close();
    }
  }

  async #frame(signal: AbortSignal | undefined): Promise<Frame> {
    for (let frame = this.#frameNow(); ; frame = this.#frameNow()) {
      if (frame !== null) return frame;
      await this.#reader.fill(this.#header?.payload ?? HEADER_BYTES, signal && { signal });
    }
  }

  /** The frame; null if a part of it has not arrived. */
  #frameNow(): Frame | null {
    this.#header ??= this.#reader.parseNow(HEADER_BYTES, readHeader, this.#limits);
    if (this.#header === null) return null;
    const { fds, messageId, payload } = this.#header;
    const received = this.#reader.readNow(payload);
    if (received === null) return null;
    const frame = new ReceivedFrame(messageId, received, this.#checkFds(fds, this.#reader.offset));
    this.#header = null;
    this.#begun = false;
    return frame;
  }

  /**
   * The descriptors of a frame that ends at offset `end`. They must have arrived with the frame's own bytes: no descriptor that
   * arrived before `end` may be left, and none of the next frame may be taken.
   */
  #checkFds(count: number, end: number): OwnedFd[] {
    let own = 0;
    for (let i = 0; ; i++) {
      const range = this.#reader.rangeBefore(end, i);
      if (range === null) break;
      if (range.from === range.to)
        throw new ChannelError(
          "ERR_CHANNEL_FD_COUNT",
          `expected descriptors with bytes of a frame, got ${range.count} without bytes`,
        );
      own += range.count;
    }
    if (own !== count) {
      const text = `expected the ${count} descriptors that the header announces, got ${own} with the bytes of the frame`;
      throw new ChannelError("ERR_CHANNEL_FD_COUNT", text);
    }
    return this.#reader.takeFds(count);
  }
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
function slice(frame: readonly Uint8Array[], from: number, to: number): Uint8Array | readonly Uint8Array[] {
  if (from === 0 && frame.length === 1 && to === byteLengthOf(frame[0]!)) return frame[0]!;
  const pieces: Uint8Array[] = [];
  let start = 0;
  for (let i = 0; i < frame.length; i++) {
    const piece = frame[i]!;
    const end = start + byteLengthOf(piece);
    if (from < end && to > start)
      pieces.push(from <= start && to >= end ? piece : partOf(piece, Math.max(0, from - start), to - start));
    start = end;
  }
  return pieces.length === 1 ? pieces[0]! : pieces;
}
