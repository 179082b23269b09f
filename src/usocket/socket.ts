/** usocket's USocket. */

import { Duplex } from "node:stream";
import { isUint8Array } from "../core/bytes.ts";
import { AncillaryError, integer, wrongType } from "../core/errors.ts";
import { OwnedFd } from "../fd/owned-fd.ts";
import type { UnixListener } from "../socket/listener.ts";
import { UnixStream } from "../socket/stream.ts";
import { finish, Intake, settle } from "../stream/intake.ts";
import { newAbortController } from "../system/builtins.ts";
import type { PlatformOptions } from "../system/platform.ts";

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

/** What {@link USocket.read} returns when it is asked for descriptors. */
export interface URead {
  /** The bytes; null if none were asked for. */
  data: Buffer | string | null;
  /** Descriptors, which the caller has to close. */
  fds: number[];
}

type Callback = (error?: Error | null) => void;

/** Makes the USocket of an accepted connection. */
export let accepted: (stream: UnixStream) => USocket;

/**
 * usocket's USocket: a Duplex stream that carries descriptors. Received descriptors are numbers that the caller owns.
 *
 * What differs from usocket: a partial write does not send descriptors twice, nor does a full socket drop them; descriptors
 * without bytes are an error, because the kernel would drop them; received descriptors are CLOEXEC; those that nobody has read are
 * closed with the socket; `read(n, null)` returns the descriptors that came with the bytes read so far, and leaves those of later
 * messages; `connect({ fd })` emits `"connected"` too.
 */
export class USocket extends Duplex {
  #stream: UnixStream | null = null;
  #intake: Intake | null = null;
  #connecting: AbortController | null = null;
  /** What waits for the connection: a read, and a write or the end. */
  #reads = false;
  #waiting: { readonly run: (stream: UnixStream) => void; readonly fail: Callback } | null = null;
  /** Descriptors that were put back, the next one last. */
  readonly #returned: OwnedFd[] = [];

  static {
    accepted = (stream) => {
      const socket = new USocket();
      socket.#attach(stream);
      return socket;
    };
  }

  /** Connects at once when a path or a descriptor is given. */
  constructor(options?: string | USocketOptions | null, callback?: () => void) {
    const given: USocketOptions = (typeof options === "string" ? { path: options } : options) ?? {};
    const { path, fd, allowHalfOpen = true, platform } = given;
    super({ writableObjectMode: true, allowHalfOpen, emitClose: false });
    // As usocket: null and an empty path are none.
    if (path || (fd ?? null) !== null) this.connect({ path, fd, platform }, callback);
  }

  /** The number of the socket; undefined while it has none. */
  get fd(): number | undefined {
    return this.#stream === null || this.#stream.closed ? undefined : this.#stream.fd;
  }

  /**
   * Connects. Emits `"connected"`, or `"error"` and `"close"`; after a failure it can be called again.
   *
   * @throws Error when the socket is connected already, or the destination is none
   */
  connect(to: string | USocketOptions, callback?: () => void): void {
    if (this.#stream !== null || this.#connecting !== null || this.destroyed)
      throw new Error("connect on already connected USocket");
    const { path, fd, platform }: USocketOptions = typeof to === "string" ? { path: to } : to;
    if (typeof fd !== "number" && typeof path !== "string") throw wrongType("path", "a string, or fd: a number", path);
    if (typeof callback === "function") this.once("connected", callback);
    const connecting = newAbortController();
    this.#connecting = connecting;
    const { signal } = connecting;
    let connection: Promise<UnixStream>;
    try {
      if (typeof fd === "number") this.#stream = takeNumber(fd);
      connection =
        this.#stream !== null ? Promise.resolve(this.#stream) : UnixStream.connect(path!, { signal, platform });
    } catch (error) {
      connection = Promise.reject(error);
    }
    connection.then(
      (stream) => queueMicrotask(() => this.#connected(stream)),
      (error) => queueMicrotask(() => this.#failed(error, callback)),
    );
  }

  #connected(stream: UnixStream): void {
    if (this.destroyed) {
      drop(stream);
    } else {
      this.#attach(stream);
      this.emit("connected");
    }
  }

  #failed(error: Error, callback: (() => void) | undefined): void {
    this.#connecting = null;
    if (this.destroyed) return;
    if (typeof callback === "function") this.off("connected", callback);
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) {
      waiting.fail(error);
    } else {
      this.emit("error", error);
      this.emit("close", error);
    }
  }

