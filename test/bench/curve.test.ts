/** Whether the benchmark calls a cost flat, linear or steeper: a wrong word would hide what it was written to show. */

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { chart } from "../../bench/chart.ts";
import { type Curve, grows, type Point, shape, slope } from "../../bench/curve.ts";

const test = suite("curve");

const SIZES = Array.from({ length: 9 }, (_, i) => 2 ** (10 + 2 * i));

function points(cost: (size: number) => number, sizes: readonly number[] = SIZES): Point[] {
  return sizes.map((size) => {
    const median = cost(size);
    return { size, cost: { median, low: median * 0.9, high: median * 1.1 } };
  });
}

test("a copy of the queue at each event is linear, although a constant cost hides it at most sizes", () => {
  // 10 us, and 10 GB/s: up to 256 KiB the constant is larger.
  const found = points((size) => 10_000 + size / 10);
  assert.is(shape(found), "linear");
  assert.is(grows({ name: "", points: found, expected: "flat" }), false);
  assert.is(grows({ name: "", points: found, expected: "linear" }), true);
});

test("a noisy machine does not make a flat cost linear", () => {
  for (let seed = 1; seed <= 50; seed++) {
    let state = seed;
    const noise = () => {
      state = (state * 48271) % 0x7fffffff;
      return 0.75 + state / 0x7fffffff / 2;
    };
    assert.is(shape(points(() => 10_000 * noise())), "flat", `seed ${seed}`);
  }
});

test("a cost that doubles when a cache is full is flat, one with the square of the size is steeper than linear", () => {
  assert.is(shape(points((size) => (size > 2 ** 20 ? 20_000 : 10_000))), "flat");
  assert.is(shape(points((size) => size ** 2)), "steeper");
  assert.is(grows({ name: "", points: points((size) => size ** 2), expected: "linear" }), false);
  assert.ok(Math.abs(slope(points((size) => size ** 1.5)) - 1.5) < 1e-9);
});

test("a size of 0, which has no logarithm, and a quick run's two sizes do not spoil the fit", () => {
  assert.is(shape(points((size) => 1000 + 900 * size, [0, 1, 4, 16, 64, 253])), "linear");
  assert.is(shape(points((size) => 10_000 + size / 10, [2 ** 10, 2 ** 20])), "linear");
  assert.throws(() => slope(points(() => 1, [0, 10])), /at least 2 points/);
});

test("the chart says in words what grows, and is an XML document whatever the titles contain", () => {
  const curve: Curve = {
    title: 'Bytes < "queued" & read',
    sizes: "bytes",
    costs: "one event",
    series: [
      { name: "ours", points: points((size) => size), expected: "flat" },
      { name: "theirs", points: points(() => 1000), expected: null },
    ],
  };
  const svg = chart([{ title: "cost", lines: [], curves: [curve] }], "footer");
  assert.match(svg, /ours: linear \(slope 1\.00\), expected flat/);
  assert.match(svg, /theirs: flat \(slope 0\.00\)/);
  assert.match(svg, /64 MiB/);
  assert.not.match(svg, /NaN|Infinity|undefined/);
  assert.not.match(svg.replace(/&#\d+;/g, ""), /&|Bytes </);
});

test.run();
