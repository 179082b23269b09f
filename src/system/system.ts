/**
 * The seam between the library and an operating system.
 *
 * Everything above this file talks to a {@link System}: one method is one system call, arguments and results are
 * numbers, a failure is `-errno` (the host's own numbers), and nothing throws. The addon is one implementation
 * (`native.ts`), the virtual kernel of `unix-ancillary/testing` is another.
 *
 * `EINTR` is retried below this line and `EAGAIN` is handled above it; neither is seen anywhere else.
 */

import type { FdDescription } from "../fd/describe.ts";

/** Positions in {@link System.out}. */
export const OUT = {
  /** `msg_controllen` after `recvmsg`; the first descriptor of `socketpair`; an `int` option after `getsockopt`. */
  CONTROL_LENGTH: 0,
  /** `msg_flags` after `recvmsg`; the second descriptor of `socketpair`. */
  FLAGS: 1,
  /** Bytes of `sun_path` now in {@link System.address}; -1: the socket has no name. */
  ADDRESS_LENGTH: 2,
  /**
   * Not zero from the moment `recvmsg` brought control data until the receiver has taken ownership and writes 0. When a
   * worker thread is terminated in between, the thread's clean-up finds the descriptors through it.
   */
  UNSETTLED: 3,
} as const;

/** Readiness bits, those of `poll(2)` on every system. */
export const POLLIN = 1;
export const POLLOUT = 4;

/** What is told of readiness. */
export interface Watched {
  /** The readiness bits that are set. Errors and hang-ups are reported as both, so that an attempt finds out. */
  ready(events: number): void;
}

/** A call to come. */
export interface Timer {
  /** Whether it keeps the event loop alive until then. */
  keepAlive(on: boolean): void;
  /** Calls it off; nothing happens when it has been. */
  close(): void;
}

/**
 * What the C headers say, by their own names; -1 where the system has no such thing. The part of it that the ABI table
 * also holds is compared with the table when a platform is composed.
 */
export interface Constants {
  readonly [name: string]: number;
}

/** The system calls, on buffers that the core laid out. */
export interface System {
  readonly constants: Constants;
  /** What the last call left beside its result; see {@link OUT}. */
  readonly out: Int32Array;
  /** Descriptors for {@link closeBatch} and {@link cloexecBatch}; at least 64 entries, negative ones are passed over. */
  readonly batch: Int32Array;
  /** Room for the bytes of `sun_path`, without the family. */
  readonly address: Uint8Array;

  /** Names the Wasm memory in which control buffers live, and where in it. Once, before any message. */
  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void;

  /**
   * `sendmsg(2)`. `offset` and `length` select bytes of a single `Uint8Array`; of a list, `offset` bytes are skipped and
   * `length` is ignored. The first `controlLength` bytes of the control area are the control buffer (0: none).
   * `to` is a `sun_path` or `null`.
   */
  sendmsg(
    fd: number,
    payload: Uint8Array | readonly Uint8Array[],
    offset: number,
    length: number,
    controlLength: number,
    flags: number,
    to: Uint8Array | null,
  ): number;
  /**
   * `recvmsg(2)` into the same kinds of payload, with `controlCapacity` bytes of the control area (0: no control
   * buffer). Leaves `msg_controllen`, `msg_flags` and, with `wantAddress`, the sender's `sun_path`.
   */
  recvmsg(
    fd: number,
    payload: Uint8Array | readonly Uint8Array[],
    offset: number,
    length: number,
    controlCapacity: number,
    flags: number,
    wantAddress: boolean,
  ): number;

  /** Records that this thread owns `fd`, so that it is closed when the thread ends. */
  own(fd: number): void;
  /** The opposite, without closing. */
  disown(fd: number): void;
  /** `close(2)` and disown. Never retried: on Linux the number is free even after `EINTR`. */
  close(fd: number): number;
  /** Closes and disowns the first `count` of {@link batch}; the first error, after all were tried. */
  closeBatch(count: number): number;
  /** Sets `FD_CLOEXEC` on the first `count` of {@link batch}; stops at the first error. */
  cloexecBatch(count: number): number;
  /** `fcntl(2)` with an `int` argument. */
  fcntl(fd: number, command: number, argument: number): number;
  /** `F_DUPFD_CLOEXEC`; the duplicate is owned by this thread. */
  dup(fd: number): number;

  /** What a descriptor refers to. */
  describe(fd: number): FdDescription | number;

  /**
   * `socketpair(2)` of AF_UNIX, CLOEXEC; both ends in {@link out} and owned. Non-blocking only where MSG_DONTWAIT is not
   * enough: one end is often another program's.
   */
  socketpair(type: number): number;
  /** `socket(2)` of AF_UNIX, CLOEXEC and non-blocking, owned. */
  socket(type: number): number;
  connect(fd: number, to: Uint8Array): number;
  bind(fd: number, path: Uint8Array): number;
  /** Which file a path in the file system names now (device and inode); null: none, or it is no socket. */
  socketAt(path: string): string | null;
  /** `unlink(2)`, `rename(2)`, `link(2)` and `chmod(2)`, of the names of sockets. */
  unlink(path: string): number;
  rename(from: string, to: string): number;
  link(from: string, to: string): number;
  chmod(path: string, mode: number): number;
  listen(fd: number, backlog: number): number;
  /** `accept4(2)`: CLOEXEC and owned, blocking as of {@link socketpair}. */
  accept(fd: number): number;
  /** `how`: 0 read, 1 write, 2 both, as in `<sys/socket.h>`. */
  shutdown(fd: number, how: number): number;
  /** The address family; for AF_UNIX the path is left in {@link address}. */
  getsockname(fd: number): number;
  /** As {@link getsockname}, of the peer. */
  getpeername(fd: number): number;
  /** An option's bytes into `into`; the number of bytes. */
  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number;
  /** An `int` option. */
  setsockopt(fd: number, level: number, name: number, value: number): number;

  /** `poll(2)` on one descriptor, blocking for up to `timeout` ms (-1: for ever). 0: it was not ready in time. */
  poll(fd: number, events: number, timeout: number): number;
  /** Watches `fd`, for nothing yet: the watcher's number, or `-errno`. */
  watch(fd: number, watched: Watched): number;
  /** What a watcher waits for from now on (0: nothing). Level-triggered: it tells again until disarmed. */
  arm(watcher: number, events: number): void;
  /** One watcher more, or one less, that keeps the event loop, and so the process, alive. */
  keepAlive(on: boolean): void;
  /** Ends a watcher, which keeps nothing alive any more; must precede the close of its descriptor. */
  unwatch(watcher: number): void;

  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Calls back once, after so many milliseconds; 0: when the event loop has turned. It keeps the process alive. */
  timer(milliseconds: number, fired: () => void): Timer;
}
