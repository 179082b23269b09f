/**
 * A control buffer as text, header by header.
 *
 * ```
 * linux-x86_64-glibc, 24 bytes
 * @0 cmsg_len 20, cmsg_level SOL_SOCKET, cmsg_type SCM_RIGHTS, 4 bytes
 *   14 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00
 *   07 00 00 00
 *   rights: 7
 *   padding: 00 00 00 00
 * ```
 */

import { type Abi, type AbiName, abiOf } from "./abis/table.ts";
import { isUint8Array, plainView } from "./bytes.ts";
import { Codec, type DecodedMessage } from "./codec.ts";
import { wrongType } from "./errors.ts";
import { type DecodedPayload, layoutOf } from "./payloads.ts";

/**
 * A control buffer as text: each header, its bytes, and what the payload says.
 *
 * Never throws on any bytes.
 *
 * @throws RangeError for a name that is not in the ABI table
 */
export function inspect(abi: Abi | AbiName, control: Uint8Array): string {
  if (!isUint8Array(control)) throw wrongType("control", "a Uint8Array", control);
  const view = plainView(control);
  const row = abiOf(abi);
  const codec = new Codec(row);
  const { messages, malformed } = codec.decode(view);
  const lines = [`${row.name}, ${view.length} bytes`];
  for (const message of messages) {
    const end = message.offset + codec.len(message.data.length);
    const next = Math.min(message.offset + codec.space(message.data.length), view.length);
    lines.push(
      `@${message.offset} cmsg_len ${end - message.offset}, ${names(row, message)}, ${message.data.length} bytes`,
      ...hex(view.subarray(message.offset, message.offset + row.dataOffset)),
      ...hex(message.data),
      ...describe(row, codec.payloadOf(message), message),
    );
    if (next > end) lines.push(`  padding: ${bytes(view.subarray(end, next))}`);
  }
  if (malformed !== null) {
    lines.push(`@${malformed.offset} ${malformed.reason}`, ...hex(view.subarray(malformed.offset)));
  }
  return `${lines.join("\n")}\n`;
}

/** The level and the type, by name where the table has one. */
function names(abi: Abi, { level, type }: DecodedMessage): string {
  const known = level === abi.SOL_SOCKET;
  const named = known ? typeName(abi, type) : null;
  return `cmsg_level ${known ? "SOL_SOCKET" : level}, cmsg_type ${named ?? type}`;
}

/** The name of a message type of level SOL_SOCKET; null: the table does not have it. */
export function typeName(abi: Abi, type: number): string | null {
  const time = abi.timestamps.find((layout) => layout.type === type);
  if (time !== undefined) return time.name;
  for (const [name, value] of Object.entries(abi)) if (name.startsWith("SCM_") && value === type) return name;
  return null;
}

/** What the payload says, in the fields' own units: nothing is rounded, and the text is the same on every host. */
function describe(abi: Abi, payload: DecodedPayload, { type, data }: DecodedMessage): string[] {
  switch (payload.kind) {
    case "rights":
      return [
        `  rights: ${payload.fds.join(" ") || "none"}`,
        ...(payload.leftoverBytes > 0 ? [`  leftover: ${payload.leftoverBytes} bytes`] : []),
      ];
    case "credentials": {
      if (payload.credentials === null) return ["  credentials: cut short"];
      const { pid, uid, gid } = payload.credentials;
      return [`  credentials:${pid === null ? "" : ` pid ${pid}`} uid ${uid} gid ${gid}`];
    }
    case "pidfd":
      return [`  pidfd: ${payload.pidfd ?? "cut short"}`];
    case "security":
      return [`  security: "${printable(data)}"`];
    case "timestamp":
      return times(abi, type, data);
    case "unknown":
      return [];
    default:
      return payload satisfies never;
  }
}

const UNITS = { microseconds: "us", nanoseconds: "ns", bintime: "/2^64 s" } as const;

function times(abi: Abi, type: number, data: Uint8Array): string[] {
  const payload = layoutOf(abi, type);
  if (payload.kind !== "timestamp") return [];
  const { layout } = payload;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = abi.endian === "little";
  const read = (at: number, width: 4 | 8, signed: boolean): bigint => {
    if (width === 4) return BigInt(view.getInt32(at, little));
    return signed ? view.getBigInt64(at, little) : view.getBigUint64(at, little);
  };
  const lines: string[] = [];
  for (let at = 0, i = 0; i < layout.times && at + layout.bytes <= data.length; i++, at += layout.bytes) {
    const fraction = read(at + layout.fractionOffset, layout.fractionBytes, layout.unit !== "bintime");
    lines.push(`  time: ${read(at, layout.secondsBytes, true)} s ${fraction} ${UNITS[layout.unit]}`);
  }
  return lines;
}

/** A label without its closing NUL. Bytes that are no printable ASCII are \\x and two digits. */
function printable(data: Uint8Array): string {
  const end = data.at(-1) === 0 ? data.length - 1 : data.length;
  return Array.from(data.subarray(0, end), (byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`,
  ).join("");
}

/** Sixteen bytes a line. */
function hex(data: Uint8Array): string[] {
  const lines: string[] = [];
  for (let i = 0; i < data.length; i += 16) lines.push(`  ${bytes(data.subarray(i, i + 16))}`);
  return lines;
}

function bytes(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
