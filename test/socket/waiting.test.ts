/** Waiting operations: order, abort, timeouts, partial sends, the end of the stream, and closing meanwhile. */

import { setTimeout as sleep } from "node:timers/promises";
import { type AncillaryError, OwnedFd, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { again, codeOf, errorOf, fileWith, leakChecked, NEEDS, pair, role, threadReports } from "../support.ts";

const test = leakChecked("waiting");

/** Sends until the socket buffer is full; returns the number of bytes sent. */
function fill(socket: UnixStream): number {
  const block = Buffer.alloc(65536, "f");
  let sum = 0;
  for (;;) {
    const sent = socket.trySendFds(block);
    if (sent === null) return sum;
    sum += sent;
  }
}

async function drain(socket: UnixStream, bytes: number): Promise<number> {
  let fds = 0;
  for (let left = bytes; left > 0; ) {
    const message = await socket.recvFds(253, { bufferSize: 65536 });
    left -= message.data.length;
    fds += message.fds.length;
    message[Symbol.dispose]();
  }
  return fds;
}

test(
  "two concurrent receivers are served in the order of their calls",
  pair(async (a, b) => {
    const receives = ["first", "second", "third"].map((name) => b.recvFds(1).then(({ data }) => `${name} ${data}`));
    const order: string[] = [];
    for (const text of ["A", "B", "C"]) {
      a.sendFdsSync(text);
      // A stream would join it and the next.
      order.push(await Promise.race(receives));
      receives.shift();
    }
    assert.equal(order, ["first A", "second B", "third C"]);
  }),
);

test(
  "concurrent receives, again and again: the last and the middle one are aborted, those behind are served",
  pair(async (a, b) => {
    for (let burst = 0; burst < 3; burst++) {
      const aborts = [0, 1, 2, 3].map(() => new AbortController());
      const receives = aborts.map(({ signal }) => b.recvFds(0, { signal }).then(({ data }) => data.toString(), String));
      aborts[3]!.abort("last");
      aborts[1]!.abort("middle");
      const behind = b.recvFds(0).then(({ data }) => data.toString());
      for (const [text, served] of [
        ["A", receives[0]],
        ["B", receives[2]],
        ["C", behind],
      ] as const) {
        a.sendFdsSync(text);
        await served;
      }
      assert.equal(await Promise.all([...receives, behind]), ["A", "middle", "B", "last", "C"]);
    }
  }),
);

test(
  "a synchronous receive is served after the waiting ones",
  pair(async (a, b) => {
    const waiting = b.recvFds(1);
    a.sendFdsSync("first", [0]);
    assert.is(b.tryRecvFds(1), null, "the first message belongs to the one that waits");
    a.sendFdsSync("second");
    assert.is(b.recvFdsSync(1).data.toString(), "second");
    const message = await waiting;
    assert.is(message.data.toString(), "first");
    message[Symbol.dispose]();
  }),
);

test(
  "concurrent sends arrive in the order of their calls",
  pair(async (a, b) => {
    const filled = fill(a);
    const sends = [a.sendFds("1", [0]), a.sendFdsAll("2"), a.sendFds("3", [0, 0])];
    await drain(b, filled);
    await Promise.all(sends);
    const texts: string[] = [];
    for (let fds = 0; fds < 3; ) {
      const message = await b.recvFds(3);
      fds += message.fds.length;
      texts.push(message.data.toString());
      message[Symbol.dispose]();
    }
    assert.is(texts.join(""), "123");
  }),
);

test(
  "partial-send: the descriptors are sent once, with the first byte, and every byte arrives",
  pair(async (a, b) => {
    const payload = Buffer.alloc(3_000_000);
    for (let i = 0; i < payload.length; i++) payload[i] = i * 7;
    const file = openSync(fileWith("partial"), "r");
    const sending = a.sendFdsAll([payload.subarray(0, 1000), payload.subarray(1000)], [file, file]);
    const parts: Buffer[] = [];
    const arrived: number[] = [];
    for (let length = 0; length < payload.length; ) {
      const message = await b.recvFds(10, { bufferSize: 50_000 });
      if (message.fds.length > 0) arrived.push(message.streamOffset, message.fds.length);
      message[Symbol.dispose]();
      parts.push(message.data);
      length += message.data.length;
    }
    await sending;
    assert.equal(arrived, [0, 2]);
    assert.ok(Buffer.concat(parts).equals(payload));
    closeSync(file);
  }),
);

test(
  "sendFds returns how much of a long message the kernel took",
  pair(async (a, b) => {
    const sent = await a.sendFds(Buffer.alloc(5_000_000), [0]);
    assert.ok(sent > 0 && sent < 5_000_000, String(sent));
    assert.is(await drain(b, sent), 1);
  }),
);

test("sendFdsAllSync with a slow receiver in another process", async () => {
  const [a, b] = UnixStream.pair();
  const child = again(import.meta.url, "slow-reader", [], { stdio: ["ignore", "pipe", "pipe", b.fd] });
  await sleep(50);
  a.sendFdsAllSync(Buffer.alloc(2_000_000, "x"), [0]);
  b.close();
  a.close();
  const { stdout, stderr } = await child;
  assert.is(stdout, "2000000 bytes, 1 descriptors", stderr);
});

test(
  "abort while waiting cancels the receive, and nothing is lost",
  pair(async (a, b) => {
    const abort = new AbortController();
    const waiting = b.recvFds(1, { signal: abort.signal });
    const behind = b.recvFds(1);
    const reason = new Error("enough");
    abort.abort(reason);
    assert.is(await errorOf(waiting), reason);
    a.sendFdsSync("kept", [0]);
    const message = await behind;
    assert.is(message.data.toString(), "kept");
    message[Symbol.dispose]();
  }),
);

test(
  "abort after a message has arrived, and before the wait has heard of it: the next receive gets the message",
  pair(async (a, b) => {
    const abort = new AbortController();
    const waiting = b.recvFds(1, { signal: abort.signal });
    a.sendFdsSync("kept", [0]);
    abort.abort("enough");
    assert.is((await errorOf(waiting)) as unknown, "enough");
    const message = await b.recvFds(1);
    assert.is(message.data.toString(), "kept");
    message[Symbol.dispose]();
  }),
);

test(
  "abort before the call: nothing is received or sent",
  pair(async (a, b) => {
    a.sendFdsSync("x", [0]);
    assert.is((await errorOf(b.recvFds(1, { signal: AbortSignal.abort("no") }))) as unknown, "no");
    assert.is((await errorOf(a.sendFds("y", [0], { signal: AbortSignal.abort("no") }))) as unknown, "no");
    const message = b.recvFdsSync(2);
    assert.is(message.data.toString(), "x");
    message[Symbol.dispose]();
  }),
);

test(
  "abort after the message has arrived is too late: it is delivered",
  pair(async (a, b) => {
    const abort = new AbortController();
    a.sendFdsSync("x", [0]);
    const received = b.recvFds(1, { signal: abort.signal });
    abort.abort();
    (await received)[Symbol.dispose]();
  }),
);

test(
  "many operations with one signal leave no listener on it",
  pair(async (a, b) => {
    const { signal } = new AbortController();
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.message);
    process.on("warning", onWarning);
    for (let i = 0; i < 50; i++) {
      const waiting = b.recvFds(0, { signal });
      a.sendFdsSync("x");
      await waiting;
    }
    await sleep(5);
    process.off("warning", onWarning);
    assert.equal(warnings, []);
  }),
);

