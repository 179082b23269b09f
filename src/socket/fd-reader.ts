/** For protocols that count descriptors in their own messages (D-Bus, Wayland, tmux, s6, QMP): bytes and descriptors as two queues. */

import { AncillaryError, type Checks, integer, outOfRange, readOptions, wrongType } from "../core/errors.ts";
import { closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import type { ReceivedFdsInto } from "../message/receive.ts";
import { isUint8Array } from "../system/builtins.ts";
import { SIGNAL, type WaitOptions } from "./endpoint.ts";
import { Turns } from "./turns.ts";

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

/** A batch of descriptors, and the bytes it arrived with. */
export interface FdRange {
  /** Offset in the stream of the first byte of the receive that brought it. Linux glues plain bytes in front. */
  readonly from: number;
  /** Offset behind the last byte. */
  readonly to: number;
  /** How many of its descriptors are not yet taken. */
  readonly count: number;
}

/** What a reader reads: a connected socket. */
export interface ReaderSource {
  receive(into: Uint8Array, maxFds: number, signal: AbortSignal | undefined): Promise<ReceivedFdsInto>;
  close(): void;
}

/** The least room for a receive: a page; on sockets that keep boundaries a whole record has to fit. */
export const RECEIVE_BYTES = { stream: 4096, seqpacket: 65536 } as const;

const LIMITS: Checks = {
  maxFds: (name, value) => void integer(name, value, 0, 0x7fffffff),
  maxQueuedFds: (name, value) => void integer(name, value, 0, 0x7fffffff),
  maxQueuedBytes: (name, value) => void integer(name, value, 1, 0x7fffffff),
};

/** Bytes of one receive at most, where no read asks for more. */
const MOST_AHEAD = 65536;

type ReadOptions = Pick<WaitOptions, "signal">;

/**
 * Reads a stream of bytes with descriptors in it. The descriptors that came with a byte are in {@link takeFds} when that
 * byte has been read.
 *
 * It receives only while somebody reads, and not more than its limits: what a peer sends beyond waits in the kernel. Reads are
 * served in the order of the calls. A peer that breaks a limit, and any failure of the socket but an abort, closes the reader
 * and the socket; what is read afterwards fails with the same error.
 */
export class FdReader implements Disposable, AsyncDisposable {
  readonly #source: ReaderSource;
  readonly #maxFds: number;
  readonly #maxQueuedFds: number;
  readonly #maxQueuedBytes: number;
  readonly #receiveBytes: number;
  /** Whether each receive has to have room for a whole record. */
  readonly #records: boolean;
  /** Bytes of the next receive: few at first, as a page costs a short session nothing. */
  #ahead: number;
  /** Bytes from {@link #start} to {@link #end} have come and were not read; the first has the stream offset {@link #offset}. */
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  #offset: number;
  readonly #fds: OwnedFd[] = [];
  readonly #ranges: { from: number; to: number; count: number }[] = [];
  #ended = false;
  #failure: unknown = null;
  /** What a record socket told of its peer before the records that had come. */
  #reset: unknown = null;
  readonly #reads: Turns = new Turns();

  /** @internal Made by the `reader` method of a socket. `offset`: how many bytes were received before. */
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
   * Exactly so many bytes, as soon as they have come. An abort leaves those that have come to the next read.
   *
   * @throws AncillaryError `ERR_UNEXPECTED_EOF` when the peer finishes before, with what had come as `data`;
   *   `ERR_TOO_MANY_FDS`; `ERR_SOCKET_CLOSED`
   */
  read(bytes: number, options?: ReadOptions): Promise<Buffer> {
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

  /** @internal {@link read} where nothing has to be waited for; null: it has to. */
  readNow(bytes: number): Buffer | null {
    return !this.#reads.idle || this.#failure !== null || this.#end - this.#start < bytes ? null : this.#take(bytes);
  }

  /**
   * The bytes up to and including a delimiter, at most `max` with it.
   *
   * @throws AncillaryError `ERR_TOO_LONG` when it is not within the next `max` bytes, which stay; as {@link read}
   */
  readUntil(delimiter: Uint8Array | string, max: number, options?: ReadOptions): Promise<Buffer> {
    let wanted: Buffer;
    let signal: AbortSignal | undefined;
    try {
      wanted = delimiterOf(delimiter);
      integer("max", max, 1, 0x7fffffff);
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#inTurn(async () => {
      // What was searched before is not searched again, but for a delimiter that lies across.
      let searched = 0;
      for (;;) {
        const queued = this.#end - this.#start;
        const found = this.#buffer.subarray(this.#start, this.#start + Math.min(queued, max)).indexOf(wanted, searched);
        if (found !== -1) return this.#take(found + wanted.length);
        if (queued >= max) {
          throw new AncillaryError(
            "ERR_TOO_LONG",
            `expected the delimiter within ${max} bytes, there are ${queued} without`,
          );
        }
        searched = Math.max(0, queued - wanted.length + 1);
        if (!(await this.#receive(max, signal))) throw this.#unexpectedEnd("a delimiter");
      }
    }, signal);
  }

  /** Whether the peer has finished and all its bytes are read; waits until that or at least a byte is known. */
  ended(options?: ReadOptions): Promise<boolean> {
    let signal: AbortSignal | undefined;
    try {
      signal = readOptions("options", options, SIGNAL).signal;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#inTurn(async () => {
      // A message may bring descriptors and no byte: then it goes on.
      while (this.#end === this.#start) if (!(await this.#receive(1, signal))) return true;
      return false;
    }, signal);
  }

  /**
   * The oldest descriptors that have come, the caller's from now on.
   *
   * @throws AncillaryError `ERR_FD_COUNT` when fewer have come; they stay
   */
  takeFds(count: number): OwnedFd[] {
    integer("count", count, 0, 0x7fffffff);
    if (count > this.#fds.length) {
      throw new AncillaryError(
        "ERR_FD_COUNT",
        `expected at least ${count} descriptors to have come, got ${this.#fds.length}`,
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

  /** The batches that are not yet taken, the oldest first, and the bytes they arrived with. */
  get fdRanges(): readonly FdRange[] {
    return this.#ranges.map((range) => ({ ...range }));
  }

  /** Descriptors that have come and were not taken. */
  get queuedFds(): number {
    return this.#fds.length;
  }

  /** Bytes that have come and were not read. */
  get queuedBytes(): number {
    return this.#end - this.#start;
  }

  /** Offset in the stream of the byte that is read next. */
  get offset(): number {
    return this.#offset;
  }

  /** Closes the descriptors that were not taken, and the socket. Reads that wait fail with `ERR_SOCKET_CLOSED`. */
  close(): void {
    this.#source.close();
    this.discard();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** @internal Nothing will be read any more: closes what came, and forgets it. */
  discard(): void {
    this.#failure ??= new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
    closeAll(this.#fds.splice(0));
    this.#ranges.length = 0;
    // Whoever keeps a closed reader keeps no memory by it.
    this.#buffer = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
  }

  #inTurn<T>(read: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const run = async (): Promise<T> => {
      if (this.#failure !== null) throw this.#failure;
      return read();
    };
    return this.#reads.take(run, signal);
  }

  /** One receive, for a read of so many bytes; false: the peer has finished. */
  async #receive(wanted: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#ended) return false;
    const room = this.#makeRoom(wanted);
    let message: ReceivedFdsInto;
    try {
      const into = this.#buffer.subarray(this.#end, this.#end + room);
      message = await this.#source.receive(into, this.#maxFds, signal);
    } catch (error) {
      const aborted = signal?.aborted === true && error === signal.reason;
      if (this.#isReset(error) && !aborted) {
        this.#reset = error;
        return this.#receive(wanted, signal);
      }
      // An abort changes nothing. After anything else bytes and descriptors are no longer in step.
      if (!aborted) this.#fail(error);
      throw this.#failure ?? error;
    }
    const { bytesRead, fds } = message;
    // Nobody was promised a pidfd of each message.
    message.pidfd?.close();
    if (this.#failure !== null) {
      // It was closed between the receive and here.
      closeAll(fds);
      throw this.#failure;
    }
    const from = this.#offset + this.#end - this.#start;
    // A peer that fills the room has more.
    if (bytesRead === room && !this.#records) this.#ahead = Math.min(2 * this.#ahead, MOST_AHEAD);
    this.#end += bytesRead;
    if (fds.length > 0) {
      this.#fds.push(...fds);
      this.#ranges.push({ from, to: from + bytesRead, count: fds.length });
    }
    if (message.surplus > 0)
      this.#refuse(`at most ${this.#maxFds} descriptors in one message`, fds.length + message.surplus);
    if (this.#fds.length > this.#maxQueuedFds)
      this.#refuse(`at most ${this.#maxQueuedFds} descriptors that are not taken`, this.#fds.length);
    this.#ended = message.eof;
    if (message.eof && this.#reset !== null) {
      this.#fail(this.#reset);
      throw this.#failure;
    }
    return !message.eof;
  }

  /**
   * A reset comes behind what is left of a stream, but before what is left of records, once
   * (Linux, __skb_try_recv_datagram): those are read first.
   */
  #isReset(error: unknown): boolean {
    return (
      this.#receiveBytes === RECEIVE_BYTES.seqpacket &&
      this.#reset === null &&
      this.#failure === null &&
      (error as Partial<NodeJS.ErrnoException> | null)?.code === "ECONNRESET"
    );
  }

  /** How much to receive; there is room for it then. */
  #makeRoom(wanted: number): number {
    const queued = this.#end - this.#start;
    // A record has to fit whole; of a stream no more than the limit, or than what is asked for.
    const ahead = this.#records ? this.#ahead : Math.min(this.#ahead, this.#maxQueuedBytes - queued);
    // Of a large read as much again as has come: whoever announces much has to send much before it costs memory.
    const room = Math.max(ahead, Math.min(wanted - queued, Math.max(this.#ahead, queued)));
    if (this.#buffer.length - this.#end >= room) return room;
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
    // A large read leaves no large buffer behind.
    if (this.#start === this.#end) {
      if (this.#buffer.length > Math.max(this.#maxQueuedBytes, this.#receiveBytes)) this.#buffer = Buffer.alloc(0);
      this.#start = 0;
      this.#end = 0;
    }
    return taken;
  }

  #unexpectedEnd(expected: string): AncillaryError {
    const data = Buffer.from(this.#buffer.subarray(this.#start, this.#end));
    const text = `expected ${expected}, the peer finished after ${data.length} bytes`;
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
  // A copy: it is looked at later.
  const bytes = typeof delimiter === "string" ? Buffer.from(delimiter) : Buffer.from(delimiter);
  if (bytes.length === 0) throw outOfRange("delimiter", "at least 1 byte", 0);
  return bytes;
}
