/**
 * A descriptor with one owner, closed exactly once.
 *
 * Registering an object with a FinalizationRegistry takes about 250 ns, several times as long as making the object (Node 20,
 * 2026-11). A descriptor that is closed soon need not be registered: new owners are kept in a nursery, and those that are still open
 * when it is emptied are registered.
 */

import { AncillaryError, integer, markAsOurs } from "../core/errors.ts";
import { timers } from "../system/builtins.ts";
import { EBUSY, errnoError } from "../system/errno.ts";
import { hostPlatform, type Platform } from "../system/platform.ts";
import { type AsFd, ownerClassOf, resolveFd, setOwnedFdClass } from "./as-fd.ts";
import { describeFd, type FdDescription } from "./describe.ts";
import { reportLeak } from "./leak.ts";

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

/** Removes the last entry when its descriptor is closed: emptying the nursery need not check it, and the garbage collector can free it. */
function leaveNursery(owned: OwnedFd): void {
  if (nurserySize === 0 || nursery[nurserySize - 1] !== owned) return;
  nurserySize--;
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

const registry = new FinalizationRegistry<{ platform: Platform; fd: number }>(({ platform, fd }) => {
  platform.system.close(fd);
  reportLeak();
});

let registerIfOpen: (owned: OwnedFd) => void;

/** Makes the owner of a descriptor that is already recorded as this thread's. */
export let adopt: (platform: Platform, fd: number) => OwnedFd;

/** Makes the owners of the first `count` descriptors of a table. */
export let adoptAll: (platform: Platform, table: Int32Array, count: number) => OwnedFd[];

/** Closes the descriptors of `fds` that are still open, in one call of the addon. */
export let closeAll: (fds: readonly OwnedFd[]) => void;

/** Transfers ownership to the object that `make` makes, in the same thread. If `make` throws, `owned` keeps the descriptor. */
export let takeOver: <T>(owned: OwnedFd, make: (platform: Platform, fd: number) => T) => T;

/** The platform of a descriptor. */
export let platformOf: (owned: OwnedFd) => Platform;

/**
 * Owns a descriptor: {@link close} or `using` closes it, once. If the object is garbage-collected while open, the descriptor is
 * closed too, with a process warning (code `UNIX_ANCILLARY_FD_LEAK`).
 */
export class OwnedFd implements Disposable {
  /** -1 after it was closed or released. */
  #fd: number;
  #registered = false;
  readonly #platform: Platform;

  private constructor(platform: Platform, fd: number) {
    this.#platform = platform;
    this.#fd = fd;
  }

  static {
    markAsOurs(OwnedFd.prototype);
    setOwnedFdClass({
      has: (source) => #fd in source,
      fd: (source) => (source as OwnedFd).#fd,
      platform: (source) => (source as OwnedFd).#platform,
    });
    adopt = (platform, fd) => {
      const owned = new OwnedFd(platform, fd);
      shelter(owned, 1);
      return owned;
    };
    adoptAll = (platform, table, count) => {
      if (count === 0) return [];
      if (count === 1) return [adopt(platform, table[0]!)];
      const fds = new Array<OwnedFd>(count);
      for (let i = 0; i < count; i++) fds[i] = new OwnedFd(platform, table[i]!);
      // A copy: the caller gets the list, and may change it.
      const newcomers = new Array<OwnedFd>(count);
      for (let i = 0; i < count; i++) newcomers[i] = fds[i]!;
      shelter(newcomers, count);
      return fds;
    };
    closeAll = (fds) => {
      if (fds.length === 0) return;
      // All of them are of one platform. The table of its core is free: it holds descriptors only during a call.
      const { system, core } = fds[0]!.#platform;
      const table = core.fds;
      let count = 0;
      for (let i = 0; i < fds.length; i++) {
        if (fds[i]!.#fd === -1) continue;
        if (count === table.length) {
          system.closeAll(table, 0, count);
          count = 0;
        }
        table[count++] = fds[i]!.#forget();
      }
      if (count === 1) system.close(table[0]!);
      else system.closeAll(table, 0, count);
    };
    platformOf = (owned) => owned.#platform;
    takeOver = (owned, make) => {
      const next = make(owned.#platform, owned.fd);
      owned.#forget();
      return next;
    };
    registerIfOpen = (owned) => {
      if (owned.#fd === -1) return;
      owned.#registered = true;
      registry.register(owned, { platform: owned.#platform, fd: owned.#fd }, owned);
    };
  }

  /**
   * Takes ownership of an open descriptor.
   *
   * In a worker thread, do not use it for a descriptor of `fs.open`: Node closes that number when the thread ends, even if it is
   * another file's by then, unless the worker was made with `trackUnmanagedFds: false`. Use {@link from}, and `fs.close` the original.
   *
   * @throws SystemError `EBADF` when `fd` is not open; AncillaryError `ERR_FD_OWNED` when an object of this library owns it already,
   *   in any thread: it would be closed twice. Use {@link from} for a duplicate, or call the owner's `release` first
   */
  static fromRaw(fd: number): OwnedFd {
    integer("fd", fd, 0, 0x7fffffff);
    const platform = hostPlatform();
    const claimed = platform.system.claim(fd);
    if (claimed === EBUSY) {
      const text = `expected a descriptor without an owner, ${fd} has one in this process: use OwnedFd.from, or release() it there`;
      throw new AncillaryError("ERR_FD_OWNED", text);
    }
    if (claimed < 0) throw errnoError(claimed, "fcntl");
    return adopt(platform, fd);
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
    this.#leave();
    // Cleared after the call: near the end of the stack, the call throws before it closes anything.
    const result = this.#platform.system.close(this.#fd);
    this.#fd = -1;
    if (result < 0) throw errnoError(result, "close");
  }

  /** Gives up ownership and returns the number, which the caller has to close. */
  release(): number {
    const fd = this.fd;
    this.#forget();
    this.#platform.system.disown(fd);
    return fd;
  }

  /** A duplicate (`F_DUPFD_CLOEXEC`), owned by a new object. */
  dup(): OwnedFd {
    return duplicate(this.#platform, this.fd);
  }

  /** Describes what the descriptor refers to, so that a receiver can check it before use. */
  describe(): FdDescription {
    const description = describeFd(this.#platform, this.fd);
    if (typeof description === "number") throw errnoError(description, "fstat");
    return description;
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #forget(): number {
    const fd = this.#fd;
    this.#leave();
    this.#fd = -1;
    return fd;
  }

  /** From now on the garbage collector does not close the descriptor. */
  #leave(): void {
    if (this.#registered) registry.unregister(this);
    else leaveNursery(this);
  }
}

function duplicate(platform: Platform, fd: number): OwnedFd {
  const copy = platform.system.dup(fd);
  if (copy < 0) throw errnoError(copy, "fcntl");
  return adopt(platform, copy);
}
