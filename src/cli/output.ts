/** What is printed: nothing of what a peer sent reaches the terminal as anything but text. */

import { readlinkSync, writeSync } from "node:fs";
import type { FdDescription, OwnedFd } from "../index.ts";
import { Interrupted } from "./waiting.ts";

export function print(text: string): void {
  write(1, `${text}\n`);
}

/** For the eyes of whoever waits: on stderr, so that it is in no pipe. */
export function say(text: string): void {
  complain(`unix-ancillary: ${text}`);
}

export function complain(line: string): void {
  try {
    write(2, `${line}\n`);
  } catch {
    // Nobody is there to be told.
  }
}

/**
 * Writes it all, at once. Not by `process.stdout`, which would make a pipe nonblocking that a command we run shares.
 *
 * @throws Interrupted when whoever read it has had enough, as `head` does
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
      // Somebody else made it nonblocking.
      Atomics.wait(PAUSE, 0, 0, 10);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

export function json(value: unknown): void {
  print(JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part)));
}

/** A string with quotes; what could steer a terminal is escaped. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

/** Without quotes where none are needed. */
export function plain(text: string): string {
  const shown = quoted(text);
  return shown === `"${text}"` ? text : shown;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes as text; null: they are no UTF-8. */
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

/** What a descriptor refers to, with its path where the system tells. */
export type Described = FdDescription & { readonly path?: string };

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

/** `file, read, 21 bytes, /etc/hostname`. */
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
  if (nonblocking) parts.push("nonblocking");
  if (size !== undefined) parts.push(count(size, "byte"));
  if (seals !== undefined && seals.length > 0) parts.push(`sealed: ${seals.join(" ")}`);
  if (path !== undefined) parts.push(plain(path));
  return parts.join(", ");
}

/** An abstract name as shells write it. */
export function shellName(address: string): string {
  return address.startsWith("\0") ? `@${address.slice(1)}` : address;
}
