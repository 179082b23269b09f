/**
 * Files of a peer whose close or status waits: a TCP socket with SO_LINGER, a file of a server that does not answer. What the program
 * did not ask for must not stop its event loop.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { OwnedFd, recvmsg, SocketAncillary, UnixDatagram, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, fileWith, leakChecked, openFds, socketPath, works } from "../support.ts";

const test = leakChecked("slow files");

/** The seconds that a close waits, and the milliseconds within which a call must return although the machine is busy. */
const LINGER = 4;
const AT_ONCE = 2000;

/**
 * A peer. For each socket that it gets on descriptor 3, with the number of descriptors to send, it sends descriptors that only the
 * receiver has open then, and answers.
 */
const PEER = `
import array, os, signal, socket, struct, sys
control = socket.socket(fileno=3)
def serve(make):
    while True:
        count, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not count: break
        to = socket.socket(fileno=fds[0])
        made = [make() for _ in range(count[0])]
        to.sendmsg([b"xy"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", made))])
        close(made)
        to.close()
        control.send(b"k")
`;

/** Its TCP sockets linger: their close waits, because bytes are unsent. */
const LINGERING = `${PEER}
server = socket.create_server(("127.0.0.1", 0))
unread = []
def make():
    made = socket.create_connection(server.getsockname())
    unread.append(server.accept())
    made.setblocking(False)
    try:
        while True: made.send(bytes(65536))
    except BlockingIOError: pass
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, ${LINGER}))
    return made.detach()
def close(fds):
    for fd in fds: os.close(fd)
serve(make)
`;

/**
 * Its files are on a file system of FUSE, whose server answers until the first descriptor was sent, and nothing after that. The server is
 * a process of its own, which ends first: the kernel ends all waits then. It ends by itself if the test hangs.
 */
const SILENT = `${PEER}
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result != 0: sys.exit(os.strerror(ctypes.get_errno()))
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
check(libc.unshare(CLONE_NEWNS))
check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
device = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
check(libc.mount(b"x", b"/mnt", b"fuse", 0, options))
server = os.fork()
if server == 0:
    control.close()
    signal.alarm(8)
    silent = False
    def fall_silent(*_):
        global silent
        silent = True
    signal.signal(signal.SIGUSR1, fall_silent)
    INIT, LOOKUP, GETATTR, OPEN = 26, 1, 3, 14
    attributes = struct.pack("=6Q10I", 2, 12345, 0, 0, 0, 0, 0, 0, 0, 0o100644, 1, 0, 0, 0, 4096, 0)
    answers = {
        INIT: struct.pack("=4I2H2I2H8I", 7, 31, 65536, 0, 8, 8, 65536, 1, 0, 0, *[0] * 8),
        LOOKUP: struct.pack("=4Q2I", 2, 1, 0, 0, 0, 0) + attributes,
        GETATTR: struct.pack("=Q2I", 0, 0, 0) + attributes,
        OPEN: struct.pack("=Q2I", 7, 0, 0),
    }
    while True:
        request = os.read(device, 200000)
        if silent: continue
        _, opcode, unique = struct.unpack_from("=IIQ", request)
        answer = answers.get(opcode)
        error = 0 if opcode in answers else -38
        os.write(device, struct.pack("=IiQ", 16 + len(answer or b""), error, unique) + (answer or b""))
os.close(device)
kinds = iter([os.O_PATH | os.O_DIRECTORY, os.O_RDWR, os.O_RDWR, os.O_RDWR])
def make():
    kind = next(kinds)
    return os.open("/mnt" if kind & os.O_DIRECTORY else "/mnt/file", kind)
def close(fds):
    os.kill(server, signal.SIGUSR1)
    time.sleep(0.1)
try:
    serve(make)
finally:
    os.kill(server, signal.SIGKILL)
`;

interface Peer extends AsyncDisposable {
  /** Has the peer send a message of two bytes with descriptors over a socket. */
  sendTo(socket: { readonly fd: number }, count?: number): Promise<void>;
}

async function peer(program: string): Promise<Peer> {
  const [ours, theirs] = UnixStream.pair();
  // Sanitizers are not for the peer.
  const env = { ...process.env, LD_PRELOAD: "" };
  const stdio = ["ignore", "inherit", "inherit", theirs.fd] as const;
  const child: ChildProcess = spawn("python3", ["-c", program], { env, stdio: [...stdio] });
  theirs.close();
  return {
    async sendTo(socket, count = 1) {
      await ours.sendFds(Uint8Array.of(count), [socket]);
      assert.is((await ours.recvFds(0)).data.toString(), "k");
    },
    async [Symbol.asyncDispose]() {
      ours.close();
      if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
    },
  };
}

