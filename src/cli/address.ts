/** Addresses of sockets (a path, an abstract name, or a descriptor of the shell's), and the files to send. */

import { constants, openSync, readdirSync, readlinkSync } from "node:fs";
import { OwnedFd } from "../index.ts";
import { wholeNumber } from "./arguments.ts";
import { unescaped } from "./escapes.ts";
import { EXIT, Failure, usage } from "./failure.ts";
import { quoted, shellName, textOf } from "./output.ts";

/** The address of a socket. */
export type Address = { readonly path: string } | { readonly fd: number };

/** Parses `PATH`, `@NAME` (abstract) or `fd:N`. */
export function parseAddress(word: string | undefined): Address {
  if (word === undefined || word === "")
    throw usage(
      "expected the PATH of a socket, @NAME or fd:N, got nothing",
      "example: unix-ancillary recv /tmp/my.sock",
    );
  if (word.startsWith("fd:")) return { fd: fdNumber(word) };
  // ss, socat and systemd write the NUL of an abstract name as a leading @. A file named @name is ./@name.
  return { path: word.startsWith("@") ? `\0${abstractName(word)}` : word };
}

/** The abstract name of `@NAME`, whose escapes are those of C, as systemd writes them: `@name\0\0` is padded by two NULs. */
function abstractName(word: string): string {
  const name = textOf(unescaped("@NAME", word.slice(1)));
  if (name === null) throw usage(`@NAME expected UTF-8, got ${quoted(word)}`);
  return name;
}

function fdNumber(word: string): number {
  return wholeNumber("fd:N", word.slice("fd:".length), 0, 0x7fffffff);
}

/** An address as the user writes it. */
export function addressText(address: Address): string {
  if ("fd" in address) return `fd:${address.fd}`;
  return shellName(address.path);
}

/**
 * Takes ownership of a descriptor that this process inherited. Node keeps 0, 1 and 2: of these it returns a duplicate.
 *
 * @throws Failure when it is not open, or belongs to Node and was not opened by the shell
 */
export function inherited(fd: number): OwnedFd {
  const hint =
    process.env.npm_command === "exec"
      ? "npx passes on only 0, 1 and 2: run node_modules/.bin/unix-ancillary itself"
      : `open it in the shell: unix-ancillary ... fd:${fd} ${fd}<FILE`;
  let owned: OwnedFd;
  try {
    owned = OwnedFd.from(fd);
  } catch (error) {
    throw new Failure(EXIT.FAILED, (error as { code: string }).code, `descriptor ${fd} is not open`, hint);
  }
  if (fd <= 2) return owned;
  const nodes = isNodes(owned, fd);
  owned.close();
  if (nodes)
    throw new Failure(EXIT.FAILED, "EBADF", `descriptor ${fd} belongs to Node, the shell did not open it`, hint);
  return OwnedFd.fromRaw(fd);
}

/**
 * Whether Node opened a descriptor before this program began. Node's own descriptors serve its event loop: they are of certain
 * kinds, or pipes of which this process has both ends.
 */
function isNodes(owned: OwnedFd, fd: number): boolean {
  const { kind, access } = owned.describe();
  if (kind === "epoll" || kind === "eventfd" || kind === "io_uring") return true;
  if (kind !== "pipe" || access === "read-write") return false;
  const link = linkOf(fd);
  if (link === null) return false;
  for (const name of readdirSync("/proc/self/fd")) {
    const other = Number(name);
    if (other === fd || other <= 2 || other === owned.fd || linkOf(other) !== link) continue;
    const copy = OwnedFd.from(other);
    const otherAccess = copy.describe().access;
    copy.close();
    if (otherAccess !== access) return true;
  }
  return false;
}

function linkOf(fd: number): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // No /proc; or the descriptor was closed meanwhile, as the one that listed the directory.
    return null;
  }
}

/** The values of `--open`. */
export const OPEN: Readonly<Record<string, number>> = {
  read: constants.O_RDONLY,
  "read-write": constants.O_RDWR,
  write: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  append: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
};

/** Opens the files to send: paths, `fd:N`, `-`. If one fails, the others are closed. */
export function openFiles(words: readonly string[], mode: string): OwnedFd[] {
  const flags = Object.hasOwn(OPEN, mode) ? OPEN[mode]! : null;
  if (flags === null) throw usage(`--open expected one of ${Object.keys(OPEN).join(", ")}, got "${mode}"`);
  const opened: OwnedFd[] = [];
  const byNumber = new Map<number, OwnedFd>();
  try {
    for (const word of words) {
      const number = word === "-" ? 0 : word.startsWith("fd:") ? fdNumber(word) : null;
      if (number === null) {
        opened.push(OwnedFd.fromRaw(openSync(word, flags | constants.O_NOCTTY, 0o666)));
        continue;
      }
      // The same number may be repeated: later ones are duplicates.
      const earlier = byNumber.get(number);
      const owned = earlier === undefined ? inherited(number) : earlier.dup();
      if (earlier === undefined) byNumber.set(number, owned);
      opened.push(owned);
    }
    return opened;
  } catch (error) {
    for (const fd of opened) fd.close();
    const { code, syscall } = error as { code?: string; syscall?: string };
    if (syscall === "open" && code === "ENXIO")
      throw new Failure(
        EXIT.FAILED,
        code,
        `${(error as Error).message}: it is a socket, or a FIFO without a reader, and cannot be opened`,
      );
    throw error;
  }
}
