/** The codec: bytes written by hand from the structs of each system, for every row of the ABI table. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import {
  type Abi,
  type AbiName,
  AncillaryError,
  abis,
  Codec,
  type ControlMessage,
  hostAbiName,
  inspect,
} from "unix-ancillary/core";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const test = suite("codec");
const rows = Object.values(abis);
const codecs = new Map(rows.map((abi) => [abi.name, new Codec(abi)]));
const codecOf = (name: AbiName): Codec => codecs.get(name)!;

/** Bytes from hex, spaces ignored. */
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ""), "hex"));

test("every system has a row, with everything that decoding needs", () => {
  assert.ok(rows.length >= 43);
  for (const abi of rows) {
    assert.is(abis[abi.name], abi);
    assert.ok(Object.isFrozen(abi));
    assert.ok([4, 8, 16].includes(abi.alignBytes));
    assert.match(abi.source, /socket\.h/);
    assert.ok(abi.dataOffset >= abi.headerBytes);
    const fields = [
      [abi.lengthOffset, abi.lengthBytes],
      [abi.levelOffset, 4],
      [abi.typeOffset, 4],
    ] as const;
    for (const [offset, width] of fields) assert.ok(offset + width <= abi.headerBytes, abi.name);
    assert.ok(
      abi.maxControlBytes === null || codecOf(abi.name).len(4 * abi.maxFdsPerMessage) <= abi.maxControlBytes,
      abi.name,
    );
  }
});

test("unknown names are refused, naming those of the same system", () => {
  assert.throws(
    () => new Codec("darwin-ppc" as never),
    (error: Error) => error instanceof RangeError && /darwin-arm64/.test(error.message),
  );
});

test("host-row: of both C libraries, of both byte orders, and of times of 64 bits; musl's row reads what the kernel wrote", () => {
  assert.is(hostAbiName("linux", "s390x", "musl", "big"), "linux-s390x-musl");
  assert.is(hostAbiName("linux", "s390x", "musl"), "linux-s390x-musl");
  assert.is(hostAbiName("linux", "ppc64", "musl", "big"), "linux-powerpc64-musl");
  assert.is(hostAbiName("linux", "ppc64", "musl", "little"), "linux-powerpc64le-musl");
  assert.is(hostAbiName("linux", "ppc64", "glibc"), "linux-powerpc64le-glibc");
  assert.is(hostAbiName("linux", "ia32", "musl", "little"), "linux-i386-musl");
  assert.is(hostAbiName("linux", "arm", "musl", "little"), "linux-armv7-musl");
  assert.is(hostAbiName("android", "arm", null, "little"), "android-armv7-bionic");
  // A byte order that the table does not have is no row: every number would be misread.
  assert.is(hostAbiName("freebsd", "ppc64", null, "little"), null);
  assert.is(hostAbiName("linux", "mips", "musl", "big"), null);
  for (const name of Object.keys(abis).filter((one) => /^linux-.*-musl$/.test(one)) as AbiName[]) {
    const kernels = codecOf(name.replace("musl", "glibc") as AbiName);
    const messages = [
      kernels.rights([3, 4]),
      { level: kernels.abi.SOL_SOCKET, type: 63, data: Uint8Array.from({ length: 16 }, (_, i) => i) },
      {
        level: kernels.abi.SOL_SOCKET,
        type: 29,
        data: Uint8Array.from({ length: kernels.abi.pointerBytes * 2 }, (_, i) => i),
      },
    ];
    const written = kernels.encode(messages);
    assert.equal(codecOf(name).encode(messages), written, name);
    assert.equal(codecOf(name).decode(written), kernels.decode(written), name);
  }
});

test("core-without-a-layout: before one is set nothing has a size, nothing fits and nothing is read", () => {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: {
      Module: new (bytes: Uint8Array) => object;
      Instance: new (module: object) => { exports: Record<string, (...numbers: number[]) => number> };
    };
  };
  const file = createRequire(import.meta.url).resolve("unix-ancillary/core.wasm");
  const core = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file))).exports;
  assert.equal([core.len!(0), core.space!(0), core.space!(4)], [-1, -1, -1]);
  core.begin!(-1);
  assert.equal(
    [core.put!(1, 1, 0), core.putRights!(1), core.putCredentials!(1, 1, 1), core.length!()],
    [-1, -1, -1, 0],
  );
  // "malformed" with bytes of any kind, "ok" without.
  assert.equal([core.verdict!(4096, 0, 1, -1, 0), core.verdict!(0, 0, 1, -1, 0)], [2, 0]);
  // A layout that is refused changes nothing.
  assert.is(core.setLayout!(16, 0, 8, 8, 12, 16, 3, 8, 0), 0);
  assert.is(core.len!(0), -1);
  assert.is(core.setLayout!(16, 0, 8, 8, 12, 16, 8, 8, 0), 1);
  assert.is(core.len!(0), 16);
});

