/** What a receive left in the control area, whatever messages these are: every descriptor has an owner then. */

import { AncillaryError } from "../core/errors.ts";
import { type Payload, readPayload } from "../core/payloads.ts";
import { FDS_CAPACITY, REGISTER } from "../core/wasm.ts";
import { adopt, adoptAll, closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import { errnoError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { OUT } from "../system/system.ts";
import type { Credentials } from "./credentials.ts";

/** A control message as it lies in a control buffer. */
export interface ControlMessage {
  /** `cmsg_level`. */
  readonly level: number;
  /** `cmsg_type`. */
  readonly type: number;
  /** The payload, in the byte order of this host, without padding. */
  readonly data: Uint8Array;
}

/** What a received control message says, and what it handed over. Credentials are what the kernel wrote, unjudged. */
export type AncillaryData =
  | { readonly kind: "rights"; readonly fds: OwnedFd[] }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  | { readonly kind: "pidfd"; readonly pidfd: OwnedFd }
  | { readonly kind: "security"; readonly label: string }
  | { readonly kind: "timestamp"; readonly seconds: bigint; readonly nanoseconds: number }
  | { readonly kind: "unknown"; readonly level: number; readonly type: number; readonly data: Uint8Array };

/** The descriptors that it handed over. */
export function closeMessage(message: AncillaryData): void {
  if (message.kind === "rights") closeAll(message.fds);
  else if (message.kind === "pidfd") message.pidfd.close();
}

/** What the control area held. */
export interface Received {
  readonly incoming: AncillaryData[];
  readonly truncated: boolean;
  /** Then everything that came is closed. */
  readonly failure: Error | null;
}

/**
 * Reads the control area. What would not have fitted into `capacity` bytes is closed: the kernel was given more. No descriptor
 * is left without an owner, and nothing throws.
 */
export function readControl(platform: Platform, controlLength: number, cut: boolean, capacity: number): Received {
  if (!cut && controlLength <= capacity && !platform.needsCloexec) {
    const count = rightsAlone(platform, controlLength);
    if (count > 0)
      return { incoming: [{ kind: "rights", fds: owners(platform, count) }], truncated: false, failure: null };
  }
  return readMessages(platform, controlLength, cut, capacity);
}

/**
 * How many descriptors lie in the table, of a control area that holds one SCM_RIGHTS and nothing else, as nearly every one does;
 * 0: it is another. {@link readMessages} comes to the same, with four times as many calls of the core.
 */
function rightsAlone({ core, abi }: Platform, controlLength: number): number {
  if (controlLength === 0 || core.verdict(controlLength, 0, FDS_CAPACITY, -1, false) !== 0) return 0;
  const count = core.registers[REGISTER.COUNT]!;
  // There is no room for the header of another one.
  return controlLength - core.exports.len(4 * count) < abi.dataOffset ? count : 0;
}

/** Of the first `count` descriptors in the table, all that came. */
function owners(platform: Platform, count: number): OwnedFd[] {
  const { system, core } = platform;
  for (let i = 0; i < count; i++) system.own(core.fds[i]!);
  system.out[OUT.UNSETTLED] = 0;
  return adoptAll(platform, core.fds, count);
}

function readMessages(platform: Platform, controlLength: number, cut: boolean, capacity: number): Received {
  const { system, core, abi } = platform;
  const { registers, fds: table } = core;
  let incoming: AncillaryData[] = [];
  const take = (message: AncillaryData) => {
    // Not pushed into an empty one, which would make room for seventeen.
    if (incoming.length === 0) incoming = [message];
    else incoming.push(message);
  };
  const beyond: OwnedFd[] = [];
  let truncated = cut || controlLength > capacity;
  let whole = true;
  core.exports.open(controlLength, cut || abi.truncation === "dragonfly");
  while (core.next()) {
    const level = registers[REGISTER.LEVEL]!;
    const type = registers[REGISTER.TYPE]!;
    const at = registers[REGISTER.DATA]!;
    const length = registers[REGISTER.DATA_LENGTH]!;
    if (registers[REGISTER.CLAMPED] === 1) truncated = true;
    const room = Math.max(0, Math.min(length, capacity - at));
    if (level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS) {
      const slots = length >> 2;
      if (core.readRights(0, at, slots) > 0 || ((length & 3) !== 0 && !truncated)) whole = false;
      // Slots without a descriptor are passed over.
      let came = 0;
      let fitting = 0;
      for (let i = 0; i < slots; i++) {
        if (table[i]! < 0) continue;
        system.own(table[i]!);
        if (4 * (i + 1) <= room) fitting++;
        table[came++] = table[i]!;
      }
      const fds = adoptAll(platform, table, came);
      if (fitting < came) beyond.push(...fds.splice(fitting));
      if (fitting > 0) take({ kind: "rights", fds });
      continue;
    }
    const data = core.control.slice(at, at + length);
    const payload = readPayload(abi, level, type, data);
    const fits = room === length;
    if (payload.kind === "pidfd" && payload.pidfd !== null && payload.pidfd >= 0) {
      system.own(payload.pidfd);
      const pidfd = adopt(platform, payload.pidfd);
      if (fits) take({ kind: "pidfd", pidfd });
      else beyond.push(pidfd);
    } else if (fits) take(described(payload, { level, type, data }));
  }
  if (registers[REGISTER.FAULT] !== 0) whole = false;
  system.out[OUT.UNSETTLED] = 0;
  const uncloexec = platform.needsCloexec ? makeCloexec(platform, owned(incoming, beyond)) : 0;
  if (whole && uncloexec === 0) {
    closeAll(beyond);
    return { incoming, truncated, failure: null };
  }
  const all = owned(incoming, beyond);
  closeAll(all);
  const failure =
    uncloexec < 0
      ? errnoError(uncloexec, "fcntl")
      : new AncillaryError(
          "ERR_MALFORMED_CONTROL",
          `the control data are malformed; ${all.length} descriptors in them were closed`,
        );
  return { incoming: [], truncated, failure };
}

/** Every descriptor that came. */
function owned(incoming: readonly AncillaryData[], beyond: readonly OwnedFd[]): OwnedFd[] {
  const fds = [...beyond];
  for (const one of incoming) {
    if (one.kind === "rights") fds.push(...one.fds);
    else if (one.kind === "pidfd") fds.push(one.pidfd);
  }
  return fds;
}

/** Of a message that hands nothing over. A pidfd that the kernel could not make, a negative errno, is unknown. */
function described(payload: Payload, message: ControlMessage): AncillaryData {
  if (payload.kind === "credentials" && payload.credentials !== null)
    return { kind: "credentials", credentials: payload.credentials };
  if (payload.kind === "security") return { kind: "security", label: payload.label };
  if (payload.kind === "timestamp" && payload.times.length > 0) return { kind: "timestamp", ...payload.times[0]! };
  return { kind: "unknown", ...message };
}

/** 0, or the errno of the first that could not be made CLOEXEC. */
function makeCloexec({ system }: Platform, fds: readonly OwnedFd[]): number {
  const numbers = fds.map(({ fd }) => fd);
  return system.cloexecAll(numbers, 0, numbers.length);
}
