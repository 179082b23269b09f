/** What parts of a control buffer mean, in words. */

import { type Part, typeName as typeNameIn } from "command/parts";
import { type Abi, Codec, type DecodedControl, type DecodedMessage, type ReceiveVerdict } from "unix-ancillary/core";

export const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

export const hexOf = (bytes: Uint8Array, between = " "): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(between);

/** Printable ASCII as it is, a dot for every other byte. */
export const asciiOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");

export const levelName = (abi: Abi, level: number): string => (level === abi.SOL_SOCKET ? "SOL_SOCKET" : `${level}`);

export const typeName = (abi: Abi, level: number, type: number): string =>
  (level === abi.SOL_SOCKET ? typeNameIn(abi, type) : null) ?? `${type}`;

/** A part's value as its box shows it; an empty text for none. */
export function shownValue(abi: Abi, part: Part, parts: readonly Part[], control: Uint8Array): string {
  const { kind, value } = part;
  if (kind === "level") return levelName(abi, Number(value));
  if (kind === "type") return typeName(abi, levelBeside(part, parts), Number(value));
  if (value !== null) return String(value);
  const text = kind === "payload" ? asciiOf(control.subarray(part.offset, part.offset + part.bytes)) : "";
  return /[^·]/.test(text) ? text : "";
}

const levelBeside = ({ message }: Part, parts: readonly Part[]): number =>
  Number(parts.find((other) => other.message === message && other.kind === "level")?.value);

/** What a part is for. */
export function meaningOf(abi: Abi, part: Part, parts: readonly Part[], decoded: DecodedControl): string {
  const codec = new Codec(abi);
  const message = decoded.messages[part.message];
  switch (part.kind) {
    case "length":
      if (message === undefined) return stoppedBecause(abi, decoded, part);
      return message.clamped
        ? `It reaches past the end. The kernel cut the message: ${plural(message.data.length, "byte")} of payload came.`
        : `CMSG_LEN(${message.data.length}): the header of ${abi.dataOffset} bytes and ${message.data.length} bytes of payload, without padding.`;
    case "level":
      return Number(part.value) === abi.SOL_SOCKET
        ? `SOL_SOCKET, which is ${abi.SOL_SOCKET} on this system.`
        : `Another level than SOL_SOCKET (${abi.SOL_SOCKET}): the meaning of the payload is up to that protocol.`;
    case "type": {
      if (levelBeside(part, parts) !== abi.SOL_SOCKET) return "A type of another level than SOL_SOCKET.";
      const name = typeNameIn(abi, Number(part.value));
      return name === null
        ? "The ABI table has no type with this number."
        : `${name}: ${TYPES[name] ?? "ancillary data."}`;
    }
    case "descriptor":
      if (part.name === "pidfd")
        return Number(part.value) < 0
          ? "A negative errno: the kernel could not make a pidfd."
          : "A descriptor of the process that sent the message.";
      return Number(part.value) < 0
        ? "A negative number is no descriptor: a receive with it is malformed."
        : "The number of a descriptor in the process that reads this buffer.";
    case "payload":
      return PAYLOADS[part.name] ?? "Bytes of the payload.";
    case "padding":
      return message !== undefined && part.offset < message.offset + abi.dataOffset
        ? `The payload begins at a multiple of ${abi.alignBytes}.`
        : `CMSG_SPACE(${message?.data.length ?? 0}) is ${codec.space(message?.data.length ?? 0)}: the next header begins at a multiple of ${abi.headerAlignBytes}.`;
    case "unread":
      return stoppedBecause(
        abi,
        decoded,
        parts.find((other) => other.message === part.message && other.kind === "length"),
      );
    default:
      return part.kind satisfies never;
  }
}

