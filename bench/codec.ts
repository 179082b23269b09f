/** The core beside the C macros compiled with -O2, and its time by the length of the control data. `npm run bench:codec`. */

import { Codec } from "unix-ancillary/core";
import type * as wasm from "../dist/core/wasm.js";
import { compile, Rival } from "./rival.ts";
import { show, spread } from "./statistics.ts";

// The core itself, without the copies that the public Codec makes: as the library uses it.
const { Core }: typeof wasm = await import(new URL("../../dist/core/wasm.js", import.meta.url).href);
const codec = new Codec("linux-x86_64-glibc");
const core = new Core(codec.abi);
const TURNS = 15;

/** Nanoseconds a verdict: the walk, the descriptors into the table, the decision. */
function verdicts(length: number, rounds: number): number {
  const start = process.hrtime.bigint();
  for (let i = 0; i < rounds; i++) core.verdict(length, 0, 16384, -1, false);
  return Number(process.hrtime.bigint() - start) / rounds;
}

const c = new Rival(compile("codec"));
console.log(
  "decode and verdict of one SCM_RIGHTS message; ns, median, and the ratio to the C macros' walk (quartiles)",
);
for (const fds of [1, 16, 64, 253, 4096]) {
  const control = new Codec({ ...codec.abi, maxFdsPerMessage: 16384 });
  const bytes = control.encode([control.rights(new Array(fds).fill(0))]);
  core.control.set(bytes);
  const rounds = Math.ceil(2_000_000 / (fds + 20));
  verdicts(bytes.length, rounds);
  await c.measure(rounds, fds);
  const pairs: [number, number][] = [];
  for (let turn = 0; turn < TURNS; turn++) pairs.push([verdicts(bytes.length, rounds), await c.measure(rounds, fds)]);
  const [ours, theirs] = [spread(pairs.map(([a]) => a)), spread(pairs.map(([, b]) => b))];
  const ratio = show(spread(pairs.map(([a, b]) => a / b)));
  console.log(
    `  ${String(fds).padStart(5)} descriptors  ${ours.median.toFixed(1).padStart(8)}  C ${theirs.median.toFixed(1).padStart(8)}  ${ratio}`,
  );
}
c.close();

console.log("time by length, messages of one descriptor each");
for (const kib of [1, 4, 16, 64]) {
  const count = (kib * 1024) / 24;
  const bytes = codec.encode(Array.from({ length: Math.floor(count) }, () => codec.rights([0])));
  core.control.set(bytes);
  const rounds = Math.ceil(400_000 / count);
  verdicts(bytes.length, rounds);
  const ns = spread(Array.from({ length: TURNS }, () => verdicts(bytes.length, rounds))).median;
  console.log(
    `  ${String(kib).padStart(5)} KiB  ${(ns / 1000).toFixed(1).padStart(8)} us  ${(ns / bytes.length).toFixed(3)} ns a byte`,
  );
}
