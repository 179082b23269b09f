/** The service manager's conventions, with this test as the manager. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { listenFds, notify, notifyBarrier, UnixDatagram, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "./descriptors.ts";
import {
  codeOf,
  crowd,
  errorOf,
  leakChecked,
  openFds,
  role,
  run,
  socketPath,
  temporaryFolder,
  withEnvironment,
} from "./support.ts";

if (role === "listen") {
  // Node sets the flag at its start; other runtimes do not.
  const [a, b] = UnixStream.pair();
  const { system, constants } = a.platform;
  for (const fd of [3, 4, 5]) system.fcntl(fd, constants.F_SETFD!, 0);
  for (const end of [a, b]) end.close();
  const fds = listenFds();
  const again = listenFds();
  const inherited = await run("sh", ["-c", "cd /proc/self/fd; ls; env | grep ^LISTEN || true"]);
  console.log(
    JSON.stringify({
      names: fds.map(({ name }) => name),
      kinds: fds.map(({ fd }) => fd.describe().kind),
      numbers: fds.map(({ fd }) => fd.fd),
      again: again.length,
      inherited: inherited.stdout.trim().split("\n"),
    }),
  );
  for (const { fd } of fds) fd.close();
  process.exit(0);
}
if (role === "listen-owned") {
  const fds = listenFds({ unset: false });
  const second = listenFds({ unset: false });
  for (const { fd } of fds) fd.close();
  console.log(JSON.stringify({ first: fds.length, second: second.length }));
  process.exit(0);
}
if (role === "listen-worker") {
  const library = JSON.stringify(fileURLToPath(import.meta.resolve("unix-ancillary")));
  const worker = new Worker(`process.exit(require(${library}).listenFds().length)`, { eval: true });
  const [first] = listenFds();
  const count = await new Promise((resolve) => worker.once("exit", resolve));
  console.log(JSON.stringify({ count, kind: first!.fd.describe().kind }));
  process.exit(0);
}
if (role === "listen-error") {
  console.log(await codeOf(() => listenFds()));
  process.exit(0);
}

const test = leakChecked("systemd");

/** Runs this test file in another role, with LISTEN_PID set to its own pid, as the manager sets it after the fork. */
function activated(roleName: string, fds: number[], variables: string): Promise<string> {
  const program = [process.execPath, fileURLToPath(import.meta.url)];
  const child: ChildProcess = spawn("sh", ["-c", `LISTEN_PID=$$ ${variables} exec "$@"`, "sh", ...program], {
    stdio: ["ignore", "pipe", "inherit", ...fds],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: roleName },
  });
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout!.on("data", (bytes) => (output += bytes));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(output.trim()) : reject(new Error(`exit code ${code}`))));
  });
}

test("listen-fds: what is owned already is left out, in a worker and when called twice", async () => {
  const [file, folder, end] = [openSync("/dev/null", "r"), openSync("/", "r"), openSync("/dev/null", "r")];
  assert.equal(JSON.parse(await activated("listen-owned", [file, folder, end], "LISTEN_FDS=3")), {
    first: 3,
    second: 0,
  });
  assert.equal(JSON.parse(await activated("listen-worker", [file], "LISTEN_FDS=1")), {
    count: 0,
    kind: "character-device",
  });
  for (const fd of [file, folder, end]) closeSync(fd);
});

test("listen-fds: taken over with their names, not inherited by children, returned once", async () => {
  const file = openSync("/dev/null", "r");
  const folder = openSync("/", "r");
  const output = await activated("listen", [file, folder, file], "LISTEN_FDS=3 LISTEN_FDNAMES=null:root");
  closeSync(file);
  closeSync(folder);
  const { names, kinds, numbers, again, inherited } = JSON.parse(output);
  assert.equal(names, ["null", "root", "unknown"]);
  assert.equal(kinds, ["character-device", "directory", "character-device"]);
  assert.equal(numbers, [3, 4, 5]);
  assert.is(again, 0);
  assert.equal(
    inherited.filter((line: string) => line.startsWith("LISTEN")),
    [],
  );
  for (const number of ["4", "5"]) assert.not.ok(inherited.includes(number), `${number} was inherited`);
});

test("listen-pid-of-another: nothing is taken over or changed", async () => {
  const before = openFds();
  await withEnvironment({ LISTEN_PID: "1", LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b", LISTEN_PIDFDID: "7" }, () => {
    assert.equal(listenFds({ unset: false }), []);
    assert.is(process.env.LISTEN_FDS, "2");
    assert.equal(listenFds(), []);
    assert.equal(
      Object.keys(process.env).filter((name) => name.startsWith("LISTEN_")),
      [],
    );
  });
  assert.equal(openFds(), before);
  assert.equal(listenFds(), []);
});

test("listen-fds-that-lie: more than are open, or not a number", async () => {
  const file = openSync("/dev/null", "r");
  assert.is(await activated("listen-error", [file], "LISTEN_FDS=900"), "EBADF");
  assert.is(await activated("listen-error", [file], "LISTEN_FDS=-1"), "ERR_OUT_OF_RANGE");
  closeSync(file);
});

/** A manager's socket. */
async function asManager(
  body: (manager: UnixDatagram) => unknown,
  bind: () => UnixDatagram = () => UnixDatagram.bind(socketPath()),
): Promise<void> {
  const manager = bind();
  manager.setPassCredentials(true);
  const address = manager.address!;
  try {
    await withEnvironment({ NOTIFY_SOCKET: address.replace(/^\0/, "@") }, () => body(manager));
  } finally {
    manager.close();
  }
}

