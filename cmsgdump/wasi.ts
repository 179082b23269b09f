/** The four calls of WASI preview 1 that the command needs. */

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: u32, iovs: usize, count: usize, done: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, iovs: usize, count: usize, done: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, bytes: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(pointers: usize, bytes: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: u32): void;

const SCRATCH: usize = memory.data(16);

/** Reads at most `length` bytes. The result is how many; 0 at the end and on an error. */
export function read(fd: u32, into: usize, length: usize): usize {
  store<u32>(SCRATCH, <u32>into);
  store<u32>(SCRATCH + 4, <u32>length);
  store<u32>(SCRATCH + 8, 0);
  if (fd_read(fd, SCRATCH, 1, SCRATCH + 8) != 0) return 0;
  return load<u32>(SCRATCH + 8);
}

/** Writes all bytes, in as many calls as it takes. */
export function write(fd: u32, from: usize, length: usize): void {
  while (length > 0) {
    store<u32>(SCRATCH, <u32>from);
    store<u32>(SCRATCH + 4, <u32>length);
    store<u32>(SCRATCH + 8, 0);
    if (fd_write(fd, SCRATCH, 1, SCRATCH + 8) != 0) return;
    const done: usize = load<u32>(SCRATCH + 8);
    if (done == 0) return;
    from += done;
    length -= done;
  }
}

/** Reads the arguments to `into`: pointers, then bytes. The result is how many, with the program's name; 0: they do not fit. */
export function args(into: usize, capacity: usize): u32 {
  if (args_sizes_get(SCRATCH, SCRATCH + 4) != 0) return 0;
  const count = load<u32>(SCRATCH);
  if (<usize>count * 4 + load<u32>(SCRATCH + 4) > capacity) return 0;
  return args_get(into, into + <usize>count * 4) == 0 ? count : 0;
}

export function exit(code: u32): void {
  proc_exit(code);
}
