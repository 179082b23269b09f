/** Bytes and descriptors as two queues, for protocols that count descriptors in their own messages (D-Bus, Wayland, tmux, s6, QMP). */

import { byteLengthOf, isUint8Array, setBytes } from "../core/bytes.ts";
import {
  AncillaryError,
  type Checks,
  integer,
  KEY,
  noConstructor,
  outOfRange,
  readOptions,
  UNCLONEABLE,
  wrongType,
} from "../core/errors.ts";
import { closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import type { Iovec } from "../message/iovec.ts";
import type { ReceivedFdsInto } from "../message/receive.ts";
import { Fifo } from "../system/fifo.ts";
import { showAs } from "../system/shown.ts";
import { isReason } from "./aborts.ts";
import { Turns } from "./turns.ts";
import { SIGNAL, type WaitOptions } from "./waiting.ts";

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

/** The descriptors of one receive, and the bytes they arrived with. */
export interface FdRange {
  /** Offset in the stream of the first byte of the receive. Linux joins earlier plain bytes into it. */
  readonly from: number;
  /** Offset after the last byte. */
  readonly to: number;
  /** How many of the descriptors are not yet taken. */
  readonly count: number;
}

/** What a reader reads: a connected socket. */
export interface ReaderSource {
  /** Counts so many reads; null, or a promise to wait for before the next, which gives the event loop a turn. */
  turn(reads: number): Promise<void> | null;
  receive(into: Iovec, maxFds: number, signal: AbortSignal | undefined): Promise<ReceivedFdsInto>;
  /** Which byte of a receive its descriptors came with. */
  readonly rightsCarrier: "last" | "first";
  close(): void;
}

/** The least room for a receive: a page on a stream, a whole record on a seqpacket socket. */
export const RECEIVE_BYTES = { stream: 4096, seqpacket: 65536 } as const;

const LIMITS: Checks = {
  maxFds: (name, value) => void integer(name, value, 0, 0x7fffffff),
  maxQueuedFds: (name, value) => void integer(name, value, 0, 0x7fffffff),
  maxQueuedBytes: (name, value) => void integer(name, value, 1, 0x7fffffff),
};

const always = (): boolean => true;

/** The most bytes of one receive, unless a read asks for more. */
const MOST_AHEAD = 65536;

/** So many reads are counted together: to count each takes about a tenth of the time of a small one (2026-11). */
const READS = 16;

const NONE: Buffer = Buffer.alloc(0);

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
  /** @internal Makes a structured clone fail. */
  readonly uncloneable: typeof UNCLONEABLE = UNCLONEABLE;
  readonly #source: ReaderSource;
  readonly #maxFds: number;
  readonly #maxQueuedFds: number;
  readonly #maxQueuedBytes: number;
  readonly #receiveBytes: number;
  /** Whether each receive needs room for a whole record. */
  readonly #records: boolean;
  /** Bytes of the next receive. It starts small, so that a short session needs little memory. */
  #ahead: number;
  /** Bytes from {@link #start} to {@link #end} have arrived and are not read; the first has the stream offset {@link #offset}. */
  #buffer: Buffer = NONE;
  #start = 0;
  #end = 0;
  #offset: number;
  /** For the rest of a record that is longer than the rest of the buffer, and for what comes after a large read. */
  #spare: Buffer = NONE;
  #fds = new Fifo<OwnedFd>();
  #ranges = new Fifo<{ from: number; to: number; count: number }>();
  #ended = false;
  #failure: unknown = null;
  /** A failure that is reported when everything before it is read, and the bytes of its receive that cannot be read. */
  #broken: { readonly error: unknown; readonly rest: Buffer } | null = null;
  /** Whether the channel that uses this reader has no operation in progress. */
  #userIdle: () => boolean = always;
  readonly #reads: Turns = new Turns(() => this.turn());
  /** Reads that the socket has not counted yet. */
  #uncounted = 0;

  static {
    showAs(FdReader.prototype, (self) => (#source in self ? self.#shown() : null));
  }

  /** @internal Created by the `reader` method of a socket. `offset`: how many bytes the socket has received before. */
  constructor(
    key: typeof KEY,
    source: ReaderSource,
    options: FdReaderOptions | undefined,
    most: number,
    receiveBytes: number,
    offset: number,
  ) {
    if (key !== KEY) throw noConstructor(FdReader, "the reader() of a UnixStream or a UnixSeqpacket");
    const limits = readOptions("options", options, LIMITS);
    this.#source = source;
    this.#maxFds = limits.maxFds ?? most;
    this.#maxQueuedFds = limits.maxQueuedFds ?? 1024;
    this.#maxQueuedBytes = limits.maxQueuedBytes ?? 65536;
    this.#records = receiveBytes === RECEIVE_BYTES.seqpacket;
    this.#receiveBytes = this.#records ? Math.max(receiveBytes, this.#maxQueuedBytes) : receiveBytes;
    this.#ahead = this.#receiveBytes;
    this.#offset = offset;
  }

  /**
   * Reads exactly this many bytes, and waits for them. After an abort, the bytes that have arrived are left for the next read.
   *
   * @throws AncillaryError `ERR_UNEXPECTED_EOF` when the peer finishes before, with the bytes that have arrived as `data`;
   *   `ERR_TOO_MANY_FDS`; `ERR_SOCKET_CLOSED`
   */
  read(bytes: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer> {
    return this.#inTurn(bytes, options, () => (this.#end - this.#start < bytes ? null : this.#take(bytes)));
  }

  /** @internal Waits until so many bytes have arrived, as {@link read}. */
  fill(bytes: number, options: Pick<WaitOptions, "signal"> | undefined): Promise<unknown> {
    return this.#inTurn(bytes, options, () => (this.#end - this.#start < bytes ? null : true));
  }

  /** @internal One receive, for the channel that alone reads through this; false: the peer has finished. */
  receive(signal: AbortSignal | undefined): Promise<boolean> {
    return this.#failure === null ? this.#receive(1, signal) : Promise.reject(this.#failure);
  }

  /** @internal Counts a read; null, or a promise to wait for before it. */
  turn(): Promise<void> | null {
    if (++this.#uncounted < READS) return null;
    this.#uncounted = 0;
    return this.#source.turn(READS);
  }

  /** @internal Says when the channel that reads through this is idle. */
  usedBy(idle: () => boolean): void {
    this.#userIdle = idle;
  }

  /**
   * @internal Whether a read is in progress, or has finished and its result has not reached the caller: the data are then in neither
   * queue. So are bytes that came with a failure.
   */
  get busy(): boolean {
    return !this.#reads.idle || !this.#userIdle() || this.#broken !== null;
  }

  /** @internal {@link read} without waiting; null if it has to wait. */
  readNow(bytes: number): Buffer | null {
    return this.#has(bytes) ? this.#take(bytes) : null;
  }

  /** @internal {@link readNow} by a function that gets the buffer, the position in it, and `limits`; nothing is copied. */
  parseNow<T, L>(bytes: number, parse: (buffer: Buffer, at: number, limits: L) => T, limits: L): T | null {
    if (!this.#has(bytes)) return null;
    const buffer = this.#buffer;
    const at = this.#start;
    this.#consume(bytes);
    return parse(buffer, at, limits);
  }

  /** Whether so many bytes can be read without waiting. */
  #has(bytes: number): boolean {
    return this.#reads.idle && this.#failure === null && this.#end - this.#start >= bytes;
  }

  /**
   * Reads the bytes up to and including a delimiter, at most `max` in total.
   *
   * @throws AncillaryError `ERR_TOO_LONG` when the delimiter is not within the next `max` bytes, which stay queued; as {@link read}
   */
  readUntil(delimiter: Uint8Array | string, max: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer> {
    let pattern: Buffer;
    try {
      pattern = delimiterOf(delimiter);
      integer("max", max, 1, 0x7fffffff);
    } catch (error) {
      return Promise.reject(error);
    }
    // Skip the bytes already searched, except those where a delimiter may begin.
    let searched = 0;
    const search = () => {
      const queued = this.#end - this.#start;
      const found = this.#buffer.subarray(this.#start, this.#start + Math.min(queued, max)).indexOf(pattern, searched);
      if (found !== -1) return this.#take(found + pattern.length);
      if (queued >= max) {
        throw new AncillaryError(
          "ERR_TOO_LONG",
          `expected the delimiter within ${max} bytes, got ${queued} bytes without it`,
        );
      }
      searched = Math.max(0, queued - pattern.length + 1);
      return null;
    };
    return this.#inTurn(max, options, search, () => {
      throw this.#unexpectedEnd("a delimiter");
    });
  }

  /** Whether the peer has finished and all its bytes are read; waits until either the end or a byte arrives. */
  ended(options?: Pick<WaitOptions, "signal">): Promise<boolean> {
    // A message may have descriptors and no bytes: then wait for the next one.
    const arrived = () => (this.#end === this.#start ? null : false);
    return this.#inTurn<boolean>(1, options, arrived, () => true);
  }

  /**
   * Takes the oldest descriptors that have arrived. The caller owns them from then on.
   *
   * @throws AncillaryError `ERR_FD_COUNT` when fewer have arrived; they stay queued. RangeError `ERR_TOO_MANY_FDS` when more would
   *   have arrived, but exceeded a limit
   */
  takeFds(count: number): OwnedFd[] {
    integer("count", count, 0, 0x7fffffff);
    if (count > this.#fds.length) {
      if (this.#broken !== null) throw this.#broken.error;
      throw new AncillaryError(
        "ERR_FD_COUNT",
        `expected at least ${count} descriptors, got ${this.#fds.length} so far`,
      );
    }
    for (let left = count; left > 0; ) {
      const range = this.#ranges.at(0)!;
      const taken = Math.min(left, range.count);
      range.count -= taken;
      left -= taken;
      if (range.count === 0) this.#ranges.shift();
    }
    return this.#fds.take(count);
  }

  /** The descriptors that are not yet taken, by receive, the oldest first, with the bytes they arrived with. */
  get fdRanges(): readonly FdRange[] {
    return this.rangesSince(0);
  }

  /** @internal Of {@link fdRanges} those that begin at an offset or after it. Costs nothing for the others. */
  rangesSince(offset: number): FdRange[] {
    const since: FdRange[] = [];
    for (let i = this.#ranges.length - 1; i >= 0; i--) {
      const range = this.#ranges.at(i)!;
      if (range.from < offset) break;
      since.push({ ...range });
    }
    return since.reverse();
  }

  /** @internal The `i`th of {@link fdRanges} if its descriptors came with a byte before an offset, else null. */
  rangeBefore(offset: number, i: number): FdRange | null {
    if (i >= this.#ranges.length) return null;
    const range = this.#ranges.at(i)!;
    const carrier = this.#source.rightsCarrier === "last" ? range.to - 1 : range.from;
    return carrier < offset ? range : null;
  }

  /** How many descriptors have arrived and are not taken. */
  get queuedFds(): number {
    return this.#fds.length;
  }

  /** @internal The descriptors that have arrived last and are not taken. They stay the reader's. */
  newestFds(count: number): OwnedFd[] {
    const newest: OwnedFd[] = [];
    for (let i = this.#fds.length - count; i < this.#fds.length; i++) newest.push(this.#fds.at(i)!);
    return newest;
  }

  /** How many bytes have arrived and are not read. */
  get queuedBytes(): number {
    return this.#end - this.#start;
  }

  /** Offset in the stream of the next byte to read. */
  get offset(): number {
    return this.#offset;
  }

  /** Closes the socket and the descriptors that are not taken. Waiting reads fail with `ERR_SOCKET_CLOSED`. */
  close(): void {
    this.#source.close();
    this.discard();
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** @internal Ends reading: closes the queued descriptors and drops the queued bytes. */
  discard(): void {
    this.#failure ??= new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
    this.#broken = null;
    closeAll(this.newestFds(this.#fds.length), true);
    this.#fds = new Fifo();
    this.#ranges = new Fifo();
    // A closed reader keeps no buffer alive.
    this.#buffer = NONE;
    this.#spare = NONE;
    this.#start = 0;
    this.#end = 0;
  }

  /**
   * A read of at most so many bytes, in its turn.
   *
   * @param take what has arrived; null if that is not enough
   * @param atEnd called when the peer has finished before it was
   */
  async #inTurn<T>(
    bytes: number,
    options: Pick<WaitOptions, "signal"> | undefined,
    take: () => T | null,
    atEnd: () => T = () => {
      throw this.#unexpectedEnd(`${bytes} bytes`);
    },
  ): Promise<T> {
    integer("bytes", bytes, 0, 0x7fffffff);
    const { signal } = readOptions("options", options, SIGNAL);
    const earlier = this.#reads.begin(signal);
    if (earlier !== null) await earlier;
    try {
      const turn = this.turn();
      if (turn !== null) await turn;
      if (this.#failure !== null) throw this.#failure;
      for (let taken = take(); ; taken = take()) {
        if (taken !== null) return taken;
        if (!(await this.#receive(bytes, signal))) return atEnd();
      }
    } finally {
      this.#reads.end();
    }
  }

  /** One receive, for a read of so many bytes; false: the peer has finished. */
  async #receive(bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#broken !== null) throw this.#fail(this.#broken);
    if (this.#ended) return false;
    const room = this.#makeRoom(bytes);
    const rest = this.#buffer.subarray(this.#end, this.#end + room);
    // A record must fit whole.
    const into = this.#records && room < this.#receiveBytes ? [rest, this.#makeSpill()] : rest;
    let message: ReceivedFdsInto;
    try {
      message = await this.#source.receive(into, this.#maxFds, signal);
    } catch (error) {
      if (this.#failure !== null) throw this.#failure;
      // An abort changes nothing. After anything else bytes and descriptors are no longer in step.
      if (isReason(error, signal)) throw error;
      const received = (error as Partial<AncillaryError>).data?.length ?? 0;
      this.#joinSpill(received - room, bytes);
      this.#break(error, received);
      return true;
    }
    const { bytesRead, fds, surplus } = message;
    // The reader does not expose the pidfd of each message.
    message.pidfd?.close();
    if (this.#failure !== null) {
      // The reader was closed during the receive.
      closeAll(fds, true);
      throw this.#failure;
    }
    if (bytesRead > room) this.#joinSpill(bytesRead - room, bytes);
    const most = surplus > 0 ? this.#maxFds : this.#maxQueuedFds;
    const count = fds.length + (surplus > 0 ? surplus : this.#fds.length);
    if (count > most) {
      closeAll(fds, true);
      const where = surplus > 0 ? "in one message" : "waiting to be taken";
      this.#break(outOfRange("fds", `at most ${most} descriptors ${where}`, count, "ERR_TOO_MANY_FDS"), bytesRead);
      return true;
    }
    const from = this.#offset + this.#end - this.#start;
    // A full buffer means that more data are waiting.
    if (bytesRead === room && !this.#records) this.#ahead = Math.min(2 * this.#ahead, MOST_AHEAD);
    this.#end += bytesRead;
    if (fds.length > 0) {
      for (let i = 0; i < fds.length; i++) this.#fds.push(fds[i]!);
      this.#ranges.push({ from, to: from + bytesRead, count: fds.length });
    }
    this.#ended = message.eof;
    return !message.eof;
  }

  /** The number of bytes to receive, after making room for them. */
  #makeRoom(bytes: number): number {
    const queued = this.#end - this.#start;
    // On a stream, stay within the limit, or within what the read asks for.
    const ahead = this.#records ? this.#ahead : Math.min(this.#ahead, this.#maxQueuedBytes - queued);
    const most = Math.max(ahead, bytes - queued);
    if (this.#buffer.length - this.#end < Math.min(most, this.#receiveBytes)) {
      // Moves no more bytes than were read before.
      if (this.#start > 0 && this.#start >= queued) this.#moveTo(this.#buffer);
      // The rest of the buffer is used first.
      else if (!this.#records || this.#end === this.#buffer.length)
        this.#grow(bytes, queued + Math.min(most, this.#ahead));
    }
    return Math.min(most, this.#buffer.length - this.#end);
  }

  /**
   * Replaces the buffer by one of at least so many bytes, for a read of `bytes`: of its size if at least half of it has arrived, of half of
   * it if a quarter has, and so on. So a peer must send much before it costs much memory, and all moves of a large read together copy
   * no byte more than once on average.
   */
  #grow(bytes: number, least: number): void {
    let size = Math.max(bytes, least);
    while (size / 2 >= least) size = Math.ceil(size / 2);
    const small = this.#buffer;
    this.#moveTo(Buffer.allocUnsafeSlow(size));
    if (small.length <= MOST_AHEAD) this.#spare = small;
  }

  /** Moves the queued bytes to the start of a buffer, and receives into that from now on. */
  #moveTo(buffer: Buffer): void {
    const queued = this.#end - this.#start;
    if (queued > 0) setBytes(buffer, this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = queued;
  }

  #makeSpill(): Buffer {
    if (this.#spare.length < this.#receiveBytes) this.#spare = Buffer.allocUnsafeSlow(this.#receiveBytes);
    return this.#spare;
  }

  /** Appends the bytes of a record that did not fit into the buffer, which is full, though {@link #end} does not count it yet. */
  #joinSpill(spilled: number, bytes: number): void {
    if (spilled <= 0) return;
    const spill = this.#spare.subarray(0, spilled);
    const room = this.#buffer.length - this.#end;
    this.#end += room;
    this.#grow(bytes, this.#end - this.#start + spilled);
    setBytes(this.#buffer, spill, this.#end);
    this.#end -= room;
  }

  #take(bytes: number): Buffer {
    const part = this.#buffer.subarray(this.#start, this.#start + bytes);
    // A large read gets the buffer itself, unless it would keep much more memory than it needs.
    if (bytes >= MOST_AHEAD && 2 * bytes >= this.#buffer.length) {
      this.#start += bytes;
      this.#offset += bytes;
      const queued = this.#end - this.#start;
      const fits = this.#spare.length >= queued;
      this.#moveTo(fits ? this.#spare : Buffer.allocUnsafeSlow(Math.max(queued, this.#ahead)));
      this.#spare = NONE;
      return part;
    }
    const taken = Buffer.from(part);
    this.#consume(bytes);
    return taken;
  }

  #consume(bytes: number): void {
    this.#start += bytes;
    this.#offset += bytes;
    if (this.#start !== this.#end) return;
    // Free a large buffer after a large read.
    if (this.#buffer.length > Math.max(this.#maxQueuedBytes, this.#receiveBytes)) this.#buffer = NONE;
    if (this.#spare !== NONE) this.#spare = NONE;
    this.#start = 0;
    this.#end = 0;
  }

  #unexpectedEnd(expected: string): AncillaryError {
    const data = Buffer.from(this.#buffer.subarray(this.#start, this.#end));
    const text = `expected ${expected}, but the peer finished after ${data.length} bytes`;
    return new AncillaryError("ERR_UNEXPECTED_EOF", text, { data });
  }

  #shown(): object {
    const state = this.#failure !== null ? "failed or closed" : this.#ended ? "at the end" : "open";
    return { state, reading: !this.#reads.idle, queuedBytes: this.queuedBytes, queuedFds: this.queuedFds };
  }

  /**
   * Stores the failure of a receive that brought so many bytes. Those before the byte that the descriptors came with were sent
   * before, and can still be read.
   */
  #break(error: unknown, bytes: number): void {
    const before = !this.#records && this.#source.rightsCarrier === "last" ? Math.max(0, bytes - 1) : 0;
    const end = this.#end + bytes;
    this.#end += before;
    // Kept apart: reads of what came before may move the buffer, or drop it.
    this.#broken = { error, rest: this.#buffer.subarray(this.#end, end) };
  }

  #fail({ error, rest }: { readonly error: unknown; readonly rest: Buffer }): unknown {
    const data = Buffer.concat([this.#buffer.subarray(this.#start, this.#end), rest]);
    if (data.length > 0) Object.assign(error as Error, { data });
    this.#failure = error;
    this.close();
    return error;
  }
}

function delimiterOf(delimiter: unknown): Buffer {
  if (typeof delimiter !== "string" && !isUint8Array(delimiter))
    throw wrongType("delimiter", "a string or a Uint8Array", delimiter);
  // A copy, as the caller may change it before the search.
  const bytes = typeof delimiter === "string" ? Buffer.from(delimiter) : Buffer.alloc(byteLengthOf(delimiter));
  if (typeof delimiter !== "string" && bytes.length > 0) setBytes(bytes, delimiter);
  if (bytes.length === 0) throw outOfRange("delimiter", "at least 1 byte", 0);
  return bytes;
}
