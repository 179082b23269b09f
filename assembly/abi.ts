/** The layout and the numbers of one target. They are set from a row of the ABI table (`src/core/abis/`), under its names. */

export namespace abi {
  /** `cmsg_len`: where in the header, and 4 or 8 bytes wide. */
  export let lengthOffset: u32 = 0;
  export let lengthBytes: u32 = 4;
  /** `cmsg_level` and `cmsg_type`, 4 bytes each: where in the header. */
  export let levelOffset: u32 = 0;
  export let typeOffset: u32 = 0;
  /**
   * `CMSG_LEN(0)`: where the payload begins. Not `sizeof(struct cmsghdr)` on the 64-bit BSDs. Before {@link setLayout} it is
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

/** The largest offset or alignment that a layout may have. No ABI comes near; it bounds every sum of them. */
const LIMIT: u32 = 64;

function isAlignment(n: u32): bool {
  return n !== 0 && n <= LIMIT && (n & (n - 1)) === 0;
}

/**
 * Sets the layout. A layout that no walk could be safe with (fields outside of the header, a payload inside it, an alignment that
 * is no power of two) is refused: the result is false, and the layout stays as it was.
 *
 * @param headerBytes `sizeof(struct cmsghdr)`, with which the others are compared
 */
export function setLayout(
  headerBytes: u32,
  lengthOffset: u32,
  lengthBytes: u32,
  levelOffset: u32,
  typeOffset: u32,
  dataOffset: u32,
  alignBytes: u32,
  headerAlignBytes: u32,
  bigEndian: bool,
): bool {
  if (headerBytes === 0 || headerBytes > dataOffset || dataOffset > LIMIT) return false;
  if (lengthBytes !== 4 && lengthBytes !== 8) return false;
  // Each offset is compared before the width is added: no sum can wrap.
  if (lengthOffset > headerBytes || lengthOffset + lengthBytes > headerBytes) return false;
  if (levelOffset > headerBytes || levelOffset + 4 > headerBytes) return false;
  if (typeOffset > headerBytes || typeOffset + 4 > headerBytes) return false;
  if (!isAlignment(alignBytes) || !isAlignment(headerAlignBytes)) return false;
  abi.lengthOffset = lengthOffset;
  abi.lengthBytes = lengthBytes;
  abi.levelOffset = levelOffset;
  abi.typeOffset = typeOffset;
  abi.dataOffset = dataOffset;
  abi.alignBytes = alignBytes;
  abi.headerAlignBytes = headerAlignBytes;
  abi.bigEndian = bigEndian;
  return true;
}

/** Sets the numbers. Every value is safe; -1 stands for what the system does not have. */
export function setNumbers(
  SOL_SOCKET: i32,
  SCM_RIGHTS: i32,
  SCM_PIDFD: i32,
  SCM_SECURITY: i32,
  MSG_TRUNC: i32,
  MSG_CTRUNC: i32,
  padLast: bool,
  losesCtrunc: bool,
): void {
  abi.SOL_SOCKET = SOL_SOCKET;
  abi.SCM_RIGHTS = SCM_RIGHTS;
  abi.SCM_PIDFD = SCM_PIDFD;
  abi.SCM_SECURITY = SCM_SECURITY;
  abi.MSG_TRUNC = MSG_TRUNC;
  abi.MSG_CTRUNC = MSG_CTRUNC;
  abi.padLast = padLast;
  abi.losesCtrunc = losesCtrunc;
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