test("notify: the manager gets the state, the descriptors and the credentials", () =>
  asManager(async (manager) => {
    assert.is(await notify("READY=1"), true);
    let message = await manager.recvFds(8);
    assert.is(message.data.toString(), "READY=1");
    assert.is(message.credentials?.pid, process.pid);
    const file = openSync("/dev/null", "r");
    assert.is(await notify({ FDSTORE: "1", FDNAME: "null" }, [file]), true);
    message = await manager.recvFds(8);
    assert.is(message.data.toString(), "FDSTORE=1\nFDNAME=null");
    assert.is(fstatSync(message.fds[0]!.fd).rdev, fstatSync(file).rdev);
    message[Symbol.dispose]();
    closeSync(file);
    assert.instance(await errorOf(notify({ STATUS: "two\nlines" })), RangeError);
  }));

test("notify-abstract: the manager's socket has an abstract name", () =>
  asManager(
    async (manager) => {
      assert.is(await notify("STOPPING=1"), true);
      assert.is((await manager.recvFds(0)).data.toString(), "STOPPING=1");
    },
    () => UnixDatagram.bind(`\0unix-ancillary-manager-${process.pid}`),
  ));

test("no-manager: notify returns false, and a barrier returns at once", async () => {
  await withEnvironment({ NOTIFY_SOCKET: "" }, async () => {
    assert.is(await notify("READY=1"), false);
    await notifyBarrier();
  });
  await withEnvironment({ NOTIFY_SOCKET: "/nowhere/at/all" }, async () => {
    assert.is(await codeOf(notify("READY=1")), "ENOENT");
    assert.is(await codeOf(notifyBarrier()), "ENOENT");
  });
});

test("notify-to-another-address: what is supported is said, and nothing stays open", async () => {
  const kinds = ["vsock", "vsock-stream", "vsock-dgram", "vsock-seqpacket"];
  for (const address of [...kinds.map((kind) => `${kind}:2:1234`), "relative/path"]) {
    await withEnvironment({ NOTIFY_SOCKET: address }, async () => {
      for (const tell of [() => notify("READY=1", [0]), () => notifyBarrier({ timeout: 1000 })]) {
        const { message } = await errorOf(tell);
        const [code, given] = ["ENOTSUP", `NOTIFY_SOCKET=${address}`];
        assert.ok(message.startsWith(code) && message.includes(given) && message.includes("@NAME"), message);
      }
    });
  }
});

test("notify-long-path: the manager's path is longer than sun_path", async () => {
  const folder = `${temporaryFolder()}/${"long/".repeat(30)}`;
  mkdirSync(folder, { recursive: true });
  await asManager(
    async (manager) => {
      assert.ok(manager.address!.length > 108);
      assert.is(await notify("READY=1", [0]), true);
      const message = await manager.recvFds(1);
      assert.is(`${message.data} ${message.fds.length}`, "READY=1 1");
      const barrier = notifyBarrier({ timeout: 10_000 });
      (await manager.recvFds(1))[Symbol.dispose]();
      await barrier;
      message[Symbol.dispose]();
    },
    () => UnixDatagram.bind(`${folder}notify`),
  );
});

test("barrier-in-time: no timer stays, which would keep the process alive", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((what) => what === "Timeout").length;
  const before = timers();
  await notifyBarrier({ timeout: 100_000 });
  assert.is(timers(), before);
});

test("barrier: passes when the manager has closed its descriptor", () =>
  asManager(async (manager) => {
    let passed = false;
    const barrier = notifyBarrier().then(() => {
      passed = true;
    });
    const message = await manager.recvFds(8);
    assert.is(message.data.toString(), "BARRIER=1");
    assert.is(message.fds.length, 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.is(passed, false);
    message[Symbol.dispose]();
    await barrier;
  }));

test("barrier-timeout: ETIMEDOUT, and nothing stays open", () =>
  asManager(async (manager) => {
    assert.is(await codeOf(notifyBarrier({ timeout: 20 })), "ETIMEDOUT");
    (await manager.recvFds(8))[Symbol.dispose]();
    assert.instance(await errorOf(notifyBarrier({ timeout: -1 })), RangeError);
  }));

/** Fills a manager's queue. */
function fill(manager: UnixDatagram): void {
  const filler = UnixDatagram.unbound();
  crowd(filler, manager.address!);
  filler.close();
}

test("barrier-timeout: while the manager's queue is full, too", () =>
  asManager(async (manager) => {
    fill(manager);
    assert.is(await codeOf(notifyBarrier({ timeout: 20 })), "ETIMEDOUT");
  }));

test("notify-full: it waits until the manager reads, or until its signal is aborted", () =>
  asManager(async (manager) => {
    fill(manager);
    const abort = new AbortController();
    const withdrawn = errorOf(notify("STATUS=withdrawn", [0], { signal: abort.signal }));
    const barrier = errorOf(notifyBarrier({ signal: abort.signal, timeout: 60_000 }));
    const sent = notify("READY=1", [0]);
    const reason = new Error("enough");
    setTimeout(() => abort.abort(reason), 20);
    assert.is(await withdrawn, reason);
    assert.is(await barrier, reason);
    let message = await manager.recvFds(1);
    while (/^x+$/.test(message.data.toString())) message = await manager.recvFds(1);
    assert.is(`${message.data} ${message.fds.length}`, "READY=1 1");
    message[Symbol.dispose]();
    assert.is(await sent, true);
    assert.is(manager.tryRecvFds(1), null);
    assert.is(await errorOf(notify("READY=1", [], { signal: AbortSignal.abort(reason) })), reason);
  }));

test("barrier-abort: while the manager has not reached it", () =>
  asManager(async (manager) => {
    const abort = new AbortController();
    const barrier = errorOf(notifyBarrier({ signal: abort.signal }));
    const message = await manager.recvFds(1);
    abort.abort("enough");
    assert.is(await barrier, "enough");
    message[Symbol.dispose]();
  }));

test.run();
