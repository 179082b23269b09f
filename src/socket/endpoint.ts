/**
 * What all sockets share: a descriptor with one owner, a queue of operations for each direction, and waiting.
 *
 * An operation is usually attempted at once, and waits for readiness when the kernel returns `EAGAIN`. Operations of one direction,
 * including synchronous ones, are served in the order of the calls.
 */

import { AncillaryError, KEY, markAsOurs, noConstructor, UNCLONEABLE } from "../core/errors.ts";
import { setSocketClass } from "../fd/as-fd.ts";
import { noteCaller, noteStack, TRACING } from "../fd/leak.ts";
import { shownSocket } from "../fd/shown.ts";
import { addressOf } from "../system/address.ts";
import { signals } from "../system/builtins.ts";
import { errnoError, fdError, timedOut } from "../system/errno.ts";
import { BURST, OPERATION, type Platform, TURN } from "../system/platform.ts";
import { showAs } from "../system/shown.ts";
import { getOption, type OptionLevel, type OptionName, setOption } from "../system/socket-options.ts";
import { POLLIN, POLLOUT, type Timer } from "../system/system.ts";
import { onAbort } from "./aborts.ts";
import { Handle, registry, setReadyCallback } from "./handle.ts";
import { LIES, type Operation, pauseAfter, WAIT } from "./operation.ts";
import { append, lengthOf, type Queue, remove } from "./queue.ts";
import { type Direction, type Lane, type Line, Waiting } from "./waiting.ts";

/**
 * After this many receives in a row that found nothing at once, the next ones wait for readiness first: two processes that send in
 * turn save one of five system calls for each message (2026-11). Every PROBE-th receive still tries at once; if it finds a message,
 * so do the next ones.
 */
const FUTILE = 4;
const PROBE = 16;

/** A socket of this library. */
export abstract class Endpoint implements Disposable, AsyncDisposable {
  /** @internal Makes a structured clone fail. */
  readonly uncloneable: typeof UNCLONEABLE = UNCLONEABLE;
  readonly #handle: Handle;
  #reading: Queue<Waiting> = null;
  #writing: Queue<Waiting> = null;
  /** The lanes by their lines; null until a send waits for its receiver. */
  #lanes: Map<Line, Lane> | null = null;
  /** The lanes that have no timer, because they are served after a turn of the event loop. */
  #resting: Set<Line> | null = null;
  #referenced = true;
  /** What this socket has handed over since the event loop turned, in the unit of {@link BURST}. */
  #burst = 0;
  #futile = 0;
  #yielding = false;
  /** Wake-ups in a row in which a receive found nothing, and the milliseconds until it tries again (0: when the socket is ready). */
  #lies = 0;
  #pause = 0;
  #retry: Timer | null = null;

