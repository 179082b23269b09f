/** Listening Unix sockets. */

import type { Server } from "node:net";
import { AncillaryError, type Checks, integer, KEY, outOfRange, readOptions, wrongOwner } from "../core/errors.ts";
import { resolveFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf, takeOver } from "../fd/owned-fd.ts";
import { net } from "../system/builtins.ts";
import {
  EAGAIN,
  ECONNABORTED,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOENT,
  EWOULDBLOCK,
  errnoError,
  fdError,
} from "../system/errno.ts";
import { CONNECTION, hostPlatform, type Platform, readPlatform } from "../system/platform.ts";
import { listeningType, setFlag, shutError } from "../system/socket-type.ts";
import type { System } from "../system/system.ts";
import { BIND, type BindOptions, BoundName, openBound } from "./bound-name.ts";
import { otherSource, ownerOf } from "./connect.ts";
import { Endpoint } from "./endpoint.ts";
import { Operation, WAIT } from "./operation.ts";
import { seqpacketOf, type UnixSeqpacket } from "./seqpacket.ts";
import { streamOf, type UnixStream } from "./stream.ts";
import { SIGNAL, TIMEOUT, type WaitOptions } from "./waiting.ts";

/** Options of {@link UnixListener.bind}. */
export interface ListenOptions extends BindOptions {
  /** The type of the sockets; `"stream"` by default. */
  type?: "stream" | "seqpacket" | undefined;
  /** The most connections that wait to be accepted; 511 by default. The system may have a lower limit. */
  backlog?: number | undefined;
}

const LISTEN: Checks = {
  ...BIND,
  type(name, value) {
    if (value !== "stream" && value !== "seqpacket") throw outOfRange(name, '"stream" or "seqpacket"', value);
  },
  backlog: (name, value) => void integer(name, value, 0, 0x7fffffff),
};

/** Milliseconds that the next asynchronous accept waits after the descriptor table was full: the first pause, and the longest. */
const FULL_MS = 5;
const FULL_MAX_MS = 100;

/**
 * Pauses after the descriptor table was full. Without them a loop that catches the error would use a whole processor and block the
 * event loop.
 */
class FullTable {
  #wait = 0;
  #until = 0;

  /** Milliseconds left to wait. */
  left(system: System): number {
    return this.#until === 0 ? 0 : Math.max(0, Math.ceil(this.#until - system.now()));
  }

  found(system: System): void {
    this.#wait = Math.min(FULL_MAX_MS, this.#wait === 0 ? FULL_MS : 2 * this.#wait);
    this.#until = system.now() + this.#wait;
  }

  over(): void {
    this.#wait = 0;
    this.#until = 0;
  }
}

class Accept<S> extends Operation<S> {
  readonly syscall = "accept";
  readonly #platform: Platform;
  readonly #accepted: (platform: Platform, fd: number) => S;
  readonly #full: FullTable;
  /** Whether it pauses after the table was full. */
  readonly #patient: boolean;

  constructor(platform: Platform, full: FullTable, patient: boolean, accepted: (platform: Platform, fd: number) => S) {
    super();
    this.#full = full;
    this.#patient = patient;
    this.#platform = platform;
    this.#accepted = accepted;
  }

