/**
 * A {@link Platform}: a core configured for an ABI, a system, and what follows from both. All higher rooms take a platform. The
 * virtual kernel of `unix-ancillary/testing` provides others.
 */

import { type Abi, abis, hostAbiName } from "../core/abis/table.ts";
import { type Checks, markAsOurs, readOptions, wrongOwner } from "../core/errors.ts";
import { CONTROL_BYTES, Core, REGISTER } from "../core/wasm.ts";
import { NativeSystem } from "./native.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";
import type { Constants, System } from "./system.ts";
import { isMusl } from "./target.ts";

/** The largest security label that fits: those of SELinux and AppArmor are at most a page. */
const SECURITY_BYTES = 4096;

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

/** Options of every function that makes a socket. */
export interface PlatformOptions {
  /** The platform of the socket, for example of a virtual kernel in tests. By default that of this process. */
  platform?: Platform | undefined;
}

/** Checks for {@link PlatformOptions}. */
export const PLATFORM: Checks = {
  platform(name, value) {
    if (!(value instanceof Platform)) throw wrongOwner(name, "a Platform", value);
  },
};

/** Reads options, and the platform in them. */
export function readPlatform<T extends PlatformOptions>(
  given: T | undefined,
  known: Checks,
): { options: T; platform: Platform } {
  const options = readOptions("options", given, { ...known, ...PLATFORM });
  return { options, platform: options.platform ?? hostPlatform() };
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
