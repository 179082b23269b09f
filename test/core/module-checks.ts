/**
 * Checks of the raw exports of a module: fixed calls at every bound, and calls by chance, each compared with the model: its result and
 * every byte of the memory. They take a fraction of a second, so that `npm run mutate:core` runs them for every mutant.
 */

import { abis } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { MEMORY } from "../../src/core/core.wasm.ts";
import { generator } from "../../src/testing/random.ts";
import { CONTROL, CONTROL_BYTES, type CredentialsLayout, FDS, type Layout, Model, type Numbers } from "./model.ts";

type Call = (...numbers: number[]) => number | undefined;
/** The exports of an instance of the module. */
export type CoreExports = Record<string, Call> & { memory: { buffer: ArrayBuffer } };

const NONE: CredentialsLayout = { type: -1, bytes: 0, pid: -1, uid: 0, gid: 0 };
/** A configuration. */
export interface Target {
  readonly name: string;
  readonly layout: Layout;
  readonly numbers: Numbers;
  readonly credentials: readonly CredentialsLayout[];
}

/** The rows of the ABI table that configure the module differently. */
export const TARGETS: readonly Target[] = [
  ...new Map(
    Object.values(abis)
      .reverse()
      .map((abi) => {
        const { headerBytes, lengthOffset, lengthBytes, levelOffset, typeOffset, dataOffset } = abi;
        const { alignBytes, headerAlignBytes, SOL_SOCKET, SCM_RIGHTS, MSG_TRUNC, MSG_CTRUNC, losesCtrunc } = abi;
        const target = {
          layout: {
            ...{ headerBytes, lengthOffset, lengthBytes, levelOffset, typeOffset, dataOffset },
            ...{ alignBytes, headerAlignBytes, bigEndian: abi.endian === "big" },
          },
          numbers: {
            ...{ SOL_SOCKET, SCM_RIGHTS, SCM_PIDFD: abi.SCM_PIDFD ?? -1, SCM_SECURITY: abi.SCM_SECURITY ?? -1 },
            ...{ MSG_TRUNC, MSG_CTRUNC, padLast: abi.sendControlLength === "space", losesCtrunc },
          },
          credentials: [0, 1, 2].map((i) => {
            const kind = abi.credentials[i];
            if (kind === undefined) return NONE;
            return { type: kind.type, bytes: kind.bytes, pid: kind.pid ?? -1, uid: kind.uid, gid: kind.gid };
          }),
        };
        return [JSON.stringify(target), { name: abi.name, ...target }] as const;
      }),
  ).values(),
];

/** The ranges that most calls write to, and what lies beside them: [from, to). */
const WRITTEN: readonly (readonly [number, number])[] = [
  [0, 0x400],
  [FDS - 0x40, FDS + 0x200],
  [CONTROL - 0x100, CONTROL + 0x800],
  [CONTROL + CONTROL_BYTES - 0x200, CONTROL + CONTROL_BYTES],
];

/** An instance and the model, which get the same calls. */
export class Pair {
  readonly model: Model = new Model();
  readonly #exports: CoreExports;
  readonly #memory: Buffer;
  /** The last calls, for the message of a failure. */
  readonly #calls: string[] = [];
  #count = 0;

  constructor(exports: CoreExports) {
    this.#exports = exports;
    this.#memory = Buffer.from(exports.memory.buffer);
  }

  /** Writes bytes to the memory of both. */
  write(at: number, bytes: Uint8Array): void {
    this.#memory.set(bytes, at);
    this.model.memory.set(bytes, at);
  }

