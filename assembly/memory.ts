/**
 * The static storage. The only file with addresses.
 *
 * Three pages of 64 KiB, initial = maximum, nothing is ever allocated:
 *
 * | page | what |
 * | --- | --- |
 * | 0 | the registers: how a call answers more than one number; behind them, where credentials lie in a payload |
 * | 1 | the descriptor table |
 * | 2 | the control area; its end is the end of the memory, so that reading past it traps instead of going unseen |
 */

/** Capacity of the control area in bytes. A longer control buffer is cut to it. */
export const CONTROL_BYTES: u32 = 0x10000;

/** Where the control area begins. */
export const CONTROL: usize = 0x20000;

/** Where the descriptor table begins: little-endian `int`s, whatever the target's byte order. */
export const FDS: usize = 0x10000;

/** Capacity of the descriptor table: as many `int`s as a full control area could hold without any header. */
export const FDS_CAPACITY: u32 = 0x4000;

/** Where the registers begin: one little-endian `i32` each, in the order of {@link Register}. */
export const REGISTERS: usize = 0;

/** The registers, by position. */
export enum Register {
  /** The message that `next` found: offset of its header in the control area. */
  OFFSET,
  /** Its `cmsg_level`. */
  LEVEL,
  /** Its `cmsg_type`. */
  TYPE,
  /** Offset of its payload in the control area. */
  DATA,
  /** Bytes of its payload that are there. */
  DATA_LENGTH,
  /** 1: its `cmsg_len` said more than was delivered, and was clamped. */
  CLAMPED,
  /** Where the walk stopped for a fault. */
  FAULT_OFFSET,
  /** 0, or the fault: see `decode.ts`. */
  FAULT,
  /** Descriptors in the table. */
  COUNT,
  /** How many of them, from the front, the verdict keeps; the others are to be closed. */
  KEEP,
  /** Bytes left over behind the last whole `int` of SCM_RIGHTS messages. */
  LEFTOVER,
  /** Slots of SCM_RIGHTS that hold no descriptor (negative). They stay in the table, so that positions are kept. */
  INVALID,
  /** 1: a pidfd is handed out in PIDFD. -1: the kernel could not make one, PIDFD is its negative errno. 0: neither. */
  HAS_PIDFD,
  PIDFD,
  /** Credentials: 0 none came, 1 known, 2 came but name nobody. */
  CREDENTIALS,
  /** -1: this system sends no pid. */
  PID,
  UID,
  GID,
  /** Security label: offset in the control area. */
  SECURITY,
  /** Its bytes; -1: none came. */
  SECURITY_LENGTH,
}

/** Where the credentials layouts begin; see `credentials.ts`. */
export const CREDENTIALS_LAYOUTS: usize = 0x100;

export function set(register: Register, value: i32): void {
  store<i32>(REGISTERS + ((<usize>register) << 2), value);
}

export function get(register: Register): i32 {
  return load<i32>(REGISTERS + ((<usize>register) << 2));
}
