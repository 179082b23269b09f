/**
 * A descriptor with one owner, closed exactly once.
 *
 * Registering an object with a FinalizationRegistry takes about 250 ns, several times as long as making the object (Node 20,
 * 2026-11). A descriptor that is closed soon need not be registered: new owners are kept in a nursery, and those that are still open
 * when it is emptied are registered.
 */

import { AncillaryError, integer, KEY, markAsOurs, noConstructor, UNCLONEABLE, wrongType } from "../core/errors.ts";
import { timers } from "../system/builtins.ts";
import { withdrawn } from "../system/deno.ts";
import { EBUSY, fdError } from "../system/errno.ts";
import { type Held, hostPlatform, type Platform } from "../system/platform.ts";
import { showAs } from "../system/shown.ts";
import type { System } from "../system/system.ts";
import { type AsFd, otherDescriptor, ownerClassOf, resolveFd, setOwnedFdClass } from "./as-fd.ts";
import { describeFd, type FdDescription } from "./describe.ts";
import { fileOf, inheritStack, noteStack, reportLeak, TRACING } from "./leak.ts";
import { shownFd } from "./shown.ts";

/** The most owners in the nursery, and how long they stay: enough for several messages with the most descriptors. */
const NURSERY_CAPACITY = 4096;
const NURSERY_MS = 10;

/** An entry is an owner, or all owners of a message: a store into an old array takes as long as making an owner. */
const nursery: (OwnedFd | readonly OwnedFd[] | null)[] = new Array(NURSERY_CAPACITY).fill(null);
let nurserySize = 0;
let nurseryOwners = 0;
let nurseryScheduled = false;

function shelter(newcomers: OwnedFd | readonly OwnedFd[], count: number): void {
  if (nurseryOwners + count > NURSERY_CAPACITY) emptyNursery();
  nursery[nurserySize++] = newcomers;
  nurseryOwners += count;
  if (!nurseryScheduled) scheduleNursery();
}

/** Removes the last entry after its descriptor was closed: emptying the nursery need not check it, and the garbage collector can free it. */
function leaveNursery(owned: OwnedFd): void {
  if (nurserySize === 0 || nursery[nurserySize - 1] !== owned) return;
  nursery[--nurserySize] = null;
  nurseryOwners--;
}

/** Empties the nursery soon, without keeping the process alive for it. */
function scheduleNursery(): void {
  nurseryScheduled = true;
  const timer = timers.setTimeout(() => {
    nurseryScheduled = false;
    emptyNursery();
  }, NURSERY_MS);
  timer.unref();
}

function emptyNursery(): void {
  for (let i = 0; i < nurserySize; i++) {
    const newcomers = nursery[i]!;
    if (newcomers instanceof OwnedFd) registerIfOpen(newcomers);
    else for (let j = 0; j < newcomers.length; j++) registerIfOpen(newcomers[j]!);
    nursery[i] = null;
  }
  nurserySize = 0;
  nurseryOwners = 0;
}

const registry = new FinalizationRegistry<Held>((held) => {
  const { platform, fd } = held;
  if (fd === -1) return;
  const file = fileOf(platform.system, fd);
  platform.system.discard([fd], 0, 1);
  reportLeak(file, held);
});

/** No number of a descriptor, and not -1. */
const CLOSING = -2;

let registerIfOpen: (owned: OwnedFd) => void;

/** Makes the owner of a descriptor that is already recorded as this thread's. */
export let adopt: (platform: Platform, fd: number) => OwnedFd;

/** Makes the owners of the first `count` descriptors of a table. */
export let adoptAll: (platform: Platform, table: Int32Array, count: number) => OwnedFd[];

/**
 * Closes the descriptors of `fds` that are still open, in one call of the addon.
 *
 * @param unasked whether the program did not ask for them: then this thread does not wait for a close that waits
 */
export let closeAll: (fds: readonly OwnedFd[], unasked?: boolean) => void;

/** Transfers ownership to the object that `make` makes, in the same thread. If `make` throws, `owned` keeps the descriptor. */
export let takeOver: <T>(owned: OwnedFd, make: (platform: Platform, fd: number) => T) => T;

/** Gives the descriptor to the owner outside of this library that `take` makes. If `take` throws, `owned` keeps it. */
export let giveTo: <T>(owned: OwnedFd, take: (fd: number) => T) => T;

/** The platform of a descriptor. */
export let platformOf: (owned: OwnedFd) => Platform;

