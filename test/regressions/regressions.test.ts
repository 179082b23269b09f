/**
 * Bugs of other programs that pass descriptors; each test is named for its bug. `docs/bugs-of-others.md` says where they were
 * seen, and which other tests guard the rest of the list.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
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
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import {
  ancillary,
  codeOf,
  errorOf,
  fileWith,
  leakChecked,
  NEEDS,
  openFds,
  PAIRS,
  pair,
  run,
  socketPath,
  threadReports,
} from "../support.ts";

const test = leakChecked("regressions");

/** Sends until there is no more room; returns the number of bytes sent. */
function fill(socket: UnixStream | UnixSeqpacket | UnixDatagram): number {
  let sum = 0;
  // A kernel that counts the bytes alone (gVisor) has room for a small message behind the large ones.
  for (const block of [Buffer.alloc(1000, "f"), Buffer.alloc(1, "f")]) {
    for (let sent = socket.trySendFds(block); sent !== null; sent = socket.trySendFds(block)) sum += sent;
  }
  return sum;
}

/** Receives until nothing has arrived for a turn of the event loop; counts and closes the descriptors. */
async function drain(socket: UnixStream | UnixSeqpacket | UnixDatagram): Promise<{ bytes: number; fds: number }> {
  const all = { bytes: 0, fds: 0 };
  for (let idle = 0; idle < 3; ) {
    const message = socket.tryRecvFds(253, { bufferSize: 65536 });
    if (message === null) {
      idle++;
      await sleep(2);
      continue;
    }
    idle = 0;
    all.bytes += message.data.length;
    all.fds += message.fds.length;
    message[Symbol.dispose]();
  }
  return all;
}

/** One end of a pair to send, and the other end, which sees when no process has the first one open any more. */
function watched(): { sent: OwnedFd; isOpen: () => boolean } & Disposable {
  const [end, other] = UnixStream.pair();
  const sent = OwnedFd.from(end);
  end.close();
  return {
    sent,
    isOpen: () => other.tryRecvFds(0)?.eof !== true,
    [Symbol.dispose]: () => other.close(),
  };
}

function flags(fd: number): number {
  return Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8);
}

const O_NONBLOCK = 0o4000;

test(
  "queued-sends-use-up-the-descriptor-table: queued descriptors are not duplicated",
  pair(async (a, b) => {
    const filled = fill(a);
    const before = openFds().size;
    const sends = Array.from({ length: 2000 }, () => a.sendFds("x", new Array(10).fill(0)));
    assert.is(openFds().size, before);
    let [bytes, fds] = [0, 0];
    while (bytes < filled + 2000) {
      const message = await b.recvFds(10);
      bytes += message.data.length;
      fds += message.fds.length;
      message[Symbol.dispose]();
    }
    assert.is(fds, 20_000);
    await Promise.all(sends);
  }),
);

test("number-reused-while-it-waits: on every kind of socket, another file is never sent in its place", async () => {
  const path = socketPath();
  for (const make of [
    ...PAIRS.map(([, make]) => make),
    () => [UnixDatagram.unbound(), UnixDatagram.bind(path)] as const,
  ]) {
    const [a, b] = make();
    const to = b.address;
    if (to !== null) (a as UnixDatagram).connect(to);
    fill(a);
    const sends: ((fds: OwnedFd[]) => Promise<unknown>)[] = [(fds) => a.sendFds("1", fds)];
    if (!(a instanceof UnixDatagram)) sends.push((fds) => a.sendFdsAll("2", fds));
    else if (to !== null) sends.push((fds) => a.sendFdsTo("3", fds, to));
    const owned = sends.map(() => OwnedFd.fromRaw(openSync(fileWith("mine"), "r")));
    const numbers = owned.map(({ fd }) => fd);
    const codes = sends.map((send, i) => codeOf(send([owned[i]!])));
    for (const one of owned) one.close();
    const others = numbers.map(() => openSync(fileWith("somebody else's"), "r"));
    assert.equal(others, numbers, "the numbers are used again");
    assert.is((await drain(b)).fds, 0);
    for (const code of await Promise.all(codes)) assert.is(code, "ERR_FD_CLOSED");
    for (const fd of others) closeSync(fd);
    a.close();
    b.close();
  }
});

