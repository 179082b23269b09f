/**
 * Composition: the core configured for an ABI, the system calls, and what follows from both. Everything above takes a
 * {@link Platform}; the virtual kernel of `unix-ancillary/testing` is another one.
 */

import { type Abi, abis, hostAbiName } from "../core/abis/table.ts";
import { type Checks, markAsOurs, readOptions, wrongOwner } from "../core/errors.ts";
import { CONTROL_BYTES, Core, REGISTER } from "../core/wasm.ts";
import { NativeSystem } from "./native.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";
import type { Constants, System } from "./system.ts";
import { isMusl } from "./target.ts";

/** Largest security label that fits: SELinux and AppArmor keep theirs within a page. */
const SECURITY_BYTES = 4096;

/** An operating system as the library sees it. Two platforms share nothing. */
export class Platform {
  /** The row of the ABI table that its kernel follows. */
  readonly abi: Abi;
  /** @internal */
  readonly core: Core;
  /** @internal */
  readonly system: System;
  /** @internal Flags of every send: no SIGPIPE, no waiting. */
  readonly sendFlags: number;
  /** @internal Flags of every receive: no waiting, and CLOEXEC in the same step where the system can. */
  readonly receiveFlags: number;
  /** @internal Whether received descriptors need `fcntl` to become CLOEXEC. */
  readonly needsCloexec: boolean;
  /**
   * @internal Control capacity in bytes with which no legal message is ever truncated: the most descriptors, with every other
   * message that a socket option can add.
   */
  readonly receiveCapacity: number;
  /** @internal What the C headers say, and the table: headers are older than kernels at times. -1: this system has no such thing. */
  readonly constants: Constants;
  /** @internal */
  readonly receiveBuffer: ReceiveBuffer = new ReceiveBuffer();

  static {
    markAsOurs(Platform.prototype);
  }

  /** @internal */
  constructor(system: System, abi: Abi) {
    this.system = system;
    this.abi = abi;
    this.core = new Core(abi);
    this.constants = { ...system.constants, ...numbersOf(abi) };
    system.bindControl(this.core.memory, this.core.controlOffset, CONTROL_BYTES);
    this.sendFlags = (abi.MSG_NOSIGNAL ?? 0) | abi.MSG_DONTWAIT;
    this.receiveFlags = (abi.MSG_CMSG_CLOEXEC ?? 0) | abi.MSG_DONTWAIT;
    this.needsCloexec = abi.MSG_CMSG_CLOEXEC === null;
    const { space } = this.core.exports;
    const beside = abi.receiveMessages.map(space).reduce((sum, bytes) => sum + bytes, 0);
    const security = abi.SCM_SECURITY === null ? 0 : space(SECURITY_BYTES);
    this.receiveCapacity = Math.min(CONTROL_BYTES, space(4 * abi.maxFdsPerMessage) + beside + security);
  }
}

/** The numbers of a row, by name. */
function numbersOf(abi: Abi): Record<string, number> {
  return Object.fromEntries(Object.entries(abi).filter(([, value]) => typeof value === "number"));
}

/** What everything that makes a socket also takes. */
export interface PlatformOptions {
  /** Where the socket lives: a virtual kernel, in tests. This process's system by default. */
  platform?: Platform | undefined;
}

/** Checks for {@link PlatformOptions}. */
export const PLATFORM: Checks = {
  platform(name, value) {
    if (!(value instanceof Platform)) throw wrongOwner(name, "a Platform", value);
  },
};

/** Options as they were read, and the platform that they name. */
export function readPlatform<T extends PlatformOptions>(
  given: T | undefined,
  known: Checks,
): { options: T; platform: Platform } {
  const options = readOptions("options", given, { ...known, ...PLATFORM });
  return { options, platform: options.platform ?? hostPlatform() };
}

/** {@link readPlatform}, of what takes no other options. */
export function platformFrom(given: PlatformOptions | undefined): Platform {
  return readPlatform(given, {}).platform;
}

let host: Platform | undefined;

/** Whether it is the platform of this process. Composes nothing. */
export function isHostPlatform(platform: Platform): boolean {
  return platform === host;
}

/** The platform of this process. Composed when it is first needed, one in each thread. */
export function hostPlatform(): Platform {
  if (host === undefined) {
    const libc = process.platform === "linux" ? (isMusl() ? "musl" : "glibc") : null;
    const name = hostAbiName(process.platform, process.arch, libc);
    if (name === null) {
      throw new Error(
        `unix-ancillary has no ABI for ${process.platform} on ${process.arch}; it has ${Object.keys(abis).join(", ")}`,
      );
    }
    const system = new NativeSystem();
    checkAgainstHeaders(abis[name], system);
    const platform = new Platform(system, abis[name]);
    system.onOrphan((control) => descriptorsIn(platform, control));
    host = platform;
  }
  return host;
}

/** A table that disagrees with the C compiler's headers would misread every message: refuse to start. */
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

/** What a terminated worker had received and not taken: its own clean-up could not read control messages. */
function descriptorsIn({ core }: Platform, control: Uint8Array): number[] {
  core.control.set(control);
  core.verdict(control.length, 0, 0, -1, true);
  const fds = [...core.fds.subarray(0, core.registers[REGISTER.COUNT]!)];
  if (core.registers[REGISTER.HAS_PIDFD]! > 0) fds.push(core.registers[REGISTER.PIDFD]!);
  return fds;
}