/**
 * Owns a descriptor: {@link close} or `using` closes it, once. If the object is garbage-collected while open, the descriptor is
 * closed too, with a process warning (code `UNIX_ANCILLARY_FD_LEAK`) that names it; with `UNIX_ANCILLARY_TRACE=1` in the environment it
 * shows where the owner was made.
 *
 * It belongs to its thread: `postMessage` refuses it. Post {@link fd}, and duplicate it there with {@link from} (docs/threads.md).
 */
export class OwnedFd implements Disposable {
  /** -1 after it was closed or released; {@link CLOSING} minus the number within {@link closeAll}. */
  #fd: number;
  /** One that all owners of the platform share, until it is registered. */
  #held: Held;
  /** @internal Makes a structured clone fail. */
  readonly uncloneable: typeof UNCLONEABLE = UNCLONEABLE;

  private constructor(key: typeof KEY, platform: Platform, fd: number) {
    if (key !== KEY) throw noConstructor(OwnedFd);
    this.#held = platform.unregistered;
    this.#fd = fd;
  }

  static {
    markAsOurs(OwnedFd.prototype);
    showAs(OwnedFd.prototype, (owned) => (#fd in owned ? shownFd(owned.#held.platform, owned.#fd) : null));
    setOwnedFdClass({
      has: (source) => #fd in source,
      fd: (source) => (source as OwnedFd).#fd,
      platform: (source) => (source as OwnedFd).#held.platform,
    });
    adopt = (platform, fd) => {
      const owned = new OwnedFd(KEY, platform, fd);
      shelter(owned, 1);
      return owned;
    };
    adoptAll = (platform, table, count) => {
      if (count === 0) return [];
      if (count === 1) return [adopt(platform, table[0]!)];
      const fds = new Array<OwnedFd>(count);
      // The caller gets the list, and may change it.
      const newcomers = new Array<OwnedFd>(count);
      for (let i = 0; i < count; i++) fds[i] = newcomers[i] = new OwnedFd(KEY, platform, table[i]!);
      shelter(newcomers, count);
      return fds;
    };
    closeAll = (fds, unasked = false) => {
      for (let from = 0; from < fds.length; ) from = closeSome(fds, from, unasked);
      if (fds.length === 1) leaveNursery(fds[0]!);
    };
    /**
     * As many from `from` on as the table of the core takes, which is free: it holds descriptors only during a call. All of them are
     * of one platform. Near the end of the stack the call throws before it closes anything, and nothing has changed.
     */
    const closeSome = (fds: readonly OwnedFd[], from: number, unasked: boolean): number => {
      const { system, core } = fds[from]!.#held.platform;
      const table = core.fds;
      let count = 0;
      let to = from;
      let closed = false;
      try {
        for (; to < fds.length && count < table.length; to++) {
          const fd = fds[to]!.#fd;
          if (fd < 0) continue;
          table[count++] = fd;
          // The caller's list may have an owner twice.
          fds[to]!.#fd = CLOSING - fd;
        }
        closeNumbers(system, table, count, unasked);
        closed = true;
      } finally {
        // No calls.
        for (let i = from; i < to; i++) {
          const owned = fds[i]!;
          if (owned.#fd > CLOSING) continue;
          owned.#fd = closed ? -1 : CLOSING - owned.#fd;
          if (closed) owned.#held.fd = -1;
        }
      }
      return to;
    };
    platformOf = (owned) => owned.#held.platform;
    takeOver = (owned, make) => {
      const next = make(owned.#held.platform, owned.fd);
      owned.#fd = -1;
      owned.#held.fd = -1;
      leaveNursery(owned);
      return next;
    };
    giveTo = (owned, take) => {
      const { system } = owned.#held.platform;
      const { fd } = owned;
      const given = system.give(fd);
      if (given < 0) throw fdError(given, "fstat", fd, true);
      try {
        const taken = take(fd);
        owned.#fd = -1;
        owned.#held.fd = -1;
        return taken;
      } catch (error) {
        system.own(fd);
        throw error;
      } finally {
        system.give(-1);
      }
    };
    registerIfOpen = (owned) => {
      if (owned.#fd === -1) return;
      const held = { platform: owned.#held.platform, fd: owned.#fd };
      registry.register(owned, held);
      owned.#held = held;
    };
    if (TRACING) {
      const [one, several, register] = [adopt, adoptAll, registerIfOpen];
      adopt = (platform, fd) => noteStack(one(platform, fd));
      adoptAll = (platform, table, count) => {
        const fds = several(platform, table, count);
        for (let i = 0; i < fds.length; i++) noteStack(fds[i]!);
        return fds;
      };
      registerIfOpen = (owned) => {
        register(owned);
        inheritStack(owned.#held, owned);
      };
    }
  }

  /**
   * Takes ownership of an open descriptor.
   *
   * In a worker thread, do not use it for a descriptor of `fs.open`: Node closes that number when the thread ends, even if it is
   * another file's by then, unless the worker was made with `trackUnmanagedFds: false`. Use {@link from}, and `fs.close` the original.
   *
   * On Deno, a descriptor that `node:fs` opened is replaced by a duplicate, because `node:fs` must not have it any longer; {@link OwnedFd.fd} is
   * usually the same number.
   *
   * @throws SystemError `EBADF` when `fd` is not open; AncillaryError `ERR_FD_OWNED` when an object of this library owns it already,
   *   in any thread: it would be closed twice. Use {@link from} for a duplicate, or call the owner's `release` first
   */
  static fromRaw(fd: number): OwnedFd {
    if (typeof fd !== "number")
      throw wrongType(
        "fd",
        "a number",
        fd,
        otherDescriptor(fd) ?? (typeof fd === "object" ? "OwnedFd.from duplicates its descriptor" : null),
      );
    integer("fd", fd, 0, 0x7fffffff);
    const platform = hostPlatform();
    const claimed = platform.system.claim(fd);
    if (claimed === EBUSY) {
      const text = `expected a descriptor without an owner, ${fd} has one in this process: use OwnedFd.from, or release() it there`;
      throw new AncillaryError("ERR_FD_OWNED", text);
    }
    if (claimed < 0) throw fdError(claimed, "fcntl", fd);
    return adopt(platform, withdrawn(platform.system, fd));
  }

  /**
   * Makes a duplicate of a descriptor (`F_DUPFD_CLOEXEC`) and owns it. The original keeps its owner.
   *
   * @throws SystemError `EBADF`, `EMFILE`
   */
  static from(fd: AsFd): OwnedFd {
    const platform = ownerClassOf(fd)?.platform(fd as object) ?? hostPlatform();
    return duplicate(platform, resolveFd(platform, fd, "fd"));
  }

  /**
   * The number, for as long as this object is its owner.
   *
   * @throws AncillaryError `ERR_FD_CLOSED` after it was closed or released
   */
  get fd(): number {
    if (this.#fd === -1) throw new AncillaryError("ERR_FD_CLOSED", "the descriptor was closed or released");
    return this.#fd;
  }

  /** True after {@link close} and after {@link release}. */
  get closed(): boolean {
    return this.#fd === -1;
  }

  /**
   * Closes the descriptor. A second call does nothing.
   *
   * @throws SystemError the error of `close(2)`, for example `EIO` of a network file system; the descriptor is closed anyway.
   *   `EBADF` means that other code closed the number
   */
  close(): void {
    if (this.#fd === -1) return;
    // Cleared after the call: near the end of the stack, the call throws before it closes anything.
    const fd = this.#fd;
    const result = this.#held.platform.system.close(fd);
    this.#fd = -1;
    this.#held.fd = -1;
    leaveNursery(this);
    if (result < 0) throw fdError(result, "close", fd, true);
  }

  /** Gives up ownership and returns the number, which the caller has to close. */
  release(): number {
    const fd = this.fd;
    this.#held.platform.system.disown(fd);
    this.#fd = -1;
    this.#held.fd = -1;
    leaveNursery(this);
    return fd;
  }

  /** A duplicate (`F_DUPFD_CLOEXEC`), owned by a new object. */
  dup(): OwnedFd {
    return duplicate(this.#held.platform, this.fd);
  }

  /** Describes what the descriptor refers to, so that a receiver can check it before use. */
  describe(): FdDescription {
    const description = describeFd(this.#held.platform, this.fd);
    if (typeof description === "number") throw fdError(description, "fstat", this.fd, true);
    return description;
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function closeNumbers(system: System, table: Int32Array, count: number, unasked: boolean): void {
  if (unasked) system.discard(table, 0, count);
  else if (count === 1) system.close(table[0]!);
  else system.closeAll(table, 0, count);
}

/** A duplicate of a descriptor by its number. */
export function duplicate(platform: Platform, fd: number): OwnedFd {
  const copy = platform.system.dup(fd);
  if (copy < 0) throw fdError(copy, "fcntl", fd);
  return adopt(platform, copy);
}
