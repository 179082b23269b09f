/** FdDuplex: what Node's streams promise, and descriptors beside the bytes. */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Duplex, PassThrough, Readable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type FdRange, OwnedFd, type SystemError, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { FdDuplex } from "unix-ancillary/stream";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { codeOf, leakChecked, openFds, pair, settled } from "../support.ts";

const test = leakChecked("fd-duplex");

type Options = ConstructorParameters<typeof FdDuplex>[1];

/** The body of a test with a stream, and the socket at its other end. */
function withStream(body: (stream: FdDuplex, peer: UnixStream) => unknown, options?: Options): () => Promise<void> {
  return pair(async (a, peer) => {
    const stream = new FdDuplex(a, options);
    try {
      await body(stream, peer);
    } finally {
      stream.destroy();
    }
  });
}

/** The first result of an attempt, made whenever the stream is readable. `once` in a loop would spin: it emits at once. */
function readable<T>(stream: FdDuplex, attempt: () => T | null): Promise<T> {
  return new Promise((resolve) => {
    const retry = () => {
      const result = attempt();
      if (result === null) return;
      stream.off("readable", retry);
      resolve(result);
    };
    stream.on("readable", retry);
  });
}

async function withFile(body: (fd: number) => unknown): Promise<void> {
  const fd = openSync("/dev/null", "r");
  try {
    await body(fd);
  } finally {
    closeSync(fd);
  }
}

