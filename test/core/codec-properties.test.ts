/** Properties of the codec, for any messages, any bytes and every ABI. */

import { type Abi, abis, Codec, type ControlMessage, inspect } from "unix-ancillary/core";
import { controlBuffers } from "unix-ancillary/testing";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fc } from "../properties.ts";

const test = suite("codec-properties");
const codecs = Object.values(abis).map((abi) => new Codec(abi));

const anyCodec: fc.Arbitrary<Codec> = fc.constantFrom(...codecs);
const anyMessage: fc.Arbitrary<ControlMessage> = fc.record(
  {
    level: fc.integer(),
    type: fc.integer(),
    data: fc.uint8Array({ maxLength: 64 }),
  },
  { noNullPrototype: true },
);
const anyMessages = fc.array(anyMessage, { maxLength: 8 });

/** Damaged messages, sometimes whole ones, with the ABI that they were encoded for; or random bytes. */
const hostile: fc.Arbitrary<readonly [Codec, Uint8Array]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(anyCodec, fc.nat()).map(([codec, seed]) => [codec, generated(codec, seed)] as const),
  },
  { weight: 1, arbitrary: fc.tuple(anyCodec, fc.uint8Array({ maxLength: 200 })) },
);

function generated({ abi }: Codec, seed: number): Uint8Array {
  return controlBuffers(abi, { seed, kind: "hostile" }).next().value.control;
}

/** The messages in a buffer, found by the layout alone. */
function walked(abi: Abi, control: Uint8Array): { at: [number, number][]; end: number; fault: string | null } {
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const little = abi.endian === "little";
  const at: [number, number][] = [];
  let end = 0;
  while (end < control.length) {
    const left = control.length - end;
    if (left < abi.dataOffset) return { at, end, fault: "header-truncated" };
    const length =
      abi.lengthBytes === 4
        ? BigInt(view.getUint32(end + abi.lengthOffset, little))
        : view.getBigUint64(end + abi.lengthOffset, little);
    if (length < abi.dataOffset) return { at, end, fault: "length-too-small" };
    if (length > left) return { at, end, fault: "length-overruns" };
    at.push([end, Number(length)]);
    end += Math.ceil(Number(length) / abi.headerAlignBytes) * abi.headerAlignBytes;
  }
  return { at, end: control.length, fault: null };
}

test("sizes: CMSG_SPACE is CMSG_LEN and padding to the next header, CMSG_ALIGN to the next payload", () => {
  fc.assert(
    fc.property(anyCodec, fc.oneof(fc.nat(300), fc.nat(2 ** 31 - 200)), (codec, n) => {
      const { alignBytes, headerAlignBytes, dataOffset } = codec.abi;
      assert.is(codec.len(n), dataOffset + n);
      const padding = codec.space(n) - codec.len(n);
      assert.ok(padding >= 0 && padding < headerAlignBytes);
      assert.is(codec.space(n) % headerAlignBytes, 0);
      assert.is(codec.align(n) % alignBytes, 0);
      assert.ok(codec.align(n) - n >= 0 && codec.align(n) - n < alignBytes);
    }),
    { numRuns: 2000 },
  );
});

test("decode undoes encode and encode undoes decode, at any byte offset", () => {
  fc.assert(
    fc.property(anyCodec, anyMessages, fc.nat(7), (codec, messages, shift) => {
      const encoded = codec.encode(messages);
      const shifted = new Uint8Array(encoded.length + shift).subarray(shift);
      assert.is(codec.encodeInto(messages, shifted), encoded.length);
      assert.equal(shifted, encoded);
      const decoded = codec.decode(shifted);
      assert.is(decoded.malformed, null);
      assert.equal(
        decoded.messages.map(({ level, type, data }) => ({ level, type, data })),
        messages,
      );
      assert.equal(codec.encode(decoded.messages), encoded);
    }),
    { numRuns: 2000 },
  );
});

test("every byte that is encoded is a field, a payload or zero, whatever the memory held before", () => {
  const dirt = [{ level: -1, type: -1, data: new Uint8Array(1024).fill(0xff) }];
  fc.assert(
    fc.property(anyCodec, anyMessages, (codec, messages) => {
      codec.encode(dirt);
      const encoded = codec.encode(messages);
      const { abi } = codec;
      let at = 0;
      for (const { data } of messages) {
        for (const [offset, bytes] of [
          [abi.lengthOffset, abi.lengthBytes],
          [abi.levelOffset, 4],
          [abi.typeOffset, 4],
          [abi.dataOffset, data.length],
        ] as const) {
          encoded.fill(0, at + offset, at + offset + bytes);
        }
        at += codec.space(data.length);
      }
      assert.ok(encoded.every((byte) => byte === 0));
    }),
    { numRuns: 1000 },
  );
});

