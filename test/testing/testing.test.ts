/** Control buffers for the tests of users. */

import { abis, Codec, type DecodedControl } from "unix-ancillary/core";
import { controlBuffers, type GeneratedControl } from "unix-ancillary/testing";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const test = suite("testing");

function take(count: number, ...[abi, options]: Parameters<typeof controlBuffers>): GeneratedControl[] {
  const generated: GeneratedControl[] = [];
  for (const one of controlBuffers(abi, options)) {
    generated.push(one);
    if (generated.length === count) break;
  }
  return generated;
}

test("the same seed gives the same buffers, another seed different ones", () => {
  assert.equal(take(50, "linux-x86_64-glibc", { seed: 3 }), take(50, "linux-x86_64-glibc", { seed: 3 }));
  assert.not.equal(take(50, "linux-x86_64-glibc", { seed: 3 }), take(50, "linux-x86_64-glibc", { seed: 4 }));
});

test("canonical buffers decode to the encoded messages, for every ABI", () => {
  for (const abi of Object.values(abis)) {
    const codec = new Codec(abi);
    for (const { control, messages, kind } of take(100, abi, { kind: "canonical" })) {
      assert.is(kind, "canonical");
      const decoded = codec.decode(control);
      assert.is(decoded.malformed, null);
      assert.equal(
        decoded.messages.map(({ level, type, data }) => ({ level, type, data })),
        messages,
      );
    }
  }
});

test("hostile buffers are malformed in every possible way, and some are whole", () => {
  for (const name of [
    "linux-x86_64-glibc",
    "linux-s390x-musl",
    "freebsd-amd64",
    "darwin-arm64",
    "illumos-sparcv9",
  ] as const) {
    const codec = new Codec(name);
    const seen = new Set<NonNullable<DecodedControl["malformed"]>["reason"] | "whole">();
    for (const { control } of take(2000, name, { kind: "hostile" }))
      seen.add(codec.decode(control).malformed?.reason ?? "whole");
    assert.equal([...seen].sort(), ["header-truncated", "length-overruns", "length-too-small", "whole"], name);
  }
});

test("misuse", () => {
  assert.throws(() => take(1, "linux-x86_64-glibc", { sed: 1 } as never), "seed");
  assert.throws(() => take(1, "linux-x86_64-glibc", { kind: "both" as never }), "canonical");
  assert.throws(() => take(1, "linux" as never), "linux-x86_64-glibc");
});

test.run();
