/** A control buffer taken apart, byte by byte. It runs in a browser, too: `site/` draws with it. */

import { type Abi, Codec, type DecodedControl } from "../core/index.ts";
import { credentialsLayout, layoutOf } from "../core/payloads.ts";

export { typeName } from "../core/inspect.ts";

/** Some bytes that belong together. */
export interface Part {
  readonly kind: "length" | "level" | "type" | "descriptor" | "payload" | "padding" | "unread";
  /** As the C headers name it, or what it is. */
  readonly name: string;
  /** Offset in the control buffer. */
  readonly offset: number;
  readonly bytes: number;
  /** Null: it is no number. */
  readonly value: number | bigint | null;
  /** Which message it is of. What the walk did not read has the number behind the last. */
  readonly message: number;
}

/** A part, with its offset in what it is a part of. */
type Field = Omit<Part, "message">;

/**
 * The parts of a control buffer, in the order of their bytes; each byte is in one of them.
 *
 * @param decoded what {@link Codec.decode} says about it
 */
export function partsOf(abi: Abi, control: Uint8Array, { messages, malformed }: DecodedControl): Part[] {
  const codec = new Codec(abi);
  const parts: Part[] = [];
  for (const [message, { offset, level, type, data }] of messages.entries()) {
    const end = Math.min(offset + codec.space(data.length), control.length);
    const bytes = control.subarray(offset, end);
    const payload = level === abi.SOL_SOCKET ? payloadFields(abi, type, data) : [];
    const fields = [
      ...headerFields(abi, bytes),
      ...payload.map((field) => ({ ...field, offset: abi.dataOffset + field.offset })),
    ];
    const filled = covered(fields, abi.dataOffset, data.length, bytes.length);
    for (const field of filled) parts.push({ ...field, offset: offset + field.offset, message });
  }
  if (malformed !== null) {
    const { offset } = malformed;
    const bytes = control.subarray(offset);
    const fields = headerFields(abi, bytes);
    const last = fields.at(-1);
    const end = last === undefined ? 0 : last.offset + last.bytes;
    // musl has a pad in the header.
    const read = covered(fields, end, 0, end);
    if (bytes.length > end)
      read.push({ kind: "unread", name: "not read", offset: end, bytes: bytes.length - end, value: null });
    for (const field of read) parts.push({ ...field, offset: offset + field.offset, message: messages.length });
  }
  return parts;
}

/** The fields of a header that are there whole, in the order of their bytes. */
function headerFields(abi: Abi, bytes: Uint8Array): Field[] {
  const fields: readonly (readonly [Part["kind"], string, number, 4 | 8])[] = [
    ["length", "cmsg_len", abi.lengthOffset, abi.lengthBytes],
    ["level", "cmsg_level", abi.levelOffset, 4],
    ["type", "cmsg_type", abi.typeOffset, 4],
  ];
  return fields
    .filter(([, , offset, size]) => offset + size <= bytes.length)
    .map(([kind, name, offset, size]) => ({
      kind,
      name,
      offset,
      bytes: size,
      value: read(abi, bytes, offset, size, kind !== "length"),
    }))
    .sort((a, b) => a.offset - b.offset);
}

/** The fields of a payload of level SOL_SOCKET. */
function payloadFields(abi: Abi, type: number, data: Uint8Array): Field[] {
  const fields: Field[] = [];
  const add = (name: string, offset: number | null, bytes: 4 | 8, signed: boolean, kind: Part["kind"] = "payload") => {
    if (offset !== null && offset + bytes <= data.length)
      fields.push({ kind, name, offset, bytes, value: read(abi, data, offset, bytes, signed) });
  };
  const payload = layoutOf(abi, type);
  switch (payload.kind) {
    case "rights":
      for (let at = 0; at < data.length; at += 4) add("descriptor", at, 4, true, "descriptor");
      break;
    case "credentials": {
      const { bytes, pid, uid, gid } = credentialsLayout(payload.layouts, data.length);
      if (data.length < bytes) break;
      add("pid", pid, 4, true);
      add("uid", uid, 4, false);
      add("gid", gid, 4, false);
      break;
    }
    case "pidfd":
      add("pidfd", 0, 4, true, "descriptor");
      break;
    case "timestamp": {
      const { times, bytes, secondsBytes, fractionOffset, fractionBytes, unit } = payload.layout;
      for (let i = 0, at = 0; i < times; i++, at += bytes) {
        add("seconds", at, secondsBytes, true);
        add(unit === "bintime" ? "2^-64 seconds" : unit, at + fractionOffset, fractionBytes, unit !== "bintime");
      }
      break;
    }
    case "security":
    case "unknown":
      break;
    default:
      payload satisfies never;
  }
  return fields.sort((a, b) => a.offset - b.offset);
}

/** The fields, and what is between them: padding, and bytes of the payload that no field has. */
function covered(fields: readonly Field[], dataOffset: number, dataLength: number, length: number): Field[] {
  const all: Field[] = [];
  let at = 0;
  const fill = (to: number) => {
    for (const [end, kind] of [
      [Math.min(to, dataOffset), "padding"],
      [Math.min(to, dataOffset + dataLength), "payload"],
      [to, "padding"],
    ] as const) {
      if (end <= at) continue;
      all.push({ kind, name: kind === "payload" ? "bytes" : "padding", offset: at, bytes: end - at, value: null });
      at = end;
    }
  };
  for (const field of fields) {
    fill(field.offset);
    all.push(field);
    at = field.offset + field.bytes;
  }
  fill(length);
  return all;
}

/** An integer in the byte order of the target; a bigint where it is of 8 bytes and not exact as a number. */
function read(abi: Abi, bytes: Uint8Array, offset: number, size: 4 | 8, signed: boolean): number | bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = abi.endian === "little";
  if (size === 4) return signed ? view.getInt32(offset, little) : view.getUint32(offset, little);
  const value = signed ? view.getBigInt64(offset, little) : view.getBigUint64(offset, little);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
