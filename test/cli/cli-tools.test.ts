/** The commands `decode`, `layout`, `abis` and `doctor`, and the help, each run as a process. */

import { readFileSync, writeFileSync } from "node:fs";
import { type AbiName, abis, Codec, inspect } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { fileWith, leakChecked, run } from "../support.ts";
import { cli, lines, MAIN } from "./cli-support.ts";

const test = leakChecked("cli tools");

const ABI = "linux-x86_64-glibc";
const codec = new Codec(ABI);
const good = codec.encode([codec.rights([7, 9]), codec.credentials({ pid: 1, uid: 2, gid: 3 })]);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function file(bytes: Uint8Array | string): string {
  const path = fileWith("");
  writeFileSync(path, bytes);
  return path;
}

test("decode: bytes and hex, from a file and standard input, print the same as inspect", async () => {
  const shown = inspect(ABI, good);
  const spaced = hex(good).replace(/(..)(..)/g, "0x$1, \\x$2\n");
  for (const args of [[file(good)], ["--hex", file(hex(good))], ["--hex", file(spaced)]]) {
    const { code, stdout, stderr } = await cli(["decode", "--abi", ABI, ...args]);
    assert.is(code, 0, stderr);
    assert.is(stdout, shown);
  }
  const script = `cat ${file(good)} | ${process.execPath} ${MAIN} decode --abi ${ABI}`;
  assert.is((await run("sh", ["-c", script])).stdout, shown);
  assert.is((await run("sh", ["-c", `${script} -`])).stdout, shown);
});

test("decode: malformed control data exit with 3, after the whole messages before", async () => {
  const cut = file(good.subarray(0, good.length - 12));
  const { code, stdout } = await cli(["decode", "--abi", ABI, cut]);
  assert.is(code, 3);
  assert.match(stdout, "rights: 7 9");
  assert.match(stdout, "length-overruns");
  const asJson = await cli(["decode", "--abi", ABI, "--json", cut]);
  assert.is(asJson.code, 3);
  const [result] = lines(asJson.stdout);
  assert.equal(result.malformed, { offset: codec.space(8), reason: "length-overruns" });
  assert.is(result.messages.length, 1);
  assert.equal(result.messages[0].payload, { kind: "rights", fds: [7, 9], leftoverBytes: 0 });
  assert.is(result.messages[0].name, "SCM_RIGHTS");
});

test("decode: times wider than a JSON number are strings", async () => {
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(2n ** 60n);
  const control = codec.encode([{ level: abis[ABI].SOL_SOCKET, type: abis[ABI].SCM_TIMESTAMP, data: time }]);
  const { stdout } = await cli(["decode", "--abi", ABI, "--json", file(control)]);
  assert.is(lines(stdout)[0].messages[0].payload.times[0].seconds, String(2n ** 60n));
});

test("decode: bad hex, a missing file, an unknown ABI", async () => {
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["--hex", file("14 0g")], 2, /expected hex digits, got "g" after 3 digits/],
    [["--hex", file("140")], 2, /two digits per byte, got 3/],
    [["/no/such/file"], 1, /ENOENT/],
    [["--abi", "linux-x86_64-glib", "/dev/null"], 2, /did you mean linux-x86_64-glibc/],
    [["a", "b"], 2, /expected one FILE/],
  ];
  for (const [args, expected, message] of cases) {
    const { code, stderr } = await cli(["decode", ...args]);
    assert.is(code, expected, stderr);
    assert.match(stderr, message);
  }
});

