/**
 * Bugs of other programs that pass descriptors, as in `regressions.test.ts`, with another program as the peer, which sends or
 * checks what the library would not.
 */

import { spawn, spawnSync } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import {
  FdChannel,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { fstatSync, openSync, readSync, readText } from "../descriptors.ts";
import {
  again,
  ancillary,
  codeOf,
  errorOf,
  fileWith,
  leakChecked,
  NEEDS,
  openFds,
  PAIRS,
  role,
  run,
} from "../support.ts";

const test = leakChecked("regressions-foreign");

const PROLOGUE = `
import array, fcntl, os, signal, socket, struct, sys
s = socket.socket(fileno=3)
def rights(fds): return (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
`;

/** Runs a Python script to its end, with a socket as descriptor 3 and as `s`. */
async function python(script: string, theirs: { fd: number }, ...args: string[]): Promise<string> {
  const stdio = ["ignore", "pipe", "pipe", theirs.fd] as const;
  const { code, signal, stdout, stderr } = await run("python3", ["-c", PROLOGUE + script, ...args], {
    stdio: [...stdio],
  });
  assert.ok(code === 0 || signal === "SIGKILL", stderr);
  return stdout;
}

test.python(
  "descriptors-dropped-when-the-first-write-has-to-wait: all of them arrive with their messages",
  async () => {
    const SENDS = 2000;
    const [ours, theirs] = UnixStream.pair();
    const script = `
sys.stdin.readline()
offset, seen = 0, []
while True:
  data, fds, flags, _ = socket.recv_fds(s, 1000, 253)
  if not data: break
  seen += [(offset, os.pread(fd, 10, 0).decode()) for fd in fds]
  for fd in fds: os.close(fd)
  offset += len(data)
wrong = [one for i, one in enumerate(seen) if one != (1000 * i, "ab"[i % 2])]
print(len(seen), offset, wrong[:3])
`;
    const child = spawn("python3", ["-c", PROLOGUE + script], { stdio: ["pipe", "pipe", "inherit", theirs.fd] });
    theirs.close();
    let output = "";
    (child.stdout as Readable).on("data", (bytes) => (output += bytes));
    const ended = new Promise((resolve) => child.once("close", resolve));
    const files = ["a", "b"].map((text) => OwnedFd.fromRaw(openSync(fileWith(text), "r")));
    let over = 0;
    const sends = Array.from({ length: SENDS }, async (_, i) => {
      await ours.sendFdsAll(Buffer.alloc(1000), [files[i % 2]!]);
      over++;
    });
    ours.shutdown("write");
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(over > 0 && over < SENDS, `${over} sends are over, and nobody has read`);
    (child.stdin as Writable).end("go\n");
    await Promise.all(sends);
    await ended;
    assert.is(output, `${SENDS} ${1000 * SENDS} []\n`);
    for (const file of files) file.close();
    ours.close();
  },
);

test.python(
  "one-descriptor-too-many-goes-out: cmsg_len counts the descriptors, not the padding after them",
  async () => {
    const counts = [1, 2, 3, 4, 5, 252, 253];
    for (const [, make] of PAIRS) {
      const [ours, theirs] = make();
      const file = openSync(fileWith("sent"), "r");
      const owned = OwnedFd.fromRaw(file);
      for (const count of counts) {
        const fds = new Array(count).fill(owned);
        ours.sendFdsSync("a", fds);
        using out = ancillary();
        out.addFds(fds);
        sendmsg(ours, "b", out);
      }
      const script = `
for _ in range(${2 * counts.length}):
  _, messages, flags, _ = s.recvmsg(1, 8192)
  for level, kind, data in messages:
    fds = array.array("i", data)
    print(len(data), len(messages), all(os.fstat(fd).st_ino == int(sys.argv[1]) for fd in fds))
    for fd in fds: os.close(fd)
`;
      const output = await python(script, theirs, String(fstatSync(file).ino));
      const expected = counts.flatMap((count) => [`${4 * count} 1 True`, `${4 * count} 1 True`]);
      assert.equal(output.trim().split("\n"), expected);
      owned.close();
      ours.close();
      theirs.close();
    }
  },
);

test.python(
  "only-the-first-control-message-is-read: credentials, two SCM_RIGHTS and a pidfd (Linux 6.5) in one message",
  async () => {
    for (const [kind, make] of PAIRS) {
      const [ours, theirs] = make();
      ours.setPassCredentials(true);
      if (NEEDS.passPidfd[0]) ours.setPassPidfd(true);
      const script = `
r, w = os.pipe()
me = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
for _ in range(2): s.sendmsg([b"all"], [rights([r, w]), (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, me), rights([w, r, w])])
print(os.getpid())
sys.stdout.flush()
sys.stdin.read()
`;
      const child = spawn("python3", ["-c", PROLOGUE + script], { stdio: ["pipe", "pipe", "inherit", theirs.fd] });
      const said = new Promise((resolve) => (child.stdout as Readable).once("data", resolve));
      const pid = Number(String(await said));
      const message = await ours.recvFds(5);
      assert.is(message.credentials!.pid, pid, kind);
      assert.is(message.pidfd?.describe().kind, NEEDS.passPidfd[0] ? "pidfd" : undefined);
      assert.equal(
        message.fds.map((fd) => fd.describe().access),
        ["read", "write", "write", "read", "write"],
      );
      message[Symbol.dispose]();
      using into = ancillary();
      recvmsg(ours, Buffer.alloc(3), into);
      const kinds: string[] = [];
      for (const one of into.messages()) {
        kinds.push(one.kind === "rights" ? `${one.fds.length} rights` : one.kind);
        if (one.kind === "rights") for (const fd of one.fds) fd.close();
        if (one.kind === "pidfd") one.pidfd.close();
      }
      assert.equal(kinds, ["credentials", "5 rights", ...(NEEDS.passPidfd[0] ? ["pidfd"] : [])]);
      (child.stdin as Writable).end();
      await new Promise((resolve) => child.once("close", resolve));
      ours.close();
      theirs.close();
    }
  },
);

test.python(
  "descriptors-given-to-the-wrong-message: each message has its own, however its bytes are split",
  async () => {
    const [ours, theirs] = UnixStream.pair();
    // Each message has its length, its count of descriptors and its number; each descriptor is a file that contains the number.
    // The bytes are split at random, and the descriptors of a message are sent with any of its bytes.
    const script = `
import random
random.seed(7)
for number in range(300):
  fds = []
  for i in range(random.choice([0, 0, 1, 2, 3])):
    fd = os.memfd_create("x"); os.write(fd, b"%d.%d" % (number, i)); fds.append(fd)
  body = os.urandom(random.randrange(3000))
  data = struct.pack(">IBI", len(body), len(fds), number) + body
  while data:
    size = random.randrange(1, len(data) + 1)
    some = fds[:random.randrange(len(fds) + 1)] if size < len(data) else fds
    sent = s.sendmsg([data[:size]], [rights(some)] if some else [])
    for fd in some: os.close(fd)
    fds = fds[len(some):]
    data = data[sent:]
  assert not fds
`;
    const done = python(script, theirs);
    theirs.close();
    const reader = ours.reader();
    for (let number = 0; number < 300; number++) {
      const header = await reader.read(9);
      assert.is(header.readUInt32BE(5), number);
      await reader.read(header.readUInt32BE(0));
      const fds = reader.takeFds(header[4]!);
      const content = Buffer.alloc(20);
      for (const [i, fd] of fds.entries()) {
        const bytes = readSync(fd.fd, content);
        assert.is(content.toString("latin1", 0, bytes), `${number}.${i}`);
        fd.close();
      }
    }
    assert.ok(await reader.ended());
    assert.is(reader.queuedFds, 0);
    reader.close();
    await done;
  },
);

test.python("sender-closes-before-it-arrives: descriptors that a process sent before it was killed work", async () => {
  for (const [, make] of PAIRS) {
    const [ours, theirs] = make();
    const script = `
r, w = os.pipe()
os.write(w, b"still there")
m = os.memfd_create("m"); os.write(m, b"this too")
x, y = socket.socketpair(); y.send(b"and this")
socket.send_fds(s, [b"last words"], [r, m, x.fileno()])
for fd in (r, w, m): os.close(fd)
os.kill(os.getpid(), signal.SIGKILL)
`;
    await python(script, theirs);
    theirs.close();
    const message = await ours.recvFdsExact(3);
    const [pipe, memfd, socket] = message.fds as [OwnedFd, OwnedFd, OwnedFd];
    assert.is(readText(pipe.fd), "still there");
    const content = Buffer.alloc(8);
    readSync(memfd.fd, content);
    assert.is(content.toString(), "this too");
    const stream = UnixStream.from(socket);
    assert.is(stream.recvFdsSync(0).data.toString(), "and this");
    assert.ok(stream.recvFdsSync(0).eof);
    stream.close();
    message[Symbol.dispose]();
    ours.close();
  }
});

test.python("credentials-with-unset-ids: all three ids are sent as given", async () => {
  const [ours, theirs] = UnixStream.pair();
  theirs.setPassCredentials(true);
  // Only root may send other ids than its own.
  const root = process.getuid!() === 0;
  const who = root ? { uid: 1234, gid: 4321 } : { uid: process.getuid!(), gid: process.getgid!() };
  for (const pid of [process.pid, null]) {
    using out = ancillary();
    out.addCredentials({ pid, ...who });
    sendmsg(ours, "x", out);
  }
  using out = ancillary();
  for (const partial of [{ pid: 1 }, { pid: 1, uid: 0 }, { pid: 1, uid: Number.NaN, gid: 0 }, {}])
    assert.is.not(await codeOf(() => out.addCredentials(partial as never)), "no code");
  assert.is(out.length, 0);
  const script = `
for _ in range(2):
  _, messages, _, _ = s.recvmsg(1, 100)
  print([struct.unpack("iII", data) for _, kind, data in messages if kind == 2])
`;
  const expected = `[(${process.pid}, ${who.uid}, ${who.gid})]\n`;
  assert.is(await python(script, theirs), expected + expected);
  ours.close();
  theirs.close();
});

test.python("lengths-of-partial-descriptors: no panic, no descriptor that was not sent, none lost", async () => {
  const lengths = [0, 1, 3, 4, 5, 7, 8, 11, 12];
  for (const [kind, make] of PAIRS) {
    const [ours, theirs] = make();
    const script = `
for length in map(int, sys.argv[1:]):
  for _ in range(2): s.sendmsg([b"%d" % length], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, (array.array("i", [0] * 3).tobytes())[:length])])
# What is refused is not sent at all.
for bad in (struct.pack("i", -1), struct.pack("i", 12345)):
  try: s.sendmsg([b"bad"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, bad)])
  except OSError: pass
`;
    await python(script, theirs, ...lengths.map(String));
    for (const length of lengths) {
      // A stream may join messages without descriptors: read each by its length.
      const bytes = String(length).length;
      const message = ours.recvFdsSync(253, { bufferSize: bytes });
      assert.equal([message.data.toString(), message.fds.length], [String(length), length >> 2], kind);
      message[Symbol.dispose]();
      using into = ancillary();
      assert.is(recvmsg(ours, Buffer.alloc(bytes), into).bytesRead, bytes);
      let fds = 0;
      for (const one of into.messages()) {
        assert.is(one.kind, "rights");
        if (one.kind === "rights") for (const fd of one.fds) [fds++, fd.close()];
      }
      assert.is(fds, length >> 2);
    }
    assert.is(ours.tryRecvFds(1), null);
    ours.close();
    theirs.close();
  }
});

test.python("unknown-control-messages: skipped, without output on stderr, and with room for all of them", async () => {
  const { code, stdout, stderr } = await again(import.meta.url, "every-option");
  assert.is(code, 0, stderr);
  assert.is(stderr, "");
  assert.is(stdout, "done\n");
});

test.needing(
  spawnSync("python3", ["-c", "import socket; socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, 83, 0)"]).status ===
    0,
  "SO_PASSRIGHTS (Linux 6.16) and python3",
  "peer-refuses-descriptors-half-way: EPERM for waiting sends with descriptors, and bytes are still sent",
  async () => {
    const [ours, theirs] = UnixStream.pair();
    const first = await ours.sendFds(Buffer.alloc(10_000_000));
    const refused = [ours.sendFds("1", [0]), ours.sendFdsAll("2", [0])].map((sending) =>
      errorOf(sending as Promise<unknown>),
    );
    const plain = ours.sendFdsAll("three");
    const [left, right] = UnixStream.pair();
    const channel = FdChannel.over(left);
    const long = channel.send(Buffer.alloc(3_000_000), [0]);
    const frame = codeOf(channel.send("4", [0]));
    const behind = channel.send("five");
    for (const one of [theirs, right]) await python("s.setsockopt(socket.SOL_SOCKET, 83, 0)", one);
    for (let bytes = 0; bytes < first; ) bytes += (await theirs.recvFds(0)).data.length;
    for (const error of await Promise.all(refused)) {
      assert.is((error as { code?: string }).code, "EPERM");
      assert.match(error.message, "SO_PASSRIGHTS");
    }
    await plain;
    assert.is(theirs.recvFdsSync(0).data.toString(), "three");
    // A frame that has not begun does not poison the channel.
    const peer = FdChannel.over(right);
    (await peer.recv())![Symbol.dispose]();
    await long;
    assert.is(await frame, "EPERM");
    await behind;
    assert.is((await peer.recv())!.payload.toString(), "five");
    for (const one of [ours, theirs, channel, peer]) one.close();
  },
);

test.python("reading-before-it-is-connected: an error, and no abort", async () => {
  const [ours, theirs] = UnixStream.pair();
  const script = `
made = [socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)]
socket.send_fds(s, [b"x"], [one.fileno() for one in made])
`;
  await python(script, theirs);
  const { fds } = ours.recvFdsExactSync(3);
  using out = ancillary();
  out.addFds([0]);
  const answers: string[] = [];
  for (const fd of fds) {
    answers.push(await codeOf(() => recvmsg(fd, Buffer.alloc(1))), await codeOf(() => sendmsg(fd, "x", out)));
  }
  assert.equal(answers, ["EINVAL", "ENOTCONN", "ENOTCONN", "ENOTCONN", "EAGAIN", "ENOTCONN"]);
  for (const make of [UnixStream, UnixSeqpacket, UnixListener])
    for (const fd of fds) assert.is(await codeOf(() => make.from(fd)), "ERR_NOT_UNIX_SOCKET");
  const datagram = UnixDatagram.from(fds[2]!);
  assert.is(await codeOf(datagram.sendFds("x", [0])), "ENOTCONN");
  const abort = new AbortController();
  const waiting = errorOf(datagram.recvFds(1, { signal: abort.signal }));
  abort.abort("nobody knows its name");
  assert.is((await waiting) as unknown, "nobody knows its name");
  datagram.close();
  for (const fd of fds) fd.close();
  ours.close();
  theirs.close();
});

test.python(
  "a-file-where-a-socket-was-expected: any kind of file is described and refused, without an abort",
  async () => {
    const [ours, theirs] = UnixStream.pair();
    const script = `
import ctypes, select, tempfile
f = tempfile.TemporaryFile()
epoll = select.epoll()
made = [f.fileno(), os.open("/", os.O_RDONLY), os.open("/", os.O_PATH), os.memfd_create("m"), epoll.fileno()]
made += [os.eventfd(0), os.pidfd_open(os.getpid()), os.open("/dev/null", os.O_RDWR), *os.pipe(), os.openpty()[0]]
tcp = socket.socket(); udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made += [tcp.fileno(), udp.fileno(), ctypes.CDLL(None).inotify_init()]
socket.send_fds(s, [b"x"], made)
print(len(made))
`;
    const count = Number(await python(script, theirs));
    const { fds } = ours.recvFdsExactSync(count);
    for (const fd of fds) {
      assert.ok(fd.describe().kind.length > 0);
      const number = fd.fd;
      for (const make of [UnixStream, UnixSeqpacket, UnixDatagram, UnixListener])
        assert.is(await codeOf(() => make.from(fd)), "ERR_NOT_UNIX_SOCKET", fd.describe().kind);
      using out = ancillary();
      out.addFds([fd]);
      assert.is(await codeOf(() => sendmsg(fd, "x", out)), "ERR_NOT_UNIX_SOCKET");
      for (const [syscall, use] of [
        ["sendmsg", () => sendmsg(fd, "x")],
        ["recvmsg", () => recvmsg(fd, Buffer.alloc(1))],
      ] as const) {
        const error = (await errorOf(use)) as Error & { code?: string; syscall?: string };
        assert.is(error.syscall, syscall);
        const { kind } = fd.describe();
        // The kernel's own: sockets that are not connected, a descriptor of O_PATH, and what is no socket.
        const expected = kind === "socket" ? /^(E[A-Z]+)$/ : /^(ENOTSOCK|EBADF)$/;
        assert.match(error.code!, expected, kind);
      }
      assert.is(fd.fd, number, "it stays its owner's");
      // The socket still works.
      ours.sendFdsSync("on", [fd]);
      theirs.recvFdsSync(1)[Symbol.dispose]();
    }
    for (const fd of fds) fd.close();
    ours.close();
    theirs.close();
  },
);

/** A program, whose stderr is checked, with every option that adds a control message, and the most descriptors. */
async function everyOption(): Promise<void> {
  const most = new Array(253).fill(0);
  for (const [kind, make] of PAIRS) {
    const [a, b] = make();
    b.setPassCredentials(true);
    if (NEEDS.passPidfd[0]) b.setPassPidfd(true);
    b.setPassSecurity(true);
    // SO_TIMESTAMPNS, SO_TIMESTAMPING with all software timestamps, SO_INQ. Not every type of socket has each of them.
    const script = `
for option, value in ((35, 1), (37, 1 << 4 | 1 << 3), (84, 1), (75, 1)):
  try: s.setsockopt(socket.SOL_SOCKET, option, value); print(option)
  except OSError: pass
`;
    const options = await python(script, b);
    const before = openFds();
    a.sendFdsSync("x", most);
    const message = b.recvFdsSync(253);
    assert.equal(
      [message.fds.length, message.pidfd !== null, message.credentials!.pid],
      [253, NEEDS.passPidfd[0], process.pid],
      kind,
    );
    message[Symbol.dispose]();
    a.sendFdsSync("x", most);
    using into = new SocketAncillary(8192);
    assert.is(recvmsg(b, Buffer.alloc(1), into).ancillaryTruncated, false);
    const kinds: string[] = [];
    for (const one of into.messages()) {
      kinds.push(one.kind);
      if (one.kind === "rights") for (const fd of one.fds) fd.close();
      if (one.kind === "pidfd") one.pidfd.close();
    }
    assert.is(kinds.includes("pidfd"), NEEDS.passPidfd[0]);
    for (const expected of ["credentials", "rights"]) assert.ok(kinds.includes(expected), expected);
    // A stream has no timestamps, and SO_INQ only on newer kernels.
    const known = ["credentials", "rights", "pidfd", "security"];
    const others = kinds.filter((one) => !known.includes(one));
    assert.is(
      others.length > 0,
      kind !== "stream" || /^84$/m.test(options),
      `${kind}: one that is not known: ${kinds}`,
    );
    // Bun closes the stdio of a child later.
    assert.equal(
      [...openFds().keys()].filter((fd) => !before.has(fd)),
      [],
    );
    a.close();
    b.close();
  }
  process.stdout.write("done\n");
}

if (role === "every-option") await everyOption();
else test.run();
