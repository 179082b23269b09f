/** Bytes and descriptors as two queues, for protocols that count descriptors in their own messages (D-Bus, Wayland, tmux, s6, QMP). */

import { byteLengthOf, isUint8Array, setBytes } from "../core/bytes.ts";
import { AncillaryError, type Checks, integer, outOfRange, readOptions, wrongType } from "../core/errors.ts";
import { closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import type { ReceivedFdsInto } from "../message/receive.ts";
import { isReason } from "./aborts.ts";
import { SIGNAL, type WaitOptions } from "./endpoint.ts";
import { Turns } from "./turns.ts";

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
  /** Lets the event loop turn once. */
  turn(): Promise<void>;
  receive(into: Uint8Array, maxFds: number, signal: AbortSignal | undefined): Promise<ReceivedFdsInto>;
  close(): void;
}

/** The least room for a receive: a page on a stream, a whole record on a seqpacket socket. */
export const RECEIVE_BYTES = { stream: 4096, seqpacket: 65536 } as const;

const LIMITS: Checks = {
  maxFds: (name, value) => void integer(name, value, 0, 0x7fffffff),
  maxQueuedFds: (name, value) => void integer(name, value, 0, 0x7fffffff),
  maxQueuedBytes: (name, value) => void integer(name, value, 1, 0x7fffffff),
};

/**
 * After this many reads the event loop gets a turn. Reads of bytes that have arrived need no turn, so a peer that floods with small
 * messages would starve timers and every other socket. A turn takes as long as two or three reads.
 */
const BURST = 256;

const always = (): boolean => true;

/** The most bytes of one receive, unless a read asks for more. */
const MOST_AHEAD = 65536;

/**
 * Reads a stream of bytes that carries descriptors. When a byte has been read, {@link takeFds} can return the descriptors that
 * arrived with it.
 *
 * It receives only during a read, and only within its limits: further data wait in the kernel. Reads are served in the order of
 * the calls. A peer that exceeds a limit, or any failure of the socket except an abort, closes the reader and the socket; later
 * reads fail with the same error.
 */
export class FdReader implements Disposable, AsyncDisposable {
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
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  #offset: number;
  readonly #fds: OwnedFd[] = [];
  readonly #ranges: { from: number; to: number; count: number }[] = [];
  #ended = false;
  #failure: unknown = null;
  /** Whether the channel that uses this reader has no operation in progress. */
  #userIdle: () => boolean = always;
  readonly #reads: Turns = new Turns();
  /** Reads since the last turn of the event loop that this reader asked for. */
  #burst = 0;

