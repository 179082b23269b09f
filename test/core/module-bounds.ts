/** The checks of a module, by name: what the test of the shipped module and `npm run mutate:core` run. See `module-checks.ts`. */

import * as assert from "uvu/assert";
import { MEMORY, REGISTER } from "../../src/core/core.wasm.ts";
import { CONTROL, CONTROL_BYTES, type CredentialsLayout, FDS, FDS_CAPACITY, type Layout } from "./model.ts";
import { type CoreExports, calls, EDGES, litter, type Make, Pair, TARGETS, type Target } from "./module-checks.ts";

const NONE: CredentialsLayout = { type: -1, bytes: 0, pid: -1, uid: 0, gid: 0 };
const named = (name: string): Target => TARGETS.find((target) => target.name === name)!;
const linux = named("linux-x86_64-glibc");
/** 64 and 32 bits, both byte orders, padding or none, headers at other multiples than payloads. */
const SAMPLE: readonly Target[] = [linux, ...["linux-s390x-glibc", "netbsd-aarch64", "illumos-sparcv9"].map(named)];

/** An instance with a target, and other bytes than zeros in its memory. */
function configured(make: Make, target: Target): Pair {
  const pair = new Pair(make());
  litter(pair, target.name.length);
  pair.configure(target);
  return pair;
}

/** Every export but those that configure, with every argument at every bound. */
function everyBound(pair: Pair): void {
  for (const n of EDGES) {
    for (const name of ["align", "len", "space"] as const) pair.call(name, n);
    pair.call("encodeRights", n);
    for (const put of [
      ["putRights", n],
      ["put", 1, n, n],
      ["putCredentials", n, n, n],
    ] as const) {
      const [name, ...args] = put;
      for (const capacity of [-1, n]) {
        pair.call("begin", capacity);
        pair.call(name, ...args);
        pair.call("length");
        // With another in front of it.
        pair.call("begin", capacity);
        pair.call("put", 2, 3, 5);
        pair.call(name, ...args);
        pair.call("length");
      }
    }
    pair.call("open", n, 0);
    pair.call("next");
    for (const from of [n, 0, FDS_CAPACITY - 1]) {
      for (const count of [n, 1, 2, 3]) {
        pair.call("readRights", from, n, count);
        pair.call("readRights", n, from, count);
        pair.call("readRights", n, CONTROL_BYTES - 4, count);
      }
    }
    for (const exactly of [n, -1, 0, 1]) pair.call("verdict", n, n, n, exactly, 0);
  }
}

/** A message as the model puts it, then one number of its header changed. */
function withHeader(pair: Pair, level: number, type: number, data: Uint8Array): number {
  pair.call("begin", -1);
  const at = pair.call("put", level, type, data.length)!;
  if (at > 0) pair.write(CONTROL + at, data);
  return pair.call("length")!;
}