test("layout: the parts of every ABI's example cover it, and are where its codec writes them", async () => {
  const all = lines((await cli(["abis", "--json"])).stdout);
  assert.equal(
    all.map(({ name }) => name),
    Object.keys(abis),
  );
  assert.is(all.filter(({ host }) => host).length, 1);
  // One row of each kind of layout: a process for every row would take too long.
  const kinds = new Map(
    Object.values(abis).map((abi) => [
      [abi.headerBytes, abi.lengthOffset, abi.lengthBytes, abi.dataOffset, abi.alignBytes, abi.endian].join(),
      abi.name,
    ]),
  );
  assert.ok(kinds.size >= 6);
  for (const name of kinds.values()) {
    const { code, stdout, stderr } = await cli(["layout", "--abi", name, "--json"]);
    assert.is(code, 0, stderr);
    const { example } = lines(stdout)[0];
    const control = new Codec(name as AbiName).encode([new Codec(name as AbiName).rights(example.fds)]);
    assert.is(example.hex, hex(control));
    const view = new DataView(control.buffer);
    const little = abis[name as AbiName].endian === "little";
    let at = 0;
    for (const { offset, bytes, value } of example.fields) {
      assert.is(offset, at);
      at += bytes;
      if (value === null) continue;
      const found = bytes === 8 ? Number(view.getBigUint64(offset, little)) : view.getInt32(offset, little);
      assert.is(found, value, `${name} at ${offset}`);
    }
    assert.is(at, example.space);
    assert.is(control.length, example.controllen);
  }
  const { stdout } = await cli(["layout", "--abi", "darwin-arm64"]);
  assert.match(stdout, "     0  | cmsg_len = 16      | cmsg_level = 65535 |\n");
  assert.match(stdout, "     8  | cmsg_type = 1      | descriptor = 3     |\n");
});

test("doctor: everything that the library needs works here, and each line is the result of a check", async () => {
  const { code, stdout, stderr } = await cli(["doctor", "--json"]);
  assert.is(code, 0, stdout + stderr);
  const findings = lines(stdout);
  const status = (name: string) => findings.find(({ check }) => check === name)?.status;
  for (const name of ["addon", "ABI", "stream", "datagram", "readiness", "most descriptors", "file names"])
    assert.is(status(name), "ok", name);
  for (const { check, status } of findings) assert.is.not(status, "failed", check);
  assert.match((await cli(["doctor"])).stdout, /^ok {4}addon/m);
});

test("doctor: with too few descriptors it fails, and exits with 1", async () => {
  const { code, stdout } = await run("sh", ["-c", `ulimit -n 100; exec ${process.execPath} ${MAIN} doctor`]);
  assert.is(code, 1);
  assert.match(stdout, /^FAIL {2}most descriptors/m);
  assert.match(stdout, /^ok {4}stream/m);
});

test("doctor: with the other readiness backend", async () => {
  const { stdout } = await cli(["doctor"], { env: { ...process.env, UNIX_ANCILLARY_READINESS: "thread" } });
  assert.match(stdout, /readiness.*by a thread/);
});

test("help: the overview, and each command with its options and examples", async () => {
  const { code, stdout } = await cli(["--help"]);
  assert.is(code, 0);
  const commands = [...stdout.matchAll(/^ {2}(\w+) {2,}\S/gm)]
    .map(([, name]) => name!)
    .filter((name) => !/^\d/.test(name));
  assert.equal(commands, ["send", "recv", "listen", "decode", "layout", "abis", "doctor"]);
  for (const name of commands) {
    for (const args of [
      [name, "--help"],
      ["help", name],
      [name, "-h"],
    ]) {
      const { code, stdout, stderr } = await cli(args);
      assert.is(code, 0);
      assert.is(stderr, "");
      assert.match(stdout, `usage: unix-ancillary ${name}`);
      assert.match(stdout, "--json");
      assert.match(stdout, "examples:\n");
    }
  }
});

test("version", async () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.is((await cli(["--version"])).stdout, `${version}\n`);
  assert.equal(lines((await cli(["--version", "--json"])).stdout), [{ version }]);
});

test("output whose reader closes early", async () => {
  const { code } = await run("sh", ["-c", `${process.execPath} ${MAIN} abis --json | head -c 10 >/dev/null`]);
  assert.is(code, 0);
});

test.run();
