/**
 * The seam between the library and an operating system.
 *
 * Everything above this file talks to a {@link System}: one method is one system call, a failure is `-errno` (the host's own
 * numbers), and nothing throws. A call with more than one result writes the others into arrays of the caller, at positions
 * that have names here. The addon is one implementation (`native.ts`), the virtual kernel of `unix-ancillary/testing` is
 * another.
 *
 * `EINTR` is retried below this line and `EAGAIN` is handled above it; neither is seen anywhere else.
 */

/** Positions in {@link System.out}. */
export const OUT = {
  /** `msg_controllen` after `recvmsg`. */
  CONTROL_LENGTH: 0,
  /** `msg_flags` after `recvmsg`. */
  FLAGS: 1,
  /** Bytes of a name in {@link System.address} after `recvmsg`, `getsockname` and `getpeername`; -1: the socket has no name. */
  ADDRESS_LENGTH: 2,
  /**
   * `msg_controllen` again, until the receiver owns the descriptors and writes 0. When a worker thread is terminated in
   * between, its clean-up finds the descriptors through it.
   */
  UNSETTLED: 3,
} as const;

/** Positions in the result of {@link System.fstat} and {@link System.lstat}, the fields of `struct stat`. */
export const FILE_STATUS = {
  /** `st_mode`; `S_IFMT` of it is the type. */
  MODE: 0,
  /** `st_size`, bytes. */
  SIZE: 1,
  /** `st_dev`; with the inode it identifies a file. */
  DEVICE: 2,
  /** `st_ino`. */
  INODE: 3,
  /** Elements of the array. */
  LENGTH: 4,
} as const;

/** Readiness bits, those of `poll(2)` on every system. */
export const POLLIN = 1;
export const POLLOUT = 4;

/** What is notified of readiness. */
export interface Watched {
  /** Called with the readiness bits. Errors and hang-ups set both, so that an attempt meets them. */
  ready(events: number): void;
}

/** A pending timer. */
export interface Timer {
  /** Whether it keeps the event loop alive until it fires. */
  keepAlive(on: boolean): void;
  /** Cancels it; no effect once it has fired. */
  close(): void;
}

/**
 * Constants of the C headers, by their own names; a name is missing where the headers lack it. Those that the ABI table also
 * holds are compared with the table when a platform is composed.
 */
export interface Constants {
  readonly [name: string]: number;
}

/** The system calls. */
export interface System {
  readonly constants: Constants;
  /** Further results of the last call that has any; see {@link OUT}. */
  readonly out: Int32Array;
  /** The last name that a call reported: `sun_path`, without the family. */
  readonly address: Uint8Array;

  /** Sets the control area: the part of the Wasm memory in which control buffers live. Once, before any message. */
  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void;

  /**
   * `sendmsg(2)`: the bytes sent. `offset` and `length` select bytes of a single `Uint8Array`; of a list, `offset` bytes are
   * skipped and `length` is ignored. The first `controlLength` bytes of the control area are the control buffer (0: none).
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
   * `recvmsg(2)` into the same kinds of payload, with `controlCapacity` bytes of the control area (0: no control buffer): the
   * bytes received. `msg_controllen` and `msg_flags` are in {@link out}; with `wantAddress` the sender's name is in
   * {@link address}.
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
  /**
   * {@link own} of a number whose owner nothing here tells of: its `FD_*` flags; `EBADF` when it is not open; `EBUSY` when a
   * thread of this process owns it.
   */
  claim(fd: number): number;
  /** The opposite of {@link own}, without closing. */
  disown(fd: number): void;
  /**
   * Disowns `fd` for an owner outside the library, such as a `net.Socket`, that is about to take it; with -1 it has taken it, or
   * {@link own} was called again. If the thread ends in between, `fd` is closed unless that owner has closed it.
   */
  give(fd: number): number;
  /** `close(2)` and disown. Never retried: on Linux the number is free even after `EINTR`. */
  close(fd: number): number;
  /** {@link close} of `fds[from]` up to, not including, `fds[to]`; negative ones are skipped. The first error, after all. */
  closeAll(fds: ArrayLike<number>, from: number, to: number): number;
  /** Sets `FD_CLOEXEC` on the same kind of range; stops at the first error. */
  cloexecAll(fds: ArrayLike<number>, from: number, to: number): number;
  /** `fcntl(2)` with an `int` argument. */
  fcntl(fd: number, command: number, argument: number): number;
  /** `F_DUPFD_CLOEXEC`; the duplicate is owned by this thread. */
  dup(fd: number): number;

