/** OwnedFd: one owner, closed exactly once, described. */

import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readlinkSync,
  rmSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, fileWith, leakChecked, openFds, socketPath, temporaryFolder, works } from "../support.ts";

const test = leakChecked("owned-fd");

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
  const first = OwnedFd.from(0);
  const second = first.dup();
  assert.is.not(first.fd, second.fd);
  first.close();
  fstatSync(second.fd);
  second.close();
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
  assert.is(openFds().size, before);
  await sleep(1100);
  process.off("warning", onWarning);
  assert.ok(warnings.length >= 1 && warnings.length <= 2, `${warnings.length} warnings`);
  assert.is(warnings[0]!.code, "UNIX_ANCILLARY_FD_LEAK");
  const told = warnings.map(({ message }) => Number(/^(\d+) descriptor/.exec(message)![1]));
  assert.is(
    told.reduce((a, b) => a + b),
    300,
  );
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
  const script = `
import socket, os, select, fcntl, signal
s = socket.socket(fileno=3)
m = os.memfd_create("shared", os.MFD_ALLOW_SEALING); os.ftruncate(m, 4096); fcntl.fcntl(m, 1033, 2 | 4)
n = socket.socket()
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::1", 0))
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
      socket: { family: "inet6", type: "dgram", listening: false, address: { address: "::1", port: udp } },
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
