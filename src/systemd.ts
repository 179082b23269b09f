/** systemd's conventions: socket activation, and notification of the service manager (sd_listen_fds(3), sd_notify(3)). */

import { boolean, outOfRange, readOptions, wrongType } from "./core/errors.ts";
import type { AsFd } from "./fd/as-fd.ts";
import { adopt, type OwnedFd } from "./fd/owned-fd.ts";
import { Deadline } from "./socket/aborts.ts";
import { UnixDatagram } from "./socket/datagram.ts";
import { UnixStream } from "./socket/stream.ts";
import { SIGNAL, TIMEOUT, type WaitOptions } from "./socket/waiting.ts";
import { ENOTSUP, errnoError, timedOut } from "./system/errno.ts";
import { hostPlatform } from "./system/platform.ts";

/** A descriptor passed by the service manager, and its name (`FileDescriptorName=`). */
export interface ListenFd {
  /** The descriptor. */
  readonly fd: OwnedFd;
  /** The name; `"unknown"` when it has none. */
  readonly name: string;
}

/** Options of {@link listenFds}. */
export interface ListenFdsOptions {
  /** Whether to remove the variables from the environment, so that child processes do not use them; true by default. */
  unset?: boolean | undefined;
}

/** The first passed descriptor: SD_LISTEN_FDS_START. */
const FIRST = 3;

/** The variables of the protocol. systemd 258 added LISTEN_PIDFDID, the inode of this process's pidfd. */
const VARIABLES = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/**
 * Adopts the descriptors that the service manager passed to this process (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), and sets CLOEXEC on
 * them. The result is empty when it passed none, or passed them to another process. Descriptors that an object of this library owns
 * already, from an earlier call or in another thread, are left out.
 *
 * @throws RangeError when LISTEN_FDS is not a number of descriptors; SystemError `EBADF` when one of them is not open. Then no
 *   descriptor is adopted.
 */
export function listenFds(options?: ListenFdsOptions): ListenFd[] {
  const { unset = true } = readOptions("options", options, { unset: (name, value) => void boolean(name, value) });
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
  if (unset) {
    for (const name of VARIABLES) delete process.env[name];
  }
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(process.pid)) return [];
  const count = /^\d{1,9}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : -1;
  if (count < 0) throw outOfRange("LISTEN_FDS", "a number of descriptors", LISTEN_FDS);
  const names = (LISTEN_FDNAMES ?? "").split(":");
  const platform = hostPlatform();
  const { system } = platform;
  const { F_GETFD, F_SETFD, FD_CLOEXEC } = platform.constants as Record<string, number>;
  for (let fd = FIRST; fd < FIRST + count; fd++) {
    const found = system.fcntl(fd, F_GETFD!, 0);
    if (found < 0) throw errnoError(found, "fcntl", `descriptor ${fd}, one of the ${count} in LISTEN_FDS`);
  }
  const passed: ListenFd[] = [];
  for (let i = 0; i < count; i++) {
    const flags = system.claim(FIRST + i);
    if (flags < 0) continue;
    system.fcntl(FIRST + i, F_SETFD!, flags | FD_CLOEXEC!);
    passed.push({ fd: adopt(platform, FIRST + i), name: names[i] || "unknown" });
  }
  return passed;
}

/**
 * Sends the state of this service to the service manager (NOTIFY_SOCKET), for example `"READY=1"` or
 * `{ READY: "1", STATUS: "serving" }`. Descriptors are sent for `FDSTORE=1`. Waits while the manager's queue is full.
 *
 * NOTIFY_SOCKET is an absolute path of any length, or `@` and an abstract name. The `vsock:` addresses of virtual machines (systemd
 * 254) are not supported: they are no Unix sockets, and carry no descriptors.
 *
 * @returns false when there is no service manager
 * @throws RangeError for a line break in a value; SystemError of the send, or `ENOTSUP` for any other address
 */
export async function notify(
  state: string | Record<string, string>,
  fds: readonly AsFd[] = [],
  options?: Pick<WaitOptions, "signal">,
): Promise<boolean> {
  const { signal } = readOptions("options", options, SIGNAL);
  return sendState(typeof state === "string" ? state : lines(state), fds, signal);
}

async function sendState(text: string, fds: readonly AsFd[], signal: AbortSignal | undefined): Promise<boolean> {
  const path = process.env.NOTIFY_SOCKET;
  if (path === undefined || path === "") return false;
  // In NOTIFY_SOCKET an abstract name begins with "@".
  if (!path.startsWith("/") && !path.startsWith("@")) {
    const supported = "expected an absolute path or @NAME: vsock and other addresses are no Unix sockets";
    throw errnoError(ENOTSUP, "sendmsg", `NOTIFY_SOCKET=${path}: ${supported}`);
  }
  const socket = UnixDatagram.unbound();
  try {
    await socket.sendFdsTo(text, fds, path.startsWith("@") ? `\0${path.slice(1)}` : path, { signal });
    return true;
  } finally {
    socket.close();
  }
}

/**
 * Waits until the service manager has processed all earlier notifications and their descriptors. The files of these descriptors must
 * exist until then. Without a service manager it returns at once. Both options apply to all of it.
 *
 * @throws as {@link notify}; SystemError `ETIMEDOUT` after `timeout`
 */
export async function notifyBarrier(options?: WaitOptions): Promise<void> {
  const { timeout, signal } = readOptions("options", options, { ...SIGNAL, ...TIMEOUT });
  const { system } = hostPlatform();
  const expired = () => timedOut("recvmsg", timeout!, "the service manager did not reach the barrier");
  const deadline = timeout === undefined ? null : new Deadline(system, system.now() + timeout, signal, expired);
  try {
    await reachBarrier(deadline?.signal ?? signal);
  } finally {
    deadline?.close();
  }
}

async function reachBarrier(signal: AbortSignal | undefined): Promise<void> {
  // The manager closes the descriptor sent with BARRIER=1 (systemd, manager_process_barrier_fd). Then `ours`
  // receives the end of the stream.
  const [ours, theirs] = UnixStream.pair();
  try {
    if (!(await sendState("BARRIER=1", [theirs], signal))) return;
    theirs.close();
    while (!(await ours.recvFds(0, { signal })).eof);
  } finally {
    theirs.close();
    ours.close();
  }
}

function lines(state: unknown): string {
  if (typeof state !== "object" || state === null || Array.isArray(state))
    throw wrongType("state", "a string or an object of strings", state);
  return Object.entries(state)
    .map(([name, value]) => {
      if (typeof value !== "string") throw wrongType(`state.${name}`, "a string", value);
      if (name === "" || /[=\n]/.test(name)) throw outOfRange("state", 'names without "=" and line breaks', name);
      if (value.includes("\n")) throw outOfRange(`state.${name}`, "a value without line breaks", value);
      return `${name}=${value}`;
    })
    .join("\n");
}