  #attach(stream: UnixStream): void {
    const reader = stream.reader();
    this.#connecting = null;
    this.#stream = stream;
    this.#intake = new Intake(reader, this, ({ count }) => {
      this.emit(
        "fds",
        reader.newestFds(count).map(({ fd }) => fd),
      );
    });
    if (this.#reads) this.#intake.fill();
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.run(stream);
  }

  /**
   * Reads bytes, as every stream does. With a second argument it reads descriptors too.
   *
   * @param count how many descriptors; null: those that came with the bytes read so far
   * @returns null when there are fewer bytes or descriptors
   */
  // biome-ignore lint/suspicious/noExplicitAny: the type of Node's read; pipeline takes no other.
  override read(size?: number | null): any;
  override read(size: number | null | undefined, count: number | null): URead | null;
  override read(size?: number | null, count?: number | null): unknown {
    const intake = this.#intake;
    if (count === undefined) return this.#read(size);
    // Before anything is read: bytes and descriptors would be lost.
    if (count !== null) integer("count", count, 0, 0x7fffffff);
    // The descriptors that came with the bytes are closed.
    if (intake === null || this.destroyed) return null;
    if (count !== null && this.#returned.length + intake.reader.queuedFds < count) {
      super.read(0);
      intake.asked(true);
      return null;
    }
    const data = this.#read(size);
    return size && data === null ? null : { data, fds: this.#takeFds(intake, count) };
  }

  #read(size: number | null | undefined): Buffer | string | null {
    const data = super.read(size ?? undefined);
    if (size !== 0) this.#intake?.asked(data === null);
    return data;
  }

  #takeFds(intake: Intake, count: number | null): number[] {
    const queued = count === null ? this.#due(intake) : Math.max(0, count - this.#returned.length);
    const arrived = intake.reader.takeFds(queued);
    const fds: OwnedFd[] = [];
    while (this.#returned.length > 0 && fds.length !== count) fds.push(this.#returned.pop()!);
    intake.asked(false);
    return fds.concat(arrived).map((fd) => fd.release());
  }

  /** How many descriptors came with the bytes that have been read. */
  #due({ reader, position }: Intake): number {
    // Characters are no offsets.
    if (this.readableEncoding !== null) return reader.queuedFds;
    let due = 0;
    for (let i = 0; ; i++) {
      const range = reader.rangeBefore(position, i);
      if (range === null) return due;
      due += range.count;
    }
  }

  /** Puts bytes and descriptors back; the list of descriptors is emptied. After `destroy` the descriptors stay the caller's. */
  override unshift(chunk: unknown, fds?: BufferEncoding | number[]): void {
    if (Array.isArray(fds)) {
      // From the last: what cannot be taken stays in the list, and with the caller, as does what is before it.
      for (; fds.length > 0; fds.pop()) {
        const fd = fds[fds.length - 1]!;
        // By a getter of the list, or before: nothing would close the descriptor.
        if (this.destroyed) break;
        this.#returned.push(OwnedFd.fromRaw(fd));
      }
    }
    if (chunk) super.unshift(chunk, Array.isArray(fds) ? undefined : fds);
  }

  /** Sends bytes, or bytes and descriptors. */
  override write(
    chunk: string | Uint8Array | UWriteOptions | readonly number[],
    encoding?: BufferEncoding | ((error?: Error | null) => void) | null,
    callback?: (error?: Error | null) => void,
  ): boolean {
    const done = typeof encoding === "function" ? encoding : callback;
    const text = typeof encoding === "string" ? encoding : "utf8";
    return super.write(typeof chunk === "string" ? Buffer.from(chunk, text) : chunk, done);
  }

  /** Sends what is given, and then the end. The socket is closed when the peer has finished, too. */
  override end(callback?: () => void): this;
  override end(chunk: unknown, callback?: () => void): this;
  override end(chunk: unknown, encoding?: BufferEncoding, callback?: () => void): this;
  override end(...parameters: unknown[]): this {
    super.end(...(parameters as []));
    // Notices the end of the peer even if nobody reads.
    super.read(0);
    return this;
  }

  /** @internal */
  override _read(): void {
    if (this.#intake === null) this.#reads = true;
    else this.#intake.fill();
  }

  /** @internal */
  override _write(chunk: unknown, encoding: BufferEncoding, callback: Callback): void {
    try {
      const { data, fds, callback: sent } = partsOf(chunk, encoding);
      const run = (stream: UnixStream) => {
        settle(stream.sendFdsAll(data, fds), (error) => {
          if (!error && sent !== undefined) sent(chunk as UWriteOptions);
          callback(error);
        });
      };
      this.#withStream(run, callback);
    } catch (error) {
      callback(error as Error);
    }
  }

  /** @internal */
  override _final(callback: Callback): void {
    if (this.#stream === null && this.#connecting === null) callback();
    else this.#withStream((stream) => finish(stream, callback), callback);
  }

  /** @internal */
  override _destroy(error: Error | null, callback: Callback): void {
    this.#connecting?.abort();
    let failure = error;
    // One that fails is closed, and the others are too.
    for (const one of [this.#stream, ...this.#returned.splice(0)]) {
      try {
        one?.close();
      } catch (closing) {
        failure ??= closing as Error;
      }
    }
    // `destroy()` by the program is silent, as in usocket.
    const closes = failure !== null || (this.readableEnded && this.writableFinished);
    callback(failure);
    this.#waiting?.fail(failure ?? destroyed());
    this.#waiting = null;
    if (closes) process.nextTick(() => this.emit("close", failure ?? undefined));
  }

  #withStream(run: (stream: UnixStream) => void, fail: Callback): void {
    // A getter of what is written can destroy it.
    if (this.destroyed) fail(destroyed());
    else if (this.#intake !== null) run(this.#stream!);
    else if (this.#connecting !== null) this.#waiting = { run, fail };
    else fail(new Error("USocket not connected"));
  }
}

/** Closes what nobody asked to close: nobody is told that this fails, and it is closed all the same. */
export function drop(socket: UnixStream | UnixListener): void {
  try {
    socket.close();
  } catch {}
}

const destroyed = (): AncillaryError => new AncillaryError("ERR_SOCKET_CLOSED", "the USocket was destroyed");

/** The socket of a number. If it is none, the number stays the caller's. */
function takeNumber(fd: number): UnixStream {
  const owned = OwnedFd.fromRaw(fd);
  try {
    return UnixStream.from(owned);
  } catch (error) {
    if (!owned.closed) owned.release();
    throw error;
  }
}

/** What a chunk of a write consists of, read once. */
function partsOf(chunk: unknown, encoding: BufferEncoding) {
  if (typeof chunk === "string") return { data: Buffer.from(chunk, encoding) };
  if (isUint8Array(chunk)) return { data: chunk };
  if (Array.isArray(chunk)) return { data: "", fds: chunk as number[] };
  const { data, fds, callback } = chunk as UWriteOptions;
  if (data && !isUint8Array(data)) throw wrongType("data", "a buffer", data);
  if (fds && !Array.isArray(fds)) throw wrongType("fds", "an array", fds);
  if (callback && typeof callback !== "function") throw wrongType("callback", "a function", callback);
  if (!data && !fds) throw wrongType("chunk", "data or fds", chunk);
  return { data: data || "", fds: fds || undefined, callback: callback || undefined };
}
