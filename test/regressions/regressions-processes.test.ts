/**
 * Bugs of other programs that pass descriptors, as in `regressions.test.ts`, whose tests need a process of their own, for its
 * limits, its signals, or its descriptor 0.
 */

import { spawn } from "node:child_process";
import { readFileSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type AncillaryError,
  FdChannel,
  OwnedFd,
  type ReceivedFds,
  recvmsg,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import {
  again,
  ancillary,
  closedAgain,
  codeOf,
  errorOf,
  leakChecked,
  NEEDS,
  openFds,
  PAIRS,
  role,
  run,
  socketPath,
} from "../support.ts";

const test = leakChecked("regressions-processes");

test("descriptor-0-taken-for-none: it is sent, received, watched and closed like any other", async () => {
  const { code, stdout, stderr } = await again(import.meta.url, "zero");
  assert.is(code, 0, stderr);
  assert.is(stdout, "done\n");
});

/** Sends and receives {@link EXCHANGED} messages at the same time, with several receives at once. */
const EXCHANGED = 300;
const MESSAGE_BYTES = 20_000;
async function exchange(stream: UnixStream): Promise<{ bytes: number; fds: number }> {
  const all = { bytes: 0, fds: 0 };
  const sending = Promise.all(
    Array.from({ length: EXCHANGED }, () => stream.sendFdsAll(Buffer.alloc(MESSAGE_BYTES), [0])),
  ).then(() => stream.shutdown("write"));
  const receive = async () => {
    for await (const message of stream.messages(253)) {
      all.bytes += message.data.length;
      all.fds += message.fds.length;
      message[Symbol.dispose]();
    }
  };
  await Promise.all([sending, receive(), receive(), receive(), receive()]);
  return all;
}

test("both-ends-write-at-once: no deadlock, and concurrent receives lose nothing", async () => {
  const [ours, theirs] = UnixStream.pair();
  const done = again(import.meta.url, "exchange", [], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
  theirs.close();
  const expected = { bytes: EXCHANGED * MESSAGE_BYTES, fds: EXCHANGED };
  assert.equal(await exchange(ours), expected);
  const { code, stdout, stderr } = await done;
  assert.is(code, 0, stderr);
  assert.equal(JSON.parse(stdout), expected);
  ours.close();
});

/** Runs this file again, after a command of the shell, such as ulimit. */
function limited(what: string, role: string): ReturnType<typeof run> {
  const args = ["-c", `${what} && exec "$@"`, "sh", process.execPath, "--expose-gc", fileURLToPath(import.meta.url)];
  return run("sh", args, { env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: role } });
}

test("descriptor-table-full-half-way: every kind of receive reports it, closes the received descriptors, and works afterwards", async () => {
  const { code, stdout, stderr } = await limited("ulimit -n 64", "table-full");
  assert.is(code, 0, stderr);
  assert.is(stdout, "done\n");
});

test.needing(
  ...NEEDS.unprivileged,
  "too-many-descriptors-in-flight: ETOOMANYREFS, nothing is sent, and the socket works when they have been received",
  async () => {
    // root has no such limit: the program changes to another user, with nothing else in flight.
    const { code, stdout, stderr } = await limited("ulimit -n 64", "in-flight");
    assert.is(code, 0, stderr);
    assert.is(stdout, "done\n");
  },
);

test("sigpipe-kills-the-process: EPIPE, even if SIGPIPE is not ignored", async () => {
  const { code, signal, stdout, stderr } = await again(import.meta.url, "sigpipe");
  assert.equal([code, signal], [0, null], stderr);
  assert.is(stdout, "done\n");
});

test("interrupted-by-a-signal: a waiting call continues until its timeout, and no longer", async () => {
  const [ours, theirs] = UnixStream.pair();
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ["ignore", "pipe", "inherit", theirs.fd],
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "interrupted" },
  });
  theirs.close();
  const exited = new Promise((resolve) => child.once("close", resolve));
  let output = "";
  let ended = false;
  child.stdout!.on("data", (bytes) => (output += bytes));
  child.once("close", () => (ended = true));
  /** Sends signals until the program has printed a text, and at least `least` times. */
  const signalUntil = async (said: string, least: number) => {
    for (let i = 0; !ended && (i < least || !output.includes(said)); i++) {
      // The timeout has no effect: give up.
      if (i === 10_000) child.kill("SIGKILL");
      if (output.includes("waits")) child.kill("SIGUSR2");
      await sleep(1);
    }
  };
  await signalUntil("waits to receive", 50);
  ours.sendFdsSync("x", [0]);
  await signalUntil("received 1\n", 0);
  await signalUntil("waits to send", 50);
  const sent = await drainUntilEnd(ours);
  await signalUntil("timed out ETIMEDOUT\n", 0);
  assert.is(await exited, 0, output);
  assert.equal(sent, { bytes: 3_000_000, fds: 1 });
  assert.match(output, /signals [1-9]/);
  ours.close();
});

