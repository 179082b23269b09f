/** A Unix stream socket as a stream of Node. */

import { Duplex } from "node:stream";
import { isUint8Array, plainView } from "../core/bytes.ts";
import { AncillaryError, boolean, type Checks, integer, readOptions, wrongOwner, wrongType } from "../core/errors.ts";
import { type AsFd, copyFds, NO_FDS } from "../fd/as-fd.ts";
import type { OwnedFd } from "../fd/owned-fd.ts";
import { checkCarried } from "../message/send.ts";
import type { FdRange, FdReaderOptions } from "../socket/fd-reader.ts";
import { typeOf } from "../socket/message-socket.ts";
import type { UnixStream } from "../socket/stream.ts";
import { finish, Intake, settle } from "./intake.ts";

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

const bytes = (name: string, value: unknown): void => void integer(name, value, 0, 0x7fffffff);
const OPTIONS: Checks = {
  allowHalfOpen: boolean,
  readableHighWaterMark: bytes,
  writableHighWaterMark: bytes,
  maxFds: bytes,
  maxQueuedFds: bytes,
};
const WRITE: Checks = {
  fds: () => {},
  encoding(name, value) {
    if (!Buffer.isEncoding(value as string)) throw wrongType(name, "an encoding", value);
  },
};

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
  readonly #socket: UnixStream;
  readonly #intake: Intake;
  /** For each buffer that descriptors go with, these. Each such write has a buffer object of its own. */
  readonly #beside: WeakMap<object, readonly AsFd[]> = new WeakMap();

  /**
   * Takes over the socket: only this stream receives from it, and closes it.
   *
   * @throws AncillaryError `ERR_SOCKET_BUSY` when the socket has a reader or receives wait; `ERR_SOCKET_CLOSED`
   */
  constructor(socket: UnixStream, options?: FdDuplexOptions) {
    if (typeOf(socket) !== "stream") throw wrongOwner("socket", "a UnixStream", socket);
    const { maxFds, maxQueuedFds, ...streams } = readOptions("options", options, OPTIONS);
    if (socket.closed) throw new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
    super(streams as object);
    this.#socket = socket;
    this.#intake = new Intake(socket.reader({ maxFds, maxQueuedFds }), this, (range) => void this.emit("fds", range));
  }

  /**
   * Writes a chunk, and the descriptors beside it: once, with its first byte.
   *
   * @throws AncillaryError `ERR_EMPTY_PAYLOAD` for descriptors without bytes; RangeError `ERR_TOO_MANY_FDS`; TypeError
   */
  override write(chunk: string | Uint8Array, callback?: (error: Error | null | undefined) => void): boolean;
  override write(
    chunk: string | Uint8Array,
    options?: FdWriteOptions | BufferEncoding,
    callback?: (error: Error | null | undefined) => void,
  ): boolean;
  override write(chunk: string | Uint8Array, options?: unknown, callback?: never): boolean {
    if (typeof options !== "object" || options === null) return super.write(chunk, options as BufferEncoding, callback);
    return super.write(this.#withFds(chunk, options), callback);
  }

  /**
   * Ends the stream, after a last chunk and the descriptors beside it if they are given.
   *
   * @throws as {@link write} does; then the stream has not ended
   */
  override end(callback?: () => void): this;
  override end(chunk: string | Uint8Array, callback?: () => void): this;
  override end(chunk: string | Uint8Array, options?: FdWriteOptions | BufferEncoding, callback?: () => void): this;
  override end(chunk?: unknown, options?: unknown, callback?: () => void): this {
    if (typeof options !== "object" || options === null) return super.end(chunk, options as BufferEncoding, callback);
    return super.end(this.#withFds(chunk, options), callback);
  }

  /** Reads as every stream does: a Buffer, a string after `setEncoding`, or null. */
  // biome-ignore lint/suspicious/noExplicitAny: the type of Node's read; pipeline takes no other.
  override read(size?: number): any {
    const data = super.read(size);
    if (size !== 0) this.#intake.asked(data === null);
    return data;
  }

  /**
   * Takes the oldest descriptors that have arrived. The caller owns them from then on.
   *
   * @throws AncillaryError `ERR_FD_COUNT` when fewer have arrived; they stay queued
   */
  takeFds(count: number): OwnedFd[] {
    const fds = this.#intake.reader.takeFds(count);
    this.#intake.asked(false);
    return fds;
  }

  /** The descriptors that are not yet taken, the oldest first, with the bytes they arrived with. */
  get fdRanges(): readonly FdRange[] {
    return this.#intake.reader.fdRanges;
  }

  /** How many descriptors have arrived and are not taken. */
  get queuedFds(): number {
    return this.#intake.reader.queuedFds;
  }

  /** Offset in the stream of the next byte that is read, to compare with {@link fdRanges}. Of no use after `setEncoding`. */
  get position(): number {
    return this.#intake.position;
  }

  /** @internal */
  override _read(): void {
    this.#intake.fill();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    settle(this.#send([chunk]), callback);
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    settle(this.#sendRuns(chunks), callback);
  }

  /** @internal */
  override _final(callback: (error?: Error | null) => void): void {
    finish(this.#socket, callback);
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.close();
    callback(error);
  }

  /** A buffer object of its own for a chunk, with the descriptors that go with it. */
  #withFds(chunk: unknown, options: object): Buffer {
    const { fds, encoding } = readOptions<FdWriteOptions>("options", options, WRITE);
    if (typeof chunk !== "string" && !isUint8Array(chunk)) throw wrongType("chunk", "a string or a Uint8Array", chunk);
    const plain = typeof chunk === "string" ? Buffer.from(chunk, encoding) : plainView(chunk);
    const buffer = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
    const copied = fds === undefined ? NO_FDS : copyFds(fds, this.#socket.platform.abi.maxFdsPerMessage);
    checkCarried(buffer.length, copied);
    if (copied.length > 0) this.#beside.set(buffer, copied);
    return buffer;
  }

  /** One send for chunks of which only the first may have descriptors. */
  #send(chunks: readonly Buffer[]): Promise<void> {
    const fds = this.#beside.get(chunks[0]!);
    if (fds === undefined && chunks.every(({ length }) => length === 0)) return Promise.resolve();
    return this.#socket.sendFdsAll(chunks, fds);
  }

  async #sendRuns(chunks: readonly { chunk: Buffer }[]): Promise<void> {
    let run: Buffer[] = [];
    for (const { chunk } of chunks) {
      if (run.length > 0 && this.#beside.has(chunk)) {
        await this.#send(run);
        run = [];
      }
      run.push(chunk);
    }
    await this.#send(run);
  }
}
