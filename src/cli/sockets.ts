/** The sockets that send and receive, by what the command line says. */

import { setTimeout as sleep } from "node:timers/promises";
import { type Credentials, type OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "../index.ts";
import { inherited, placeName } from "./address.ts";
import { type Given, type Option, wholeNumber } from "./arguments.ts";
import { EXIT, Failure, failureOf, usage } from "./failure.ts";

/** A socket with a peer. */
export type Connected = UnixStream | UnixSeqpacket;
export type Listener = UnixListener<UnixStream | UnixSeqpacket>;

/** What a place turned out to be. */
export type Opened =
  | { readonly kind: "listener"; readonly socket: Listener }
  | { readonly kind: "connected"; readonly socket: Connected }
  | { readonly kind: "datagram"; readonly socket: UnixDatagram };

export type SocketType = "stream" | "datagram" | "seqpacket";

/** Options that say which type of socket. */
export const TYPES: Readonly<Record<string, Option>> = {
  datagram: { help: "a datagram socket (SOCK_DGRAM): each message for itself, no connection" },
  seqpacket: { help: "a seqpacket socket (SOCK_SEQPACKET): a connection that keeps messages apart; not on macOS" },
};

export const MODE: Option = {
  value: "OCTAL",
  help: "permissions of the socket's file, as chmod has them: who may connect; 600 unless given, you alone",
};

/** The type that the options name; null: none, which means a stream where a socket is made. */
export function typeOf(given: Given): SocketType | null {
  given.exclude("datagram", "seqpacket", "a socket has one type");
  return given.has("datagram") ? "datagram" : given.has("seqpacket") ? "seqpacket" : null;
}

export function modeOf(given: Given): number | null {
  const text = given.text("mode");
  if (text === null) return null;
  if (!/^0?[0-7]{3}$/.test(text)) throw usage(`--mode expected an octal number as chmod's, 600 or 666, got "${text}"`);
  return Number.parseInt(text, 8);
}

/** Binds a name, where others connect or send to. */
export function bind(path: string, type: SocketType, mode: number | null): Opened {
  const abstract = path.startsWith("\0");
  if (abstract && mode !== null) throw usage("--mode is for files: everybody may connect to an abstract name");
  // By the umask, so that the file never has another mode.
  const umask = process.umask(0o777 & ~(mode ?? 0o600));
  try {
    if (type === "datagram") return { kind: "datagram", socket: UnixDatagram.bind(path) };
    const socket = type === "stream" ? UnixListener.bind(path) : UnixListener.bind(path, { type });
    return { kind: "listener", socket: socket as Listener };
  } catch (error) {
    throw explained(error, placeName({ path }));
  } finally {
    process.umask(umask);
  }
}

/** Connects; with `retry`, as soon as somebody listens. */
export async function connect(
  path: string,
  type: "stream" | "seqpacket",
  signal: AbortSignal,
  retry: boolean,
): Promise<Connected> {
  const attempt = () => (type === "stream" ? UnixStream : UnixSeqpacket).connect(path, { signal });
  return retry
    ? retried(attempt, signal)
    : attempt().catch((error) => Promise.reject(explained(error, placeName({ path }))));
}

/** Tries until somebody is there. The kernel does not tell when a name is bound: it is asked. */
export async function retried<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let pause = 10; ; pause = Math.min(200, pause * 2)) {
    try {
      return await attempt();
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "ENOENT" && code !== "ECONNREFUSED") throw error;
    }
    try {
      await sleep(pause, undefined, { signal });
    } catch {
      throw signal.reason;
    }
  }
}

/** A socket that this process was started with, whichever it is. @throws Failure for anything else */
export function inheritedSocket(fd: number, type: SocketType | null): Opened {
  const owned = inherited(fd);
  try {
    const { kind, socket } = owned.describe();
    if (socket === undefined || socket.family !== "unix") {
      const what = socket === undefined ? kind : `socket of family ${socket.family}`;
      throw new Failure(EXIT.FAILED, "ERR_NOT_UNIX_SOCKET", `fd:${fd} expected a Unix socket, got a ${what}`);
    }
    const found = socket.type === "dgram" ? "datagram" : socket.type;
    if (type !== null && found !== type) throw usage(`--${type} was given, but fd:${fd} is a ${found} socket`);
    return openedFrom(owned, found, socket.listening);
  } catch (error) {
    owned.close();
    throw error;
  }
}

function openedFrom(owned: OwnedFd, type: SocketType | "other", listening: boolean): Opened {
  if (type === "datagram") return { kind: "datagram", socket: UnixDatagram.from(owned) };
  if (listening) return { kind: "listener", socket: UnixListener.from(owned) as Listener };
  return { kind: "connected", socket: (type === "seqpacket" ? UnixSeqpacket : UnixStream).from(owned) };
}

/** Who is at the other end; null where the system does not tell. */
export function peerOf(socket: Connected): Credentials | null {
  try {
    return socket.peerCredentials();
  } catch {
    return null;
  }
}

/** What an error at a name means there, and what to try. */
export function explained(error: unknown, name: string): Failure {
  const failure = failureOf(error);
  const hints: Readonly<Record<string, string>> = {
    ENOENT: `nobody has bound it: start "unix-ancillary recv ${name}" first, or wait for it with --wait`,
    ECONNREFUSED: `nobody listens there any more: start "unix-ancillary recv ${name}" first, or wait for it with --wait`,
    EADDRINUSE: `somebody is there: recv --connect receives from who listens; if it is what a program left that has gone: rm ${name}`,
    EACCES: "who may connect is said by the mode of the socket's file (--mode of recv) and by its folder's",
    EPROTOTYPE: "the socket there is of another type: --datagram and --seqpacket have to be the same at both ends",
    ENOTDIR: "a folder on the way there is no folder",
  };
  let hint = failure.hint ?? hints[failure.code] ?? null;
  if (failure.code === "ENOENT" && /, bind$/.test(failure.message)) hint = "its folder does not exist";
  if (failure.code === "EACCES" && /, bind$/.test(failure.message)) hint = "you may not write to its folder";
  if (failure.exit === EXIT.USAGE && /at most \d+ bytes/.test(failure.message))
    hint = "names of Unix sockets are short: cd to the folder, and give the last part of the path";
  return new Failure(failure.exit, failure.code, `${name}: ${failure.message}`, hint);
}

/** Numbers in `--fd` values, no two the same. */
export function numbersOf(values: readonly string[]): number[] {
  const numbers = values.map((text) => wholeNumber("--fd", text, 0, 1023));
  for (const number of numbers)
    if (numbers.filter((other) => other === number).length > 1)
      throw usage(`--fd ${number} was given twice: a number refers to one file`);
  return numbers;
}