test(
  "pipeline there and back: every byte, in order, and both ends close",
  withStream(async (stream, peer) => {
    const echo = new FdDuplex(peer);
    const bytes = randomBytes(8 << 20);
    const hash = createHash("sha256");
    await Promise.all([
      pipeline(echo, new PassThrough(), echo),
      pipeline(Readable.from([bytes.subarray(0, 5), bytes.subarray(5)]), stream),
      pipeline(stream, hash),
    ]);
    assert.is(hash.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
    await sleep(5);
    assert.ok(stream.destroyed && echo.destroyed);
    assert.ok(peer.closed);
  }),
);

test(
  "descriptors are at the place of the bytes that they were sent with",
  withStream(async (stream, peer) => {
    const other = new FdDuplex(peer);
    const ranges: FdRange[] = [];
    other.on("fds", (range: FdRange) => ranges.push(range));
    await withFile(async (file) => {
      using owned = OwnedFd.from(file);
      const same = Buffer.from("same");
      // Corked: one `_writev`. The same buffer twice, once with descriptors.
      stream.cork();
      stream.write("plain");
      stream.write(same, { fds: [owned, file] });
      stream.write(same);
      stream.write("ünd", { fds: [file], encoding: "utf8" });
      stream.uncork();
      stream.end();
      let text = "";
      const places: number[] = [];
      for (;;) {
        const data = other.read(1);
        if (data === null) {
          if (other.readableEnded) break;
          await Promise.race([once(other, "readable"), once(other, "end")]);
          continue;
        }
        text += (data as Buffer).toString("latin1");
        while (other.fdRanges[0] !== undefined && other.fdRanges[0].to <= other.position) {
          places.push(other.position);
          for (const fd of other.takeFds(other.fdRanges[0].count)) {
            assert.is(fstatSync(fd.fd).rdev, fstatSync(file).rdev);
            fd.close();
          }
        }
      }
      assert.is(Buffer.from(text, "latin1").toString(), "plainsamesameünd");
      assert.equal(
        ranges.map(({ count }) => count),
        [2, 1],
      );
      // Linux: a receive ends with the message that brought descriptors.
      assert.equal(places, [13, 17]);
      assert.is(other.queuedFds, 0);
      assert.is(await codeOf(() => other.takeFds(1)), "ERR_FD_COUNT");
    });
    other.destroy();
  }),
);

test(
  "end with a last chunk: its descriptors go with it, and what is wrong does not end the stream",
  withStream(async (stream, peer) => {
    const other = new FdDuplex(peer);
    assert.is(await codeOf(() => stream.end("", { fds: [0] })), "ERR_EMPTY_PAYLOAD");
    assert.is(await codeOf(() => stream.end(undefined as never, { fds: [0] })), "ERR_INVALID_ARG_TYPE");
    assert.is(await codeOf(() => stream.end("x", { fd: 0 } as never)), "ERR_INVALID_ARG_VALUE");
    assert.is(stream.writableEnded, false);
    // Corked: the stream ends, and sends what waits.
    stream.cork();
    stream.write("first ");
    await withFile(async (file) => {
      await new Promise<void>((done) =>
        assert.is(stream.end("last", { fds: [file], encoding: "latin1" }, done), stream),
      );
      stream.on("error", () => {});
      const late = await new Promise<unknown>((done) => void stream.end("more", { fds: [file] }, done as () => void));
      assert.is((late as SystemError).code, "ERR_STREAM_WRITE_AFTER_END");
      const arrived = once(other, "fds");
      let text = "";
      for await (const data of other) text += data;
      assert.is(text, "first last");
      assert.is(((await arrived) as [FdRange])[0].count, 1);
    });
    other.destroy();
  }),
);

for (const [name, args] of Object.entries({
  "a chunk": ["x"],
  "a chunk and its encoding": ["78", "hex"],
  nothing: [],
})) {
  test(
    `end with ${name}, as every stream does`,
    withStream(async (stream, peer) => {
      await new Promise<void>((done) => void Reflect.apply(stream.end, stream, [...args, done]));
      assert.is((await peer.recvFds(0)).data.toString(), name === "nothing" ? "" : "x");
    }),
  );
}

test(
  "back-pressure: write returns false, and nothing is received that nobody reads",
  withStream(
    async (stream, peer) => {
      let written = 0;
      const chunk = Buffer.alloc(4096);
      while (stream.write(chunk)) written++;
      assert.ok(written < 4);
      const drained = once(stream, "drain");
      while (written-- >= 0) await peer.recvFds(0);
      await drained;
      // The other direction: the high-water mark of the reading side is 1000 bytes, a receive at most 64 KiB more.
      stream.read(0);
      const sending = peer.sendFdsAll(Buffer.alloc(1 << 20));
      await sleep(30);
      assert.ok(stream.readableLength > 0 && stream.readableLength < 1000 + 65536 + 1, `${stream.readableLength}`);
      let read = 0;
      while (read < 1 << 20) {
        const data = stream.read() as Buffer | null;
        if (data === null) await once(stream, "readable");
        else read += data.length;
      }
      await sending;
    },
    { readableHighWaterMark: 1000, writableHighWaterMark: 10_000 },
  ),
);

test(
  "2,000 descriptors and a slow consumer: none is lost, and few wait",
  withStream(async (stream, peer) => {
    await withFile(async (file) => {
      const sending = Promise.all(Array.from({ length: 2000 }, () => peer.sendFdsAll("x", [file])));
      stream.read(0);
      const waiting = await settled(() => stream.queuedFds);
      assert.ok(waiting >= 512 && waiting < 512 + 253, `${waiting} wait`);
      let taken = 0;
      for await (const data of stream) {
        const fds = stream.takeFds(data.length);
        taken += fds.length;
        for (const fd of fds) fd.close();
        if (taken === 2000) break;
      }
      await sending;
    });
  }),
);

test(
  "a consumer that needs more bytes than there are gets them although many descriptors wait",
  withStream(
    async (stream, peer) => {
      await withFile(async (file) => {
        const sending = Promise.all(Array.from({ length: 700 }, () => peer.sendFdsAll("x", [file])));
        await readable(stream, () => stream.read(700));
        assert.is(stream.takeFds(700).map((fd) => fd.close()).length, 700);
        await sending;
        // Beyond the limit of a reader it is an error.
        stream.pause();
        const failing = once(stream, "error");
        void Promise.all(Array.from({ length: 900 }, () => peer.sendFdsAll("x", [file]))).catch(() => {});
        stream.on("readable", () => void stream.read(900));
        assert.is(((await failing)[0] as { code: string }).code, "ERR_TOO_MANY_FDS");
      });
    },
    { maxQueuedFds: 800 },
  ),
);

test(
  "half-open: it can write after the peer's end; with allowHalfOpen false it ends",
  withStream(async (stream, peer) => {
    peer.shutdown("write");
    // Nobody reads: it is noticed that the peer has finished, as net.Socket does.
    stream.read(0);
    await once(stream, "end");
    assert.ok(stream.writable);
    stream.end("later");
    assert.is((await peer.recvFds(0)).data.toString(), "later");
    await finished(stream);
    const [a, b] = UnixStream.pair();
    const closing = new FdDuplex(a, { allowHalfOpen: false });
    b.shutdown("write");
    closing.resume();
    await finished(closing);
    assert.ok((await b.recvFds(0)).eof);
    b.close();
  }),
);

test(
  "destroy closes the socket and the descriptors that wait, and a write of before fails",
  withStream(async (stream, peer) => {
    await withFile(async (file) => {
      await peer.sendFds("x", [file, file]);
      stream.read(0);
      await once(stream, "fds");
      const failed = new Promise<Error | null | undefined>((resolve) => stream.write(Buffer.alloc(1 << 22), resolve));
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.on("error", () => {});
      stream.destroy(new Error("mine"));
      assert.is((await failed) instanceof Error, true);
      await closed;
      assert.is(stream.queuedFds, 0);
      assert.is(((await finished(stream).catch((error) => error)) as Error).message, "mine");
    });
  }),
);

test(
  "a peer that is gone is an error of the write",
  withStream(async (stream, peer) => {
    peer.close();
    const failed = once(stream, "error");
    stream.write("x");
    assert.is(((await failed)[0] as { code: string }).code, "EPIPE");
    await finished(stream).catch(() => {});
    assert.ok(stream.destroyed);
  }),
);

test('destroyed while a receive is on its way to the listeners: no "fds" afterwards, and what arrived is closed', () =>
  withFile(async (file) => {
    let emitted = 0;
    const late: number[] = [];
    // A destroyed stream after each number of microtasks: one of them is between the receive and the event.
    for (let microtasks = 0; microtasks < 40; microtasks++) {
      const [a, peer] = UnixStream.pair();
      await peer.sendFdsAll("x", [file]);
      const stream = new FdDuplex(a);
      stream.on("fds", () => {
        emitted++;
        if (stream.destroyed) late.push(microtasks);
      });
      stream.read(0);
      for (let i = 0; i < microtasks; i++) await null;
      stream.destroy();
      peer.close();
      await once(stream, "close");
    }
    assert.equal(late, [], "microtasks after which it was destroyed, and emitted");
    assert.ok(emitted > 0 && emitted < 40, `${emitted} of 40 emitted`);
  }));

test("the listener of descriptors is before their bytes: the position says so, and the bytes follow even if it throws", () =>
  withFile(async (file) => {
    const [a, peer] = UnixStream.pair();
    const stream = new FdDuplex(a);
    let text = "";
    stream.on("data", (data: Buffer) => {
      text += data;
    });
    const positions: number[] = [];
    stream.on("fds", ({ from }: FdRange) => {
      positions.push(from, stream.position);
      throw new Error("mine");
    });
    const thrown: string[] = [];
    const note = (error: Error): void => void thrown.push(error.message);
    process.on("uncaughtException", note);
    for (const chunk of ["one", "two"]) {
      await peer.sendFdsAll(chunk, [file]);
      await sleep(5);
    }
    process.off("uncaughtException", note);
    assert.is(text, "onetwo");
    assert.equal(positions, [0, 0, 3, 3]);
    assert.equal(thrown, ["mine", "mine"]);
    stream.destroy();
    peer.close();
  }));

test(
  "Duplex.toWeb: both directions",
  withStream(async (stream, peer) => {
    const { readable, writable } = Duplex.toWeb(stream);
    const writer = writable.getWriter();
    await writer.write(Buffer.from("there"));
    assert.is((await peer.recvFds(0)).data.toString(), "there");
    await peer.sendFdsAll("back");
    peer.shutdown("write");
    await writer.close();
    let text = "";
    for await (const chunk of readable) text += Buffer.from(chunk).toString();
    assert.is(text, "back");
  }),
);

test("what is no UnixStream, and wrong writes, are refused, and nothing is taken", async () => {
  const [a, b] = UnixStream.pair();
  const [c, d] = UnixSeqpacket.pair();
  const before = openFds().size;
  for (const wrong of [c, {}, new Proxy(a, {}), null])
    assert.is(await codeOf(() => new FdDuplex(wrong as never)), "ERR_INVALID_ARG_TYPE");
  assert.is(await codeOf(() => new FdDuplex(a, { maxFd: 1 } as never)), "ERR_INVALID_ARG_VALUE");
  assert.is(openFds().size, before);
  const stream = new FdDuplex(a);
  assert.is(await codeOf(() => new FdDuplex(a)), "ERR_SOCKET_BUSY");
  assert.is(await codeOf(() => stream.write("", { fds: [0] })), "ERR_EMPTY_PAYLOAD");
  assert.is(await codeOf(() => stream.write("x", { fds: new Array(254).fill(0) })), "ERR_TOO_MANY_FDS");
  assert.is(await codeOf(() => stream.write(5 as never, { fds: [0] })), "ERR_INVALID_ARG_TYPE");
  stream.destroy();
  assert.is(await codeOf(() => new FdDuplex(a)), "ERR_SOCKET_CLOSED");
  for (const socket of [b, c, d]) socket.close();
});

test.run();
