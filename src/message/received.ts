/**
 * The one reader of received control buffers: the core judges, every descriptor that was delivered gets an owner before anything
 * may throw, and what came beside descriptors is listed for those who ask for it.
 */

import { AncillaryError, type TruncationReason } from "../core/errors.ts";
import { type ControlMessage, type DecodedPayload, readPayload } from "../core/payloads.ts";
import { FDS_CAPACITY, OUTCOMES, REGISTER } from "../core/wasm.ts";
import { adopt, adoptAll, closeAll, type OwnedFd } from "../fd/owned-fd.ts";
import { EMFILE, ENFILE, errnoError } from "../system/errno.ts";
import type { Platform } from "../system/platform.ts";
import { OUT } from "../system/system.ts";
import type { Credentials } from "./credentials.ts";

/**
 * Takes the core's verdict of what a `recvmsg` just left in the control area; an index of OUTCOMES. The descriptors are in the
 * core's table and the registers tell of them (see `assembly/verdict.ts`). From here on this thread owns them all.
 */
export function judge(platform: Platform, maxFds: number, exactly: number, allowTruncated: boolean): number {
  const { system, core } = platform;
  const { out } = system;
  const { registers, fds } = core;
  const outcome = core.verdict(out[OUT.CONTROL_LENGTH]!, out[OUT.FLAGS]!, maxFds, exactly, allowTruncated);
  const delivered = registers[REGISTER.COUNT]!;
  // Even if it is terminated at the next line.
  for (let i = 0; i < delivered; i++) system.own(fds[i]!);
  if (registers[REGISTER.HAS_PIDFD]! > 0) system.own(registers[REGISTER.PIDFD]!);
  out[OUT.UNSETTLED] = 0;
  return outcome;
}

/** Closes every descriptor of the last verdict. */
export function closeDelivered({ system, core }: Platform): void {
  const { registers, fds } = core;
  system.closeAll(fds, 0, registers[REGISTER.COUNT]!);
  if (registers[REGISTER.HAS_PIDFD]! > 0) system.close(registers[REGISTER.PIDFD]!);
}

/**
 * Where the system has no MSG_CMSG_CLOEXEC (Darwin): sets the flag before anything else runs in this thread. The error, or null.
 * A pidfd is made with it.
 */
export function makeCloexec({ system, core, needsCloexec }: Platform): Error | null {
  const result = needsCloexec ? system.cloexecAll(core.fds, 0, core.registers[REGISTER.COUNT]!) : 0;
  return result < 0 ? errnoError(result, "fcntl") : null;
}

/**
 * The error of the last verdict; null: it is none. The descriptors must still be open: only then it can be told whether the
 * descriptor table is full.
 *
 * @param fd the socket
 * @param exactly how many descriptors were asked for
 */
export function refusal(platform: Platform, fd: number, outcome: number, exactly: number): AncillaryError | null {
  const delivered = platform.core.registers[REGISTER.COUNT]!;
  const name = OUTCOMES[outcome]!;
  switch (name) {
    case "ok":
      return null;
    case "ancillary-truncated": {
      const reason = truncationReason(platform, fd);
      const message = `the kernel delivered part of the ancillary data (${REASONS[reason]}); ${delivered} descriptors that came were closed`;
      return new AncillaryError("ERR_ANCILLARY_TRUNCATED", message, { reason });
    }
    case "data-truncated":
      return new AncillaryError(
        "ERR_DATA_TRUNCATED",
        "the message is longer than the buffer; its descriptors were closed",
      );
    case "fd-count":
      return new AncillaryError(
        "ERR_FD_COUNT",
        `expected exactly ${exactly} descriptors, got ${delivered}, all closed`,
      );
    case "malformed":
      return new AncillaryError(
        "ERR_MALFORMED_CONTROL",
        `the control data are malformed; ${delivered} descriptors in them were closed`,
      );
    default:
      return name satisfies never;
  }
}

const REASONS: Readonly<Record<TruncationReason, string>> = {
  "control-space": "the control buffer was too small",
  "descriptor-limit": "the descriptor table is full: RLIMIT_NOFILE",
  denied: "there was room, so a security module refused some",
};

/**
 * Linux says MSG_CTRUNC for a small buffer, a full descriptor table and a refusing security module alike
 * (net/core/scm.c, scm_detach_fds).
 */
function truncationReason({ system, core, receiveCapacity }: Platform, fd: number): TruncationReason {
  if (receiveCapacity - system.out[OUT.CONTROL_LENGTH]! < core.exports.len(4)) return "control-space";
  const probe = system.dup(fd);
  if (probe >= 0) system.close(probe);
  return probe === EMFILE || probe === ENFILE ? "descriptor-limit" : "denied";
}

/** What a received control message says, and what it handed over. Credentials are what the kernel wrote, unjudged. */
export type AncillaryData =
  | { readonly kind: "rights"; readonly fds: OwnedFd[] }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  | { readonly kind: "pidfd"; readonly pidfd: OwnedFd }
  | { readonly kind: "security"; readonly label: string }
  | { readonly kind: "timestamp"; readonly seconds: bigint; readonly nanoseconds: number }
  | { readonly kind: "unknown"; readonly level: number; readonly type: number; readonly data: Uint8Array };