test(
  "abort in the middle of sendFdsAll: the error has the progress, and the descriptors are not sent again",
  pair(async (a, b) => {
    const abort = new AbortController();
    const sending = a.sendFdsAll(Buffer.alloc(5_000_000), [0], { signal: abort.signal });
    await sleep(5);
    abort.abort("reason");
    const error = (await errorOf(sending)) as Error & { bytesSent: number; fdsSent: boolean; code: string };
    assert.is(error.name, "AbortError");
    assert.is(error.code, "ABORT_ERR");
    assert.is(error.cause, "reason");
    assert.is(error.fdsSent, true);
    assert.ok(error.bytesSent > 0 && error.bytesSent < 5_000_000);
    assert.is(await drain(b, error.bytesSent), 1);
    assert.is(b.tryRecvFds(1), null);
  }),
);

test(
  "peer-closed-mid-send: EPIPE with the progress, no SIGPIPE",
  pair(async (a, b) => {
    const sending = a.sendFdsAll(Buffer.alloc(5_000_000), [0]);
    await sleep(5);
    b.close();
    const error = (await errorOf(sending)) as Error & {
      bytesSent: number;
      fdsSent: boolean;
      code: string;
      syscall: string;
    };
    assert.is(error.code, "EPIPE");
    assert.is(error.syscall, "sendmsg");
    assert.is(error.message, "EPIPE: broken pipe, sendmsg");
    assert.is(error.fdsSent, true);
    assert.ok(error.bytesSent > 0);
    const again = (await errorOf(() => a.sendFdsSync("x", [0]))) as Error & { errno: number };
    assert.is((again as { code?: string }).code, "EPIPE");
    assert.is(again.errno, -32);
  }),
);