/** The checks, the quickest first. Each throws for a module that is not what the documents say. */
export const CHECKS: Readonly<Record<string, (make: Make) => void>> = {
  "addresses and registers are those of the documents, and each export has its name": (make) => {
    const exports = make() as unknown as Record<string, { value: unknown }>;
    for (const [name, address] of Object.entries(MEMORY)) assert.is(exports[name]!.value, address, name);
    for (const [name, position] of Object.entries(REGISTER)) assert.is(exports[`Register.${name}`]!.value, position);
    assert.is((exports as unknown as CoreExports).memory.buffer.byteLength, CONTROL + CONTROL_BYTES);
    assert.is(FDS + 4 * FDS_CAPACITY, CONTROL, "a table as large as the control area, in front of it");
  },

  "one message, by each row": (make) => {
    const pair = new Pair(make());
    for (const [i, target] of TARGETS.entries()) {
      litter(pair, i);
      pair.configure(target);
      const { SOL_SOCKET, SCM_RIGHTS, SCM_PIDFD, SCM_SECURITY } = target.numbers;
      const messages: [number, number, number][] = [
        ...[0, 1, 3, 4, 5, 8, 11, 12, 16].map((bytes): [number, number, number] => [SOL_SOCKET, SCM_RIGHTS, bytes]),
        ...[0, 3, 4, 8].map((bytes): [number, number, number] => [SOL_SOCKET, SCM_PIDFD, bytes]),
        ...[0, 5].map((bytes): [number, number, number] => [SOL_SOCKET, SCM_SECURITY, bytes]),
        ...target.credentials.flatMap(({ type, bytes }) =>
          [-1, 0, 1, 4].map((more): [number, number, number] => [SOL_SOCKET, type, Math.max(0, bytes + more)]),
        ),
      ];
      for (const [level, type, bytes] of messages) {
        for (const fill of [1, 0, 0xff]) {
          const length = withHeader(pair, level, type, new Uint8Array(bytes).fill(fill));
          for (const exactly of [-1, 1]) pair.call("verdict", length, 0, 9, exactly, 0);
        }
      }
    }
  },

  "before a target is set nothing has a size, nothing fits and nothing is read": (make) => {
    const fresh = new Pair(make());
    // The first calls of an instance, whose registers are zeros.
    fresh.call("next");
    fresh.call("length");
    fresh.call("put", 1, 1, 0);
    fresh.call("encodeRights", 1);
    for (const length of [20, 24]) fresh.call("verdict", length, 0, 1, -1, 0);
    fresh.call("verdict", 0, -1, 1, -1, 0);
    assert.is(fresh.call("verdict", 4096, 0, 1, -1, 0), 2);
    assert.equal([fresh.call("len", 0), fresh.call("space", 0), fresh.call("space", 4)], [-1, -1, -1]);
    fresh.call("align", 5);
    // Payloads are copied all the same, in this order of bytes.
    fresh.write(CONTROL, Uint8Array.of(1, 2, 3, 4));
    fresh.call("readRights", 0, 0, 1);
    // Numbers alone change nothing.
    fresh.setNumbers(linux.numbers);
    litter(fresh, 1);
    everyBound(fresh);
  },

  "a layout without numbers: no message and no flag means anything": (make) => {
    for (const { layout } of SAMPLE) {
      const pair = new Pair(make());
      pair.setLayout(layout);
      litter(pair, 2);
      assert.ok(pair.call("encodeRights", 1)! > 0);
      for (const type of [-2, -1, 0, 1, 2]) {
        for (const level of [-2, -1, 0]) {
          const length = withHeader(pair, level, type, Uint8Array.of(0, 0, 0, 0));
          for (const flags of [0, -1, 1]) pair.call("verdict", length, flags, 1, -1, 0);
          // One that overruns is malformed, not truncated.
          pair.call("verdict", length - 1, -1, 1, -1, 0);
        }
      }
    }
  },

  "a layout that is refused changes nothing, and each that can be walked is taken": (make) => {
    const pair = configured(make, linux);
    const largest: Layout = {
      ...{ headerBytes: 64, lengthOffset: 56, lengthBytes: 8, levelOffset: 60, typeOffset: 60, dataOffset: 64 },
      ...{ alignBytes: 64, headerAlignBytes: 64, bigEndian: false },
    };
    const smallest: Layout = {
      ...{ headerBytes: 4, lengthOffset: 0, lengthBytes: 4, levelOffset: 0, typeOffset: 0, dataOffset: 4 },
      ...{ alignBytes: 1, headerAlignBytes: 1, bigEndian: true },
    };
    const bases = [linux.layout, largest, smallest, named("freebsd-amd64").layout];
    const fields = Object.keys(linux.layout).filter((name) => name !== "bigEndian");
    for (const base of bases) {
      assert.is(pair.setLayout(base), true);
      for (const name of fields) {
        for (const value of EDGES) {
          if (pair.setLayout({ ...base, [name]: value })) {
            pair.call("encodeRights", 1);
            pair.setLayout(base);
          } else {
            pair.call("len", 0);
            pair.call("space", 1);
            pair.call("align", 1);
          }
        }
      }
    }
  },

  "credentials with a field outside of the payload are refused, and change nothing": (make) => {
    const pair = configured(make, linux);
    const bases: CredentialsLayout[] = [
      { type: 2, bytes: 12, pid: 0, uid: 4, gid: 8 },
      { type: 0x12345678, bytes: 256, pid: 252, uid: 248, gid: 244 },
      { type: 2, bytes: 4, pid: -1, uid: 0, gid: 0 },
      NONE,
    ];
    const message = Uint8Array.from({ length: 256 }, (_, i) => i + 1);
    for (const base of bases) {
      for (const name of ["bytes", "pid", "uid", "gid"] as const) {
        for (const value of EDGES) {
          for (const kind of [0, 2]) {
            pair.setCredentials(kind, { ...base, [name]: value });
            pair.call("begin", -1);
            pair.call("putCredentials", 42, 7, 9);
            pair.call("verdict", pair.call("length")!, 0, 0, -1, 0);
            pair.call("verdict", withHeader(pair, 1, base.type, message.subarray(0, base.bytes)), 0, 0, -1, 0);
          }
        }
      }
    }
    for (const kind of EDGES) pair.setCredentials(kind, bases[0]!);
    // Numbers at which credentials become, or stop to be, those of somebody.
    pair.configure(linux);
    for (const pid of [-2, -1, 0, 1, 2]) {
      for (const uid of [-2, -1, 0, 1]) {
        pair.call("begin", -1);
        pair.call("putCredentials", pid, uid, 0);
        pair.call("verdict", pair.call("length")!, 0, 0, -1, 0);
      }
    }
    // What lies behind the three layouts is none.
    for (let kind = 0; kind < 3; kind++) pair.setCredentials(kind, NONE);
    pair.write(0x13c, Uint8Array.of(2, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0));
    pair.call("verdict", withHeader(pair, 1, 2, message.subarray(0, 12)), 0, 0, -1, 0);
    // Three layouts of one type are told apart by their size. The last stands for every other.
    for (const [kind, bytes] of [12, 16, 20].entries())
      pair.setCredentials(kind, { type: 2, bytes, pid: bytes - 12, uid: bytes - 8, gid: bytes - 4 });
    for (const bytes of [0, 11, 12, 13, 16, 17, 19, 20, 21, 24])
      pair.call("verdict", withHeader(pair, 1, 2, message.subarray(0, bytes)), 0, 0, -1, 0);
  },

  "the short ways are taken for each target that has them, and for no other": (make) => {
    const exports = make();
    const pair = new Pair(exports);
    // Little-endian on every host.
    const offset = new DataView(exports.memory.buffer, MEMORY.REGISTERS + 4 * REGISTER.OFFSET);
    for (const { name, layout, numbers, credentials } of [...TARGETS, linux]) {
      for (const none of [false, true]) {
        pair.configure({ name, layout, numbers: none ? { ...numbers, SCM_RIGHTS: -1 } : numbers, credentials });
        const space = Math.ceil((layout.dataOffset + 4) / layout.headerAlignBytes) * layout.headerAlignBytes;
        const exists = layout.dataOffset === 16 && space === 24 && !layout.bigEndian && !none;
        // They leave alone what the general ways use: the buffer that is being written, and the registers of a walk.
        pair.call("begin", -1);
        pair.call("put", 1, 1, 100);
        const before = exports.length!();
        pair.write(FDS, Uint8Array.of(7, 0, 0, 0));
        const length = pair.call("encodeRights", 1)!;
        assert.is(exports.length!() === before, exists, `${name}: encodeRights`);
        for (const size of [length, space, layout.dataOffset + 4]) {
          pair.write(MEMORY.REGISTERS + 4 * REGISTER.OFFSET, Uint8Array.of(0x5a, 0x5a, 0, 0));
          pair.call("verdict", size, 0, 1, 1, 0);
          assert.is(offset.getInt32(0, true) === 0x5a5a, exists, `${name}: verdict on ${size} bytes`);
        }
      }
    }
  },

  "calls by chance": (make) => {
    for (let seed = 1; seed <= 4; seed++) calls(make, seed, 400);
  },

  "every argument at every bound": (make) => {
    for (const target of SAMPLE) everyBound(configured(make, target));
  },

  "a walk that has ended, at a fault too, stays ended, whatever is written then": (make) => {
    for (const target of SAMPLE) {
      const pair = configured(make, target);
      const { SOL_SOCKET, SCM_RIGHTS } = target.numbers;
      const length = withHeader(pair, SOL_SOCKET, SCM_RIGHTS, new Uint8Array(8));
      const whole = Uint8Array.from(pair.model.memory.subarray(CONTROL, CONTROL + length));
      for (const cut of [0, 1, 9, length - 1]) {
        for (const judged of [false, true]) {
          // A header that says too much, too little, or is not all there.
          for (const damage of [0xff, 0]) {
            pair.write(CONTROL, whole);
            if (cut === 0)
              pair.write(CONTROL + target.layout.lengthOffset, new Uint8Array(target.layout.lengthBytes).fill(damage));
            if (judged) pair.call("verdict", length - cut, 0, 9, -1, 0);
            else pair.call("open", length - cut, 0);
            pair.call("next");
            pair.write(CONTROL, whole);
            // As long as what is left.
            const shorter = withHeader(pair, SOL_SOCKET, SCM_RIGHTS, new Uint8Array(0));
            if (shorter > length - cut) pair.write(CONTROL, whole);
            pair.call("next");
            pair.call("next");
          }
        }
      }
    }
  },

  "how many descriptors are kept: every bound of what is asked for": (make) => {
    for (const target of SAMPLE) {
      const pair = configured(make, target);
      const { SOL_SOCKET, SCM_RIGHTS } = target.numbers;
      const length = withHeader(pair, SOL_SOCKET, SCM_RIGHTS, new Uint8Array(8));
      for (const n of EDGES) {
        pair.call("verdict", length, 0, n, -1, 0);
        pair.call("verdict", length, 0, 1, n, 0);
        pair.call("verdict", length, n, 1, -1, 0);
      }
    }
  },

  "a full control area": (make) => {
    for (const target of SAMPLE) {
      const pair = configured(make, target);
      const { SOL_SOCKET, SCM_RIGHTS } = target.numbers;
      const { dataOffset, headerAlignBytes } = target.layout;
      const most = (CONTROL_BYTES - dataOffset) >> 2;
      for (const count of [most - 1, most, most + 1]) {
        const length = pair.call("encodeRights", count)!;
        pair.call("verdict", length, 0, 3, -1, 0);
        pair.call("verdict", CONTROL_BYTES, 0, 3, count, 0);
      }
      // As many messages as there is room for, and one more, with the last byte of the area in use.
      for (const bytes of [0, 1, 4]) {
        for (const capacity of [CONTROL_BYTES, CONTROL_BYTES - 1, 3 * headerAlignBytes + 2 * dataOffset]) {
          pair.call("begin", capacity);
          for (let i = 0; i < 40; i++)
            pair.call("put", SOL_SOCKET, SCM_RIGHTS, i === 0 ? Math.max(0, capacity - 700) : bytes);
          const length = pair.call("length")!;
          pair.call("open", length, 0);
          while (pair.call("next") === 1);
          pair.call("verdict", length, 0, 3, -1, 0);
        }
      }
    }
  },

  "more calls by chance": (make) => {
    for (let seed = 100; seed < 110; seed++) calls(make, seed, 800);
  },
};
