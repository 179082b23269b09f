/**
 * What all sockets share: a descriptor with one owner, a queue of operations for each direction, and waiting.
 *
 * An operation is usually attempted at once, and waits for readiness when the kernel returns `EAGAIN`. Operations of one direction,
 * including synchronous ones, are served in the order of the calls.
 */

import { AncillaryError, type Checks, markAsOurs, outOfRange, wrongType } from "../core/errors.ts";
import { setSocketClass } from "../fd/as-fd.ts";
import { reportLeak } from "../fd/leak.ts";
import { addressOf } from "../system/address.ts";
import { inContextOfNow, isAbortSignal, signals } from "../system/builtins.ts";
import { ETIMEDOUT, errnoError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { POLLIN, POLLOUT, type Timer, type Watched } from "../system/system.ts";
import { onAbort } from "./aborts.ts";
import { LIES, type Operation, pauseAfter, WAIT } from "./operation.ts";
import { append, type Entry, lengthOf, type Queue, remove } from "./queue.ts";

/** How long to wait: `signal` in asynchronous operations, `timeout` in synchronous ones. */
export interface WaitOptions {
  /**
   * Cancels the operation if it has not run yet, and rejects its promise with the signal's reason. A message that was already
   * received is still delivered.
   */
  signal?: AbortSignal | undefined;
  /** Milliseconds after which a synchronous operation fails with `ETIMEDOUT`; 0: now or never. No limit by default. */
  timeout?: number | undefined;
}

/** Checks of the options that asynchronous operations share, and of those that synchronous operations share. */
export const SIGNAL: Checks = {
  signal(name, value) {
    if (!isAbortSignal(value)) throw wrongType(name, "an AbortSignal", value);
  },
};
export const TIMEOUT: Checks = {
  timeout(name, value) {
    if (typeof value !== "number") throw wrongType(name, "a number of milliseconds", value);
    if (!(value >= 0)) throw outOfRange(name, "at least 0 milliseconds", value);
  },
};

type Direction = "reading" | "writing";

/** Operations that are served in order: those of a direction, or the sends to one receiver, which do not wait for sends to others. */
export type Line = Direction | `to ${string}`;

/** The sends that wait for one receiver. No readiness reports that a receiver has room, so a timer tries them again. */
interface Lane {
  queue: Queue<Waiting>;
  timer: Timer | null;
}

/** An operation that waits for its turn, and the promise that it settles. */
class Waiting implements Entry<Waiting> {
  readonly operation: Operation<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** `operation.prepare()` in the asynchronous context of its caller; null if it runs no code of the caller's. */
  readonly prepare: (() => void) | null;
  /** Stops listening to its AbortSignal. */
  unlisten: (() => void) | null = null;
  /** True during `prepare`: code of the caller's runs then, and may call this socket again. */
  preparing = false;
  next: Waiting | null = null;
  previous: Waiting | null = null;

  constructor(operation: Operation<unknown>, resolve: (value: never) => void, reject: (error: unknown) => void) {
    this.operation = operation;
    this.resolve = resolve as (value: unknown) => void;
    this.reject = reject;
    this.prepare = operation.runsCallersCode ? inContextOfNow(() => operation.prepare()) : null;
  }
}

/**
 * The descriptor of an endpoint, whose number is stored only here, and its watcher. The handle outlives the endpoint object. While
 * operations wait, it keeps the endpoint alive; otherwise the endpoint can be garbage-collected, and the handle closes the descriptor.
 */
class Handle implements Watched {
  readonly platform: Platform;
  /** -1 after it was closed or handed over. */
  fd: number;
  waiting: Endpoint | null = null;
  /** The number of its watcher; -1 if it has none. */
  watcher = -1;
  /** The events that the watcher is armed for, and whether it keeps the process alive. */
  armed = 0;
  keepsAlive = false;

  constructor(platform: Platform, fd: number) {
    this.platform = platform;
    this.fd = fd;
  }

  ready(events: number): void {
    if (this.waiting !== null) becameReady(this.waiting, events);
    // No operation waits for this event.
    else this.arm(0);
  }

  arm(events: number): void {
    if (events === this.armed) return;
    this.armed = events;
    if (this.watcher !== -1) this.platform.system.arm(this.watcher, events);
  }

  keepAlive(on: boolean): void {
    if (on === this.keepsAlive) return;
    this.keepsAlive = on;
    this.platform.system.keepAlive(on);
  }

  unwatch(): void {
    if (this.watcher === -1) return;
    this.keepAlive(false);
    this.platform.system.unwatch(this.watcher);
    this.watcher = -1;
  }

  /** Stops watching, then closes: a descriptor must not be closed while it is watched. */
  release(): number {
    this.unwatch();
    const result = this.platform.system.close(this.fd);
    // Cleared after the call: near the end of the stack, the call throws before it closes anything.
    this.fd = -1;
    return result;
  }
}

const registry = new FinalizationRegistry<Handle>((handle) => {
  if (handle.fd === -1) return;
  handle.release();
  reportLeak();
});

/**
 * After this many operations that settled without waiting, the event loop gets a turn: a peer that sends faster than this process
 * receives would otherwise starve timers and every other socket.
 */
const BURST = 64;

/**
 * After this many receives in a row that found nothing at once, the next ones wait for readiness first: two processes that send in
 * turn save one of five system calls for each message (2026-11). Every PROBE-th receive still tries at once; if it finds a message,
 * so do the next ones.
 */
const FUTILE = 4;
const PROBE = 16;

let becameReady: (endpoint: Endpoint, events: number) => void;

/** A socket of this library. */
export abstract class Endpoint implements Disposable, AsyncDisposable {
  readonly #handle: Handle;
  #reading: Queue<Waiting> = null;
  #writing: Queue<Waiting> = null;
  /** The lanes by their lines; null until a send waits for its receiver. */
  #lanes: Map<Line, Lane> | null = null;
  #referenced = true;
  #burst = 0;
  #futile = 0;
  #yielding = false;
  /** Wake-ups in a row in which a receive found nothing, and the milliseconds until it tries again (0: when the socket is ready). */
  #lies = 0;
  #pause = 0;
  #retry: Timer | null = null;

  static {
    markAsOurs(Endpoint.prototype);
    becameReady = (endpoint, events) => endpoint.#onReady(events);
    setSocketClass({
      has: (source) => #handle in source,
      fd: (source) => (source as Endpoint).#handle.fd,
      platform: (source) => (source as Endpoint).#handle.platform,
    });
  }

  /** Takes over a descriptor that this thread owns. */
  protected constructor(platform: Platform, fd: number) {
    this.#handle = new Handle(platform, fd);
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
    if (family < 0) throw errnoError(family, "getsockname");
    return addressOf(system);
  }

  /** Makes waiting operations keep the process alive (the default). */
  ref(): this {
    this.#referenced = true;
    this.#rearm();
    this.#keepLanesAlive();
    return this;
  }

  /** Lets the process end while operations wait. */
  unref(): this {
    this.#referenced = false;
    this.#rearm();
    this.#keepLanesAlive();
    return this;
  }

  /**
   * Closes the socket. The descriptor is closed when this returns, and waiting operations fail with `ERR_SOCKET_CLOSED`.
   * A second call does nothing.
   */
  close(): void {
    if (this.#handle.fd === -1) return;
    const result = this.#handle.release();
    this.#abandon(socketClosed());
    if (result < 0) throw errnoError(result, "close");
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
    let waiting = lengthOf(this.#reading) + lengthOf(this.#writing);
    for (const { queue } of this.#lanes?.values() ?? []) waiting += lengthOf(queue);
    if (waiting > 0)
      throw new AncillaryError("ERR_SOCKET_BUSY", `expected a socket without waiting operations, there are ${waiting}`);
    this.#handle.unwatch();
    const { system } = this.platform;
    const given = system.give(fd);
    if (given < 0) throw errnoError(given, "fstat");
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
    this.#burst++;
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
      if (this.#mayAttempt(line)) {
        const value = operation.perform(fd);
        const waits = value === WAIT;
        if (!waits) this.#burst++;
        if (line === "reading") this.#futile = waits ? this.#futile + 1 : 0;
        if (!waits) {
          operation.recycle();
          return Promise.resolve(value);
        }
      } else operation.check();
    } catch (error) {
      return this.#fail(error);
    }
    return new Promise<T>((resolve, reject) => {
      const entry = new Waiting(operation as Operation<unknown>, resolve, reject);
      this.#append(line, entry);
      if (signal !== undefined) this.#listen(line, entry, signal);
      if (!this.#yielding) this.#rearmLine(line);
    });
  }

  /** An immediate failure. It counts towards BURST too: a loop that catches errors would otherwise block the event loop. */
  #fail(error: unknown): Promise<never> {
    if (++this.#burst < BURST) return Promise.reject(error);
    this.#burst = 0;
    return new Promise((_, reject) => void this.platform.system.timer(0, () => reject(error)));
  }

  /** Whether an asynchronous operation is attempted at once. */
  #mayAttempt(line: Line): boolean {
    if (this.#queue(line) !== null || this.#yielding) return false;
    if (this.#burst >= BURST) {
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
    const fail = (errno: number, syscall: string) => {
      this.#remove(line, entry);
      outcome = { error: operation.failed(errnoError(errno, syscall)) };
    };
    this.#append(line, entry);
    let lies = 0;
    let waited: Queue<Waiting> = null;
    for (;;) {
      this.#serve(line);
      if (outcome !== null) break;
      // As in onReady. Not for sends: one that is ready may have sent a part.
      lies = line === "reading" && waited === this.#reading ? lies + 1 : 0;
      if (lies >= LIES) this.#giveUp(line);
      if (outcome !== null) break;
      waited = this.#queue(line);
      const left = deadline - system.now();
      if (left <= 0) {
        fail(ETIMEDOUT, operation.syscall);
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
        fail(ready, "poll");
        break;
      }
    }
    this.#rearmLine(line);
    if ("error" in outcome!) throw outcome.error;
    return outcome!.value;
  }

  /** Serves a queue until it is empty or its first operation has to wait for the kernel. */
  #serve(line: Line): void {
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
      } catch (error) {
        if (entry.next === null) continue;
        this.#remove(line, entry);
        entry.reject(error);
      } finally {
        entry.preparing = false;
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
    const waits = reads || !this.idle("writing");
    handle.waiting = waits ? this : null;
    if (handle.watcher === -1) {
      if (!waits) return;
      const watcher = handle.platform.system.watch(handle.fd, handle);
      if (watcher < 0) {
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
    if (line === "reading" || line === "writing") {
      this.#rearm();
      return;
    }
    const lane = this.#lanes?.get(line);
    if (lane === undefined || lane.queue === null || lane.timer !== null) return;
    lane.timer = this.platform.system.timer(Math.max(1, lane.queue.operation.retryAfter), () => {
      lane.timer = null;
      this.#burst = 0;
      this.#serve(line);
      this.#rearmLine(line);
    });
    lane.timer.keepAlive(this.#referenced);
  }

  #keepLanesAlive(): void {
    for (const { timer } of this.#lanes?.values() ?? []) timer?.keepAlive(this.#referenced);
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

  /** Serves the queues after one turn of the event loop. */
  #yield(): void {
    this.#yielding = true;
    this.platform.system.timer(0, () => {
      this.#yielding = false;
      this.#serveReady(POLLIN | POLLOUT);
      for (const line of [...(this.#lanes?.keys() ?? [])]) {
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

function socketClosed(): AncillaryError {
  return new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
}
