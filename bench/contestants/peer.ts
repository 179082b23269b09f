/** The second process of a contestant: the same file again, with a socket as descriptor 3. */

import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { type UnixSeqpacket, UnixStream } from "unix-ancillary";

const ROLE = "UNIX_ANCILLARY_BENCH_PEER";

/** Whether this is the second process. */
export const isPeer: boolean = process.env[ROLE] !== undefined;

/** Spawn options that mark a process as the second one. */
export const options = { env: { ...process.env, [ROLE]: "1" } };

/** The arguments of this process, without its file. */
export const args: readonly string[] = process.argv.slice(2);

function command(url: string): [string, string[]] {
  return [process.execPath, [fileURLToPath(url), ...args]];
}

/** Starts this file again, connected by a socket of that kind. The process ends when the socket is closed. */
export function startPeer<S extends UnixStream | UnixSeqpacket = UnixStream>(
  url: string,
  kind: { pair(): [S, S] } = UnixStream as unknown as { pair(): [S, S] },
): S {
  const [ours, theirs] = kind.pair();
  spawn(...command(url), { ...options, stdio: ["ignore", "inherit", "inherit", theirs.fd] });
  theirs.close();
  return ours;
}

/** Starts this file again, connected by a net.Socket: a pipe of child_process is a Unix stream socket. */
export function startNetPeer(url: string): Socket {
  const child = spawn(...command(url), { ...options, stdio: ["ignore", "inherit", "inherit", "pipe"] });
  return child.stdio[3] as Socket;
}