/** One SCM_RIGHTS with descriptors 7 and -1 ... written from the struct of each family. */
const VECTORS: readonly (readonly [AbiName, string])[] = [
  // size_t length, int level, int type, data, padding to 8.
  ["linux-x86_64-glibc", "1400000000000000 01000000 01000000 07000000 00000000"],
  ["linux-s390x-glibc", "0000000000000014 00000001 00000001 00000007 00000000"],
  ["linux-x86_64-musl", "1400000000000000 01000000 01000000 07000000 00000000"],
  ["linux-s390x-musl", "0000000000000014 00000001 00000001 00000007 00000000"],
  ["linux-i386-glibc", "10000000 01000000 01000000 07000000"],
  ["linux-powerpc-musl", "00000010 00000001 00000001 00000007"],
  ["linux-mips-glibc", "00000010 0000ffff 00000001 00000007"],
  // Darwin needs exactly cmsg_len.
  ["darwin-arm64", "10000000 ffff0000 01000000 07000000"],
  // A header of 12, data at 16.
  ["freebsd-amd64", "14000000 ffff0000 01000000 00000000 07000000 00000000"],
  ["freebsd-i386", "10000000 ffff0000 01000000 07000000"],
  ["freebsd-powerpc64", "00000014 0000ffff 00000001 00000000 00000007 00000000"],
  ["openbsd-arm", "14000000 ffff0000 01000000 00000000 07000000 00000000"],
  ["openbsd-sparc64", "00000014 0000ffff 00000001 00000000 00000007 000000000000000000000000"],
  // NetBSD refuses padding after descriptors.
  ["netbsd-aarch64", "14000000 ffff0000 01000000 00000000 07000000"],
  ["dragonfly-x86_64", "14000000 ffff0000 01000000 00000000 07000000 00000000"],
  ["illumos-amd64", "10000000 ffff0000 10100000 07000000"],
  ["illumos-sparcv9", "00000010 0000ffff 00001010 00000007"],
];

for (const [name, text] of VECTORS) {
  test(`${name}: one descriptor, byte for byte`, () => {
    const codec = codecOf(name);
    const bytes = hex(text);
    assert.equal(codec.encode([codec.rights([7])]), bytes);
    const { messages, malformed } = codec.decode(bytes);
    assert.is(malformed, null);
    assert.is(messages.length, 1);
    assert.equal(codec.fdsOf(messages[0]!), [7]);
  });
}

test("two messages: the offset of the second", () => {
  const second = (name: AbiName) => {
    const codec = codecOf(name);
    const control = codec.encode([codec.rights([1]), { level: 1, type: 2, data: Uint8Array.of(9) }]);
    return codec.decode(control).messages[1]!.offset;
  };
  assert.is(second("linux-x86_64-glibc"), 24);
  assert.is(second("linux-i386-glibc"), 16);
  assert.is(second("darwin-arm64"), 16);
  assert.is(second("freebsd-amd64"), 24);
  assert.is(second("netbsd-aarch64"), 32);
  assert.is(second("illumos-amd64"), 16);
  assert.is(second("illumos-sparcv9"), 16);
  const codec = codecOf("illumos-sparcv9");
  const control = codec.encode([codec.rights([1, 2]), codec.rights([3])]);
  assert.is(codec.decode(control).messages[1]!.offset, 24, "headers at multiples of 8 on sparc");
});

test("align, len, space: wrong types, negative, and beyond 2^31 - 1", () => {
  const codec = codecOf("linux-x86_64-glibc");
  assert.equal([codec.align(0), codec.align(1), codec.align(8), codec.len(5), codec.space(5)], [0, 8, 8, 21, 24]);
  for (const call of ["align", "len", "space"] as const) {
    assert.throws(
      () => codec[call](2 ** 31 - 1),
      (error: Error) => error instanceof RangeError,
      call,
    );
    assert.throws(
      () => codec[call](-1),
      (error: Error) => error instanceof RangeError,
    );
    assert.throws(
      () => codec[call](1.5),
      (error: Error) => error instanceof RangeError,
    );
    assert.throws(
      () => codec[call]("1" as never),
      (error: Error) => error instanceof TypeError,
    );
  }
});

test("a message that does not fit is ERR_BUFFER_TOO_SMALL, and nothing is written", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const into = new Uint8Array(23).fill(0xee);
  for (const attempt of [
    () => codec.encodeInto([codec.rights([1])], into),
    () => codec.encode([{ level: 1, type: 1, data: new Uint8Array(70_000) }]),
  ]) {
    assert.throws(
      attempt,
      (error: AncillaryError) => error instanceof AncillaryError && error.code === "ERR_BUFFER_TOO_SMALL",
    );
  }
  assert.ok(into.every((byte) => byte === 0xee));
  const larger = new Uint8Array(40).fill(0xee);
  assert.is(codec.encodeInto([codec.rights([1])], larger.subarray(1)), 24);
  assert.ok(
    larger.subarray(25).every((byte) => byte === 0xee),
    "what lies behind is left alone",
  );
  assert.throws(() => codec.rights(new Array(254).fill(0)), "at most 253");
});

/** Malformed buffers: [ABI, bytes, whole messages before, offset, reason]. */
const MALFORMED: readonly (readonly [AbiName, string, number, number, string])[] = [
  ["linux-x86_64-glibc", "00", 0, 0, "header-truncated"],
  ["linux-x86_64-glibc", "1400000000000000 01000000 010000", 0, 0, "header-truncated"],
  ["linux-x86_64-glibc", "0f00000000000000 01000000 01000000", 0, 0, "length-too-small"],
  ["linux-x86_64-glibc", "0000000000000000 01000000 01000000", 0, 0, "length-too-small"],
  ["linux-x86_64-glibc", "1100000000000000 01000000 01000000", 0, 0, "length-overruns"],
  ["linux-x86_64-glibc", "1000000001000000 01000000 01000000", 0, 0, "length-overruns"],
  ["linux-x86_64-glibc", "ffffffffffffffff 01000000 01000000", 0, 0, "length-overruns"],
  ["linux-x86_64-glibc", "1400000000000000 01000000 01000000 07000000 00000000 00", 1, 24, "header-truncated"],
  // A BSD header whose data would begin after the end.
  ["freebsd-amd64", "0c000000 ffff0000 01000000", 0, 0, "header-truncated"],
  ["freebsd-amd64", "0c000000 ffff0000 01000000 00000000", 0, 0, "length-too-small"],
  ["darwin-arm64", "00000000 ffff0000 01000000", 0, 0, "length-too-small"],
];