  perform(fd: number): S | typeof WAIT {
    const { system } = this.#platform;
    this.retryAfter = this.#patient ? this.#full.left(system) : 0;
    if (this.retryAfter > 0) return WAIT;
    for (;;) {
      const accepted = system.accept(fd);
      if (accepted === EMFILE || accepted === ENFILE) this.#full.found(system);
      else this.#full.over();
      if (accepted >= 0) {
        this.#platform.spent += CONNECTION;
        return ownerOf(this.#platform, accepted, this.#accepted);
      }
      if (accepted === EAGAIN || accepted === EWOULDBLOCK) return WAIT;
      // The peer closed this connection while it waited: try the next one.
      if (accepted !== ECONNABORTED) throw fdError(accepted, "accept", fd, true);
    }
  }

  /** Another process has shut it down: only an accept(2) that blocks reports it (Linux, unix_accept). */
  override stuck(fd: number): Error | null {
    return shutError(this.#platform, fd, EINVAL, "accept");
  }
}

/** Makes a listener at a path, which it unlinks when it is closed if it `unlinks`. */
export let listenAt: (
  platform: Platform,
  type: "stream" | "seqpacket",
  path: string,
  mode: number | undefined,
  backlog: number,
  unlinks: boolean,
) => UnixListener<never>;

/** A listening Unix socket. {@link close} unlinks the path that it bound. */
export class UnixListener<S extends UnixStream | UnixSeqpacket = UnixStream>
  extends Endpoint
  implements AsyncIterable<S>
{
  readonly #type: "stream" | "seqpacket";
  readonly #name: BoundName | null;
  /** The SO_PASS* options that were set, and their values. */
  readonly #passing = new Map<string, boolean>();
  readonly #full: FullTable = new FullTable();

  private constructor(
    key: typeof KEY,
    platform: Platform,
    fd: number,
    type: "stream" | "seqpacket",
    name: BoundName | null,
  ) {
    super(key, platform, fd, false);
    this.#type = type;
    this.#name = name;
  }

  static {
    listenAt = (platform, type, path, mode, backlog, unlinks) => {
      const { system } = platform;
      const { fd, name } = openBound(platform, type, path, mode);
      try {
        const result = system.listen(fd, backlog);
        if (result < 0) throw errnoError(result, "listen", undefined, path);
        return new UnixListener<never>(KEY, platform, fd, type, unlinks ? name : null);
      } catch (error) {
        name?.remove();
        system.close(fd);
        throw error;
      }
    };
  }

  /**
   * Listens at a path; a leading `\0` means the abstract namespace (Linux). A socket at the path is replaced only when no process has
   * it open. Other files, and sockets that are in use, listening or not, are never replaced.
   *
   * @throws SystemError `EADDRINUSE`: the message says what is at the path; `EACCES`, `ENOENT` ...
   */
  static override bind(path: string, options: ListenOptions & { type: "seqpacket" }): UnixListener<UnixSeqpacket>;
  static override bind(path: string, options?: ListenOptions): UnixListener<UnixStream>;
  static override bind(path: string, given?: ListenOptions): UnixListener<never> {
    const { platform, type = "stream", mode, backlog = 511 } = readPlatform(given, LISTEN);
    return listenAt(platform, type, path, mode, backlog, true);
  }

  /**
   * Takes over a listening Unix socket. A `net.Server` is closed; its connections and its path remain. If it listens at a relative
   * path, {@link close} removes the file there only if it is certainly the socket's: the process may have changed its working
   * directory since. O_NONBLOCK is set on the socket, which other processes may share: `accept` has no flag for one call.
   *
   * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else, which is not changed
   */
  static from<S extends UnixStream | UnixSeqpacket = UnixStream>(source: OwnedFd | Server): UnixListener<S> {
    if (source instanceof OwnedFd) {
      const type = listeningType(platformOf(source), source.fd);
      return takeOver(source, (platform, fd) => {
        const { F_GETFL, F_SETFL, O_NONBLOCK } = platform.constants as Record<string, number>;
        platform.system.fcntl(fd, F_SETFL!, platform.system.fcntl(fd, F_GETFL!, 0) | O_NONBLOCK!);
        return new UnixListener<S>(KEY, platform, fd, type, null);
      });
    }
    if (!(source instanceof net().Server))
      throw wrongOwner("source", "an OwnedFd or a net.Server", source, otherSource(source, "bind"));
    const platform = hostPlatform();
    const { system } = platform;
    const address = source.address();
    const path = typeof address === "string" && !address.startsWith("\0") ? address : null;
    const fd = resolveFd(platform, source, "source");
    const type = listeningType(platform, fd);
    const owned = OwnedFd.from(fd);
    try {
      const name = path === null ? null : BoundName.of(system, fd, path);
      // libuv would unlink the path on close: of this socket, or of another file if the path is relative.
      if (path === null || system.keepPath(fd) === 0) source.close();
      else closeAndRestore(platform, source, path);
      return takeOver(owned, () => new UnixListener<S>(KEY, platform, owned.fd, type, name));
    } catch (error) {
      owned.close();
      throw error;
    }
  }

  /**
   * The next connection.
   *
   * @throws SystemError `EMFILE` when the descriptor table is full: the connection keeps waiting, and the next call pauses for 5 to
   *   100 ms before it tries; AncillaryError `ERR_SOCKET_CLOSED`
   */
  accept(options?: Pick<WaitOptions, "signal">): Promise<S> {
    try {
      const { signal } = readOptions("options", options, SIGNAL);
      return this.submit("reading", this.#accept(true), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link accept}, waiting in `poll(2)`. */
  acceptSync(options?: Pick<WaitOptions, "timeout">): S {
    const { timeout } = readOptions("options", options, TIMEOUT);
    return this.runSync("reading", this.#accept(false), timeout);
  }

  /** Accepts until the listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<S, void, undefined> {
    for (;;) {
      let next: S;
      try {
        next = await this.accept();
      } catch (error) {
        if (this.closed && error instanceof AncillaryError && error.code === "ERR_SOCKET_CLOSED") return;
        throw error;
      }
      yield next;
    }
  }

  /** Whether messages on accepted sockets bring the sender's credentials, from the first message on (SO_PASSCRED). */
  setPassCredentials(on: boolean): void {
    this.#pass("SO_PASSCRED", on);
  }

  /** Whether messages on accepted sockets bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
  setPassPidfd(on: boolean): void {
    this.#pass("SO_PASSPIDFD", on);
  }

  /** Whether messages on accepted sockets bring the sender's security label (SO_PASSSEC, Linux). */
  setPassSecurity(on: boolean): void {
    this.#pass("SO_PASSSEC", on);
  }

  /**
   * Whether accepted sockets take descriptors (SO_PASSRIGHTS, Linux 6.16); true by default. If not, a send of descriptors fails with
   * `EPERM` at the sender. Descriptors that were sent on a waiting connection before the option was off are still received.
   *
   * @throws SystemError `ENOPROTOOPT` on older kernels, `ENOTSUP` on other systems
   */
  setPassRights(on: boolean): void {
    this.#pass("SO_PASSRIGHTS", on);
  }

  /** The name that it is bound to, as given to `bind`; null if it has none. An abstract name begins with `"\0"`. */
  override get address(): string | null {
    return this.closed ? super.address : (this.#name?.path ?? super.address);
  }

  override close(): void {
    if (this.closed) return;
    // Before the close: until then no other socket can be bound to the name.
    this.#name?.remove();
    super.close();
  }

  #pass(option: string, on: boolean): void {
    setFlag(this.platform, this.openFd(), option, on);
    this.#passing.set(option, on);
  }

  #accept(patient: boolean): Accept<S> {
    const { platform } = this;
    const make = this.#type === "stream" ? streamOf : seqpacketOf;
    return new Accept(platform, this.#full, patient, (_, fd) => {
      // New connections inherit the options from the listener; connections that were already waiting get them here.
      for (const [option, on] of this.#passing) setFlag(platform, fd, option, on);
      return make(platform, fd, this.#passing.get("SO_PASSPIDFD") === true) as S;
    });
  }
}

/**
 * Closes a server that unlinks its path on close, where {@link System.keepPath} cannot prevent that (Bun, Deno). The path is
 * restored at once, but is missing for an instant: if another socket is bound to it then, it stays that one's. If the first link fails,
 * nothing has changed.
 */
function closeAndRestore({ system }: Platform, server: Server, path: string): void {
  // The name is unique: another thread, or a process with the same pid in another pid namespace, does not use it.
  const aside = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const linked = system.link(path, aside);
  if (linked < 0 && linked !== ENOENT) throw errnoError(linked, "link", undefined, path);
  server.close();
  if (linked < 0) return;
  // A rename would replace the other one.
  system.link(aside, path);
  system.unlink(aside);
}
