/**
 * Reads received control buffers. No other file does. The core returns its verdict, every delivered descriptor gets an owner before
 * anything can throw, and {@link readControl} lists the control messages.
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
 * Gets the core's verdict about the control data that a `recvmsg` just left in the control area. Returns an index of OUTCOMES. The
 * descriptors are in the core's table, their counts in its registers (see `assembly/verdict.ts`). This thread owns them afterwards.
 */
export function judge(platform: Platform, maxFds: number, exactly: number, allowTruncated: boolean): number {
  const { system, core } = platform;
  const { out } = system;
  const { registers, fds } = core;
  const outcome = core.verdict(out[OUT.CONTROL_LENGTH]!, out[OUT.FLAGS]!, maxFds, exactly, allowTruncated);
  // From here on the thread's clean-up closes them, even if it is terminated at the next line.
  for (let i = registers[REGISTER.COUNT]! - 1; i >= 0; i--) system.own(fds[i]!);
  if (registers[REGISTER.HAS_PIDFD]! > 0) system.own(registers[REGISTER.PIDFD]!);
  out[OUT.UNSETTLED] = 0;
  return outcome;
}

/**
 * Closes every descriptor of a verdict that refuses the message: the pidfd is in the table too. (A system where CLOEXEC takes a call of
 * its own has no pidfds.)
 */
export function closeDelivered({ system, core }: Platform): void {
  system.discard(core.fds, 0, core.registers[REGISTER.COUNT]!);
}

/**
 * Sets FD_CLOEXEC where the system has no MSG_CMSG_CLOEXEC (Darwin), before anything else runs in this thread. Returns the error, or
 * null. The kernel makes pidfds with the flag.
 */
export function makeCloexec({ system, core, needsCloexec }: Platform): Error | null {
  const result = needsCloexec ? system.cloexecAll(core.fds, 0, core.registers[REGISTER.COUNT]!) : 0;
  return result < 0 ? errnoError(result, "fcntl") : null;
}

/** What a receive expects of a message. */
export interface Expected {
  /** The number of descriptors that must arrive; -1 for any number. */
  readonly exactly: number;
  /** The room for bytes, and the caller's buffers if it is theirs. */
  readonly bufferSize: number;
  readonly into: object | null;
}

/** A receive that accepts a message of any length, with any descriptors. */
const ANYTHING: Expected = { exactly: -1, bufferSize: 0, into: null };

/**
 * The error of the last verdict; null if the message is accepted. The descriptors must still be open: otherwise this cannot find out
 * whether the descriptor table is full.
 *
 * @param fd the socket
 */
export function refusal(platform: Platform, fd: number, outcome: number, expected: Expected): AncillaryError | null {
  const delivered = platform.core.registers[REGISTER.COUNT]!;
  const name = OUTCOMES[outcome]!;
  switch (name) {
    case "ok":
      return null;
    case "ancillary-truncated": {
      const reason = truncationReason(platform, fd);
      const message = `the kernel delivered part of the ancillary data (${REASONS[reason]}); the ${delivered} descriptors that arrived were closed`;
      return new AncillaryError("ERR_ANCILLARY_TRUNCATED", message, { reason });
    }
    case "data-truncated": {
      const [room, more] =
        expected.into === null ? ["bufferSize", "a larger bufferSize"] : ["the buffers", "larger buffers"];
      return new AncillaryError(
        "ERR_DATA_TRUNCATED",
        `the message is longer than the ${expected.bufferSize} bytes of ${room}; its descriptors were closed. Give ${more}, or allowTruncated: true to receive the beginning of the next one`,
      );
    }
    case "fd-count":
      return new AncillaryError(
        "ERR_FD_COUNT",
        `expected exactly ${expected.exactly} descriptors, got ${delivered}; they were closed`,
      );
    case "malformed":
      return new AncillaryError(
        "ERR_MALFORMED_CONTROL",
        `the control data are malformed; the ${delivered} descriptors in them were closed`,
      );
    default:
      return name satisfies never;
  }
}

const REASONS: Readonly<Record<TruncationReason, string>> = {
  "control-space": "the control buffer was too small",
  "descriptor-limit": "the descriptor table is full: RLIMIT_NOFILE",
  denied: "a security module may have refused descriptors: the descriptor table has room",
};

/**
 * Linux sets MSG_CTRUNC in three cases: a small control buffer, a full descriptor table, and a security module that refuses a
 * descriptor (net/core/scm.c, scm_detach_fds).
 */
function truncationReason({ system, core, receiveCapacity }: Platform, fd: number): TruncationReason {
  if (receiveCapacity - system.out[OUT.CONTROL_LENGTH]! < core.exports.len(4)) return "control-space";
  const probe = system.dup(fd);
  if (probe >= 0) system.close(probe);
  return probe === EMFILE || probe === ENFILE ? "descriptor-limit" : "denied";
}

/**
 * A received control message and its descriptors. Credentials are as the kernel wrote them, unchecked. A socket has timestamps once
 * SO_TIMESTAMP or SO_TIMESTAMPNS is set (`setOption`); on Linux a stream has none (unix_stream_read_generic).
 */
export type AncillaryData =
  | { readonly kind: "rights"; readonly fds: OwnedFd[] }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  | { readonly kind: "pidfd"; readonly pidfd: OwnedFd }
  | { readonly kind: "security"; readonly label: string }
  | { readonly kind: "timestamp"; readonly seconds: bigint; readonly nanoseconds: number }
  | { readonly kind: "unknown"; readonly level: number; readonly type: number; readonly data: Uint8Array };

/** Closes the descriptors of a control message that nobody took. */
export function closeMessage(message: AncillaryData): void {
  if (message.kind === "rights") closeAll(message.fds, true);
  else if (message.kind === "pidfd") message.pidfd.close();
}

/** The control messages of a receive. */
export interface Received {
  readonly incoming: AncillaryData[];
  /** Why control data are missing; null if all are there. */
  readonly reason: TruncationReason | null;
  /** If not null, every received descriptor was closed. */
  readonly failure: Error | null;
}

/**
 * Reads the control data that a `recvmsg` on the socket `fd` just left in the control area. The control buffer was larger than
 * `capacity`, but the result is as if it had `capacity` bytes: messages that end within them are listed, even if their padding does
 * not fit, and descriptors beyond are closed. Does not throw.
 */
export function readControl(platform: Platform, fd: number, capacity: number): Received {
  const outcome = judge(platform, FDS_CAPACITY, -1, true);
  const refused = refusal(platform, fd, outcome, ANYTHING);
  // Truncated control data are no failure here: the messages that arrived are listed.
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
 * The descriptors, if one SCM_RIGHTS is the only control message: there is no room for another header after it. Otherwise null.
 * {@link list} has the same result, but takes 4 % of a round trip longer (2026-11).
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
  // A message that reaches past the end was truncated there: otherwise the verdict would have refused it.
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
      // Slots of a truncated message that hold no descriptor are skipped.
      const empty = core.readRights(0, at, slots);
      const came = empty === 0 ? slots : compact(table, slots);
      const fitting = empty === 0 ? room : Math.min(came, room);
      if (fitting > 0) incoming[incoming.length] = { kind: "rights", fds: adoptAll(platform, table, fitting) };
      system.discard(table, fitting, came);
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

/** Moves the descriptors of a table to its front. Returns their number. */
function compact(table: Int32Array, slots: number): number {
  let count = 0;
  for (let i = 0; i < slots; i++) if (table[i]! >= 0) table[count++] = table[i]!;
  return count;
}

/** A message without descriptors. If the kernel could not make a pidfd, the payload is a negative errno, and the message is "unknown". */
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
