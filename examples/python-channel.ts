/**
 * A child in another language that speaks FdChannel: `examples/channel.py`, Python with its standard library alone.
 *
 * `node build/examples/python-channel.js`. The parent sends frames with files of its own, some with more descriptors than one message
 * of the system can carry; the child answers each with as many files. docs/wire-format.md describes the bytes.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn as spawnProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FdChannel, OwnedFd, spawn, UnixSeqpacket } from "unix-ancillary";

if (spawnSync("python3", ["-c", "import socket; socket.CMSG_SPACE"]).status !== 0) {
  console.log("SKIPPED: python-channel: needs python3 in the PATH");
  process.exit(77);
}

const folder = mkdtempSync(join(tmpdir(), "python-channel-"));
const file = join(folder, "file");
writeFileSync(file, "hello");
// One file, opened once for all of them: what is passed is a descriptor each time.

using hello = OwnedFd.fromRaw(openSync(file, "r"));

const script = fileURLToPath(new URL("../../examples/channel.py", import.meta.url));

/** Exchanges frames with a child that answers, and ends it. */
async function exchange(child: ChildProcess, channel: FdChannel): Promise<number> {
  const ended = once(child, "exit");
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text) => {
    said += text;
  });
  let passed = 0;
  for (const [payload, count] of [
    ["", 0],
    ["one file", 1],
    ["as many as one message can carry", 253],
    // Three messages on Linux: 253, 253 and 94 descriptors with the first three bytes of the frame.
    ["more than one message can carry", 600],
    ["x".repeat(1_000_000), 2],
  ] as const) {
    const id = await channel.send(payload, new Array(count).fill(hello));
    using answer = await channel.recv();
    assert.ok(answer !== null, "the child has ended");
    assert.equal(answer.messageId, id);
    assert.equal(answer.payload.toString(), `${5 * count} bytes; ${[...payload].reverse().join("")}`);
    assert.equal(answer.fds.length, count);
    for (const fd of answer.fds) {
      const text = Buffer.alloc(6);
      assert.equal(readSync(fd.fd, text, 0, 6, 0), 5);
      assert.equal(text.toString("latin1", 0, 5), "HELLO");
    }
    passed += count;
  }
  channel.close();
  assert.deepEqual(await ended, [0, null]);
  assert.match(said, /^python: frame 4, 31 bytes, 600 descriptors$/m);
  return passed;
}

const stdio = ["ignore", "inherit", "pipe"] as const;
const { child, channel } = spawn("python3", [script], { stdio: [...stdio], maxFds: 600 });
let passed = await exchange(child, channel);

// Over a seqpacket socket (not on macOS), whose records cut the frames.
if (process.platform === "linux") {
  const [ours, theirs] = UnixSeqpacket.pair();
  const other = spawnProcess("python3", [script, "3"], { stdio: [...stdio, theirs.fd] });
  theirs.close();
  passed += await exchange(other, FdChannel.over(ours, { maxFds: 600 }));
}
rmSync(folder, { recursive: true });
console.log(
  `held: ${readFileSync(script, "utf8").split("\n").length} lines of Python exchanged ${passed} descriptors with FdChannel`,
);