  static {
    markAsOurs(Endpoint.prototype);
    showAs(Endpoint.prototype, (self) =>
      #handle in self ? shownSocket(self.#handle.platform, self.#handle.fd, self.#waiting()) : null,
    );
    if (TRACING) {
      const { submit } = Endpoint.prototype;
      Endpoint.prototype.submit = function <T>(line: Line, operation: Operation<T>, signal?: AbortSignal): Promise<T> {
        noteCaller(operation);
        return submit.call(this, line, operation as Operation<unknown>, signal) as Promise<T>;
      };
    }
    setReadyCallback((endpoint, events) => (endpoint as Endpoint).#onReady(events));
    setSocketClass({
      has: (source) => #handle in source,
      fd: (source) => (source as Endpoint).#handle.fd,
      platform: (source) => (source as Endpoint).#handle.platform,
    });
  }

  /** Takes over a descriptor that this thread owns. `isStream`: a connected stream, not a listener. */
  protected constructor(key: typeof KEY, platform: Platform, fd: number, isStream: boolean) {
    if (key !== KEY) throw noConstructor(new.target);
    this.#handle = new Handle(platform, fd, isStream);
    if (TRACING) noteStack(this.#handle);
    // Never unregistered: the number of a closed handle is -1.
    registry.register(this, this.#handle);
  }

  /** @internal */
  get platform(): Platform {
    return this.#handle.platform;
  }

  /**
   * The number of the socket, for as long as this object is its owner.
   *
   * @throws AncillaryError `ERR_FD_CLOSED` once closed
   */
  get fd(): number {
    const { fd } = this.#handle;
    if (fd === -1) throw new AncillaryError("ERR_FD_CLOSED", "the socket was closed");
    return fd;
  }

  /** True after {@link close}. */
  get closed(): boolean {
    return this.#handle.fd === -1;
  }

  /** The name that it is bound to; null if it has none. An abstract name begins with `"\0"`. */
  get address(): string | null {
    const { system } = this.platform;
    const family = system.getsockname(this.openFd());
    if (family < 0) throw fdError(family, "getsockname", this.fd, true);
    return addressOf(system);
  }

  /**
   * A socket option, `getsockopt(2)`: an int or, with `bytes`, at most so many bytes of any value. Level and name are those of the C
   * headers, or numbers. To read SO_ERROR clears the error.
   *
   * @throws RangeError for options that make a descriptor, and without `bytes` if the value is no int; SystemError `ENOPROTOOPT` ...,
   *   `ENOTSUP` for a name that this system does not have
   */
  getOption(level: OptionLevel | number, name: OptionName | number): number;
  getOption(level: OptionLevel | number, name: OptionName | number, bytes: number): Buffer;
  getOption(level: OptionLevel | number, name: OptionName | number, bytes?: number): number | Buffer {
    return getOption(this.platform, this.openFd(), level, name, bytes);
  }

  /**
   * Sets a socket option, `setsockopt(2)`, to an int or to bytes.
   *
   * @throws RangeError for options that the library relies on: the message says what to call instead; SystemError `EPERM`,
   *   `ENOPROTOOPT` ..., `ENOTSUP` for a name that this system does not have
   */
  setOption(level: OptionLevel | number, name: OptionName | number, value: number | Uint8Array): void {
    setOption(this.platform, this.openFd(), level, name, value);
  }

  /** Makes waiting operations keep the process alive (the default). */
  ref(): this {
    this.#referenced = true;
    this.#rearm();
    return this;
  }

  /** Lets the process end while operations wait. */
  unref(): this {
    this.#referenced = false;
    this.#rearm();
    return this;
  }

  /**
   * Closes the socket. The descriptor is closed when this returns, and waiting operations fail with `ERR_SOCKET_CLOSED`.
   * A second call does nothing.
   */
  close(): void {
    if (this.#handle.fd === -1) return;
    // Otherwise it could close, and throw before the waiting operations have failed.
    if (!this.idle("reading") || !this.idle("writing") || !this.lanesIdle) this.platform.system.needStack();
    const { fd } = this.#handle;
    const result = this.#handle.release();
    this.#abandon(socketClosed());
    if (result < 0) throw fdError(result, "close", fd, true);
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /**
   * The number, for a system call made right after.
   *
   * @internal
   * @throws AncillaryError `ERR_SOCKET_CLOSED`
   */
  protected openFd(): number {
    const { fd } = this.#handle;
    if (fd === -1) throw socketClosed();
    return fd;
  }

  /**
   * Gives the descriptor to the owner that `take` makes, and closes nothing. If `take` throws, the descriptor stays with this socket.
   *
   * @internal
   * @throws AncillaryError `ERR_SOCKET_BUSY` while operations wait
   */
  protected handOver<T>(take: (fd: number) => T): T {
    const fd = this.openFd();
    const waiting = this.#waiting();
    if (waiting > 0)
      throw new AncillaryError("ERR_SOCKET_BUSY", `expected a socket without waiting operations, there are ${waiting}`);
    this.#handle.unwatch();
    const { system } = this.platform;
    const given = system.give(fd);
    if (given < 0) throw fdError(given, "fstat", fd, true);
    this.#handle.fd = -1;
    try {
      return take(fd);
    } catch (error) {
      system.own(fd);
      this.#handle.fd = fd;
      throw error;
    } finally {
      system.give(-1);
    }
  }

  /** How many operations wait. */
  #waiting(): number {
    let waiting = lengthOf(this.#reading) + lengthOf(this.#writing);
    for (const { queue } of this.#lanes?.values() ?? []) waiting += lengthOf(queue);
    return waiting;
  }

  /** Whether no operation waits in a direction. @internal */
  protected idle(direction: Direction): boolean {
    return this.#queue(direction) === null;
  }

  /** Whether no send waits for its receiver. @internal */
  protected get lanesIdle(): boolean {
    return this.#lanes === null || this.#lanes.size === 0;
  }

  /** Runs an operation to its end: at once if no operation waits before it, else in its turn. @internal */
  protected runSync<T>(line: Line, operation: Operation<T>, timeout: number | undefined): T {
    operation.prepare();
    const { fd } = this.#handle;
    if (fd === -1) throw operation.failed(socketClosed());
    if (this.#queue(line) === null) {
      const value = operation.perform(fd);
      if (value !== WAIT) {
        operation.recycle();
        return value;
      }
    } else operation.check();
    return this.#waitSync(line, operation, timeout);
  }

  /** Runs an operation if it need not wait, neither for other operations nor for the kernel; null otherwise. @internal */
  protected tryNow<T>(line: Line, operation: Operation<T>): T | null {
    operation.prepare();
    if (this.#queue(line) !== null) {
      operation.check();
      this.#serve(line);
      this.#rearmLine(line);
      // The operations before it ran code of the caller's.
      operation.prepare();
    }
    const { fd } = this.#handle;
    if (fd === -1) throw operation.failed(socketClosed());
    if (this.#queue(line) !== null) return null;
    const value = operation.perform(fd);
    if (value === WAIT) return null;
    this.#spend(OPERATION);
    return value;
  }

  /** Runs an operation in its turn. @internal */
  protected submit<T>(line: Line, operation: Operation<T>, signal?: AbortSignal): Promise<T> {
    try {
      operation.prepare();
      if (signal !== undefined && signals.aborted(signal))
        return this.#fail(operation.withdrawn(signals.reason(signal)));
      const { fd } = this.#handle;
      if (fd === -1) return this.#fail(operation.failed(socketClosed()));
      // The members of a signal that is not Node's are code of the caller's.
      if (signal !== undefined) operation.check();
      if (this.#mayAttempt(line)) {
        const value = operation.perform(fd);
        const waits = value === WAIT;
        if (!waits) this.#spend(OPERATION);
        if (line === "reading") this.#futile = waits ? this.#futile + 1 : 0;
        if (!waits) {
          operation.recycle();
          return Promise.resolve(value);
        }
      } else operation.check();
    } catch (error) {
      return this.#fail(error);
    }
    return this.#wait(line, operation, signal);
  }

  /** A method of its own: a function that makes closures allocates their context at each call, even if it makes none. */
  #wait<T>(line: Line, operation: Operation<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const entry = new Waiting(operation as Operation<unknown>, resolve, reject);
      this.#append(line, entry);
      if (signal !== undefined) this.#listen(line, entry, signal);
      if (!this.#yielding || !isDirection(line)) this.#rearmLine(line);
    });
  }

  /** An immediate failure. It counts towards BURST too: a loop that catches errors would otherwise block the event loop. */
  #fail(error: unknown): Promise<never> {
    this.#spend(OPERATION);
    if (!this.#isSpent) return Promise.reject(error);
    this.#burst = 0;
    return new Promise((_, reject) => this.platform.rest(() => reject(error)));
  }

  /**
   * Counts what was handed over without an operation. Null, or a promise to wait for before more is, which gives the event loop a turn.
   *
   * @internal
   */
  protected handedOver(units: number): Promise<void> | null {
    this.#spend(units);
    if (!this.#isSpent) return null;
    this.#burst = 0;
    return new Promise((resolve) => this.platform.rest(resolve));
  }

  /** Counts what was handed over, in the unit of {@link BURST}. An attempt itself counts its bytes and descriptors. */
  #spend(units: number): void {
    this.#burst += units;
    this.#handle.platform.spent += units;
  }

  /** Whether the event loop gets a turn before anything more is handed over. */
  get #isSpent(): boolean {
    return this.#burst >= BURST || this.#handle.platform.spent >= TURN;
  }

  /** Whether an asynchronous operation is attempted at once. */
  #mayAttempt(line: Line): boolean {
    if (this.#queue(line) !== null || this.#yielding) return false;
    if (this.#isSpent) {
      this.#yield();
      return false;
    }
    return line !== "reading" || this.#futile < FUTILE || ++this.#futile % PROBE === 0;
  }

  /** Waits in `poll(2)`; the operations before it in the queue are served first. */
  #waitSync<T>(line: Line, operation: Operation<T>, timeout: number | undefined): T {
    if (this.#queue(line)?.preparing === true) {
      const what = "expected no synchronous call in a getter that an earlier operation reads";
      throw new AncillaryError("ERR_SOCKET_BUSY", what);
    }
    const { system } = this.platform;
    const deadline = timeout === undefined ? Infinity : system.now() + timeout;
    let outcome = null as { value: T } | { error: unknown } | null;
    const entry = new Waiting(
      operation as Operation<unknown>,
      (value: T) => (outcome = { value }),
      (error) => (outcome = { error }),
    );
    const fail = (error: Error) => {
      this.#remove(line, entry);
      outcome = { error: operation.failed(error) };
    };
    this.#append(line, entry);
    let lies = 0;
    let waited: Queue<Waiting> = null;
    for (;;) {
      this.#serve(line, true);
      if (outcome !== null) break;
      // As in onReady. Not for sends: one that is ready may have sent a part.
      lies = line === "reading" && waited === this.#reading ? lies + 1 : 0;
      if (lies >= LIES) this.#giveUp(line);
      if (outcome !== null) break;
      waited = this.#queue(line);
      const left = deadline - system.now();
      if (left <= 0) {
        fail(timedOut(operation.syscall, timeout!));
        break;
      }
      const { operation: first } = this.#queue(line)!;
      const retryAfter = Math.max(first.retryAfter, pauseAfter(lies));
      const events = retryAfter > 0 ? 0 : line === "reading" ? POLLIN : POLLOUT;
      const wait = retryAfter > 0 ? Math.min(retryAfter, left) : left;
      const ready = system.poll(
        this.#handle.fd,
        events,
        wait === Infinity ? -1 : Math.min(Math.ceil(wait), 0x7fffffff),
      );
      if (ready < 0) {
        fail(errnoError(ready, "poll"));
        break;
      }
    }
    this.#rearmLine(line);
    if ("error" in outcome!) throw outcome.error;
    return outcome!.value;
  }

  /**
   * Serves a queue until it is empty or its first operation has to wait for the kernel; or until the event loop has to turn, if calls
   * need not be synchronous.
   */
  #serve(line: Line, synchronous = false): void {
    for (;;) {
      const entry = this.#queue(line);
      // A getter that the first operation reads called this: the turn of that operation is not over.
      if (entry === null || entry.preparing) return;
      const { operation } = entry;
      try {
        entry.preparing = true;
        if (entry.prepare === null) operation.prepare();
        else entry.prepare();
        // Code of the caller's may have closed the socket or aborted this operation, which is then settled.
        if (this.#queue(line) !== entry) continue;
        const value = operation.perform(this.#handle.fd);
        if (value === WAIT) return;
        this.#remove(line, entry);
        entry.resolve(value);
        operation.recycle();
      } catch (error) {
        if (entry.next === null) continue;
        this.#remove(line, entry);
        entry.reject(error);
      } finally {
        entry.preparing = false;
      }
      this.#spend(OPERATION);
      if (!synchronous && this.#isSpent && this.#queue(line) !== null) {
        this.#yield();
        return;
      }
    }
  }

  /** Fails the first operation of a queue if it can never succeed. */
  #giveUp(line: Line): void {
    const entry = this.#queue(line);
    if (entry === null || entry.preparing) return;
    const error = entry.operation.stuck(this.#handle.fd);
    if (error === null) return;
    this.#remove(line, entry);
    entry.reject(entry.operation.failed(error));
  }

  /** Called when the socket is ready. A receive may still find nothing. */
  #onReady(events: number): void {
    const first = (events & POLLIN) === 0 ? null : this.#reading;
    this.#serveReady(events);
    if (first === null) return;
    this.#lies = first === this.#reading ? this.#lies + 1 : 0;
    if (this.#lies < LIES) return;
    this.#giveUp("reading");
    this.#pause = pauseAfter(this.#lies);
    this.#rearm();
  }

  #serveReady(events: number): void {
    this.#burst = 0;
    // An event that an operation waited for does not disarm the watcher, even if no other operation waits: see rearm.
    const unwanted = this.idle("reading") ? events & POLLIN : 0;
    if ((events & POLLIN) !== 0) this.#serve("reading");
    if ((events & POLLOUT) !== 0) this.#serve("writing");
    this.#rearm(unwanted);
  }

  /**
   * Arms the watcher for the events that operations wait for. It stays armed for reading after the last receive: another receive
   * usually follows, and this saves two epoll calls. An event that no operation waits for disarms it.
   */
  #rearm(unwanted = 0): void {
    const handle = this.#handle;
    if (handle.fd === -1) return;
    const reads = !this.idle("reading");
    const waits = reads || !this.idle("writing") || !this.lanesIdle;
    handle.waiting = waits ? this : null;
    if (handle.watcher === -1) {
      if (!waits) return;
      const watcher = handle.platform.system.watch(handle.fd, handle);
      if (watcher < 0) {
        // The thread that watches needs descriptors (Bun, Deno). A loop that catches the error would block the event loop.
        this.#spend(OPERATION);
        this.#abandon(errnoError(watcher, "poll"));
        return;
      }
      handle.watcher = watcher;
    }
    const readAfter = this.#reading === null ? 0 : Math.max(this.#reading.operation.retryAfter, this.#pause);
    const writeAfter = this.#writing?.operation.retryAfter ?? 0;
    if (this.#retry === null && readAfter + writeAfter > 0) {
      const retryAfter = Math.min(readAfter || writeAfter, writeAfter || readAfter);
      this.#retry = handle.platform.system.timer(retryAfter, () => {
        this.#retry = null;
        this.#pause = 0;
        this.#serveReady((readAfter > 0 ? POLLIN : 0) | (writeAfter > 0 ? POLLOUT : 0));
      });
    }
    const writes = !this.idle("writing") && writeAfter === 0;
    const keepReading = reads ? readAfter === 0 : (handle.armed & POLLIN) !== 0 && unwanted === 0;
    handle.arm((keepReading ? POLLIN : 0) | (writes ? POLLOUT : 0));
    const keepsAlive = waits && this.#referenced;
    handle.keepAlive(keepsAlive);
    this.#retry?.keepAlive(keepsAlive);
  }