for (const [name, text, before, offset, reason] of MALFORMED) {
  test(`malformed: ${name}, ${reason} at ${offset} of ${text}`, () => {
    const { messages, malformed } = codecOf(name).decode(hex(text));
    assert.is(messages.length, before);
    assert.equal(malformed, { offset, reason });
  });
}

test("the padding of the last message may be absent", () => {
  const { messages, malformed } = codecOf("linux-x86_64-glibc").decode(
    hex("1400000000000000 01000000 01000000 07000000"),
  );
  assert.is(malformed, null);
  assert.is(messages.length, 1);
});

test("Darwin does not shorten cmsg_len: with MSG_CTRUNC the descriptors that arrived are found and closed", () => {
  const codec = codecOf("darwin-arm64");
  // Four descriptors were sent, with room for two and a half.
  const control = hex("1c000000 ffff0000 01000000 05000000 06000000 0700");
  assert.is(codec.decode(control).malformed!.reason, "length-overruns");
  const { messages, malformed } = codec.decode(control, { flags: codec.abi.MSG_CTRUNC });
  assert.is(malformed, null);
  assert.is(messages[0]!.clamped, true);
  assert.equal(codec.payloadOf(messages[0]!), { kind: "rights", fds: [5, 6], leftoverBytes: 2 });
  const verdict = codec.verdict({ control, flags: codec.abi.MSG_CTRUNC, maxFds: 9 });
  assert.is(verdict.outcome, "ancillary-truncated");
  assert.equal([verdict.keep, verdict.close], [[], [5, 6]]);
});

test("DragonFly loses MSG_CTRUNC: a length past the end means truncation", () => {
  const codec = codecOf("dragonfly-x86_64");
  const control = hex("20000000 ffff0000 01000000 00000000 05000000 06000000");
  const verdict = codec.verdict({ control, flags: 0, maxFds: 9 });
  assert.is(verdict.outcome, "ancillary-truncated");
  assert.equal(verdict.close, [5, 6]);
});

test("level and type are compared together", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const other = { level: 41, type: codec.abi.SCM_RIGHTS, data: codec.rights([7]).data };
  assert.equal(codec.fdsOf(other), []);
  const { keep, close, outcome } = codec.verdict({ control: codec.encode([other]), flags: 0, maxFds: 9 });
  assert.equal([keep, close, outcome], [[], [], "ok"]);
});

test("verdict: keep, surplus, exact count, truncated data, in order of rank", () => {
  for (const name of ["linux-x86_64-glibc", "linux-s390x-glibc", "darwin-arm64", "illumos-sparcv9"] as const) {
    const codec = codecOf(name);
    const { MSG_CTRUNC, MSG_TRUNC } = codec.abi;
    const control = codec.encode([codec.rights([3, 4, 5])]);
    const verdict = (flags: number, maxFds: number, more: { exactly?: number; allowTruncated?: boolean } = {}) => {
      const { keep, close, outcome } = codec.verdict({ control, flags, maxFds, ...more });
      return [keep, close, outcome];
    };
    assert.equal(verdict(0, 3), [[3, 4, 5], [], "ok"]);
    assert.equal(verdict(0, 9), [[3, 4, 5], [], "ok"]);
    assert.equal(verdict(0, 1), [[3], [4, 5], "ok"]);
    assert.equal(verdict(0, 0), [[], [3, 4, 5], "ok"]);
    assert.equal(verdict(0, 3, { exactly: 3 }), [[3, 4, 5], [], "ok"]);
    assert.equal(verdict(0, 2, { exactly: 2 }), [[], [3, 4, 5], "fd-count"]);
    assert.equal(verdict(0, 4, { exactly: 4 }), [[], [3, 4, 5], "fd-count"]);
    assert.equal(verdict(MSG_TRUNC, 3), [[], [3, 4, 5], "data-truncated"]);
    assert.equal(verdict(MSG_TRUNC, 3, { allowTruncated: true }), [[3, 4, 5], [], "ok"]);
    assert.equal(verdict(MSG_TRUNC | MSG_CTRUNC, 3, { exactly: 1 }), [[], [3, 4, 5], "ancillary-truncated"]);
    assert.equal(verdict(MSG_TRUNC, 3, { exactly: 1 }), [[], [3, 4, 5], "data-truncated"]);
  }
});

test("verdict: flags that kernels echo are not truncation", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const control = codec.encode([codec.rights([3])]);
  assert.is(codec.verdict({ control, flags: codec.abi.MSG_CMSG_CLOEXEC!, maxFds: 1 }).outcome, "ok");
});

test("verdict: several SCM_RIGHTS of FreeBSD keep their order", () => {
  const codec = codecOf("freebsd-amd64");
  const control = codec.encode([codec.rights([3, 4]), codec.rights([5])]);
  assert.equal(codec.verdict({ control, flags: 0, maxFds: 2 }).keep, [3, 4]);
  assert.equal(codec.verdict({ control, flags: 0, maxFds: 2 }).close, [5]);
});

