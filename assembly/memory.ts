/**
 * The static storage. The only file with addresses.
 *
 * Three pages of 64 KiB, initial = maximum. Nothing is ever allocated.
 *
 * | page | what |
 * | --- | --- |
 * | 0 | the registers: what a call results in beside its return value; behind them the layouts of credentials, and a header |
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
  /** 1: its `cmsg_len` was larger than what was delivered, and was clamped. */
  CLAMPED,
  /** Offset of the header at which the walk stopped for a fault. */
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
  /** 1: PIDFD is a pidfd. -1: the kernel could not make it, and PIDFD is the negative errno. 0: none came, or it is in the table. */
  HAS_PIDFD,
  /** See HAS_PIDFD. */
  PIDFD,
  /** 0: no credentials came. 1: PID, UID and GID are set. 2: credentials came and name nobody. 3: a user, without a pid. */
  CREDENTIALS,
  /** -1: the system sends no pid. */
  PID,
  /** See CREDENTIALS. */
  UID,
  /** See CREDENTIALS. */
  GID,
  /** Security label: offset in the control area. */
  SECURITY,
  /** Its bytes; -1: none came. */
  SECURITY_LENGTH,
}

/** Where the credentials layouts begin; see `credentials.ts`. */
export const CREDENTIALS_LAYOUTS: usize = 0x100;

/** Where the header of `short.ts` begins. */
export const SHORT_HEADER: usize = 0x200;

export function set(register: Register, value: i32): void {
  store<i32>(REGISTERS + ((<usize>register) << 2), value);
}

export function get(register: Register): i32 {
  return load<i32>(REGISTERS + ((<usize>register) << 2));
}