  /** Arms the watcher, or starts the timer, that tries the operations of a line again. */
  #rearmLine(line: Line): void {
    const lane = isDirection(line) ? undefined : this.#lanes?.get(line);
    if (lane !== undefined && lane.timer === null) {
      if (this.#yielding) {
        this.#resting ??= new Set();
        this.#resting.add(line);
      } else {
        lane.timer = this.platform.system.timer(Math.max(1, lane.queue!.operation.retryAfter), () => {
          lane.timer = null;
          this.#burst = 0;
          this.#serve(line);
          this.#rearmLine(line);
        });
        // The socket keeps the process alive, for all its lanes.
        lane.timer.keepAlive(false);
      }
    }
    this.#rearm();
  }

  /** The queue of a line: its first entry, which is served next. */
  #queue(line: Line): Queue<Waiting> {
    if (line === "reading") return this.#reading;
    return line === "writing" ? this.#writing : (this.#lanes?.get(line)?.queue ?? null);
  }

  #setQueue(line: Line, queue: Queue<Waiting>): void {
    if (line === "reading") this.#reading = queue;
    else if (line === "writing") this.#writing = queue;
    else {
      this.#lanes ??= new Map();
      const lane = this.#lanes.get(line);
      if (lane === undefined) {
        if (queue !== null) this.#lanes.set(line, { queue, timer: null });
        return;
      }
      lane.queue = queue;
      if (queue !== null) return;
      lane.timer?.close();
      this.#lanes.delete(line);
    }
  }

  #append(line: Line, entry: Waiting): void {
    this.#setQueue(line, append(this.#queue(line), entry));
  }

  /** Takes an entry out of its queue, and stops listening to its signal. */
  #remove(line: Line, entry: Waiting): void {
    this.#setQueue(line, remove(this.#queue(line), entry));
    entry.unlisten?.();
  }

  /** Serves what has no watcher or timer meanwhile after one turn of the event loop. */
  #yield(): void {
    if (this.#yielding) return;
    this.#yielding = true;
    this.platform.rest(() => {
      this.#yielding = false;
      this.#serveReady(POLLIN | POLLOUT);
      const lanes = this.#resting;
      this.#resting = null;
      for (const line of lanes ?? []) {
        this.#serve(line);
        this.#rearmLine(line);
      }
    });
  }

  #listen(line: Line, entry: Waiting, signal: AbortSignal): void {
    const cancel = (reason: unknown) => {
      if (entry.next === null) return;
      this.#remove(line, entry);
      entry.reject(entry.operation.withdrawn(reason));
      this.#rearmLine(line);
    };
    try {
      entry.unlisten = onAbort(signal, () => cancel(signals.reason(signal)));
      // A signal that is not Node's may have closed the socket, or aborted this, in its addEventListener.
      if (entry.next === null) entry.unlisten();
    } catch (error) {
      // A Proxy of a signal may throw.
      cancel(error);
    }
  }

  /** Fails all waiting operations. */
  #abandon(error: Error): void {
    this.#handle.waiting = null;
    this.#retry?.close();
    this.#retry = null;
    const entries: Waiting[] = [];
    for (const line of ["reading", "writing", ...(this.#lanes?.keys() ?? [])] as const) {
      for (let entry = this.#queue(line); entry !== null; entry = this.#queue(line)) {
        this.#remove(line, entry);
        entries.push(entry);
      }
    }
    for (const entry of entries) entry.reject(entry.operation.failed(error));
  }
}

function isDirection(line: Line): line is Direction {
  return line === "reading" || line === "writing";
}

function socketClosed(): AncillaryError {
  return new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
}
