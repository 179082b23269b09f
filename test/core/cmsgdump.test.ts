/** The WASI command prints the same as inspect, for any bytes and every ABI, under two hosts. */

import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { WASI as NodeWasi } from "node:wasi";
import { File, OpenFile, WASI } from "@bjorn3/browser_wasi_shim";
import { abis, Codec, inspect } from "unix-ancillary/core";
import { controlBuffers } from "unix-ancillary/testing";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../support.ts";

const test = suite("cmsgdump");
const folder = temporaryFolder();
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Module: { new (bytes: Uint8Array): object; imports(module: object): { module: string }[] };
    Instance: new (module: object, imports: object) => { exports: { memory: never; _start(): void } };
  };
};
// With them node:wasi of Node 20.20 crashed in 6 of 25 runs of this file, without them in none of 40 (2026-11).
setFlagsFromString("--no-turbo-fast-api-calls");
const module = new WebAssembly.Module(readFileSync(new URL("../../../dist/cmsgdump.wasm", import.meta.url)));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function underShim(args: readonly string[], input: Uint8Array): Outcome {
  const [stdout, stderr] = [new File([]), new File([])];
  const wasi = new WASI(
    ["cmsgdump", ...args],
    [],
    [new OpenFile(new File(input)), new OpenFile(stdout), new OpenFile(stderr)],
  );
  const code = wasi.start(new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport }));
  const text = ({ data }: File) => new TextDecoder().decode(data);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

function underNode(args: readonly string[], input: Uint8Array): Outcome {
  const paths = ["in", "out", "err"].map((name) => join(folder, name)) as [string, string, string];
  writeFileSync(paths[0], input);
  const fds = [openSync(paths[0], "r"), openSync(paths[1], "w"), openSync(paths[2], "w")] as const;
  const wasi = new NodeWasi({
    version: "preview1",
    args: ["cmsgdump", ...args],
    stdin: fds[0],
    stdout: fds[1],
    stderr: fds[2],
    returnOnExit: true,
  });
  const code = wasi.start(new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport }));
  for (const fd of fds) closeSync(fd);
  return { code, stdout: readFileSync(paths[1], "utf8"), stderr: readFileSync(paths[2], "utf8") };
}

test("it imports only WASI, and is one small file", () => {
  assert.ok(WebAssembly.Module.imports(module).every(({ module }) => module === "wasi_snapshot_preview1"));
  assert.ok(readFileSync("dist/cmsgdump.wasm").length < 32 * 1024);
});

for (const [name, run, count] of [
  ["browser_wasi_shim", underShim, 60],
  ["node:wasi", underNode, 5],
] as const) {
  test(`under ${name}: prints the same as inspect, for every ABI; the exit status reports malformed data`, () => {
    let compared = 0;
    for (const abi of Object.values(abis)) {
      const codec = new Codec(abi);
      let left = count;
      for (const { control } of controlBuffers(abi, { seed: 5 })) {
        const { code, stdout, stderr } = run([abi.name], control);
        assert.is(stdout, inspect(abi, control), abi.name);
        assert.is(code, codec.decode(control).malformed === null ? 0 : 1);
        assert.is(stderr, "");
        compared++;
        if (--left === 0) break;
      }
    }
    assert.is(compared, count * Object.keys(abis).length);
  });

  test(`under ${name}: hex digits with any blanks`, () => {
    const hex = Buffer.from(" 1400000000000000 01000000\n01 00 00 00\t07000000 0000000 0\n");
    const { code, stdout } = run(["--hex", "linux-x86_64-glibc"], hex);
    assert.is(code, 0);
    const codec = new Codec("linux-x86_64-glibc");
    assert.is(stdout, inspect("linux-x86_64-glibc", codec.encode([codec.rights([7])])));
  });

  test(`under ${name}: --help is on standard output, with the options, every ABI and the exit status`, () => {
    for (const args of [["--help"], ["-h"], ["--hex", "--help"], ["linux", "--help"]]) {
      const { code, stdout, stderr } = run(args, Buffer.from(""));
      assert.is(code, 0);
      assert.is(stderr, "");
      assert.match(stdout, "usage: cmsgdump [--hex] ABI");
      assert.match(stdout, "exit status: 0 the buffer is whole, 1 it is malformed, 2 invalid arguments or input");
      for (const abi of Object.keys(abis)) assert.ok(stdout.includes(`  ${abi}\n`), abi);
    }
  });

  test(`under ${name}: misuse exits with 2, and says what was expected`, () => {
    for (const [args, input, text] of [
      [[], "", "expected an ABI"],
      [["linux"], "", "unknown ABI"],
      [["darwin-arm64", "darwin-x86_64"], "", "expected one ABI"],
      [["--hex", "darwin-arm64"], "xy", "not hex"],
      [["--hex", "darwin-arm64"], "123", "not hex"],
      [["darwin-arm64"], "x".repeat(65_537), "65536"],
    ] as const) {
      const { code, stdout, stderr } = run(args, Buffer.from(input));
      assert.is(code, 2);
      assert.is(stdout, "");
      assert.match(stderr, text);
      assert.match(stderr, "netbsd-aarch64");
    }
  });
}

test("the largest input: 64 KiB, of one message and of many", () => {
  const codec = new Codec("freebsd-i386");
  for (const messages of [
    [{ level: 1, type: 1, data: new Uint8Array(65_524) }],
    Array.from({ length: 5461 }, (_, i) => ({ level: 0xffff, type: i & 7, data: new Uint8Array(0) })),
  ]) {
    const control = codec.encode(messages);
    assert.is(underShim(["freebsd-i386"], control).stdout, inspect("freebsd-i386", control));
  }
});

test.run();
