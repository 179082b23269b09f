/** Where to: a path, an abstract name, or a socket that the shell opened. And which files. */

import { constants, openSync, readdirSync, readlinkSync } from "node:fs";
import { OwnedFd } from "../index.ts";
import { wholeNumber } from "./arguments.ts";
import { EXIT, Failure, usage } from "./failure.ts";

/** Where a socket is. */
export type Place = { readonly path: string } | { readonly fd: number };

/** `PATH`, `@NAME` (abstract) or `fd:N`. */
export function placeOf(word: string | undefined): Place {
  if (word === undefined || word === "")
    throw usage("expected the PATH of a socket, @NAME or fd:N, got nothing", "as in: unix-ancillary recv /tmp/my.sock");
  if (word.startsWith("fd:")) return { fd: fdNumber(word) };
  // A leading @ is how ss, socat and systemd write the NUL of an abstract name; a path of that name is ./@name.
  return { path: word.startsWith("@") ? `\0${word.slice(1)}` : word };
}

function fdNumber(word: string): number {
  return wholeNumber("fd:N", word.slice("fd:".length), 0, 0x7fffffff);
}

/** A place as it was written. */
export function placeName(place: Place): string {
  if ("fd" in place) return `fd:${place.fd}`;
  return place.path.startsWith("\0") ? `@${place.path.slice(1)}` : place.path;
}

/**
 * Takes over a descriptor that this process was started with; of 0, 1 and 2, which Node holds on to, a duplicate.
 *
 * @throws Failure when it is not open, or no descriptor of the shell's but one of Node's own
 */
export function inherited(fd: number): OwnedFd {
  const hint =
    process.env.npm_command === "exec"
      ? "npx passes on 0, 1 and 2 alone: run the command itself, node_modules/.bin/unix-ancillary"
      : `open it in the shell, as in: unix-ancillary ... fd:${fd} ${fd}<FILE`;
  let owned: OwnedFd;
  try {
    owned = OwnedFd.from(fd);
  } catch (error) {
    throw new Failure(EXIT.FAILED, (error as { code: string }).code, `descriptor ${fd} is not open`, hint);
  }
  if (fd <= 2) return owned;
  const nodes = isNodes(owned, fd);
  owned.close();
  if (nodes) throw new Failure(EXIT.FAILED, "EBADF", `descriptor ${fd} is Node's own, the shell did not open it`, hint);
  return OwnedFd.fromRaw(fd);
}

/**
 * Whether a descriptor is one that Node opened before this program began. Those it uses to wake itself and to wait: their
 * kinds, and pipes of which it holds both ends.
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
    // No /proc, or closed meanwhile: the listing's own.
    return null;
  }
}

/** What `--open` can say. */
const OPEN: Readonly<Record<string, number>> = {
  read: constants.O_RDONLY,
  "read-write": constants.O_RDWR,
  write: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  append: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
};

/** Opens what is to be sent: paths, `fd:N`, `-`. What was opened is closed when one fails. */
export function openFiles(words: readonly string[], how: string): OwnedFd[] {
  const flags = Object.hasOwn(OPEN, how) ? OPEN[how]! : null;
  if (flags === null) throw usage(`--open expected one of ${Object.keys(OPEN).join(", ")}, got "${how}"`);
  const opened: OwnedFd[] = [];
  const byNumber = new Map<number, OwnedFd>();
  try {
    for (const word of words) {
      const number = word === "-" ? 0 : word.startsWith("fd:") ? fdNumber(word) : null;
      if (number === null) {
        opened.push(OwnedFd.fromRaw(openSync(word, flags | constants.O_NOCTTY, 0o666)));
        continue;
      }
      // Twice the same is fine: the second is a duplicate.
      const before = byNumber.get(number);
      const owned = before === undefined ? inherited(number) : before.dup();
      if (before === undefined) byNumber.set(number, owned);
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
        `${(error as Error).message}: a socket file or a FIFO that nobody reads cannot be opened`,
      );
    throw error;
  }
}
