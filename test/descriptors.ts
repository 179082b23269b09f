/**
 * Functions of `node:fs` on descriptors, for any descriptor on any runtime.
 *
 * Deno's `node:fs` knows only the descriptors that it opened (docs/platforms.md). For the others there, the functions go through
 * /proc/self/fd, and through the addon.
 */

import * as fs from "node:fs";
import { resolve } from "node:path";
import { OwnedFd } from "unix-ancillary";

const deno = "Deno" in globalThis;

/** An error of `node:fs`. */
type FsError = Error & { code: string };

/** Calls a function with the path of an open descriptor's file. */
function through<T>(fd: number, action: (path: string) => T): T {
  try {
    return action(`/proc/self/fd/${fd}`);
  } catch (error) {
    if ((error as FsError).code !== "ENOENT") throw error;
    throw Object.assign(new Error("EBADF: bad file descriptor"), { code: "EBADF" });
  }
}

/** `fs.openSync`. On Deno, `node:fs` does not know the descriptor: its table would not notice that something else closes it. */
export function openSync(path: string, flags: string | number): number {
  const fd = fs.openSync(path, flags);
  try {
    return deno ? OwnedFd.fromRaw(fd).release() : fd;
  } catch {
    // No number is left for the duplicate, or a test has closed this one behind the back of its owner.
    return fd;
  }
}

/** `fs.fstatSync`. */
export function fstatSync(fd: number): fs.Stats {
  return deno ? through(fd, (path) => fs.statSync(path)) : fs.fstatSync(fd);
}

/** `fs.closeSync`. */
export function closeSync(fd: number): void {
  try {
    fs.closeSync(fd);
  } catch (error) {
    if (!deno || (error as FsError).code !== "EBADF" || closeRaw(fd) < 0) throw error;
    return;
  }
  // Of 0, 1 and 2 it has closed nothing.
  if (deno && fd <= 2) closeRaw(fd);
}

/** `close(2)`, by an environment of the addon that owns nothing (src/system/native.ts has the words). */
const closeRaw = (() => {
  let close: ((fd: number) => number) | undefined;
  return (fd: number): number => {
    if (close === undefined) {
      const module = { exports: {} as { open(): Record<"bind" | "bindOwned" | "close", (argument?: object) => void> } };
      process.dlopen(module, resolve("prebuilds", `linux-${process.arch}`, "unix-ancillary.node"));
      const addon = module.exports.open();
      const [words, bits] = [new Int32Array(16), new Uint32Array(1024)];
      addon.bind({ words: words.buffer, batch: new Int32Array(16).buffer, address: new ArrayBuffer(4096) });
      addon.bindOwned(bits.buffer);
      close = (fd) => {
        words[5] = fd;
        addon.close();
        return words[4]!;
      };
    }
    return close(fd);
  };
})();

/** `fs.readSync` from the beginning of a file. The offset of the open file description does not move. */
export function readSync(fd: number, into: Uint8Array): number {
  if (!deno) return fs.readSync(fd, into, 0, into.length, 0);
  return through(fd, (path) => {
    const own = fs.openSync(path, "r");
    try {
      return fs.readSync(own, into, 0, into.length, 0);
    } finally {
      fs.closeSync(own);
    }
  });
}

/** `fs.readFileSync` of a descriptor: the rest of a pipe, or a file from its beginning, as text. */
export function readText(fd: number): string {
  return deno ? through(fd, (path) => fs.readFileSync(path, "utf8")) : fs.readFileSync(fd, "utf8");
}
