/** One run of a scenario under a plan of faults, and what has to hold afterwards. */

import { AncillaryError, ChannelError, type OwnedFd } from "unix-ancillary";
import { type AbiName, abis } from "unix-ancillary/core";
import { type Call, type Fault, VirtualKernel, type VirtualProcess } from "unix-ancillary/testing";
import { generator } from "../../src/testing/random.ts";

/** What goes wrong, by the number of the call; `dies` names the process by its place. */
export type PlannedFault = Omit<Fault, "dies"> & { readonly dies?: 0 | 1 };
export type Plan = ReadonlyMap<number, PlannedFault>;

/** Something that must not be. */
export class Violation extends Error {}

/** What was sent and what came, of one direction of one connection. */
export class Ledger {
  #sent = "";
  #received = "";
  readonly #sentFds: string[] = [];
  readonly #receivedFds: string[] = [];
  #lossy = false;
  #unsure = false;

  /** The kernel has accepted these. */
  accepted(bytes: string, fds: readonly string[]): void {
    this.#sent += bytes;
    this.#sentFds.push(...fds);
  }

  /** These came to the caller; also the bytes of a receive that failed. */
  came(bytes: string, fds: readonly string[]): void {
    this.#received += bytes;
    this.#receivedFds.push(...fds);
  }

  /** A send has failed, and does not say how much of it was accepted: the rest may not come. */
  unsure(): void {
    this.#unsure = true;
  }

  /** Descriptors or bytes may be missing from here on: a receive failed, or was cut on purpose. */
  lossy(): void {
    this.#lossy = true;
  }

