/** The parts of control buffers, which `layout` and the site draw. */

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { partsOf } from "../../src/cli/parts.ts";
import { type Abi, abis, Codec } from "../../src/core/index.ts";
import { controlBuffers } from "../../src/testing/index.ts";

const test = suite("parts of control buffers");

const rows: readonly Abi[] = Object.values(abis);
const named = (abi: Abi, control: Uint8Array, flags = 0): string =>
  partsOf(abi, control, new Codec(abi).decode(control, { flags }))
    .map(({ name, bytes, value }) => `${name} ${bytes}${value === null ? "" : `=${value}`}`)
    .join(", ");

test("each byte is in one part, of canonical and hostile buffers of every ABI", () => {
  for (const abi of rows) {
    const codec = new Codec(abi);
    const buffers = controlBuffers(abi, { seed: 3 });
    for (let round = 0; round < 100; round++) {
      const { control } = buffers.next().value;
      for (const flags of [0, abi.MSG_CTRUNC]) {
        const decoded = codec.decode(control, { flags });
        let at = 0;
        for (const part of partsOf(abi, control, decoded)) {
          assert.is(part.offset, at, `${abi.name}: ${part.name}`);
          assert.ok(part.bytes > 0, `${abi.name}: ${part.name}`);
          const { offset } = decoded.messages[part.message] ?? decoded.malformed!;
          assert.ok(part.offset >= offset, `${abi.name}: ${part.name}`);
          at += part.bytes;
        }
        assert.is(at, control.length, abi.name);
      }
    }
  }
});

test("the numbers of the parts are those of the payloads, in every byte order", () => {
  for (const abi of rows) {
    const codec = new Codec(abi);
    const messages = [codec.rights([3, -1, 70_000])];
    const [attached] = abi.credentials;
    if (attached?.sendable) messages.push(codec.credentials({ pid: 77, uid: 4_000_000_000, gid: 5 }));
    const control = codec.encode(messages);
    const parts = partsOf(abi, control, codec.decode(control));
    const values = (name: string) => parts.filter((part) => part.name === name).map(({ value }) => value);
    assert.equal(values("descriptor"), [3, -1, 70_000], abi.name);
    assert.equal(
      values("cmsg_len"),
      messages.map(({ data }) => codec.len(data.length)),
      abi.name,
    );
    assert.is(values("cmsg_level")[0], abi.SOL_SOCKET);
    assert.is(values("cmsg_type")[0], abi.SCM_RIGHTS);
    if (messages.length === 1) continue;
    if (attached!.pid !== null) assert.equal(values("pid"), [77], abi.name);
    assert.equal(values("uid"), [4_000_000_000], abi.name);
    assert.equal(values("gid"), [5], abi.name);
  }
});

test("times, labels, unknown payloads, leftovers and malformed buffers", () => {
  const abi = abis["linux-x86_64-glibc"];
  const codec = new Codec(abi);
  const header = (bytes: number, type: number, level = 1) =>
    `cmsg_len 8=${16 + bytes}, cmsg_level 4=${level}, cmsg_type 4=${type}`;
  const of = (level: number, type: number, ...data: number[]) =>
    codec.encode([{ level, type, data: Uint8Array.from(data) }]);
  const time = [5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
  assert.is(named(abi, of(1, 29, ...time)), `${header(16, 29)}, seconds 8=5, microseconds 8=9`);
  assert.is(named(abi, of(1, 3, 97, 98)), `${header(2, 3)}, bytes 2, padding 6`);
  assert.is(named(abi, of(41, 50, 1, 2, 3, 4)), `${header(4, 50, 41)}, bytes 4, padding 4`);
  assert.is(named(abi, of(1, 1, 7, 0, 0, 0, 9)), `${header(5, 1)}, descriptor 4=7, bytes 1, padding 3`);
  const overruns = Uint8Array.from(of(1, 1, 7, 0, 0, 0));
  overruns[0] = 99;
  assert.is(named(abi, overruns), "cmsg_len 8=99, cmsg_level 4=1, cmsg_type 4=1, not read 8");
  assert.is(
    named(abi, overruns, abi.MSG_CTRUNC),
    "cmsg_len 8=99, cmsg_level 4=1, cmsg_type 4=1, descriptor 4=7, descriptor 4=0",
  );
  assert.is(named(abi, overruns.subarray(0, 3)), "not read 3");
  // A length that no number is exact for.
  overruns.fill(0xff, 0, 8);
  assert.match(named(abi, overruns), /^cmsg_len 8=18446744073709551615,/);
});

test.run();
