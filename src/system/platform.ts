/**
 * A {@link Platform}: a core configured for an ABI, a system, and what follows from both. All higher rooms take a platform. The
 * virtual kernel of `unix-ancillary/testing` provides others.
 */

import { type Abi, type AbiName, abis, hostAbiName } from "../core/abis/table.ts";
import { lacks, versionOf } from "../core/abis/version.ts";
import { type Checks, markAsOurs, readOptions, wrongOwner } from "../core/errors.ts";
import { CONTROL_BYTES, Core, REGISTER } from "../core/wasm.ts";
import { os } from "./builtins.ts";
import { Fifo } from "./fifo.ts";
import { NativeSystem } from "./native.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";
import { showAs } from "./shown.ts";
import type { Constants, System } from "./system.ts";

/** The largest security label that fits: those of SELinux and AppArmor are at most a page. */
const SECURITY_BYTES = 4096;

/**
 * What a turn of the event loop may hand over, of all sockets together and of one, before the loop gets the next turn: a peer that sends
 * faster than this process receives would otherwise starve timers and every other socket. The unit is about half a microsecond (Node 20,
 * 2026-11): what a small frame or read takes that has arrived, a descriptor, or 4 KiB of a message.
 *
 * Things handed over are counted, and not time: so a run on the virtual kernel can be repeated, and no call of the clock is made for each.
 */
export const TURN = 2048;
export const BURST = 256;
/** What each operation takes besides: a system call and a promise. */
export const OPERATION = 4;
/** The bytes of a message, in units, are shifted by so many bits. */
export const UNIT_SHIFT = 12;
/** What an accepted connection takes besides: a descriptor, and its owner that the garbage collector watches. */
export const CONNECTION = 12;

/**
 * What the garbage collector reports for an owner of a descriptor: its number, or -1 once that was closed or released. A store cannot fail
 * near the end of the stack, but a call of `unregister` can.
 */
export interface Held {
  readonly platform: Platform;
  fd: number;
}

/** An operating system as the library uses it. Platforms share no state. */
export class Platform {
  /** The row of the ABI table that its kernel follows. */
  readonly abi: Abi;
  /** @internal */
  readonly core: Core;
  /** @internal */
  readonly system: System;
  /** @internal Flags of every send: no SIGPIPE, non-blocking. */
  readonly sendFlags: number;
  /** @internal Flags of every send of a record on a seqpacket socket: as {@link sendFlags}, and its end where the kernel asks for it. */
  readonly recordFlags: number;
  /** @internal Whether a record without MSG_EOR is a part of one. */
  readonly marksRecords: boolean;
  /** @internal Flags of every receive: non-blocking, and CLOEXEC where `recvmsg` has a flag for it. */
  readonly receiveFlags: number;
  /** @internal Whether received descriptors need `fcntl` to become CLOEXEC. */
  readonly needsCloexec: boolean;
  /**
   * @internal Size in bytes of a control buffer that no legal message exceeds: the most descriptors, and every other control message
   * that a socket option can add.
   */
  readonly receiveCapacity: number;
  /** @internal Constants of the C headers and of the ABI table: headers may be older than the kernel. -1: the system has none. */
  readonly constants: Constants;
  /** @internal */
  readonly receiveBuffer: ReceiveBuffer = new ReceiveBuffer();
  /** @internal For owners that are not registered with the garbage collector. */
  readonly unregistered: Held = { platform: this, fd: -1 };
  /** @internal What was handed over since the event loop turned. A field, and not a method, because every operation counts itself. */
  spent = 0;
  /** What goes on after the next turn. */
  #resting = new Fifo<() => void>();
  /** Whether a timer will call {@link #turn}. */
  #turning = false;

  static {
    markAsOurs(Platform.prototype);
    showAs(Platform.prototype, ({ abi }) => (abi === undefined ? null : { abi: abi.name }));
  }

  /** @internal */
  constructor(system: System, abi: Abi) {
    this.system = system;
    this.abi = abi;
    this.core = new Core(abi);
    this.constants = { ...system.constants, ...numbersOf(abi) };
    system.bindControl(this.core.memory, this.core.controlOffset, CONTROL_BYTES);
    this.sendFlags = (abi.MSG_NOSIGNAL ?? 0) | abi.MSG_DONTWAIT;
    const version = versionOf(system.release);
    this.marksRecords = abi.recordMark && (version === null || !lacks(abi.since, "recordMark", version));
    this.recordFlags = this.sendFlags | (this.marksRecords ? abi.MSG_EOR : 0);
    this.receiveFlags = (abi.MSG_CMSG_CLOEXEC ?? 0) | abi.MSG_DONTWAIT;
    this.needsCloexec = abi.MSG_CMSG_CLOEXEC === null;
    const { space } = this.core.exports;
    const beside = abi.receiveMessages.map(space).reduce((sum, bytes) => sum + bytes, 0);
    const security = abi.SCM_SECURITY === null ? 0 : space(SECURITY_BYTES);
    this.receiveCapacity = Math.min(CONTROL_BYTES, space(4 * abi.maxFdsPerMessage) + beside + security);
  }

