/** What the payloads of control messages say, by `kind`. */

import type { Abi, CredentialsLayout, TimestampLayout } from "./abis/table.ts";

/** One control message: a cmsghdr, and its payload in the target's byte order. */
export interface ControlMessage {
  /** `cmsg_level`. */
  readonly level: number;
  /** `cmsg_type`. */
  readonly type: number;
  /** The payload, without padding. */
  readonly data: Uint8Array;
}

/** A process and its user. */
export interface Credentials {
  /** Process id; null where the system sends none, or cannot name the process here. */
  readonly pid: number | null;
  /** Effective user id where the system tells real and effective apart. */
  readonly uid: number;
  /** Effective group id, likewise. */
  readonly gid: number;
}

/** A point in time, or (SO_TIMESTAMPING) 0 for one that was not taken. */
export interface Timestamp {
  /** Since 1970. */
  readonly seconds: bigint;
  /** 0 to 999,999,999 in what kernels send. Fractions finer than that are cut. */
  readonly nanoseconds: number;
}

/** What a message says. */
export type DecodedPayload =
  | {
      readonly kind: "rights";
      /** Every slot in its place; a negative one holds no descriptor. */
      readonly fds: readonly number[];
      /** Bytes behind the last whole `int`. */
      readonly leftoverBytes: number;
    }
  /** As the kernel wrote them: whether they name a process is decided by the verdict alone. Null: cut short. */
  | { readonly kind: "credentials"; readonly credentials: Credentials | null }
  /** A descriptor, or a negative errno where the kernel could not make one. Null: cut short. */
  | { readonly kind: "pidfd"; readonly pidfd: number | null }
  /** The bytes as text. SELinux ends them with a NUL, which is left out. */
  | { readonly kind: "security"; readonly label: string }
  /**
   * One time. SCM_TIMESTAMPING has three: by software, unused, by hardware (Linux Documentation/networking/timestamping.rst);
   * `AncillaryData` of the low level has the first alone. Fewer than the type has: cut short.
   */
  | { readonly kind: "timestamp"; readonly name: string; readonly times: readonly Timestamp[] }
  /** A type that the ABI table does not have. */
  | { readonly kind: "unknown" };

/** The layout of the payload of one message type. */
export type PayloadLayout =
  | { readonly kind: "rights" }
  /** Several layouts of one type are told apart by their size. */
  | { readonly kind: "credentials"; readonly layouts: readonly CredentialsLayout[] }
  | { readonly kind: "pidfd" }
  | { readonly kind: "security" }
  | { readonly kind: "timestamp"; readonly layout: TimestampLayout }
  | { readonly kind: "unknown" };

/** The payload of messages of a type at level SOL_SOCKET. The only place that maps types to kinds. */
export function layoutOf(abi: Abi, type: number): PayloadLayout {
  if (type === abi.SCM_RIGHTS) return { kind: "rights" };
  const layouts = abi.credentials.filter((layout) => layout.type === type);
  if (layouts.length > 0) return { kind: "credentials", layouts };
  if (type === abi.SCM_PIDFD) return { kind: "pidfd" };
  if (type === abi.SCM_SECURITY) return { kind: "security" };
  const layout = abi.timestamps.find((time) => time.type === type);
  return layout === undefined ? { kind: "unknown" } : { kind: "timestamp", layout };
}

/** The layout of so many bytes. As in `assembly/credentials.ts`: the last stands for every size that is no other's. */
export function credentialsLayout(layouts: readonly CredentialsLayout[], length: number): CredentialsLayout {
  return layouts.find(({ bytes }) => bytes === length) ?? layouts.at(-1)!;
}

/**
 * The text of UTF-8 bytes, which nobody changes; U+FFFD in place of what is none, as many as `TextDecoder` puts there, which not every host has (jsdom, GJS,
 * the shell of JavaScriptCore).
 */
function textOf(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i++]!;
    // How many bytes follow, and the bounds of the next: no longer form than needed, no surrogates, nothing above U+10FFFF.
    let follow = first < 0x80 ? 0 : first < 0xc2 || first > 0xf4 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let [low, high] = [
      first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80,
      first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf,
    ];
    let code = follow < 1 ? first : first & (0x3f >> follow);
    for (; follow > 0 && bytes[i]! >= low && bytes[i]! <= high; follow--) {
      code = (code << 6) | (bytes[i++]! & 0x3f);
      [low, high] = [0x80, 0xbf];
    }
    text += String.fromCodePoint(follow === 0 ? code : 0xfffd);
  }
  return text;
}

/** A security label. SELinux includes the terminating NUL, AppArmor and Smack do not. */
export function labelOf(bytes: Uint8Array): string {
  return textOf(bytes.slice(0, bytes.at(-1) === 0 ? -1 : undefined));
}

/** Reads the payload of a message of this ABI. Never throws, on any bytes. */
export function readPayload(abi: Abi, level: number, type: number, data: Uint8Array): DecodedPayload {
  if (level !== abi.SOL_SOCKET) return { kind: "unknown" };
  const little = abi.endian === "little";
  const payload = layoutOf(abi, type);
  switch (payload.kind) {
    case "rights": {
      const fds: number[] = [];
      for (let at = 0; at + 4 <= data.length; at += 4) fds.push(readInt(data, at, little));
      return { kind: "rights", fds, leftoverBytes: data.length & 3 };
    }
    case "credentials": {
      const layout = credentialsLayout(payload.layouts, data.length);
      if (data.length < layout.bytes) return { kind: "credentials", credentials: null };
      const pid = layout.pid === null ? null : readInt(data, layout.pid, little);
      const uid = readInt(data, layout.uid, little) >>> 0;
      return { kind: "credentials", credentials: { pid, uid, gid: readInt(data, layout.gid, little) >>> 0 } };
    }
    case "pidfd":
      return { kind: "pidfd", pidfd: data.length < 4 ? null : readInt(data, 0, little) };
    case "security":
      return { kind: "security", label: labelOf(data) };
    case "timestamp": {
      const { layout } = payload;
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      const count = Math.min(layout.times, Math.floor(data.length / layout.bytes));
      const times = Array.from({ length: count }, (_, i) => readTime(view, i * layout.bytes, layout, little));
      return { kind: "timestamp", name: layout.name, times };
    }
    case "unknown":
      return payload;
    default:
      return payload satisfies never;
  }
}

/**
 * An `int`, byte by byte: a DataView needs the ArrayBuffer of a small array, which V8 makes only then, at five times the cost
 * (2026-11).
 */
function readInt(data: Uint8Array, at: number, little: boolean): number {
  return little
    ? data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    : data[at + 3]! | (data[at + 2]! << 8) | (data[at + 1]! << 16) | (data[at]! << 24);
}

function readTime(view: DataView, at: number, layout: TimestampLayout, little: boolean): Timestamp {
  const read = (offset: number, bytes: 4 | 8): bigint =>
    bytes === 8 ? view.getBigInt64(offset, little) : BigInt(view.getInt32(offset, little));
  const seconds = read(at, layout.secondsBytes);
  if (layout.unit === "bintime") {
    const fraction = view.getBigUint64(at + layout.fractionOffset, little);
    return { seconds, nanoseconds: Number((fraction * 1_000_000_000n) >> 64n) };
  }
  const fraction = Number(read(at + layout.fractionOffset, layout.fractionBytes));
  return { seconds, nanoseconds: layout.unit === "microseconds" ? fraction * 1000 : fraction };
}