/** Closes the descriptors that a message handed over. */
export function closeMessage(message: AncillaryData): void {
  if (message.kind === "rights") closeAll(message.fds);
  else if (message.kind === "pidfd") message.pidfd.close();
}

/** What a receive brought, message by message. */
export interface Received {
  readonly incoming: AncillaryData[];
  /** Why control data are missing; null: all of them are there. */
  readonly reason: TruncationReason | null;
  /** Then everything that came is closed. */
  readonly failure: Error | null;
}

/**
 * Reads what a `recvmsg` on the socket `fd` just left, as the kernel would have delivered it into `capacity` bytes: a message that
 * ends within them is there, its padding need not be; descriptors beyond are closed. The kernel was given more room. Nothing throws.
 */
export function readControl(platform: Platform, fd: number, capacity: number): Received {
  const outcome = judge(platform, FDS_CAPACITY, -1, true);
  const refused = refusal(platform, fd, outcome, -1);
  // Cut control data are no failure here: what came is listed.
  const reason = refused?.reason ?? null;
  const failure = (reason === null ? refused : null) ?? makeCloexec(platform);
  if (failure !== null) {
    closeDelivered(platform);
    return { incoming: [], reason, failure };
  }
  const fds = reason === null ? rightsAlone(platform, capacity) : null;
  return fds === null
    ? list(platform, capacity, reason)
    : { incoming: [{ kind: "rights", fds }], reason: null, failure: null };
}

/**
 * The descriptors, where they are all that came, as one SCM_RIGHTS: behind them there is no room for another header. Otherwise
 * null. {@link list} comes to the same, for 4 % more of a round trip (2026-11).
 */
function rightsAlone(platform: Platform, capacity: number): OwnedFd[] | null {
  const { system, core, abi } = platform;
  const count = core.registers[REGISTER.COUNT]!;
  const bytes = core.exports.len(4 * count);
  if (count === 0 || bytes > capacity || system.out[OUT.CONTROL_LENGTH]! - bytes >= abi.dataOffset) return null;
  return adoptAll(platform, core.fds, count);
}

function list(platform: Platform, capacity: number, cut: TruncationReason | null): Received {
  const { system, core, abi } = platform;
  const { registers, fds: table } = core;
  const incoming: AncillaryData[] = [];
  let reason = cut;
  // A message that reaches past the end is cut there: the verdict would have refused it otherwise.
  core.exports.open(system.out[OUT.CONTROL_LENGTH]!, true);
  while (core.next()) {
    const level = registers[REGISTER.LEVEL]!;
    const type = registers[REGISTER.TYPE]!;
    const at = registers[REGISTER.DATA]!;
    const length = registers[REGISTER.DATA_LENGTH]!;
    const fits = at + length <= capacity;
    if (!fits) reason ??= "control-space";
    if (level === abi.SOL_SOCKET && type === abi.SCM_RIGHTS) {
      const slots = length >> 2;
      const room = fits ? slots : Math.max(0, capacity - at) >> 2;
      // A slot of a truncated message may hold no descriptor: it is skipped.
      const empty = core.readRights(0, at, slots);
      const came = empty === 0 ? slots : compact(table, slots);
      const fitting = empty === 0 ? room : Math.min(came, room);
      if (fitting > 0) incoming[incoming.length] = { kind: "rights", fds: adoptAll(platform, table, fitting) };
      system.closeAll(table, fitting, came);
      continue;
    }
    const data = core.control.slice(at, at + length);
    const payload = readPayload(abi, level, type, data);
    if (payload.kind === "pidfd" && payload.pidfd !== null && payload.pidfd >= 0) {
      if (fits) incoming[incoming.length] = { kind: "pidfd", pidfd: adopt(platform, payload.pidfd) };
      else system.close(payload.pidfd);
    } else if (fits) incoming[incoming.length] = described(payload, { level, type, data });
  }
  return { incoming, reason, failure: null };
}

/** Moves the descriptors of a table to its front; how many there are. */
function compact(table: Int32Array, slots: number): number {
  let count = 0;
  for (let i = 0; i < slots; i++) if (table[i]! >= 0) table[count++] = table[i]!;
  return count;
}

/** A message that hands nothing over. A pidfd that the kernel could not make, a negative errno, is unknown. */
function described(payload: DecodedPayload, message: ControlMessage): AncillaryData {
  switch (payload.kind) {
    case "credentials":
      return payload.credentials === null
        ? { kind: "unknown", ...message }
        : { kind: "credentials", credentials: payload.credentials };
    case "security":
      return { kind: "security", label: payload.label };
    case "timestamp":
      return payload.times.length === 0 ? { kind: "unknown", ...message } : { kind: "timestamp", ...payload.times[0]! };
    case "rights":
    case "pidfd":
    case "unknown":
      return { kind: "unknown", ...message };
    default:
      return payload satisfies never;
  }
}