test("verdict: slots without a descriptor, leftover bytes and two pidfds are malformed, and all descriptors are closed", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const pidfd = (fd: number): ControlMessage => ({ level: 1, type: 4, data: codec.rights([fd]).data });
  for (const messages of [
    [codec.rights([3, -1, 4])],
    [{ level: 1, type: 1, data: hex("03000000 04000000 05") }],
    [codec.rights([3]), pidfd(4), pidfd(-24)],
  ]) {
    const {
      keep,
      close,
      pidfd: kept,
      outcome,
    } = codec.verdict({ control: codec.encode(messages), flags: 0, maxFds: 9 });
    assert.equal([keep, close.sort(), kept, outcome], [[], [3, 4], null, "malformed"]);
  }
});

test("verdict: a pidfd is kept, or closed with the rest; a negative errno is not a pidfd", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const pidfd = (fd: number): ControlMessage => ({ level: 1, type: 4, data: codec.rights([fd]).data });
  const control = codec.encode([codec.rights([3]), pidfd(9)]);
  assert.is(codec.verdict({ control, flags: 0, maxFds: 1 }).pidfd, 9);
  const refused = codec.verdict({ control, flags: 0, maxFds: 1, exactly: 2 });
  assert.equal([refused.pidfd, refused.close], [null, [3, 9]]);
  const failed = codec.verdict({ control: codec.encode([codec.rights([3]), pidfd(-24)]), flags: 0, maxFds: 1 });
  assert.equal([failed.pidfd, failed.keep, failed.close, failed.outcome], [null, [3], [], "ok"]);
});

test("verdict: credentials are facts or null", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const credentials = (data: string, flags = 0) =>
    codec.verdict({ control: codec.encode([{ level: 1, type: 2, data: hex(data) }]), flags, maxFds: 0 }).credentials;
  assert.equal(credentials("2a000000 e8030000 e9030000"), { pid: 42, uid: 1000, gid: 1001 });
  assert.equal(credentials("2a000000 00000000 00000000"), { pid: 42, uid: 0, gid: 0 });
  assert.is(credentials("00000000 feff0000 feff0000"), null, "sent before the option was on");
  assert.is(credentials("00000000 00000000 00000000"), null, "the end of a stream, which looks like root");
  assert.is(credentials("2a000000 ffffffff ffffffff"), null);
  assert.is(credentials("2a000000 e8030000 e903"), null, "cut short");
  // FreeBSD: the effective ids. cmcred_gid, at 12, is the real one.
  const freebsd = codecOf("freebsd-amd64");
  const cmsgcred = new Uint8Array(84);
  new DataView(cmsgcred.buffer).setInt32(0, 42, true);
  new DataView(cmsgcred.buffer).setUint32(4, 1, true);
  new DataView(cmsgcred.buffer).setUint32(8, 2, true);
  new DataView(cmsgcred.buffer).setUint32(12, 4, true);
  new DataView(cmsgcred.buffer).setUint32(16, 1, true);
  new DataView(cmsgcred.buffer).setUint32(20, 3, true);
  const control = freebsd.encode([{ level: 0xffff, type: 3, data: cmsgcred }, freebsd.rights([7])]);
  const verdict = freebsd.verdict({ control, flags: 0, maxFds: 1 });
  assert.equal([verdict.credentials, verdict.keep], [{ pid: 42, uid: 2, gid: 3 }, [7]]);
});

test("FreeBSD: cmsgcred and sockcred have the same type, and are distinguished by their size", () => {
  const codec = codecOf("freebsd-amd64");
  const { SOL_SOCKET: level, SCM_CREDS } = codec.abi;
  /** LOCAL_CREDS: uid, euid, gid, egid, ngroups, groups. */
  const sockcred = (groups: number): ControlMessage => {
    const data = new Uint8Array(20 + 4 * groups);
    for (const [i, value] of [1, 2, 3, 4, groups].entries()) new DataView(data.buffer).setUint32(4 * i, value, true);
    return { level, type: SCM_CREDS!, data };
  };
  for (const groups of [0, 1, 2, 15, 17, 100]) {
    const message = sockcred(groups);
    const credentials = { pid: null, uid: 2, gid: 4 };
    assert.equal(codec.payloadOf(message), { kind: "credentials", credentials });
    const control = codec.encode([message]);
    assert.equal(codec.verdict({ control, flags: 0, maxFds: 0 }).credentials, credentials, String(groups));
    assert.match(inspect(codec.abi, control), "credentials: uid 2 gid 4");
  }
  const short = { ...sockcred(0), data: new Uint8Array(19) };
  assert.equal(codec.payloadOf(short), { kind: "credentials", credentials: null });
  assert.is(codec.verdict({ control: codec.encode([short]), flags: 0, maxFds: 0 }).credentials, null);
});

test("a sender without supplementary groups has a name, by the effective ids; one byte less names nobody", () => {
  // The fields of each struct by their values; the effective ids are 7 and 8.
  const structs = {
    "freebsd-amd64": { sockcred: [1, 7, 2, 8, 0], sockcred2: [0, 42, 1, 7, 2, 8, 0] },
    "netbsd-amd64": { sockcred: [42, 1, 7, 2, 8, 0] },
  } as const;
  for (const [name, kinds] of Object.entries(structs)) {
    const codec = codecOf(name as AbiName);
    for (const [kind, fields] of Object.entries(kinds)) {
      const { type, pid } = codec.abi.credentials.find((layout) => layout.name === kind)!;
      // Both systems are little-endian; this host need not be.
      const data = Buffer.alloc(4 * fields.length);
      for (const [index, field] of fields.entries()) data.writeUInt32LE(field, 4 * index);
      const credentials = (bytes: number) =>
        codec.verdict({
          control: codec.encode([{ level: codec.abi.SOL_SOCKET, type, data: data.subarray(0, bytes) }]),
          flags: 0,
          maxFds: 0,
        }).credentials;
      assert.equal(credentials(data.length), { pid: pid === null ? null : 42, uid: 7, gid: 8 }, `${name} ${kind}`);
      assert.is(credentials(data.length - 1), null, `${name} ${kind}`);
    }
  }
});

