/** Listening Unix sockets. */

import type { Server } from "node:net";
import { AncillaryError, type Checks, integer, outOfRange, readOptions, wrongOwner } from "../core/errors.ts";
import { resolveFd } from "../fd/as-fd.ts";
import { OwnedFd, platformOf, takeOver } from "../fd/owned-fd.ts";
import { BoundName, socketAt, sunPath } from "../system/address.ts";
import { net } from "../system/builtins.ts";
import {
  EADDRINUSE,
  EAGAIN,
  ECONNABORTED,
  ECONNREFUSED,
  EMFILE,
  ENFILE,
  EWOULDBLOCK,
  errnoError,
} from "../system/errno.ts";
import { hostPlatform, type Platform, type PlatformOptions, readPlatform } from "../system/platform.ts";
import { listeningType, setFlag } from "../system/socket-type.ts";
import type { System } from "../system/system.ts";
import { openSocket, ownerOf } from "./connect.ts";
import { Endpoint, SIGNAL, TIMEOUT, type WaitOptions } from "./endpoint.ts";
import { Operation, WAIT } from "./operation.ts";
import { seqpacketOf, type UnixSeqpacket } from "./seqpacket.ts";
import { streamOf, type UnixStream } from "./stream.ts";

/** Options of {@link UnixListener.bind}. */
export interface ListenOptions extends PlatformOptions {
  /** What is accepted; `"stream"` by default. */
  type?: "stream" | "seqpacket" | undefined;
  /** Connections that may wait to be accepted; 511 by default, the system may have a lower limit. */
  backlog?: number | undefined;
  /** Permissions of the socket file, `0o600` for instance, set before anybody can connect; else the umask decides. */
  mode?: number | undefined;
}

const LISTEN: Checks = {
  type(name, value) {
    if (value !== "stream" && value !== "seqpacket") throw outOfRange(name, '"stream" or "seqpacket"', value);
  },
  backlog: (name, value) => void integer(name, value, 0, 0x7fffffff),
  mode: (name, value) => void integer(name, value, 0, 0o777),
};

/** How long the next asynchronous accept waits when the descriptor table was full, at first and at most: milliseconds. */
const FULL_MS = 5;
const FULL_MAX_MS = 100;

/** When the descriptor table was full. A loop that catches the error would take a whole processor, and stop the event loop. */
class FullTable {
  #wait = 0;
  #until = 0;

  /** Milliseconds that are left to wait. */
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
  get syscall(): "accept" {
    return "accept";
  }
  readonly #platform: Platform;
  readonly #accepted: (platform: Platform, fd: number) => S;
  readonly #full: FullTable;
  /** Whether it waits when the table was full. */
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
      if (accepted >= 0) return ownerOf(this.#platform, accepted, this.#accepted);
      if (accepted === EAGAIN || accepted === EWOULDBLOCK) return WAIT;
      // That connection was ended while it waited: the next.
      if (accepted !== ECONNABORTED) throw errnoError(accepted, "accept");
    }
  }
}

