/** Credentials and pidfd of a peer. */

import type { PeerCredentialsLayout } from "../core/abis/table.ts";
import type { Credentials } from "../core/payloads.ts";
import { adopt, type OwnedFd } from "../fd/owned-fd.ts";
import { fs } from "../system/builtins.ts";
import { ENOTCONN, ENOTSUP, errnoError } from "../system/errno.ts";
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
const LITTLE_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

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
  const uid = answer.getUint32(layout.uid, LITTLE_ENDIAN);
  // Linux reports values for a socket without a peer too: pid 0, and -1 for both ids (measured on 6.18).
  if (uid === 0xffffffff) throw errnoError(ENOTCONN, "getsockopt");
  if (isUnmapped(platform, "uid", uid))
    throw errnoError(ENOTSUP, "getsockopt", "the peer's user has no number in this user namespace");
  const gid = answer.getUint32(layout.gid, LITTLE_ENDIAN);
  const pid = layout.pid === null ? peerPid(platform, fd, layout) : answer.getInt32(layout.pid, LITTLE_ENDIAN);
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
  return length < 4 ? null : answer.getInt32(0, LITTLE_ENDIAN);
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
  if (pidfd < 0) throw errnoError(pidfd, "getsockopt");
  return adopt(platform, pidfd);
}