  /** @internal Calls `resume` after a turn of the event loop: in the order of the calls, and as many as the next turn has room for. */
  rest(resume: () => void): void {
    this.#resting.push(resume);
    if (!this.#turning) this.#turnLater();
  }

  /** @internal Forgets what rests, when the event loop itself starts again. */
  forgetTurn(): void {
    this.spent = 0;
    this.#resting = new Fifo();
    this.#turning = false;
  }

  #turnLater(): void {
    this.#turning = true;
    this.system.timer(0, () => this.#turn());
  }

  #turn(): void {
    this.spent = 0;
    const resting = this.#resting;
    try {
      // What rests from now on is for the next turn.
      for (let left = resting.length; left > 0 && this.spent < TURN; left--) resting.shift()();
    } finally {
      if (resting.length > 0) this.#turnLater();
      else this.#turning = false;
    }
  }
}

/** The numbers of a row, by name. */
function numbersOf(abi: Abi): Record<string, number> {
  return Object.fromEntries(Object.entries(abi).filter(([, value]) => typeof value === "number"));
}

/** Options of every function that makes a socket. */
export interface PlatformOptions {
  /** The platform of the socket, for example of a virtual kernel in tests. By default that of this process. */
  platform?: Platform | undefined;
}

/** Checks for {@link PlatformOptions}. */
export const PLATFORM: Checks = {
  platform(name, value) {
    if (!(value instanceof Platform)) throw wrongOwner(name, "a Platform, such as kernel.process().platform", value);
  },
};

/** Reads options, and the platform in them, by default that of this process. As in {@link readOptions}, nothing is inherited. */
export function readPlatform<T extends PlatformOptions>(
  given: T | undefined,
  known: Checks,
): T & { platform: Platform } {
  const options = readOptions("options", given, { ...known, ...PLATFORM });
  return Object.assign(Object.create(null), options, { platform: options.platform ?? hostPlatform() });
}

/** {@link readPlatform}, for functions without other options. */
export function platformFrom(given: PlatformOptions | undefined): Platform {
  return readPlatform(given, {}).platform;
}

let host: Platform | undefined;

/** Whether a platform is that of this process, without creating that. */
export function isHostPlatform(platform: Platform): boolean {
  return platform === host;
}

/** The platform of this process. It is created when it is first needed, once in each thread. */
export function hostPlatform(): Platform {
  if (host === undefined) {
    if (rowOf("glibc") === null) throw unsupported();
    const system = new NativeSystem();
    // The structs are those that the addon was compiled with. The addon of the package has glibc's, with every C library.
    const name = rowOf(system.layout.glibc === 1 ? "glibc" : "musl")!;
    checkAgainstHeaders(abis[name], system);
    const platform = new Platform(system, abis[name]);
    system.onOrphan((control) => descriptorsIn(platform, control));
    host = platform;
  }
  return host;
}

/** There is no row for this system and processor. */
function unsupported(): Error {
  const { platform, arch } = process;
  const why =
    platform === "win32"
      ? "does not run on Windows, which has no descriptors to pass; unix-ancillary/core and unix-ancillary/testing do"
      : `does not know the control messages of ${platform} on ${arch}; docs/platforms.md has the systems that it knows`;
  return Object.assign(new Error(`unix-ancillary ${why}`), { code: "ERR_UNSUPPORTED_PLATFORM" });
}

/** The name of the row for this system and processor, and on Linux for headers of this C library. */
function rowOf(libc: "glibc" | "musl"): AbiName | null {
  const endian = os.endianness() === "LE" ? "little" : "big";
  return hostAbiName(process.platform, process.arch, process.platform === "linux" ? libc : null, endian);
}

/** Throws if the table differs from the C headers: it would misread every message. */
function checkAgainstHeaders(abi: Abi, { layout, constants }: NativeSystem): void {
  const differs = (what: string, headers: number, table: unknown) => {
    throw new Error(
      `unix-ancillary: the C headers say ${what} is ${headers}, the table of ${abi.name} says ${table}; please report it`,
    );
  };
  const table = abi as unknown as Readonly<Record<string, unknown>>;
  for (const headers of [layout as unknown as Constants, constants]) {
    for (const what in headers) {
      if (typeof table[what] === "number" && table[what] !== headers[what]) differs(what, headers[what]!, table[what]);
    }
  }
  const little = abi.endian === "little" ? 1 : 0;
  if (layout.littleEndian !== little) differs("littleEndian", layout.littleEndian, little);
  const align = layout.space1 - layout.space0;
  if (align !== abi.headerAlignBytes) differs("the alignment", align, abi.headerAlignBytes);
}

/** The descriptors in an orphan, the control data that a terminated worker left. The worker's clean-up cannot read control messages. */
function descriptorsIn({ core }: Platform, control: Uint8Array): number[] {
  core.control.set(control);
  core.verdict(control.length, 0, 0, -1, true);
  const fds = [...core.fds.subarray(0, core.registers[REGISTER.COUNT]!)];
  if (core.registers[REGISTER.HAS_PIDFD]! > 0) fds.push(core.registers[REGISTER.PIDFD]!);
  return fds;
}
