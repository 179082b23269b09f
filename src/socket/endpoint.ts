/**
 * What all sockets share: a descriptor with one owner, two queues of operations, and waiting.
 *
 * An operation is attempted at once as a rule, and waits for readiness when the kernel says `EAGAIN`. Operations of one direction
 * are served in the order of the calls, synchronous ones among them.
 */

import { AncillaryError, type Checks, outOfRange, wrongType } from "../core/errors.ts";
import { reportLeak } from "../fd/leak.ts";
import { addressOf } from "../system/address.ts";
import { EAGAIN, ETIMEDOUT, errnoError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { POLLIN, POLLOUT, type Timer, type Watched } from "../system/system.ts";
import { firstOf, lengthOf, type Operation, type Queue, settle, WAIT, withLast, without } from "./operation.ts";

/** How long to wait: `signal` in asynchronous operations, `timeout` in synchronous ones. */
export interface WaitOptions {
  /** Withdraws the operation, or is too late: nothing received is lost. The promise is rejected with its reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds after which a synchronous operation fails with `ETIMEDOUT`; 0: now or never. For ever by default. */
  timeout?: number | undefined;
}

/** Checks for {@link options} that operations of both kinds share. */
export const SIGNAL: Checks = {
  signal(name, value) {
    if (!(value instanceof AbortSignal)) throw wrongType(name, "an AbortSignal", value);
  },
};
export const TIMEOUT: Checks = {
  timeout(name, value) {
    if (typeof value !== "number") throw wrongType(name, "a number of milliseconds", value);
    if (!(value >= 0)) throw outOfRange(name, "at least 0 milliseconds", value);
  },
};

type Direction = "reading" | "writing";

/**
 * What outlives the endpoint object: its descriptor and its watcher. While operations wait it keeps the endpoint alive;
 * else the endpoint can be collected, and is closed through this.
 */
class Handle implements Watched {
  readonly platform: Platform;
  fd: number;
  waiting: Endpoint | null = null;
  /** The number of its watcher; -1: none. */
  watcher = -1;
  /** What the watcher is armed for, and whether it keeps the process alive. */
  armed = 0;
  keepsAlive = false;

  constructor(platform: Platform, fd: number) {
    this.platform = platform;
    this.fd = fd;
  }

  ready(events: number): void {
    if (this.waiting !== null) becameReady(this.waiting, events);
    // Something comes that nobody waits for.
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
    const { fd } = this;
    this.fd = -1;
    return this.platform.system.close(fd);
  }
}

const registry = new FinalizationRegistry<Handle>((handle) => {
  if (handle.fd === -1) return;
  handle.release();
  reportLeak();
});

/**
 * After so many operations that settled without waiting, the next one lets the event loop turn: a peer that sends faster
 * than we receive would otherwise starve timers and every other socket.
 */
const BURST = 64;

/**
 * After so many receives in a row that found nothing at once, the next ones wait for readiness instead of asking in vain: two
 * processes that talk in turn save a system call of five a message (2026-11). One of PROBE asks all the same, and what it finds
 * says that messages come faster again.
 */
const FUTILE = 4;
const PROBE = 16;

let becameReady: (endpoint: Endpoint, events: number) => void;

/** A socket of this library. */
export abstract class Endpoint implements Disposable, AsyncDisposable {
  readonly #handle: Handle;
  #reading: Queue = null;
  #writing: Queue = null;
  #referenced = true;
  #burst = 0;
  #futile = 0;
  #yielding = false;
  #retry: Timer | null = null;

  static {
    becameReady = (endpoint, events) => endpoint.#onReady(events);
  }

  /** Takes over a descriptor that this thread owns. */
  protected constructor(platform: Platform, fd: number) {
    this.#handle = new Handle(platform, fd);
    // Never unregistered: a handle that is closed tells.
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

  /** The name it is bound to; null: none. An abstract one begins with `"\0"`. */
  get address(): string | null {
    const { system } = this.platform;
    const family = system.getsockname(this.openFd());
    if (family < 0) throw errnoError(family, "getsockname");
    return addressOf(system);
  }

  /** Lets operations that wait keep the process alive (the default). */
  ref(): this {
    this.#referenced = true;
    this.#rearm();
    return this;
  }

  /** Lets the process end although operations wait. */
  unref(): this {
    this.#referenced = false;
    this.#rearm();
    return this;
  }

  /**
   * Closes the socket: the descriptor is closed when this returns, and operations that wait fail with `ERR_SOCKET_CLOSED`.
   * Again: nothing happens.
   */
  close(): void {
    if (this.#handle.fd === -1) return;
    const result = this.#handle.release();
    this.#abandon(socketClosed());
    if (result < 0) throw errnoError(result, "close");
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The number, for an operation. @throws AncillaryError `ERR_SOCKET_CLOSED` */
  protected openFd(): number {
    const { fd } = this.#handle;
    if (fd === -1) throw socketClosed();
    return fd;
  }

  /**
   * Gives the descriptor to another owner, closing nothing.
   *
   * @throws AncillaryError `ERR_SOCKET_BUSY` while operations wait
   */
  protected handOver(): number {
    const fd = this.openFd();
    const waiting = lengthOf(this.#reading) + lengthOf(this.#writing);
    if (waiting > 0)
      throw new AncillaryError("ERR_SOCKET_BUSY", `expected no operation that waits, there are ${waiting}`);
    this.#handle.unwatch();
    this.#handle.fd = -1;
    this.platform.system.disown(fd);
    return fd;
  }

  /** Whether nothing waits in a direction. */
  protected idle(direction: Direction): boolean {
    return this.#queue(direction) === null;
  }

  /**
   * The number of the socket, for a send whose descriptors were just read: getters of the caller's may have closed the
   * socket, or left something in the queue that is to be sent first (EAGAIN, then).
   *
   * @internal
   */
  turn(): number {
    const fd = this.openFd();
    const first = firstOf(this.#writing);
    return first === null || first.attempting ? fd : EAGAIN;
  }

  /** Runs an operation to its end: at once if it can be, else in its turn. */
  protected runSync<T>(direction: Direction, operation: Operation<T>, timeout: number | undefined): T {
    this.openFd();
    if (this.idle(direction)) {
      const value = operation.attempt();
      if (value !== WAIT) return value;
    }
    return this.#waitSync(direction, operation, timeout);
  }

  /** Whether an asynchronous operation may be attempted at once. What came of it is told to {@link attempted}. */
  protected mayAttempt(direction: Direction): boolean {
    if (!this.idle(direction) || this.#yielding) return false;
    if (this.#burst >= BURST) {
      this.#yield();
      return false;
    }
    return direction === "writing" || this.#futile < FUTILE || ++this.#futile % PROBE === 0;
  }

  protected attempted(direction: Direction, settled: boolean): void {
    if (settled) this.#burst++;
    if (direction === "reading") this.#futile = settled ? 0 : this.#futile + 1;
  }

  /** Runs an operation in its turn. */
  protected submit<T>(direction: Direction, operation: Operation<T>, signal?: AbortSignal): Promise<T> {
    if (this.#handle.fd === -1) return Promise.reject(operation.failed(socketClosed()));
    if (signal?.aborted) return Promise.reject(operation.withdrawn(signal.reason));
    if (this.mayAttempt(direction)) {
      let value: T | typeof WAIT;
      try {
        value = operation.attempt();
      } catch (error) {
        return Promise.reject(error);
      }
      this.attempted(direction, value !== WAIT);
      if (value !== WAIT) return Promise.resolve(value);
    }
    return this.enqueue(direction, operation, signal);
  }

  /** Queues an operation that was attempted, or has to wait for its turn. */
  protected enqueue<T>(direction: Direction, operation: Operation<T>, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      operation.resolve = resolve;
      operation.reject = reject;
      this.#push(direction, operation as Operation<unknown>);
      if (signal !== undefined) this.#listen(direction, operation as Operation<unknown>, signal);
      if (!this.#yielding) this.#rearm();
    });
  }

  /** Waits in `poll(2)`; the operations before it in the queue are served first. */
  #waitSync<T>(direction: Direction, operation: Operation<T>, timeout: number | undefined): T {
    const fd = this.openFd();
    if (this.#first(direction)?.attempting === true) {
      const what = "expected no synchronous call in a getter that is read for an operation before it";
      throw new AncillaryError("ERR_SOCKET_BUSY", what);
    }
    const { system } = this.platform;
    const deadline = timeout === undefined ? Infinity : system.now() + timeout;
    this.#push(direction, operation as Operation<unknown>);
    for (;;) {
      this.#serve(direction);
      if (operation.outcome !== null) break;
      const left = deadline - system.now();
      if (left <= 0) {
        this.#remove(direction, operation as Operation<unknown>);
        operation.outcome = {
          error: operation.failed(errnoError(ETIMEDOUT, operation.syscall)),
        };
        break;
      }
      const { retryAfter } = this.#first(direction)!;
      const events = retryAfter > 0 ? 0 : direction === "reading" ? POLLIN : POLLOUT;
      const wait = retryAfter > 0 ? Math.min(retryAfter, left) : left;
      const ready = system.poll(fd, events, wait === Infinity ? -1 : Math.min(Math.ceil(wait), 0x7fffffff));
      if (ready < 0) {
        this.#remove(direction, operation as Operation<unknown>);
        operation.outcome = { error: operation.failed(errnoError(ready, "poll")) };
        break;
      }
    }
    this.#rearm();
    if ("error" in operation.outcome) throw operation.outcome.error;
    return operation.outcome.value;
  }

  /** Runs an operation only if it need not wait, neither for others nor for the kernel; null otherwise. */
  protected tryNow<T>(direction: Direction, operation: Operation<T>): T | null {
    this.openFd();
    const first = this.#first(direction);
    if (first !== null) {
      if (first.attempting) return null;
      this.#serve(direction);
      this.#rearm();
      if (!this.idle(direction)) return null;
      this.openFd();
    }
    const value = operation.attempt();
    return value === WAIT ? null : value;
  }

  /** Serves a queue until it is empty or the kernel has to be waited for. */
  #serve(direction: Direction): void {
    for (;;) {
      const operation = this.#first(direction);
      if (operation === null) return;
      let outcome: { value: unknown } | { error: unknown };
      operation.attempting = true;
      try {
        const value = operation.attempt();
        if (value === WAIT) return;
        outcome = { value };
      } catch (error) {
        outcome = { error };
      } finally {
        operation.attempting = false;
      }
      // A getter of the caller's may have closed this socket meanwhile: then the queue was emptied and all is settled.
      if (this.#first(direction) !== operation) return;
      this.#remove(direction, operation);
      settle(operation, outcome);
    }
  }

  #onReady(events: number): void {
    this.#burst = 0;
    // What somebody waited for is no reason to stop watching, even if nobody waits behind them: see rearm.
    const unwanted = this.idle("reading") ? events & POLLIN : 0;
    if ((events & POLLIN) !== 0) this.#serve("reading");
    if ((events & POLLOUT) !== 0) this.#serve("writing");
    this.#rearm(unwanted);
  }

  /**
   * Watches for what is waited for. Readable stays armed when the last receive is served, as another one follows as a
   * rule and two calls of epoll are saved; it is disarmed when something comes that nobody waits for.
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
    const retryAfter = this.#first("writing")?.retryAfter ?? 0;
    if (retryAfter > 0 && this.#retry === null) {
      this.#retry = handle.platform.system.timer(retryAfter, () => {
        this.#retry = null;
        this.#onReady(POLLOUT);
      });
    }
    const writes = !this.idle("writing") && retryAfter === 0;
    const keepReading = reads || ((handle.armed & POLLIN) !== 0 && unwanted === 0);
    handle.arm((keepReading ? POLLIN : 0) | (writes ? POLLOUT : 0));
    const keepsAlive = waits && this.#referenced;
    handle.keepAlive(keepsAlive);
    this.#retry?.keepAlive(keepsAlive);
  }

  #queue(direction: Direction): Queue {
    return direction === "reading" ? this.#reading : this.#writing;
  }

  #first(direction: Direction): Operation<unknown> | null {
    return firstOf(this.#queue(direction));
  }

  #push(direction: Direction, operation: Operation<unknown>): void {
    if (direction === "reading") this.#reading = withLast(this.#reading, operation);
    else this.#writing = withLast(this.#writing, operation);
  }

  #remove(direction: Direction, operation: Operation<unknown>): void {
    if (direction === "reading") this.#reading = without(this.#reading, operation);
    else this.#writing = without(this.#writing, operation);
  }

  /** Lets the event loop turn once before the queues are served. */
  #yield(): void {
    this.#yielding = true;
    this.platform.system.timer(0, () => {
      this.#yielding = false;
      this.#onReady(POLLIN | POLLOUT);
    });
  }

  #listen(direction: Direction, operation: Operation<unknown>, signal: AbortSignal): void {
    const abort = () => {
      if (operation.outcome !== null) return;
      if (operation.attempting) {
        // A getter aborts what it is read for: too late, unless it has to wait.
        queueMicrotask(abort);
        return;
      }
      this.#remove(direction, operation);
      settle(operation, { error: operation.withdrawn(signal.reason) });
      this.#rearm();
    };
    signal.addEventListener("abort", abort, { once: true });
    operation.unlisten = () => signal.removeEventListener("abort", abort);
    // In the first attempt, by a getter: the event has been.
    if (signal.aborted) abort();
  }

  /** Fails what waits. */
  #abandon(error: Error): void {
    this.#handle.waiting = null;
    this.#retry?.close();
    const waiting: Operation<unknown>[] = [];
    for (const direction of ["reading", "writing"] as const) {
      for (let one = this.#first(direction); one !== null; one = this.#first(direction)) {
        this.#remove(direction, one);
        waiting.push(one);
      }
    }
    for (const one of waiting) settle(one, { error: one.failed(error) });
  }
}

function socketClosed(): AncillaryError {
  return new AncillaryError("ERR_SOCKET_CLOSED", "the socket was closed");
}
