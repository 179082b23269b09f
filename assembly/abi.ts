/**
 * The layout and the numbers of one target. They are set from a row of the ABI table (`src/core/abis/`); the core
 * holds no row of its own. Until it is configured it is that of 64-bit little-endian Linux.
 */

import { CONTROL_BYTES } from "./memory";

/** `sizeof(struct cmsghdr)`. */
export let headerBytes: u32 = 16;
/** `cmsg_len`: where in the header, and 4 or 8 bytes wide. */
export let lengthOffset: u32 = 0;
export let lengthBytes: u32 = 8;
/** `cmsg_level` and `cmsg_type`, 4 bytes each: where in the header. */
export let levelOffset: u32 = 8;
export let typeOffset: u32 = 12;
/** `CMSG_LEN(0)`: where the payload begins. Not `sizeof(struct cmsghdr)` on the 64-bit BSDs. */
export let dataOffset: u32 = 16;
/** `CMSG_ALIGN` rounds up to a multiple of this. */
export let dataAlign: u32 = 8;
/** The next header begins at a multiple of this; it differs from `dataAlign` on illumos/sparcv9 only. */
export let headerAlign: u32 = 8;
export let bigEndian: bool = false;

export let SOL_SOCKET: i32 = 1;
export let SCM_RIGHTS: i32 = 1;
/** -1: this system has none. */
export let SCM_PIDFD: i32 = 4;
export let SCM_SECURITY: i32 = 3;
export let MSG_TRUNC: i32 = 0x20;
export let MSG_CTRUNC: i32 = 8;
/** Whether the control length passed to sendmsg includes the last message's padding. */
export let padLast: bool = true;
/** DragonFly loses MSG_CTRUNC: there a `cmsg_len` past the end is the only sign of a truncation. */
export let losesCtrunc: bool = false;

/** Whether a header is that of 64-bit little-endian Linux, musl's included: what {@link rightsAlone} can tell at a glance. */
export let isLinux64: bool = true;
/** Level and type of SCM_RIGHTS as such a header has them, one behind the other. */
export let rightsType: u64 = 0x100000001;
/** The flags that say that something was cut. */
export let cutFlags: i32 = 0x28;

/** The largest offset or alignment a layout may name. No ABI comes near; it bounds every sum that is made of them. */
const LIMIT: u32 = 64;

function isAlignment(n: u32): bool {
  return n !== 0 && n <= LIMIT && (n & (n - 1)) === 0;
}

/**
 * Takes over a layout. A layout that no walk could be safe with (fields outside the header, a payload inside it, an
 * alignment that is no power of two) is refused: 0, and the former one stays.
 */
export function layout(
  header: u32,
  lengthAt: u32,
  lengthWidth: u32,
  levelAt: u32,
  typeAt: u32,
  dataAt: u32,
  alignment: u32,
  headerAlignment: u32,
  big: bool,
): bool {
  if (header === 0 || header > dataAt || dataAt > LIMIT) return false;
  if (lengthWidth !== 4 && lengthWidth !== 8) return false;
  // Each offset is compared before the width is added: no sum can wrap.
  if (lengthAt > header || lengthAt + lengthWidth > header) return false;
  if (levelAt > header || levelAt + 4 > header) return false;
  if (typeAt > header || typeAt + 4 > header) return false;
  if (!isAlignment(alignment) || !isAlignment(headerAlignment)) return false;
  headerBytes = header;
  lengthOffset = lengthAt;
  lengthBytes = lengthWidth;
  levelOffset = levelAt;
  typeOffset = typeAt;
  dataOffset = dataAt;
  dataAlign = alignment;
  headerAlign = headerAlignment;
  bigEndian = big;
  isLinux64 =
    !big &&
    lengthAt === 0 &&
    levelAt === 8 &&
    typeAt === 12 &&
    dataAt === 16 &&
    alignment === 8 &&
    headerAlignment === 8;
  return true;
}

/** Takes over the numbers; any values are safe, -1 stands for what the system has not. */
export function numbers(
  solSocket: i32,
  rights: i32,
  pidfd: i32,
  security: i32,
  trunc: i32,
  ctrunc: i32,
  padsLast: bool,
  silent: bool,
): void {
  SOL_SOCKET = solSocket;
  SCM_RIGHTS = rights;
  SCM_PIDFD = pidfd;
  SCM_SECURITY = security;
  MSG_TRUNC = trunc;
  MSG_CTRUNC = ctrunc;
  padLast = padsLast;
  losesCtrunc = silent;
  rightsType = ((<u64>(<u32>rights)) << 32) | <u64>(<u32>solSocket);
  cutFlags = trunc | ctrunc;
}

/** An `int` of the target at an address of the control area. */
export function readInt(at: usize): i32 {
  const value = load<i32>(at);
  return bigEndian ? bswap<i32>(value) : value;
}

/** The opposite. */
export function writeInt(at: usize, value: i32): void {
  store<i32>(at, bigEndian ? bswap<i32>(value) : value);
}

/**
 * Of a control area that holds one SCM_RIGHTS message alone: the bytes of its payload; -1 for anything else, and whatever the
 * layout. Level and type are compared at once, and so are the 8 bytes that the kernel writes where musl declares 4 and a pad.
 */
export function rightsAlone(control: usize, length: u32): i32 {
  if (!isLinux64 || length <= 16 || length > CONTROL_BYTES || load<u64>(control + 8) !== rightsType) return -1;
  const told = load<u64>(control);
  if (told <= 16 || told > length || ((<u32>told + 7) & ~7) < length) return -1;
  return <i32>(<u32>told - 16);
}

/** Whether {@link rightsAlone} would say 4: one descriptor, as most messages have. */
export function oneRightAlone(control: usize, length: u32): bool {
  return isLinux64 && length - 20 <= 4 && load<u64>(control) === 20 && load<u64>(control + 8) === rightsType;
}
