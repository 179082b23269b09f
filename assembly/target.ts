/** Sets the target, whose layout and numbers are in `abi.ts`. */

import { abi } from "./abi";
import { allow, LEN, prepare } from "./short";
import { OK, verdict } from "./verdict";

/** The largest offset or alignment that a layout may have. No ABI comes near; it bounds every sum of them. */
const LIMIT: u32 = 64;

function isAlignment(n: u32): bool {
  return n !== 0 && n <= LIMIT && (n & (n - 1)) === 0;
}

/**
 * Called when the layout or the numbers have changed. Whether there are short ways: where fields overlap, or a number stands for what
 * the system does not have, even the message that `put` writes is not one descriptor. Writes to the control area, the table and the
 * registers.
 */
function setShort(): void {
  allow(prepare() && verdict(LEN, 0, 1, 1, false) === OK);
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
  setShort();
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
  setShort();
}