/** Runs `body`; the longest time in which the event loop stood still. */
async function standstill(body: () => unknown): Promise<number> {
  let last = performance.now();
  let longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const ticks = setInterval(look, 10);
  await body();
  await sleep(30);
  look();
  clearInterval(ticks);
  return longest;
}

/** Ways for a descriptor to be closed that the program did not ask for. `sendTo` has a peer send one over a socket. */
const WAYS: Readonly<Record<string, (sendTo: Peer["sendTo"]) => Promise<void>>> = {
  "the surplus of a receive": (sendTo) => withPair(sendTo, async (b) => assert.is((await b.recvFds(0)).surplus, 1)),
  "the surplus of a synchronous receive": (sendTo) => withPair(sendTo, (b) => assert.is(b.recvFdsSync(0).surplus, 1)),
  "what a refused receive had brought": (sendTo) =>
    withPair(sendTo, async (b) => assert.is(await codeOf(b.recvFdsExact(2)), "ERR_FD_COUNT")),
  "a receive without an ancillary buffer": (sendTo) => withPair(sendTo, (b) => void recvmsg(b, Buffer.alloc(2))),
  "an ancillary buffer that is cleared": (sendTo) =>
    withPair(sendTo, (b) => {
      const into = new SocketAncillary(64);
      recvmsg(b, Buffer.alloc(2), into);
      into.clear();
    }),
  "an ancillary buffer, left in the middle": (sendTo) =>
    withPair(sendTo, (b) => {
      const into = new SocketAncillary(64);
      recvmsg(b, Buffer.alloc(2), into);
      into.messages().return!();
    }),
  "the queue of a reader": (sendTo) =>
    withPair(sendTo, async (b) => {
      const reader = b.reader();
      await reader.read(1);
      assert.is(reader.queuedFds, 1);
      reader.close();
    }),
  "more than a reader takes": (sendTo) =>
    withPair(sendTo, async (b) => {
      assert.is(await codeOf(b.reader({ maxFds: 0 }).read(3)), "ERR_TOO_MANY_FDS");
    }),
  "a socket closed with an unread message": (sendTo) => withPair(sendTo, (b) => b.close()),
  "a datagram socket closed with an unread message": async (sendTo) => {
    const [a, b] = UnixDatagram.pair();
    await sendTo(a);
    a.close();
    b.close();
  },
  "a socket at its end, closed with an unread message": async (sendTo) => {
    const [a, b] = UnixStream.pair();
    await sendTo(a);
    a.close();
    b.close();
  },
  "a listener with a connection that was not accepted": async (sendTo) => {
    const listener = UnixListener.bind(socketPath());
    const client = UnixStream.connectSync(listener.address!);
    await sendTo(client);
    listener.close();
    client.close();
  },
  "an owner that is garbage-collected": (sendTo) =>
    withPair(sendTo, async (b) => {
      const before = openFds().size;
      (() => void b.recvFdsSync(1))();
      for (let turn = 0; turn < 300 && openFds().size > before; turn++) {
        await sleep(10);
        globalThis.gc!();
      }
      assert.is(openFds().size, before);
    }),
};

/** Receives on one end of a pair what a peer sends over the other. */
async function withPair(sendTo: Peer["sendTo"], receive: (b: UnixStream) => unknown): Promise<void> {
  const [a, b] = UnixStream.pair();
  await sendTo(a);
  await receive(b);
  a.close();
  b.close();
}

test.python("what nobody asked for is closed elsewhere, if its close waits", async () => {
  const one = await peer(LINGERING);
  for (const [way, run] of Object.entries(WAYS)) {
    const longest = await standstill(() => run(one.sendTo));
    assert.ok(longest < AT_ONCE, `${way}: the event loop stood still for ${longest} ms`);
  }
  await one[Symbol.asyncDispose]();
});