test("number-reused-while-its-frame-waits: that frame fails, and later frames are sent", async () => {
  const [a, b] = FdChannel.pair();
  const long = a.send(Buffer.alloc(3_000_000));
  const owned = OwnedFd.fromRaw(openSync(fileWith("mine"), "r"));
  const { fd } = owned;
  const failing = codeOf(a.send("never", [owned]));
  const behind = a.send("behind", [0]);
  owned.close();
  const other = openSync(fileWith("somebody else's"), "r");
  assert.is(other, fd, "the number is used again");
  assert.is((await b.recv())!.payload.length, 3_000_000);
  assert.is(await failing, "ERR_FD_CLOSED");
  const frame = (await b.recv())!;
  assert.equal([frame.payload.toString(), fstatSync(frame.fds[0]!.fd).rdev], ["behind", fstatSync(0).rdev]);
  frame[Symbol.dispose]();
  await Promise.all([long, behind]);
  closeSync(other);
  a.close();
  b.close();
});

test("descriptors-inherited-by-later-children: none that the library opens or receives", async () => {
  const inherited = async () => (await run("sh", ["-c", "cd /proc/self/fd; ls"])).stdout;
  const before = await inherited();
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const connecting = UnixStream.connect(path);
  const open: Disposable[] = [listener, await connecting, UnixStream.connectSync(path), await listener.accept()];
  open.push(listener.acceptSync(), UnixListener.from(OwnedFd.from(listener)));
  for (const [, make] of PAIRS) {
    const [a, b] = make();
    open.push(a, b, OwnedFd.from(a));
    if (NEEDS.passPidfd[0]) b.setPassPidfd(true);
    a.sendFdsSync("sync", [0, 1]);
    open.push(b.recvFdsSync(1));
    const waiting = b.recvFds(2);
    await a.sendFds("async", [0, 1]);
    open.push(await waiting);
    a.sendFdsSync("into", [0]);
    open.push(b.recvFdsIntoSync(Buffer.alloc(10), 1));
    using out = ancillary();
    out.addFds([0, 1]);
    const into = ancillary();
    open.push(into);
    sendmsg(a, "low", out);
    recvmsg(b, Buffer.alloc(10), into);
    if (b instanceof UnixDatagram) continue;
    if (NEEDS.peerPidfd[0]) open.push(b.peerPidfd());
    const reader = b.reader();
    open.push(reader);
    a.sendFdsSync("read", [0]);
    await reader.read(1);
  }
  const [left, right] = FdChannel.pair();
  await left.send("frame", [0, 1]);
  open.push(left, right, (await right.recv())!);
  open.push(UnixDatagram.bind(socketPath()), UnixDatagram.unbound());
  assert.ok(openFds().size > 40, "all of it is open");
  assert.is(await inherited(), before);
  for (const one of open.reverse()) one[Symbol.dispose]();
});

test("flags-of-others-changed: files and connected sockets do not stay O_NONBLOCK after a send, receive, adoption or wait", async () => {
  for (const [kind, make] of PAIRS) {
    const [shared, peer] = make();
    const file = openSync(fileWith("sent"), "r");
    const [sent, other] = UnixStream.pair();
    const all = [shared.fd, file, sent.fd];
    const before = all.map(flags);
    for (const one of before) assert.is(one & O_NONBLOCK, 0);
    const copy = OwnedFd.from(shared);
    const adopted =
      kind === "stream"
        ? UnixStream.from(copy)
        : kind === "seqpacket"
          ? UnixSeqpacket.from(copy)
          : UnixDatagram.from(copy);
    const unchanged = (when: string) => assert.equal(all.map(flags), before, `${kind}, ${when}`);
    const waiting = adopted.recvFds(2);
    unchanged("waiting to receive");
    peer.sendFdsSync("x", [file, sent]);
    const message = await waiting;
    unchanged("received");
    for (const { fd } of message.fds) assert.is(flags(fd) & O_NONBLOCK, 0, "what was received");
    for (const fd of message.fds) fd.describe();
    message[Symbol.dispose]();
    assert.is(await codeOf(() => adopted.recvFdsSync(1, { timeout: 5 })), "ETIMEDOUT");
    unchanged("waiting synchronously");
    fill(adopted);
    const sending = adopted.sendFds("x", [file, sent]);
    assert.is(await codeOf(() => adopted.sendFdsSync("x", [file], { timeout: 5 })), "ETIMEDOUT");
    unchanged("waiting to send");
    await drain(peer);
    await sending;
    unchanged("sent");
    adopted.close();
    unchanged("closed");
    for (const one of [shared, peer, sent, other]) one.close();
    closeSync(file);
  }
});

