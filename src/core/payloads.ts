/** What the payloads of known messages say. Typed by `kind`; whatever is not known passes through untouched. */

import type { Abi, TimestampLayout } from "./abis/table.ts";

/** A process and its user, as a kernel wrote it into a message. `pid` null: this system sends none. */
export interface PayloadCredentials {
  readonly pid: number | null;
  readonly uid: number;
  readonly gid: number;
}

/** A point in time, or (SO_TIMESTAMPING) 0 for one that was not taken. */
export interface Timestamp {
  readonly seconds: bigint;
  /** 0 to 999,999,999 in what kernels send. Fractions finer than that are cut. */
  readonly nanoseconds: number;
}

/** What a message says. */
export type Payload =
  | {
      readonly kind: "rights";
      /** Every slot in its place; a negative one holds no descriptor. */
      readonly fds: readonly number[];
      /** Bytes behind the last whole `int`. */
      readonly leftoverBytes: number;
    }
  /** What the kernel wrote, unjudged; null: cut short. Whom the receive path takes it for, the verdict says. */
  | { readonly kind: "credentials"; readonly credentials: PayloadCredentials | null }
  /** A descriptor, or a negative errno where the kernel could not make one; null: cut short. */
  | { readonly kind: "pidfd"; readonly pidfd: number | null }
  /** The bytes as text; SELinux ends them with a NUL, which is left out. */
  | { readonly kind: "security"; readonly label: string }
  /** One time, or the three of SCM_TIMESTAMPING; fewer: cut short. */
  | { readonly kind: "timestamp"; readonly name: string; readonly times: readonly Timestamp[] }
  | { readonly kind: "unknown" };

const decoder = new TextDecoder();

/** Reads the payload of a message of this ABI. Never throws, on any bytes. */
export function readPayload(abi: Abi, level: number, type: number, data: Uint8Array): Payload {
  if (level !== abi.SOL_SOCKET) return { kind: "unknown" };
  const little = abi.endian === "little";
  if (type === abi.SCM_RIGHTS) {
    const fds: number[] = [];
    for (let at = 0; at + 4 <= data.length; at += 4) fds.push(readInt(data, at, little));
    return { kind: "rights", fds, leftoverBytes: data.length & 3 };
  }
  // Kinds of one type are told apart by their size, as in `assembly/credentials.ts`.
  const kinds = abi.credentials.filter((one) => one.type === type);
  const layout = kinds.find(({ bytes }) => bytes === data.length) ?? kinds.at(-1);
  if (layout !== undefined) {
    if (data.length < layout.bytes) return { kind: "credentials", credentials: null };
    const pid = layout.pid === null ? null : readInt(data, layout.pid, little);
    const uid = readInt(data, layout.uid, little) >>> 0;
    return { kind: "credentials", credentials: { pid, uid, gid: readInt(data, layout.gid, little) >>> 0 } };
  }
  if (type === abi.SCM_PIDFD) return { kind: "pidfd", pidfd: data.length < 4 ? null : readInt(data, 0, little) };
  if (type === abi.SCM_SECURITY) {
    const end = data.at(-1) === 0 ? data.length - 1 : data.length;
    // A copy first: TextDecoder refuses shared memory.
    return { kind: "security", label: decoder.decode(data.slice(0, end)) };
  }
  const time = abi.timestamps.find((one) => one.type === type);
  if (time === undefined) return { kind: "unknown" };
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const count = Math.min(time.times, Math.floor(data.length / time.bytes));
  const times = Array.from({ length: count }, (_, i) => readTime(view, i * time.bytes, time, little));
  return { kind: "timestamp", name: time.name, times };
}

/** An `int`, byte by byte: a DataView needs the ArrayBuffer of a small array, which V8 makes only then, at five times the cost. */
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

export type { Payload as DecodedPayload, PayloadCredentials as Credentials };