test.python("many closes that wait: what comes after them is closed all the same", async () => {
  const one = await peer(LINGERING);
  const [a, b] = UnixStream.pair();
  const before = openFds().size;
  const longest = await standstill(async () => {
    await one.sendTo(a, 50);
    await one.sendTo(a, 10);
    assert.is((await b.recvFds(0)).surplus, 50);
    assert.is((await b.recvFds(0)).surplus, 10);
    a.sendFdsSync("x", [a, b, 0]);
    assert.is(b.recvFdsSync(0).surplus, 3);
    for (let turn = 0; turn < 400 && openFds().size > before; turn++) await sleep(5);
    assert.is(openFds().size, before);
  });
  await one[Symbol.asyncDispose]();
  a.close();
  b.close();
  assert.ok(longest < AT_ONCE, `it stood still for ${longest} ms`);
});

test.python("a worker ends with a descriptor whose close waits: no other thread waits for it", async () => {
  const one = await peer(LINGERING);
  const [a, b] = UnixStream.pair();
  await one.sendTo(a, 3);
  const fd = OwnedFd.from(b).release();
  const library = JSON.stringify(fileURLToPath(import.meta.resolve("unix-ancillary")));
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const { OwnedFd, UnixStream } = require(${library});
     globalThis.kept = UnixStream.from(OwnedFd.fromRaw(${fd})).recvFdsSync(3);
     parentPort.postMessage("received");
     setInterval(() => {}, 1000);`,
    { eval: true },
  );
  await new Promise((resolve) => worker.once("message", resolve));
  const longest = await standstill(async () => {
    const start = performance.now();
    const ended = worker.terminate();
    for (let turn = 0; turn < 20; turn++) {
      OwnedFd.fromRaw(OwnedFd.from(0).release()).close();
      await sleep(2);
    }
    await ended;
    assert.ok(performance.now() - start < AT_ONCE, "the worker's end waited");
  });
  await one[Symbol.asyncDispose]();
  a.close();
  b.close();
  assert.ok(longest < AT_ONCE, `the event loop stood still for ${longest} ms`);
});

test("surplus that does not wait is closed when the receive returns", async () => {
  const [a, b] = UnixStream.pair();
  const { openSync, closeSync } = await import("node:fs");
  const file = openSync(fileWith("content"), "r+");
  for (let turn = 0; turn < 200; turn++) {
    a.sendFdsSync("x", [a, file, 0]);
    const before = openFds().size;
    assert.is(b.recvFdsSync(1)[Symbol.dispose](), undefined);
    assert.is(openFds().size, before);
  }
  closeSync(file);
  a.close();
  b.close();
});

test("a number that is handed over for its close has an owner until then, and can be claimed afterwards", () => {
  const [a, b] = UnixStream.pair();
  a.sendFdsSync("x", [0]);
  const before = new Set(openFds().keys());
  b.recvFdsSync(0);
  // The lowest free number is the one that was closed.
  const next = OwnedFd.from(0).release();
  assert.not.ok(before.has(next));
  const claimed = OwnedFd.fromRaw(next);
  claimed.close();
  a.close();
  b.close();
});

const canMount =
  existsSync("/dev/fuse") &&
  process.getuid?.() === 0 &&
  works("python3", ["-c", "import os; os.open('/dev/fuse', os.O_RDWR)"]) &&
  works("unshare", ["-m", "true"]);

test.needing(
  canMount,
  "root, /dev/fuse and a mount namespace",
  "describe() asks no server of a file system, and a file of a silent server is closed elsewhere",
  async () => {
    const one = await peer(SILENT);
    const [a, b] = UnixStream.pair();
    await one.sendTo(a, 4);
    const longest = await standstill(async () => {
      const { fds, surplus } = await b.recvFds(3);
      assert.is(surplus, 1);
      assert.equal(fds[0]!.describe(), { kind: "directory", access: "path", nonblocking: false });
      assert.equal(fds[1]!.describe(), { kind: "file", access: "read-write", nonblocking: false, size: 12345 });
      // Nobody takes the copies: the reader closes them.
      a.sendFdsSync("x", fds);
      const reader = b.reader();
      await reader.read(1);
      assert.is(reader.queuedFds, 3);
      reader.close();
      // Here the program closes: as close(2), that waits, until the server has ended.
      await one[Symbol.asyncDispose]();
      for (const fd of fds) assert.match(await codeOf(() => fd.close()).catch(() => "closed"), /ENOTCONN|closed/);
    });
    a.close();
    b.close();
    assert.ok(longest < AT_ONCE, `it stood still for ${longest} ms`);
  },
);

test.run();
