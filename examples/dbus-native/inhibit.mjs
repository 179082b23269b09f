/**
 * Descriptors for dbus-native, which has none of its own: it asks a stream for `writeWithFds`, and listens to `"fds"`.
 *
 * `npm install dbus-native unix-ancillary`, then `dbus-run-session -- node inhibit.mjs`. The program holds locks of a service as it would hold
 * `systemd-inhibit`'s, and gives the service files that it has opened.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import dbus from "dbus-native";
import { OwnedFd, UnixStream } from "unix-ancillary";
import { FdDuplex } from "unix-ancillary/stream";

/** The stream that dbus-native asks for. The descriptors of a message are then in its `fds`, as OwnedFds of the program. */
class DBusStream extends FdDuplex {
  writeWithFds(bytes, fds) {
    return this.write(bytes, { fds });
  }

  emit(event, ...args) {
    // They come before the bytes of their message; dbus-native keeps those of a message that is not complete.
    return super.emit(event, ...(event === "fds" ? [this.takeFds(args[0].count)] : args));
  }
}

const [, path] = /^unix:path=([^,]+)/.exec(process.env.DBUS_SESSION_BUS_ADDRESS);
const service = spawn("/usr/bin/python3", [fileURLToPath(new URL("service.py", import.meta.url))], {
  stdio: ["ignore", "pipe", "inherit"],
});
process.on("exit", () => service.kill());
await once(service.stdout, "data");

const bus = dbus.createClient({ stream: new DBusStream(await UnixStream.connect(path)) });
/** Calls a method: its results and the descriptors of the answer. */
const call = (name, member, signature = "", body = [], fds = []) =>
  new Promise((resolve, reject) => {
    const to = { destination: "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: name, member };
    bus.invoke({ ...to, signature, body, fds }, function (error, ...values) {
      if (error) reject(error instanceof Error ? error : new Error(String(error)));
      else resolve({ values, fds: this.message.fds ?? [] });
    });
  });
const manager = (member, ...args) => call(`org.freedesktop.login1.Manager`, member, ...args);
const inhibitors = async () => (await manager("CountInhibitors")).values[0];

// A lock, until its descriptor is closed.
assert.equal(await inhibitors(), 0);
const before = readdirSync("/proc/self/fd").length;
const { values, fds } = await manager("Inhibit", "ssss", ["sleep", "example", "to show it", "block"]);
const lock = fds[values[0]];
assert.ok(lock instanceof OwnedFd);
assert.equal(await inhibitors(), 1);
lock.close();
while ((await inhibitors()) !== 0);

// Many calls at once, with descriptors each way and without: each descriptor is that of its message.
const folder = mkdtempSync(join(tmpdir(), "dbus-native-"));
const COUNT = 500;
const AT_ONCE = 50;
const kept = [];
const one = async (i) => {
  const file = join(folder, String(i));
  writeFileSync(file, `file ${i}`);
  const opened = OwnedFd.fromRaw(openSync(file));
  const [read, inhibited] = await Promise.all([
    call("org.freedesktop.portal.OpenURI", "OpenFile", "sh", ["", 0], [opened]),
    manager("Inhibit", "ssss", ["sleep", "example", String(i), "block"]),
    inhibitors(),
  ]);
  opened.close();
  assert.deepEqual(read.values, [`file ${i}`]);
  assert.equal(inhibited.fds.length, 1);
  kept.push(...inhibited.fds);
};
for (let i = 0; i < COUNT; i += AT_ONCE) {
  await Promise.all(Array.from({ length: AT_ONCE }, (_, j) => one(i + j)));
}
rmSync(folder, { recursive: true });
assert.equal(await inhibitors(), COUNT);
assert.equal(new Set(kept.map((fd) => fd.fd)).size, COUNT);
for (const fd of kept) fd.close();
while ((await inhibitors()) !== 0);
assert.equal(readdirSync("/proc/self/fd").length, before, "descriptors stayed open");
console.log(`${COUNT} files sent, ${kept.length} locks received and released; no descriptor stayed open`);
process.exit();