test(
  "the-end: everything sent is delivered, then the end, repeatedly",
  pair(async (a, b) => {
    const waiting = b.recvFds(1);
    a.sendFdsSync("last", [0]);
    a.close();
    const message = await waiting;
    assert.is(message.eof, false);
    message[Symbol.dispose]();
    for (const end of [await b.recvFds(1), b.recvFdsSync(1), b.tryRecvFds(1)!]) {
      assert.is(end.eof, true);
      assert.is(end.data.length, 0);
    }
  }),
);

test(
  "ECONNRESET: a peer that closes without reading our bytes",
  pair(async (a, b) => {
    b.sendFdsSync("never read");
    a.close();
    assert.is(await codeOf(b.recvFds(1)), "ECONNRESET");
  }),
);

test(
  "shutdown of writing takes effect after the queued sends",
  pair(async (a, b) => {
    const filled = fill(a);
    const sending = a.sendFdsAll("tail", [0]);
    a.shutdown("write");
    assert.is(await drain(b, filled + 4), 1);
    await sending;
    assert.is((await b.recvFds(1)).eof, true);
    assert.is(await codeOf(() => a.sendFdsSync("x")), "EPIPE");
    b.sendFdsSync("the other direction works");
    assert.is(a.recvFdsSync(0).data.toString(), "the other direction works");
  }),
);

test(
  "iteration ends when the peer finishes; leaving it early keeps the rest",
  pair(async (a, b) => {
    for (const text of ["1", "2", "3"]) a.sendFdsSync(text, [0]);
    for await (const message of b.messages(1)) {
      assert.is(message.data.toString(), "1");
      message[Symbol.dispose]();
      break;
    }
    a.close();
    const rest: string[] = [];
    for await (const message of b) {
      rest.push(message.data.toString());
      message[Symbol.dispose]();
    }
    assert.equal(rest, ["2", "3"]);
  }),
);

test("close while waiting: every operation fails, the descriptor is closed at once", async () => {
  const [a, b] = UnixStream.pair();
  fill(a);
  const operations = [a.recvFds(1), a.recvFds(1), a.sendFds("x", [0]), a.sendFdsAll("x", [0])];
  const { fd } = a;
  a.close();
  assert.throws(() => fstatSync(fd), "EBADF");
  assert.ok(a.closed);
  for (const operation of operations) assert.is(await codeOf(operation), "ERR_SOCKET_CLOSED");
  for (const action of [
    () => a.sendFdsSync("x"),
    () => a.recvFdsSync(1),
    () => a.trySendFds("x"),
    () => a.tryRecvFds(1),
    () => a.recvFds(1),
    () => a.sendFdsAll("x"),
    () => a.shutdown(),
    () => a.toSocket(),
    () => a.address,
  ]) {
    assert.is(await codeOf(action), "ERR_SOCKET_CLOSED", action.toString());
  }
  assert.is(await codeOf(() => a.fd), "ERR_FD_CLOSED");
  a.close();
  await a[Symbol.asyncDispose]();
  b.close();
});

