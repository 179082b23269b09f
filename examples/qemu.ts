/**
 * QEMU: descriptors for a running virtual machine, over its monitor (QMP).
 *
 * `node build/examples/qemu.js`. QEMU gets a disk that has no name, in memory, and a listening socket that it did not open: `add-fd` and
 * `getfd` take a descriptor that comes with the command's own bytes. Then QEMU shows the size of the disk, and accepts a connection.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type AsFd, memfd, UnixStream } from "unix-ancillary";

const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-qemu-"));
const path = join(folder, "monitor");
const monitor = `unix:${path},server=on,wait=off`;
// `-S`: its processor does not start. A machine without devices is enough.
const qemu = spawn(
  "qemu-system-x86_64",
  ["-machine", "none", "-S", "-display", "none", "-nodefaults", "-qmp", monitor],
  { stdio: ["ignore", "inherit", "inherit"] },
);
process.on("exit", () => {
  qemu.kill();
  rmSync(folder, { recursive: true });
});
qemu.on("error", (error) => {
  console.log(`SKIPPED: needs Debian's qemu-system-x86: ${error.message}`);
  process.exit(77);
});

async function connected(): Promise<UnixStream> {
  for (;;) {
    try {
      return await UnixStream.connect(path);
    } catch (error) {
      // It does not listen yet.
      if (qemu.exitCode !== null) throw error;
      await sleep(10);
    }
  }
}

const stream = await connected();
const reader = stream.reader();
const message = async () => JSON.parse((await reader.readUntil("\r\n", 1 << 20)).toString());

/** One command, with descriptors, and its result. */
async function execute(name: string, args: object = {}, fds: readonly AsFd[] = []) {
  await stream.sendFdsAll(`${JSON.stringify({ execute: name, arguments: args })}\n`, fds);
  for (;;) {
    const answer = await message();
    if (answer.error !== undefined) throw new Error(`${name}: ${answer.error.desc}`);
    // Anything else is an event.
    if (answer.return !== undefined) return answer.return;
  }
}

const greeting = await message();
await execute("qmp_capabilities");

const disk = memfd("disk", { size: 3 << 20 });
const set = await execute("add-fd", { "fdset-id": 1 }, [disk]);
await execute("blockdev-add", { driver: "file", "node-name": "disk", filename: "/dev/fdset/1" });
const [node] = await execute("query-named-block-nodes");
assert.equal(node.image["virtual-size"], 3 << 20);
// What QEMU has is the same memory: the sender's is not needed any more.
disk.close();

const server = createServer();
await once(server.listen(0, "127.0.0.1"), "listening");
const { port } = server.address() as AddressInfo;
await execute("getfd", { fdname: "listener" }, [server]);
const addr = { type: "fd", data: { str: "listener" } };
await execute("chardev-add", { id: "serial", backend: { type: "socket", data: { addr, server: true, wait: false } } });
// Both have the socket. Node does not accept from it any more.
server.close();
const client = connect(port, "127.0.0.1");
const accepted = async () =>
  (await execute("query-chardev")).find(({ label }: { label: string }) => label === "serial");
while (/^disconnected/.test((await accepted()).filename)) await sleep(10);
client.destroy();

await assert.rejects(execute("getfd", { fdname: "none" }), /No file descriptor supplied/);
await execute("quit");
reader.close();
const { major, minor } = greeting.QMP.version.qemu;
console.log(
  `held: QEMU ${major}.${minor} has a disk of ${node.image["virtual-size"]} bytes from descriptor ${set.fd}, and accepts from a socket that it was given`,
);