test("lengths-of-the-last-receive-used-for-the-next: each receive has all the room, and only its own flags", async () => {
  for (const [kind, make] of PAIRS) {
    const [a, b] = make();
    const buffer = Buffer.alloc(10);
    const into = ancillary();
    using out = ancillary();
    const many = new Array(253).fill(0);
    for (let round = 0; round < 3; round++) {
      assert.is(b.tryRecvFds(1), null);
      assert.is(await codeOf(() => recvmsg(b, buffer, into)), "EAGAIN");
      for (const fds of [1, 253, 0, 253]) {
        a.sendFdsSync("x", many.slice(0, fds));
        const message = b.recvFdsSync(253);
        assert.equal([message.fds.length, message.surplus, message.dataTruncated], [fds, 0, false], kind);
        message[Symbol.dispose]();
        out.clear();
        if (fds > 0) out.addFds(many.slice(0, fds));
        sendmsg(a, "x", out);
        assert.equal(recvmsg(b, buffer, into), {
          bytesRead: 1,
          ancillaryTruncated: false,
          dataTruncated: false,
          address: null,
        });
        assert.is(into.length, fds === 0 ? 0 : SocketAncillary.bufferSizeForRights(fds));
      }
      a.sendFdsSync("x", [0]);
      assert.is(await codeOf(() => b.recvFdsExactSync(2)), "ERR_FD_COUNT");
      sendmsg(a, "x", out);
      using small = new SocketAncillary(24);
      assert.is(recvmsg(b, buffer, small).ancillaryTruncated, true);
      if (kind === "stream") continue;
      a.sendFdsSync("too long", [0]);
      assert.is(await codeOf(() => b.recvFdsSync(1, { bufferSize: 1 })), "ERR_DATA_TRUNCATED");
    }
    into.clear();
    a.close();
    b.close();
  }
  const named = UnixDatagram.bind(socketPath());
  const receiver = UnixDatagram.bind(socketPath());
  const nameless = UnixDatagram.unbound();
  named.sendFdsToSync("x", [], receiver.address!);
  nameless.sendFdsToSync("x", [], receiver.address!);
  assert.equal([receiver.recvFdsFromSync(0).address, receiver.recvFdsFromSync(0).address], [named.address, null]);
  for (const one of [named, receiver, nameless]) one.close();
});

type Leave = (a: UnixStream, b: UnixStream, sent: OwnedFd) => unknown;

