/** FdReader: bytes and descriptors as two queues, for protocols that count descriptors in their own messages. */

import { setTimeout as sleep } from "node:timers/promises";
import { FdChannel, type FdReader, UnixSeqpacket, type UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { codeOf, errorOf, leakChecked, NEEDS, openFds, pair } from "../support.ts";

const test = leakChecked("fd-reader");

/** The body of a test that needs a connected pair, with a reader on the second end. */
function withReader(
  body: (peer: UnixStream, reader: FdReader, stream: UnixStream) => unknown,
  options?: Parameters<UnixStream["reader"]>[0],
): () => Promise<void> {
  return pair(async (peer, stream) => {
    using reader = stream.reader(options);
    await body(peer, reader, stream);
  });
}

function devNull(body: (fd: number) => unknown): Promise<void> {
  const fd = openSync("/dev/null", "r");
  return Promise.resolve(body(fd)).then(
    () => closeSync(fd),
    (error) => {
      closeSync(fd);
      throw error;
    },
  );
}

test(
  "read-exactly: reads across and within sends",
  withReader(async (peer, reader) => {
    await peer.sendFds("ab");
    await peer.sendFds("cdefg");
    assert.is((await reader.read(3)).toString(), "abc");
    assert.is((await reader.read(0)).length, 0);
    assert.is((await reader.read(4)).toString(), "defg");
    assert.is(reader.offset, 7);
  }),
);

test(
  "trickle-copies-the-queue: a large read that comes in small pieces copies each byte a few times, not the queue for each piece",
  withReader(async (peer, reader) => {
    const bytes = 1 << 20;
    const { copy } = Buffer.prototype;
    let copied = 0;
    Buffer.prototype.copy = function (this: Buffer, ...parameters: Parameters<Buffer["copy"]>) {
      const count = copy.apply(this, parameters);
      copied += count;
      return count;
    };
    try {
      const reading = reader.read(bytes);
      // An eighth at once, as much in pieces that are received one by one, then the rest.
      await peer.sendFdsAll(Buffer.alloc(bytes / 8));
      for (let sent = 0; sent < bytes / 8; sent += 1024) {
        await peer.sendFdsAll(Buffer.alloc(1024));
        await sleep(0);
      }
      await peer.sendFdsAll(Buffer.alloc((bytes * 3) / 4));
      assert.is((await reading).length, bytes);
    } finally {
      Buffer.prototype.copy = copy;
    }
    assert.ok(copied < 4 * bytes, `${copied} bytes were copied`);
  }),
);

test(
  "one-byte-at-a-time: a message of three descriptors is read whole",
  withReader(async (peer, reader) => {
    await devNull(async (fd) => {
      const read = reader.read(4);
      for (const byte of ["w", "x"]) await peer.sendFds(byte);
      await peer.sendFds("y", [fd, fd]);
      await peer.sendFds("z", [fd]);
      assert.is((await read).toString(), "wxyz");
      assert.is(reader.queuedFds, 3);
      const taken = reader.takeFds(3);
      assert.is(taken.length, 3);
      for (const owned of taken) {
        assert.is(fstatSync(owned.fd).rdev, fstatSync(fd).rdev);
        owned.close();
      }
    });
  }),
);

test(
  "glued-in-front: descriptors can be taken when the byte they arrived with is read, and the ranges have their offsets",
  withReader(async (peer, reader) => {
    await devNull(async (fd) => {
      await peer.sendFds("AA");
      await peer.sendFds("BB", [fd]);
      await peer.sendFds("CC", [fd, fd]);
      await reader.read(6);
      const ranges = reader.fdRanges;
      assert.is(
        ranges.reduce((sum, { count }) => sum + count, 0),
        3,
      );
      assert.ok(ranges[0]!.from <= 2 && ranges[0]!.to > 2 && ranges[0]!.to <= 4);
      assert.equal(ranges[1], { from: 4, to: 6, count: 2 });
      for (const owned of reader.takeFds(2)) owned.close();
      assert.equal(reader.fdRanges, [{ from: 4, to: 6, count: 1 }]);
      assert.is(await codeOf(() => reader.takeFds(2)), "ERR_FD_COUNT");
      assert.is(reader.queuedFds, 1);
    });
  }),
);

test(
  "read-until: a delimiter across two sends; the rest stays queued",
  withReader(async (peer, reader) => {
    const line = reader.readUntil("\r\n", 100);
    await peer.sendFds("AUTH\r");
    await sleep(1);
    await peer.sendFds("\nOK");
    assert.is((await line).toString(), "AUTH\r\n");
    assert.is((await reader.read(2)).toString(), "OK");
  }),
);

test(
  "read-until-too-long: refused at the limit, no byte lost",
  withReader(async (peer, reader) => {
    await peer.sendFds("0123456789\n");
    assert.is(await codeOf(reader.readUntil("\n", 10)), "ERR_TOO_LONG");
    assert.is((await reader.readUntil("\n", 11)).toString(), "0123456789\n");
    assert.is(await codeOf(reader.readUntil("", 10)), "ERR_OUT_OF_RANGE");
  }),
);

test(
  "end-in-the-middle: the error has the bytes",
  withReader(async (peer, reader) => {
    await peer.sendFds("abc");
    peer.close();
    const error = (await errorOf(reader.read(4))) as Error & { code: string; data: Buffer };
    assert.is(error.code, "ERR_UNEXPECTED_EOF");
    assert.is(error.data.toString(), "abc");
    assert.is((await reader.read(3)).toString(), "abc");
    assert.is(await reader.ended(), true);
  }),
);

test(
  "end-between: ended reports the end without reading a byte",
  withReader(async (peer, reader) => {
    const ended = reader.ended();
    await peer.sendFds("x");
    assert.is(await ended, false);
    assert.is((await reader.read(1)).toString(), "x");
    peer.close();
    assert.is(await reader.ended(), true);
  }),
);

test(
  "queue-limit: more descriptors than allowed close the reader and the socket",
  withReader(
    async (peer, reader, stream) => {
      await devNull(async (fd) => {
        await peer.sendFds("a", [fd, fd]);
        await reader.read(1);
        await peer.sendFds("b", [fd, fd]);
        assert.is(await codeOf(reader.read(1)), "ERR_TOO_MANY_FDS");
        assert.is(stream.closed, true);
        assert.is(reader.queuedFds, 0);
        assert.is(await codeOf(reader.read(1)), "ERR_TOO_MANY_FDS");
      });
    },
    { maxQueuedFds: 3 },
  ),
);

for (const [what, limits] of [
  ["waiting to be taken", { maxQueuedFds: 3 }],
  ["in one message", { maxFds: 3 }],
] as const) {
  test(
    `limit-behind-frames: what was sent before too many descriptors ${what} is read before the error`,
    withReader(async (peer, reader, stream) => {
      await devNull(async (fd) => {
        // All of it is there before the first read. The kernel joins the plain frames with the burst.
        await peer.sendFds("fds\n", [fd, fd]);
        await peer.sendFds("one\n");
        await peer.sendFds("two\n");
        await peer.sendFds("burst\n", new Array(5).fill(fd));
        await peer.sendFds("after\n");
        const lines = [1, 2, 3].map(() => reader.readUntil("\n", 100));
        assert.is(String(await Promise.all(lines)), "fds\n,one\n,two\n");
        assert.is(await codeOf(() => reader.takeFds(3)), "ERR_TOO_MANY_FDS");
        assert.is(await codeOf(() => stream.toSocket()), "ERR_SOCKET_BUSY");
        for (const owned of reader.takeFds(2)) owned.close();
        assert.is(stream.closed, false);
        const error = (await errorOf(reader.readUntil("\n", 100))) as Error & { code: string; data: Buffer };
        assert.is(error.code, "ERR_TOO_MANY_FDS");
        assert.match(error.message, what);
        assert.is(String(error.data), "burst\n");
        assert.is(stream.closed, true);
        for (const read of [() => reader.read(0), () => reader.ended()]) assert.is(await errorOf(read), error);
      });
    }, limits),
  );
}

for (const [what, before, bytes] of [
  ["a byte at a time", [], 1],
  ["in a read of all of it", [], 3],
  ["in a read that gets the buffer itself", [Buffer.alloc(65536, "-")], 65536],
] as const) {
  test(
    `limit-behind-reads: what was read ${what} before a limit is not in the error again`,
    withReader(
      async (peer, reader) => {
        await devNull(async (fd) => {
          // Waits for room: the reader has to have received the first bytes.
          const sending = (async () => {
            for (const text of before) await peer.sendFdsAll(text);
            await peer.sendFdsAll("read", [fd, fd]);
          })();
          for (let left = 3 + before.reduce((sum, { length }) => sum + length, 0); left > 0; ) {
            const read = await reader.read(Math.min(left, bytes));
            left -= read.length;
          }
          await sending;
          const error = (await errorOf(reader.read(1))) as Error & { data: Buffer };
          assert.is(String(error.data), "d");
        });
      },
      { maxFds: 1, maxQueuedBytes: 1 << 20 },
    ),
  );
}

test("limit-behind-records: a record that exceeds a limit is not read in part", async () => {
  const [a, b] = UnixSeqpacket.pair();
  const reader = b.reader({ maxFds: 1 });
  for (const [text, fds] of [
    ["one", []],
    ["two", [0]],
    ["bad", [0, 0]],
  ] as const)
    a.sendFdsSync(text, fds);
  assert.is(String(await reader.read(6)), "onetwo");
  const error = (await errorOf(reader.read(1))) as Error & { data: Buffer };
  assert.is(String(error.data), "bad");
  assert.ok(b.closed);
  a.close();
});

test(
  "failure-behind-frames: a full descriptor table does not lose the frames that came with the message",
  withReader(async (peer, reader) => {
    const { system } = peer.platform as unknown as { system: { recvmsg(...all: unknown[]): number; out: Int32Array } };
    await peer.sendFds("one\n");
    await peer.sendFds("two\n", [0]);
    const { recvmsg } = system;
    // As the kernel does when the table is full: no descriptor, and MSG_CTRUNC.
    system.recvmsg = (fd, payload, offset, length, _capacity, flags, named) =>
      recvmsg.call(system, fd, payload, offset, length, 0, flags, named);
    try {
      assert.is(String(await reader.readUntil("\n", 9)), "one\n");
      const error = (await errorOf(reader.readUntil("\n", 9))) as Error & { code: string; data: Buffer };
      assert.is(error.code, "ERR_ANCILLARY_TRUNCATED");
      assert.is(String(error.data), "two\n");
    } finally {
      system.recvmsg = recvmsg;
    }
  }),
);

test(
  "message-limit: a surplus is an error, not a silent loss",
  withReader(
    async (peer, reader) => {
      await devNull(async (fd) => {
        await peer.sendFds("a", [fd, fd]);
        assert.is(await codeOf(reader.read(1)), "ERR_TOO_MANY_FDS");
      });
    },
    { maxFds: 1 },
  ),
);

test(
  "byte-limit: bytes beyond the limit wait in the kernel",
  withReader(
    async (peer, reader) => {
      const sent = peer.sendFdsAll(Buffer.alloc(3_000_000, "x"));
      await reader.read(10);
      assert.ok(reader.queuedBytes <= 1000, `${reader.queuedBytes} bytes`);
      // The caller may read more than the limit at once.
      assert.is((await reader.read(2_999_990)).length, 2_999_990);
      await sent;
    },
    { maxQueuedBytes: 1000 },
  ),
);

test(
  "abort-keeps-the-bytes: the next read continues with them",
  withReader(async (peer, reader) => {
    const abort = new AbortController();
    const read = reader.read(4, { signal: abort.signal });
    await peer.sendFds("ab");
    await sleep(5);
    abort.abort(new Error("mine"));
    assert.is((await errorOf(read)).message, "mine");
    await peer.sendFds("cd");
    assert.is((await reader.read(4)).toString(), "abcd");
  }),
);

test(
  "reads-in-order: served in the order of the calls",
  withReader(async (peer, reader) => {
    const reads = [reader.read(1), reader.readUntil(";", 10), reader.read(2)];
    await peer.sendFds("abc;de");
    assert.equal(
      (await Promise.all(reads)).map((bytes) => bytes.toString()),
      ["a", "bc;", "de"],
    );
  }),
);

test(
  "abort-in-the-queue: takes effect before the earlier reads are done, and reads nothing",
  withReader(async (peer, reader) => {
    const abort = new AbortController();
    const first = reader.read(2);
    const queued = [
      reader.read(2, { signal: abort.signal }),
      reader.readUntil(";", 9, { signal: abort.signal }),
      reader.ended({ signal: abort.signal }),
    ].map(errorOf);
    const last = reader.read(2);
    const reason = new Error("enough");
    abort.abort(reason);
    for (const one of queued) assert.is(await one, reason);
    await peer.sendFds("abcdef");
    assert.is((await first).toString(), "ab");
    assert.is((await last).toString(), "cd");
    assert.is(await errorOf(reader.read(1, { signal: abort.signal })), reason, "although it is there");
    assert.is((await reader.read(2)).toString(), "ef");
  }),
);

test("records-longer-than-64-KiB: up to maxQueuedBytes", async () => {
  const [a, b] = UnixSeqpacket.pair();
  using reader = b.reader({ maxQueuedBytes: 1 << 17 });
  a.sendFdsSync(Buffer.alloc(100_000, "x"));
  a.sendFdsSync("next");
  assert.is((await reader.read(100_000)).length, 100_000);
  assert.is((await reader.read(4)).toString(), "next");
  a.close();
});

test("receives-that-wait: no reader can be created meanwhile", async () => {
  const [a, b] = UnixSeqpacket.pair();
  const waiting = b.recvFds(0);
  assert.is(await codeOf(() => b.reader()), "ERR_SOCKET_BUSY");
  a.sendFdsSync("x");
  assert.is((await waiting).data.toString(), "x");
  b.reader().close();
  a.close();
});

test(
  "close-with-descriptors: descriptors not taken are closed with the reader or the socket",
  pair(async (peer, stream) => {
    await devNull(async (fd) => {
      const reader = stream.reader();
      await peer.sendFds("ab", [fd, fd]);
      await reader.read(1);
      assert.is(reader.queuedFds, 2);
      const waiting = reader.read(100);
      await sleep(1);
      stream.close();
      assert.is(reader.queuedFds, 0);
      assert.is(await codeOf(waiting), "ERR_SOCKET_CLOSED");
      assert.is(await codeOf(reader.read(1)), "ERR_SOCKET_CLOSED");
    });
  }),
);

const otherReceives = (stream: UnixStream) => [
  () => stream.tryRecvFds(0),
  () => stream.recvFdsSync(0, { timeout: 0 }),
  () => stream.recvFds(0),
  () => stream.recvFdsInto(new Uint8Array(1), 0),
  () => stream.recvFdsExactSync(0),
  () => stream.messages(0).next(),
];

test(
  "two-readers: the second is refused, as is a hand-over that would lose bytes",
  pair(async (peer, stream) => {
    const reader = stream.reader();
    assert.is(await codeOf(() => stream.reader()), "ERR_SOCKET_BUSY");
    // Bytes of another receive would be missing between the reader's bytes.
    for (const receive of otherReceives(stream)) assert.is(await codeOf(receive), "ERR_SOCKET_BUSY");
    await peer.sendFds("ab");
    await reader.read(1);
    assert.is(await codeOf(() => stream.toSocket()), "ERR_SOCKET_BUSY");
    await reader.read(1);
    const socket = stream.toSocket();
    socket.destroy();
  }),
);

test(
  "a receive beside a reader that waits, or of a socket that had nothing several times: it is refused, and waits for no message",
  pair(async (peer, stream) => {
    for (let i = 0; i < 5; i++) {
      const controller = new AbortController();
      const aborted = codeOf(stream.recvFds(0, { signal: controller.signal }));
      controller.abort({ code: "ours" });
      assert.is(await aborted, "ours");
    }
    const reader = stream.reader();
    const read = reader.read(5);
    for (const receive of otherReceives(stream)) assert.is(await codeOf(receive), "ERR_SOCKET_BUSY");
    const messages = stream.messages(0);
    assert.is(await codeOf(messages.next()), "ERR_SOCKET_BUSY");
    assert.is((await messages.next()).done, true);
    await peer.sendFds("hello");
    assert.is((await read).toString(), "hello");
    assert.is(await codeOf(stream.recvFds(0)), "ERR_SOCKET_BUSY");
    stream.close();
    const { signal } = new AbortController();
    assert.is(await codeOf(stream.recvFds(0, { signal })), "ERR_SOCKET_CLOSED");
  }),
);

test(
  "handed over while a read has come back and was not seen: refused, what came stays with the reader",
  withReader(async (peer, reader, stream) => {
    peer.sendFdsSync("HEADER and the rest", [0]);
    for (const read of [() => reader.read(6), () => reader.readUntil(" ", 10), () => reader.ended()]) {
      const coming = read();
      assert.is(await codeOf(() => stream.toSocket()), "ERR_SOCKET_BUSY");
      await coming;
    }
    assert.is((await reader.read(reader.queuedBytes)).toString(), "and the rest");
    reader.takeFds(1)[0]!.close();
    // The peer's finish is no bytes, but the read that waits for it is not over.
    peer.shutdown("write");
    const ended = reader.ended();
    assert.is(await codeOf(() => stream.toSocket()), "ERR_SOCKET_BUSY");
    assert.is(await ended, true);
    stream.toSocket().destroy();
  }),
);

test(
  "handed over while a channel is between two messages of a frame, or within one that comes: refused",
  pair(async (a, b) => {
    await devNull(async (fd) => {
      const [ours, theirs] = [FdChannel.over(a, { maxFds: 1000 }), FdChannel.over(b, { maxFds: 1000 })];
      const most = a.platform.abi.maxFdsPerMessage;
      const sent = ours.send("frame", new Array(most + 1).fill(fd));
      assert.is(await codeOf(() => a.toSocket()), "ERR_SOCKET_BUSY");
      await sent;
      const received = theirs.recv();
      assert.is(await codeOf(() => b.toSocket()), "ERR_SOCKET_BUSY");
      const frame = (await received)!;
      assert.is(frame.fds.length, most + 1);
      frame[Symbol.dispose]();
      // Half a frame.
      b.sendFdsSync("UANC");
      const aborted = ours.recv({ signal: AbortSignal.timeout(5) });
      assert.instance(await errorOf(aborted), Error);
      assert.is(await codeOf(() => a.toSocket()), "ERR_SOCKET_BUSY");
      b.toSocket().destroy();
    });
  }),
);

test("records: a seqpacket socket is read as a stream of bytes", async () => {
  const [a, b] = UnixSeqpacket.pair();
  try {
    await devNull(async (fd) => {
      const reader = b.reader({ maxQueuedBytes: 10 });
      await a.sendFds("one", [fd]);
      await a.sendFds("two");
      assert.is((await reader.read(2)).toString(), "on");
      assert.is((await reader.read(4)).toString(), "etwo");
      reader.takeFds(1)[0]!.close();
      a.close();
      assert.is(await reader.ended(), true);
    });
  } finally {
    a.close();
    b.close();
  }
});

test(
  "abort-while-queued: a read is cancelled at once, and the other reads continue",
  withReader(async (peer, reader) => {
    const abort = new AbortController();
    const first = reader.read(2);
    const second = reader.read(2, { signal: abort.signal });
    const third = reader.readUntil(".", 9);
    abort.abort(new Error("mine"));
    assert.is((await errorOf(second)).message, "mine");
    await peer.sendFds("abcd.");
    assert.is((await first).toString(), "ab");
    assert.is((await third).toString(), "cd.");
    assert.is((await errorOf(reader.read(0, { signal: abort.signal }))).message, "mine");
  }),
);

test.needing(
  ...NEEDS.passPidfd,
  "pidfd-of-each-message: a reader closes it, as nobody can take it",
  pair(async (peer, stream) => {
    stream.setPassPidfd(true);
    const before = openFds().size;
    const reader = stream.reader();
    for (let i = 0; i < 3; i++) {
      await peer.sendFds("x");
      await reader.read(1);
    }
    assert.is(openFds().size, before);
    reader.close();
  }),
);

test(
  "closed-while-received: descriptors of a message that a closed reader gets are closed",
  pair(async (peer, stream) => {
    const reader = stream.reader();
    const reading = codeOf(reader.read(2));
    peer.sendFdsSync("x", [0, 0]);
    // The message is received, and the read has not looked at it.
    const { fd } = stream;
    const { system } = stream.platform;
    const { recvmsg } = system;
    const received = new Promise<void>((resolve) => {
      system.recvmsg = (...given) => {
        const bytes = recvmsg.apply(system, given);
        if (given[0] === fd && bytes > 0) resolve();
        return bytes;
      };
    });
    try {
      await received;
    } finally {
      delete (system as Partial<typeof system>).recvmsg;
    }
    reader.close();
    assert.is(await reading, "ERR_SOCKET_CLOSED");
  }),
);

test("closed-and-kept: a reader frees its memory when it is closed", () =>
  pair(async (peer, stream) => {
    const reader = stream.reader();
    const reading = errorOf(reader.read(64_000_000));
    // All bytes may still be in flight when the reader is closed.
    const sending = peer.sendFdsAll(Buffer.alloc(16_000_000)).catch(() => {});
    while (reader.queuedBytes < 15_000_000) await sleep(1);
    const { gc } = globalThis as { gc?: () => void };
    gc?.();
    const before = process.memoryUsage().arrayBuffers;
    reader.close();
    await Promise.all([reading, sending]);
    // V8 frees the memory in the background.
    const freed = () => before - process.memoryUsage().arrayBuffers;
    for (let turn = 0; gc !== undefined && turn < 200 && freed() < 15_000_000; turn++) {
      await sleep(5);
      gc();
    }
    assert.ok(gc === undefined || freed() >= 15_000_000, `${freed()} bytes`);
    assert.is(reader.queuedBytes, 0);
  })());

test.run();
