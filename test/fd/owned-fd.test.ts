/** OwnedFd: one owner, closed exactly once, described. */

import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { constants, existsSync, mkdtempSync, readlinkSync, rmSync, unlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { codeOf, errorOf, fileWith, leakChecked, openFds, socketPath, temporaryFolder, works } from "../support.ts";

const test = leakChecked("owned-fd");

/** How many objects a garbage collection may keep: JavaScriptCore (Bun) takes words of the stack for references. */
const SEEN = "Bun" in globalThis ? 3 : 0;

test("close closes once, and is idempotent", async () => {
  const owned = OwnedFd.fromRaw(openSync("/dev/null", "r"));
  const { fd } = owned;
  owned.close();
  assert.ok(owned.closed);
  assert.throws(() => fstatSync(fd));
  const other = openSync("/dev/null", "r");
  assert.is(other, fd, "the number is used again");
  owned.close();
  owned[Symbol.dispose]();
  fstatSync(other);
  closeSync(other);
  assert.is(await codeOf(() => owned.fd), "ERR_FD_CLOSED");
  assert.is(await codeOf(() => owned.dup()), "ERR_FD_CLOSED");
  assert.is(await codeOf(() => owned.describe()), "ERR_FD_CLOSED");
  assert.is(await codeOf(() => owned.release()), "ERR_FD_CLOSED");
});

test("release gives ownership up", async () => {
  const owned = OwnedFd.from(0);
  const fd = owned.release();
  assert.ok(owned.closed);
  owned.close();
  fstatSync(fd);
  assert.is(await codeOf(() => owned.release()), "ERR_FD_CLOSED");
  closeSync(fd);
});

test("fromRaw of a number that is not open is EBADF", async () => {
  const fd = openSync("/dev/null", "r");
  closeSync(fd);
  assert.is(await codeOf(() => OwnedFd.fromRaw(fd)), "EBADF");
  assert.is(await codeOf(() => OwnedFd.from(fd)), "EBADF");
});

test("duplicates are CLOEXEC and have their own owner", () => {
  const [a, b] = UnixStream.pair();
  const { system, constants } = a.platform;
  const first = OwnedFd.from(0);
  const second = first.dup();
  assert.is.not(first.fd, second.fd);
  for (const { fd } of [first, second]) assert.is(system.fcntl(fd, constants.F_GETFD!, 0), constants.FD_CLOEXEC);
  first.close();
  fstatSync(second.fd);
  for (const one of [a, b, second]) one.close();
});

test("a second owner of a number is refused, in this thread and in another; the first one stays", async () => {
  const [a, b] = UnixStream.pair();
  const owned = OwnedFd.from(0);
  a.sendFdsSync("x", [0]);
  const received = b.recvFdsSync(1);
  const listener = UnixListener.bind(`\0${socketPath()}`);
  for (const { fd } of [a, owned, received.fds[0]!, listener]) {
    assert.is(await codeOf(() => OwnedFd.fromRaw(fd)), "ERR_FD_OWNED");
    fstatSync(fd);
  }
  const library = JSON.stringify(fileURLToPath(import.meta.resolve("unix-ancillary")));
  const other = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const { OwnedFd } = require(${library});
     const codes = [${owned.fd}, ${a.fd}].map((fd) => {
       try { globalThis.kept = OwnedFd.fromRaw(fd); } catch (error) { return error.code; }
     });
     globalThis.own = OwnedFd.from(0);
     parentPort.postMessage({ codes, fd: own.fd });
     parentPort.once("message", () => process.exit());`,
    { eval: true },
  );
  const { codes, fd } = await new Promise<{ codes: string[]; fd: number }>((resolve) => other.once("message", resolve));
  assert.equal(codes, ["ERR_FD_OWNED", "ERR_FD_OWNED"]);
  assert.is(await codeOf(() => OwnedFd.fromRaw(fd)), "ERR_FD_OWNED");
  other.postMessage("end");
  await new Promise((resolve) => other.once("exit", resolve));
  assert.is(await codeOf(() => OwnedFd.fromRaw(fd)), "EBADF");
  // What was released has no owner.
  const again = OwnedFd.fromRaw(owned.release());
  assert.is(await codeOf(() => OwnedFd.fromRaw(again.fd)), "ERR_FD_OWNED");
  for (const one of [a, b, again, listener]) one.close();
  received[Symbol.dispose]();
});

test.needing(existsSync("/dev/shm"), "a tmpfs at /dev/shm", "a file of a tmpfs is no memfd, whatever its name", () => {
  const path = `/dev/shm/memfd:unix-ancillary-${process.pid}`;
  const file = OwnedFd.fromRaw(openSync(path, "wx+"));
  unlinkSync(path);
  assert.equal(file.describe(), { kind: "file", access: "read-write", nonblocking: false, size: 0 });
  file.close();
});

/** The descriptor that a Python program sends; `wrapper` starts it. */
async function sentBy(wrapper: readonly string[], python: string): Promise<OwnedFd> {
  const [ours, theirs] = UnixStream.pair();
  const script = `import socket, os\ns = socket.socket(fileno=3)\n${python}\nsocket.send_fds(s, [b"x"], [f])`;
  const [command, ...args] = [...wrapper, "python3", "-c", script];
  execFileSync(command!, args, { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
  const { fds } = ours.recvFdsExactSync(1);
  ours.close();
  theirs.close();
  return fds[0]!;
}

test.needing(
  works("unshare", ["-rm", "mount", "-t", "tmpfs", "none", tmpdir()]) &&
    works("python3", ["-c", "import socket; socket.send_fds"]),
  "unshare, with permission to mount a tmpfs, and python3",
  "a file of a tmpfs whose link reads as a memfd's is a file: its sender can truncate it",
  async () => {
    const folder = temporaryFolder();
    const wrapper = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', folder];
    const file = await sentBy(wrapper, `f = os.open("${folder}/memfd:x", os.O_RDWR | os.O_CREAT)`);
    assert.match(readlinkSync(`/proc/self/fd/${file.fd}`), /^\/memfd:x/);
    assert.equal(file.describe(), { kind: "file", access: "read-write", nonblocking: false, size: 0 });
    file.close();
  },
);

test.python("a memfd that allows no seals is told by the kernel's own mount", async () => {
  const memfd = await sentBy([], 'f = os.memfd_create("m")');
  assert.equal(memfd.describe(), { kind: "memfd", access: "read-write", nonblocking: false, size: 0, seals: ["seal"] });
  memfd.close();
});

test("fromRaw of a descriptor that node:fs opened: once it is closed, the number works for the next file of node:fs", () => {
  const path = fileWith("next");
  const owned = OwnedFd.fromRaw(fs.openSync("/dev/null", "r"));
  const { fd } = owned;
  owned.close();
  const next = fs.openSync(path, "r");
  assert.is(next, fd);
  assert.is(fs.readFileSync(next, "utf8"), "next");
  fs.closeSync(next);
});

test("closed by other code: EBADF, once", async () => {
  const owned = OwnedFd.fromRaw(openSync("/dev/null", "r"));
  closeSync(owned.fd);
  assert.is(await codeOf(() => owned.close()), "EBADF");
  owned.close();
});

test("garbage-collected while open: closed, with one warning and a count", async () => {
  const warnings: (Error & { code?: string })[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on("warning", onWarning);
  const before = openFds().size;
  (() => {
    for (let i = 0; i < 300; i++) OwnedFd.from(0);
  })();
  assert.is(openFds().size, before + 300);
  for (let turn = 0; turn < 50 && openFds().size > before; turn++) {
    await sleep(20);
    globalThis.gc!();
  }
  const kept = openFds().size - before;
  assert.ok(kept <= SEEN, `${kept} are still open`);
  await sleep(1100);
  process.off("warning", onWarning);
  assert.ok(warnings.length >= 1 && warnings.length <= 2, `${warnings.length} warnings`);
  assert.is(warnings[0]!.code, "UNIX_ANCILLARY_FD_LEAK");
  const told = warnings.map(({ message }) => Number(/^(\d+) descriptor/.exec(message)![1]));
  const sum = told.reduce((a, b) => a + b);
  assert.ok(sum <= 300 && sum >= 300 - SEEN, `${sum} were told`);
});

test("a closed or released descriptor is not closed again by the garbage collector", async () => {
  const files: number[] = [];
  await (async () => {
    const owned = Array.from({ length: 300 }, () => OwnedFd.from(0));
    // By now they are registered.
    await sleep(30);
    for (const [i, one] of owned.entries()) {
      if (i % 2 === 0) one.close();
      else files.push(one.release());
    }
  })();
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc!();
    await sleep(10);
  }
  for (const fd of files) closeSync(fd);
});

test("a list of which one was closed before is closed without it", () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const simulated = kernel.process();
  const [a, b] = UnixStream.pair({ platform: simulated.platform });
  const file = simulated.open("a file");
  for (const count of [1, 2]) {
    a.sendFdsSync("x", new Array(count).fill(file));
    const message = b.recvFdsSync(count);
    message.fds[0]!.close();
    message[Symbol.dispose]();
  }
  for (const one of [a, b, file]) one.close();
  kernel.check();
});

test("a descriptor of another platform is refused: its number is another file here", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const simulated = kernel.process();
  const [a, b] = UnixStream.pair({ platform: simulated.platform });
  const [c, d] = UnixStream.pair();
  const file = simulated.open("a file");
  const real = OwnedFd.from(0);
  const server = createServer().listen(0, "127.0.0.1").unref();
  await new Promise((resolve) => server.once("listening", resolve));
  assert.is(await codeOf(() => c.sendFdsSync("x", [file])), "ERR_FOREIGN_PLATFORM");
  assert.is(await codeOf(c.sendFds("x", [a])), "ERR_FOREIGN_PLATFORM");
  for (const one of [real, c, server]) {
    assert.is(await codeOf(() => a.sendFdsSync("x", [one])), "ERR_FOREIGN_PLATFORM");
    assert.is(await codeOf(a.sendFdsAll("x", [one])), "ERR_FOREIGN_PLATFORM");
  }
  assert.is(b.tryRecvFds(1), null);
  assert.is(d.tryRecvFds(1), null);
  for (const one of [a, b, c, d, file, real, server]) one.close();
  kernel.check();
});

test("a net.Socket with bytes that Node has read is not sent: they would stay here", async () => {
  const server = createServer((connection) => connection.end("read ahead"))
    .listen(0, "127.0.0.1")
    .unref();
  await new Promise((resolve) => server.once("listening", resolve));
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  while (client.readableLength === 0) await sleep(1);
  const [a, b] = UnixStream.pair();
  const error = await errorOf(a.sendFds("x", [client]));
  assert.instance(error, TypeError);
  assert.match(error.message, /^"fds\[0\]" expected a net.Socket without unread bytes: 10 bytes were read/);
  assert.is(b.tryRecvFds(1), null);
  client.read();
  await a.sendFds("x", [client]);
  b.recvFdsExactSync(1)[Symbol.dispose]();
  for (const one of [a, b, server]) one.close();
  client.destroy();
});

test("describe: the memfd that tells what a memfd is does not stay open", () => {
  const [a, b] = UnixStream.pair();
  const { system } = a.platform;
  const fd = system.memfd("", 0);
  system.disown(fd);
  const owned = OwnedFd.fromRaw(fd);
  // The seal of a memfd that was made without MFD_ALLOW_SEALING: a file of a tmpfs has it too.
  assert.equal(owned.describe(), {
    kind: "memfd",
    access: "read-write",
    nonblocking: false,
    size: 0,
    seals: ["seal"],
  });
  for (const one of [a, b, owned]) one.close();
});

test("nursery: the close of one descriptor does not take another one out of it", async () => {
  const before = openFds().size;
  (() => {
    const first = OwnedFd.from(0);
    OwnedFd.from(0);
    // It is not the last one of the nursery.
    first.close();
  })();
  for (let turn = 0; turn < 50 && openFds().size > before; turn++) {
    await sleep(20);
    globalThis.gc!();
  }
  assert.is(openFds().size, before);
});

test("nursery: it is bounded, however many descriptors are made in one turn of the event loop", () => {
  const make = (count: number) => {
    for (let i = 0; i < count; i++) {
      const [first, second] = [OwnedFd.from(0), OwnedFd.from(0)];
      // In this order the first stays in the nursery.
      first.close();
      second.close();
    }
    globalThis.gc!();
    return process.memoryUsage().heapUsed;
  };
  const before = make(10_000);
  const grown = make(50_000) - before;
  assert.ok(grown < 1_000_000, `${grown} bytes more`);
});

test("nursery: it keeps no closed descriptor, in whatever order they were closed", async () => {
  const owners = (() => {
    const made = Array.from({ length: 100 }, () => OwnedFd.from(0));
    for (const owned of made.slice(0, 50)) owned.close();
    for (const owned of made.slice(50).reverse()) owned.close();
    return made.map((owned) => new WeakRef(owned));
  })();
  const kept = () => owners.filter((owner) => owner.deref() !== undefined).length;
  for (let turn = 0; turn < 50 && kept() > 0; turn++) {
    await sleep(5);
    globalThis.gc!();
  }
  assert.is(kept(), 0);
});

test("a descriptor that was sent can be collected", async () => {
  const [a, b] = UnixStream.pair();
  const sent = (() => {
    const owned = OwnedFd.from(0);
    a.sendFdsSync("x", [owned]);
    owned.close();
    return new WeakRef(owned);
  })();
  for (let turn = 0; turn < 50 && sent.deref() !== undefined; turn++) {
    await sleep(5);
    globalThis.gc!();
  }
  assert.is(sent.deref(), undefined);
  b.recvFdsSync(1)[Symbol.dispose]();
  a.close();
  b.close();
});

test("a dropped message is collected with its descriptors", async () => {
  const [a, b] = UnixStream.pair();
  const before = openFds().size;
  (() => {
    a.sendFdsSync("x", [0, 1, 2]);
    b.recvFdsSync(3);
  })();
  for (let turn = 0; turn < 50 && openFds().size > before; turn++) {
    await sleep(20);
    globalThis.gc!();
  }
  assert.is(openFds().size, before);
  a.close();
  b.close();
});

test.python("describe: every kind of file", () => {
  const folder = mkdtempSync(`${tmpdir()}/unix-ancillary-`);
  const [ours, theirs] = UnixStream.pair();
  const inet6 = Object.values(networkInterfaces()).some((addresses) => addresses!.some((one) => one.address === "::1"));
  const loopback = inet6 ? "::1" : "127.0.0.1";
  const script = `
import socket, os, select, fcntl, signal
s = socket.socket(fileno=3)
m = os.memfd_create("shared", os.MFD_ALLOW_SEALING); os.ftruncate(m, 4096); fcntl.fcntl(m, 1033, 2 | 4)
n = socket.socket()
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen()
u = socket.socket(socket.${inet6 ? "AF_INET6" : "AF_INET"}, socket.SOCK_DGRAM); u.bind(("${loopback}", 0))
x = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); x.bind("\\0abstract-${process.pid}")
fds = [m, os.eventfd(0) if hasattr(os, "eventfd") else m, select.epoll().fileno(), os.pidfd_open(os.getpid()), t.fileno(), u.fileno(), x.fileno(), s.fileno(), n.fileno()]
e = select.epoll(); fds[2] = e.fileno()
socket.send_fds(s, [("%d %d" % (t.getsockname()[1], u.getsockname()[1])).encode()], fds)
`;
  execFileSync("python3", ["-c", script], { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
  const { data, fds } = ours.recvFdsExactSync(9);
  const [tcp, udp] = String(data).split(" ").map(Number);
  const described = fds.map((fd) => fd.describe());
  assert.equal(described, [
    { kind: "memfd", access: "read-write", nonblocking: false, size: 4096, seals: ["shrink", "grow"] },
    { kind: "eventfd", access: "read-write", nonblocking: false },
    { kind: "epoll", access: "read-write", nonblocking: false },
    { kind: "pidfd", access: "read-write", nonblocking: false },
    {
      kind: "socket",
      access: "read-write",
      nonblocking: false,
      socket: { family: "inet", type: "stream", listening: true, address: { address: "127.0.0.1", port: tcp } },
    },
    {
      kind: "socket",
      access: "read-write",
      nonblocking: false,
      socket: {
        family: inet6 ? "inet6" : "inet",
        type: "dgram",
        listening: false,
        address: { address: loopback, port: udp },
      },
    },
    {
      kind: "socket",
      access: "read-write",
      nonblocking: false,
      socket: { family: "unix", type: "dgram", listening: false, address: `\0abstract-${process.pid}` },
    },
    {
      kind: "socket",
      access: "read-write",
      nonblocking: false,
      socket: { family: "unix", type: "stream", listening: false, address: null },
    },
    {
      kind: "socket",
      access: "read-write",
      nonblocking: false,
      socket: { family: "inet", type: "stream", listening: false, address: null },
    },
  ]);
  for (const fd of fds) fd.close();
  const own = (fd: number) => OwnedFd.fromRaw(fd);
  const O_PATH = 0o10000000;
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const here = [
    own(openSync(fileWith("12345"), "a")),
    own(openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)),
    own(openSync("/dev/null", constants.O_RDWR | constants.O_NONBLOCK)),
    own(openSync(fileWith("x"), O_PATH)),
    own(openSync(path, O_PATH)),
  ];
  assert.equal(
    here.map((fd) => fd.describe()),
    [
      { kind: "file", access: "write", nonblocking: false, size: 5 },
      { kind: "directory", access: "read", nonblocking: false },
      { kind: "character-device", access: "read-write", nonblocking: true },
      { kind: "file", access: "path", nonblocking: false, size: 1 },
      // The file of a socket's path is not a socket itself.
      { kind: "socket", access: "path", nonblocking: false },
    ],
  );
  for (const fd of here) fd.close();
  listener.close();
  ours.close();
  theirs.close();
  rmSync(folder, { recursive: true });
});

test.run();
