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

/** The same control buffer, as tools print it. */
const bytesOf = (control: Uint8Array, radix: number, width: number, group = 1) =>
  Array.from({ length: Math.ceil(control.length / group) }, (_, i) =>
    [...control.subarray(group * i, group * (i + 1))]
      .reverse()
      .reduce((sum, byte) => sum * 256 + byte, 0)
      .toString(radix)
      .padStart(width, "0"),
  );
const rows = (words: readonly string[], perRow: number, row: (words: readonly string[], i: number) => string) =>
  Array.from({ length: Math.ceil(words.length / perRow) }, (_, i) =>
    row(words.slice(perRow * i, perRow * (i + 1)), i),
  ).join("\n");
const address = (i: number, per: number, digits: number, radix = 16) => (i * per).toString(radix).padStart(digits, "0");
const octets = bytesOf(good, 16, 2);

const TEXTS: Readonly<Record<string, string>> = {
  xxd: rows(
    octets,
    16,
    (row, i) => `${address(i, 16, 8)}: ${row.join("").replace(/(.{4})(?=.)/g, "$1 ")}  ..  ab cd..`,
  ),
  "xxd -g1": rows(octets, 16, (row, i) => `${address(i, 16, 8)}: ${row.join(" ")}  ................`),
  "xxd -p": hex(good),
  "xxd -i": `unsigned char control[] = {\n  ${octets.map((one) => `0x${one}`).join(", ")}\n};\nunsigned int control_len = ${good.length};`,
  "hexdump -C": `${rows(octets, 16, (row, i) => `${address(i, 16, 8)}  ${row.slice(0, 8).join(" ")}  ${row.slice(8).join(" ")}  |..ab 12 .|`)}\n${good.length.toString(16).padStart(8, "0")}`,
  hexdump: `${rows(bytesOf(good, 16, 4, 2), 8, (row, i) => `${address(i, 16, 7)} ${row.join(" ")}`)}\n${good.length.toString(16).padStart(7, "0")}`,
  od: `${rows(bytesOf(good, 8, 6, 2), 8, (row, i) => `${address(i, 16, 7, 8)} ${row.join(" ")}`)}\n${good.length.toString(8).padStart(7, "0")}`,
  "od -tx1": rows(octets, 16, (row, i) => `${address(i, 16, 7, 8)} ${row.join(" ")}`),
  "gdb x/xb": rows(
    octets,
    8,
    (row, i) => `0x7fffffffe${address(i, 8, 3)} <control+${8 * i}>:\t${row.map((one) => `0x${one}`).join("\t")}`,
  ),
  "gdb x/xw": rows(
    bytesOf(good, 16, 8, 4),
    4,
    (row, i) => `0x7fffffffe${address(i, 16, 3)}:\t${row.map((one) => `0x${one}`).join("\t")}`,
  ),
  "gdb print/x": `$1 = {${octets
    .map((one) => `0x${Number.parseInt(one, 16).toString(16)}`)
    .join(", ")
    .replaceAll(", 0x0, 0x0, 0x0, 0x0, ", ", 0x0 <repeats 4 times>, ")}}`,
  "gdb print": `$2 = "${[...good]
    .map((byte) => `\\${byte.toString(8).padStart(3, "0")}`)
    .join("")
    .replace(/(\\000){4}/g, `", '\\000' <repeats 4 times>, "`)}"`,
  "C, decimal, with comments": `char control[${good.length}] = { /* header 1 */ ${[...good].join(", // x\n")} };`,
  Python: `b'${[...good].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}'`,
  "JavaScript, Buffer": `<Buffer ${octets.join(" ")}>`,
  JSON: JSON.stringify(Buffer.from(good)),
  "digits with colons": octets.join(":"),
  "digits with commas": octets.map((one) => `0x${one}`).join(","),
  lldb: rows(octets, 16, (row, i) => `0x16fdff${address(i, 16, 3)}: ${row.join(" ")}  ........`),
};

test("decode: the words of xxd -e, in the order that has whole messages, and it says so", async () => {
  for (const [size, words] of [
    [4, bytesOf(good, 16, 8, 4)],
    [8, Array.from({ length: good.length / 8 }, (_, i) => hex(good.slice(8 * i, 8 * i + 8).reverse()))],
  ] as const) {
    const text = rows(words, 16 / size, (row, i) => `${address(i, 16, 8)}: ${row.join(" ")}  ........ ..  ..`);
    const { code, stdout, stderr } = await cli(["decode", "--abi", ABI, file(`${text}\n`)]);
    assert.is(code, 0, stderr);
    assert.is(stdout, inspect(ABI, good));
    assert.match(stderr, `xxd -e prints it: little-endian words of ${size} bytes`);
  }
});

for (const [what, text] of Object.entries(TEXTS)) {
  test(`decode: ${what}, recognised`, async () => {
    for (const args of [[], ["--hex"]]) {
      const { code, stdout, stderr } = await cli(["decode", "--abi", ABI, ...args, file(`${text}\n`)]);
      assert.is(code, 0, stderr);
      assert.is(stdout, inspect(ABI, good));
    }
  });
}