  /** `fstat(2)`; `into` has {@link FILE_STATUS}.LENGTH elements. */
  fstat(fd: number, into: BigUint64Array): number;
  /** `memfd_create(2)`: an empty one, CLOEXEC and owned. `ENOSYS` where there is no such call. */
  memfd(): number;
  /** The target of `/proc/self/fd/N` (Linux): the path, or the kind of an anonymous file. `null` where there is none. */
  fdLink(fd: number): string | null;

  /**
   * `socketpair(2)` of AF_UNIX, CLOEXEC; both descriptors go to `pair` and are owned. Non-blocking only where MSG_DONTWAIT
   * is not enough: often another program gets one end.
   */
  socketpair(type: number, pair: Int32Array): number;
  /** `socket(2)` of AF_UNIX, CLOEXEC and non-blocking, owned. */
  socket(type: number): number;
  connect(fd: number, to: Uint8Array): number;
  /** `bind(2)`. The file has the permissions `mode` from its creation on; -1: the umask decides. */
  bind(fd: number, path: Uint8Array, mode: number): number;
  /**
   * The low 32 bits of the inode of the file that a socket is bound to, into the first element of `into`; an error where the
   * system does not report it.
   */
  boundInode(fd: number, into: Uint32Array): number;
  /** `lstat(2)`, as {@link fstat}. */
  lstat(path: string, into: BigUint64Array): number;
  /** `unlink(2)`, `rename(2)` and `link(2)`, of the names of sockets. */
  unlink(path: string): number;
  rename(from: string, to: string): number;
  link(from: string, to: string): number;
  /** `open(2)` of a folder, to {@link flock} it: CLOEXEC and owned. */
  openFolder(path: string): number;
  /** `flock(2)`, exclusive, without waiting: EWOULDBLOCK while another descriptor has the lock. A close gives it up. */
  flock(fd: number): number;
  /**
   * The pipe of libuv (of a `net.Server`) with this descriptor no longer unlinks its path when it is closed. An error: it still
   * does.
   */
  keepPath(fd: number): number;
  listen(fd: number, backlog: number): number;
  /** `accept4(2)`: CLOEXEC and owned; blocking or not as {@link socketpair}. */
  accept(fd: number): number;
  /** `how`: 0 read, 1 write, 2 both, as in `<sys/socket.h>`. */
  shutdown(fd: number, how: number): number;
  /** `getsockname(2)`: the address family. The bytes behind it, of AF_UNIX the name, are in {@link address}. */
  getsockname(fd: number): number;
  /** The same of the peer. */
  getpeername(fd: number): number;
  /** Writes an option's bytes into `into`; the number of bytes. */
  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number;
  /** {@link getsockopt} of an option whose value is a new descriptor: it, CLOEXEC and owned by this thread. */
  getsockoptFd(fd: number, level: number, name: number): number;
  /** Sets an `int` option. */
  setsockopt(fd: number, level: number, name: number, value: number): number;

  /** `poll(2)` on one descriptor, blocking for up to `timeout` ms (-1: without limit). 0: it was not ready in time. */
  poll(fd: number, events: number, timeout: number): number;
  /** Adds a watcher of `fd`, which waits for no event yet: its number. */
  watch(fd: number, watched: Watched): number;
  /** Sets the events that a watcher waits for (0: none). Level-triggered: it notifies again until disarmed. */
  arm(watcher: number, events: number): void;
  /** Adds (`true`) or removes (`false`) one watcher that keeps the event loop, and so the process, alive. */
  keepAlive(on: boolean): void;
  /** Ends a watcher. Must precede the close of its descriptor. */
  unwatch(watcher: number): void;

  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Calls `fired` once, after so many milliseconds; 0: after a turn of the event loop. It keeps the process alive. */
  timer(milliseconds: number, fired: () => void): Timer;
}