/** Ways to leave descriptors unread. Afterwards only the two sockets are closed. */
const LEFT_UNREAD: Readonly<Record<string, Leave>> = {
  "in the kernel": (a, _b, sent) => a.sendFdsSync("x", [sent]),
  "in the kernel, the sender gone": (a, _b, sent) => {
    a.sendFdsSync("x", [sent]);
    a.close();
  },
  "as surplus": (a, b, sent) => {
    a.sendFdsSync("x", [sent]);
    assert.is(b.recvFdsSync(0).surplus, 1);
  },
  "refused by the count": async (a, b, sent) => {
    a.sendFdsSync("x", [sent]);
    assert.is(await codeOf(b.recvFdsExact(2)), "ERR_FD_COUNT");
  },
  "in a reader": async (a, b, sent) => {
    const reader = b.reader();
    a.sendFdsSync("xy", [sent]);
    await reader.read(1);
    assert.is(reader.queuedFds, 1);
  },
  "in a reader that waits for more": async (a, b, sent) => {
    const reading = codeOf(b.reader().read(100));
    a.sendFdsSync("xy", [sent]);
    await sleep(5);
    b.close();
    assert.is(await reading, "ERR_SOCKET_CLOSED");
  },
  "in a reader over its limit": async (a, b, sent) => {
    const reader = b.reader({ maxQueuedFds: 0 });
    a.sendFdsSync("x", [sent]);
    assert.is(await codeOf(reader.read(1)), "ERR_TOO_MANY_FDS");
  },
  "in an iteration that was left": async (a, b, sent) => {
    a.sendFdsSync("first");
    a.sendFdsSync("second", [sent]);
    for await (const _ of b.messages(1, { bufferSize: 5 })) break;
  },
  "in a message that was disposed of": (a, b, sent) => {
    a.sendFdsSync("x", [sent]);
    b.recvFdsSync(1)[Symbol.dispose]();
  },
  "in an ancillary buffer": (a, b, sent) => {
    a.sendFdsSync("x", [sent]);
    const into = ancillary();
    recvmsg(b, Buffer.alloc(1), into);
    into.clear();
  },
  "in an ancillary buffer that was used again": (a, b, sent) => {
    a.sendFdsSync("x", [sent]);
    a.sendFdsSync("y");
    using into = ancillary();
    for (let i = 0; i < 2; i++) recvmsg(b, Buffer.alloc(1), into);
  },
  "in frames behind the one that was received": async (a, b, sent) => {
    const channels = [FdChannel.over(a), FdChannel.over(b)] as const;
    for (const text of ["one", "two", "three"]) await channels[0].send(text, text === "one" ? [] : [sent]);
    assert.is((await channels[1].recv())!.payload.toString(), "one");
    for (const one of channels) one.close();
  },
  "in a frame whose receive was withdrawn": async (a, b, sent) => {
    const channel = FdChannel.over(b);
    // The header of a frame with one descriptor and 100 bytes, which are never sent.
    a.sendFdsSync(Buffer.from("55414e4301000001000000640000000000000001", "hex"), [sent]);
    const abort = new AbortController();
    const receiving = errorOf(channel.recv({ signal: abort.signal }));
    await sleep(2);
    abort.abort("enough");
    assert.is((await receiving) as unknown, "enough");
    channel.close();
  },
};

for (const [where, leave] of Object.entries(LEFT_UNREAD)) {
  test(
    `unread-descriptors-stay-open: ${where}`,
    pair(async (a, b) => {
      using one = watched();
      await leave(a, b, one.sent);
      one.sent.close();
      a.close();
      b.close();
      assert.not.ok(one.isOpen());
    }),
  );
}

test("sender-keeps-a-copy-open: a file that the receiver closes is closed, with every way to send", async () => {
  for (const [, make] of PAIRS) {
    const [a, b] = make();
    const sends: [string, (fds: OwnedFd[]) => unknown][] = [
      ["sendFds", (fds) => a.sendFds("x", fds)],
      ["sendFdsSync", (fds) => a.sendFdsSync("x", fds)],
      ["trySendFds", (fds) => a.trySendFds("x", fds)],
      [
        "sendmsg",
        (fds) => {
          using out = ancillary();
          out.addFds(fds);
          sendmsg(a, "x", out);
        },
      ],
    ];
    if (!(a instanceof UnixDatagram)) sends.push(["sendFdsAll", (fds) => a.sendFdsAll("x", fds)]);
    for (const [name, send] of sends) {
      using one = watched();
      const sending = send([one.sent]);
      one.sent.close();
      await sending;
      const message = await b.recvFds(1);
      assert.ok(one.isOpen(), name);
      message[Symbol.dispose]();
      assert.not.ok(one.isOpen(), name);
    }
    a.close();
    b.close();
  }
});

