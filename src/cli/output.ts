/** Printing. Bytes from a peer reach the terminal only as text, with control characters escaped. */

import { fstatSync, readlinkSync, writeSync } from "node:fs";
import type { FdDescription, OwnedFd } from "../index.ts";
import { Interrupted } from "./waiting.ts";

/** Where the report goes; null: nowhere. */
let report: 1 | 2 | null = 1;
let errors: 2 | null = 2;
let quiet = false;

/** Prints errors and warnings alone, from now on. */
export function beQuiet(): void {
  quiet = true;
}

/**
 * Keeps the report out of a socket that is standard output too: the peer would take the text for data of the protocol. It goes to
 * standard error, and nowhere if that is the same socket; errors then go nowhere either.
 */
export function keepOutOf(fd: number): void {
  const file = fileOf(fd);
  if (file === null) return;
  if (fileOf(2) === file) errors = null;
  if (fileOf(1) === file) report = errors;
}

function fileOf(fd: number): string | null {
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    // Not open.
    return null;
  }
}

export function print(text: string): void {
  if (!quiet && report !== null) write(report, `${escaped(text)}\n`);
}

/** As {@link say}, for what is no warning. */
export function note(text: string): void {
  if (!quiet) say(text);
}

/** Prints a line for the user on stderr, which stays out of pipes. */
export function say(text: string): void {
  complain(`unix-ancillary: ${text}`);
}

/** Prints a line on stderr, and ignores failures. */
export function complain(line: string): void {
  if (errors === null) return;
  try {
    write(errors, `${escaped(line)}\n`);
  } catch {
    // Stderr is closed: the error cannot be reported.
  }
}

/**
 * Writes all bytes synchronously. `process.stdout` would make a pipe non-blocking that the command run by `--exec` shares.
 *
 * @throws Interrupted when the reader has closed the pipe, as `head` does
 */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") throw new Interrupted("SIGPIPE");
      if (code !== "EAGAIN") throw error;
      // Another process made the pipe non-blocking.
      Atomics.wait(PAUSE, 0, 0, 10);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

export function json(value: unknown): void {
  print(JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part)));
}

/**
 * Characters that could control a terminal, or change the order of its text: C0 and C1 controls, bidirectional marks and other
 * format characters, line and paragraph separators.
 */
const CONTROLS = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** The text with these characters, except line breaks, as \u escapes. JSON stays JSON of the same value. */
function escaped(text: string): string {
  return text.replace(CONTROLS, (character) => (character === "\n" ? character : codeUnits(character)));
}

function codeUnits(character: string): string {
  return Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");
}

/** The text as a part of a line: line breaks are escaped, too. */
export function visible(text: string): string {
  return text.replace(CONTROLS, codeUnits);
}

/** A string in quotes; characters that could control a terminal are escaped. */
export function quoted(text: string): string {
  return visible(JSON.stringify(text));
}

/** As {@link quoted}, without quotes where nothing is escaped. */
export function plain(text: string): string {
  const shown = quoted(text);
  return shown === `"${text}"` ? text : shown;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes as text; null if they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** What a descriptor refers to, with its path where the system reports it. */
type Described = FdDescription & { readonly path?: string };

export function describe(fd: OwnedFd): Described {
  const description = fd.describe();
  const path = pathOf(fd.fd);
  return path === null ? description : { ...description, path };
}

function pathOf(fd: number): string | null {
  try {
    const link = readlinkSync(`/proc/self/fd/${fd}`);
    return link.startsWith("/") ? link : null;
  } catch {
    // No /proc.
    return null;
  }
}

/** A description as text: `file, read, 21 bytes, /etc/hostname`. */
export function described(description: Described): string {
  const { kind, access, nonblocking, size, seals, socket, path } = description;
  const parts: string[] = [kind];
  if (socket !== undefined) {
    parts.push(`${socket.family} ${socket.type}`);
    if (socket.listening) parts.push("listening");
    const { address } = socket;
    if (typeof address === "string") parts.push(plain(shellName(address)));
    else if (address !== null)
      parts.push(`${address.address.includes(":") ? `[${address.address}]` : address.address}:${address.port}`);
  } else parts.push(access);
  if (nonblocking) parts.push("non-blocking");
  if (size !== undefined) parts.push(count(size, "byte"));
  if (seals !== undefined && seals.length > 0) parts.push(`sealed: ${seals.join(" ")}`);
  if (path !== undefined) parts.push(plain(path));
  return parts.join(", ");
}

/** An abstract name as the command takes it: with `@`, and with escapes for NULs, other controls and backslashes. */
export function shellName(address: string): string {
  if (!address.startsWith("\0")) return address;
  const escapes = (character: string) =>
    character === "\\"
      ? "\\\\"
      : // Three octal digits, as systemd: a digit may follow.
        [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return `@${address
    .slice(1)
    .replace(/[\\\p{Cc}]/gu, escapes)
    .replace(/\\000(?![0-7])/g, "\\0")}`;
}
