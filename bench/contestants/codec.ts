/**
 * The codec. Arguments: `public` (the public Codec, which returns copies) or `in-place` (the core on its own memory, as the
 * library uses it); `encode`, `decode` or `verdict`; descriptors per message; messages.
 */

import { Codec } from "unix-ancillary/core";
// Not public: the functions that the library calls.
import { Core, REGISTER } from "../../src/core/wasm.ts";
import { check, serve } from "./serve.ts";

const [way, what] = process.argv.slice(2);
const [fds, messages] = process.argv.slice(4).map(Number) as [number, number];
const codec = new Codec("linux-x86_64-glibc");
const numbers = Array.from({ length: fds }, (_, i) => 3 + i);

function make(): Uint8Array {
  return codec.encode(Array.from({ length: messages }, () => codec.rights(numbers)));
}
const control = make();

function encode(rounds: number): void {
  for (let i = 0; i < rounds; i++) check(make().length === control.length, "encoded");
}

function decode(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    let count = 0;
    for (const message of codec.decode(control).messages) count += codec.fdsOf(message).length;
    check(count === fds * messages, "decoded");
  }
}

function verdict(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    const { keep } = codec.verdict({ control, flags: 0, maxFds: 16384 });
    check(keep.length === fds * messages, "verdict");
  }
}

const core = new Core(codec.abi);
core.control.set(control);

function encodeInPlace(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    core.fds.set(numbers);
    check(core.encodeRights(fds) > 0, "encoded");
  }
}

function verdictInPlace(rounds: number): void {
  // The results are added up and compared once, as in the C program.
  let kept = 0;
  const { length } = control;
  for (let i = 0; i < rounds; i++) {
    core.verdict(length, 0, 16384, -1, false);
    kept += core.registers[REGISTER.KEEP]!;
  }
  check(kept === rounds * fds * messages, "verdict");
}

const run =
  way === "in-place" ? { encode: encodeInPlace, verdict: verdictInPlace }[what!] : { encode, decode, verdict }[what!];
check(run !== undefined, `${way} ${what}`);
await serve(run);