test("surplus-stays-open-until-the-channel-closes: surplus descriptors are closed when the receive returns", () => {
  const [a, b] = UnixStream.pair();
  const all = Array.from({ length: 200 }, watched);
  a.sendFdsSync(
    "x",
    all.map(({ sent }) => sent),
  );
  for (const { sent } of all) sent.close();
  const message = b.recvFdsSync(1);
  assert.is(message.surplus, 199);
  assert.is(all.filter(({ isOpen }) => isOpen()).length, 1);
  message[Symbol.dispose]();
  assert.is(all.filter(({ isOpen }) => isOpen()).length, 0);
  for (const one of all) one[Symbol.dispose]();
  a.close();
  b.close();
});

test("cycle-of-sockets-in-flight: sockets that only carry each other are freed, with the other files that they carry", async () => {
  const [a, b] = UnixStream.pair();
  const [c, d] = UnixStream.pair();
  a.sendFdsSync("x", [a, d]);
  b.sendFdsSync("y", [b]);
  for (const one of [a, b, d]) one.close();
  // The kernel looks for cycles when a socket is closed, but not while it is already looking.
  const closing = setInterval(() => {
    for (const one of UnixStream.pair()) one.close();
  }, 20);
  try {
    assert.ok((await c.recvFds(0, { signal: AbortSignal.timeout(20_000) })).eof);
  } finally {
    clearInterval(closing);
  }
  c.close();
});

test(
  "small-message-keeps-a-large-buffer: memory depends on the received bytes, not on the size of the buffer",
  pair(async (a, b) => {
    const before = process.memoryUsage().arrayBuffers;
    const kept: Buffer[] = [];
    for (let i = 0; i < 1000; i++) {
      a.sendFdsSync("a few bytes");
      kept.push(b.recvFdsSync(0, { bufferSize: 1_000_000 }).data);
    }
    const used = process.memoryUsage().arrayBuffers - before;
    assert.ok(used < 20_000_000, `${used} bytes for ${kept.length} messages of ${kept[0]!.length}`);
    // A peer that announces many bytes must send many before they take memory.
    const reader = b.reader();
    const abort = new AbortController();
    const reading = errorOf(reader.read(0x7fffffff, { signal: abort.signal }));
    a.sendFdsSync("ten bytes.");
    await sleep(2);
    const more = process.memoryUsage().arrayBuffers - before;
    assert.ok(more < 20_000_000, `${more} bytes for a read that was not served`);
    abort.abort("enough");
    await reading;
    assert.is((await reader.read(10)).toString(), "ten bytes.");
  }),
);

test("inherited-descriptor-watched-twice: two owners of a socket work; the same number twice is an error, not an abort", async () => {
  const path = socketPath();
  const server = createServer({ pauseOnConnect: true }).listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  const accepting = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const client = await UnixStream.connect(path);
  const theirs = (await accepting).resume();
  // Node starts to read in the next tick.
  await new Promise((resolve) => setImmediate(resolve));
  // The same socket with another number, while Node watches its own number.
  const copy = UnixStream.from(OwnedFd.from(theirs));
  const waiting = copy.recvFds(1);
  // The same number, which is a mistake of the caller.
  const { fd } = (theirs as unknown as { _handle: { fd: number } })._handle;
  const twice = UnixStream.from(OwnedFd.fromRaw(fd));
  const abort = new AbortController();
  const watching = codeOf(twice.recvFds(1, { signal: abort.signal }));
  // It fails a few milliseconds later.
  await Promise.race([watching, sleep(500)]);
  abort.abort({ code: "it waits" });
  // With readiness by a thread, poll(2) accepts the same number twice.
  assert.is(await watching, threadReports ? "it waits" : "EEXIST");
  assert.is(twice.tryRecvFds(1), null, "what need not wait works");
  theirs.destroy();
  await new Promise((resolve) => theirs.once("close", resolve));
  // The other owner closes it.
  assert.is(await codeOf(() => twice.close()), "EBADF");
  client.sendFdsSync("for the copy", [0]);
  const message = await waiting;
  assert.equal([message.data.toString(), message.fds.length], ["for the copy", 1]);
  message[Symbol.dispose]();
  copy.close();
  client.close();
  await new Promise((resolve) => server.close(resolve));
  // A listening socket with two owners.
  const listener = UnixListener.bind(path);
  const both = [UnixListener.from(OwnedFd.from(listener)), UnixListener.from(OwnedFd.from(listener))] as const;
  const accepts = both.map((one) => one.accept());
  const clients = [UnixStream.connectSync(path), UnixStream.connectSync(path)];
  for (const stream of await Promise.all(accepts)) stream.close();
  for (const one of [...clients, ...both, listener]) one.close();
});

