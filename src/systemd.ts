/** systemd's conventions: sockets that the service manager opened, and telling it how one is (sd_listen_fds(3), sd_notify(3)). */

import { boolean, outOfRange, readOptions, wrongType } from "./core/errors.ts";
import type { AsFd } from "./fd/as-fd.ts";
import { adopt, type OwnedFd } from "./fd/owned-fd.ts";
import { UnixDatagram } from "./socket/datagram.ts";
import { TIMEOUT } from "./socket/endpoint.ts";
import { UnixStream } from "./socket/stream.ts";
import { ENOTSUP, ETIMEDOUT, errnoError } from "./system/errno.ts";
import { hostPlatform } from "./system/platform.ts";

/** A descriptor that was passed by the service manager, and its name (`FileDescriptorName=`). */
export interface ListenFd {
  readonly fd: OwnedFd;
  /** `"unknown"` when it was given none. */
  readonly name: string;
}

/** Options of {@link listenFds}. */
export interface ListenFdsOptions {
  /** Whether the variables are taken out of the environment, so that children do not believe them; true by default. */
  unset?: boolean | undefined;
}

/** The first of them: SD_LISTEN_FDS_START. */
const FIRST = 3;

/**
 * The descriptors that the service manager passed to this process (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), now owned and
 * CLOEXEC. None when it passed none, or passed them to another process.
 *
 * @throws RangeError when LISTEN_FDS is no number of descriptors; SystemError `EBADF` when one of them is not open. Nothing is
 *   taken over then.
 */
export function listenFds(options?: ListenFdsOptions): ListenFd[] {
  const { unset = true } = readOptions("options", options, { unset: (name, value) => void boolean(name, value) });
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
  if (unset) {
    for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
  }
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(process.pid)) return [];
  const count = /^\d{1,9}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : -1;
  if (count < 0) throw outOfRange("LISTEN_FDS", "a number of descriptors", LISTEN_FDS);
  const names = (LISTEN_FDNAMES ?? "").split(":");
  const platform = hostPlatform();
  const { F_GETFD, F_SETFD, FD_CLOEXEC } = platform.constants as Record<string, number>;
  const flags: number[] = [];
  for (let fd = FIRST; fd < FIRST + count; fd++) {
    const found = platform.system.fcntl(fd, F_GETFD!, 0);
    if (found < 0) throw errnoError(found, "fcntl", `descriptor ${fd} of ${count} that LISTEN_FDS tells of`);
    flags.push(found);
  }
  return flags.map((before, i) => {
    platform.system.fcntl(FIRST + i, F_SETFD!, before | FD_CLOEXEC!);
    platform.system.own(FIRST + i);
    return { fd: adopt(platform, FIRST + i), name: names[i] || "unknown" };
  });
}

/**
 * Tells the service manager (NOTIFY_SOCKET) how this service is: `"READY=1"`, `{ READY: "1", STATUS: "serving" }`. Descriptors are
 * for `FDSTORE=1`.
 *
 * @returns false when there is no manager to tell
 * @throws RangeError for a line break in a value; SystemError as of a send, `ENOTSUP` for a vsock address
 */
export async function notify(state: string | Record<string, string>, fds: readonly AsFd[] = []): Promise<boolean> {
  return tell(typeof state === "string" ? state : lines(state), fds);
}

async function tell(text: string, fds: readonly AsFd[], signal?: AbortSignal): Promise<boolean> {
  const path = process.env.NOTIFY_SOCKET;
  if (path === undefined || path === "") return false;
  // An abstract name begins with "@" there. systemd also knows vsock:, which is no Unix socket.
  if (!path.startsWith("/") && !path.startsWith("@")) throw errnoError(ENOTSUP, "sendmsg", `NOTIFY_SOCKET=${path}`);
  const socket = UnixDatagram.unbound();
  try {
    await socket.sendFdsTo(text, fds, path.startsWith("@") ? `\0${path.slice(1)}` : path, { signal });
    return true;
  } finally {
    socket.close();
  }
}

/**
 * Waits until the service manager has worked off what it was told before, descriptors among it: only then may what they refer
 * to go away. Without a manager there is nothing to wait for.
 *
 * @param options `timeout`: milliseconds after which it is rejected with `ETIMEDOUT`; for ever by default
 */
export async function notifyBarrier(options?: { timeout?: number | undefined }): Promise<void> {
  const { timeout = Infinity } = readOptions("options", options, TIMEOUT);
  // The manager closes what comes with BARRIER=1, whatever it is (systemd, manager_process_barrier_fd): our end then ends.
  const [ours, theirs] = UnixStream.pair();
  const timeUp = new AbortController();
  const timer =
    timeout === Infinity
      ? undefined
      : setTimeout(
          () => timeUp.abort(errnoError(ETIMEDOUT, "recvmsg", "the service manager did not reach the barrier")),
          Math.min(timeout, 0x7fffffff),
        );
  try {
    if (!(await tell("BARRIER=1", [theirs], timeUp.signal))) return;
    theirs.close();
    while (!(await ours.recvFds(0, { signal: timeUp.signal })).eof);
  } finally {
    clearTimeout(timer);
    theirs.close();
    ours.close();
  }
}

function lines(state: unknown): string {
  if (typeof state !== "object" || state === null) throw wrongType("state", "a string or an object of strings", state);
  return Object.entries(state)
    .map(([name, value]) => {
      if (typeof value !== "string") throw wrongType(`state.${name}`, "a string", value);
      if (name === "" || /[=\n]/.test(name)) throw outOfRange("state", 'names without "=" and line breaks', name);
      if (value.includes("\n")) throw outOfRange(`state.${name}`, "a value without line breaks", value);
      return `${name}=${value}`;
    })
    .join("\n");
}
