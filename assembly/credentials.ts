/**
 * Payloads with the sender's credentials. A system has at most three layouts of them (FreeBSD: `cmsgcred`, `sockcred` and
 * `sockcred2`), which are set from the ABI table and kept in page 0.
 */

import { abi, readInt, writeInt } from "./abi";
import { put } from "./encode";
import { CONTROL, CREDENTIALS_LAYOUTS, Register, set } from "./memory";

/** One layout in memory: fields of 4 bytes, by offset. */
const TYPE: usize = 0;
const BYTES: usize = 4;
const PID: usize = 8;
const UID: usize = 12;
const GID: usize = 16;
const STRIDE: usize = 20;
const KINDS: u32 = 3;

/**
 * Sets one of the layouts: the message type, the least size of the payload, and the offsets of pid (-1: there is none), uid and
 * gid in it. 0 bytes: there is no such layout. When a field would lie outside of the payload, the result is false and nothing
 * changes.
 */
export function setCredentials(kind: u32, type: i32, bytes: u32, pid: i32, uid: u32, gid: u32): bool {
  if (kind >= KINDS) return false;
  if (bytes !== 0) {
    if (bytes < 4 || bytes > 256) return false;
    const last = bytes - 4;
    if (uid > last || gid > last || (pid !== -1 && <u32>pid > last)) return false;
  }
  const at = CREDENTIALS_LAYOUTS + <usize>kind * STRIDE;
  store<i32>(at, type, TYPE);
  store<u32>(at, bytes, BYTES);
  store<i32>(at, pid, PID);
  store<u32>(at, uid, UID);
  store<u32>(at, gid, GID);
  return true;
}

/** Appends credentials of the first layout. The result is the payload's offset; -1: no room, or there is no layout. */
export function putCredentials(pid: i32, uid: i32, gid: i32): i32 {
  const bytes = load<u32>(CREDENTIALS_LAYOUTS, BYTES);
  if (bytes === 0) return -1;
  const data = put(abi.SOL_SOCKET, load<i32>(CREDENTIALS_LAYOUTS, TYPE), bytes);
  if (data < 0) return -1;
  const payload: usize = CONTROL + data;
  const pidAt = load<i32>(CREDENTIALS_LAYOUTS, PID);
  if (pidAt >= 0) writeInt(payload + pidAt, pid);
  writeInt(payload + load<u32>(CREDENTIALS_LAYOUTS, UID), uid);
  writeInt(payload + load<u32>(CREDENTIALS_LAYOUTS, GID), gid);
  return data;
}

/**
 * Whether messages of `type` carry credentials; then the registers CREDENTIALS, PID, UID, GID are set.
 *
 * They name nobody, and CREDENTIALS is 2, when the payload is cut short, and when the uid is -1, as for a socket without a peer.
 * CREDENTIALS is 3 when the pid is 0: Linux writes that for data sent before the option was on (with the overflow uid), for a
 * sender outside of the pid namespace (with its uid), and at the end of a stream (with uid 0, which looks like root; measured on
 * Linux 6.18).
 */
export function readCredentials(type: i32, data: u32, length: u32): bool {
  let at: usize = 0;
  let bytes: u32 = 0;
  for (let kind: u32 = 0; kind < KINDS; kind++) {
    const layout = CREDENTIALS_LAYOUTS + <usize>kind * STRIDE;
    const size = load<u32>(layout, BYTES);
    if (size === 0 || load<i32>(layout, TYPE) !== type) continue;
    at = layout;
    bytes = size;
    // Layouts of one type are told apart by their size. The last stands for every size that is no other's.
    if (length === size) break;
  }
  if (at === 0) return false;
  set(Register.CREDENTIALS, 2);
  if (length < bytes) return true;
  const payload: usize = CONTROL + data;
  const pidAt = load<i32>(at, PID);
  const pid: i32 = pidAt < 0 ? -1 : readInt(payload + pidAt);
  const uid: i32 = readInt(payload + load<u32>(at, UID));
  set(Register.PID, pid);
  set(Register.UID, uid);
  set(Register.GID, readInt(payload + load<u32>(at, GID)));
  if (uid !== -1) {
    if (pidAt < 0 || pid > 0) set(Register.CREDENTIALS, 1);
    else if (pid === 0) set(Register.CREDENTIALS, 3);
  }
  return true;
}