test("paths-cut-in-silence: every call that takes a path uses all of it or refuses it", async () => {
  const folder = socketPath();
  const unbound = UnixDatagram.unbound();
  const takers: [string, (path: string) => unknown][] = [
    ["UnixListener.bind", (path) => UnixListener.bind(path)],
    ["UnixSeqpacket.connect", (path) => UnixSeqpacket.connect(path)],
    ["UnixSeqpacket.connectSync", (path) => UnixSeqpacket.connectSync(path)],
    ["UnixDatagram.bind", (path) => UnixDatagram.bind(path)],
    ["connect", (path) => unbound.connect(path)],
    ["sendFdsTo", (path) => unbound.sendFdsTo("x", [], path)],
    ["sendFdsToSync", (path) => unbound.sendFdsToSync("x", [], path)],
    ["sendmsg", (address) => sendmsg(unbound, "x", null, { address })],
  ];
  for (const [name, take] of takers) {
    const tooLong = [folder.padEnd(200, "x"), `${folder}${"/x".repeat(2500)}`];
    for (const path of [...tooLong, `${folder}\0cut`, "\0".padEnd(109, "x")]) {
      const error = await errorOf(async () => take(path));
      assert.instance(error, RangeError, `${name} of ${path.length} bytes`);
    }
  }
  unbound.close();
  // The longest paths of sun_path are used whole; bound-names.test.ts has longer ones.
  const longest = folder.padEnd(107, "x");
  const abstract = `\0${process.pid}.`.padEnd(108, "x");
  for (const path of [longest, abstract]) {
    const listener = UnixListener.bind(path);
    assert.is(listener.address, path);
    if (path === longest) assert.ok(existsSync(path));
    const client = UnixStream.connectSync(path);
    assert.is(client.peerAddress, path);
    client.close();
    listener.close();
  }
  // In an abstract name, a NUL is a byte like any other.
  const names = [`\0${process.pid}`, `\0${process.pid}\0a`, `\0${process.pid}\0b`, `\0${process.pid}\0`];
  const sockets = names.map((name) => UnixDatagram.bind(name));
  assert.equal(
    sockets.map(({ address }) => address),
    names,
  );
  for (const one of sockets) one.close();
});

test("the list: every test that docs/bugs-of-others.md names exists, and every regression test is named", () => {
  const page = readFileSync("docs/bugs-of-others.md", "utf8");
  /** The string literals in a file, without their computed parts. */
  const strings = (file: string) =>
    [...readFileSync(file, "utf8").matchAll(/(["`])((?:\\.|(?!\1).)*?)\1/g)].map((found) =>
      found[2]!.replace(/\$\{[^}]*\}/g, ""),
    );
  const links = [...page.matchAll(/\[([^\]]+)\]\(\.\.\/([^)]+)\)/g)].map((found) => [found[1]!, found[2]!] as const);
  assert.ok(links.length > 80, `${links.length} tests are named`);
  for (const [title, file] of links) {
    if (title === file) assert.ok(existsSync(file), file);
    else
      assert.ok(
        strings(file).some((one) => one.includes(title)),
        `${file} has no test "${title}"`,
      );
  }
  const named = new Set(links.map(([title]) => title));
  for (const file of readdirSync("test/regressions")) {
    const titles = strings(`test/regressions/${file}`).flatMap(
      (one) => /^([a-z0-9]+(?:-[a-z0-9]+){2,}): /.exec(one)?.[1] ?? [],
    );
    assert.ok(titles.length > 4, `${file}: ${titles.length} tests`);
    for (const title of titles) assert.ok(named.has(title), `the page does not name ${title}`);
  }
});

test.run();
