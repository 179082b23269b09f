/** The layout and the numbers of one target. `target.ts` sets them from a row of the ABI table (`src/core/abis/`), under its names. */

export namespace abi {
  /** `cmsg_len`: where in the header, and 4 or 8 bytes wide. */
  export let lengthOffset: u32 = 0;
  export let lengthBytes: u32 = 4;
  /** `cmsg_level` and `cmsg_type`, 4 bytes each: where in the header. */
  export let levelOffset: u32 = 0;
  export let typeOffset: u32 = 0;
  /**
   * `CMSG_LEN(0)`: where the payload begins. Not `sizeof(struct cmsghdr)` on the 64-bit BSDs. Before `setLayout` it is
   * past every size: no message fits, and none is read.
   */
  export let dataOffset: u32 = 0x80000000;
  /** `CMSG_ALIGN` rounds up to a multiple of this. */
  export let alignBytes: u32 = 1;
  /** The next header begins at a multiple of this; it differs from `alignBytes` on illumos/sparcv9 only. */
  export let headerAlignBytes: u32 = 1;
  export let bigEndian: bool = false;

  export let SOL_SOCKET: i32 = -1;
  export let SCM_RIGHTS: i32 = -1;
  /** -1: the system has none. */
  export let SCM_PIDFD: i32 = -1;
  export let SCM_SECURITY: i32 = -1;
  export let MSG_TRUNC: i32 = 0;
  export let MSG_CTRUNC: i32 = 0;
  /** Whether the control length passed to `sendmsg` includes the last message's padding. */
  export let padLast: bool = false;
  /** MSG_CTRUNC gets lost: a `cmsg_len` that reaches past the end is the only sign of a truncation. */
  export let losesCtrunc: bool = false;
}

/** Reads an `int` of the target at an address of the control area. */
export function readInt(at: usize): i32 {
  const value = load<i32>(at);
  return abi.bigEndian ? bswap<i32>(value) : value;
}

/** Writes an `int` of the target at an address of the control area. */
export function writeInt(at: usize, value: i32): void {
  store<i32>(at, abi.bigEndian ? bswap<i32>(value) : value);
}