test("decode: lines that hexdump and xxd -a leave out are repeated", async () => {
  const zeros = codec.encode([{ level: 9, type: 9, data: new Uint8Array(80) }]);
  const text = `00000000  ${hex(zeros.subarray(0, 16)).replace(/../g, "$& ")} |....|\n00000010  ${"00 ".repeat(16)} |....|\n*\n00000060`;
  const { stdout } = await cli(["decode", "--abi", ABI, file(text)]);
  assert.is(stdout, inspect(ABI, zeros));
});

test("decode: lines of strace, with their flags and with -yy", async () => {
  const text = `12:00:01.5 recvmsg(4<UNIX-STREAM:[1->2]>, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="x", iov_len=9}], msg_iovlen=1, msg_control=[{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[7<UNIX-STREAM:[1->2]>, 9</tmp/a b>]}, {cmsg_len=28, cmsg_level=SOL_SOCKET, cmsg_type=SCM_CREDENTIALS, cmsg_data={pid=1, uid=2, gid=3}}], msg_controllen=56, msg_flags=MSG_CTRUNC|MSG_CMSG_CLOEXEC}, MSG_CMSG_CLOEXEC) = 1
recvmsg(4, {msg_control=[{cmsg_len=32, cmsg_level=SOL_SOCKET, cmsg_type=SO_TIMESTAMP_OLD, cmsg_data={tv_sec=5, tv_usec=6}}], msg_controllen=32, msg_flags=0}, 0) = 1
`;
  const { code, stdout, stderr } = await cli(["decode", "--abi", ABI, file(text)]);
  assert.is(code, 0, stderr);
  assert.ok(stdout.startsWith(`${inspect(ABI, good)}msg_flags MSG_CTRUNC|MSG_CMSG_CLOEXEC\n`), stdout);
  assert.match(stdout, "the kernel had more control data");
  assert.match(stdout, "time: 5 s 6 us");
  const asJson = lines((await cli(["decode", "--abi", ABI, "--json", file(text)])).stdout);
  assert.equal(
    asJson.map(({ flags }) => flags),
    [["MSG_CTRUNC", "MSG_CMSG_CLOEXEC"], []],
  );
  const cut = await cli(["decode", "--abi", ABI, file(text.replace("cmsg_data=[7", "cmsg_data=[..., 7"))]);
  assert.is(cut.code, 2);
  assert.match(cut.stderr, "run strace with -v");
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
    [["--hex", file("140")], 2, /two hex digits for each byte, got 3/],
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

test("decode: text that has no bytes is read as it is, and the reader is told why it is not hex", async () => {
  for (const [text, why] of [
    ["1400000000000000010000000100000007000000 0", /as hex: expected two hex digits for each byte, got 41 digits/],
    ["14000000 O0000000", /as hex: expected hex digits, got "O" after 8 digits/],
  ] as const) {
    const { code, stdout, stderr } = await cli(["decode", "--abi", ABI, file(text)]);
    assert.is(code, 3);
    assert.match(stdout, "length-overruns");
    assert.match(stderr, "the input is text, and no form of bytes that decode knows");
    assert.match(stderr, why);
  }
  const quiet = await cli(["decode", "-q", "--abi", ABI, file(good)]);
  assert.equal([quiet.code, quiet.stdout, quiet.stderr], [0, "", ""]);
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

test("decode: long lines, and lengths that are only said", async () => {
  const bytes = 1 << 18;
  const decoded = async (text: string) => {
    const { code, stdout, stderr } = await cli(["decode", "--json", fileWith(text)]);
    assert.ok(code === 0 || code === 3, stderr);
    return lines(stdout)[0];
  };
  for (const text of [`00000000: ${"ab".repeat(bytes)}`, `"${"a".repeat(bytes)}"`])
    assert.is((await decoded(text)).bytes, bytes);
  const message = '{cmsg_len=20000000, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data="a"}';
  assert.equal((await decoded(`msg_control=[${message}], msg_controllen=24`)).messages, []);
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

test("doctor: a system without a shell lacks that alone", async () => {
  const preload = fileWith(`const child = require("node:child_process");
    const { spawnSync } = child;
    child.spawnSync = (file, ...rest) => spawnSync(file === "/bin/sh" ? "/no/sh" : file, ...rest);
    require("node:module").syncBuiltinESMExports();`);
  const env = { ...process.env, NODE_OPTIONS: `--require=${preload}` };
  const { code, stdout, stderr } = await cli(["doctor"], { env });
  assert.is(code, 0, stdout + stderr);
  assert.match(stdout, /^no {4}RLIMIT_NOFILE +this system has no \/bin\/sh$/m);
  assert.match(stdout, /^no {4}\/bin\/sh, for --exec +this system has no \/bin\/sh$/m);
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
  assert.equal(commands, ["send", "recv", "listen", "decode", "layout", "abis", "doctor", "completion", "man"]);
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
