/** The service manager's conventions, with systemd's programs and Python's binding of libsystemd at either end. */

import { openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  listenFds,
  notify,
  notifyBarrier,
  OwnedFd,
  type ReceivedFds,
  UnixDatagram,
  UnixListener,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { fileWith, role, socketPath, temporaryFolder, withEnvironment } from "../support.ts";
import { interop, type Needed, Program, PYTHON } from "./programs.ts";

if (role === "activated") {
  // The service started by systemd-socket-activate: answers on each passed socket.
  const passed = listenFds();
  console.log(passed.map(({ name }) => name).join(" "));
  for (const { fd, name } of passed) {
    await using listener = UnixListener.from(fd);
    using socket = (await listener.accept()) as UnixStream;
    await socket.sendFdsAll(`this is ${name}`);
  }
  process.exit(0);
}

const test = interop("systemd");
const systemd: Needed = {
  debian: "systemd",
  probe: ["sh", "-c", "systemd-notify --version && command -v systemd-socket-activate"],
};
const pythonSystemd: Needed = { debian: "python3-systemd", probe: [PYTHON, "-c", "import systemd.daemon"] };
const python: Needed = { debian: "python3", probe: [PYTHON, "-c", "import socket"] };

/** This test as the manager: the notifications of services. */
function asManager(): UnixDatagram {
  const manager = UnixDatagram.bind(socketPath());
  manager.setPassCredentials(true);
  return manager;
}

const notifying = (manager: UnixDatagram) => ({ env: { NOTIFY_SOCKET: manager.address! } });
/** The most descriptors that the manager lets a service store at once. */
const receive = (manager: UnixDatagram): Promise<ReceivedFds> => manager.recvFds(16);

test("systemd-notify: it ends after we have closed its barrier, not before", [systemd], async () => {
  using manager = asManager();
  await using program = new Program("systemd-notify", ["--ready", "--status=hi"], notifying(manager));
  using state = await program.meanwhile(receive(manager));
  assert.is(state.data.toString(), "READY=1\nSTATUS=hi");
  assert.is(state.fds.length, 0);
  // It notifies on behalf of the process that started it, if permitted.
  assert.ok([program.pid, process.pid].includes(state.credentials!.pid!), JSON.stringify(state.credentials));
  using barrier = await program.meanwhile(receive(manager));
  assert.is(barrier.data.toString(), "BARRIER=1");
  assert.equal(
    barrier.fds.map((fd) => fd.describe().kind),
    ["pipe"],
  );
  // A second one that does not wait ends meanwhile.
  await using hasty = new Program("systemd-notify", ["--no-block", "WATCHDOG=1"], notifying(manager));
  using watchdog = await hasty.meanwhile(receive(manager));
  assert.is(watchdog.data.toString(), "WATCHDOG=1");
  await hasty.success();
  assert.is(program.ended, false);
  barrier[Symbol.dispose]();
  await program.success();
  return "its state and who said it; it waited while another came and went";
});

test(
  "descriptor-store: libsystemd stores descriptors with us, and gets them back after a restart",
  [pythonSystemd],
  async () => {
    using manager = asManager();
    const storing = `
import sys
from systemd import daemon
files = [open(path) for path in sys.argv[1:]]
daemon.notify("FDSTORE=1\\nFDNAME=kept", fds=[file.fileno() for file in files])
`;
    await using first = new Program(PYTHON, ["-c", storing, ...["one", "two"].map(fileWith)], notifying(manager));
    using stored = await first.meanwhile(receive(manager));
    await first.success();
    assert.is(stored.data.toString(), "FDSTORE=1\nFDNAME=kept");
    assert.is(stored.credentials?.pid, first.pid);
    assert.is(stored.fds.length, 2);

    const restarted = `
import os
from systemd import daemon
for fd, name in daemon.listen_fds_with_names().items():
    print(fd, name, os.read(fd, 100).decode())
`;
    const service = ["-c", 'LISTEN_PID=$$ exec "$@"', "sh", PYTHON, "-c", restarted];
    const env = { LISTEN_FDS: String(stored.fds.length), LISTEN_FDNAMES: stored.fds.map(() => "kept").join(":") };
    await using second = new Program("sh", service, { env, fds: stored.fds });
    assert.is(await second.success(), "3 kept one\n4 kept two\n");
    return "two descriptors outlived the process that had opened them";
  },
);

test("socket-activation: systemd-socket-activate starts a service of ours", [systemd], async () => {
  const folder = temporaryFolder();
  const names = ["first", "second"];
  const listen = names.flatMap((name) => ["--listen", join(folder, name)]);
  const variables = ["UNIX_ANCILLARY_TEST_ROLE=activated", `PATH=${process.env.PATH}`].flatMap((one) => ["-E", one]);
  const service = [process.execPath, fileURLToPath(import.meta.url)];
  await using program = new Program("systemd-socket-activate", [
    ...listen,
    `--fdname=${names.join(":")}`,
    ...variables,
    ...service,
  ]);
  for (const name of names) {
    using socket = await program.until(() => UnixStream.connect(join(folder, name)));
    using reader = socket.reader();
    const expected = `this is ${name}`;
    assert.is((await program.meanwhile(reader.read(expected.length))).toString(), expected);
  }
  assert.is(await program.success(), `${names.join(" ")}\n`);
  return "listenFds found both sockets by their names, and served on them";
});

test(
  "notify: a manager in Python receives our state, keeps our descriptors and closes the barrier",
  [python],
  async () => {
    const name = `unix-ancillary-${process.pid}`;
    const script = `
import os, socket, struct, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
manager.bind("\\0" + sys.argv[1])
print("bound", flush=True)
while True:
    data, control, flags, address = manager.recvmsg(4096, 4096)
    sender, fds = None, []
    for level, kind, content in control:
        if kind == socket.SCM_CREDENTIALS:
            sender = struct.unpack("3i", content)[0]
        elif kind == socket.SCM_RIGHTS:
            fds += struct.unpack("%di" % (len(content) // 4), content)
    text = data.decode().replace("\\n", ";")
    if text == "BARRIER=1":
        print(sender, text, len(fds), flush=True)
        sys.stdin.readline()
        for fd in fds:
            os.close(fd)
        break
    print(sender, text, *(os.read(fd, 100).decode() for fd in fds), flush=True)
`;
    await using manager = new Program(PYTHON, ["-c", script, name]);
    assert.is(await manager.line(), "bound");
    await withEnvironment({ NOTIFY_SOCKET: `@${name}` }, async () => {
      assert.is(await notify({ READY: "1", STATUS: "serving" }), true);
      assert.is(await manager.line(), `${process.pid} READY=1;STATUS=serving`);
      const files = ["one", "two"].map((content) => OwnedFd.fromRaw(openSync(fileWith(content), "r")));
      assert.is(await notify({ FDSTORE: "1", FDNAME: "kept" }, files), true);
      for (const file of files) file.close();
      assert.is(await manager.line(), `${process.pid} FDSTORE=1;FDNAME=kept one two`);
      let open = false;
      const barrier = notifyBarrier().then(() => {
        open = true;
      });
      assert.is(await manager.line(), `${process.pid} BARRIER=1 1`);
      assert.is(open, false);
      manager.tell("open it");
      await barrier;
      await manager.success();
    });
    return "state, two descriptors and a barrier, at an abstract address";
  },
);

test.run();
