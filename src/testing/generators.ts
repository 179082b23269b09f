/**
 * Control buffers for tests of decoders and message handlers: canonical and hostile ones, for every ABI. The same seed makes
 * the same buffers on every machine.
 */

import { type Abi, type AbiName, abiOf } from "../core/abis/table.ts";
import { Codec } from "../core/codec.ts";
import { type Checks, integer, outOfRange, readOptions } from "../core/errors.ts";
import type { ControlMessage } from "../core/payloads.ts";
import { generator } from "./random.ts";

/** A control buffer, and how it was made. */
export interface GeneratedControl {
  /** The bytes; a new array each time. */
  readonly control: Uint8Array;
  /** The messages that were encoded. A canonical buffer decodes to exactly these; a hostile one was damaged afterwards. */
  readonly messages: readonly ControlMessage[];
  /** Whether it is as it was encoded, or damaged. */
  readonly kind: "canonical" | "hostile";
}

/** Options of {@link controlBuffers}. */
export interface GeneratorOptions {
  /** Same seed, same buffers; 0 to 2^32 - 1, by default 1. */
  seed?: number | undefined;
  /** One kind only; both, mixed, by default. */
  kind?: "canonical" | "hostile" | undefined;
}

const OPTIONS: Checks = {
  seed: (name, value) => void integer(name, value, 0, 0xffffffff),
  kind(name, value) {
    if (value !== "canonical" && value !== "hostile") throw outOfRange(name, '"canonical" or "hostile"', value);
  },
};

/**
 * An endless sequence of control buffers:
 *
 * ```js
 * import { Codec } from "unix-ancillary/core";
 * import { controlBuffers } from "unix-ancillary/testing";
 * const codec = new Codec("darwin-arm64"); // your decoder, in its place
 * let rounds = 1000;
 * for (const { control } of controlBuffers("darwin-arm64", { seed: 7 })) {
 *   codec.decode(control);
 *   if (--rounds === 0) break;
 * }
 * ```
 */
export function* controlBuffers(
  abi: Abi | AbiName,
  options?: GeneratorOptions,
): Generator<GeneratedControl, never, undefined> {
  const { seed = 1, kind: wanted } = readOptions("options", options, OPTIONS);
  const row = abiOf(abi);
  const codec = new Codec(row);
  const random = generator(seed);
  for (;;) {
    const kind = wanted ?? (random(2) === 0 ? "canonical" : "hostile");
    const messages = Array.from({ length: random(5) }, () => anyMessage(codec, random));
    const control = codec.encode(messages);
    yield { control: kind === "canonical" ? control : damaged(row, control, random), messages, kind };
  }
}

/** Descriptors most often, then other messages that kernels send, then arbitrary ones. */
function anyMessage(codec: Codec, random: (below: number) => number): ControlMessage {
  const { SOL_SOCKET: level, maxFdsPerMessage, credentials, timestamps, SCM_PIDFD } = codec.abi;
  const bytes = (length: number) => Uint8Array.from({ length }, () => random(256));
  switch (random(6)) {
    case 0:
    case 1:
      return codec.rights(Array.from({ length: random(8) }, () => random(1024)));
    case 2:
      // The limits: none, and the most that the system takes.
      return codec.rights(new Array(random(2) * maxFdsPerMessage).fill(3));
    case 3: {
      const known = [...credentials, ...timestamps];
      const { type, bytes: length } = known[random(known.length)] ?? { type: 2, bytes: 12 };
      return { level, type, data: bytes(length) };
    }
    case 4:
      return { level, type: SCM_PIDFD ?? random(16), data: codec.rights([random(3) === 0 ? -24 : random(1024)]).data };
    default:
      return { level: random(2) === 0 ? level : random(256), type: random(128), data: bytes(random(40)) };
  }
}

/** One to three of: a changed byte, a length that is wrong by a little or a lot, the end cut off, bytes added. */
function damaged(
  { lengthOffset, lengthBytes, endian }: Abi,
  control: Uint8Array,
  random: (below: number) => number,
): Uint8Array {
  let bytes = Array.from(control);
  for (let times = 1 + random(3); times > 0; times--) {
    switch (random(4)) {
      case 0:
        if (bytes.length > 0) bytes[random(bytes.length)] = random(256);
        break;
      case 1: {
        // The low byte of the first length, or any byte of it.
        const low = endian === "little" ? 0 : lengthBytes - 1;
        const at = lengthOffset + (random(2) === 0 ? low : random(lengthBytes));
        if (at < bytes.length) bytes[at] = [0, random(256), bytes[at]! + random(17) - 8][random(3)]! & 0xff;
        break;
      }
      case 2:
        bytes = bytes.slice(0, random(bytes.length + 1));
        break;
      default:
        bytes.push(...Array.from({ length: random(24) }, () => random(2) * random(256)));
    }
  }
  return Uint8Array.from(bytes);
}
