/**
 * The seam between the library and an operating system.
 *
 * All other files use the operating system through a {@link System}. A method is one system call. It returns `-errno` (the host's own
 * number) on failure, and does not throw. Further results are written to arrays, at positions that are named here. `native.ts`
 * implements the interface with the addon, `unix-ancillary/testing` with the virtual kernel.
 *
 * Implementations retry `EINTR`. Their callers handle `EAGAIN`.
 */

/** Positions in {@link System.out}. */
export const OUT = {
  /** `msg_controllen` after `recvmsg`. */
  CONTROL_LENGTH: 0,
  /** `msg_flags` after `recvmsg`. */
  FLAGS: 1,
  /** Bytes of the name in {@link System.address} after `recvmsg`, `getsockname` and `getpeername`; -1 if the socket has no name. */
  ADDRESS_LENGTH: 2,
  /**
   * `msg_controllen` again, until the receiver owns the descriptors and writes 0. If a worker thread is terminated before that, its
   * clean-up uses this to pass on the control data.
   */
  UNSETTLED: 3,
} as const;

/** Positions in the result of {@link System.fstat} and {@link System.lstat}, the fields of `struct stat`. */
export const FILE_STATUS = {
  /** `st_mode`; its `S_IFMT` bits are the type. */
  MODE: 0,
  /** `st_size`, in bytes. */
  SIZE: 1,
  /** `st_dev`; together with the inode it identifies a file. */
  DEVICE: 2,
  /** `st_ino`. */
  INODE: 3,
  /** The number of elements. */
  LENGTH: 4,
} as const;

/** Readiness bits, the same as in `poll(2)` on every system. */
export const POLLIN = 1;
export const POLLOUT = 4;

/** An object that is notified of readiness. */
export interface Watched {
  /** Called with the readiness bits. Errors and hang-ups set both bits, so that an attempt gets the error. */
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
 * Constants of the C headers, by their names, as far as the headers have them. Constants that are also in the ABI table are compared
 * with it when a platform is created.
 */
export interface Constants {
  readonly [name: string]: number;
}

/** The system calls for which the addon has a function of the same name and parameters. */
export interface AddonCalls {
  /** Sets the control area: the part of the Wasm memory for control buffers. Called once, before any message. */
  bindControl(memory: ArrayBuffer, offset: number, capacity: number): void;
  /**
   * {@link System.own} for a number that a caller gives. Returns its `FD_*` flags; `EBADF` when it is not open; `EBUSY` when a thread of this
   * process already owns it.
   */
  claim(fd: number): number;
  /**
   * Disowns `fd` because an owner outside of the library, such as a `net.Socket`, is about to take it. A second call with -1 ends this:
   * the owner has taken it, or {@link System.own} was called again. If the thread ends in between, `fd` is closed unless the new owner has
   * closed it.
   */
  give(fd: number): number;
  /** `fcntl(2)` with an `int` argument. */
  fcntl(fd: number, command: number, argument: number): number;
  /** `F_DUPFD_CLOEXEC`; the duplicate is owned by this thread. */
  dup(fd: number): number;
  /**
   * `fstat(2)`; `into` has {@link FILE_STATUS}.LENGTH elements. Where the system can, it asks no server of a file system, which might
   * never answer (Linux: `statx` with AT_STATX_DONT_SYNC). The type is always right, the size of such a file may be old.
   */
  fstat(fd: number, into: BigUint64Array): number;
  /** `memfd_create(2)`: an empty memfd, CLOEXEC and owned. `flags`: further `MFD_*`. `ENOSYS` where there is no such call. */
  memfd(name: string, flags: number): number;
  /** `pwrite(2)` of the bytes from `from` on, for a {@link memfd}. Returns the number of bytes written. */
  pwrite(fd: number, bytes: Uint8Array, from: number, position: number): number;
  /**
   * `socketpair(2)` of AF_UNIX, CLOEXEC; both descriptors are written to `pair` and owned. Non-blocking only where MSG_DONTWAIT is not
   * enough, because another program often gets one end.
   */
  socketpair(type: number, pair: Int32Array): number;
  /** `socket(2)` of AF_UNIX, CLOEXEC and non-blocking, owned. */
  socket(type: number): number;
  connect(fd: number, to: Uint8Array): number;
  /**
   * Writes the low 32 bits of the inode of the file that a socket is bound to, and of the device of its file system, into the first
   * two elements of `into`; an error where the system does not report them.
   */
  boundInode(fd: number, into: Uint32Array): number;
  /** `lstat(2)`, as {@link fstat}. */
  lstat(path: string, into: BigUint64Array): number;
  /** `unlink(2)`, `rename(2)` and `link(2)`, for names of sockets. */
  unlink(path: string): number;
  rename(from: string, to: string): number;
  link(from: string, to: string): number;
  /** `open(2)` of a folder, for {@link flock}: CLOEXEC and owned. */
  openFolder(path: string): number;
  /** `flock(2)`, exclusive, non-blocking: EWOULDBLOCK while another descriptor has the lock. Closing releases it. */
  flock(fd: number): number;
  /**
   * Makes the libuv pipe (of a `net.Server`) with this descriptor keep its path when it is closed. On an error, the pipe still unlinks
   * the path.
   */
  keepPath(fd: number): number;
  listen(fd: number, backlog: number): number;
  /** `accept4(2)`: CLOEXEC and owned; non-blocking where {@link socketpair} is. */
  accept(fd: number): number;
  /** `how`: 0 read, 1 write, 2 both, as in `<sys/socket.h>`. */
  shutdown(fd: number, how: number): number;
  /** `getsockname(2)`: the address family. The bytes after the family (for AF_UNIX, the name) are in {@link System.address}. */
  getsockname(fd: number): number;
  /** `getpeername(2)`, with the same results. */
  getpeername(fd: number): number;
  /** Writes the value of an option to `into`. Returns the number of bytes. */
  getsockopt(fd: number, level: number, name: number, into: Uint8Array): number;
  /** {@link getsockopt} for an option whose value is a new descriptor. Returns the descriptor, CLOEXEC and owned by this thread. */
  getsockoptFd(fd: number, level: number, name: number): number;
  /** `poll(2)` on one descriptor, for at most `timeout` ms (-1: without limit). Returns 0 if it was not ready in time. */
  poll(fd: number, events: number, timeout: number): number;
  /** Sets the events that a watcher waits for (0: none). Level-triggered: it notifies again until disarmed. */
  arm(watcher: number, events: number): void;
  /** Ends a watcher. Must precede the close of its descriptor. */
  unwatch(watcher: number): void;
}

/** The system calls. */
export interface System extends AddonCalls {
  readonly constants: Constants;
  /** The release of the kernel, as uname(2) says it: `6.1.0-18-amd64`. Only error messages depend on it. */
  readonly release: string;
  /** Further results of the last call that writes any; see {@link OUT}. */
  readonly out: Int32Array;
  /** The name that a call reported last: `sun_path`, without the family. */
  readonly address: Uint8Array;