  /** `finished`: the receiver saw the end. */
  check(finished: boolean): void {
    if (!this.#sent.startsWith(this.#received) && !(this.#lossy && isSubsequence(this.#received, this.#sent)))
      throw new Violation(`received "${this.#received}", sent "${this.#sent}"`);
    if (!isSubsequence(this.#receivedFds, this.#sentFds))
      throw new Violation(`received descriptors ${this.#receivedFds}, sent ${this.#sentFds}`);
    if (!finished || this.#lossy || this.#unsure) return;
    if (this.#received.length !== this.#sent.length)
      throw new Violation(`bytes were lost: received "${this.#received}", sent "${this.#sent}"`);
    if (this.#receivedFds.length !== this.#sentFds.length)
      throw new Violation(`descriptors were lost: received ${this.#receivedFds}, sent ${this.#sentFds}`);
  }
}

export function isSubsequence<T>(part: ArrayLike<T>, whole: ArrayLike<T>): boolean {
  let at = 0;
  for (let i = 0; i < whole.length && at < part.length; i++) if (part[at] === whole[i]) at++;
  return at === part.length;
}

interface Closable {
  close(): void;
}

/** Descriptors in one message at most. */
const MOST_FDS = 4;

/** What a scenario works with. */
export class World {
  readonly system: string;
  readonly kernel: VirtualKernel;
  readonly processes: readonly [VirtualProcess, VirtualProcess];
  /** Whole numbers below a bound, from the seed. */
  random: (below: number) => number = () => 0;
  /** Called with each system call of a run. */
  onCall: ((call: Call) => void) | null = null;
  readonly #closables: Closable[] = [];
  readonly #checks: (() => void)[] = [];
  #pending = 0;
  #letters = 0;
  #files = 0;
  errors = 0;

  /** @param system the name of a row, and behind `@` a version of its kernel */
  constructor(system: string, descriptors = 32) {
    this.system = system;
    const [abi, kernel] = system.split("@") as [AbiName, string | undefined];
    // Small, all of it: what has to be cut into pieces is, and fits the descriptor tables.
    const row = { ...abis[abi], maxFdsPerMessage: MOST_FDS };
    this.kernel = new VirtualKernel(row, { bufferBytes: 64, bufferMessages: 3, kernel });
    this.processes = [this.kernel.process({ descriptors }), this.kernel.process({ descriptors })];
  }

  get platform(): { platform: VirtualProcess["platform"] } {
    return { platform: this.processes[0].platform };
  }

  get otherPlatform(): { platform: VirtualProcess["platform"] } {
    return { platform: this.processes[1].platform };
  }

  /** Closed at the end, whatever happens; and when everything waits for ever. */
  using<T extends Closable>(closable: T): T {
    this.#closables.push(closable);
    return closable;
  }

  usingBoth<T extends Closable>([a, b]: [T, T]): [T, T] {
    return [this.using(a), this.using(b)];
  }

  /** A file that is like no other. */
  file(process: VirtualProcess = this.processes[0]): OwnedFd {
    return this.using(process.open(`file-${this.#files++}`));
  }

  /** Several of them, and their names. */
  filesOf(count: number, process: VirtualProcess = this.processes[0]): { files: OwnedFd[]; names: string[] } {
    const files = Array.from({ length: count }, () => this.file(process));
    return { files, names: files.map((file) => process.nameOf(file.fd)!) };
  }

  /** Bytes that come at no other place within 94. */
  bytes(length: number): string {
    let text = "";
    for (let i = 0; i < length; i++) text += String.fromCharCode(33 + (this.#letters++ % 94));
    return text;
  }

  /** Has to hold when all is over. */
  finally(check: () => void): void {
    this.#checks.push(check);
  }

  /** An operation whose failure is allowed, if its error is a proper one. */
  async attempt<T>(what: string, operation: () => Promise<T> | T): Promise<T | null> {
    this.#pending++;
    try {
      return await operation();
    } catch (error) {
      this.errors++;
      this.checkError(what, error);
      return null;
    } finally {
      this.#pending--;
    }
  }

  checkError(what: string, error: unknown): void {
    if (error instanceof Violation) throw error;
    if (error === REASON || [AncillaryError, ChannelError, RangeError].some((type) => error instanceof type)) return;
    const { code, errno, syscall, name, cause } = error as NodeJS.ErrnoException & { cause?: unknown };
    if (name === "AbortError" && cause === REASON) return;
    if (typeof code !== "string" || typeof errno !== "number" || errno >= 0 || typeof syscall !== "string")
      throw new Violation(`${what} failed with an error without code, errno and syscall: ${(error as Error).stack}`);
  }

  get pending(): number {
    return this.#pending;
  }

  closeAll(): void {
    for (const one of this.#closables) {
      try {
        one.close();
      } catch (error) {
        this.checkError("close", error);
      }
    }
  }

  /** Runs a scenario under a plan. @throws Violation, or what the kernel's check throws */
  async run(scenario: Scenario, plan: Plan, seed: number, chance = 0): Promise<void> {
    const { kernel } = this;
    kernel.reset(seed);
    this.#closables.length = 0;
    this.#checks.length = 0;
    this.#pending = 0;
    this.#letters = 0;
    this.#files = 0;
    this.random = generator(seed);
    let calls = 0;
    let checking = false;
    let exhausted = false;
    let looped = false;
    let giveUp = () => {};
    const endless = new Promise<void>((resolve) => {
      giveUp = resolve;
    });
    kernel.fault = (call) => {
      this.onCall?.(call);
      if (checking) return null;
      if (++calls > CALL_LIMIT) {
        // What is asked again after a while is no loop: a full receiver, of which nothing tells when it has room.
        looped ||= kernel.now < calls / 4 || calls > 2 * CALL_LIMIT;
        exhausted = true;
        giveUp();
        return null;
      }
      const planned =
        plan.get(call.index) ?? (chance > 0 && this.random(chance) === 0 ? this.#anyFault(call, scenario) : undefined);
      if (planned === undefined) return null;
      const { dies, ...rest } = planned;
      return dies === undefined ? rest : { dies: this.processes[dies] };
    };
    let over = false;
    let failure: unknown = null;
    const main = (async () => {
      try {
        await scenario.run(this);
      } catch (error) {
        failure = error;
      }
      over = true;
    })();
    // Node's streams go on in its own queue, which is served when the microtasks are over: until a turn of it calls nothing more.
    const idle = async (): Promise<void> => {
      for (let before = -1; !over && before !== calls; ) {
        before = calls;
        await kernel.idle();
        if (scenario.streams) await new Promise((resolve) => setImmediate(resolve));
        else return;
      }
    };
    await Promise.race([main, idle(), endless]);
    // Whoever waits for something that will not come is told so when its socket is closed.
    const stuck = !over;
    if (stuck) this.closeAll();
    await Promise.race([main, idle()]);
    // The scenario's own pauses are turns of the microtask queue, of which the kernel counts some.
    if (!over) await new Promise((resolve) => setImmediate(resolve));
    if (looped) throw new Violation(`${calls} calls in ${kernel.now} ms`);
    if (!over)
      throw new Violation(`${this.#pending} operations were never settled, although their sockets were closed`);
    if (failure !== null) this.checkError(scenario.name, failure);
    checking = true;
    this.closeAll();
    if (!exhausted) for (const check of this.#checks) check();
    kernel.check();
  }

  #anyFault(call: Call, scenario: Scenario): PlannedFault | undefined {
    const faults = faultsOf(call.name, scenario);
    return faults[this.random(faults.length)];
  }
}

/** More calls than any scenario needs: something is tried again and again, which a full receiver justifies. */
const CALL_LIMIT = 2000;

/** What operations are aborted with. */
export const REASON: Error = new Error("aborted by the scenario");

/** A use of the public API. */
export interface Scenario {
  readonly name: string;
  /** On these systems only. */
  readonly systems?: RegExp;
  /** Whether the second process takes part, so that it can die. */
  readonly peer?: true;
  /** Whether it uses streams of Node's. */
  readonly streams?: true;
  /** Descriptors that a process can have, where the usual few are not enough. */
  readonly descriptors?: number;
  run(world: World): Promise<void> | void;
}

const errnos = (...names: NonNullable<Fault["errno"]>[]): PlannedFault[] => names.map((errno) => ({ errno }));

/** What can go wrong at a call of this name. */
const FAULTS: Readonly<Record<string, readonly PlannedFault[]>> = {
  sendmsg: [
    ...errnos("ENOMEM", "ENOBUFS", "EPIPE", "EAGAIN", "EMSGSIZE", "EPERM", "EINTR"),
    { short: 1 },
    { short: 7 },
  ],
  recvmsg: [
    ...errnos("ENOMEM", "ECONNRESET", "EAGAIN", "EMFILE", "EINTR"),
    { short: 1 },
    { room: 0 },
    { room: 1 },
    { allowed: 1 },
  ],
  close: errnos("EIO", "EINTR"),
  fcntl: [...errnos("EMFILE", "ENOMEM"), { errno: "EBADF", at: 1 }, { errno: "EBADF", at: 2 }],
  socketpair: errnos("EMFILE", "ENOBUFS"),
  socket: errnos("EMFILE", "ENFILE"),
  // Not ECONNREFUSED: that tells a dead name from a living one, and an invented answer would have a living one removed.
  connect: errnos("EAGAIN", "EACCES", "EINTR"),
  accept: [...errnos("ECONNABORTED", "EMFILE", "EAGAIN", "EINTR"), { room: 0 }],
  bind: errnos("EADDRINUSE", "EACCES"),
  listen: errnos("EADDRINUSE"),
  lstat: errnos("EACCES"),
  boundInode: errnos("ENOMEM"),
  fstat: errnos("ENOMEM"),
  unlink: errnos("EACCES"),
  open: errnos("EMFILE", "EACCES"),
  flock: errnos("EWOULDBLOCK", "EBADF", "EINTR"),
  rename: errnos("EACCES"),
  link: errnos("EPERM"),
  poll: errnos("ENOMEM", "EINTR"),
  watch: errnos("ENOMEM", "EMFILE"),
  shutdown: errnos("ENOTCONN"),
  getsockopt: errnos("ENOBUFS"),
  setsockopt: errnos("ENOPROTOOPT"),
  getsockname: errnos("ENOBUFS"),
  getpeername: errnos("ENOBUFS"),
};
const NONE: readonly PlannedFault[] = [];
const DIES: readonly PlannedFault[] = [{ dies: 1 }];
const ALSO_DIES = new Map(Object.entries(FAULTS).map(([name, faults]) => [name, [...faults, ...DIES]]));

export function faultsOf(name: string, { peer }: Scenario): readonly PlannedFault[] {
  return peer ? (ALSO_DIES.get(name) ?? DIES) : (FAULTS[name] ?? NONE);
}