test("close inside the continuation of a receive, with others waiting", async () => {
  const [a, b] = UnixStream.pair();
  const first = b.recvFds(1).then(() => b.close());
  const second = b.recvFds(1);
  a.sendFdsSync("x");
  await first;
  assert.is(await codeOf(second), "ERR_SOCKET_CLOSED");
  a.close();
});

test("close in a getter, in the middle of its own send", async () => {
  const [a, b] = UnixStream.pair();
  const closer = {
    get fd(): number {
      a.close();
      return 0;
    },
  };
  await codeOf(Promise.resolve(a.sendFds("x", [closer])).then(() => assert.unreachable("sent on a closed socket")));
  assert.ok(a.closed);
  b.close();
});

test(
  "timeout: 0 does not wait; ETIMEDOUT after a timeout, and the next operation works",
  pair(async (a, b) => {
    for (const timeout of [0, 20]) {
      const start = performance.now();
      const error = (await errorOf(() => b.recvFdsSync(1, { timeout }))) as Error & { syscall: string; code: string };
      assert.is(error.code, "ETIMEDOUT");
      assert.is(error.syscall, "recvmsg");
      assert.ok(performance.now() - start >= timeout - 1);
    }
    a.sendFdsSync("y");
    assert.is(b.recvFdsSync(0, { timeout: 1000 }).data.toString(), "y");
    fill(a);
    const error = (await errorOf(() => a.sendFdsAllSync("x", [0], { timeout: 5 }))) as AncillaryError & {
      bytesSent: number;
    };
    assert.is(error.code, "ETIMEDOUT");
    assert.is(error.bytesSent, 0);
    b.sendFdsSync("x");
    assert.is(a.recvFdsSync(0, { timeout: 1000 }).data.toString(), "x");
  }),
);

test(
  "a descriptor closed while its send is queued is never sent, although its number is reused",
  pair(async (a, b) => {
    const filled = fill(a);
    const owned = OwnedFd.fromRaw(openSync(fileWith("mine"), "r"));
    const { fd } = owned;
    const sending = a.sendFds("x", [owned]);
    owned.close();
    const other = openSync(fileWith("somebody else's"), "r");
    assert.is(other, fd, "the number is used again");
    const failing = codeOf(sending);
    await drain(b, filled);
    assert.is(await failing, "ERR_FD_CLOSED");
    assert.is(b.tryRecvFds(1), null);
    closeSync(other);
  }),
);

test(
  "changes to a list while its send is queued have no effect",
  pair(async (a, b) => {
    const filled = fill(a);
    const file = openSync(fileWith("listed"), "r");
    const fds = [file];
    const sending = a.sendFds("x", fds);
    fds[0] = 0;
    fds.push(0, 0);
    await drain(b, filled);
    await sending;
    const message = b.recvFdsExactSync(1);
    assert.is(fstatSync(message.fds[0]!.fd).ino, fstatSync(file).ino);
    message[Symbol.dispose]();
    closeSync(file);
  }),
);

test("starvation: a peer that sends faster than we receive does not stop timers", async () => {
  const [a, b] = UnixStream.pair();
  const child = again(import.meta.url, "flood", [], { stdio: ["ignore", "pipe", "pipe", b.fd] });
  b.close();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  let bytes = 0;
  for await (const message of a.messages(0)) bytes += message.data.length;
  clearInterval(timer);
  assert.is(bytes, 200_000 * 8);
  assert.ok(ticks > 10, `${ticks} ticks`);
  a.close();
  await child;
});

test(
  "immediate sends and receives within one process let timers run too",
  pair(async (a, b) => {
    let ticked = false;
    setTimeout(() => (ticked = true), 1);
    for (let i = 0; !ticked && i < 1_000_000; i++) {
      await a.sendFds("x");
      await b.recvFds(0);
    }
    assert.ok(ticked);
  }),
);