async function drainUntilEnd(stream: UnixStream): Promise<{ bytes: number; fds: number }> {
  const all = { bytes: 0, fds: 0 };
  while (all.bytes < 3_000_000) {
    const message = await stream.recvFds(1, { bufferSize: 65536 });
    if (message.eof) break;
    all.bytes += message.data.length;
    all.fds += message.fds.length;
    message[Symbol.dispose]();
  }
  return all;
}

const PROGRAMS: Readonly<Record<string, () => unknown>> = {
  async zero() {
    const place = () => openSync("/dev/null", "r");
    const zeroIsFree = () => assert.throws(() => fstatSync(0), "EBADF");
    closeSync(0);
    // Sockets: waiting, sending, receiving, closing.
    let [a, b] = UnixStream.pair();
    assert.is(a.fd, 0);
    const waiting = a.recvFds(1);
    await sleep(1);
    b.sendFdsSync("x", [a]);
    const message = await waiting;
    message[Symbol.dispose]();
    const copy = OwnedFd.from(a);
    copy.close();
    a.close();
    zeroIsFree();
    b.close();
    // Received descriptors.
    assert.is(place(), 0);
    [a, b] = UnixStream.pair();
    const pidfds = NEEDS.passPidfd[0];
    if (pidfds) b.setPassPidfd(true);
    const receive = async (receive: () => ReceivedFds | Promise<ReceivedFds>, fds: number[]) => {
      closeSync(0);
      a.sendFdsSync("x", fds);
      const received = await receive();
      return received;
    };
    const [c] = (await receive(() => b.recvFdsSync(1), [1])).fds as [OwnedFd];
    assert.equal([c.fd, c.closed], [0, false]);
    c.describe();
    const duplicate = c.dup();
    assert.is(c.release(), 0);
    duplicate.close();
    assert.is((await receive(() => b.recvFds(0), [1])).surplus, 1);
    assert.throws(() => fstatSync(0).isFIFO(), "EBADF");
    assert.is(place(), 0);
    const last = (await receive(() => b.recvFds(0), [])).pidfd;
    assert.is(last?.fd, pidfds ? 0 : undefined);
    assert.is(last?.describe().kind, pidfds ? "pidfd" : undefined);
    last?.close();
    assert.is(place(), 0);
    // A pidfd that was not requested.
    const other = UnixStream.from(OwnedFd.from(b));
    assert.is((await receive(() => other.recvFds(0), [])).pidfd, null);
    zeroIsFree();
    other.close();
    assert.is(place(), 0);
    // The low-level API.
    using into = ancillary();
    using out = ancillary();
    closeSync(0);
    out.addFds([1]);
    sendmsg(a, "x", out);
    recvmsg(b, Buffer.alloc(1), into);
    const kinds = [...into.messages()].map((one) => {
      if (one.kind === "rights") for (const fd of one.fds) fd.close();
      if (one.kind === "pidfd") one.pidfd.close();
      return one.kind;
    });
    assert.equal(kinds, ["rights", ...(pidfds ? ["pidfd"] : [])]);
    zeroIsFree();
    // Listeners and channels.
    const path = socketPath();
    const listener = UnixListener.bind(path);
    assert.is(listener.fd, 0);
    const accepting = listener.accept();
    const client = await UnixStream.connect(path);
    (await accepting).close();
    client.close();
    listener.close();
    zeroIsFree();
    const channels = FdChannel.pair();
    fstatSync(0);
    await channels[1].send("x", [1]);
    (await channels[0].recv())![Symbol.dispose]();
    for (const one of channels) one.close();
    zeroIsFree();
    const raw = OwnedFd.fromRaw(place());
    assert.is(raw.fd, 0);
    a.sendFdsSync("x", [raw]);
    b.recvFdsSync(1)[Symbol.dispose]();
    raw.close();
    zeroIsFree();
    a.close();
    b.close();
    writeSync(1, "done\n");
  },

  async exchange() {
    const stream = UnixStream.from(OwnedFd.fromRaw(3));
    writeSync(1, JSON.stringify(await exchange(stream)));
    stream.close();
  },

  async "table-full"() {
    const before = openFds();
    const filled: number[] = [];
    const full = async (free: number, body: () => unknown) => {
      const open = openFds().size;
      let outcome: unknown;
      try {
        for (;;) filled.push(openSync("/dev/null", "r"));
      } catch {
        // The table is full.
      }
      for (let i = 0; i < free; i++) closeSync(filled.pop()!);
      try {
        outcome = await body();
      } finally {
        for (const fd of filled.splice(0)) closeSync(fd);
      }
      if (outcome instanceof Error) closedAgain(open);
      return outcome;
    };
    const refused = (error: Error, text: string) => {
      const { code, reason, data } = error as AncillaryError;
      assert.equal(
        [code, reason, Buffer.from(data!).toString()],
        ["ERR_ANCILLARY_TRUNCATED", "descriptor-limit", text],
        error.stack!,
      );
    };
    for (const free of [0, 1, 3]) {
      for (const [kind, make] of PAIRS) {
        const [a, b] = make();
        const text = `${kind}, ${free} free`;
        for (const receive of [
          () => b.recvFds(4),
          () => b.recvFdsSync(4),
          () => b.tryRecvFds(4),
          () => b.recvFdsExact(4),
          () => b.recvFds(0),
        ]) {
          a.sendFdsSync(text, [0, 0, 0, 0]);
          refused((await full(free, () => errorOf(receive))) as Error, text);
        }
        // The low-level API returns the received descriptors, and reports the truncation.
        using into = ancillary();
        const buffer = Buffer.alloc(100);
        a.sendFdsSync(text, [0, 0, 0, 0]);
        const result = (await full(free, () => recvmsg(b, buffer, into))) as ReturnType<typeof recvmsg>;
        assert.is(result.ancillaryTruncated, true);
        let came = 0;
        for (const one of into.messages()) {
          assert.is(one.kind, "rights");
          if (one.kind === "rights") for (const fd of one.fds) [fd.close(), came++];
        }
        assert.is(came, free);
        // If the kernel cannot create the pidfd, it writes a negative errno: no descriptor, and no reason to refuse the bytes.
        const pidfds = NEEDS.passPidfd[0];
        if (pidfds) b.setPassPidfd(true);
        if (pidfds && free === 0) {
          a.sendFdsSync(text);
          const message = (await full(0, () => b.recvFdsSync(4))) as ReceivedFds;
          assert.equal([message.data.toString(), message.pidfd], [text, null]);
          a.sendFdsSync(text);
          await full(0, () => recvmsg(b, buffer, into));
          assert.equal(
            [...into.messages()].map((one) => one.kind),
            ["unknown"],
          );
        }
        a.sendFdsSync(text, [0, 0, 0, 0]);
        const message = b.recvFdsSync(4);
        assert.equal([message.data.toString(), message.fds.length, message.pidfd !== null], [text, 4, pidfds]);
        message[Symbol.dispose]();
        a.close();
        b.close();
      }
      // Readers and channels fail: bytes and descriptors would no longer match.
      const [a, b] = UnixStream.pair();
      a.sendFdsSync("x", [0, 0, 0, 0]);
      const reader = b.reader();
      refused((await full(free, () => errorOf(reader.read(1)))) as Error, "x");
      assert.ok(b.closed);
      a.close();
      const [c, d] = FdChannel.pair();
      await c.send("x", [0, 0, 0, 0]);
      const error = (await full(free, () => errorOf(d.recv()))) as Error & { code: string };
      assert.is((error.cause as AncillaryError | undefined)?.code ?? error.code, "ERR_ANCILLARY_TRUNCATED");
      c.close();
      d.close();
    }
    // Every call that opens a descriptor reports it, and leaves nothing open.
    const path = socketPath();
    const listener = UnixListener.bind(path);
    const client = UnixStream.connectSync(path);
    const openers: (() => unknown)[] = [
      () => UnixStream.pair(),
      () => FdChannel.pair(),
      () => UnixStream.connect(path),
      () => UnixStream.connectSync(path),
      () => UnixDatagram.bind(socketPath()),
      () => UnixListener.bind(socketPath()),
      () => listener.accept(),
      () => listener.acceptSync(),
      () => OwnedFd.from(client),
      ...(NEEDS.peerPidfd[0] ? [() => client.peerPidfd()] : []),
    ];
    for (const open of openers) {
      assert.is(await full(0, () => codeOf(open)), "EMFILE", open.toString());
    }
    // A pair needs two descriptors.
    assert.is(await full(1, () => codeOf(() => UnixStream.pair())), "EMFILE");
    (await listener.accept()).close();
    client.close();
    listener.close();
    const after = openFds();
    assert.equal(
      [...after].filter(([fd]) => !before.has(fd)).filter(([, file]) => !/eventpoll|eventfd|pipe/.test(file)),
      [],
    );
    writeSync(1, "done\n");
  },

  async "in-flight"() {
    if (process.getuid!() === 0) {
      process.setgid!(10_000 + (process.pid % 50_000));
      process.setuid!(10_000 + (process.pid % 50_000));
    }
    const [a, b] = UnixStream.pair();
    const tooMany = async (send: () => unknown) => {
      const error = (await errorOf(send)) as Error & { code: string; errno: number; syscall: string };
      assert.equal([error.code, error.errno, error.syscall], ["ETOOMANYREFS", -109, "sendmsg"]);
      assert.match(error.message, "in flight");
      return error;
    };
    for (let round = 0; round < 3; round++) {
      let sent = 0;
      const error = await errorOf(() => {
        for (; sent < 200; sent++) a.sendFdsSync("x", [0]);
      });
      assert.is((error as { code?: string }).code, "ETOOMANYREFS", `after ${sent}: ${error.message}`);
      assert.ok(sent > 60, `${sent} went`);
      await tooMany(() => a.sendFdsSync(Buffer.from("x"), [0]));
      await tooMany(() => a.sendFds("x", [0]));
      await tooMany(() => a.trySendFds("x", [0]));
      const progress = await tooMany(() => a.sendFdsAll("x", [0]));
      assert.equal({ ...progress }, { ...progress, bytesSent: 0, fdsSent: false });
      using out = ancillary();
      out.addFds([0]);
      await tooMany(() => sendmsg(a, "x", out));
      // Bytes without descriptors are still sent.
      a.sendFdsSync(".");
      let received = 0;
      for (let message = b.tryRecvFds(1); message !== null; message = b.tryRecvFds(1)) {
        received += message.fds.length;
        message[Symbol.dispose]();
      }
      assert.is(received, sent);
    }
    a.close();
    b.close();
    writeSync(1, "done\n");
  },

  async sigpipe() {
    // Node ignores SIGPIPE; libuv restores the default when the last listener is removed.
    const listener = () => {};
    process.on("SIGPIPE", listener);
    process.off("SIGPIPE", listener);
    const status = readFileSync("/proc/self/status", "utf8");
    for (const mask of ["SigIgn", "SigCgt"]) {
      const bits = BigInt(`0x${new RegExp(`${mask}:\\s+(\\w+)`).exec(status)![1]!}`);
      assert.is(bits & (1n << 12n), 0n, `${mask}: SIGPIPE would end this process`);
    }
    for (const [kind, make] of PAIRS) {
      const [a, b] = make();
      const pending = kind === "stream" ? codeOf((a as UnixStream).sendFdsAll(Buffer.alloc(3_000_000), [0])) : "EPIPE";
      b.close();
      assert.is(await pending, "EPIPE");
      using out = ancillary();
      out.addFds([0]);
      for (const send of [
        () => a.sendFds("x", [0]),
        () => a.sendFdsSync(Buffer.from("x"), [0]),
        () => a.trySendFds("x"),
        () => sendmsg(a, "x", out),
        () => (a instanceof UnixDatagram ? a.sendFds("x") : a.sendFdsAll("x", [0])),
      ]) {
        assert.match(await codeOf(send), kind === "datagram" ? /ECONNREFUSED|ECONNRESET|ENOTCONN/ : /EPIPE/);
      }
      a.close();
    }
    const [a, b] = FdChannel.pair();
    b.close();
    assert.is(await codeOf(a.send("x", [0])), "EPIPE");
    a.close();
    writeSync(1, "done\n");
  },

  async interrupted() {
    let signals = 0;
    process.on("SIGUSR2", () => signals++);
    const stream = UnixStream.from(OwnedFd.fromRaw(3));
    writeSync(1, "waits to receive\n");
    const message = stream.recvFdsSync(1);
    writeSync(1, `received ${message.fds.length}\n`);
    message[Symbol.dispose]();
    writeSync(1, "waits to send\n");
    stream.sendFdsAllSync(Buffer.alloc(3_000_000), [0]);
    writeSync(1, "waits for its time to be up\n");
    const code = await codeOf(() => stream.recvFdsSync(1, { timeout: 200 }));
    writeSync(1, `timed out ${code}\n`);
    // Signal handlers run in a turn of the event loop.
    for (let turn = 0; turn < 1000 && signals === 0; turn++) await new Promise((resolve) => setImmediate(resolve));
    writeSync(1, `signals ${signals}\n`);
    stream.close();
    process.exit(0);
  },
};

if (role === undefined) test.run();
else await PROGRAMS[role]!();
