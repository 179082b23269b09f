/** Creates the sockets that the command line asks for. */

import { lstatSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { type Credentials, type OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "../index.ts";
import { addressText, inherited } from "./address.ts";
import { type Arguments, type Option, wholeNumber } from "./arguments.ts";
import { EXIT, Failure, failureOf, usage } from "./failure.ts";

/** A socket with a peer. */
export type Connected = UnixStream | UnixSeqpacket;
export type Listener = UnixListener<UnixStream | UnixSeqpacket>;

/** The socket at an address. */
type Opened =
  | { readonly kind: "listener"; readonly socket: Listener }
  | { readonly kind: "connected"; readonly socket: Connected }
  | { readonly kind: "datagram"; readonly socket: UnixDatagram };

export type SocketType = "stream" | "datagram" | "seqpacket";

/** Options for the type of socket. */
export const TYPES: Readonly<Record<string, Option>> = {
  datagram: { help: "uses a datagram socket (SOCK_DGRAM): separate messages, no connection" },
  seqpacket: { help: "uses a seqpacket socket (SOCK_SEQPACKET): a connection with message boundaries; not on macOS" },
};

export const MODE: Option = {
  value: "OCTAL",
  help: "the mode of the socket's file, as for chmod: which users may connect; default: 600, only you",
};

/** The type that the options name; null if there is none: a new socket is then a stream. */
export function typeOf(args: Arguments): SocketType | null {
  args.exclude("datagram", "seqpacket", "a socket has one type");
  return args.has("datagram") ? "datagram" : args.has("seqpacket") ? "seqpacket" : null;
}

export function modeOf(args: Arguments): number | null {
  const text = args.text("mode");
  if (text === null) return null;
  if (!/^0?[0-7]{3}$/.test(text))
    throw usage(`--mode expected an octal number as for chmod, such as 600 or 666, got "${text}"`);
  return Number.parseInt(text, 8);
}

/** Binds an address, to which others connect or send. */
export function bind(path: string, type: SocketType, mode: number | null): Opened {
  const abstract = path.startsWith("\0");
  if (abstract && mode !== null)
    throw usage("--mode needs a PATH: an abstract name has no mode, every user may connect to it");
  const options = abstract ? {} : { mode: mode ?? 0o600 };
  try {
    if (type === "datagram") return { kind: "datagram", socket: UnixDatagram.bind(path, options) };
    const socket = type === "stream" ? UnixListener.bind(path, options) : UnixListener.bind(path, { ...options, type });
    return { kind: "listener", socket: socket as Listener };
  } catch (error) {
    throw explained(error, addressText({ path }));
  }
}

/** Connects; with `retry`, waits until a socket listens. `listener` is the command that would listen, for the hint. */
export async function connect(
  path: string,
  type: "stream" | "seqpacket",
  signal: AbortSignal,
  retry: boolean,
  listener: string,
): Promise<Connected> {
  const peer = type === "stream" ? listener : `${listener} --${type}`;
  const attempt = () => (type === "stream" ? UnixStream : UnixSeqpacket).connect(path, { signal });
  return retry
    ? retried(attempt, signal)
    : attempt().catch((error) => Promise.reject(explained(error, addressText({ path }), peer)));
}

/** Repeats an attempt until a socket is bound and listens. It polls: the kernel does not report when a name is bound. */
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

/** An inherited socket of any type. @throws Failure for anything else */
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

/** The credentials of the peer; null if the system does not report them. */
export function peerOf(socket: Connected): Credentials | null {
  try {
    return socket.peerCredentials();
  } catch {
    return null;
  }
}

/** A failure at an address, with its name and a hint. `listener` is the command that would listen there. */
export function explained(error: unknown, name: string, listener = "recv"): Failure {
  const failure = failureOf(error);
  const { syscall, address } = error as { syscall?: string; address?: string };
  // The name stands before the message.
  const message = address === undefined ? failure.message : failure.message.replace(` ${inspect(address)}`, "");
  const text = `${name}: ${message}`;
  if (failure.exit === EXIT.USAGE && /at most \d+ bytes/.test(message)) {
    const hint = name.startsWith("@")
      ? null
      : "paths of Unix sockets are short: cd to the folder, and give only the last part of the path";
    return new Failure(failure.exit, failure.code, text, hint);
  }
  const hint = syscall === "bind" ? bindHint(failure.code, name) : connectHint(failure.code, name, listener);
  return new Failure(failure.exit, failure.code, text, failure.hint ?? hint);
}

function bindHint(code: string, name: string): string | null {
  if (code === "EADDRINUSE") return inUse(name);
  if (code === "ENOENT") return `create the folder first: mkdir -p ${shellWord(dirname(name))}`;
  return code === "EACCES" ? "you have no write permission for its folder" : null;
}

function connectHint(code: string, name: string, listener: string): string | null {
  const start = `start "unix-ancillary ${listener} ${shellWord(name)}" first, or wait for it with --wait`;
  const hints: Readonly<Record<string, string>> = {
    ENOENT: `no socket is bound there: ${start}`,
    ECONNREFUSED: isOtherFile(name)
      ? "the file there is not a socket: give the path of the receiver's socket"
      : `no program listens there: ${start}`,
    EACCES: "you need write permission for the socket's file (recv --mode) and access to its folder",
    EPROTOTYPE: "the socket there has another type: use the same of --datagram and --seqpacket at both ends",
  };
  return hints[code] ?? null;
}

/** The hint for a name that is taken. It proposes to remove sockets only. */
function inUse(name: string): string {
  const kind = kindAt(name);
  if (kind === "other" || kind === "link") return "the file there is not a socket: choose another path";
  const connect = "to receive from the program that listens there: recv --connect";
  return kind === "socket" ? `${connect}; if that program has ended: rm ${shellWord(name)}` : connect;
}

/** What a name of the file system names; null for nothing, for an abstract name, and where that cannot be found out. */
function kindAt(name: string): "socket" | "link" | "other" | null {
  if (name.startsWith("@")) return null;
  try {
    const file = lstatSync(name);
    return file.isSocket() ? "socket" : file.isSymbolicLink() ? "link" : "other";
  } catch {
    return null;
  }
}

/** A name as the shell takes it: a proposed command acts on this file and on no other. */
function shellWord(name: string): string {
  const word = name.startsWith("-") ? `./${name}` : name;
  return /^[\w./@%+=:,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

const isOtherFile = (name: string): boolean => kindAt(name) === "other";

/** The numbers in the values of `--fd`, all different. */
export function numbersOf(values: readonly string[]): number[] {
  const numbers = values.map((text) => wholeNumber("--fd", text, 0, 1023));
  for (const number of numbers)
    if (numbers.filter((other) => other === number).length > 1)
      throw usage(`--fd ${number} was given twice: each descriptor needs a number of its own`);
  return numbers;
}
