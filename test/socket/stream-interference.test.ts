/** Code of the caller that runs in the middle of a call: getters that close, abort, send or change lists; detached bytes. */

import { setTimeout as sleep } from "node:timers/promises";
import { OwnedFd, UnixDatagram, UnixSeqpacket, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { fstatSync, openSync, readSync } from "../descriptors.ts";
import { codeOf, errorOf, fileWith, leakChecked, pair } from "../support.ts";

const test = leakChecked("stream-interference");

/** Sends until the socket buffer is full; returns the number of bytes sent. */
function fill(socket: UnixStream): number {
  const block = Buffer.alloc(65536, "f");
  for (let sum = 0; ; ) {
    const sent = socket.trySendFds(block);
    if (sent === null) return sum;
    sum += sent;
  }
}

/** Receives the bytes that {@link fill} sent, without waiting. */
function empty(socket: UnixStream, bytes: number): void {
  for (let left = bytes; left > 0; ) left -= socket.recvFdsSync(0, { bufferSize: Math.min(left, 65536) }).data.length;
}

/** Receives everything that has arrived. */
function rest(socket: UnixStream): { text: string; fds: number } {
  const all = { text: "", fds: 0 };
  for (;;) {
    const message = socket.tryRecvFds(253, { bufferSize: 65536 });
    if (message === null || message.eof) return all;
    all.text += message.data;
    all.fds += message.fds.length;
    message[Symbol.dispose]();
  }
}

/** Detaches the memory of a view. */
function detach(view: Uint8Array): void {
  structuredClone(view, { transfer: [view.buffer as ArrayBuffer] });
  assert.is(view.length, 0);
}

/** A descriptor whose getter runs an action, once, at the read number `at` or later. */
function onRead(action: () => void, at = 1): { readonly fd: number; fired: boolean } {
  let reads = 0;
  return {
    fired: false,
    get fd() {
      if (++reads >= at && !this.fired) {
        this.fired = true;
        action();
      }
      return 0;
    },
  };
}

for (const [name, send] of [
  ["sendFds", (a: UnixStream, fd: { fd: number }) => a.sendFds("secret", [fd])],
  ["sendFdsAll", (a: UnixStream, fd: { fd: number }) => a.sendFdsAll("secret", [fd])],
  ["sendFdsSync", (a: UnixStream, fd: { fd: number }) => a.sendFdsSync("secret", [fd])],
  ["sendFdsSync of bytes", (a: UnixStream, fd: { fd: number }) => a.sendFdsSync(Buffer.from("secret"), [fd])],
  ["sendFdsAllSync", (a: UnixStream, fd: { fd: number }) => a.sendFdsAllSync("secret", [fd])],
  ["trySendFds", (a: UnixStream, fd: { fd: number }) => a.trySendFds("secret", [fd])],
] as const) {
  test(`${name}: a getter closes the socket, and another socket gets its number: nothing is sent to that socket`, async () => {
    let fired = 0;
    for (const at of [1, 2]) {
      const [a, b] = UnixStream.pair();
      const { fd } = a;
      let others: UnixStream[] = [];
      const closer = onRead(() => {
        a.close();
        others = UnixStream.pair();
        assert.ok(
          others.some((other) => other.fd === fd),
          "the number is used again",
        );
      }, at);
      const code = await codeOf(async () => {
        await send(a, closer);
        // The getter was called only once: the message was sent before the action.
        if (!closer.fired) throw Object.assign(new Error(), { code: "sent" });
      });
      if (closer.fired) {
        fired++;
        assert.is(code, "ERR_SOCKET_CLOSED");
        for (const other of others) assert.is(other.tryRecvFds(1), null);
        for (const other of others) other.close();
        assert.ok(b.recvFdsSync(1).eof);
      }
      a.close();
      b.close();
    }
    assert.ok(fired > 0);
  });
}

test("a getter closes the socket while its send leaves the queue", async () => {
  const [a, b] = UnixStream.pair();
  const filled = fill(a);
  let armed = false;
  const closer = {
    get fd() {
      if (armed) a.close();
      return 0;
    },
  };
  const sends = [a.sendFds("1", [closer]), a.sendFdsAll("2", [0]), a.sendFds("3")].map((sending) => codeOf(sending));
  armed = true;
  empty(b, filled);
  for (const code of await Promise.all(sends)) assert.is(code, "ERR_SOCKET_CLOSED");
  assert.equal(rest(b), { text: "", fds: 0 });
  b.close();
});

test(
  "an option's getter closes the socket: nothing is received from its number",
  pair(async (_a, b) => {
    const options = {
      get bufferSize() {
        b.close();
        return 10;
      },
    };
    const { fd } = b;
    assert.is(await codeOf(() => b.recvFdsSync(1, options)), "ERR_SOCKET_CLOSED");
    assert.throws(() => readSync(fd, Buffer.alloc(1)), "EBADF");
  }),
);

test(
  "a getter aborts in the first attempt: the send is cancelled, nothing is sent",
  pair(async (a, b) => {
    const filled = fill(a);
    const abort = new AbortController();
    const sending = a.sendFds("x", [onRead(() => abort.abort("enough"))], { signal: abort.signal });
    assert.is((await errorOf(sending)) as unknown, "enough");
    empty(b, filled);
    await sleep(5);
    assert.equal(rest(b), { text: "", fds: 0 });
  }),
);

test(
  "a getter aborts its own send out of the queue: the send is cancelled, nothing is sent",
  pair(async (a, b) => {
    const filled = fill(a);
    const abort = new AbortController();
    let armed = false;
    const aborter = {
      get fd() {
        if (armed) abort.abort("enough");
        return 0;
      },
    };
    const sending = a.sendFds("x", [aborter], { signal: abort.signal });
    armed = true;
    empty(b, filled);
    assert.is((await errorOf(sending)) as unknown, "enough");
    assert.equal(rest(b), { text: "", fds: 0 });
  }),
);

test(
  "a getter aborts its own send while there is no room: the send is cancelled",
  pair(async (a, b) => {
    const filled = fill(a);
    const abort = new AbortController();
    let armed = false;
    const aborter = {
      get fd() {
        if (armed) abort.abort("enough");
        return 0;
      },
    };
    const sending = a.sendFdsAll("x", [aborter], { signal: abort.signal });
    armed = true;
    assert.is(a.trySendFds("behind"), null);
    assert.is((await errorOf(sending)) as unknown, "enough");
    empty(b, filled);
    assert.equal(rest(b), { text: "", fds: 0 });
  }),
);

test(
  "a getter of a queued send sends synchronously on the same socket: refused, and nothing is sent twice",
  pair(async (a, b) => {
    const filled = fill(a);
    let armed = false;
    let tried: unknown;
    let code = "";
    const sender = {
      get fd() {
        if (armed) {
          armed = false;
          tried = a.trySendFds("try");
          try {
            a.sendFdsSync("sync");
          } catch (error) {
            code = (error as { code: string }).code;
          }
        }
        return 0;
      },
    };
    const sending = a.sendFds("outer", [sender]);
    armed = true;
    empty(b, filled);
    await sending;
    assert.is(tried, null);
    assert.is(code, "ERR_SOCKET_BUSY");
    assert.equal(rest(b), { text: "outer", fds: 1 });
  }),
);

test(
  "a getter queues a long message: its own message follows it, not in the middle of it",
  pair(async (a, b) => {
    const long = "i".repeat(1_000_000);
    let inner: Promise<void> | undefined;
    // Make room as soon as the long message fills the buffer: a message that slips in would do so here.
    const sender = onRead(() => {
      inner = a.sendFdsAll(long);
      empty(b, 100_000);
    });
    const outer = a.sendFdsAll("outer", [sender]);
    let text = "";
    let fds = 0;
    while (text.length < 900_005) {
      const message = await b.recvFds(1, { bufferSize: 65536 });
      text += message.data;
      fds += message.fds.length;
      message[Symbol.dispose]();
    }
    await Promise.all([inner, outer]);
    assert.is(text, `${long.slice(100_000)}outer`);
    assert.is(fds, 1);
  }),
);

test(
  "a getter that throws: the send fails with its error, nothing is sent, the socket works",
  pair(async (a, b) => {
    const error = new Error("of the getter");
    const thrower = () =>
      onRead(() => {
        throw error;
      });
    assert.is(await errorOf(a.sendFds("x", [thrower()])), error);
    assert.is(await errorOf(() => a.sendFdsSync("x", [thrower()])), error);
    assert.equal(rest(b), { text: "", fds: 0 });
    a.sendFdsSync("works", [0]);
    assert.equal(rest(b), { text: "works", fds: 1 });
  }),
);

test(
  "a getter lengthens or shortens the list: no other descriptor is sent",
  pair(async (a, b) => {
    const file = OwnedFd.fromRaw(openSync(fileWith("of an earlier message"), "r"));
    a.sendFdsSync(Buffer.from("x"), [file, file, file]);
    assert.is(rest(b).fds, 3);
    const bytes = Buffer.from("x");
    const longer: { fd: number }[] = [
      onRead(() => {
        longer.push(file, file);
      }),
    ];
    a.sendFdsSync(bytes, longer);
    const message = b.recvFdsExactSync(1);
    assert.is(fstatSync(message.fds[0]!.fd).ino, fstatSync(0).ino);
    message[Symbol.dispose]();
    const shorter: { fd: number }[] = [
      onRead(() => {
        shorter.length = 1;
      }),
      file,
      file,
    ];
    a.sendFdsSync(bytes, shorter);
    assert.equal(rest(b), { text: "x", fds: 3 }, "what the list held at the call");
    file.close();
  }),
);

test(
  "bytes detached while their send is queued: an error, the descriptors are not silently dropped",
  pair(async (a, b) => {
    const filled = fill(a);
    const views = Array.from({ length: 3 }, () => new Uint8Array(10));
    const sends = [
      a.sendFds(views[0]!, [0]),
      a.sendFdsAll(views[1]!, [0]),
      a.sendFdsAll([views[2]!, Buffer.from("more")], [0]),
      a.sendFds("next", [0]),
    ];
    for (const view of views) detach(view);
    empty(b, filled);
    for (const sending of sends.slice(0, 3)) assert.instance(await errorOf(sending as Promise<unknown>), RangeError);
    assert.is(await sends[3], 4);
    assert.equal(rest(b), { text: "next", fds: 1 });
  }),
);

test(
  "bytes detached in the middle of sendFdsAll: an error with the progress, no endless loop",
  pair(async (a, b) => {
    const view = new Uint8Array(5_000_000);
    const sending = errorOf(a.sendFdsAll(view, [0])) as Promise<Error & { bytesSent: number; fdsSent: boolean }>;
    detach(view);
    const first = b.recvFdsSync(1, { bufferSize: 100_000 });
    first[Symbol.dispose]();
    // Receive all bytes sent before: then there is room, but nothing to send.
    let received = first.data.length;
    for (let message = b.tryRecvFds(0); message !== null; message = b.tryRecvFds(0)) received += message.data.length;
    const error = await sending;
    assert.instance(error, RangeError);
    assert.equal([error.bytesSent, error.fdsSent], [received, true]);
  }),
);

test(
  "buffers detached while a receive waits: an error, the message stays whole",
  pair(async (a, b) => {
    const views = [new Uint8Array(10), new Uint8Array(10)];
    const waiting = [b.recvFdsInto(views[0]!, 1), b.recvFdsInto([views[1]!], 1)];
    for (const view of views) detach(view);
    a.sendFdsSync("whole", [0]);
    for (const one of waiting) assert.instance(await errorOf(one), RangeError);
    assert.equal(rest(b), { text: "whole", fds: 1 });
  }),
);

for (const kind of [UnixSeqpacket, UnixDatagram]) {
  test(`${kind.name}: buffers detached or shrunk while a receive waits: an error, the message is not truncated`, async () => {
    const [a, b] = kind.pair();
    // @ts-expect-error: resizable buffers are newer than the declarations
    const shrinking = new Uint8Array(new ArrayBuffer(10, { maxByteLength: 10 }));
    const view = new Uint8Array(10);
    const waiting = [b.recvFdsInto(view, 1), b.recvFdsInto([shrinking], 1)];
    detach(view);
    (shrinking.buffer as ArrayBuffer & { resize(length: number): void }).resize(3);
    a.sendFdsSync("whole", [0]);
    for (const one of waiting) assert.instance(await errorOf(one), RangeError);
    // A receive into memory that was already detached truncates the message, as a receive into zero bytes does.
    a.sendFdsSync("cut", [0]);
    const whole = b.recvFdsSync(1);
    assert.is(whole.data.toString(), "whole");
    whole[Symbol.dispose]();
    assert.is(await codeOf(() => b.recvFdsIntoSync(view, 1)), "ERR_DATA_TRUNCATED");
    a.close();
    b.close();
  });
}

test.run();