  /** @internal Created by the `reader` method of a socket. `offset`: how many bytes the socket has received before. */
  constructor(
    source: ReaderSource,
    options: FdReaderOptions | undefined,
    most: number,
    receiveBytes: number,
    offset: number,
  ) {
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
    let signal: AbortSignal | undefined;
    try {
      integer("bytes", bytes, 0, 0x7fffffff);
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#inTurn(async () => {
      while (this.#end - this.#start < bytes) {
        if (!(await this.#receive(bytes, signal))) throw this.#unexpectedEnd(`${bytes} bytes`);
      }
      return this.#take(bytes);
    }, signal);
  }

  /** @internal Counts a read; null, or a promise to wait for before it. */
  turn(): Promise<void> | null {
    if (++this.#burst < BURST) return null;
    this.#burst = 0;
    return this.#source.turn();
  }

  /** @internal Says when the channel that reads through this is idle. */
  usedBy(idle: () => boolean): void {
    this.#userIdle = idle;
  }

  /**
   * @internal Whether a read is in progress, or has finished and its result has not reached the caller: the data are then in neither
   * queue.
   */
  get busy(): boolean {
    return !this.#reads.idle || !this.#userIdle();
  }

  /** @internal {@link read} without waiting; null if it has to wait. */
  readNow(bytes: number): Buffer | null {
    return !this.#reads.idle || this.#failure !== null || this.#end - this.#start < bytes ? null : this.#take(bytes);
  }

  /**
   * Reads the bytes up to and including a delimiter, at most `max` in total.
   *
   * @throws AncillaryError `ERR_TOO_LONG` when the delimiter is not within the next `max` bytes, which stay queued; as {@link read}
   */
  readUntil(delimiter: Uint8Array | string, max: number, options?: Pick<WaitOptions, "signal">): Promise<Buffer> {
    let pattern: Buffer;
    let signal: AbortSignal | undefined;
    try {
      pattern = delimiterOf(delimiter);
      integer("max", max, 1, 0x7fffffff);
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#inTurn(async () => {
      // Skip the bytes already searched, except those where a delimiter may begin.
      let searched = 0;
      for (;;) {
        const queued = this.#end - this.#start;
        const found = this.#buffer
          .subarray(this.#start, this.#start + Math.min(queued, max))
          .indexOf(pattern, searched);
        if (found !== -1) return this.#take(found + pattern.length);
        if (queued >= max) {
          throw new AncillaryError(
            "ERR_TOO_LONG",
            `expected the delimiter within ${max} bytes, got ${queued} bytes without it`,
          );
        }
        searched = Math.max(0, queued - pattern.length + 1);
        if (!(await this.#receive(max, signal))) throw this.#unexpectedEnd("a delimiter");
      }
    }, signal);
  }

  /** Whether the peer has finished and all its bytes are read; waits until either the end or a byte arrives. */
  ended(options?: Pick<WaitOptions, "signal">): Promise<boolean> {
    let signal: AbortSignal | undefined;
    try {
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#inTurn(async () => {
      // A message may have descriptors and no bytes: then wait for the next one.
      while (this.#end === this.#start) if (!(await this.#receive(1, signal))) return true;
      return false;
    }, signal);
  }

  /**
   * Takes the oldest descriptors that have arrived. The caller owns them from then on.
   *
   * @throws AncillaryError `ERR_FD_COUNT` when fewer have arrived; they stay queued
   */
  takeFds(count: number): OwnedFd[] {
    integer("count", count, 0, 0x7fffffff);
    if (count > this.#fds.length) {
      throw new AncillaryError(
        "ERR_FD_COUNT",
        `expected at least ${count} descriptors, got ${this.#fds.length} so far`,
      );
    }
    for (let left = count; left > 0; ) {
      const range = this.#ranges[0]!;
      const taken = Math.min(left, range.count);
      range.count -= taken;
      left -= taken;
      if (range.count === 0) this.#ranges.shift();
    }
    return this.#fds.splice(0, count);
  }

  /** The descriptors that are not yet taken, by receive, the oldest first, with the bytes they arrived with. */
  get fdRanges(): readonly FdRange[] {
    return this.#ranges.map((range) => ({ ...range }));
  }

  /** How many descriptors have arrived and are not taken. */
  get queuedFds(): number {
    return this.#fds.length;
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
    closeAll(this.#fds.splice(0));
    this.#ranges.length = 0;
    // A closed reader keeps no buffer alive.
    this.#buffer = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
  }

  #inTurn<T>(read: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const run = async (): Promise<T> => {
      const turn = this.turn();
      if (turn !== null) await turn;
      if (this.#failure !== null) throw this.#failure;
      return read();
    };
    return this.#reads.take(run, signal);
  }

  /** One receive, for a read of so many bytes; false: the peer has finished. */
  async #receive(bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#ended) return false;
    const room = this.#makeRoom(bytes);
    let message: ReceivedFdsInto;
    try {
      const into = this.#buffer.subarray(this.#end, this.#end + room);
      message = await this.#source.receive(into, this.#maxFds, signal);
    } catch (error) {
      const aborted = isReason(error, signal);
      // An abort changes nothing. After anything else bytes and descriptors are no longer in step.
      if (!aborted) this.#fail(error);
      throw this.#failure ?? error;
    }
    const { bytesRead, fds } = message;
    // The reader does not expose the pidfd of each message.
    message.pidfd?.close();
    if (this.#failure !== null) {
      // The reader was closed during the receive.
      closeAll(fds);
      throw this.#failure;
    }
    const from = this.#offset + this.#end - this.#start;
    // A full buffer means that more data are waiting.
    if (bytesRead === room && !this.#records) this.#ahead = Math.min(2 * this.#ahead, MOST_AHEAD);
    this.#end += bytesRead;
    if (fds.length > 0) {
      this.#fds.push(...fds);
      this.#ranges.push({ from, to: from + bytesRead, count: fds.length });
    }
    if (message.surplus > 0)
      this.#refuse(`at most ${this.#maxFds} descriptors in one message`, fds.length + message.surplus);
    if (this.#fds.length > this.#maxQueuedFds)
      this.#refuse(`at most ${this.#maxQueuedFds} descriptors waiting to be taken`, this.#fds.length);
    this.#ended = message.eof;
    return !message.eof;
  }

  /** The number of bytes to receive, after making room for them. */
  #makeRoom(bytes: number): number {
    const queued = this.#end - this.#start;
    // A record must fit whole. On a stream, stay within the limit, or within what the read asks for.
    const ahead = this.#records ? this.#ahead : Math.min(this.#ahead, this.#maxQueuedBytes - queued);
    // For a large read, at most double what has arrived: a peer must send much data before it costs much memory.
    const room = Math.max(ahead, Math.min(bytes - queued, Math.max(this.#ahead, queued)));
    // On a stream, use the rest of the buffer first, and grow it only when it is full. Otherwise a peer that sends byte after byte
    // would cause a copy of all queued bytes for each.
    const free = this.#buffer.length - this.#end;
    if (free >= room || (!this.#records && free >= this.#receiveBytes)) return Math.min(room, free);
    const grown = queued + room > this.#buffer.length ? Buffer.allocUnsafeSlow(queued + room) : this.#buffer;
    this.#buffer.copy(grown, 0, this.#start, this.#end);
    this.#buffer = grown;
    this.#start = 0;
    this.#end = queued;
    return room;
  }

  #take(bytes: number): Buffer {
    const taken = Buffer.from(this.#buffer.subarray(this.#start, this.#start + bytes));
    this.#start += bytes;
    this.#offset += bytes;
    // Free a large buffer after a large read.
    if (this.#start === this.#end) {
      if (this.#buffer.length > Math.max(this.#maxQueuedBytes, this.#receiveBytes)) this.#buffer = Buffer.alloc(0);
      this.#start = 0;
      this.#end = 0;
    }
    return taken;
  }

  #unexpectedEnd(expected: string): AncillaryError {
    const data = Buffer.from(this.#buffer.subarray(this.#start, this.#end));
    const text = `expected ${expected}, but the peer finished after ${data.length} bytes`;
    return new AncillaryError("ERR_UNEXPECTED_EOF", text, { data });
  }

  #refuse(expected: string, actual: number): never {
    this.#fail(outOfRange("fds", expected, actual, "ERR_TOO_MANY_FDS"));
    throw this.#failure;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.close();
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