test("a type that a system does not have is not found as a negative number", () => {
  for (const abi of rows) {
    const codec = codecOf(abi.name);
    const { SOL_SOCKET: level } = abi;
    const control = codec.encode([{ level, type: -1, data: Uint8Array.of(7, 7, 7, 7) }]);
    const { keep, close, pidfd, outcome } = codec.verdict({ control, flags: 0, maxFds: 9 });
    assert.equal([keep, close, pidfd, outcome], [[], [], null, "ok"], abi.name);
  }
});

test("every kind of timestamp of every row: seconds and fraction at the offsets of the table, truncated, and named", () => {
  for (const abi of rows) {
    const codec = codecOf(abi.name);
    const little = abi.endian === "little";
    for (const { type, name, unit, times, bytes, secondsBytes, fractionOffset, fractionBytes } of abi.timestamps) {
      assert.ok(fractionOffset >= secondsBytes && fractionOffset + fractionBytes <= bytes, `${abi.name} ${name}`);
      const data = new Uint8Array(times * bytes);
      const view = new DataView(data.buffer);
      for (let i = 0; i < times; i++) {
        const at = i * bytes;
        if (secondsBytes === 8) view.setBigInt64(at, BigInt(1000 + i), little);
        else view.setInt32(at, 1000 + i, little);
        if (unit === "bintime") view.setBigUint64(at + fractionOffset, 3n << 62n, little);
        else if (fractionBytes === 8) view.setBigInt64(at + fractionOffset, 750n, little);
        else view.setInt32(at + fractionOffset, 750, little);
      }
      const nanoseconds = unit === "bintime" ? 750_000_000 : unit === "microseconds" ? 750_000 : 750;
      const expected = Array.from({ length: times }, (_, i) => ({ seconds: BigInt(1000 + i), nanoseconds }));
      const message = { level: abi.SOL_SOCKET, type, data };
      assert.equal(codec.payloadOf(message), { kind: "timestamp", name, times: expected }, `${abi.name} ${name}`);
      const cut = codec.payloadOf({ ...message, data: data.subarray(1) });
      assert.ok(cut.kind === "timestamp" && cut.times.length === times - 1);
    }
  }
  // FreeBSD/i386: a time_t of 4 bytes, and nothing aligned to 8.
  const bintime = abis["freebsd-i386"].timestamps.find(({ name }) => name === "SCM_BINTIME")!;
  assert.equal([bintime.bytes, bintime.secondsBytes, bintime.fractionOffset], [12, 4, 4]);
});

test("typed payloads in both byte orders", () => {
  for (const [name, little] of [
    ["linux-x86_64-glibc", true],
    ["linux-s390x-glibc", false],
  ] as const) {
    const codec = codecOf(name);
    const of = (type: number, fill: (view: DataView) => void, bytes: number) => {
      const data = new Uint8Array(bytes);
      fill(new DataView(data.buffer));
      return codec.payloadOf({ level: 1, type, data });
    };
    assert.equal(codec.payloadOf(codec.credentials({ pid: 1, uid: 2, gid: 3 })), {
      kind: "credentials",
      credentials: { pid: 1, uid: 2, gid: 3 },
    });
    assert.equal(
      of(4, (view) => view.setInt32(0, -24, little), 4),
      { kind: "pidfd", pidfd: -24 },
    );
    assert.equal(codec.payloadOf({ level: 1, type: 3, data: Buffer.from("label\0") }), {
      kind: "security",
      label: "label",
    });
    const seconds = 1_700_000_000n;
    assert.equal(
      of(
        29,
        (view) => {
          view.setBigInt64(0, seconds, little);
          view.setBigInt64(8, 5n, little);
        },
        16,
      ),
      { kind: "timestamp", name: "SCM_TIMESTAMP_OLD", times: [{ seconds, nanoseconds: 5000 }] },
    );
    const three = of(37, (view) => view.setBigInt64(32, seconds, little), 48);
    assert.ok(three.kind === "timestamp" && three.times.length === 3 && three.times[2]!.seconds === seconds);
    assert.equal(codec.payloadOf({ level: 1, type: 99, data: Uint8Array.of(1) }), { kind: "unknown" });
  }
  const freebsd = codecOf("freebsd-amd64");
  const bintime = new Uint8Array(16);
  new DataView(bintime.buffer).setBigInt64(0, 7n, true);
  new DataView(bintime.buffer).setBigUint64(8, 1n << 63n, true);
  assert.equal(freebsd.payloadOf({ level: 0xffff, type: 4, data: bintime }), {
    kind: "timestamp",
    name: "SCM_BINTIME",
    times: [{ seconds: 7n, nanoseconds: 500_000_000 }],
  });
});

/** A walk over a whole buffer by the layout, to check buffers longer than the core's control area. */
function walked(abi: Abi, control: Uint8Array): { offset: number; bytes: number }[] {
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const found: { offset: number; bytes: number }[] = [];
  for (let at = 0; control.length - at >= abi.dataOffset; ) {
    const little = abi.endian === "little";
    const length =
      abi.lengthBytes === 4
        ? view.getUint32(at + abi.lengthOffset, little)
        : Number(view.getBigUint64(at + abi.lengthOffset, little));
    if (length < abi.dataOffset || length > control.length - at) break;
    found.push({ offset: at, bytes: length - abi.dataOffset });
    at += Math.ceil(length / abi.headerAlignBytes) * abi.headerAlignBytes;
  }
  return found;
}

