/** Credentials and pidfd of a peer. */

import type { PeerCredentialsLayout } from "../core/abis/table.ts";
import { type Credentials, labelOf } from "../core/payloads.ts";
import { HOST_IS_LITTLE_ENDIAN } from "../core/wasm.ts";
import { adopt, type OwnedFd } from "../fd/owned-fd.ts";
import { fs } from "../system/builtins.ts";
import { ENOPROTOOPT, ENOTCONN, ENOTSUP, ERANGE, errnoError, needs } from "../system/errno.ts";
import { isHostPlatform, type Platform } from "../system/platform.ts";

export type { Credentials };

/** What Linux writes for the users, or the groups, that have no number in this user namespace. */
interface OverflowId {
  readonly id: number;
  /** Whether there are such. Where all are mapped, as they are outside of containers, it is a user like others: `nobody`. */
  readonly unmapped: boolean;
}

const ofHost: { uid?: OverflowId; gid?: OverflowId } = {};

/** The overflow id of users or of groups, read once; null: the system has none. A virtual kernel has one user namespace. */
export function overflowId(platform: Platform, kind: "uid" | "gid"): OverflowId | null {
  const byDefault = platform.abi.overflowId;
  if (byDefault === null) return null;
  if (!isHostPlatform(platform)) return { id: byDefault, unmapped: false };
  ofHost[kind] ??= {
    // Root may have changed it.
    id: Number(contentOf(`/proc/sys/kernel/overflow${kind}`)) || byDefault,
    unmapped: !mapsAll(contentOf(`/proc/self/${kind}_map`)),
  };
  return ofHost[kind];
}

/** Whether the lines (first id inside, first id outside, how many) map every id but -1, which is none; see user_namespaces(7). */
function mapsAll(lines: string): boolean {
  let mapped = 0;
  for (const line of lines.split("\n")) mapped += Number(line.trim().split(/ +/)[2] ?? 0);
  return mapped >= 0xffffffff;
}

function contentOf(path: string): string {
  try {
    return fs.readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Whether this id stands for all that have no number in this user namespace. */
export function isUnmapped(platform: Platform, kind: "uid" | "gid", id: number): boolean {
  const overflow = overflowId(platform, kind);
  return overflow?.unmapped === true && overflow.id === id;
}

/** Large enough for the answer of every system: `struct xucred` has 88 bytes on FreeBSD. */
const answer = new DataView(new ArrayBuffer(128));
const answerBytes = new Uint8Array(answer.buffer);

/**
 * The credentials of the peer, which the kernel recorded when the connection was made.
 *
 * @throws SystemError `ENOTCONN` without a peer, `ENOTSUP` where the system has no such option, or the peer's user is not mapped in
 *   this user namespace
 */
export function peerCredentials(platform: Platform, fd: number): Credentials {
  const { system, abi, constants } = platform;
  const layout = abi.peerCredentials;
  const option = layout === null ? -1 : (constants[layout.option] ?? -1);
  if (layout === null || option === -1) throw errnoError(ENOTSUP, "getsockopt", `${abi.os} has no such option`);
  const length = system.getsockopt(fd, constants[layout.level]!, option, answerBytes);
  if (length < 0) throw errnoError(length, "getsockopt");
  const uid = answer.getUint32(layout.uid, HOST_IS_LITTLE_ENDIAN);
  // Linux reports values for a socket without a peer too: pid 0, and -1 for both ids (measured on 6.18).
  if (uid === 0xffffffff) throw errnoError(ENOTCONN, "getsockopt");
  if (isUnmapped(platform, "uid", uid))
    throw errnoError(ENOTSUP, "getsockopt", "the peer's user has no number in this user namespace");
  const gid = answer.getUint32(layout.gid, HOST_IS_LITTLE_ENDIAN);
  const pid = layout.pid === null ? peerPid(platform, fd, layout) : answer.getInt32(layout.pid, HOST_IS_LITTLE_ENDIAN);
  return { pid: pid !== null && pid > 0 ? pid : null, uid, gid };
}

/** The pid, on systems with a separate option for it. */
function peerPid(
  { system, constants }: Platform,
  fd: number,
  { level, pidOption }: PeerCredentialsLayout,
): number | null {
  const option = pidOption === null ? -1 : (constants[pidOption] ?? -1);
  if (option === -1) return null;
  const length = system.getsockopt(fd, constants[level]!, option, answerBytes);
  return length < 4 ? null : answer.getInt32(0, HOST_IS_LITTLE_ENDIAN);
}

/** Bytes for the first answer of an option of any length, and for the longest: NGROUPS_MAX ids (Linux, 65536) of 4 bytes. */
const ANSWER_BYTES = 256;
const MOST_ANSWER_BYTES = 4 * 65536;

/** The answer of an option of SOL_SOCKET, which the kernel refuses to cut (ERANGE). */
function answerOf(platform: Platform, fd: number, name: "SO_PEERGROUPS" | "SO_PEERSEC"): Uint8Array {
  const { system, abi } = platform;
  const option = abi[name];
  if (option === null) throw errnoError(ENOTSUP, "getsockopt", `${abi.os} has no ${name}`);
  for (let size = ANSWER_BYTES; ; size *= 4) {
    const into = new Uint8Array(size);
    const length = system.getsockopt(fd, abi.SOL_SOCKET, option, into);
    if (length === ERANGE && size < MOST_ANSWER_BYTES) continue;
    if (length < 0) throw errnoError(length, "getsockopt", length === ENOPROTOOPT ? needs(platform, name) : name);
    return into.subarray(0, length);
  }
}

/**
 * The supplementary groups of the peer (SO_PEERGROUPS, Linux 4.13). Groups that have no number in this user namespace are left out.
 *
 * @throws SystemError `ENOTSUP`, `ENODATA` without a peer
 */
export function peerGroups(platform: Platform, fd: number): number[] {
  const answer = answerOf(platform, fd, "SO_PEERGROUPS");
  const groups = [...new Uint32Array(answer.buffer, 0, answer.length >> 2)];
  return groups.filter((gid) => !isUnmapped(platform, "gid", gid));
}

/**
 * The security label of the peer (SO_PEERSEC, Linux).
 *
 * @throws SystemError `ENOTSUP`; `ENOPROTOOPT` where no security module labels sockets
 */
export function peerSecurity(platform: Platform, fd: number): string {
  return labelOf(answerOf(platform, fd, "SO_PEERSEC"));
}

/**
 * A pidfd of the peer (SO_PEERPIDFD, Linux 6.5).
 *
 * @throws SystemError `ENOTSUP`, `ENOPROTOOPT` on older kernels, `ENODATA` without a peer
 */
export function peerPidfd(platform: Platform, fd: number): OwnedFd {
  const { system, constants } = platform;
  const option = constants.SO_PEERPIDFD ?? -1;
  if (option === -1) throw errnoError(ENOTSUP, "getsockopt", `${platform.abi.os} has no SO_PEERPIDFD`);
  const pidfd = system.getsockoptFd(fd, constants.SOL_SOCKET!, option);
  if (pidfd < 0) throw errnoError(pidfd, "getsockopt", pidfd === ENOPROTOOPT ? needs(platform, "SO_PEERPIDFD") : null);
  return adopt(platform, pidfd);
}