test.needing(
  ...NEEDS.largeArrays,
  "sendFdsAll continues beyond 2 GiB",
  pair(async (a, b) => {
    const huge = new Uint8Array(2 ** 31 + 1_000_000);
    huge[huge.length - 1] = 1;
    const into = new Uint8Array(1 << 20);
    for (const payload of [huge, [huge.subarray(0, 5), huge.subarray(5)]]) {
      const sending = a.sendFdsAll(payload);
      let last = 0;
      for (let left = huge.length; left > 0; ) {
        const { bytesRead } = await b.recvFdsInto(into, 0);
        left -= bytesRead;
        last = into[bytesRead - 1]!;
      }
      assert.is(last, 1);
      await sending;
    }
  }),
);

/** What replaces the number that is closed behind the socket's back. */
const REPLACEMENTS: Readonly<Record<string, string | null>> = {
  nothing: null,
  "a file, which no loop can watch": "/etc/passwd",
  "a folder": "/",
};

for (const what of Object.keys(REPLACEMENTS)) {
  for (const direction of ["receive", "send"]) {
    test(`a number closed behind a waiting socket's back, then ${what}: the ${direction} fails, the process lives`, async () => {
      const { code, signal, stdout, stderr } = await again(import.meta.url, "stolen", [direction, what]);
      assert.is(signal, null, stderr);
      assert.is(code, 0, stderr);
      // Other threads of Node open and close files: the number may be theirs for a moment.
      const fails = threadReports ? "(EBADF|ENOTSOCK|waits)" : "(EBADF|ENOTSOCK)";
      assert.match(stdout, new RegExp(direction === "receive" ? `^${fails}$` : `^${fails} ${fails}$`));
    });
  }
}

/**
 * The socket waits for the loop, and the number is closed in the same turn. The second time the loop has watched the socket before:
 * for reading it still does, and the kernel reports nothing of a number that it has forgotten. A thread watches it already: with epoll(7)
 * it hears nothing either, and with poll(2), which waits for the socket and not for its number, when the peer closes.
 */
async function stolen(direction: string, path: string | null): Promise<string> {
  const codes: string[] = [];
  for (const watched of direction === "receive" ? [false] : [false, true]) {
    const [a, b] = UnixStream.pair();
    fill(a);
    if (watched) {
      const controller = new AbortController();
      const { signal } = controller;
      const waiting = [a.recvFds(0, { signal }), a.sendFds("x", [], { signal })].map((one) => one.catch(() => {}));
      await sleep(1);
      controller.abort();
      await Promise.all(waiting);
      await sleep(1);
    }
    const waiting = direction === "receive" ? a.recvFds(0) : a.sendFds("x");
    closeSync(a.fd);
    // Node may have closed a lower number meanwhile.
    if (path !== null) while (openSync(path, "r") < a.fd);
    if (threadReports) b.close();
    codes.push(await Promise.race([codeOf(waiting), ...(threadReports ? [sleep(50, "waits")] : [])]));
    b.close();
    // Otherwise the process lives as long as it waits.
    a.unref();
  }
  return codes.join(" ");
}

if (role === "stolen") {
  const [, , direction, what] = process.argv;
  process.stdout.write(await stolen(direction!, REPLACEMENTS[what!]!));
} else if (role === "slow-reader" || role === "flood") {
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  if (role === "flood") {
    for (let i = 0; i < 200_000; i++) stream.sendFdsAllSync("8 bytes.");
  } else {
    let bytes = 0;
    let fds = 0;
    for await (const message of stream.messages(10, { bufferSize: 10_000 })) {
      bytes += message.data.length;
      fds += message.fds.length;
      message[Symbol.dispose]();
      if (bytes < 100_000) await sleep(10);
    }
    process.stdout.write(`${bytes} bytes, ${fds} descriptors`);
  }
  stream.close();
} else {
  test.run();
}