/** Messages with these payload lengths, in sequence, each filled with its position. */
function chain(codec: Codec, lengths: readonly number[]): Uint8Array {
  const padded = new Codec({ ...codec.abi, sendControlLength: "space" });
  const { lengthOffset, lengthBytes, endian, SOL_SOCKET: level } = codec.abi;
  return Buffer.concat(
    lengths.map((length, i) => {
      if (length < 60_000) return padded.encode([{ level, type: i, data: new Uint8Array(length).fill(i) }]);
      // Longer than the codec encodes: the header of an empty message, with another length.
      const long = new Uint8Array(codec.space(length));
      long.set(padded.encode([{ level, type: i, data: new Uint8Array(0) }]));
      const view = new DataView(long.buffer, lengthOffset);
      if (lengthBytes === 4) view.setUint32(0, codec.len(length), endian === "little");
      else view.setBigUint64(0, BigInt(codec.len(length)), endian === "little");
      return long.fill(i, codec.abi.dataOffset, codec.len(length));
    }),
  );
}

test("more than 64 KiB is decoded to its end: messages across windows and longer than a window, on every row", () => {
  for (const abi of rows) {
    const codec = codecOf(abi.name);
    for (const lengths of [
      new Array(6000).fill(4),
      // The end of the window lies in a header, after its length, or before its last byte.
      ...[0, 1, 4, 8, 12, 15, 16, 17, 20, 24].map((back) => [65_536 - 2 * abi.dataOffset - back, 40, 8]),
      [65_536 - abi.dataOffset, 8],
      [65_536 - abi.dataOffset - 1, 8],
      [8, 200_000, 8, 70_000, 8],
      [100_000],
      new Array(300).fill(1000).map((n, i) => n + i),
    ]) {
      const control = chain(codec, lengths);
      const { messages, malformed } = codec.decode(control);
      const what = `${abi.name}: ${lengths.slice(0, 5)}`;
      assert.is(malformed, null, what);
      assert.equal(
        messages.map(({ offset, data }) => ({ offset, bytes: data.length })),
        walked(abi, control),
        what,
      );
      assert.equal(
        messages.map(({ data }) => data.length),
        lengths,
        what,
      );
      for (const [i, { type, data }] of messages.entries()) {
        assert.is(type, i);
        assert.ok(data.every((byte) => byte === (i & 255)));
      }
    }
  }
});

test("beyond 64 KiB: malformed at the right offset, clamped only at the end", () => {
  for (const name of ["linux-x86_64-glibc", "linux-s390x-musl", "darwin-arm64", "illumos-sparcv9"] as const) {
    const codec = codecOf(name);
    const { MSG_CTRUNC, dataOffset } = codec.abi;
    const whole = chain(codec, new Array(4000).fill(20));
    // Bytes after the last message: fewer than a header, and a header with length 0.
    const cut = codec.decode(Buffer.concat([whole, new Uint8Array(3)]));
    assert.equal([cut.messages.length, cut.malformed], [4000, { offset: whole.length, reason: "header-truncated" }]);
    const zero = codec.decode(Buffer.concat([whole, new Uint8Array(100_000)]));
    assert.equal([zero.messages.length, zero.malformed], [4000, { offset: whole.length, reason: "length-too-small" }]);
    // A message whose length exceeds the buffer: after the first window, and itself longer than a window.
    for (const [length, there] of [
      [50, 30],
      [300_000, 290_000],
    ] as const) {
      const long = chain(codec, [length]).subarray(0, dataOffset + there);
      for (const before of [whole, new Uint8Array(0)]) {
        const control = Buffer.concat([before, long]);
        const { malformed } = codec.decode(control);
        assert.equal(malformed, { offset: before.length, reason: "length-overruns" });
        const clamped = codec.decode(control, { flags: MSG_CTRUNC });
        assert.is(clamped.malformed, null);
        const last = clamped.messages.at(-1)!;
        assert.equal([last.offset, last.clamped, last.data.length], [before.length, true, there]);
        assert.ok(clamped.messages.slice(0, -1).every((message) => !message.clamped));
      }
    }
    // A length of all ones.
    const wild = chain(codec, [70_000]);
    wild.fill(0xff, codec.abi.lengthOffset, codec.abi.lengthOffset + codec.abi.lengthBytes);
    assert.equal(codec.decode(wild).malformed, { offset: 0, reason: "length-overruns" });
  }
});

test("a verdict on more than 64 KiB is refused: descriptors beyond would be neither kept nor closed", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const control = chain(codec, new Array(3000).fill(4));
  assert.throws(
    () => codec.verdict({ control, flags: 0, maxFds: 9 }),
    (error: Error) => error instanceof RangeError && /at most 65536, got 72000/.test(error.message),
  );
});

test("each window is copied a bounded number of times: the loaded bytes grow with the length", () => {
  // Counts the bytes copied into the core, for messages that cross the windows in the worst way.
  const codec = codecOf("linux-x86_64-glibc");
  const set = Uint8Array.prototype.set;
  let copied = 0;
  const counting = (control: Uint8Array) => {
    copied = 0;
    Uint8Array.prototype.set = function (source, offset) {
      copied += source.length;
      set.call(this, source, offset);
    };
    try {
      codec.decode(control);
    } finally {
      Uint8Array.prototype.set = set;
    }
    return copied / control.length;
  };
  for (const lengths of [
    new Array(50_000).fill(4),
    new Array(40).fill([0, 65_536 - 16]).flat(),
    new Array(40).fill([0, 65_536]).flat(),
    new Array(40).fill(33_000),
  ]) {
    const times = counting(chain(codec, lengths));
    assert.ok(times >= 1 && times <= 3, `${lengths.slice(0, 2)}: ${times}`);
  }
});