test("decode finds on any bytes what a walk by the layout finds, stops at the same place, and clamps only on request", () => {
  fc.assert(
    fc.property(hostile, ([codec, control]) => {
      const { abi } = codec;
      const { messages, malformed } = codec.decode(control);
      const { at, end, fault } = walked(abi, control);
      assert.equal(
        messages.map(({ offset, data }) => [offset, abi.dataOffset + data.length]),
        at,
      );
      assert.equal(malformed, fault === null ? null : { offset: end, reason: fault });
      for (const { offset, data, clamped } of messages) {
        assert.is(clamped, false);
        assert.equal(data, Uint8Array.from(control.subarray(offset + abi.dataOffset).subarray(0, data.length)));
        codec.payloadOf({ level: abi.SOL_SOCKET, type: 1, data });
      }
      // Clamping adds a message that overruns, up to the end of the buffer.
      const clamped = codec.decode(control, { flags: abi.MSG_CTRUNC });
      assert.equal(clamped.messages.slice(0, messages.length), messages);
      assert.is(clamped.messages.length - messages.length, fault === "length-overruns" ? 1 : 0);
      if (fault === "length-overruns") {
        const last = clamped.messages.at(-1)!;
        assert.equal([last.offset, last.clamped, last.data.length], [end, true, control.length - end - abi.dataOffset]);
      }
      assert.is(typeof inspect(abi, control), "string");
    }),
    { numRuns: 6000 },
  );
});

test("a buffer of several messages is decoded like its parts", () => {
  fc.assert(
    fc.property(anyCodec, fc.array(fc.nat(3000), { minLength: 20, maxLength: 120 }), ({ abi }, lengths) => {
      const codec = new Codec({ ...abi, sendControlLength: "space" });
      const parts = lengths.map((length, i) =>
        codec.encode([{ level: i, type: -i, data: new Uint8Array(length).fill(i) }]),
      );
      const { messages, malformed } = codec.decode(Buffer.concat(parts));
      assert.is(malformed, null);
      assert.equal(
        messages.map(({ level, data }) => [level, data.length, data.at(-1) ?? 0]),
        lengths.map((length, i) => [i, length, length === 0 ? 0 : i]),
      );
    }),
    { numRuns: 150 },
  );
});

/**
 * Every descriptor in a buffer, of SCM_RIGHTS and SCM_PIDFD, in the order of arrival; with MSG_CTRUNC in `flags`, also those of
 * a message that overruns.
 */
function delivered(codec: Codec, control: Uint8Array, flags: number): number[] {
  return codec.decode(control, { flags }).messages.flatMap((message) => {
    const payload = codec.payloadOf(message);
    if (payload.kind === "pidfd") return payload.pidfd === null ? [] : [payload.pidfd];
    return payload.kind === "rights" ? payload.fds : [];
  });
}

test("a verdict puts every descriptor into exactly one place, for any bytes, and keeps none unless everything is valid", () => {
  fc.assert(
    fc.property(
      hostile,
      fc.nat(0xff),
      fc.nat(12),
      fc.option(fc.nat(12), { nil: undefined }),
      fc.boolean(),
      ([codec, control], flags, maxFds, exactly, allowTruncated) => {
        const { keep, close, pidfd, outcome } = codec.verdict({ control, flags, maxFds, exactly, allowTruncated });
        const all = delivered(codec, control, flags).filter((fd) => fd >= 0);
        const placed = [...keep, ...close, ...(pidfd === null ? [] : [pidfd])];
        assert.equal(
          placed.sort((a, b) => a - b),
          all.sort((a, b) => a - b),
        );
        assert.ok(keep.length <= maxFds);
        if (outcome === "ok") {
          assert.is(codec.decode(control, { flags }).malformed, null);
          if (exactly !== undefined) assert.is(keep.length + close.length, exactly);
        } else assert.equal([keep, pidfd], [[], null]);
      },
    ),
    { numRuns: 6000 },
  );
});

test("descriptors encoded and decoded keep their order, and the first of them are kept", () => {
  fc.assert(
    fc.property(
      anyCodec,
      fc.array(fc.array(fc.nat(), { maxLength: 40 }), { maxLength: 4 }),
      fc.nat(50),
      (codec, lists, maxFds) => {
        const control = codec.encode(lists.map((list) => codec.rights(list)));
        assert.equal(
          codec.decode(control).messages.map((message) => codec.fdsOf(message)),
          lists,
        );
        const { keep, close, outcome } = codec.verdict({ control, flags: 0, maxFds });
        assert.is(outcome, "ok");
        assert.equal(keep, lists.flat().slice(0, maxFds));
        assert.equal(close, lists.flat().slice(maxFds));
      },
    ),
    { numRuns: 2000 },
  );
});

test.run();