/** A listening Unix socket. {@link close} unlinks the path that it bound. */
export class UnixListener<S extends UnixStream | UnixSeqpacket = UnixStream>
  extends Endpoint
  implements AsyncIterable<S>
{
  readonly #type: "stream" | "seqpacket";
  readonly #name: BoundName | null;
  /** The SO_PASS* options that are on. */
  readonly #passing = new Set<string>();
  readonly #full: FullTable = new FullTable();

  private constructor(platform: Platform, fd: number, type: "stream" | "seqpacket", name: BoundName | null) {
    super(platform, fd);
    this.#type = type;
    this.#name = name;
  }

  /**
   * Listens at a path; a leading `\0` is the abstract namespace (Linux). What is at the path is replaced only when it is the
   * socket of a process that has gone: never a file, never a socket that somebody listens at.
   *
   * @throws SystemError `EADDRINUSE`, `EACCES`, `ENOENT` ...
   */
  static override bind(path: string, options: ListenOptions & { type: "seqpacket" }): UnixListener<UnixSeqpacket>;
  static override bind(path: string, options?: ListenOptions): UnixListener<UnixStream>;
  static override bind(path: string, given?: ListenOptions): UnixListener<never> {
    const {
      platform,
      options: { type = "stream", mode, backlog = 511 },
    } = readPlatform(given, LISTEN);
    const { system } = platform;
    const to = sunPath(platform, path);
    const abstract = path.startsWith("\0");
    if (abstract && mode !== undefined) throw outOfRange("options.mode", "no mode for an abstract name", mode);
    const fd = openSocket(platform, type);
    let name: BoundName | null = null;
    const check = (result: number, syscall: string) => {
      if (result < 0) throw errnoError(result, syscall);
    };
    try {
      let result = system.bind(fd, to);
      if (result === EADDRINUSE && !abstract && removeDead(platform, type, path)) result = system.bind(fd, to);
      check(result, "bind");
      name = BoundName.of(system, path);
      // Before it listens, when nobody can have connected yet.
      if (mode !== undefined) check(system.chmod(path, mode), "chmod");
      check(system.listen(fd, backlog), "listen");
      return new UnixListener<never>(platform, fd, type, name);
    } catch (error) {
      name?.remove();
      system.close(fd);
      throw error;
    }
  }

  /**
   * Takes over a listening Unix socket. Of a `net.Server` the connections stay, and so does the path; the server is closed.
   * O_NONBLOCK is set on the socket, which others may share: accepting has no flag of its own for it.
   *
   * @throws AncillaryError `ERR_NOT_UNIX_SOCKET` for anything else, which stays as it was
   */
  static from<S extends UnixStream | UnixSeqpacket = UnixStream>(source: OwnedFd | Server): UnixListener<S> {
    if (source instanceof OwnedFd) {
      const type = listeningType(platformOf(source), source.fd);
      return takeOver(source, (platform, fd) => {
        const { F_GETFL, F_SETFL, O_NONBLOCK } = platform.constants as Record<string, number>;
        platform.system.fcntl(fd, F_SETFL!, platform.system.fcntl(fd, F_GETFL!, 0) | O_NONBLOCK!);
        return new UnixListener<S>(platform, fd, type, null);
      });
    }
    if (!(source instanceof net().Server)) throw wrongOwner("source", "an OwnedFd or a net.Server", source);
    const platform = hostPlatform();
    const { system } = platform;
    const fd = resolveFd(platform, source, "source");
    const type = listeningType(platform, fd);
    const owned = OwnedFd.from(fd);
    try {
      const path = source.address();
      if (typeof path !== "string" || path.startsWith("\0")) {
        source.close();
        return takeOver(owned, () => new UnixListener<S>(platform, owned.fd, type, null));
      }
      // libuv unlinks the path when the server is closed: it is kept under another name meanwhile.
      const aside = asideOf(path);
      const linked = system.link(path, aside);
      if (linked < 0) throw errnoError(linked, "link");
      try {
        source.close();
      } finally {
        system.rename(aside, path);
      }
      return takeOver(owned, () => new UnixListener<S>(platform, owned.fd, type, BoundName.of(system, path)));
    } catch (error) {
      owned.close();
      throw error;
    }
  }

  /**
   * The next connection.
   *
   * @throws SystemError `EMFILE` when the descriptor table is full; the connection goes on waiting, and the next call waits for a
   *   moment before it tries. AncillaryError
   *   `ERR_SOCKET_CLOSED`
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

  /** Whether the messages of what it accepts say who sent them, from the first on (SO_PASSCRED). */
  setPassCredentials(on: boolean): void {
    this.#pass("SO_PASSCRED", on);
  }

  /** Whether the messages of what it accepts bring the sender's pidfd (SO_PASSPIDFD, Linux 6.5). */
  setPassPidfd(on: boolean): void {
    this.#pass("SO_PASSPIDFD", on);
  }

  /** Whether the messages of what it accepts bring the sender's security label (SO_PASSSEC, Linux). */
  setPassSecurity(on: boolean): void {
    this.#pass("SO_PASSSEC", on);
  }

  override close(): void {
    if (this.closed) return;
    // While it still listens: nobody else can have bound the path.
    this.#name?.remove();
    super.close();
  }

  #pass(option: string, on: boolean): void {
    setFlag(this.platform, this.openFd(), option, on);
    if (on) this.#passing.add(option);
    else this.#passing.delete(option);
  }

  #accept(patient: boolean): Accept<S> {
    const { platform } = this;
    const { system, constants } = platform;
    const make = this.#type === "stream" ? streamOf : seqpacketOf;
    return new Accept(platform, this.#full, patient, (_, fd) => {
      // Inherited by those who connect from then on; who was waiting already gets it here.
      for (const option of this.#passing) system.setsockopt(fd, constants.SOL_SOCKET!, constants[option]!, 1);
      return make(platform, fd, this.#passing.has("SO_PASSPIDFD")) as S;
    });
  }
}

/** A name beside a path, that nobody else uses: neither a thread of this process nor one that has the same number elsewhere. */
function asideOf(path: string): string {
  return `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
}

/**
 * Removes the socket file at `path` if nobody listens at it; whether it did.
 *
 * A socket that is bound and does not listen yet refuses connections too: it is asked twice. Between the last answer and the
 * removal another process may have replaced the file by its own: so it is moved aside, looked at, and put back if it is not
 * the one that was asked.
 */
function removeDead(platform: Platform, type: "stream" | "seqpacket", path: string): boolean {
  const { system } = platform;
  const found = socketAt(system, path);
  if (found === null) return false;
  for (let attempt = 0; attempt < 2; attempt++) {
    // poll(2) on nothing: a pause.
    if (attempt > 0) system.poll(-1, 0, 20);
    const probe = openSocket(platform, type);
    const answer = system.connect(probe, sunPath(platform, path));
    system.close(probe);
    if (answer !== ECONNREFUSED || socketAt(system, path) !== found) return false;
  }
  const aside = asideOf(path);
  if (system.rename(path, aside) < 0) return false;
  const dead = socketAt(system, aside) === found;
  if (!dead) system.link(aside, path);
  system.unlink(aside);
  return dead;
}