test("a payload that is no bytes is refused: a text or wider elements would be read as something else", () => {
  const codec = new Codec("linux-x86_64-glibc");
  for (const data of ["abcd", new Uint16Array(2), [1, 2, 3, 4], undefined])
    for (const type of [1, 29, 99]) {
      const read = () => codec.payloadOf({ level: 1, type, data: data as never });
      assert.throws(read, (error: { code?: string }) => error.code === "ERR_INVALID_ARG_TYPE");
    }
});

test("inspect is stable", () => {
  const codec = codecOf("linux-x86_64-glibc");
  const control = Buffer.concat([
    codec.encode([codec.rights([7]), codec.credentials({ pid: 1, uid: 2, gid: 3 })]),
    hex("0500"),
  ]);
  assert.is(
    inspect("linux-x86_64-glibc", control),
    `linux-x86_64-glibc, 58 bytes
@0 cmsg_len 20, cmsg_level SOL_SOCKET, cmsg_type SCM_RIGHTS, 4 bytes
  14 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00
  07 00 00 00
  rights: 7
  padding: 00 00 00 00
@24 cmsg_len 28, cmsg_level SOL_SOCKET, cmsg_type SCM_CREDENTIALS, 12 bytes
  1c 00 00 00 00 00 00 00 01 00 00 00 02 00 00 00
  01 00 00 00 02 00 00 00 03 00 00 00
  credentials: pid 1 uid 2 gid 3
  padding: 00 00 00 00
@56 header-truncated
  05 00
`,
  );
});

/**
 * What each kernel delivers of `n` descriptors into a control buffer of `capacity` bytes with `room` free slots in the table:
 * the bytes of the buffer, `msg_controllen` and MSG_CTRUNC. Null if the receive fails, and nothing is delivered. From
 * net/core/scm.c (Linux), uipc_usrreq.c and uipc_syscalls.c (FreeBSD, OpenBSD, NetBSD, DragonFly, XNU), socksubr.c (illumos).
 */
function deliver(
  codec: Codec,
  n: number,
  capacity: number,
  room: number,
): { control: Uint8Array; truncated: boolean; alive: number } | null {
  const { abi } = codec;
  const whole = codec.encode([codec.rights(Array.from({ length: n }, (_, i) => 10 + i))]);
  const length = codec.len(4 * n);
  const part = (fds: number) => codec.encode([codec.rights(Array.from({ length: fds }, (_, i) => 10 + i))]);
  const inside = Math.max(0, Math.floor((Math.min(capacity, length) - abi.dataOffset) / 4));
  switch (abi.truncation) {
    case "linux": {
      const k = Math.min(n, inside, room);
      const control = k === 0 ? new Uint8Array(0) : part(k).subarray(0, Math.min(codec.space(4 * k), capacity));
      return { control, truncated: k < n, alive: k };
    }
    case "freebsd":
      if (room < n) return null;
      if (capacity >= codec.space(4 * n)) return { control: whole, truncated: false, alive: n };
      return { control: new Uint8Array(0), truncated: true, alive: 0 };
    case "openbsd":
      if (room < n || n > (capacity - abi.dataOffset) / 4) return null;
      return { control: whole.subarray(0, length), truncated: false, alive: n };
    case "netbsd":
      if (room < n) return null;
      if (capacity >= codec.space(4 * n)) return { control: whole, truncated: false, alive: n };
      return { control: new Uint8Array(0), truncated: capacity > 0, alive: 0 };
    case "dragonfly":
      if (room < n) return null;
      return {
        control: whole.subarray(0, Math.min(capacity, length)),
        truncated: false,
        alive: capacity < abi.dataOffset ? 0 : inside,
      };
    case "xnu":
      if (room < n) return null;
      return {
        control: whole.subarray(0, Math.min(capacity, length)),
        truncated: capacity > 0 && capacity < length,
        alive: capacity < abi.dataOffset ? 0 : inside,
      };
    case "illumos": {
      if (room < n) return null;
      if (capacity >= length) return { control: whole.subarray(0, length), truncated: false, alive: n };
      const control = whole.slice(0, capacity);
      // The last length is cut to what was copied.
      if (capacity >= abi.headerBytes) {
        new DataView(control.buffer).setUint32(abi.lengthOffset, capacity, abi.endian === "little");
      }
      return { control, truncated: true, alive: capacity < abi.dataOffset ? 0 : inside };
    }
    default:
      return abi.truncation satisfies never;
  }
}