  #compare(name: string, args: readonly number[], actual: number | undefined, expected: number | undefined): void {
    this.#calls.push(`${name}(${args.join(", ")})`);
    if (this.#calls.length > 12) this.#calls.shift();
    const { memory, unspecified } = this.model;
    const explain = (what: string): string => `${what} after ${this.#calls.join(" ")}`;
    if (actual !== expected) assert.unreachable(explain(`${actual} instead of ${expected}`));
    for (const [from, to] of unspecified) this.#memory.copy(memory, from, from, to);
    this.model.unspecified = [];
    // All of it now and then, else what calls write to.
    const whole = this.#count++ % 64 === 0;
    const ranges = whole ? [[0, memory.length] as const] : WRITTEN;
    if (ranges.every(([from, to]) => this.#memory.compare(memory, from, to, from, to) === 0)) return;
    const at = memory.findIndex((byte, i) => byte !== this.#memory[i]);
    assert.unreachable(explain(`byte 0x${at.toString(16)} is ${this.#memory[at]} instead of ${memory[at]}`));
  }

  setLayout(layout: Layout): boolean {
    const args = Object.values(layout).map(Number);
    const expected = this.model.setLayout(layout);
    this.#compare("setLayout", args, this.#exports.setLayout!(...args), expected);
    return expected === 1;
  }

  setNumbers(numbers: Numbers): void {
    const args = Object.values(numbers).map(Number);
    this.model.setNumbers(numbers);
    this.#compare("setNumbers", args, this.#exports.setNumbers!(...args), undefined);
  }

  setCredentials(kind: number, layout: CredentialsLayout): void {
    const args = [kind, ...Object.values(layout)];
    this.#compare(
      "setCredentials",
      args,
      this.#exports.setCredentials!(...args),
      this.model.setCredentials(kind, layout),
    );
  }

  configure({ layout, numbers, credentials }: Target): void {
    this.setLayout(layout);
    this.setNumbers(numbers);
    for (const [kind, one] of credentials.entries()) this.setCredentials(kind, one);
  }

  /** Any other export. */
  call(
    name: Exclude<keyof Model & string, "memory" | "layout" | "numbers" | "credentials" | "unspecified">,
    ...args: number[]
  ): number | undefined {
    const expected = (this.model[name] as Call)(...args);
    this.#compare(name, args, this.#exports[name]!(...args), expected);
    return expected;
  }
}

/** A fresh instance, unconfigured. */
export type Make = () => CoreExports;

/** Every size of an integer argument at which something may change. */
export const EDGES: readonly number[] = [
  ...[
    0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 17, 20, 23, 24, 25, 28, 31, 32, 48, 63, 64, 65, 128, 252, 253, 255, 256,
  ],
  ...[
    257,
    300,
    0x3ffe,
    0x3fff,
    0x4000,
    0x4001,
    0xfffc,
    0xffff,
    0x10000,
    0x10001,
    0x10004,
    0x20000,
    2 ** 30,
    2 ** 30 + 1,
  ],
  ...[2 ** 31 - 65, 2 ** 31 - 64, 2 ** 31 - 17, 2 ** 31 - 16, 2 ** 31 - 8, 2 ** 31 - 2, 2 ** 31 - 1],
  ...[-1, -2, -3, -4, -5, -7, -8, -16, -64, -65, -256, -0x4000, -0x10000, 1 - 2 ** 31, -(2 ** 31)],
];

/** What of the memory belongs to the module and is not used: [from, to). */
const UNUSED: readonly (readonly [number, number])[] = [
  [0x50, 0x100],
  [0x13c, 0x200],
  [0x210, 0x1000],
];

/** Bytes by chance for the registers, the table, the control area and what is not used: no call may depend on them. */
export function litter(pair: Pair, seed: number): void {
  const below = generator(seed);
  const bytes = Buffer.alloc(0x1000);
  for (let i = 0; i < bytes.length; i++) bytes[i] = 1 + below(255);
  for (let at = FDS; at < CONTROL + CONTROL_BYTES; at += bytes.length) pair.write(at, bytes);
  pair.write(MEMORY.REGISTERS, bytes.subarray(0, 0x50));
  for (const [from, to] of UNUSED) pair.write(from, bytes.subarray(from, to));
}

/** Control data for a target: whole messages of the types that a verdict reads, and others; then, mostly, some damage. */
function controlData(model: Model, below: (n: number) => number): Buffer {
  const { layout, numbers, credentials } = model;
  const { SOL_SOCKET, SCM_RIGHTS, SCM_PIDFD, SCM_SECURITY } = numbers;
  const bytes = Buffer.alloc(4096);
  const int = (at: number, value: number): number =>
    layout.bigEndian ? bytes.writeInt32BE(value | 0, at) : bytes.writeInt32LE(value | 0, at);
  const any = (...of: number[]): number => of[below(of.length)]!;
  let at = 0;
  let reach = 0;
  const messages = below(3) === 0 ? 1 : below(6);
  for (let i = 0; i < messages; i++) {
    const kind = credentials[below(3)]!;
    const types = [SCM_RIGHTS, SCM_RIGHTS, SCM_PIDFD, SCM_PIDFD, SCM_SECURITY, kind.type, kind.type, -1, below(9) - 2];
    const type = any(...types);
    const level = below(8) === 0 ? any(SOL_SOCKET + 1, -1, 0, below(70_000)) : SOL_SOCKET;
    const usual = type === kind.type && kind.bytes > 0 ? kind.bytes : 4;
    const length = any(usual, usual, usual, 4, usual + 4, usual - 1, usual + 1, below(40), 4 * below(12));
    const said = layout.dataOffset + length;
    const header = at + layout.lengthOffset;
    const data = at + layout.dataOffset;
    // Positive for the most part: a negative one is no descriptor.
    for (let j = 0; j + 4 <= length; j += 4)
      int(data + j, below(4) === 0 ? any(0, -1, -24, below(2 ** 31), -(2 ** 31)) : below(2000));
    if (length % 4 !== 0) bytes[data + length - 1] = 1 + below(255);
    if (layout.lengthBytes === 8)
      int(header + (layout.bigEndian ? 0 : 4), below(12) === 0 ? any(1, 2, -1, -(2 ** 31)) : 0);
    const wrong = below(10) === 0 ? any(-1, 1, -4, 4, below(64), -said, -said - 1, 2 ** 31) : 0;
    int(header + (layout.lengthBytes === 8 && layout.bigEndian ? 4 : 0), said + wrong);
    int(at + layout.levelOffset, level);
    int(at + layout.typeOffset, type);
    reach = at + said;
    at += Math.ceil(said / layout.headerAlignBytes) * layout.headerAlignBytes;
  }
  let end = any(at, at, reach);
  if (below(4) === 0) end = Math.max(0, end + any(-1, 1, -4, 4, -below(24), below(24)));
  return bytes.subarray(0, end);
}

/** A layout, most of which are accepted: of a row, with fields moved, or any. */
function anyLayout(below: (n: number) => number): Layout {
  const row = TARGETS[below(TARGETS.length)]!.layout;
  if (below(3) === 0) return row;
  const headerBytes = below(4) === 0 ? below(66) : row.headerBytes;
  const lengthBytes = below(16) === 0 ? below(10) : [4, 8][below(2)]!;
  const offset = (width: number): number =>
    below(24) === 0 ? EDGES[below(EDGES.length)]! : below(Math.max(1, headerBytes - width + 1));
  const power = (): number => (below(24) === 0 ? below(130) : 2 ** below(7));
  return {
    headerBytes,
    lengthOffset: offset(lengthBytes),
    lengthBytes,
    levelOffset: offset(4),
    typeOffset: offset(4),
    dataOffset: headerBytes + (below(3) === 0 ? below(66 - Math.min(headerBytes, 65)) : 0),
    alignBytes: power(),
    headerAlignBytes: power(),
    bigEndian: below(2) === 0,
  };
}

function anyNumbers(below: (n: number) => number): Numbers {
  const row = TARGETS[below(TARGETS.length)]!.numbers;
  const or = (number: number): number => (below(5) === 0 ? [-1, 0, 1, 2, 3, -(2 ** 31)][below(6)]! : number);
  return {
    SOL_SOCKET: or(row.SOL_SOCKET),
    SCM_RIGHTS: or(row.SCM_RIGHTS),
    SCM_PIDFD: or(row.SCM_PIDFD),
    SCM_SECURITY: or(row.SCM_SECURITY),
    MSG_TRUNC: or(row.MSG_TRUNC),
    MSG_CTRUNC: or(row.MSG_CTRUNC),
    padLast: below(2) === 0,
    losesCtrunc: below(4) === 0,
  };
}

function anyCredentials(below: (n: number) => number): CredentialsLayout {
  const row = TARGETS[below(TARGETS.length)]!.credentials[below(3)]!;
  const bytes = [row.bytes, 4, 8, 12, 3, 256, 257, below(40)][below(8)]!;
  const field = (): number => (below(12) === 0 ? EDGES[below(EDGES.length)]! : 4 * below(Math.max(1, bytes >> 2)));
  return {
    type: below(3) === 0 ? below(6) : row.type,
    bytes,
    pid: below(4) === 0 ? -1 : field(),
    uid: field(),
    gid: field(),
  };
}

/** Calls by chance on one instance, configured again and again. */
export function calls(make: Make, seed: number, count: number): void {
  const below = generator(seed);
  const pair = new Pair(make());
  const edge = (): number => EDGES[below(EDGES.length)]!;
  const small = (): number => (below(6) === 0 ? edge() : below(60));
  litter(pair, seed + 1000);
  for (let i = 0; i < count; i++) {
    if (i % 24 === 0) {
      if (i === 0 || below(3) !== 0) pair.configure(TARGETS[below(TARGETS.length)]!);
      else {
        pair.setLayout(anyLayout(below));
        pair.setNumbers(anyNumbers(below));
        for (let kind = 0; kind < 3; kind++)
          pair.setCredentials(below(12) === 0 ? small() : kind, anyCredentials(below));
      }
    }
    const { MSG_TRUNC, MSG_CTRUNC } = pair.model.numbers;
    switch (below(8)) {
      case 0: {
        for (const name of ["align", "len", "space"] as const) pair.call(name, small());
        break;
      }
      case 1: {
        // A buffer of several messages.
        const size = below(3) === 0 ? below(120) : edge();
        pair.call("begin", size);
        for (let puts = below(5); puts >= 0; puts--) {
          const way = below(4);
          if (way === 0) pair.call("putRights", below(8) === 0 ? edge() : below(6));
          else if (way === 1) pair.call("putCredentials", edge(), below(3000), edge());
          else pair.call("put", edge(), below(9), way === 2 ? small() : below(30));
          pair.call("length");
        }
        break;
      }
      case 2: {
        const fds = Buffer.alloc(40);
        for (let at = 0; at < fds.length; at += 4) fds.writeInt32LE(below(5) === 0 ? edge() : below(2000), at);
        pair.write(FDS, fds);
        pair.call("encodeRights", below(2) === 0 ? 1 : below(6) === 0 ? edge() : below(10));
        break;
      }
      case 3: {
        const control = controlData(pair.model, below);
        pair.write(CONTROL, control);
        pair.call("open", below(12) === 0 ? edge() : control.length, below(2));
        for (let steps = below(8); steps >= 0 && pair.call("next") === 1; steps--);
        pair.call("next");
        break;
      }
      case 4: {
        pair.call("readRights", below(3) === 0 ? edge() : below(9), below(3) === 0 ? edge() : below(90), small());
        break;
      }
      default: {
        const control = controlData(pair.model, below);
        pair.write(CONTROL, control);
        const flags = [0, 0, MSG_TRUNC, MSG_CTRUNC, MSG_TRUNC | MSG_CTRUNC, ~(MSG_TRUNC | MSG_CTRUNC), edge()][
          below(7)
        ]!;
        const length = below(16) === 0 ? edge() : control.length;
        const exactly = below(3) === 0 ? below(4) : -1 - below(2);
        pair.call("verdict", length, flags, below(8) === 0 ? edge() : below(5), exactly, below(2));
        pair.call("next");
      }
    }
  }
}
