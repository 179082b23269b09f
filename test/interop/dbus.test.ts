/** Descriptors over a D-Bus daemon: between two clients of this library, and with libdbus (Python) and GDBus as the peer. */

import { openSync, readFileSync } from "node:fs";
import { OwnedFd } from "unix-ancillary";
import * as assert from "uvu/assert";
import { fileWith, socketPath } from "../support.ts";
import { BusConnection, type BusOptions } from "./dbus.ts";
import { interop, type Needed, Program, PYTHON } from "./programs.ts";

const test = interop("dbus");
const daemon: Needed = { debian: "dbus-daemon", probe: ["dbus-daemon", "--version"] };
const python: readonly Needed[] = [
  { debian: "python3-dbus", probe: [PYTHON, "-c", "import dbus.mainloop.glib"] },
  { debian: "python3-gi", probe: [PYTHON, "-c", "from gi.repository import GLib"] },
];
const gdbus: Needed = { debian: "libglib2.0-bin", probe: ["gdbus", "help"] };

/** The names that the programs at both ends use. */
const FILES = { path: "/test/Files", interface: "test.Files" } as const;

/** A bus for this test. */
async function bus(body: (path: string) => Promise<string>): Promise<string> {
  const path = socketPath();
  const address = `--address=unix:path=${path}`;
  await using program = new Program("dbus-daemon", ["--session", "--nofork", "--nosyslog", "--print-address", address]);
  await program.line();
  return await body(path);
}

const open = (content: string): OwnedFd => OwnedFd.fromRaw(openSync(fileWith(content), "r"));
const content = (fd: OwnedFd): string => readFileSync(fd.fd, "utf8");

/** Sends messages with different counts of descriptors and lengths; returns what a receiver must find. */
async function sendMany(from: BusConnection, to: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const names = Array.from({ length: (i * 7) % 17 }, (_, j) => `${i}-${j}`);
    const fds = names.map(open);
    const body = ["x".repeat((i * 1237) % 9000), names, names.map((_, j) => j)];
    const message = { ...FILES, member: "Many", destination: to, signature: "sasah", body, fds } as const;
    await from.send({ ...message, type: "signal" });
    for (const fd of fds) fd.close();
  }
  await from.flushed();
}

/** The descriptors that came, each of which was the file whose name came with it. */
async function receiveMany(at: BusConnection, count: number): Promise<number> {
  let files = 0;
  for (let i = 0; i < count; i++) {
    using message = await at.receive();
    const [filler, names, indexes] = message.body as [string, string[], number[]];
    assert.is(filler.length, (i * 1237) % 9000);
    assert.is(message.fds.length, (i * 7) % 17);
    assert.equal(
      indexes.map((index) => content(message.fds[index]!)),
      names,
    );
    files += names.length;
  }
  return files;
}

const MANY = 50;
for (const [name, options] of [
  ["as much at once as comes", {}],
  ["read to the byte, sent 61 bytes at a time", { reader: { maxQueuedBytes: 1 }, piece: 61 }],
] as [string, BusOptions][]) {
  test(`two-clients: ${name}`, [daemon], () =>
    bus(async (path) => {
      using one = await BusConnection.connect(path, options);
      using other = await BusConnection.connect(path, options);
      let files = 0;
      for (const [from, to] of [
        [one, other],
        [other, one],
      ] as const) {
        // All messages wait in the bus before any is read.
        await sendMany(from, to.name, MANY);
        files += await receiveMany(to, MANY);
      }
      return `${2 * MANY} messages in both directions, ${files} descriptors, each with the message it belongs to`;
    }),
  );
}

test("libdbus-serves: a Python service reads files of this library and answers with its own", [daemon, ...python], () =>
  bus(async (path) => {
    const script = `
import os, sys
import dbus, dbus.bus, dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib
DBusGMainLoop(set_as_default=True)
connection = dbus.bus.BusConnection("unix:path=" + sys.argv[1])
class Files(dbus.service.Object):
    @dbus.service.method("test.Files", in_signature="ah", out_signature="sah")
    def Swap(self, fds):
        contents = []
        for fd in fds:
            with os.fdopen(fd.take()) as file:
                contents.append(file.read())
        return " ".join(contents), [dbus.types.UnixFd(open(path)) for path in sys.argv[2:]]
name = dbus.service.BusName("test.Files", connection)
files = Files(connection, "/test/Files")
print("ready", flush=True)
GLib.MainLoop().run()
`;
    await using service = new Program(PYTHON, ["-c", script, path, ...["four", "five"].map(fileWith)]);
    assert.is(await service.line(), "ready");
    using client = await BusConnection.connect(path);
    const fds = ["one", "two", "three"].map(open);
    const call = { ...FILES, destination: "test.Files", member: "Swap", signature: "ah", fds } as const;
    // The order is that of the body, not of the descriptors.
    using answer = await service.meanwhile(client.call({ ...call, body: [[2, 0, 1]] }));
    for (const fd of fds) fd.close();
    const [contents, indexes] = answer.body as [string, number[]];
    assert.is(contents, "three one two");
    assert.equal(
      indexes.map((index) => content(answer.fds[index]!)),
      ["four", "five"],
    );
    return "three descriptors went and two came back";
  }),
);

/** Answers the calls of a program until it ends: to Swap with what the descriptors contain, and two of ours. */
async function serve(service: BusConnection, program: Program): Promise<string> {
  const contents: string[] = [];
  for (;;) {
    using call = await program.meanwhile(service.receive());
    const answer = { destination: call.sender!, replySerial: call.serial } as const;
    if (call.member !== "Swap") {
      await service.send({ ...answer, type: "error", errorName: "org.freedesktop.DBus.Error.UnknownMethod" });
      continue;
    }
    for (const index of call.body.flat() as number[]) contents.push(content(call.fds[index]!));
    const fds = ["four", "five"].map(open);
    await service.send({ ...answer, type: "return", signature: "ah", body: [[1, 0]], fds });
    for (const fd of fds) fd.close();
    return contents.join(" ");
  }
}

test("libdbus-calls: a Python client sends files to this library, and reads files from it", [daemon, ...python], () =>
  bus(async (path) => {
    const script = `
import os, sys
import dbus, dbus.bus
connection = dbus.bus.BusConnection("unix:path=" + sys.argv[1])
files = [dbus.types.UnixFd(open(path)) for path in sys.argv[3:]]
answer = connection.call_blocking(sys.argv[2], "/test/Files", "test.Files", "Swap", "ah", (files,))
print(*(os.fdopen(fd.take()).read() for fd in answer))
`;
    using service = await BusConnection.connect(path);
    await using client = new Program(PYTHON, ["-c", script, path, service.name, ...["one", "two"].map(fileWith)]);
    assert.is(await serve(service, client), "one two");
    assert.is(await client.success(), "five four\n");
    return "two descriptors came and two went back";
  }),
);

test("gdbus-calls: GDBus sends files", [daemon, gdbus], () =>
  bus(async (path) => {
    using service = await BusConnection.connect(path);
    const fds = ["one", "two"].map(open);
    const to = ["--address", `unix:path=${path}`, "--dest", service.name, "--object-path", FILES.path];
    // The numbers of the descriptors that it inherits.
    const args = ["call", ...to, "--method", `${FILES.interface}.Swap`, "handle 4", "handle 3"];
    await using client = new Program("gdbus", args, { fds });
    for (const fd of fds) fd.close();
    assert.is(await serve(service, client), "two one");
    assert.is(await client.success(), "([handle 1, 0],)\n");
    return "two descriptors came and it took two";
  }),
);

test.run();