test("verdict, exhaustively for each kernel: delivered descriptors are kept or closed, and a truncation is never accepted as whole", () => {
  let cases = 0;
  for (const name of [
    "linux-x86_64-glibc",
    "linux-i386-glibc",
    "linux-s390x-musl",
    "freebsd-amd64",
    "openbsd-amd64",
    "netbsd-aarch64",
    "dragonfly-x86_64",
    "darwin-arm64",
    "illumos-amd64",
    "illumos-sparcv9",
  ] as const) {
    const codec = codecOf(name);
    for (let n = 1; n <= 5; n++) {
      for (let capacity = 0; capacity <= codec.space(4 * n) + 8; capacity++) {
        for (let room = 0; room <= n + 1; room++) {
          const delivered = deliver(codec, n, capacity, room);
          if (delivered === null) continue;
          const { control, truncated, alive } = delivered;
          for (let maxFds = 0; maxFds <= n + 1; maxFds++) {
            const flags = truncated ? codec.abi.MSG_CTRUNC : 0;
            const { keep, close, outcome } = codec.verdict({ control, flags, maxFds });
            const what = `${name}: ${n} sent, capacity ${capacity}, room ${room}, at most ${maxFds}`;
            assert.equal(
              [...keep, ...close],
              Array.from({ length: alive }, (_, i) => 10 + i),
              what,
            );
            // Fewer descriptors than were sent are an error, unless the kernel reports nothing: NetBSD without a control
            // buffer; fewer bytes than a header, which are malformed.
            if (alive < n && control.length >= codec.abi.dataOffset) assert.is(outcome, "ancillary-truncated", what);
            else if (truncated) assert.is(outcome, "ancillary-truncated", what);
            else if (control.length > 0 && alive < n) assert.is(outcome, "malformed", what);
            else assert.is(outcome, "ok", what);
            cases++;
          }
        }
      }
    }
  }
  assert.ok(cases > 10_000, String(cases));
});

test("verdict, every combination on every row: messages, flags, limits, and the rank of errors", () => {
  let cases = 0;
  for (const abi of rows) {
    const codec = codecOf(abi.name);
    const { SOL_SOCKET: level, SCM_RIGHTS, SCM_PIDFD, MSG_TRUNC, MSG_CTRUNC } = abi;
    const raw = (type: number, data: Uint8Array): ControlMessage => ({ level, type, data });
    const pidfd = (fd: number): ControlMessage => raw(SCM_PIDFD ?? -1, codec.rights([fd]).data);
    const whole = new Codec({ ...abi, sendControlLength: "space" }).encode([codec.rights([3, 4])]);
    const overrun = codec.encode([raw(SCM_RIGHTS + 77, new Uint8Array(16))]).subarray(0, abi.dataOffset + 4);
    /** The bytes, their SCM_RIGHTS descriptors, whether they are whole, and a pidfd. */
    const came: readonly (readonly [Uint8Array, readonly number[], "whole" | "bad" | "overrun", number?])[] = [
      [new Uint8Array(0), [], "whole"],
      [codec.encode([codec.rights([])]), [], "whole"],
      [codec.encode([codec.rights([3])]), [3], "whole"],
      [codec.encode([codec.rights([3, 4, 5])]), [3, 4, 5], "whole"],
      [codec.encode([codec.rights([3]), codec.rights([4, 5])]), [3, 4, 5], "whole"],
      [codec.encode([raw(SCM_RIGHTS + 77, codec.rights([9]).data), codec.rights([3])]), [3], "whole"],
      [codec.encode([{ ...codec.rights([9]), level: level + 1 }, codec.rights([3])]), [3], "whole"],
      [codec.encode([codec.rights([3, -1, 4])]), [3, 4], "bad"],
      [codec.encode([raw(SCM_RIGHTS, new Uint8Array(codec.rights([3]).data.length + 1).fill(0))]), [0], "bad"],
      [Buffer.concat([whole, Uint8Array.of(0)]), [3, 4], "bad"],
      [overrun, [], "overrun"],
      ...(SCM_PIDFD === null
        ? []
        : ([
            [codec.encode([codec.rights([3]), pidfd(8)]), [3], "whole", 8],
            [codec.encode([pidfd(8)]), [], "whole", 8],
            [codec.encode([codec.rights([3]), pidfd(-24)]), [3], "whole"],
            [codec.encode([pidfd(8), codec.rights([3]), pidfd(-24)]), [3], "bad", 8],
          ] as const)),
    ];
    for (const [control, fds, state, process] of came) {
      for (const flags of [0, MSG_TRUNC, MSG_CTRUNC, MSG_TRUNC | MSG_CTRUNC]) {
        for (const exactly of [undefined, 0, 1, 2, 3]) {
          for (const allowTruncated of [false, true]) {
            let expected: string = "ok";
            if (exactly !== undefined && exactly !== fds.length) expected = "fd-count";
            if ((flags & MSG_TRUNC) !== 0 && !allowTruncated) expected = "data-truncated";
            if (state !== "whole") expected = "malformed";
            // Truncated data do not look whole either; DragonFly does not report the truncation.
            if ((flags & MSG_CTRUNC) !== 0 || (state === "overrun" && abi.losesCtrunc))
              expected = "ancillary-truncated";
            for (const maxFds of [0, 1, 2, 3, 9]) {
              const { keep, close, pidfd, outcome } = codec.verdict({
                control,
                flags,
                maxFds,
                exactly,
                allowTruncated,
              });
              const kept = expected === "ok" ? maxFds : 0;
              const all = [...fds, ...(expected === "ok" || process === undefined ? [] : [process])];
              const closed = JSON.stringify(close) === JSON.stringify(all.slice(Math.min(kept, fds.length)));
              const good =
                outcome === expected &&
                JSON.stringify(keep) === JSON.stringify(fds.slice(0, kept)) &&
                closed &&
                pidfd === (expected === "ok" ? (process ?? null) : null);
              const what = `${abi.name} ${Buffer.from(control).toString("hex")} flags ${flags} exactly ${exactly} allowed ${allowTruncated} at most ${maxFds}`;
              if (!good)
                assert.unreachable(`${what}: ${outcome}, not ${expected}; keep ${keep}, close ${close}, ${pidfd}`);
              cases++;
            }
          }
        }
      }
    }
  }
  assert.ok(cases > 80_000, String(cases));
});

test.run();
