/**
 * Short ways for one SCM_RIGHTS message with one descriptor and nothing else, which most messages are. They have the results
 * of the general ways. The fuzzer compares both with the C macros and a second verdict.
 *
 * They exist where the payload begins at 16, the message takes 24 bytes and integers are little-endian: on 64-bit Linux and the BSDs,
 * but not on Darwin, illumos and NetBSD/aarch64.
 */

import { abi } from "./abi";
import { step } from "./cmsghdr";
import { begin, put } from "./encode";
import { CONTROL, FDS, SHORT_HEADER } from "./memory";

const DATA: u32 = 16;
/** `CMSG_LEN` and `CMSG_SPACE` of such a message. */
export const LEN: u32 = 20;
const SPACE: u32 = 24;

/** Whether the target has the short ways. Then the header of the message is at SHORT_HEADER. */
let exists: bool = false;

/**
 * Forgets the short ways and writes such a message to the control area, by the general way. Whether its sizes are those of the short
 * ways; then they exist once `allow` is called with the general verdict on the message.
 */
export function prepare(): bool {
  exists = false;
  begin(-1);
  const fits = put(abi.SOL_SOCKET, abi.SCM_RIGHTS, 4) === DATA && step(LEN) === SPACE && !abi.bigEndian;
  store<u64>(SHORT_HEADER, load<u64>(CONTROL));
  store<u64>(SHORT_HEADER, load<u64>(CONTROL, 8), 8);
  return fits;
}

export function allow(is: bool): void {
  exists = is;
}

/** Makes a control buffer of the first descriptor of the table. The result is its length; 0: there is no short way. */
export function encodeOne(): i32 {
  if (!exists) return 0;
  store<u64>(CONTROL, load<u64>(SHORT_HEADER));
  store<u64>(CONTROL, load<u64>(SHORT_HEADER, 8), 8);
  // With the padding.
  store<u64>(CONTROL, load<u32>(FDS), DATA);
  return abi.padLast ? SPACE : LEN;
}

/** Whether the first `length` bytes of the control area are such a message. Then the descriptor is in the table. */
export function readOne(length: i32): bool {
  if (!exists || (length !== LEN && length !== SPACE)) return false;
  if (load<u64>(CONTROL) !== load<u64>(SHORT_HEADER) || load<u64>(CONTROL, 8) !== load<u64>(SHORT_HEADER, 8))
    return false;
  store<i32>(FDS, load<i32>(CONTROL, DATA));
  return true;
}