const TYPES: Readonly<Record<string, string>> = {
  SCM_RIGHTS: "open descriptors, which the kernel duplicates into the receiver.",
  SCM_CREDENTIALS: "the sender's pid, uid and gid, which the kernel has checked.",
  SCM_CREDS: "the sender's credentials, filled in by the kernel.",
  SCM_CREDS2: "the sender's credentials, filled in by the kernel.",
  SCM_UCRED: "the sender's credentials.",
  SCM_PIDFD: "a descriptor of the sender's process.",
  SCM_SECURITY: "the label that a security module gave the sender.",
  SCM_INQ: "how many bytes are left to read.",
};

const PAYLOADS: Readonly<Record<string, string>> = {
  pid: "The process that sent the message.",
  uid: "The sender's user.",
  gid: "The sender's group.",
  seconds: "Seconds since 1970.",
  microseconds: "The fraction of the second, in microseconds.",
  nanoseconds: "The fraction of the second, in nanoseconds.",
  "2^-64 seconds": "The fraction of the second, in units of 2^-64 s.",
};

/** Why the walk stopped where it did. */
export function stoppedBecause(abi: Abi, { malformed }: DecodedControl, length: Part | undefined): string {
  if (malformed === null) return "";
  const least = abi.dataOffset;
  switch (malformed.reason) {
    case "header-truncated":
      return `A header needs ${least} bytes, CMSG_LEN(0). Fewer are left.`;
    case "length-too-small":
      return `cmsg_len is ${length?.value ?? "less"}, but a message has at least CMSG_LEN(0), ${least} bytes: the walk would not get ahead.`;
    case "length-overruns":
      return `cmsg_len is ${length?.value ?? "more"}, which reaches past the end of the buffer.`;
    default:
      return malformed.reason satisfies never;
  }
}

/** What a message says, in a line. */
export function sayMessage(abi: Abi, message: DecodedMessage): string {
  const payload = new Codec(abi).payloadOf(message);
  switch (payload.kind) {
    case "rights": {
      const { fds, leftoverBytes } = payload;
      const holes = fds.filter((fd) => fd < 0).length;
      return (
        (fds.length === 0 ? "no descriptors" : `${fds.length === 1 ? "descriptor" : "descriptors"} ${fds.join(", ")}`) +
        (holes > 0 ? `; ${plural(holes, "slot")} without one` : "") +
        (leftoverBytes > 0 ? `; ${plural(leftoverBytes, "byte")} behind the last` : "")
      );
    }
    case "credentials": {
      if (payload.credentials === null) return "credentials, cut short";
      const { pid, uid, gid } = payload.credentials;
      return `${pid === null ? "" : `pid ${pid}, `}uid ${uid}, gid ${gid}`;
    }
    case "pidfd":
      return payload.pidfd === null ? "a pidfd, cut short" : `pidfd ${payload.pidfd}`;
    case "security":
      return `label ${JSON.stringify(payload.label)}`;
    case "timestamp":
      return (
        payload.times
          .map(({ seconds, nanoseconds }) => `${seconds}.${String(nanoseconds).padStart(9, "0")} s`)
          .join(", ") || "a time, cut short"
      );
    case "unknown":
      return `${plural(message.data.length, "byte")} of an unknown type`;
    default:
      return payload satisfies never;
  }
}

/** What the library does with a receive that has this outcome. */
export const OUTCOMES: Readonly<
  Record<ReceiveVerdict["outcome"], { readonly error: string | null; readonly says: string }>
> = {
  ok: { error: null, says: "The receive succeeds. What is kept is owned by the caller; the surplus is closed." },
  "ancillary-truncated": {
    error: "ERR_ANCILLARY_TRUNCATED",
    says: "The kernel had more control data than it delivered. Every descriptor that came is closed.",
  },
  malformed: {
    error: "ERR_MALFORMED_CONTROL",
    says: "The bytes are not whole messages, or a slot holds no descriptor. Every descriptor that was found is closed.",
  },
  "data-truncated": {
    error: "ERR_DATA_TRUNCATED",
    says: "The message is longer than the buffer. Every descriptor that came is closed.",
  },
  "fd-count": {
    error: "ERR_FD_COUNT",
    says: "Not exactly as many descriptors came as were asked for. Each is closed.",
  },
};