  /**
   * `sendmsg(2)`. Returns the number of bytes sent. `offset` and `length` select bytes of a single `Uint8Array`; for a list, `offset`
   * bytes are skipped and `length` is ignored. The first `controlLength` bytes of the control area are the control buffer (0: none).
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
   * `recvmsg(2)` into the same kinds of payload, with `controlCapacity` bytes of the control area as control buffer (0: none). Returns
   * the number of bytes received. `msg_controllen` and `msg_flags` are in {@link out}; with `wantAddress` the sender's name is in
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
  /** The opposite of {@link own}, without closing. */
  disown(fd: number): void;
  /** `close(2)`, and {@link disown}. Never retried: on Linux the descriptor is closed even after `EINTR`. */
  close(fd: number): number;
  /** {@link close} for `fds[from]` up to, not including, `fds[to]`; negative numbers are skipped. Returns the first error, after all. */
  closeAll(fds: ArrayLike<number>, from: number, to: number): number;
  /**
   * {@link closeAll} for descriptors that nobody asked for. Their close may wait, for a peer or for the server of a file system: so it
   * is made outside of this thread, which waits for it only for milliseconds. Returns the first error that is known by then.
   */
  discard(fds: ArrayLike<number>, from: number, to: number): number;
  /** Sets `FD_CLOEXEC` on a range of `fds`; stops at the first error. */
  cloexecAll(fds: ArrayLike<number>, from: number, to: number): number;
  /** The target of `/proc/self/fd/N` (Linux): the path, or the kind of an anonymous file. `null` where there is none. */
  fdLink(fd: number): string | null;
  /** `bind(2)`. The file has the permissions `mode` from its creation on; -1: the umask decides. */
  bind(fd: number, path: Uint8Array, mode: number): number;
  /** Sets an option to an `int`, or to bytes. */
  setsockopt(fd: number, level: number, name: number, value: number | Uint8Array): number;

  /** Adds a watcher of `fd`, which waits for no event yet. Returns the watcher's number. */
  watch(fd: number, watched: Watched): number;
  /** Adds (`true`) or removes (`false`) one watcher that keeps the event loop, and so the process, alive. */
  keepAlive(on: boolean): void;

  /** Makes sure that an operation which takes several calls can be finished. @throws RangeError when too little stack is left */
  needStack(): void;

  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Calls `fired` once, after this many milliseconds (0: after a turn of the event loop). The timer keeps the process alive. */
  timer(milliseconds: number, fired: () => void): Timer;
}
